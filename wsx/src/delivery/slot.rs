//! What a newer message replaces: the message of the same type and key.
use crate::delivery::message::Message;

/// The type and the key of a message of which the newest counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) message_type: Box<str>,
    pub(super) key: Option<Box<str>>,
}

impl Slot {
    pub(super) fn of(message: &Message) -> Self {
        Self { message_type: (*message.kept.message_type).into(), key: message.kept.slot.clone() }
    }
}
