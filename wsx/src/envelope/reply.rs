//! What a handler may return, and the frame of its reply.
use crate::{
    envelope::{Envelope, Outbound},
    error::{BoxError, HandlerError},
    protocol::side::AnySide,
    wire::write::Frame,
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// The finished frame of the reply, if the handler replies.
pub type HandlerResult = Result<Option<Frame>, HandlerError>;

/// A handler's return type: nothing, a message or an envelope, an `Option` of it, or a `Result` of
/// these.
///
/// The message is sent back on the connection on which the handler's message came, so the handler's
/// side must be allowed to send it. An `Err` goes to the [`Observer`](crate::Observer); its type is
/// anything that converts into a boxed error.
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
    /// The side that must be allowed to send it: the handler's, or any side where nothing is sent.
    /// So a side need not send a type that is not a message, which an error would list beside its
    /// messages.
    #[doc(hidden)]
    type Sender<Side>;
    #[doc(hidden)]
    fn into_reply(self, role: Role) -> HandlerResult;
}

impl IntoReply for () {
    type Message = Envelope;
    type Sender<Side> = AnySide;
    fn into_reply(self, _: Role) -> HandlerResult {
        Ok(None)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for M {
    type Message = M;
    type Sender<Side> = Side;
    fn into_reply(self, role: Role) -> HandlerResult {
        self.encode(role).map(Some).map_err(HandlerError::Reply)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for Option<M> {
    type Message = M;
    type Sender<Side> = Side;
    fn into_reply(self, role: Role) -> HandlerResult {
        self.map(|message| message.encode(role)).transpose().map_err(HandlerError::Reply)
    }
}

#[diagnostic::do_not_recommend]
impl<T: IntoReply, E: Into<BoxError>> IntoReply for Result<T, E> {
    type Message = T::Message;
    type Sender<Side> = T::Sender<Side>;
    fn into_reply(self, role: Role) -> HandlerResult {
        self.map_err(|error| HandlerError::Handler(error.into()))?.into_reply(role)
    }
}
