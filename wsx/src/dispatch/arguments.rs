//! The arguments of a handler: each is taken from the context by its type. It does not know which
//! handler takes them.
use crate::{
    closed::Closed,
    connection::Connection,
    dispatch::context::{Context, FromContext, ViaPayload},
    envelope::{Envelope, incoming::RawFrame, payload},
    error::HandlerError,
    protocol::{
        endpoint::{Endpoint, Untyped},
        side::Side,
    },
    server::hub::Hub,
};
use serde::Deserialize;
use std::{any::type_name, borrow::Cow, sync::Arc};

#[diagnostic::do_not_recommend]
impl<'f, E, T: Deserialize<'f>> FromContext<'f, E, ViaPayload> for T {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        payload::payload(context.incoming)
    }
}

impl<'f, E, T: Deserialize<'f>> FromContext<'f, E> for Envelope<T> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        payload::envelope(context.incoming)
    }
}

impl<'f, E: Endpoint> FromContext<'f, E> for &'f E {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.endpoint)
    }
}

impl<'f, E> FromContext<'f, E> for &'f Hub<E> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        context.hub.ok_or(HandlerError::Argument { argument: "Hub", why: "a client does not have a hub".into() })
    }
}

impl<'f, E> FromContext<'f, E> for Hub<E> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        <&Self>::from_context(context).cloned()
    }
}

/// Only for the side of the endpoint: a handler cannot send as the other side.
impl<'f, S: Side, To: 'f, E: Endpoint<Side = S, Peer = To>> FromContext<'f, E> for &'f Connection<S, To> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.connection())
    }
}

impl<'f, S: Side, To, E: Endpoint<Side = S, Peer = To>> FromContext<'f, E> for Connection<S, To> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.connection().clone())
    }
}

impl<'f, E> FromContext<'f, E> for RawFrame<'f> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        payload::raw_frame(context.incoming).map(RawFrame::borrowed)
    }
}

impl<'f, E> FromContext<'f, E> for Closed {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        payload::closed(context.incoming)
    }
}

/// The keys of an envelope, except for `data`. A handler can take it as an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta<'f> {
    /// The key `type`.
    pub message_type: Cow<'f, str>,
    /// The key `ver`, or 1 if it was missing.
    pub ver: u32,
    /// The key `ts`, in seconds since 1970-01-01 UTC, or 0 if it was missing.
    pub ts: i64,
}

impl<'f, E> FromContext<'f, E> for Meta<'f> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        let incoming = context.incoming;
        let (ver, ts) = incoming.ver_and_ts();
        Ok(Meta { message_type: Cow::Borrowed(&incoming.message_type), ver, ts })
    }
}

/// The number of a message that its sender keeps until it is handled: a message of `at_least_once`,
/// `latest` or `state`.
///
/// If a program is killed after its handler, the message can come again; see
/// [duplicates](crate::delivery#duplicates-and-gaps). It then has the same epoch and number. A
/// handler that must not do its work twice stores them together with its effect, and does nothing
/// if it finds them there.
///
/// A handler of a message that is not kept gets an error, or `None` if it takes
/// `Option<Delivered>`.
///
/// ```
/// # use std::{collections::HashSet, sync::{Arc, Mutex}};
/// use wsx::Delivered;
///
/// #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// #[wsx(delivery = at_least_once)]
/// struct Payment { cents: u64 }
///
/// #[derive(wsx::Endpoint)]
/// struct Bank {
///     /// In a real program, a table with a unique key.
///     booked: Mutex<HashSet<(String, Arc<str>, u64)>>,
/// }
///
/// #[wsx::handler(on = Bank)]
/// fn on_payment(bank: &Bank, payment: Payment, conn: &wsx::Connection, delivered: Delivered) {
///     let key = (conn.id().to_owned(), delivered.epoch, delivered.number);
///     if bank.booked.lock().unwrap().insert(key) {
///         println!("{} pays {}", conn.id(), payment.cents);
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Delivered {
    /// The epoch of the peer: a random text of at most 64 bytes, made with its store. A peer
    /// without a store has a new one at each start.
    pub epoch: Arc<str>,
    /// The number in this epoch, from 1. `at_least_once` has its own numbering, and `latest` and
    /// `state` share another one. So the number identifies a message together with the peer's id,
    /// the epoch, and the type.
    pub number: u64,
}

impl<'f, E> FromContext<'f, E> for Delivered {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        context.delivered.cloned().ok_or_else(|| HandlerError::Argument {
            argument: "Delivered",
            why: "the sender does not keep this message; take `Option<Delivered>`".into(),
        })
    }
}

impl<'f, E> FromContext<'f, E> for Option<Delivered> {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(context.delivered.cloned())
    }
}

/// A value of the untyped endpoint, which a handler takes by its type.
///
/// The builder of a hub or a client takes the value with `state`. Each call of a handler gets a
/// clone. If a handler takes a value that the builder was not given, `build` returns an error.
///
/// An endpoint of your own is the state itself; its handlers take `&Station` instead.
///
/// ```standalone_crate
/// #[derive(Clone)]
/// struct Limit(f64);
///
/// #[wsx::handler("telemetry")]
/// fn on_telemetry(celsius: f64, limit: wsx::State<Limit>) {
///     println!("{}", celsius > limit.0.0);
/// }
///
/// let hub = wsx::Hub::builder().state(Limit(90.0)).build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

impl<'f, T: Clone + Send + Sync + 'static> FromContext<'f, Untyped> for State<T> {
    fn from_context(context: &Context<'f, Untyped>) -> Result<Self, HandlerError> {
        let given = context.endpoint.get::<T>().cloned();
        given.map(State).ok_or(HandlerError::Argument {
            argument: type_name::<Self>(),
            why: "it was not given to the builder's `state`".into(),
        })
    }
}
