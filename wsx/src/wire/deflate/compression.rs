//! What compression has done for a connection. It does not know who reports it.
use std::time::Duration;

/// Messages of one connection that were compressed, or that were received compressed:
/// [`Observer::messages_compressed`](crate::Observer::messages_compressed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Whether this program sent or received them.
    pub direction: Direction,
    /// The number of messages.
    pub messages: u64,
    /// Their length before compression, in bytes.
    pub plain_bytes: u64,
    /// Their length on the wire, in bytes, without the headers of frames.
    pub wire_bytes: u64,
    /// The time that compressing or inflating them took on one core.
    pub elapsed: Duration,
}

/// The direction of messages, as the program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This program sent them.
    Sent,
    /// This program received them.
    Received,
}

#[cfg(feature = "metrics")]
impl Direction {
    /// The label of a metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

impl Compression {
    pub(crate) fn none(direction: Direction) -> Self {
        Self { direction, messages: 0, plain_bytes: 0, wire_bytes: 0, elapsed: Duration::ZERO }
    }

    /// Adds a message.
    #[cfg(feature = "deflate")]
    pub(crate) fn add(&mut self, plain: usize, wire: usize, elapsed: Duration) {
        self.messages += 1;
        self.plain_bytes += plain as u64;
        self.wire_bytes += wire as u64;
        self.elapsed += elapsed;
    }

    /// Returns what was done since the last call, if there was anything.
    pub(crate) fn take(&mut self) -> Option<Self> {
        (self.messages > 0).then(|| std::mem::replace(self, Self::none(self.direction)))
    }
}
