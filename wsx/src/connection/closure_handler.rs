//! Handlers that are closures, added to a connection or a builder. It does not know the table of
//! annotated handlers.
use crate::{
    closed::Closed,
    connection::{Connection, handle::Handle},
    envelope::{
        Envelope,
        incoming::{Incoming, RawFrame},
        keys::Id,
        payload,
        reply::{HandlerResult, IntoReply, ReplyTo},
    },
    error::HandlerError,
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::{future::Future, marker::PhantomData, sync::Arc};

/// A closure that is a handler.
pub(crate) trait OwnHandler: Send + Sync {
    /// Takes its message out of `incoming` at once, so that the future owns it.
    fn call(&self, conn: &Handle, incoming: &Incoming<'_>) -> BoxFuture<'static, HandlerResult>;
}

/// The message of a handler that is a closure.
///
/// It is any type with `DeserializeOwned`, an [`Envelope`], a [`RawFrame<'static>`](RawFrame), or a
/// [`Closed`] in a handler of `__close__`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the message of a handler that is added with a closure",
    label = "not a message",
    note = "it is any type with `#[derive(serde::Deserialize)]` that owns its data, an `Envelope`, a `RawFrame`, or a `Closed`"
)]
pub trait FromMessage<Via = ViaContext>: Sized {
    #[doc(hidden)]
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError>;
}

/// Marks an argument that is selected by its type.
#[derive(Debug)]
#[doc(hidden)]
#[non_exhaustive]
pub struct ViaContext;

/// Marks the argument that is the payload: any type with `Deserialize`. The two marks keep the
/// implementations apart.
#[derive(Debug)]
#[doc(hidden)]
#[non_exhaustive]
pub struct ViaPayload;

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromMessage<ViaPayload> for T {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        payload::payload(incoming)
    }
}

impl<T: DeserializeOwned> FromMessage for Envelope<T> {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        payload::envelope(incoming)
    }
}

impl FromMessage for RawFrame<'static> {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        payload::raw_frame(incoming).map(|frame| frame.clone().into_owned())
    }
}

impl FromMessage for Closed {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        payload::closed(incoming)
    }
}

/// Returns a handler that calls a closure.
pub(crate) fn by_hand<T, Via, F, Fut>(handler: F) -> Arc<dyn OwnHandler>
where
    T: FromMessage<Via> + 'static,
    Via: 'static,
    F: Fn(T, Connection) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoReply> + Send + 'static,
{
    Arc::new(ByHand { handler, message: PhantomData })
}

/// A closure, with the type of its message.
struct ByHand<T, Via, F> {
    handler: F,
    message: PhantomData<fn(T, Via)>,
}

impl<T, Via, F, Fut> OwnHandler for ByHand<T, Via, F>
where
    T: FromMessage<Via>,
    F: Fn(T, Connection) -> Fut + Send + Sync,
    Fut: Future<Output: IntoReply> + Send + 'static,
{
    fn call(&self, conn: &Handle, incoming: &Incoming<'_>) -> BoxFuture<'static, HandlerResult> {
        match T::from_message(incoming) {
            Ok(message) => {
                let conn = conn.clone();
                let future = (self.handler)(message, Connection::from_handle(conn.clone()));
                let (role, request) = (conn.role(), incoming.request.map(|id| Box::<str>::from(id.json())));
                Box::pin(async move {
                    let request = request.as_deref().and_then(Id::from_json);
                    future.await.into_reply(ReplyTo { role, request, peer: &conn })
                })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
