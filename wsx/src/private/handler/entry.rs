//! The entry of a handler, as a complete endpoint lists it.
use crate::{dispatch::registration::HandlerEntry, protocol::handled::HandledOnceBy};
use std::{any::Any, marker::PhantomData};

/// The answer of [`ReservedProbe`] for an endpoint without such a handler.
pub trait Unhandled<E> {
    /// The handler, if there is one.
    const ENTRY: Option<fn() -> Box<dyn Any>> = None;
}
/// Asks an endpoint for the handler of a reserved type, as [`Probe`](crate::__private::Probe) asks
/// a type.
#[derive(Debug)]
pub struct ReservedProbe<E, Key>(PhantomData<(E, Key)>);
impl<E, Key> Unhandled<E> for ReservedProbe<E, Key> {}
impl<E, Key: HandledOnceBy<E>> ReservedProbe<E, Key> {
    /// See [`Unhandled`].
    pub const ENTRY: Option<fn() -> Box<dyn Any>> = Some(<Key as HandledOnceBy<E>>::ENTRY);
}

/// The entry as a complete endpoint lists it.
#[must_use]
pub fn listed<E: 'static>(entry: HandlerEntry<E>) -> Box<dyn Any> {
    Box::new(entry)
}

/// Adds the handler of a reserved type, if there is one.
pub fn list(entries: &mut Vec<Box<dyn Any>>, entry: Option<fn() -> Box<dyn Any>>) {
    entries.extend(entry.map(|entry| entry()));
}
