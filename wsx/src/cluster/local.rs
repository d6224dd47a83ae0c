//! What a node does for the others with the boxes that it has. The hub implements it.
use crate::{
    cluster::packet::{Kind, Verdict},
    envelope::{Outbound, frame::Encode as _, keys::Sent},
    error::SendError,
    wire::write::{Draft, Frame},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// A message that another node passes on: the envelope, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Forwarded {
    pub(crate) kind: Kind,
    pub(crate) envelope: Bytes,
}

impl Forwarded {
    /// Encodes a message that is neither a request nor a reply.
    pub(crate) fn of<M: Outbound + ?Sized>(message: &M) -> Result<Self, SendError> {
        message.draft(Sent::Message).map(|draft| Self::of_draft(&draft))
    }

    /// Returns a message or a request that is encoded.
    pub(crate) fn of_draft(draft: &Draft) -> Self {
        Self::new(draft.message_type(), draft.may_shrink(), draft.payload())
    }

    /// Returns the message in a frame of a server.
    pub(crate) fn of_frame(frame: &Frame) -> Self {
        Self::new(frame.message_type, frame.may_shrink, frame.payload())
    }

    fn new(message_type: &'static str, may_shrink: bool, envelope: &[u8]) -> Self {
        let kind = Kind { message_type: message_type.to_owned(), may_shrink };
        Self { kind, envelope: Bytes::copy_from_slice(envelope) }
    }
}

/// The boxes of this node, for the messages of the others.
///
/// Each call does what it can at once, and its future waits for the rest.
pub(crate) trait Local: Send + Sync + 'static {
    /// Queues a message for a box. It waits for room for at most this time.
    fn send(&self, id: &str, message: Forwarded, ttl: Duration) -> BoxFuture<'static, Verdict>;

    /// Asks a box. The bytes are the reply, if there is one. Dropping the future cancels the
    /// request.
    fn ask(&self, id: &str, message: Forwarded, timeout: Duration) -> BoxFuture<'static, (Verdict, Bytes)>;

    /// Closes the connection of a box.
    fn close(&self, id: &str, code: u16, reason: &str) -> Verdict;

    /// Queues a message for every box of this node, or for those with a label.
    fn broadcast(&self, message: Forwarded, label: Option<String>) -> BoxFuture<'static, ()>;
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{envelope::Envelope, wire::role::Role};

    /// Row J2: a message is passed on as it would be sent.
    #[test]
    fn a_message_is_passed_on_with_its_type_and_its_envelope() {
        let message = Envelope::with_type("what", 1);
        let expected = format!(r#"{{"ver":1,"type":"what","ts":{},"data":1}}"#, message.ts);
        let frame = message.encode(Role::Server).unwrap();
        for forwarded in [Forwarded::of(&message).unwrap(), Forwarded::of_frame(&frame)] {
            assert_eq!(forwarded.kind, Kind { message_type: "what".into(), may_shrink: true });
            assert_eq!(forwarded.envelope, expected.as_bytes());
        }
        let of_run_time = Forwarded::of(&Envelope::with_type(String::from("what"), 1)).unwrap();
        assert_eq!(of_run_time.kind.message_type, "", "it is not a constant of the program");
        let mut draft = message.draft(Sent::Request { id: 0, ttl: 7 }).unwrap();
        draft.set_may_shrink(false);
        let request = Forwarded::of_draft(&draft);
        assert!(!request.kind.may_shrink);
        assert!(request.envelope.ends_with(br#","id":0,"ttl":7,"data":1}"#));
        assert!(matches!(Forwarded::of(&Envelope::with_type("what", f64::NAN)), Err(SendError::Encode(_))));
    }
}
