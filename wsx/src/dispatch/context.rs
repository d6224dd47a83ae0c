//! What a handler may look at, and the trait by which it takes its arguments from it.
use crate::{
    connection::{Connection, handle::Handle},
    envelope::incoming::Incoming,
    error::HandlerError,
    protocol::endpoint::Endpoint,
    server::hub::Hub,
};
use std::fmt;
use tokio_tungstenite::tungstenite::protocol::Role;

pub use crate::connection::by_hand::{ViaContext, ViaPayload};

/// Everything that a handler of endpoint `E` may look at, all of it borrowed.
///
/// Only implementations of [`FromContext`] see it; handlers name the arguments that they want.
pub struct Context<'f, E> {
    pub(crate) endpoint: &'f E,
    /// A client has none.
    pub(crate) hub: Option<&'f Hub<E>>,
    pub(crate) conn: &'f Handle,
    pub(crate) incoming: &'f Incoming<'f>,
}

impl<'f, E> Context<'f, E> {
    /// Returns the endpoint's value.
    #[must_use]
    pub fn endpoint(&self) -> &'f E {
        self.endpoint
    }

    /// Decides whether a reply is masked.
    #[doc(hidden)]
    #[must_use]
    pub fn role(&self) -> Role {
        self.conn.role()
    }

    /// Returns the connection on which the message came.
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
/// The payload is any type with `Deserialize`, borrowed or owned. Others are the connection (`&Connection` or `Connection`,
/// on a typed endpoint `&Connection<Side>`), `&Hub<E>`, `Hub<E>`, `&E`, [`Meta`](crate::Meta),
/// [`Envelope`](crate::Envelope), [`RawFrame`](crate::RawFrame), [`Closed`](crate::Closed) (in `__close__`), and on the
/// untyped endpoint [`State<T>`](crate::State). Implement this trait for an argument of your own:
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
/// Such a type must not derive `Deserialize`. It would be a payload too, and the compiler could not choose.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler on `{E}`",
    label = "neither a payload nor an extractor",
    note = "the payload is any type with `#[derive(serde::Deserialize)]`, usually with `#[derive(wsx::Message)]`",
    note = "other arguments are the connection (`&Connection`, or `&Connection<Side>` on an endpoint with a side), `Meta<'_>`, `RawFrame<'_>`, `Envelope<T>`, `&Hub<{E}>`, the endpoint's value as `&{E}`, and without `on = ..` also `State<T>`"
)]
pub trait FromContext<'f, E, Via = ViaContext>: Sized {
    /// Takes the argument from the context.
    ///
    /// # Errors
    ///
    /// When the payload does not fit the type, or the argument is not available for this message.
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError>;
}
