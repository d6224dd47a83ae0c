//! The time of an envelope, and of what presence shows. It knows neither.

/// Returns the current time: the seconds since 1970. A time before 1970 counts as 1970.
///
/// Linux has a coarse clock, which its timer interrupt advances. A read of it costs a few
/// nanoseconds. Its time is behind by one interval of that timer, 10 ms at most. The protocol half
/// does without, because it has no dependencies.
#[cfg(all(target_os = "linux", feature = "__engine"))]
pub(crate) fn now() -> i64 {
    not_before_1970(rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec)
}

#[cfg(all(target_os = "linux", feature = "__engine"))]
fn not_before_1970(seconds: i64) -> i64 {
    seconds.max(0)
}

/// Returns the current time: the seconds since 1970. A time before 1970 counts as 1970.
#[cfg(not(all(target_os = "linux", feature = "__engine")))]
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    /// Row X6: a device without a battery starts in 1970 or before, and a broken clock may have any
    /// value.
    #[cfg(all(target_os = "linux", feature = "__engine"))]
    #[test]
    fn no_clock_breaks_the_time_of_a_message() {
        for (clock, expected) in [(1_732_969_200, 1_732_969_200), (0, 0), (-1, 0), (i64::MIN, 0), (i64::MAX, i64::MAX)]
        {
            assert_eq!(not_before_1970(clock), expected);
        }
    }

    /// Row X6.
    #[test]
    fn the_time_is_the_second_of_the_systems_clock() {
        let since = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let seconds = || i64::try_from(since()).expect("before the year 292 billion");
        for _ in 0..1000 {
            let (before, now, after) = (seconds(), now(), seconds());
            // The coarse clock may still show the second before.
            assert!((before - 1..=after).contains(&now), "{now} is not between {before} and {after}");
        }
    }
}
