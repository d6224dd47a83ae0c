//! The samples of one box. It does not know the box.
use crate::board::Reading;
use fleet_protocol::dashboard::Sample;
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of samples of a box: five minutes, with one a second.
pub(super) const MAX_SAMPLES: usize = 300;

/// The samples of a box, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// The reading of the newest sample, for the rates of the next one.
    before: Option<Reading>,
}

impl History {
    /// Makes a sample at this time, if there is a newer reading. The oldest sample goes if there
    /// are too many.
    pub(super) fn take(&mut self, at: u64, reading: Reading, latency: Option<Duration>) -> Option<Sample> {
        let before = self.before.filter(|before| before.at != reading.at);
        if self.before.is_some() && before.is_none() {
            return None;
        }
        let rate = |now: u64, then: fn(&Reading) -> u64| {
            let before = before?;
            // After a restart of the host, its counters begin again.
            Some(per_second(now.checked_sub(then(&before))?, reading.at.duration_since(before.at)))
        };
        let sample = Sample {
            at,
            cpu: reading.cpu,
            memory: reading.memory,
            received: rate(reading.received, |reading| reading.received),
            sent: rate(reading.sent, |reading| reading.sent),
            latency: latency.map(|latency| u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)),
        };
        self.before = Some(reading);
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        Some(sample)
    }

    /// Returns the samples after this time.
    pub(super) fn after(&self, time: u64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.at > time)
    }

    /// Returns the newest sample.
    pub(super) fn newest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }
}

/// Returns bytes per second. A cast from a float saturates.
fn per_second(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZero;
    use std::time::Instant;

    fn reading(at: Instant, received: u64) -> Reading {
        let per_second = NonZero::new(5).unwrap();
        Reading { at, per_second, cpu: 7, memory: 40, received, sent: 0, version: None, outbox: None }
    }

    #[test]
    fn the_rates_are_those_since_the_sample_before() {
        let (mut history, start) = (History::default(), Instant::now());
        let mut take = |seconds, received| {
            let at = start + Duration::from_secs(seconds);
            history.take(seconds * 1000, reading(at, received), None).map(|sample| sample.received)
        };
        assert_eq!(take(1, 1000), Some(None), "a first sample");
        assert_eq!(take(1, 1000), None, "the same reading");
        assert_eq!(take(3, 5000), Some(Some(2000)));
        assert_eq!(take(4, 10), Some(None), "the host has restarted");
        assert_eq!(take(5, 20), Some(Some(10)));
    }

    #[test]
    fn the_oldest_samples_are_dropped() {
        let (mut history, start) = (History::default(), Instant::now());
        for second in 1..=310 {
            history.take(second, reading(start + Duration::from_secs(second), 0), None);
        }
        assert_eq!(history.after(0).count(), MAX_SAMPLES);
        assert_eq!(history.after(0).next().unwrap().at, 11);
        assert_eq!(history.after(308).count(), 2);
    }
}
