//! The return value of a handler, as a frame.
use crate::{
    envelope::{
        Envelope, SentBy,
        reply::{HandlerResult, IntoReply, ReplyTo},
    },
    error::{BoxError, HandlerError},
    protocol::{AnySide, endpoint::Endpoint},
};
use std::marker::PhantomData;

/// The handler of a message that is not a request, on the endpoint `E`.
#[derive(Debug)]
pub struct PlainHandler<E>(PhantomData<E>);

impl<E: Endpoint> PlainHandler<E> {
    /// Turns the return value of a handler into a frame for the peer. `Via` is left to inference.
    ///
    /// # Errors
    ///
    /// The handler's own error, or that the reply does not serialize.
    #[inline]
    pub fn reply<R: Returned<Via>, Via>(to: ReplyTo<'_>, returned: R) -> HandlerResult
    where
        R::Message: SentBy<R::Sender<E::Side>, E::Peer>,
    {
        returned.into_reply(to)
    }
}

/// Checks the return value of a `__close__` handler.
///
/// # Errors
///
/// The handler's own error.
#[inline]
pub fn no_reply<R: Unanswered>(returned: R) -> HandlerResult {
    returned.into_result().map_err(HandlerError::Handler)?;
    Ok(None)
}

/// [`IntoReply`], with a second way that no type takes. With two ways the compiler reports the
/// returned type itself, and does not go on to the types that could be sent.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a handler's return type",
    note = "a handler returns nothing, a message, an `Option` of one, or a `Result` of these",
    note = "a message has `#[derive(serde::Serialize, wsx::Message)]`; send other data as `wsx::Envelope::with_type(\"..\", ..)`",
    note = "the error of a `Result` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait Returned<Via> {
    /// As [`IntoReply::Message`].
    type Message;
    /// As [`IntoReply::Sender`].
    type Sender<Side>;
    /// The frame.
    ///
    /// # Errors
    ///
    /// As [`PlainHandler::reply`].
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult;
}

/// The way of each type that can be returned.
#[derive(Debug)]
pub struct ViaReply;
/// The way that no type takes.
#[derive(Debug)]
pub struct ViaNone;
/// A trait without implementations.
trait Never {}

#[diagnostic::do_not_recommend]
impl<R: IntoReply> Returned<ViaReply> for R {
    type Message = R::Message;
    type Sender<Side> = R::Sender<Side>;
    #[inline]
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        IntoReply::into_reply(self, to)
    }
}
#[diagnostic::do_not_recommend]
#[allow(private_bounds, reason = "no other crate may take this way")]
impl<R: Never> Returned<ViaNone> for R {
    type Message = Envelope;
    type Sender<Side> = AnySide;
    fn into_reply(self, _: ReplyTo<'_>) -> HandlerResult {
        unreachable!()
    }
}

/// A return type of a `__close__` handler.
#[diagnostic::on_unimplemented(
    message = "a handler of `__close__` cannot return `{Self}`",
    label = "the connection has ended, so a reply cannot be sent",
    note = "return nothing, or a `Result<(), E>`, where `E` is a `wsx::BoxError` or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait Unanswered {
    /// The handler's own error.
    ///
    /// # Errors
    ///
    /// That one.
    fn into_result(self) -> Result<(), BoxError>;
}
impl Unanswered for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}
#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> Unanswered for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
