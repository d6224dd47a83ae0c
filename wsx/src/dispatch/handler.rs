//! Handlers: what they return, how annotated ones are collected, and how one is added by hand.
use crate::{
    connection::closed::Closed,
    connection::{BoxFuture, Connection, HandlerResult, OwnHandler},
    dispatch::context::{self, Context, ViaContext, ViaPayload},
    dispatch::incoming::{Incoming, RawFrame},
    envelope::{Envelope, Outbound},
    error::{BoxError, HandlerError},
    message::AnySide,
};
use serde::de::DeserializeOwned;
use std::{
    any::{Any, TypeId},
    fmt,
    future::Future,
    marker::PhantomData,
    sync::Arc,
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// What a handler may return: nothing, a message or an envelope, an `Option` of it, or a `Result` of these.
///
/// What is sent goes back to the connection that the message came on, so it must be something that the handler's side may
/// send. An `Err` goes to the [`Observer`](crate::Observer); its type is anything that converts into a boxed error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a handler's return type",
    note = "a handler returns nothing, a message, an `Option` of one, or a `Result` of these",
    note = "a message has `#[derive(serde::Serialize, wsx::Message)]`; other data goes out as `wsx::Envelope::with_type(\"…\", ..)`",
    note = "the error of a `Result` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait IntoReply {
    /// What is sent, for the check of its direction.
    #[doc(hidden)]
    type Message: ?Sized;
    /// Who must be able to send it: the handler's side, or anybody where nothing is sent. So a side need not send what is
    /// no message, which an error would list beside its messages.
    #[doc(hidden)]
    type Sender<Side>;
    #[doc(hidden)]
    fn into_reply(self, role: Role) -> HandlerResult;
}

impl IntoReply for () {
    type Message = ();
    type Sender<Side> = AnySide;
    fn into_reply(self, _: Role) -> HandlerResult {
        Ok(None)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for M {
    type Message = M::Message;
    type Sender<Side> = Side;
    fn into_reply(self, role: Role) -> HandlerResult {
        self.encode(role).map(Some).map_err(HandlerError::Reply)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outbound> IntoReply for Option<M> {
    type Message = M::Message;
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

/// What calling a handler gives: a sync one is done, without an allocation; an async one is a box.
#[allow(missing_debug_implementations, reason = "a future has nothing to show")]
pub enum Outcome<'f> {
    /// Done.
    Ready(HandlerResult),
    /// To be awaited.
    Pending(BoxFuture<'f, HandlerResult>),
}

/// The function that `#[wsx::handler]` makes: draws the arguments and calls the handler.
pub type Call<E> = for<'f> fn(&'f Context<'f, E>) -> Outcome<'f>;

/// An annotated handler, as `#[wsx::handler]` describes it.
pub struct HandlerEntry<E> {
    /// The routing key.
    pub message_type: &'static str,
    /// Calls the handler.
    pub call: Call<E>,
    /// Whether it takes the payload, so that a text which is no envelope cannot pass unnoticed behind the head.
    pub payload: bool,
    /// The states that it takes by type.
    pub states: &'static [Option<StateKey>],
    /// Whether it takes the hub, which a client has not.
    pub takes_hub: bool,
    /// Path of the function.
    pub name: &'static str,
    /// Where it stands.
    pub file: &'static str,
    /// Where it stands.
    pub line: u32,
}

impl<E> Clone for HandlerEntry<E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for HandlerEntry<E> {}

impl<E> fmt::Debug for HandlerEntry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {:?} ({}:{})", self.name, self.message_type, self.file, self.line)
    }
}

/// A state's type.
#[derive(Debug, Clone, Copy)]
pub struct StateKey {
    /// Of the state's type.
    pub id: fn() -> TypeId,
    /// Of the state's type.
    pub name: fn() -> &'static str,
}

/// An entry as `inventory` collects it: one type for all endpoints, and so behind `Any`. It is taken out once, at
/// start-up; calls are never erased.
#[derive(Debug)]
pub struct Registration {
    /// Of the endpoint.
    pub endpoint: fn() -> TypeId,
    /// A boxed `HandlerEntry` of that endpoint.
    pub entry: fn() -> Box<dyn Any>,
}
inventory::collect!(Registration);

/// The type string `Self` is handled by endpoint `On`, and by one handler only.
///
/// `#[wsx::handler(on = Station)]` implements it, and nobody else. The compiler says "conflicting implementations of trait
/// `HandledOnceBy<Station>` for type `MessageType<'c', 'm', 'd'>`" where two handlers of `Station` take the messages of type
/// `cmd`, and shows both: delete one of them, or give it a message of another type.
// `Endpoint` is the endpoint in any case. Where that is another crate's, a local type stands in for `On`, lest the compiler's
// own error hide the one that explains.
#[diagnostic::on_unimplemented(
    message = "`{Endpoint}` has no handler for a message that it receives",
    label = "no `#[wsx::handler(on = {Endpoint})]` takes it"
)]
pub trait HandledOnceBy<On, Endpoint = On> {
    /// The handler.
    #[doc(hidden)]
    const ENTRY: HandlerEntry<Endpoint>;
}

/// The message of a handler that is added by hand: any type with `DeserializeOwned`, an [`Envelope`], a
/// [`RawFrame<'static>`](RawFrame), or in `__close__` a [`Closed`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the message of a handler that is added by hand",
    label = "not a message",
    note = "it is any type with `#[derive(serde::Deserialize)]` that owns its data, an `Envelope`, a `RawFrame`, or a `Closed`"
)]
pub trait FromMessage<Via = ViaContext>: Sized {
    #[doc(hidden)]
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromMessage<ViaPayload> for T {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        context::payload(incoming)
    }
}

impl<T: DeserializeOwned> FromMessage for Envelope<T> {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        context::envelope(incoming)
    }
}

impl FromMessage for RawFrame<'static> {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        context::raw_frame(incoming).map(|frame| frame.clone().into_owned())
    }
}

impl FromMessage for Closed {
    fn from_message(incoming: &Incoming<'_>) -> Result<Self, HandlerError> {
        context::closed(incoming)
    }
}

impl Connection {
    /// Adds a handler to this connection alone, for the messages that come after. It goes before the annotated handler
    /// of the same type, and takes the place of one that was added here before.
    ///
    /// The handler takes the message and the connection, and returns what an annotated one may. `"__raw__"` with a
    /// [`RawFrame`] gets the frames that are no envelope.
    ///
    /// ```
    /// # fn example(conn: wsx::Connection) {
    /// conn.register_handler("cmd", |command: serde_json::Value, conn: wsx::Connection| async move {
    ///     println!("{} wants {command}", conn.id());
    /// });
    /// conn.register_handler("__raw__", |frame: wsx::RawFrame, _| async move {
    ///     println!("{} bytes that are no envelope", frame.as_bytes().len());
    /// });
    /// # }
    /// ```
    pub fn register_handler<T, Via, F, Fut>(&self, message_type: impl Into<String>, handler: F)
    where
        T: FromMessage<Via> + 'static,
        Via: 'static,
        F: Fn(T, Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoReply> + Send + 'static,
    {
        self.set_handler(message_type.into(), by_hand(handler));
    }
}

/// A closure as a handler.
pub(crate) fn by_hand<T, Via, F, Fut>(handler: F) -> Arc<dyn OwnHandler>
where
    T: FromMessage<Via> + 'static,
    Via: 'static,
    F: Fn(T, Connection) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoReply> + Send + 'static,
{
    Arc::new(ByHand { handler, message: PhantomData })
}

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
    fn call(&self, conn: &Connection, incoming: &Incoming<'_>) -> BoxFuture<'static, HandlerResult> {
        let role = conn.role();
        match T::from_message(incoming) {
            Ok(message) => {
                let future = (self.handler)(message, conn.clone());
                Box::pin(async move { future.await.into_reply(role) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
