//! The only door for generated code. Nothing here is for users, and nothing here is stable.
use crate::context::State;
pub use crate::{
    connection::HandlerResult,
    context::{Context, FromContext, ViaContext, ViaPayload},
    endpoint::{Endpoint, States, Untyped},
    envelope::Envelope,
    error::HandlerError,
    handler::{Call, HandlerEntry, IntoReply, Outcome, Registration, StateKey},
    hub::Hub,
    incoming::Incoming,
    message::{AnySide, Message},
};
pub use inventory;
use serde::Deserialize;
use std::marker::PhantomData;
pub use std::{
    any::{Any, TypeId},
    boxed::Box,
    option::Option,
    result::Result,
};

/// An argument, drawn from the context. `Via` is left to inference.
///
/// # Errors
///
/// As [`FromContext::from_context`].
#[inline]
pub fn extract<'f, E: Endpoint, T: FromContext<'f, E, Via>, Via>(context: &Context<'f, E>) -> Result<T, HandlerError> {
    T::from_context(context)
}

/// What a handler returned, as a frame for the peer.
///
/// # Errors
///
/// The handler's own, and that the reply is no JSON.
#[inline]
pub fn reply<E: Endpoint, R: IntoReply<E::Side>>(context: &Context<'_, E>, returned: R) -> HandlerResult {
    returned.into_reply(context.conn.role())
}

/// Checks nothing more than that `E` is an endpoint, where the error can point at its name.
pub const fn is_endpoint<E: Endpoint>() {}

/// Probes say what a type is without ever failing to compile: the inherent constant, which has a bound, wins over the
/// trait's, which has none. Works because handlers are never generic.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// What holds of a type that is nothing special.
pub trait Plain {
    /// The type string, if it is a message or the envelope of one.
    const MESSAGE: Option<&'static str> = None;
    /// Whether it can be the payload.
    const PAYLOAD: bool = false;
    /// The state that it asks for.
    const STATE: Option<StateKey> = None;
    /// Whether it asks for the hub.
    const HUB: bool = false;
}
impl<T: ?Sized> Plain for Probe<T> {}

impl<T: Message> Probe<T> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
}
impl<T: Message> Probe<Envelope<T>> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
}
impl<T: Deserialize<'static>> Probe<T> {
    /// See [`Plain`].
    pub const PAYLOAD: bool = true;
}
impl<T: 'static> Probe<State<T>> {
    /// See [`Plain`].
    pub const STATE: Option<StateKey> = Some(StateKey { id: TypeId::of::<T>, name: std::any::type_name::<T> });
}
impl<E: Endpoint> Probe<Hub<E>> {
    /// See [`Plain`].
    pub const HUB: bool = true;
}
impl<E: Endpoint> Probe<&'static Hub<E>> {
    /// See [`Plain`].
    pub const HUB: bool = true;
}

/// The first type string among the arguments, or the other one.
#[must_use]
pub const fn first(found: &[Option<&'static str>], otherwise: &'static str) -> &'static str {
    let mut at = 0;
    while at < found.len() {
        if let Some(message_type) = found[at] {
            return message_type;
        }
        at += 1;
    }
    otherwise
}

/// Whether any is.
#[must_use]
pub const fn any(flags: &[bool]) -> bool {
    let mut at = 0;
    while at < flags.len() {
        if flags[at] {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether two type strings are the same.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Length of the pieces together.
#[must_use]
pub const fn total(pieces: &[&str]) -> usize {
    let (mut at, mut length) = (0, 0);
    while at < pieces.len() {
        length += pieces[at].len();
        at += 1;
    }
    length
}

/// The pieces as one text, for a compile error that names what the macro cannot know.
#[must_use]
pub const fn join<const LENGTH: usize>(pieces: &[&str]) -> [u8; LENGTH] {
    let (mut text, mut at, mut length) = ([0; LENGTH], 0, 0);
    while at < pieces.len() {
        let piece = pieces[at].as_bytes();
        let mut byte = 0;
        while byte < piece.len() {
            text[length] = piece[byte];
            length += 1;
            byte += 1;
        }
        at += 1;
    }
    text
}

/// Fails to compile with this text unless it holds.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure(holds: bool, text: &[u8]) {
    if !holds {
        match std::str::from_utf8(text) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("a check of wsx failed"),
        }
    }
}
