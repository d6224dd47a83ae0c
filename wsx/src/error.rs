//! What can go wrong, one type for each caller who acts differently on it.
//!
//! `Display` says what happened at this level; `source()` holds the cause. The end of a connection is no error
//! but a value, [`Closed`](crate::Closed).
use std::{fmt, io, time::Duration};
use tokio_tungstenite::tungstenite::http::StatusCode;

/// An application's own error, as a handler returns it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message was not accepted for sending.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended, or is closing.
    #[error("closed")]
    Closed,
    /// No connection of this id is in the hub.
    #[error("no such connection: {0:?}")]
    NoSuchConnection(String),
    /// The client is between two connections, or has given up; its state says which.
    #[error("not connected")]
    NotConnected,
    /// The send queue has no room; only the sends that do not wait say this.
    #[error("the send queue is full")]
    Full,
    /// The message's `Serialize` failed, or its JSON did.
    #[error("the message cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// `send_bytes` was given bytes that no text frame may carry (RFC 6455 section 5.6).
    #[error("a text frame carries UTF-8, and these bytes are not")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// A ping's payload is longer than the 125 bytes that RFC 6455 section 5.5 allows.
    #[error("a ping carries at most 125 bytes, and this one has {0}")]
    PingTooLong(usize),
}

/// Why a message did not get through its handler; the [`Observer`](crate::Observer) receives it.
///
/// The connection goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The envelope's data is not what the handler takes.
    #[error("the data does not fit {expected} at `{path}`")]
    Decode {
        /// The Rust type that the handler takes.
        expected: &'static str,
        /// Where in the data, as in `sensors[2].celsius`; `.` is the data itself.
        path: String,
        /// What serde says; line and column are those of the whole message.
        source: serde_json::Error,
    },
    /// The handler returned `Err`.
    #[error("the handler failed")]
    Handler(#[source] BoxError),
    /// The handler's reply could not be sent.
    #[error("the reply was not sent")]
    Reply(#[source] SendError),
    /// An argument of the handler has no value here.
    #[error("the argument {argument} has no value here: {why}")]
    Argument {
        /// The Rust type of the argument.
        argument: &'static str,
        /// What is missing.
        why: &'static str,
    },
}

/// The handlers do not fit together, or something that they need is missing.
///
/// `Display` lists every problem, one a line, each with file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError {
    pub(crate) endpoint: &'static str,
    pub(crate) problems: Vec<String>,
}

impl StartError {
    /// The problems, one sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handlers of endpoint {} cannot be started:", self.endpoint)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for StartError {}

/// The client is not connected, and says why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one that can be dialled. Trying again does not help.
    #[error("cannot dial {url:?}: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The handlers cannot be started. Trying again does not help.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No TCP connection to the server.
    #[error("cannot reach {address}")]
    Dial {
        /// Host and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server's certificate is none to trust: of another name, expired or not valid yet, of an unknown authority. Of
    /// `wss://` alone.
    ///
    /// Trying again helps where the server renews it, or where the clock of this machine is wrong and is set meanwhile.
    #[error("the certificate of {host} is not to be trusted")]
    Certificate {
        /// The host of the URL, which the certificate has to name.
        host: String,
        /// What is wrong with it; inside is the `rustls::Error`.
        source: io::Error,
    },
    /// The TLS handshake broke, the server turned away the client's certificate, or this machine has no root certificates
    /// to trust. Of `wss://` alone.
    #[error("no TLS connection to {address}")]
    Tls {
        /// Host and port.
        address: String,
        /// What went wrong; inside is the `rustls::Error`, unless the link broke.
        source: io::Error,
    },
    /// The server answered the handshake with another status than 101. A redirect is not followed: the program decides which
    /// servers it trusts.
    #[error("the server refused the handshake with {status}{hint}", hint = hint(*status))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// How long the server wants to be left alone, by its `Retry-After` header; a client that reconnects heeds it, up
        /// to `Backoff::max`. None where it names a date, since the clocks of edge boxes are often wrong.
        retry_after: Option<Duration>,
    },
    /// The server does not speak WebSocket as RFC 6455 wants it, or hung up meanwhile. Its source says what it did.
    #[error("the handshake failed")]
    Handshake(#[source] BoxError),
    /// Dialling and handshake, that of TLS included, together took longer than `Config::handshake_timeout`.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The headers for the handshake could not be made.
    #[error("the headers for the handshake could not be made")]
    Headers(#[source] BoxError),
    /// `connect` was called before on this client.
    #[error("this client is connected already; make another one for a second connection")]
    AlreadyConnected,
    /// The client was closed, or its cancellation was triggered, before a connection was made.
    #[error("closed")]
    Closed,
}

impl ConnectError {
    /// Whether the server refused with a status that will hold the next time too, unless somebody changes something: 401,
    /// 403, 404 or 410.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403 | 404 | 410))
    }

    /// Whether a later attempt cannot succeed either, since nothing outside of this program is at fault.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Start(_) | Self::AlreadyConnected | Self::Closed)
    }
}

/// What to do about a status, where that is no matter of its own words.
fn hint(status: StatusCode) -> &'static str {
    if status.is_redirection() { "; redirects are not followed, so dial the new address" } else { "" }
}
