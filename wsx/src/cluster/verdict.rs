//! The verdict of a node, made of what this node's send or request returned, and turned back into
//! that at the node that asked. It does not know packets.
use crate::{
    cluster::packet::Verdict, connection::asking::raw::Unanswered, error::SendError, protocol::PeerVersion,
    wire::data_message::DataMessage,
};
use bytes::Bytes;
use serde::ser::Error as _;

impl Verdict {
    /// Returns the verdict about a send to a box of this node.
    pub(crate) fn of_send(sent: Result<(), SendError>) -> Self {
        match sent {
            Ok(()) => Self::Done,
            Err(error) => Self::of_error(&error),
        }
    }

    /// Returns the verdict about a request to a box of this node, and the reply.
    pub(crate) fn of_reply(outcome: Result<DataMessage, Unanswered>) -> (Self, Bytes) {
        let verdict = match outcome {
            Ok(DataMessage::Text(reply)) => return (Self::Replied, reply.into()),
            Ok(DataMessage::Binary(reply)) => return (Self::Replied, reply.into()),
            Err(Unanswered::NoSuchConnection(_)) => Self::NotHere,
            Err(Unanswered::NotSent(error)) => Self::of_error(&error),
            Err(Unanswered::Ended(closed)) => Self::Ended((&closed).into()),
            Err(Unanswered::TimedOut) => Self::TimedOut,
        };
        (verdict, Bytes::new())
    }

    pub(crate) fn of_error(error: &SendError) -> Self {
        match error {
            SendError::NoSuchConnection(_) => Self::NotHere,
            SendError::Full => Self::Full,
            SendError::Expired => Self::Expired,
            SendError::PeerTooOld { message_type, peer } => Self::TooOld {
                message_type: message_type.to_string(),
                protocol: peer.protocol.to_string(),
                version: peer.version,
                fingerprint: peer.fingerprint,
            },
            SendError::Encode(_) | SendError::NotUtf8(_) => Self::Invalid,
            // A send of an envelope that is not kept returns no other error.
            _ => Self::Closed,
        }
    }

    /// Returns the result of a send or a close at the node that asked. `is_own_ttl` is whether the
    /// time that the message may wait is the `ttl` of its type.
    pub(crate) fn into_sent(self, id: &str, is_own_ttl: bool) -> Result<(), SendError> {
        Err(match self {
            Self::Done => return Ok(()),
            Self::NotHere => SendError::NoSuchConnection(id.to_owned()),
            Self::Closed => SendError::Closed,
            Self::Expired if is_own_ttl => SendError::Expired,
            Self::Full | Self::Expired => SendError::Full,
            Self::TooOld { message_type, protocol, version, fingerprint } => SendError::PeerTooOld {
                message_type: message_type.into(),
                peer: Box::new(PeerVersion::new(&protocol, version, fingerprint)),
            },
            Self::Invalid => SendError::Encode(serde_json::Error::custom("another node could not read the envelope")),
            // Not a verdict about a send.
            Self::Replied | Self::Ended(_) | Self::TimedOut => SendError::Unconfirmed,
        })
    }

    /// Returns the outcome of a request at the node that asked.
    pub(crate) fn into_reply(self, id: &str, reply: &[u8]) -> Result<DataMessage, Unanswered> {
        Err(match self {
            // The reply has been UTF-8. Otherwise its decoder says what is wrong.
            Self::Replied => return Ok(DataMessage::Text(String::from_utf8_lossy(reply).into_owned())),
            Self::NotHere => Unanswered::NoSuchConnection(id.to_owned()),
            Self::Ended(end) => Unanswered::Ended(end.into()),
            Self::TimedOut => Unanswered::TimedOut,
            not_sent => match not_sent.into_sent(id, false) {
                Err(error) => Unanswered::NotSent(error),
                // `Done` is not a verdict about a request.
                Ok(()) => Unanswered::TimedOut,
            },
        })
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::{Closed, ClosedBy},
        cluster::packet::{By, End, decode, encode},
        wire::close_code::CloseCode,
    };

    /// Returns the verdict and the payload as the other node reads them.
    fn across(verdict: &Verdict, payload: &[u8]) -> (Verdict, Bytes) {
        decode(&encode(verdict, payload)).expect("a node reads what a node writes")
    }

    fn too_old() -> SendError {
        let peer = Box::new(PeerVersion::new("fleet", 3, u64::MAX));
        SendError::PeerTooOld { message_type: "what".into(), peer }
    }

    /// Row J2: a send returns the same error from another node as from this one.
    #[test]
    fn an_error_of_a_send_is_the_same_across_nodes() {
        let errors = [SendError::NoSuchConnection("box-7".into()), SendError::Closed, SendError::Full, too_old()];
        for error in errors.into_iter().chain([SendError::Expired]) {
            let shown = format!("{error:?}");
            let (verdict, _) = across(&Verdict::of_send(Err(error)), b"");
            assert_eq!(format!("{:?}", verdict.into_sent("box-7", true).unwrap_err()), shown);
        }
        assert!(across(&Verdict::of_send(Ok(())), b"").0.into_sent("box-7", true).is_ok());
    }

    /// Row J2: a send without a `ttl` does not expire. It finds a full queue.
    #[test]
    fn a_message_without_a_ttl_does_not_expire() {
        let verdict = Verdict::of_send(Err(SendError::Expired));
        assert!(matches!(verdict.into_sent("box-7", false), Err(SendError::Full)));
    }

    /// Row J2: the outcome of a request is the same across nodes.
    #[test]
    fn the_outcome_of_a_request_is_the_same_across_nodes() {
        let closed = Closed::new(CloseCode::from(4001), "bye\n", ClosedBy::Peer);
        for outcome in [
            Unanswered::NoSuchConnection("box-7".into()),
            Unanswered::NotSent(SendError::Full),
            Unanswered::NotSent(SendError::Closed),
            Unanswered::NotSent(too_old()),
            Unanswered::Ended(closed),
            Unanswered::TimedOut,
        ] {
            let shown = format!("{outcome:?}");
            let (verdict, reply) = Verdict::of_reply(Err(outcome));
            let (verdict, reply) = across(&verdict, &reply);
            assert_eq!(format!("{:?}", verdict.into_reply("box-7", &reply).unwrap_err()), shown);
        }
        let text = "{\"re\":1}\n\u{fc}";
        let (verdict, reply) = Verdict::of_reply(Ok(DataMessage::Text(text.into())));
        let (verdict, reply) = across(&verdict, &reply);
        assert!(matches!(verdict.into_reply("box-7", &reply), Ok(DataMessage::Text(reply)) if reply == text));
    }

    /// Row J2: an end is the same across nodes.
    #[test]
    fn an_end_is_the_same_across_nodes() {
        for by in [ClosedBy::Us, ClosedBy::Peer, ClosedBy::Link] {
            let closed = Closed::new(CloseCode::ABNORMAL, "the link broke", by);
            assert_eq!(Closed::from(End::from(&closed)), closed);
        }
    }

    /// Row J3: another node may be broken. Then nothing is promised that did not happen.
    #[test]
    fn a_verdict_that_does_not_fit_confirms_nothing() {
        let end = || End { code: 1000, reason: String::new(), by: By::Us };
        for verdict in [Verdict::Replied, Verdict::Ended(end()), Verdict::TimedOut] {
            assert!(matches!(verdict.into_sent("box-7", true), Err(SendError::Unconfirmed)));
        }
        assert!(matches!(Verdict::Done.into_reply("box-7", b""), Err(Unanswered::TimedOut)));
        assert!(matches!(Verdict::Invalid.into_sent("box-7", true), Err(SendError::Encode(_))));
        let invalid = Verdict::Invalid.into_reply("box-7", b"");
        assert!(matches!(invalid, Err(Unanswered::NotSent(SendError::Encode(_)))));
        let reply = Verdict::Replied.into_reply("box-7", b"\xff");
        assert!(matches!(reply, Ok(DataMessage::Text(text)) if text == "\u{fffd}"));
    }
}
