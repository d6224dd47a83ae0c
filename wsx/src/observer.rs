//! The application's window on what the library does by itself. No logging or metrics library is needed, or known.
use crate::{
    connection::Connection,
    connection::closed::Closed,
    dispatch::incoming::{RAW, RawFrame},
    error::{ConnectError, HandlerError},
};
use std::{fmt, io, net::SocketAddr, time::Duration};
use tokio_tungstenite::tungstenite::http::StatusCode;

/// Sees connections come and go, and what went wrong without ending the program. Every method does nothing unless
/// written.
///
/// The methods run in the connection's task: they must not block. A panic in one ends that connection with 1011; where there
/// is no connection, or it has ended, a panic changes nothing.
///
/// ```
/// struct Log;
///
/// impl wsx::Observer for Log {
///     fn failed(&self, conn: &wsx::Connection, message_type: &str, error: &wsx::HandlerError) {
///         // `{:?}` escapes what a peer may have put into the type.
///         eprintln!("{} {message_type:?}: {error}", conn.id());
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A connection is open.
    fn opened(&self, conn: &Connection) {
        let _ = conn;
    }

    /// A connection has ended.
    fn closed(&self, conn: &Connection, closed: &Closed) {
        let _ = (conn, closed);
    }

    /// A message did not get through its handler; the connection goes on.
    ///
    /// `message_type` is the handler's, so there are only as many as handlers.
    fn failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        let _ = (conn, message_type, error);
    }

    /// Nobody handles this message.
    ///
    /// `message_type` is the peer's own word: escape it before printing, and do not use it as a metric's label.
    fn ignored(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// A message is no envelope, and nobody handles `__raw__`; [`RawFrame::envelope_error`] says why. Unless written, this
    /// is [`ignored`](Self::ignored) with `"__raw__"`.
    fn not_an_envelope(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let _ = frame;
        self.ignored(conn, RAW);
    }

    /// A handshake was refused with this status.
    fn refused(&self, peer: Option<SocketAddr>, status: StatusCode, why: &str) {
        let _ = (peer, status, why);
    }

    /// A TLS handshake failed: the peer does not trust the server's certificate, has none where one is asked for, does not
    /// speak TLS, or has gone.
    ///
    /// On a public port this comes of every stranger who knocks.
    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        let _ = (peer, error);
    }

    /// A client could not connect; it tries again after `delay`. `failures` counts those in a row, a connection that did
    /// not last included.
    fn retrying(&self, failures: u32, delay: Duration, error: &ConnectError) {
        let _ = (failures, delay, error);
    }

    /// A client does not try again, as its `give_up` decided.
    fn gave_up(&self, setback: &Setback) {
        let _ = setback;
    }
}

/// Why a client that reconnects is without a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Setback {
    /// An attempt failed.
    Attempt(ConnectError),
    /// The connection ended.
    Ended(Closed),
}

impl Setback {
    /// Whether the server said no, rather than the link: a status 401, 403, 404 or 410, or a close with 1008 or
    /// [`CLOSE_REPLACED`](crate::CLOSE_REPLACED).
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
            Self::Attempt(error) => f.write_str(&chain(error)),
            Self::Ended(closed) => closed.fmt(f),
        }
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blind;
impl Observer for Blind {}

/// Prints what went wrong to standard error, one line each: for the first hours of a program, and for examples.
///
/// ```standalone_crate
/// let hub = wsx::Hub::builder().observer(wsx::PrintProblems).without_handlers().build()?;
/// # Ok::<_, wsx::StartError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct PrintProblems;

impl Observer for PrintProblems {
    fn failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        eprintln!("wsx: {:?}: {message_type:?}: {}", conn.id(), chain(error));
    }

    /// An end that somebody wanted is nothing wrong: 1000, 1001, and no code at all.
    fn closed(&self, conn: &Connection, closed: &Closed) {
        if !matches!(u16::from(closed.code), 1000 | 1001 | 1005) {
            eprintln!("wsx: {:?}: {closed}", conn.id());
        }
    }

    fn ignored(&self, conn: &Connection, message_type: &str) {
        let shown: String = message_type.chars().take(64).collect();
        eprintln!("wsx: {:?}: nobody handles {shown:?}", conn.id());
    }

    fn not_an_envelope(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let why = frame.envelope_error().unwrap_or_default();
        let shown: String = why.chars().take(256).collect();
        eprintln!("wsx: {:?}: a message that is no envelope, and nobody handles {RAW:?}: {shown}", conn.id());
    }

    fn refused(&self, peer: Option<SocketAddr>, status: StatusCode, why: &str) {
        match peer {
            Some(peer) => eprintln!("wsx: {peer}: refused with {status}: {why}"),
            None => eprintln!("wsx: refused with {status}: {why}"),
        }
    }

    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        match peer {
            Some(peer) => eprintln!("wsx: {peer}: no TLS: {error}"),
            None => eprintln!("wsx: no TLS: {error}"),
        }
    }

    fn retrying(&self, _: u32, delay: Duration, error: &ConnectError) {
        eprintln!("wsx: {}; the next attempt is in {delay:.1?}", chain(error));
    }

    fn gave_up(&self, setback: &Setback) {
        eprintln!("wsx: gave up: {setback}");
    }
}

/// The error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
