//! The result of a message that a `TestPeer` delivered, and how a test reads a message.
use crate::{
    envelope::{incoming::RawFrame, parse::Parsed},
    error::cut,
    message::Message,
};
use serde::Deserialize;

/// The result of a message that a [`TestPeer`](crate::testing::TestPeer) delivered.
#[derive(Debug)]
pub struct Handled {
    pub(super) reply: Option<RawFrame<'static>>,
    pub(super) is_ignored: bool,
}

impl Handled {
    /// Returns the reply of the handler, or `None` if it did not reply.
    ///
    /// # Panics
    ///
    /// Panics if the reply is not an `M`; the text says what it is.
    #[must_use]
    #[track_caller]
    pub fn reply<'r, M: Message + Deserialize<'r>>(&'r self) -> Option<M> {
        Some(decode("the reply", self.reply.as_ref()?).unwrap_or_else(|why| panic!("{why}")))
    }

    /// Returns the reply of the handler unchanged, or `None` if it did not reply.
    #[must_use]
    pub fn raw_reply(&self) -> Option<&RawFrame<'static>> {
        self.reply.as_ref()
    }

    /// Whether the message had no handler. The program has then ignored and counted it.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        self.is_ignored
    }
}

/// Decodes a message. `what` names it in the error.
pub(super) fn decode<'f, M: Message + Deserialize<'f>>(what: &str, frame: &'f RawFrame<'static>) -> Result<M, String> {
    let Some(text) = frame.as_text() else {
        return Err(format!("{what} is not a {:?} but {} bytes", M::TYPE, frame.as_bytes().len()));
    };
    match Parsed::parse(text) {
        Ok(Parsed { message_type, data, .. }) if message_type == M::TYPE => {
            serde_json::from_str(data).map_err(|error| format!("{what} does not fit: {error}, in {}", cut(text)))
        }
        _ => Err(format!("{what} is not a {:?} but {}", M::TYPE, cut(text))),
    }
}
