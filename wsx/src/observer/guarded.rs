//! The observer of a program, which wsx can only call through the panic guard.
use crate::{
    catch_panic::Guarded,
    closed::Closed,
    connection::Connection,
    envelope::incoming::RawFrame,
    error::{ConnectError, HandlerError},
    observer::{Observer, Setback},
};
use http::StatusCode;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The observer of a program. Each call goes through the panic guard, so wsx cannot call the
/// observer without it.
#[derive(Clone)]
pub(crate) struct GuardedObserver(Guarded<Arc<dyn Observer>>);

impl GuardedObserver {
    pub(crate) fn new(observer: impl Observer) -> Self {
        Self(Guarded::new(Arc::new(observer)))
    }

    pub(crate) fn connection_opened(&self, conn: &Connection) {
        self.report(|observer| observer.connection_opened(conn));
    }

    pub(crate) fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        self.report(|observer| observer.connection_closed(conn, closed));
    }

    pub(crate) fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        self.report(|observer| observer.handler_failed(conn, message_type, error));
    }

    pub(crate) fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        self.report(|observer| observer.reply_dropped(conn, message_type));
    }

    pub(crate) fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        self.report(|observer| observer.handler_dropped(conn, message_type, waiting));
    }

    pub(crate) fn message_ignored(&self, conn: &Connection, message_type: &str) {
        self.report(|observer| observer.message_ignored(conn, message_type));
    }

    pub(crate) fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        self.report(|observer| observer.envelope_rejected(conn, frame));
    }

    pub(crate) fn handshake_rejected(&self, peer: Option<SocketAddr>, status: StatusCode, reason: &str) {
        self.report(|observer| observer.handshake_rejected(peer, status, reason));
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn tls_failed(&self, peer: Option<SocketAddr>, error: &std::io::Error) {
        self.report(|observer| observer.tls_failed(peer, error));
    }

    pub(crate) fn id_contested(
        &self,
        id: &str,
        older: Option<SocketAddr>,
        newer: Option<SocketAddr>,
        replacements: u32,
    ) {
        self.report(|observer| observer.id_contested(id, older, newer, replacements));
    }

    pub(crate) fn connect_failed(&self, failures: u32, delay: Duration, error: &ConnectError) {
        self.report(|observer| observer.connect_failed(failures, delay, error));
    }

    pub(crate) fn client_gave_up(&self, setback: &Setback) {
        self.report(|observer| observer.client_gave_up(setback));
    }

    /// Calls a method of the observer. The report of a method that panics is lost.
    fn report(&self, call: impl FnOnce(&dyn Observer)) {
        let _ = self.0.call(|observer| call(&**observer));
    }
}

/// The observer of a program that did not give one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silent;
impl Observer for Silent {}
