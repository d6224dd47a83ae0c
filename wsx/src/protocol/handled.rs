//! The handler of a message on an endpoint, found by the compiler. It does not know what a handler
//! is.
use std::any::Any;

/// The endpoint `On` has exactly one handler for the type string `Self`.
///
/// Only `#[wsx::handler(on = Station)]` implements this trait. If two handlers of `Station` take
/// messages of type `cmd`, the compiler reports "conflicting implementations of trait
/// `HandledOnceBy<Station>` for type `MessageType<'c', 'm', 'd'>`". It shows both handlers. Delete
/// one of them, or give it a message of another type.
// `Endpoint` is always the endpoint itself. If it is from another crate, `On` is a local type.
// Otherwise the compiler would report an error of its own that hides the helpful one.
#[diagnostic::on_unimplemented(
    message = "`{Endpoint}` has no handler for a message that it receives",
    label = "no `#[wsx::handler(on = {Endpoint})]` takes it"
)]
pub trait HandledOnceBy<On, Endpoint = On> {
    /// Returns the entry of the handler: a boxed `HandlerEntry<Endpoint>`.
    #[doc(hidden)]
    const ENTRY: fn() -> Box<dyn Any>;
}
