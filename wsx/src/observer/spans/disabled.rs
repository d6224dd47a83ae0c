//! Spans without the feature `tracing`: there are none.
use crate::connection::handle::Handle;
use std::future::Future;

pub(crate) fn create(_: &Handle) {}

pub(crate) fn open(_: &Handle) {}

pub(crate) fn close(_: &Handle) {}

/// The span of a handler.
pub(crate) struct HandlerSpan;

impl HandlerSpan {
    pub(crate) fn new(_: &Handle, _: &str) -> Self {
        Self
    }

    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn in_scope<T>(&self, code: impl FnOnce() -> T) -> T {
        code()
    }

    pub(crate) fn instrument<F: Future>(self, future: F) -> F {
        future
    }
}
