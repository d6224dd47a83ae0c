//! The answers of a `TestPeer` to the requests of the program. It does not know where they come
//! from.
use crate::{
    connection::handle::Handle,
    envelope::{
        codes, failure,
        incoming::{Incoming, RawFrame},
        payload,
        reply::{HandlerResult, IntoReply, ReplyTo},
        sorted::Sorted,
    },
    error::HandlerError,
    message::Message,
    testing::sent::{only, peer_of, read},
    wire::data_message::DataMessage,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// An error for the answer of a [`TestPeer`](crate::testing::TestPeer::answer): a refusal, or a
/// failure with any code.
///
/// ```
/// use wsx::testing::Failure;
///
/// #[derive(serde::Serialize, wsx::Message)]
/// struct RebootRefused { why: String }
///
/// let refused = Failure::refusal(&RebootRefused { why: "the pump runs".into() });
/// let busy = Failure::code("busy");
/// # drop((refused, busy));
/// ```
#[derive(Debug, Clone)]
pub struct Failure {
    code: String,
    data: Option<Box<RawValue>>,
}

impl Failure {
    /// Returns the refusal with a message that the protocol names for it.
    ///
    /// # Panics
    ///
    /// Panics if the message cannot be written as JSON.
    #[must_use]
    pub fn refusal<M: Message + Serialize>(message: &M) -> Self {
        let data = serde_json::value::to_raw_value(message);
        let data = data.unwrap_or_else(|error| panic!("the refusal cannot be written as JSON: {error}"));
        Self { code: M::TYPE.to_owned(), data: Some(data) }
    }

    /// Returns the failure with this code, such as `"busy"` or one of a peer that does not use wsx.
    #[must_use]
    pub fn code(code: impl Into<String>) -> Self {
        Self { code: code.into(), data: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed with code {:?}", self.code)
    }
}

impl Error for Failure {}

/// The answer to the requests of one type.
type Answer = Arc<dyn Fn(&Incoming<'_>, ReplyTo<'_>) -> HandlerResult + Send + Sync>;

/// The answers, by the type of the request.
#[derive(Default)]
pub(super) struct Answers(Mutex<HashMap<&'static str, Answer>>);

impl Answers {
    /// Sets the answer to all requests of type `M`.
    pub(super) fn set<M, R>(&self, answer: impl Fn(M) -> R + Send + Sync + 'static)
    where
        M: Message + DeserializeOwned,
        R: IntoReply,
    {
        let answer: Answer = Arc::new(move |incoming, to| answer(payload::payload(incoming)?).into_reply(to));
        let replaced = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(M::TYPE, answer);
        drop(replaced);
    }

    /// Whether a message of the program is a request with an answer.
    pub(super) fn has(&self, frame: &RawFrame<'_>) -> bool {
        let incoming = Incoming::message(frame);
        incoming.request.is_some() && self.find(&incoming.message_type).is_some()
    }

    fn find(&self, message_type: &str) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(message_type).cloned()
    }

    /// Answers a request of the program.
    pub(super) fn answer(&self, conn: &Handle, frame: &RawFrame<'_>) {
        let incoming = Incoming::message(frame);
        let (Some(id), Some(answer)) = (incoming.request, self.find(&incoming.message_type)) else { return };
        let role = peer_of(conn.role());
        let failure = |failure: failure::Failure<'_>| failure.frame(role, &incoming.message_type, Some(id));
        let reply = match answer(&incoming, ReplyTo { role, request: Some(id), peer: conn }) {
            Ok(Some(reply)) => reply,
            Ok(None) => failure(failure::Failure::new(codes::NO_REPLY, "")),
            Err(HandlerError::Handler(error)) if error.is::<Failure>() => {
                let Failure { code, data } = error.downcast_ref().expect("asked above");
                failure(failure::Failure { code: code.into(), message: "".into(), data: data.as_deref() })
            }
            Err(error) => failure(failure::Failure::of(&error)),
        };
        let reply = DataMessage::from(only(read(conn.role(), reply.as_bytes().to_vec())));
        // An error means that the request was dropped meanwhile.
        let _ = id.number().map(|id| conn.requests().answer(id, reply));
    }
}

/// Hands a reply of the test to the request that waits for it. Returns whether there is one.
pub(super) fn hand_over(conn: &Handle, frame: &RawFrame<'_>) -> bool {
    let id = match Sorted::control(frame) {
        Some(Sorted::Reply(id)) => id.number(),
        _ => None,
    };
    id.is_some_and(|id| conn.requests().answer(id, DataMessage::from(frame.clone())).is_ok())
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys()).finish()
    }
}
