//! Annotated handlers: what `#[wsx::handler]` registers, and what the compiler checks of it.
use crate::{dispatch::context::Context, envelope::reply::HandlerResult};
use futures_util::future::BoxFuture;
use std::{
    any::{Any, TypeId},
    fmt,
};

/// The outcome of calling a handler. A sync handler is done, without an allocation; an async one is a boxed future.
#[allow(missing_debug_implementations, reason = "a future has nothing to show")]
pub enum Outcome<'f> {
    /// The handler has returned.
    Ready(HandlerResult),
    /// The handler's future.
    Pending(BoxFuture<'f, HandlerResult>),
}

/// The function that `#[wsx::handler]` generates: takes the arguments from the context and calls the handler.
pub type Call<E> = for<'f> fn(&'f Context<'f, E>) -> Outcome<'f>;

/// An annotated handler, as `#[wsx::handler]` describes it.
pub struct HandlerEntry<E> {
    /// The routing key.
    pub message_type: &'static str,
    /// Calls the handler.
    pub call: Call<E>,
    /// Whether it takes the payload, and so finds invalid JSON after the payload's key.
    pub payload: bool,
    /// The states that it takes by their types.
    pub states: &'static [Option<StateKey>],
    /// Whether it takes the hub, which a client does not have.
    pub takes_hub: bool,
    /// The function's path.
    pub name: &'static str,
    /// The function's file.
    pub file: &'static str,
    /// The function's line.
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
    /// Whether the endpoint was given such a state.
    pub given: fn(&http::Extensions) -> bool,
    /// The name of the state's type.
    pub name: fn() -> &'static str,
}

/// An entry as `inventory` collects it: one type for all endpoints, so the entry is behind `Any`. It is taken out once, when
/// a hub or a client is built; calls do not go through `Any`.
#[derive(Debug)]
pub struct Registration {
    /// The endpoint's type.
    pub endpoint: fn() -> TypeId,
    /// The entry, a boxed `HandlerEntry` of that endpoint.
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
