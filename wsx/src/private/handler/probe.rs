//! Asks what the type of an argument or an endpoint is, without an error if it is not.
use crate::{
    __private::{Keyed, Probe, SpeaksWith, Wraps},
    closed::Closed,
    connection::Connection,
    dispatch::{arguments::State, context::FromContext, registration::StateKey},
    envelope::{Envelope, incoming::RawFrame},
    message::Message,
    protocol::{Receives, Side, endpoint::Endpoint, side::Declared},
    server::hub::Hub,
};
use serde::Deserialize;
use std::{rc::Rc, sync::Arc};

/// The answers for a type that is nothing special, as [`Plain`](crate::__private::Plain) has those
/// about messages.
pub trait PlainArgument {
    /// Whether taking it reads the payload.
    const READS: bool = false;
    /// The state that it asks for.
    const STATE: Option<StateKey> = None;
    /// Whether it asks for the hub.
    const HUB: bool = false;
    /// Whether it is an endpoint that can be shared.
    const ENDPOINT: bool = false;
    /// Whether it is a side.
    const SIDE: bool = false;
    /// For a side and another: the other's name, if they exchange messages.
    const PEER: Option<&'static str> = None;
    /// The module that declares it, if it is an endpoint.
    const MODULE: &'static str = "";
    /// The type string of the message in a wrapper.
    const WRAPPED: Option<&'static str> = None;
    /// Whether it says how a connection ended.
    const CLOSED: bool = false;
    /// Whether it is a frame as it came.
    const FRAME: bool = false;
    /// Whether it is a connection.
    const CONNECTION: bool = false;
    /// For a connection and an endpoint: whether the endpoint's handlers take it.
    const ITS_CONNECTION: bool = false;
    /// For an argument and an endpoint: whether handlers take it from anything but the payload.
    const DRAWN: bool = false;
    /// For an argument and an endpoint: whether the protocol says that the endpoint's side receives
    /// it.
    const NAMED: bool = false;
}
impl<T: ?Sized> PlainArgument for Probe<T> {}

impl<T: Deserialize<'static>> Probe<T> {
    /// See [`PlainArgument`].
    pub const READS: bool = true;
}
impl<T: Deserialize<'static>> Probe<Envelope<T>> {
    /// See [`PlainArgument`].
    pub const READS: bool = true;
}
impl<T: Clone + Send + Sync + 'static> Probe<State<T>> {
    /// See [`PlainArgument`].
    pub const STATE: Option<StateKey> =
        Some(StateKey { given: |states| states.get::<T>().is_some(), name: std::any::type_name::<T> });
}
impl<T: Endpoint + Send + Sync> Probe<T> {
    /// See [`PlainArgument`].
    pub const ENDPOINT: bool = true;
}
impl<T: Declared> Probe<T> {
    /// See [`PlainArgument`].
    pub const SIDE: bool = true;
}
impl<S: SpeaksWith<P>, P> Probe<(S, P)> {
    /// See [`PlainArgument`].
    pub const PEER: Option<&'static str> = Some(<S as SpeaksWith<P>>::NAME);
}
impl<T: Endpoint> Probe<T> {
    /// See [`PlainArgument`].
    pub const MODULE: &'static str = T::MODULE;
}
impl Probe<Closed> {
    /// See [`PlainArgument`].
    pub const CLOSED: bool = true;
}
impl Probe<RawFrame<'static>> {
    /// See [`PlainArgument`].
    pub const FRAME: bool = true;
}
impl<S: Side, To> Probe<Connection<S, To>> {
    /// See [`PlainArgument`].
    pub const CONNECTION: bool = true;
}
impl<S: Side, To, E: Endpoint<Side = S, Peer = To>> Probe<(Connection<S, To>, E)> {
    /// See [`PlainArgument`].
    pub const ITS_CONNECTION: bool = true;
}
impl<T: FromContext<'static, E>, E> Probe<(T, E)> {
    /// See [`PlainArgument`].
    pub const DRAWN: bool = true;
}
impl<T, E: Endpoint<Side: Declared + Receives<T, E::Peer>>> Probe<(T, E)> {
    /// See [`PlainArgument`].
    pub const NAMED: bool = true;
}
macro_rules! wrapper {
    ($($wrapper:ty),*) => {$(
        impl<T: Message> Probe<$wrapper> {
            /// See [`PlainArgument`].
            pub const WRAPPED: Option<&'static str> = Some(T::TYPE);
        }
        impl<Here, T: Keyed<Here>> Wraps<Here> for $wrapper {
            type Key = T::Key;
        }
    )*};
}
wrapper!(&'static T, Option<T>, Vec<T>, Box<T>, Arc<T>, Rc<T>);
impl<E: Endpoint> Probe<Hub<E>> {
    /// See [`PlainArgument`].
    pub const HUB: bool = true;
}
impl<E: Endpoint> Probe<&'static Hub<E>> {
    /// See [`PlainArgument`].
    pub const HUB: bool = true;
}
