//! What an observer learns of delivery. It does not know messages.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a peer does not get a message with a number, in a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// Its time to live was over.
    Expired,
    /// The outbox or the mailbox was full, and its type says `full = drop_oldest`.
    Full,
    /// The program dropped it.
    Dropped,
    /// The number never was a message. This is not reported.
    #[doc(hidden)]
    Void,
    /// The reason is not known: the sender lost its store, or has forgotten the reason. A second
    /// program that begins with the same id looks like a lost store. When the first one comes back,
    /// its messages arrive after all.
    #[serde(other)]
    Unknown,
}

impl Why {
    /// Returns the reason as on the wire, for a metric or a log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Full => "full",
            Self::Dropped => "dropped",
            Self::Void => "void",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Messages that a peer never gets, for [`Observer::delivery_gap`](crate::Observer::delivery_gap).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The number of the first message.
    pub from: u64,
    /// The number of the last message.
    pub to: u64,
    /// The reason.
    pub why: Why,
    /// Whether this program was to send them. Otherwise it was to receive them.
    pub is_ours: bool,
}

/// Where delivery resumes on a connection, for
/// [`Observer::delivery_resumed`](crate::Observer::delivery_resumed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// The number of the last message that the peer has handled; 0 if it does not remember one.
    pub handled: u64,
    /// How many messages wait for the peer.
    pub waiting: usize,
}
