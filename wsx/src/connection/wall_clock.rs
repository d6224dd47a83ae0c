//! The wall clock in whole seconds. It is shown to the program, and decides nothing.
use crate::envelope::clock;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A time of the wall clock, in seconds since 1970. 32 bits last until 2106.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(u32);

impl Seconds {
    /// Returns the time of the wall clock. A clock before 1970 counts as 1970.
    pub(crate) fn now() -> Self {
        Self(u32::try_from(clock::now()).unwrap_or(u32::MAX))
    }
}

/// For other nodes of a cluster.
#[cfg(feature = "nats")]
impl Seconds {
    pub(crate) fn from_number(seconds: u32) -> Self {
        Self(seconds)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl From<Seconds> for SystemTime {
    fn from(seconds: Seconds) -> Self {
        UNIX_EPOCH + Duration::from_secs(seconds.0.into())
    }
}

/// A time that the task of a connection writes, and others read.
#[derive(Debug, Default)]
pub(crate) struct AtomicSeconds(AtomicU32);

impl AtomicSeconds {
    pub(crate) fn load(&self) -> Seconds {
        Seconds(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, seconds: Seconds) {
        self.0.store(seconds.0, Ordering::Relaxed);
    }
}
