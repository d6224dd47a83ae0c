//! What a handler may take: its arguments are drawn from one context, each by its type.
use crate::{
    connection::Connection,
    connection::closed::Closed,
    connection::conn::Conn,
    dispatch::incoming::{Data, Incoming, RawFrame},
    envelope::Envelope,
    envelope::head::{self, Head},
    error::HandlerError,
    message::Side,
    protocol::endpoint::{Endpoint, Untyped},
    server::hub::Hub,
};
use serde::Deserialize;
use std::{any::type_name, borrow::Cow, fmt};
use tokio_tungstenite::tungstenite::protocol::Role;

/// Everything that a handler of endpoint `E` may look at, all of it borrowed.
///
/// Only an implementation of [`FromContext`] meets it; handlers name what they want instead.
pub struct Context<'f, E> {
    pub(crate) endpoint: &'f E,
    /// A client has none.
    pub(crate) hub: Option<&'f Hub<E>>,
    pub(crate) conn: &'f Connection,
    pub(crate) incoming: &'f Incoming<'f>,
}

impl<'f, E> Context<'f, E> {
    /// The endpoint's value.
    #[must_use]
    pub fn endpoint(&self) -> &'f E {
        self.endpoint
    }

    /// Decides about the mask of a reply.
    #[doc(hidden)]
    #[must_use]
    pub fn role(&self) -> Role {
        self.conn.role()
    }

    /// The connection that the message came on.
    #[must_use]
    pub fn connection(&self) -> &'f Connection {
        self.conn
    }
}

impl<E> fmt::Debug for Context<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("conn", self.conn).field("incoming", self.incoming).finish_non_exhaustive()
    }
}

/// Marks the arguments that are drawn from the context by their type.
#[derive(Debug)]
#[doc(hidden)]
#[non_exhaustive]
pub struct ViaContext;
/// Marks the argument that is the payload: any type that deserializes. The marker keeps the two kinds apart.
#[derive(Debug)]
#[doc(hidden)]
#[non_exhaustive]
pub struct ViaPayload;

/// An argument of a handler.
///
/// The payload is any type with `Deserialize`, borrowed or owned. Others are `Connection`, `&Connection`,
/// `Conn<'_, Side>`, `&Hub<E>`, `Hub<E>`, `&E`, [`Meta`], [`Envelope`], [`RawFrame`], [`Closed`] (in `__close__`), and on
/// the untyped endpoint [`State<T>`](State). Implement it for an argument of your own:
///
/// ```
/// use wsx::{Context, Endpoint, FromContext, HandlerError};
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
/// Such a type must not derive `Deserialize`: then it would be a payload too, and the compiler could not choose.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler on `{E}`",
    label = "neither a payload nor an extractor",
    note = "the payload is any type with `#[derive(serde::Deserialize)]`, usually with `#[derive(wsx::Message)]`",
    note = "extractors are `Connection`, `&Connection`, `Conn<'_, Side>`, `Meta<'_>`, `RawFrame<'_>`, `Envelope<T>`, `&Hub<{E}>`, the endpoint's value as `&{E}`, and without `on = ..` also `State<T>`"
)]
pub trait FromContext<'f, E, Via = ViaContext>: Sized {
    /// Draws the argument.
    ///
    /// # Errors
    ///
    /// When the payload does not fit, or the argument has no value here.
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError>;
}

#[diagnostic::do_not_recommend]
impl<'f, E, T: Deserialize<'f>> FromContext<'f, E, ViaPayload> for T {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        payload(context.incoming)
    }
}

impl<'f, E, T: Deserialize<'f>> FromContext<'f, E> for Envelope<T> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        envelope(context.incoming)
    }
}

impl<'f, E: Endpoint> FromContext<'f, E> for &'f E {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.endpoint)
    }
}

impl<'f, E> FromContext<'f, E> for &'f Hub<E> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        context.hub.ok_or(HandlerError::Argument { argument: "Hub", why: "a client has no hub" })
    }
}

impl<'f, E> FromContext<'f, E> for Hub<E> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        <&Self>::from_context(context).cloned()
    }
}

impl<'f, E> FromContext<'f, E> for &'f Connection {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.conn)
    }
}

impl<'f, E> FromContext<'f, E> for Connection {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.conn.clone())
    }
}

/// Only the endpoint's own side: a handler cannot speak for the other.
impl<'f, S: Side, To, E: Endpoint<Side = S, Peer = To>> FromContext<'f, E> for Conn<'f, S, To> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(Conn::new(context.conn))
    }
}

impl<'f, E> FromContext<'f, E> for RawFrame<'f> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        raw_frame(context.incoming).map(RawFrame::borrowed)
    }
}

impl<'f, E> FromContext<'f, E> for Closed {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        closed(context.incoming)
    }
}

/// What stands around the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta<'f> {
    /// The envelope's `type`.
    pub message_type: Cow<'f, str>,
    /// The envelope's `ver`; 1 where it was missing.
    pub ver: u32,
    /// The envelope's `ts`, in seconds since 1970-01-01 UTC; 0 where it was missing.
    pub ts: i64,
}

impl<'f, E> FromContext<'f, E> for Meta<'f> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        let incoming = context.incoming;
        let (ver, ts) = incoming.around();
        Ok(Meta { message_type: Cow::Borrowed(&incoming.message_type), ver, ts })
    }
}

/// State of the untyped endpoint, by its type: given with `HubBuilder::state` or `ClientBuilder::state`, cloned for
/// each call. A handler whose state was not given is a start-up error.
///
/// An endpoint of your own carries its state itself; its handlers take `&Station` instead.
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

impl<'f, T: Clone + Send + Sync + 'static> FromContext<'f, Untyped> for State<T> {
    fn from_context(context: &Context<'f, Untyped>) -> Result<Self, HandlerError> {
        let given = context.endpoint.0.get::<T>().cloned();
        given.map(State).ok_or(HandlerError::Argument { argument: type_name::<Self>(), why: "no such state was given" })
    }
}

/// The payload as `T`.
pub(crate) fn payload<'f, T: Deserialize<'f>>(incoming: &Incoming<'f>) -> Result<T, HandlerError> {
    match incoming.data {
        Data::Exact(data) => decode(data, incoming.frame.and_then(RawFrame::as_text)),
        Data::Tail(tail) => tail.decode().map_or_else(|| refit(tail.whole), Ok),
    }
}

/// The payload of a text that did not read in one pass, because it is unusual or wrong. Where it is no envelope the router
/// finds the same, and takes the message from this handler.
#[cold]
fn refit<'f, T: Deserialize<'f>>(text: &'f str) -> Result<T, HandlerError> {
    match Head::parse(text) {
        Ok(head) => decode(head.data, Some(text)),
        Err(source) => Err(HandlerError::Decode { expected: "an envelope", path: ".".to_owned(), source }),
    }
}

/// The JSON as `T`. A failure is decoded once more, slowly, for the path at which it lies; its line and column are those of
/// the text that the JSON was found in.
fn decode<'f, T: Deserialize<'f>>(data: &'f str, text: Option<&str>) -> Result<T, HandlerError> {
    serde_json::from_str(data).map_err(|plain| {
        let mut json = serde_json::Deserializer::from_str(data);
        let (path, source) = match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Err(error) => (error.path().to_string(), error.into_inner()),
            // A type that decodes differently the second time, or that leaves something behind its value.
            Ok(_) => (".".to_owned(), plain),
        };
        let source = match text {
            Some(text) => head::in_text(source, data, text),
            None => source,
        };
        HandlerError::Decode { expected: type_name::<T>(), path, source }
    })
}

pub(crate) fn envelope<'f, T: Deserialize<'f>>(incoming: &Incoming<'f>) -> Result<Envelope<T>, HandlerError> {
    let data = payload(incoming)?;
    let mut envelope = Envelope::with_type(incoming.message_type.clone().into_owned(), data);
    (envelope.ver, envelope.ts) = incoming.around();
    Ok(envelope)
}

pub(crate) fn raw_frame<'f>(incoming: &Incoming<'f>) -> Result<&'f RawFrame<'f>, HandlerError> {
    incoming.frame.ok_or(HandlerError::Argument { argument: "RawFrame", why: "no frame came in" })
}

pub(crate) fn closed(incoming: &Incoming<'_>) -> Result<Closed, HandlerError> {
    let closed = incoming.closed.cloned();
    closed.ok_or(HandlerError::Argument { argument: "Closed", why: "the connection has not ended; use `__close__`" })
}
