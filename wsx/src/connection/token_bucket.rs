//! A token bucket: it limits the rate, and the amount that passes at once after a quiet time. It
//! does not know the things that pass, and does not have a clock.
use std::time::Duration;
use tokio::time::Instant;

/// Tokens that come back at a rate, up to the burst. A caller that takes more than there are leaves
/// a debt.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// The tokens that come back in a second.
    rate: f64,
    /// The tokens of a full bucket.
    burst: f64,
    /// The tokens at the time `at`. Negative, if there is a debt.
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// Returns a full bucket.
    pub(crate) fn full(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, tokens: burst, at: now }
    }

    /// Whether there was a token when the clock was last read.
    pub(crate) fn has_token(&self) -> bool {
        self.tokens >= 1.0
    }

    /// Whether nothing was missing when the clock was last read.
    pub(crate) fn is_full(&self) -> bool {
        self.tokens >= self.burst
    }

    /// Adds the tokens that have come back. Those above the burst are lost.
    pub(crate) fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens, self.at) = ((self.tokens + elapsed * self.rate).min(self.burst), now);
    }

    /// Returns the time until there is a token, or `None` if there is one now.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let missing = 1.0 - self.tokens;
        (missing > 0.0).then(|| Duration::try_from_secs_f64(missing / self.rate).unwrap_or(Duration::MAX))
    }

    /// Takes this many tokens, or gives back a negative number of them.
    pub(crate) fn take(&mut self, tokens: f64) {
        self.tokens = (self.tokens - tokens).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rows R16, R17: never more than the burst and the rate.
    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(2.0, 3.0, start);
        assert!(bucket.is_full());
        for _ in 0..3 {
            assert_eq!(bucket.wait(start), None);
            bucket.take(1.0);
        }
        assert_eq!(bucket.wait(start), Some(SECOND / 2));
        assert_eq!(bucket.wait(start + SECOND / 2), None);
        assert!(!bucket.is_full());
        bucket.take(1.0);
        assert_eq!(bucket.wait(start + SECOND), None);
        bucket.take(10.0);
        assert_eq!(bucket.wait(start + SECOND), Some(5 * SECOND), "a debt of 9");
        bucket.take(-10.0);
        assert_eq!(bucket.wait(start + SECOND), None, "given back");
        bucket.take(-100.0);
        bucket.take(3.0);
        assert!(bucket.wait(start + SECOND).is_some(), "never more than the burst");
        assert_eq!(bucket.wait(start), Some(SECOND / 2), "a clock that goes back gives nothing");
    }

    #[test]
    fn a_token_is_seen_without_the_clock_only_after_a_wait() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(10.0, 2.0, start);
        assert!(bucket.has_token());
        bucket.take(1.0);
        assert!(bucket.has_token(), "one is left");
        bucket.take(0.5);
        assert!(!bucket.has_token());
        assert_eq!(bucket.wait(start), Some(SECOND / 20));
        assert_eq!(bucket.wait(start + SECOND / 20), None);
        assert!(bucket.has_token());
        bucket.take(1.0);
        assert_eq!(bucket.wait(start + SECOND / 20), Some(SECOND / 10));
        assert_eq!(bucket.wait(start + SECOND / 10), Some(SECOND / 20), "half of one is back");
    }

    #[test]
    fn no_number_makes_it_panic() {
        let start = Instant::now();
        for (rate, burst) in [(0.0, 0.0), (f64::MAX, f64::MAX), (1e-300, 1.0)] {
            let mut bucket = TokenBucket::full(rate, burst, start);
            bucket.take(f64::MAX);
            assert!(bucket.wait(start).is_some());
            bucket.wait(start + Duration::from_secs(1 << 30));
        }
    }
}
