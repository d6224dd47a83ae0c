//! The handlers of a complete endpoint, found by the compiler.
use super::Keyed;
use crate::dispatch::registration::{HandledOnceBy, HandlerEntry};
use std::{any::Any, marker::PhantomData};

/// A side whose message `M` has a handler on endpoint `E`.
#[diagnostic::on_unimplemented(
    message = "`{E}` has no handler for `{M}`",
    label = "no `#[wsx::handler(on = {E})]` takes `{M}`",
    note = "side `{Self}` receives `{M}`: write the handler, or say `partial` in the endpoint's `#[wsx(side = {Self}, partial)]`"
)]
pub trait Covers<E, M> {
    /// The handler.
    const ENTRY: HandlerEntry<E>;
}

#[diagnostic::do_not_recommend]
impl<S, E, M: Keyed<Key: HandledOnceBy<E>>> Covers<E, M> for S {
    const ENTRY: HandlerEntry<E> = <M::Key as HandledOnceBy<E>>::ENTRY;
}

/// The answer of [`ReservedProbe`] for an endpoint without such a handler.
pub trait Unhandled<E> {
    /// The handler, if there is one.
    const ENTRY: Option<HandlerEntry<E>> = None;
}
/// Asks an endpoint for the handler of a reserved type, as [`Probe`](super::Probe) asks a type.
#[derive(Debug)]
pub struct ReservedProbe<E, Key>(PhantomData<(E, Key)>);
impl<E, Key> Unhandled<E> for ReservedProbe<E, Key> {}
impl<E, Key: HandledOnceBy<E>> ReservedProbe<E, Key> {
    /// See [`Unhandled`].
    pub const ENTRY: Option<HandlerEntry<E>> = Some(<Key as HandledOnceBy<E>>::ENTRY);
}

/// The entry as a complete endpoint lists it.
#[must_use]
pub fn listed<E: 'static>(entry: HandlerEntry<E>) -> Box<dyn Any> {
    Box::new(entry)
}

/// Adds the handler of a reserved type, if there is one.
pub fn list<E: 'static>(entries: &mut Vec<Box<dyn Any>>, entry: Option<HandlerEntry<E>>) {
    entries.extend(entry.map(listed));
}

/// The entry of a handler with a mistake, so that its message is not reported as missing too.
#[must_use]
pub const fn mistaken<E>(message_type: &'static str) -> HandlerEntry<E> {
    HandlerEntry {
        message_type,
        call: |_| unreachable!(),
        payload: false,
        states: &[],
        takes_hub: false,
        name: "",
        file: "",
        line: 0,
    }
}
