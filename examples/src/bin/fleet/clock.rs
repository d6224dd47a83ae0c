//! Times as the page gets them: in milliseconds since 1970.
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn now() -> u64 {
    millis(SystemTime::now())
}

/// A time before 1970 counts as 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
