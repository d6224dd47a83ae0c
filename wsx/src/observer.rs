//! The application's hook for problems. wsx does not depend on a logging or metrics library (row X3
//! of the specification).
use crate::{
    catch_panic::Guarded,
    closed::Closed,
    connection::Connection,
    envelope::incoming::{RAW, RawFrame},
    error::{ConnectError, HandlerError, Report},
    wire::close_code::CloseCode,
};
use http::StatusCode;
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

/// Receives a call when a connection opens or closes, and when a problem occurs that does not end
/// the program.
///
/// Each method does nothing by default. The methods run in the task of the connection, so they must
/// not block. A panic in a method loses that report and has no other effect: the connection, the
/// handshake and the client go on.
///
/// ```
/// struct Log;
///
/// impl wsx::Observer for Log {
///     fn handler_failed(&self, conn: &wsx::Connection, message_type: &str, error: &wsx::HandlerError) {
///         eprintln!("{} {message_type}: {}", conn.id(), wsx::Report(error));
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A connection is open.
    fn connection_opened(&self, conn: &Connection) {
        let _ = conn;
    }

    /// A connection has ended.
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        let _ = (conn, closed);
    }

    /// The handler of a message failed, or could not be called. The connection stays open.
    ///
    /// `message_type` is the type of the handler, so a metric may use it as a label.
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        let _ = (conn, message_type, error);
    }

    /// The reply of a handler could not be sent, because the connection is closing or has ended.
    ///
    /// `message_type` is the type of the message. It is text of the peer if the handler is that of
    /// `__unknown__`.
    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// A handler still ran when the time for closing its connection was over
    /// ([`Config::close_timeout`](crate::Config::close_timeout), or the grace period of a
    /// shutdown). It is dropped at its await. `message_type` is as in
    /// [`reply_dropped`](Self::reply_dropped).
    ///
    /// `waiting` is the number of messages that were received after this one, and are now dropped
    /// too.
    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        let _ = (conn, message_type, waiting);
    }

    /// A message does not have a handler (row E3 of the specification). The connection stays open.
    ///
    /// `message_type` is text of the peer. Escape it before you print it, as `{:?}` does, and do
    /// not use it as the label of a metric.
    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// A message is not an envelope, and `__raw__` does not have a handler.
    /// [`RawFrame::envelope_error`] has the reason.
    ///
    /// By default this calls [`message_ignored`](Self::message_ignored) with `"__raw__"`.
    fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let _ = frame;
        self.message_ignored(conn, RAW);
    }

    /// The server rejected a handshake with this status.
    fn handshake_rejected(&self, peer: Option<SocketAddr>, status: StatusCode, reason: &str) {
        let _ = (peer, status, reason);
    }

    /// A TLS handshake at the server failed.
    ///
    /// The peer may not trust the server's certificate, may lack the certificate that the server
    /// requests, may not speak TLS, or may have closed the stream. On a public port, port scanners
    /// cause this.
    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        let _ = (peer, error);
    }

    /// A client could not connect, and dials again after `delay`.
    ///
    /// `failures` counts the failures in a row. A connection that did not last counts too.
    fn connect_failed(&self, failures: u32, delay: Duration, error: &ConnectError) {
        let _ = (failures, delay, error);
    }

    /// A client stops dialling, because its `give_up` returned `true`.
    fn client_gave_up(&self, setback: &Setback) {
        let _ = setback;
    }
}

/// The reason why a reconnecting client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Setback {
    /// An attempt to connect failed.
    Attempt(ConnectError),
    /// The connection ended.
    Ended(Closed),
}

impl Setback {
    /// Whether the server rejected this client, so that a later attempt would fail too (row R2 of
    /// the specification).
    ///
    /// That is a status of 401, 403, 404 or 410, or a close with
    /// [`CloseCode::POLICY_VIOLATION`](crate::CloseCode::POLICY_VIOLATION) or
    /// [`CloseCode::REPLACED`](crate::CloseCode::REPLACED).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Attempt(error) => error.is_refusal(),
            Self::Ended(closed) => closed.is_refusal(),
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(error) => Report(error).fmt(f),
            Self::Ended(closed) => closed.fmt(f),
        }
    }
}

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
    pub(crate) fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        self.report(|observer| observer.tls_failed(peer, error));
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
