//! The context of a handler's call, and the trait that takes an argument from it.
use crate::{
    connection::{Connection, handle::Handle},
    dispatch::arguments::Delivered,
    envelope::{incoming::Incoming, reply::ReplyTo},
    error::HandlerError,
    protocol::endpoint::Endpoint,
    server::hub::Hub,
};
use std::fmt;

pub use crate::connection::closure_handler::{ViaContext, ViaPayload};

/// The context of a handler's call on endpoint `E`: everything that an argument can be taken from.
///
/// Only implementations of [`FromContext`] see it. A handler names the arguments that it needs.
pub struct Context<'f, E> {
    /// The state of the handlers.
    pub(crate) endpoint: &'f E,
    /// The hub of the connection; `None` at a client.
    pub(crate) hub: Option<&'f Hub<E>>,
    /// The connection that received the message.
    pub(crate) conn: &'f Handle,
    /// The message, or the opening or end of the connection.
    pub(crate) incoming: &'f Incoming<'f>,
    /// The number of the message, if its sender keeps it.
    pub(crate) delivered: Option<&'f Delivered>,
}

impl<'f, E> Context<'f, E> {
    /// Returns the value of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &'f E {
        self.endpoint
    }

    /// Returns where the reply goes.
    #[doc(hidden)]
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo<'f> {
        ReplyTo { role: self.conn.role(), request: self.incoming.request, peer: self.conn }
    }

    /// Returns the connection that received the message.
    #[must_use]
    pub fn connection(&self) -> &'f Connection<E::Side, E::Peer>
    where
        E: Endpoint,
    {
        Connection::of(self.conn)
    }
}

impl<E> fmt::Debug for Context<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("conn", self.conn).field("incoming", self.incoming).finish_non_exhaustive()
    }
}

/// An argument of a handler.
///
/// The payload is any type with `Deserialize`, borrowed or owned. A handler can also take:
///
/// - the connection: `&Connection` or `Connection`, and on a typed endpoint `&Connection<Side>` or
///   `Connection<Side>`;
/// - the hub: `&Hub<E>` or `Hub<E>`;
/// - the value of the endpoint: `&E`;
/// - the message with its keys: [`Meta`](crate::Meta), [`Envelope`](crate::Envelope) or
///   [`RawFrame`](crate::RawFrame);
/// - [`Delivered`](crate::Delivered) or `Option<Delivered>`, the number of a message that its
///   sender keeps until it is handled;
/// - [`Closed`](crate::Closed), in a handler of `__close__`;
/// - [`State<T>`](crate::State), on the untyped endpoint.
///
/// Implement this trait for an argument of your own:
///
/// ```
/// use wsx::{Endpoint, HandlerError, dispatch::{Context, FromContext}};
///
/// struct Tenant(String);
///
/// impl<'f, E: Endpoint> FromContext<'f, E> for Tenant {
///     fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
///         let id = context.connection().id();
///         Ok(Tenant(id.split('/').next().unwrap_or(id).to_owned()))
///     }
/// }
///
/// #[wsx::handler("telemetry")]
/// fn on_telemetry(tenant: Tenant, celsius: f64) {
///     println!("{}: {celsius} °C", tenant.0);
/// }
/// ```
///
/// Such a type must not derive `Deserialize`. It would then be a payload too, and the compiler
/// could not choose.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler on `{E}`",
    label = "neither a payload nor an extractor",
    note = "the payload is any type with `#[derive(serde::Deserialize)]`, usually with `#[derive(wsx::Message)]`",
    note = "other arguments are the connection (`&Connection`, or `&Connection<Side>` on an endpoint with a side), `Meta<'_>`, `Delivered`, `RawFrame<'_>`, `Envelope<T>`, `&Hub<{E}>`, the endpoint's value as `&{E}`, and without `on = ..` also `State<T>`"
)]
pub trait FromContext<'f, E, Via = ViaContext>: Sized {
    /// Takes the argument from the context.
    ///
    /// # Errors
    ///
    /// - [`HandlerError::Decode`]: the payload does not fit the type.
    /// - [`HandlerError::Argument`]: the argument is not available for this message.
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError>;
}
