//! How fast one node publishes. It does not have a clock.
//!
//! NATS does not slow a publisher down: what a subscriber cannot take at once is lost there, in its
//! client, without an error. 300,000 packets in a burst lost some, while 400,000 in a second at an
//! even rate lost nothing.
use std::time::Duration;
use tokio::time::Instant;

/// The length of a window. Timers have a resolution of one millisecond.
const WINDOW: Duration = Duration::from_millis(5);

/// Packets in a window: 100,000 in a second, a quarter of the rate that was measured without loss,
/// because several nodes publish at the same time.
pub(super) const PACKETS: usize = 500;

/// Bytes in a window: 52 MB in a second.
pub(super) const BYTES: usize = 256 << 10;

/// Counts what was published in the current window.
#[derive(Debug)]
pub(super) struct Pace {
    ends: Instant,
    packets: usize,
    bytes: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { ends: now + WINDOW, packets: 0, bytes: 0 }
    }

    /// Counts a packet that is published now, or returns when to try again.
    pub(super) fn admit(&mut self, len: usize, now: Instant) -> Result<(), Instant> {
        if now >= self.ends {
            let missed = (now - self.ends).as_micros() / WINDOW.as_micros();
            // After a timer that was a bit late, the window is shorter by as much, for the rate.
            self.ends = if missed == 0 { self.ends } else { now } + WINDOW;
            self.packets = 0;
            // What was too long for its window fills the next ones.
            let windows = usize::try_from(missed).unwrap_or(usize::MAX).saturating_add(1);
            self.bytes = self.bytes.saturating_sub(BYTES.saturating_mul(windows));
        }
        if self.packets >= PACKETS || self.bytes >= BYTES {
            return Err(self.ends);
        }
        self.packets += 1;
        self.bytes += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publishes packets of this length as fast as allowed for this time, with timers that are late
    /// by `late`, and returns their number.
    fn run(len: usize, time: Duration, late: Duration) -> usize {
        let start = Instant::now();
        let (mut pace, mut now, mut packets) = (Pace::new(start), start, 0);
        while now < start + time {
            match pace.admit(len, now) {
                Ok(()) => packets += 1,
                Err(again) => {
                    assert!(again > now);
                    now = again + late;
                }
            }
        }
        packets
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_window_passes_at_once_and_the_rate_holds() {
        assert_eq!(run(64, Duration::from_millis(1), Duration::ZERO), PACKETS);
        assert_eq!(run(64, SECOND, Duration::ZERO), 100_000);
        let late = run(64, SECOND, Duration::from_millis(2));
        assert!((95_000..=101_000).contains(&late), "{late}");
    }

    #[test]
    fn bytes_are_limited_over_several_windows_for_long_packets() {
        assert_eq!(run(1 << 20, SECOND, Duration::ZERO), 50);
        let bytes = 10_000 * run(10_000, SECOND, Duration::ZERO);
        assert!((50_000_000..=56_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_quiet_time_saves_nothing_up() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.admit(1, start).unwrap();
        let later = start + SECOND * 60;
        let packets = (0..10 * PACKETS).take_while(|_| pace.admit(1, later).is_ok()).count();
        assert_eq!(packets, PACKETS);
    }
}
