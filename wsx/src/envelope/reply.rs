//! The result of a handler, and the frame of its reply. It does not send the reply.
use crate::{
    envelope::{
        Envelope, Outbound, finite,
        frame::Encode as _,
        kept::{KeptMessage, TakeReply},
        keys::{Id, Sent},
    },
    error::{BoxError, HandlerError, SendError},
    message::Message,
    protocol::side::AnySide,
    wire::{role::Role, write::Frame},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;

/// The finished frame of the reply, or `None` if the handler does not reply.
pub type HandlerResult = Result<Option<Frame>, HandlerError>;

/// Where the reply of a handler goes: to a request, or to a message that does not wait for one.
#[derive(Clone, Copy)]
pub struct ReplyTo<'f> {
    /// Decides whether the frame is masked.
    pub(crate) role: Role,
    /// The id of the request.
    pub(crate) request: Option<Id<'f>>,
    /// The peer, which takes the reply.
    pub(crate) peer: &'f dyn TakeReply,
}

impl fmt::Debug for ReplyTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyTo").field("role", &self.role).field("request", &self.request).finish_non_exhaustive()
    }
}

impl ReplyTo<'_> {
    /// Returns the frame of a reply, unless the reply is kept.
    #[inline]
    fn encode<M: Outbound>(self, message: &M) -> Result<Option<Frame>, SendError> {
        if message.policy().is_kept() && self.request.is_none() {
            self.peer.keep_reply(KeptMessage::of(message)?)?;
            return Ok(None);
        }
        // One call, so that the message is written by one copy of its code.
        let frame = message.encode_with(self.role, self.request.map_or(Sent::Message, Sent::Reply))?;
        // A type that the program does not declare is empty, and is in no lock file.
        if frame.message_type.is_empty() || self.peer.reads(frame.message_type) {
            Ok(Some(frame))
        } else {
            Err(self.peer.withheld(frame.message_type))
        }
    }
}

/// Returns the error of a handler that refuses its request with this message.
pub(crate) fn refused<M: Message + Serialize>(refusal: &M) -> HandlerError {
    match json(refusal) {
        Ok(data) => HandlerError::Refused { code: M::TYPE, data },
        Err(error) => HandlerError::Reply(SendError::Encode(error)),
    }
}

fn json<M: Serialize>(message: &M) -> serde_json::Result<Box<RawValue>> {
    let mut buffer = Vec::new();
    finite::write(&mut buffer, message)?;
    serde_json::from_slice(&buffer)
}

/// The result of a handler: nothing, a message or an envelope, an `Option` of it, or a `Result` of
/// these.
///
/// The message is sent on the connection that received the handler's message. So the side of the
/// handler must be allowed to send it. On an endpoint with a side, the handler of a request returns
/// the message that the protocol names as the reply, or a `Result` of it. An `Err` goes to the
/// [`Observer`](crate::Observer). Its type is any type that converts into a boxed error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a handler's return type",
    note = "a handler returns nothing, a message, an `Option` of one, or a `Result` of these",
    note = "a message has `#[derive(serde::Serialize, wsx::Message)]`; send other data as `wsx::Envelope::with_type(\"..\", ..)`",
    note = "the error of a `Result` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait IntoReply {
    /// The type that is sent, for the check of its direction.
    #[doc(hidden)]
    type Message;
    /// The side that must be allowed to send it: the side of the handler, or [`AnySide`] if nothing
    /// is sent.
    ///
    /// With the side of the handler, each side would need permission to send the placeholder in
    /// `Message`. A compiler error would then list it with the messages of the side.
    #[doc(hidden)]
    type Sender<Side>;
    #[doc(hidden)]
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult;
}

impl IntoReply for () {
    type Message = Envelope;
    type Sender<Side> = AnySide;
    fn into_reply(self, _: ReplyTo<'_>) -> HandlerResult {
        Ok(None)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for M {
    type Message = M;
    type Sender<Side> = Side;
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        to.encode(&self).map_err(HandlerError::Reply)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for Option<M> {
    type Message = M;
    type Sender<Side> = Side;
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        self.map_or(Ok(None), |message| to.encode(&message)).map_err(HandlerError::Reply)
    }
}

#[diagnostic::do_not_recommend]
impl<T: IntoReply, E: Into<BoxError>> IntoReply for Result<T, E> {
    type Message = T::Message;
    type Sender<Side> = T::Sender<Side>;
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        self.map_err(|error| HandlerError::Handler(error.into()))?.into_reply(to)
    }
}
