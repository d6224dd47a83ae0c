//! The spans of connections and handlers, with the feature `tracing`.
//!
//! Their level is `ERROR`, the highest one. So a subscriber that only takes warnings has them too,
//! and a warning says to which connection it belongs.
//!
//! A subscriber is code of the program, so it runs through the panic guard where wsx calls it
//! outside of a handler.
use crate::{catch_panic, connection::handle::Handle, observer::shown::Shown, wire::role::Role};
use std::future::Future;
use tracing::{Instrument, Span, error_span, field::Empty};

/// Gives a new connection its span.
pub(crate) fn create(conn: &Handle) {
    let side = match conn.role() {
        Role::Server => "hub",
        Role::Client => "client",
    };
    let span = || error_span!(target: "wsx", parent: None, "connection", side, id = %Shown(&conn.id()), peer = Empty);
    if let Some(span) = catch_panic::call(span) {
        if !span.is_disabled() {
            conn.set_span(span);
        }
    }
}

/// Adds the address of the peer to the span of a connection, if it has one and the address is
/// known.
pub(crate) fn open(conn: &Handle) {
    let span = conn.span();
    if let (false, Some(peer)) = (span.is_disabled(), conn.peer_addr()) {
        let _ = catch_panic::call(|| span.record("peer", tracing::field::display(peer)));
    }
}

/// Ends the span of a connection, although the program may keep a handle of it.
pub(crate) fn close(conn: &Handle) {
    let _ = catch_panic::call(|| conn.end_span());
}

/// The span of a handler, inside that of its connection.
pub(crate) struct HandlerSpan(Span);

impl HandlerSpan {
    pub(crate) fn new(conn: &Handle, message_type: &str) -> Self {
        let message_type = Shown(&message_type);
        Self(error_span!(target: "wsx", parent: conn.span(), "handler", %message_type))
    }

    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    pub(crate) fn in_scope<T>(&self, code: impl FnOnce() -> T) -> T {
        self.0.in_scope(code)
    }

    pub(crate) fn instrument<F: Future>(self, future: F) -> tracing::instrument::Instrumented<F> {
        future.instrument(self.0)
    }
}
