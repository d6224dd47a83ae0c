//! The return value of a request's handler, as the protocol has it.
use super::PlainHandler;
use crate::{
    envelope::{
        Outbound,
        reply::{HandlerResult, IntoReply, ReplyTo, refused},
    },
    error::{BoxError, HandlerError},
    message::Message,
    protocol::answer::{Anything, Mistaken, Replies, RepliesOrRefuses},
};
use serde::Serialize;
use std::marker::PhantomData;

/// An answer that a protocol expects from a handler on the endpoint `E`.
pub trait Expected<E> {
    /// The type whose function `reply` checks the handler's return value.
    type Handler;
}
impl<E> Expected<E> for Anything {
    type Handler = PlainHandler<E>;
}
impl<E, Request, Reply> Expected<E> for Replies<Request, Reply> {
    type Handler = RequestHandler<Request, Reply>;
}
impl<E, Request, Reply, Refusal> Expected<E> for RepliesOrRefuses<Request, Reply, Refusal> {
    type Handler = RefusingHandler<Request, Reply, Refusal>;
}
impl<E> Expected<E> for Mistaken {
    type Handler = MistakenHandler;
}

/// The handler of a request.
#[derive(Debug)]
pub struct RequestHandler<Request, Reply>(PhantomData<(Request, Reply)>);

impl<Request, Reply> RequestHandler<Request, Reply> {
    /// Turns the return value of a handler into a frame for the peer.
    ///
    /// # Errors
    ///
    /// The handler's own error, or that the reply does not serialize.
    #[inline]
    pub fn reply<R: Answers<Request, Reply>>(to: ReplyTo<'_>, returned: R) -> HandlerResult {
        returned.into_reply(to)
    }
}

/// The handler of a request that it may refuse.
#[derive(Debug)]
pub struct RefusingHandler<Request, Reply, Refusal>(PhantomData<(Request, Reply, Refusal)>);

impl<Request, Reply, Refusal> RefusingHandler<Request, Reply, Refusal> {
    /// Turns the return value of a handler into a frame for the peer.
    ///
    /// # Errors
    ///
    /// The refusal, the handler's own error, or that the reply does not serialize.
    #[inline]
    pub fn reply<R: AnswersOrRefuses<Request, Reply, Refusal>>(to: ReplyTo<'_>, returned: R) -> HandlerResult {
        returned.into_reply(to)
    }
}

/// A handler that another check rejects.
#[derive(Debug)]
pub struct MistakenHandler;

impl MistakenHandler {
    /// Accepts any return value.
    ///
    /// # Errors
    ///
    /// None: it is never called.
    pub fn reply<R>(_: ReplyTo<'_>, _: R) -> HandlerResult {
        unreachable!()
    }
}

/// A return type of a handler of `Request`.
#[diagnostic::on_unimplemented(
    message = "the protocol says that `{Request}` is answered with `{Reply}`",
    label = "this handler returns `{Self}`",
    note = "a handler of `{Request}` returns `{Reply}`, or a `Result<{Reply}, E>`",
    note = "the error `E` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait Answers<Request, Reply> {
    /// The frame.
    ///
    /// # Errors
    ///
    /// As [`RequestHandler::reply`].
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult;
}

#[diagnostic::do_not_recommend]
impl<Request, Reply: Outbound> Answers<Request, Reply> for Reply {
    #[inline]
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        IntoReply::into_reply(self, to)
    }
}
#[diagnostic::do_not_recommend]
impl<Request, Reply: Outbound, E: Into<BoxError>> Answers<Request, Reply> for Result<Reply, E> {
    #[inline]
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        IntoReply::into_reply(self, to)
    }
}

/// A return type of a handler of `Request`, which the protocol allows to refuse the request.
#[diagnostic::on_unimplemented(
    message = "the protocol says that `{Request}` is answered with `{Reply}` or `{Refusal}`",
    label = "this handler returns `{Self}`",
    note = "a handler of `{Request}` returns `{Reply}`, a `Result<{Reply}, {Refusal}>`, or a `Result<Result<{Reply}, {Refusal}>, E>`",
    note = "the error `E` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait AnswersOrRefuses<Request, Reply, Refusal> {
    /// The frame.
    ///
    /// # Errors
    ///
    /// As [`RefusingHandler::reply`].
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult;
}

#[diagnostic::do_not_recommend]
impl<Request, Reply: Outbound, Refusal> AnswersOrRefuses<Request, Reply, Refusal> for Reply {
    #[inline]
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        IntoReply::into_reply(self, to)
    }
}
#[diagnostic::do_not_recommend]
impl<Request, Reply: Outbound, Refusal: Message + Serialize> AnswersOrRefuses<Request, Reply, Refusal>
    for Result<Reply, Refusal>
{
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        IntoReply::into_reply(self.map_err(|refusal| refused(&refusal))?, to)
    }
}
#[diagnostic::do_not_recommend]
impl<Request, Reply: Outbound, Refusal: Message + Serialize, E: Into<BoxError>>
    AnswersOrRefuses<Request, Reply, Refusal> for Result<Result<Reply, Refusal>, E>
{
    fn into_reply(self, to: ReplyTo<'_>) -> HandlerResult {
        let answer = self.map_err(|error| HandlerError::Handler(error.into()))?;
        AnswersOrRefuses::<Request, Reply, Refusal>::into_reply(answer, to)
    }
}
