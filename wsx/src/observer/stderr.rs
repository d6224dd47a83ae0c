//! The observer that prints problems to standard error.
use crate::{
    closed::Closed,
    connection::Connection,
    envelope::incoming::{RAW, RawFrame},
    error::{ConnectError, HandlerError, Report},
    observer::{Observer, Setback},
    wire::close_code::CloseCode,
};
use http::StatusCode;
use std::{io, net::SocketAddr, time::Duration};

/// Prints each problem to standard error, in a line with all its causes.
///
/// An opened connection is not a problem, nor is a connection closed with 1000, 1001 or without a
/// code.
///
/// ```standalone_crate
/// let hub = wsx::Hub::builder().observer(wsx::StderrObserver).without_handlers().build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct StderrObserver;

impl Observer for StderrObserver {
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        if !matches!(closed.code, CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS) {
            eprintln!("wsx: {:?}: {closed}", conn.id());
        }
    }

    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        eprintln!("wsx: {:?}: {message_type:?}: {}", conn.id(), Report(error));
    }

    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        eprintln!("wsx: {:?}: {message_type:?}: the connection has ended before the reply", conn.id());
    }

    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        eprintln!(
            "wsx: {:?}: {message_type:?}: the handler was dropped, because the connection has ended; {waiting} later \
             messages were not handled",
            conn.id()
        );
    }

    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        let shown: String = message_type.chars().take(64).collect();
        eprintln!("wsx: {:?}: no handler for {shown:?}", conn.id());
    }

    fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let why = frame.envelope_error().unwrap_or_default();
        let shown: String = why.chars().take(256).collect();
        eprintln!("wsx: {:?}: a message is not an envelope, and {RAW:?} has no handler: {shown}", conn.id());
    }

    fn handshake_rejected(&self, peer: Option<SocketAddr>, status: StatusCode, reason: &str) {
        match peer {
            Some(peer) => eprintln!("wsx: {peer}: handshake rejected with {status}: {reason}"),
            None => eprintln!("wsx: handshake rejected with {status}: {reason}"),
        }
    }

    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        match peer {
            Some(peer) => eprintln!("wsx: {peer}: TLS handshake failed: {error}"),
            None => eprintln!("wsx: TLS handshake failed: {error}"),
        }
    }

    fn connect_failed(&self, _: u32, delay: Duration, error: &ConnectError) {
        eprintln!("wsx: {}; the next attempt is in {delay:.1?}", Report(error));
    }

    fn client_gave_up(&self, setback: &Setback) {
        eprintln!("wsx: gave up: {setback}");
    }
}
