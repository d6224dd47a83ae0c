//! How long a client waits before it dials again: a pure function of the number of failures and a
//! random number. It does not know the clock or the client.
use std::time::Duration;

/// The waits of a client that reconnects (row K2 of the specification).
///
/// Each wait is varied by ± 50 %, so that a fleet whose server failed does not reconnect all at
/// once. A test can replace the random numbers with
/// [`jitter`](crate::client::ClientBuilder::jitter), and get the same waits in each run.
///
/// ```
/// use std::time::Duration;
/// use wsx::Backoff;
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.delay(0, 0.5), Duration::from_millis(500));
/// assert_eq!(backoff.delay(1, 0.5), Duration::from_millis(900));
/// assert!(backoff.delay(99, 0.999) <= Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// The wait before the second attempt; default 500 ms.
    ///
    /// Too low: a busy server is dialled again too soon. Too high: a short outage lasts longer than
    /// it must.
    pub initial: Duration,
    /// Each wait is this many times as long as the previous one; default 1.8.
    ///
    /// Too low: a fleet keeps dialling a dead server often. Too high: the second or third failure
    /// already leads to a long wait.
    pub factor: f64,
    /// Maximum wait; default 30 s.
    ///
    /// A client that was replaced by another one with its id
    /// ([`CloseCode::REPLACED`](crate::CloseCode::REPLACED)) waits for at least half of this time.
    /// Otherwise both would replace each other at every [`initial`](Self::initial) wait.
    /// A busy server can ask for up to this time with `Retry-After`. The client then waits for up
    /// to half as long again. Too low: an outage causes many attempts. Too high: a client
    /// reconnects late after a long outage.
    pub max: Duration,
    /// A connection that lasted this long starts the waits again from [`initial`](Self::initial);
    /// default 5 s.
    ///
    /// Too low: a server that accepts and drops each connection is dialled twice a second, forever.
    /// Too high: a healthy client waits long after a short interruption.
    pub stable_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            factor: 1.8,
            max: Duration::from_secs(30),
            stable_after: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// Sets [`initial`](Self::initial).
    #[must_use]
    pub fn initial(mut self, delay: Duration) -> Self {
        self.initial = delay;
        self
    }

    /// Sets [`factor`](Self::factor).
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets [`max`](Self::max).
    #[must_use]
    pub fn max(mut self, delay: Duration) -> Self {
        self.max = delay;
        self
    }

    /// Sets [`stable_after`](Self::stable_after).
    #[must_use]
    pub fn stable_after(mut self, lasted: Duration) -> Self {
        self.stable_after = lasted;
        self
    }

    /// Returns the wait after `failures` earlier failures in a row; `random` is from 0 to 1.
    ///
    /// `random` selects a point between the shortest and the longest wait. Where `max` cuts the
    /// range off, the rest of the range is used evenly.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let max = self.max.as_secs_f64();
        let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
        let base = (self.initial.as_secs_f64() * self.factor.powi(exponent)).min(max);
        let (low, high) = (base * 0.5, (base * 1.5).min(max));
        Duration::try_from_secs_f64(low + (high - low) * random.clamp(0.0, 1.0)).unwrap_or(self.max)
    }

    /// Returns the wait after a close with 4000, from half of the longest wait to all of it.
    pub(crate) fn delay_replaced(&self, random: f64) -> Duration {
        let part = 0.5 + 0.5 * random.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(self.max.as_secs_f64() * part).unwrap_or(self.max)
    }

    /// As [`delay`](Self::delay), but at least the time that the server asked for, up to `max`.
    ///
    /// A busy server asks all clients for the same time. So up to half of that time is added, by
    /// `random`.
    pub(crate) fn delay_asked(&self, failures: u32, random: f64, asked: Duration) -> Duration {
        let asked = asked.min(self.max);
        let spread = Duration::try_from_secs_f64(asked.as_secs_f64() * 0.5 * random.clamp(0.0, 1.0));
        self.delay(failures, random).max(asked.saturating_add(spread.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row K2: 500 ms, × 1.8, at most 30 s, ± 50 %.
    #[test]
    fn the_delays_grow_from_half_a_second_to_thirty() {
        let backoff = Backoff::default();
        let mut base = 0.5;
        for failures in 0..40 {
            let low = backoff.delay(failures, 0.0).as_secs_f64();
            let high = backoff.delay(failures, 1.0).as_secs_f64();
            assert!((low - base * 0.5).abs() < 1e-6, "{failures}: {low} for {base}");
            assert!((high - (base * 1.5).min(30.0)).abs() < 1e-6, "{failures}: {high} for {base}");
            base = (base * 1.8).min(30.0);
        }
    }

    #[test]
    fn each_option_is_set() {
        let [initial, max, stable_after] = [1, 2, 3].map(Duration::from_secs);
        let backoff = Backoff::default().initial(initial).factor(4.0).max(max).stable_after(stable_after);
        assert_eq!(backoff, Backoff { initial, factor: 4.0, max, stable_after });
    }

    #[test]
    fn no_number_makes_it_panic_or_exceed_the_maximum() {
        let backoff = Backoff::default().factor(f64::NAN).initial(Duration::MAX);
        for failures in [0, 1, u32::MAX] {
            for random in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
                assert!(backoff.delay(failures, random) <= Duration::from_secs(30));
                assert!(backoff.delay_asked(failures, random, Duration::MAX) <= Duration::from_secs(45));
            }
        }
    }

    /// Row S5: a client that was replaced waits for half of the longest wait at least.
    #[test]
    fn the_delay_after_a_replacement_is_long() {
        let backoff = Backoff::default();
        assert_eq!([0.0, 1.0].map(|random| backoff.delay_replaced(random).as_secs()), [15, 30]);
        assert_eq!(Backoff::default().max(Duration::MAX).delay_replaced(f64::NAN), Duration::MAX);
    }

    #[test]
    fn the_delay_is_at_least_the_one_that_the_server_requested() {
        let backoff = Backoff::default();
        let delay =
            |failures, random, asked| backoff.delay_asked(failures, random, Duration::from_secs(asked)).as_secs_f64();
        for (failures, random, asked, expected) in [
            (0, 0.0, 8, 8.0),
            (0, 0.5, 8, 10.0),
            (0, 1.0, 8, 12.0),
            (0, 0.5, 0, 0.5),
            (4, 1.0, 1, 7.8732),
            (0, 0.0, 86_400, 30.0),
            (0, 1.0, 86_400, 45.0),
        ] {
            let waited = delay(failures, random, asked);
            assert!(
                (waited - expected).abs() < 1e-6,
                "{waited} and not {expected} s after {failures}, {random}, {asked}"
            );
        }
    }
}
