//! What a program sees of the messages that wait, and of states.
use crate::delivery::{Time, message::Message};
use std::time::Duration;

/// A message that waits for a peer, in [`Hub::waiting`](crate::Hub::waiting).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The type of the message.
    pub message_type: String,
    /// Its number: that of `at_least_once`, or that of `latest` and `state`.
    pub number: u64,
    /// Its length on the wire, in bytes, without its number.
    pub bytes: usize,
    /// How long ago it was accepted.
    pub age: Duration,
    /// How long it may still wait, if it expires.
    pub ttl: Option<Duration>,
    /// Whether it is held, because the peer did not understand its type when it was connected last;
    /// see [other versions](crate::delivery#other-versions).
    pub is_held: bool,
}

impl Waiting {
    pub(super) fn of(number: u64, message: &Message, now: Time) -> Self {
        Self {
            message_type: message.kept.message_type.to_string(),
            number,
            bytes: message.len(),
            age: message.at.age(now),
            ttl: message.expires.map(|expires| now.age(expires)),
            is_held: message.is_held,
        }
    }
}

/// The newest state of a peer, in [`Hub::state`](crate::Hub::state).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateOf<M> {
    /// The state.
    pub value: M,
    /// How long ago it was set or received. A restart of the hub does not set it back.
    pub age: Duration,
    /// Whether the receiver has handled it. A state that the peer has sent is always handled.
    pub is_handled: bool,
}
