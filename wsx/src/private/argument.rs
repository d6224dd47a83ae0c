//! Draws a handler's arguments, and boxes its future.
use crate::{
    dispatch::context::{Context, FromContext},
    dispatch::registration::Outcome,
    envelope::reply::HandlerResult,
    error::HandlerError,
    protocol::endpoint::Endpoint,
};
use std::{future::Future, marker::PhantomData};

/// What a handler on `E` needs of the compiler. As with [`Probe`](super::Probe), nothing is asked where `E` is no endpoint that could be
/// shared, so that this is reported once, by the check made for it.
#[derive(Debug)]
pub struct Handling<E>(PhantomData<E>);

impl<E: Endpoint + Send + Sync> Handling<E> {
    /// An argument, drawn from the context. `Via` is left to inference.
    ///
    /// # Errors
    ///
    /// As [`FromContext::from_context`].
    #[inline]
    pub fn extract<'f, T: FromContext<'f, E, Via>, Via>(context: &Context<'f, E>) -> Result<T, HandlerError> {
        T::from_context(context)
    }

    /// The outcome of an async handler.
    #[inline]
    pub fn pending<'f>(future: impl Future<Output = HandlerResult> + Send + 'f) -> Outcome<'f> {
        Outcome::Pending(Box::pin(future))
    }
}

/// What a program gets that does not compile for another reason.
pub trait NotHandling {
    /// See [`Handling`].
    ///
    /// # Errors
    ///
    /// None: it is never called.
    fn extract<T, C>(_: &C) -> Result<T, HandlerError> {
        unreachable!()
    }

    /// See [`Handling`].
    fn pending<'f>(_: impl Future<Output = HandlerResult> + 'f) -> Outcome<'f> {
        unreachable!()
    }
}
impl<E> NotHandling for Handling<E> {}

/// In place of the endpoint where an argument is refused by a check of its own: no endpoint, so nothing more is said of it.
#[derive(Debug)]
pub struct Refused;
