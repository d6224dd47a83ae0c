//! The record of an annotated handler: `#[wsx::handler]` makes it, and the compiler checks it. It
//! does not know any table.
use crate::{dispatch::context::Context, envelope::reply::HandlerResult};
use futures_util::future::BoxFuture;
use std::{
    any::{Any, TypeId},
    fmt,
};

/// The result of calling a handler. A sync handler is done, without an allocation. An async handler
/// is a boxed future.
#[allow(missing_debug_implementations, reason = "a future has nothing to show")]
pub enum Outcome<'f> {
    /// The handler is done.
    Ready(HandlerResult),
    /// The handler is async; this is its future.
    Pending(BoxFuture<'f, HandlerResult>),
}

/// The function that `#[wsx::handler]` generates. It takes the arguments from the context, and
/// calls the handler.
pub type Call<E> = for<'f> fn(&'f Context<'f, E>) -> Outcome<'f>;

/// An annotated handler, as `#[wsx::handler]` describes it.
pub struct HandlerEntry<E> {
    /// The type string of its messages.
    pub message_type: &'static str,
    /// Takes the arguments and calls the handler.
    pub call: Call<E>,
    /// Whether the handler takes the payload. Taking it also finds invalid JSON after `data`.
    pub payload: bool,
    /// The states that the handler takes by their types.
    pub states: &'static [Option<StateKey>],
    /// How many calls of the handler run at a time for one connection. With 1, no other handler
    /// without this option runs beside it.
    pub concurrent: u16,
    /// Whether the handler takes the hub. A client does not have one.
    pub takes_hub: bool,
    /// The path of the function, for error messages.
    pub name: &'static str,
    /// The file of the function.
    pub file: &'static str,
    /// The line of the function.
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

/// A state that a handler takes by its type.
#[derive(Debug, Clone, Copy)]
pub struct StateKey {
    /// Whether the builder was given such a value.
    pub given: fn(&http::Extensions) -> bool,
    /// The name of the type.
    pub name: fn() -> &'static str,
}

/// An entry as `inventory` collects it.
///
/// It is one type for all endpoints, so it returns the entry as `Any`. The entry is taken out of
/// `Any` once, when a hub or a client is built. Calls do not go through `Any`.
#[derive(Debug)]
pub struct Registration {
    /// Returns the type of the endpoint.
    pub endpoint: fn() -> TypeId,
    /// Returns the entry: a boxed `HandlerEntry` of that endpoint.
    pub entry: fn() -> Box<dyn Any>,
}
inventory::collect!(Registration);
