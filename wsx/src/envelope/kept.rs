//! A message that is kept until its peer has handled it: its envelope without a number. It does not
//! know who keeps it.
use crate::{
    envelope::{Outbound, frame::Encode as _, keys::Sent},
    error::SendError,
    policy::Policy,
};
use bytes::Bytes;
use std::borrow::Cow;

/// Begins the payload in an envelope that wsx writes. It cannot be part of the type before it,
/// because a quote in a string has a backslash.
const DATA: &[u8] = b",\"data\":";

/// The envelope of a message, written, and how it is delivered.
#[derive(Debug, Clone)]
pub(crate) struct KeptMessage {
    pub(crate) message_type: Cow<'static, str>,
    pub(crate) policy: Policy,
    /// The JSON of the key, which distinguishes messages of the same type.
    pub(crate) slot: Option<Box<str>>,
    /// The envelope as JSON.
    pub(crate) text: Bytes,
    /// Where the number belongs in it: before the payload.
    pub(crate) split: usize,
}

impl KeptMessage {
    /// Encodes a message.
    pub(crate) fn of<M: Outbound + ?Sized>(message: &M) -> Result<Self, SendError> {
        let slot = message.slot().map(String::into_boxed_str);
        // In memory of its size: it may wait for a long time.
        let text = Bytes::copy_from_slice(message.draft(Sent::Message)?.payload());
        Ok(Self::new(message.constant_type().into(), message.policy(), slot, text)
            .expect("an envelope that wsx writes has a payload"))
    }

    /// Returns the message with this envelope, which wsx has written.
    pub(crate) fn new(
        message_type: Cow<'static, str>,
        policy: Policy,
        slot: Option<Box<str>>,
        text: Bytes,
    ) -> Option<Self> {
        let split = text.windows(DATA.len()).position(|window| window == DATA)?;
        Some(Self { message_type, policy, slot, text, split })
    }

    /// Returns the JSON of the payload.
    pub(crate) fn data(&self) -> Bytes {
        self.text.slice(self.split + DATA.len()..self.text.len() - 1)
    }
}

/// Takes the reply of a handler for the peer of its message.
pub(crate) trait TakeReply {
    /// Keeps a message, and does not wait until it is durable.
    fn keep_reply(&self, message: KeptMessage) -> Result<(), SendError>;
    /// Whether the peer understands replies of this type.
    fn reads(&self, message_type: &str) -> bool;
    /// Reports a reply that the peer does not understand. Returns the error.
    fn withheld(&self, message_type: &str) -> SendError;
}
