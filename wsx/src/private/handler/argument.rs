//! Takes a handler's arguments from the context, and boxes its future.
use crate::{
    dispatch::context::{Context, FromContext},
    dispatch::registration::Outcome,
    envelope::reply::HandlerResult,
    error::HandlerError,
    protocol::endpoint::Endpoint,
};
use std::{future::Future, marker::PhantomData};

/// What a handler on `E` needs. As with [`Probe`](crate::__private::Probe), a type that is not an
/// endpoint, or cannot be shared, is not an error here: the check made for it reports it.
#[derive(Debug)]
pub struct Handling<E>(PhantomData<E>);

impl<E: Endpoint + Send + Sync> Handling<E> {
    /// Takes an argument from the context. `Via` is left to inference.
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

/// The methods of a type that another check rejects.
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

/// Replaces the endpoint of an argument that another check rejects. It is not an endpoint, so it
/// causes no second error.
#[derive(Debug)]
pub struct Refused;
