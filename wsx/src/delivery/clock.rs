//! The time of a store: it goes on with the monotonic clock while the program runs, and with the
//! wall clock between two runs. It does not read a clock.
use crate::envelope::keys::MAX_NUMBER;
use std::time::Duration;

/// A time, in milliseconds since the store was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Time(u64);

/// Added at each start, because the last record of the clock is older than the last message.
pub(super) const RECORD_EVERY: Duration = Duration::from_secs(1);
/// A wall clock before 2020-01-01 was not set. A box without a battery starts in 1970.
const FIRST_PLAUSIBLE: u64 = 1_577_836_800;
/// A message that outlived the last run gets this part of its time to live after the next start.
const GRACE_PART: u32 = 10;
/// The longest such time.
const MAX_GRACE: Duration = Duration::from_secs(60);

impl Time {
    pub(crate) fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) fn millis(self) -> u64 {
        self.0
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns how long ago this was.
    pub(crate) fn age(self, now: Self) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.0))
    }

    /// Returns the lowest number of a message that is accepted now. It is higher than the numbers
    /// of messages that are not remembered any more. A damaged store may have any time: the numbers
    /// after it still fit on the wire.
    pub(crate) fn lowest_number(self) -> u64 {
        self.0.saturating_mul(1000).min(MAX_NUMBER / 2) + 1
    }
}

/// Returns the time at the start of a program. `last` is the last record of the store, and `then`
/// and `now` are the wall clock at both times, in seconds since 1970.
///
/// Without two plausible times the downtime is unknown, and does not count.
pub(super) fn resumed(last: Time, then: u64, now: u64) -> Time {
    let is_known = then >= FIRST_PLAUSIBLE && now >= then;
    let downtime = if is_known { Duration::from_secs(now - then) } else { Duration::ZERO };
    last.after(downtime).after(RECORD_EVERY)
}

/// Returns when a message expires after a start. A message that had not expired at the last record
/// of the clock gets a chance to be sent, because the downtime may be an error of the wall clock.
pub(super) fn expires_after_start(expires: Time, ttl: Duration, last: Time, now: Time) -> Time {
    if expires <= last {
        return expires;
    }
    expires.max(now.after((ttl / GRACE_PART).min(MAX_GRACE)))
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    const NOW: u64 = 1_800_000_000;

    fn seconds(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    /// Row G13: no time of a store makes a number that does not fit on the wire.
    #[test]
    fn the_lowest_number_fits_on_the_wire() {
        assert_eq!(seconds(1).lowest_number(), 1_000_001);
        assert!(Time::from_millis(u64::MAX).lowest_number() < MAX_NUMBER - 1_000_000_000);
    }

    /// Row G13: between two runs the wall clock counts, and only if it is plausible.
    #[test]
    fn the_downtime_counts_if_both_times_are_plausible() {
        for (then, now, downtime) in
            [(NOW, NOW + 60, 60), (NOW, NOW + DAY, DAY), (NOW, NOW - DAY, 0), (5, NOW, 0), (NOW, 5, 0), (5, 9, 0)]
        {
            assert_eq!(resumed(seconds(100), then, now), seconds(100 + downtime + 1), "{then} {now}");
        }
    }

    /// Row G13: a jump of a day between two runs does not expire a message at once.
    #[test]
    fn a_message_that_had_not_expired_gets_a_chance_after_a_start() {
        let (last, now) = (seconds(100), seconds(100 + DAY));
        let hour = Duration::from_secs(3600);
        assert_eq!(expires_after_start(seconds(99), hour, last, now), seconds(99));
        assert_eq!(expires_after_start(seconds(101), hour, last, now), now.after(MAX_GRACE));
        assert_eq!(
            expires_after_start(seconds(101), Duration::from_secs(50), last, now),
            now.after(Duration::from_secs(5))
        );
        assert_eq!(expires_after_start(seconds(2 * DAY), hour, last, now), seconds(2 * DAY));
    }
}
