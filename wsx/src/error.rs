//! The error types, one for each kind of caller that has to act differently.
//!
//! `Display` says what happened at this level, and `source()` has the cause; [`Report`] prints
//! both. The end of a connection is not an error but a value, [`Closed`](crate::Closed).
mod send;
mod store;

pub use send::SendError;
pub use store::{StoreError, StoreErrorKind};

use http::{HeaderMap, StatusCode, header::LOCATION};
use serde_json::value::RawValue;
use std::{borrow::Cow, error::Error, fmt, io, time::Duration};

/// An error of the application, such as a handler returns.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Prints an error and all its causes in one line, separated by colons.
///
/// ```
/// # let error: Result<u8, _> = "x".parse::<u8>();
/// # let error = error.unwrap_err();
/// eprintln!("the reading was not stored: {}", wsx::Report(&error));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Report<'e>(pub &'e (dyn Error + 'e));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// An error of a label. The labels of the connection are as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The hub has no connection with this id.
    #[error("no such connection: {0:?}")]
    NoSuchConnection(String),
    /// The label is the empty string.
    #[error("a label is empty")]
    Empty,
    /// The label is too long.
    #[error("a label has {bytes} bytes, and the maximum is {maximum}")]
    TooLong {
        /// The length of the label, in bytes.
        bytes: usize,
        /// The longest label, in bytes.
        maximum: usize,
    },
    /// The connection has the maximum number of labels.
    #[error("a connection has at most {maximum} labels")]
    TooMany {
        /// The maximum number of labels of a connection.
        maximum: usize,
    },
}

/// An error that the [`Observer`](crate::Observer) receives for a message. The handler failed, or
/// could not be called.
///
/// The connection stays open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The envelope's data does not fit the type that the handler takes.
    #[error("the data does not fit {expected} at `{path}`")]
    Decode {
        /// The Rust type that the handler takes.
        expected: &'static str,
        /// The place in the data, for example `sensors[2].celsius`. `.` is the data itself.
        path: String,
        /// The error of serde. Its line and column are those of the whole message.
        source: serde_json::Error,
    },
    /// The handler returned `Err`.
    #[error("the handler failed")]
    Handler(#[source] BoxError),
    /// The handler of a request refused it, with the message that the protocol names for this, as
    /// in `Reboot -> Rebooted | RebootRefused`.
    ///
    /// The peer receives the message if it waits for the reply. An observer does not receive it.
    #[error("the handler refused the request")]
    Refused {
        /// The type string of the message.
        code: &'static str,
        /// The message as JSON.
        data: Box<RawValue>,
    },
    /// The handler's reply could not be sent.
    #[error("the reply was not sent")]
    Reply(#[source] SendError),
    /// An argument of the handler is not available for this message.
    #[error("argument `{argument}` is not available: {why}")]
    Argument {
        /// The Rust type of the argument.
        argument: &'static str,
        /// The reason.
        why: Cow<'static, str>,
    },
}

/// An error that `build` returns: the handlers do not fit together, a state is missing, or the URL
/// of a client is wrong.
///
/// `Display` lists every problem. Several problems have a line each. The problem of a handler names
/// its file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// For example "the hub of endpoint Station".
    pub(crate) subject: String,
    pub(crate) problems: Vec<String>,
}

impl BuildError {
    /// Returns the problems, a sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be built:", self.subject)?;
        match &*self.problems {
            [problem] => write!(f, " {problem}"),
            problems => problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}")),
        }
    }
}

impl Error for BuildError {}

/// An error that a client returns while it connects.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL or the handlers are wrong. A later attempt fails too.
    /// [`ClientBuilder::build`](crate::client::ClientBuilder::build) reports this earlier.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The TCP connection to the server failed, or the connector of the program returned an error.
    ///
    /// It is also returned if the name was not resolved, or not one of its addresses answered,
    /// within 95 % of what is left of `Config::handshake_timeout`.
    #[error("cannot reach {address}")]
    Dial {
        /// Host and port.
        address: String,
        /// The error of the operating system, or of the program's connector. For a name, it has the
        /// reason for each address that was tried, at most 8, in one line.
        source: io::Error,
    },
    /// The proxy cannot be reached, or rejected the connection, or its answer is invalid. Only with
    /// `ClientBuilder::proxy`.
    ///
    /// A rejection is not a refusal of the server, so [`is_refusal`](Self::is_refusal) is `false`.
    #[error("cannot reach {address} through the proxy {proxy}")]
    Proxy {
        /// Host and port of the proxy, without its user and password.
        proxy: String,
        /// Host and port of the server.
        address: String,
        /// The status with which an HTTP proxy rejected the connection. 407 means that the user or
        /// the password is missing or wrong.
        status: Option<StatusCode>,
        /// The reason. A SOCKS5 proxy gives its own in place of a status.
        source: BoxError,
    },
    /// The server's certificate is not trusted (row L2 of the specification): the name or the time
    /// is wrong, or its authority is unknown. Only for `wss://`.
    ///
    /// A later attempt succeeds if the server renews the certificate, or if the clock of this
    /// machine was wrong and is set.
    #[error("the certificate of {host} is not trusted")]
    Certificate {
        /// The host of the URL, which the certificate must name.
        host: String,
        /// The cause, with a `rustls::Error` inside.
        source: io::Error,
    },
    /// The TLS handshake failed, the server rejected the client's certificate, or this machine has
    /// no root certificates. Only for `wss://`.
    #[error("cannot make a TLS connection to {address}")]
    Tls {
        /// Host and port.
        address: String,
        /// The cause. It has a `rustls::Error` inside, unless the link broke or the program's
        /// certificate verifier panicked.
        source: io::Error,
    },
    /// The server answered the handshake with a status other than 101. Without
    /// `ClientBuilder::follow_redirects`, that can be a redirect.
    ///
    /// `Display` shows the first line of the body, escaped and cut at 200 characters.
    #[error("the server rejected the handshake with {status}{line}{hint}", line = after_colon(body), hint = hint(*status, headers))]
    Rejected {
        /// The HTTP status.
        status: StatusCode,
        /// The headers of the answer.
        headers: Box<HeaderMap>,
        /// The first 4 KiB of the body. It is shorter if more did not arrive within a second.
        body: Vec<u8>,
        /// The time in the server's `Retry-After` header, if it is in seconds. A client that
        /// reconnects waits at least this long, up to `Backoff::max`. A date is ignored, because
        /// the clocks of edge boxes are often wrong.
        retry_after: Option<Duration>,
    },
    /// The server answered with a redirect that the client does not follow, although
    /// `ClientBuilder::follow_redirects` was called.
    #[error("the server redirects with {status} to {location:?}, which the client does not follow: {why}")]
    Redirect {
        /// The HTTP status.
        status: StatusCode,
        /// The new URL without user information, query and fragment, which can contain secrets. It
        /// is cut at 200 characters.
        location: String,
        /// The reason: the limit, the policy of the program, a step from `wss` to `ws`, or a URL
        /// that cannot be dialled.
        why: Cow<'static, str>,
    },
    /// The function given to `Urls::per_attempt` returned an error or a URL that cannot be dialled,
    /// or panicked.
    #[error("the URL for this attempt could not be made")]
    Url(#[source] BoxError),
    /// The server's answer violates RFC 6455, or the server closed the stream before it answered,
    /// or the stream of the program's connector panicked.
    #[error("the handshake failed")]
    Handshake(#[source] BoxError),
    /// Dialling and the handshakes took longer than `Config::handshake_timeout` in total.
    #[error("the connection was not made within {0:?}")]
    Timeout(Duration),
    /// The function given to `ClientBuilder::headers` returned an error, or panicked.
    #[error("the headers for the handshake could not be made")]
    Headers(#[source] BoxError),
    /// This client is connected.
    #[error("this client is already connected: build another client for a second connection")]
    AlreadyConnected,
    /// The client was closed or cancelled before it was connected.
    #[error("closed")]
    Closed,
}

impl ConnectError {
    /// Whether the server rejected this client with a status that a later attempt would get too,
    /// until somebody acts: 401, 403, 404 or 410 (row R2 of the specification).
    ///
    /// [`Setback::is_refusal`](crate::Setback::is_refusal) says who has to act.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected { status, .. } if matches!(status.as_u16(), 401 | 403 | 404 | 410))
    }

    /// Whether a later attempt cannot succeed, because the cause is in this program.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Build(_) | Self::AlreadyConnected | Self::Closed)
    }
}

/// By hand, so that a rejection shows the first line of its body, and not each byte.
impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => f.debug_tuple("Build").field(error).finish(),
            Self::Dial { address, source } => {
                f.debug_struct("Dial").field("address", address).field("source", source).finish()
            }
            Self::Proxy { proxy, address, status, source } => {
                let mut shown = f.debug_struct("Proxy");
                shown.field("proxy", proxy).field("address", address).field("status", status);
                shown.field("source", source).finish()
            }
            Self::Certificate { host, source } => {
                f.debug_struct("Certificate").field("host", host).field("source", source).finish()
            }
            Self::Tls { address, source } => {
                f.debug_struct("Tls").field("address", address).field("source", source).finish()
            }
            Self::Rejected { status, headers, body, retry_after } => {
                let mut shown = f.debug_struct("Rejected");
                shown.field("status", status).field("headers", headers);
                shown.field("body", &format_args!("\"{}\"", first_line(body).unwrap_or_default()));
                shown.field("retry_after", retry_after).finish()
            }
            Self::Redirect { status, location, why } => {
                let mut shown = f.debug_struct("Redirect");
                shown.field("status", status).field("location", location).field("why", why).finish()
            }
            Self::Url(error) => f.debug_tuple("Url").field(error).finish(),
            Self::Handshake(error) => f.debug_tuple("Handshake").field(error).finish(),
            Self::Timeout(limit) => f.debug_tuple("Timeout").field(limit).finish(),
            Self::Headers(error) => f.debug_tuple("Headers").field(error).finish(),
            Self::AlreadyConnected => f.write_str("AlreadyConnected"),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

/// Returns the advice for an answer whose own text does not give it.
fn hint(status: StatusCode, headers: &HeaderMap) -> &'static str {
    if status.is_redirection() && headers.contains_key(LOCATION) {
        "; redirects are not followed: dial the new address, or call `follow_redirects`"
    } else {
        ""
    }
}

/// Returns the first line of a body that is not empty, after a colon, for a line of an error.
fn after_colon(body: &[u8]) -> String {
    first_line(body).map_or_else(String::new, |line| format!(": {line}"))
}

/// Maximum number of characters of a peer's text in an error.
const MAX_SHOWN: usize = 200;

/// Returns the first line of a body that is not empty, escaped and cut.
fn first_line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let escape = |character| match character {
        '"' | '\'' => String::from(character),
        _ => character.escape_debug().to_string(),
    };
    Some(cut(line).chars().map(escape).collect())
}

/// Returns a text of a peer, cut at 200 characters.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row K23: the line of a server cannot forge another line of a log.
    #[test]
    fn the_first_line_of_a_body_is_escaped_and_cut() {
        for (body, shown) in [
            (&b""[..], String::new()),
            (b"\r\n \n", String::new()),
            (b"no \"box-7\" can't\nsecond", ": no \"box-7\" can't".to_owned()),
            (b"\r\n  spaced \r\nsecond", ": spaced".to_owned()),
            (b"a\x1b[31m\x00\rb\xff", r": a\u{1b}[31m\0\rb\u{fffd}".replace("\\u{fffd}", "\u{fffd}")),
            (&[b'x'; 200], format!(": {}", "x".repeat(200))),
            (&[b'x'; 4096], format!(": {}…", "x".repeat(200))),
        ] {
            assert_eq!(after_colon(body), shown);
        }
    }

    /// Row K21: an answer without a new URL is not a redirect that `follow_redirects` could follow.
    #[test]
    fn only_a_redirect_has_the_advice_to_follow_it() {
        let location: HeaderMap = [(LOCATION, http::HeaderValue::from_static("/"))].into_iter().collect();
        for (status, headers, has_advice) in [
            (StatusCode::FOUND, location.clone(), true),
            (StatusCode::FOUND, HeaderMap::new(), false),
            (StatusCode::FORBIDDEN, location, false),
        ] {
            assert_eq!(hint(status, &headers).contains("`follow_redirects`"), has_advice, "{status} {headers:?}");
        }
    }

    /// Row K26: the body of a rejection is one short line in `Debug` too.
    #[test]
    fn a_rejection_is_short() {
        let error = ConnectError::Rejected {
            status: StatusCode::FORBIDDEN,
            headers: Box::default(),
            body: b"no\x1b\nsecond".to_vec(),
            retry_after: None,
        };
        let shown = r#"Rejected { status: 403, headers: {}, body: "no\u{1b}", retry_after: None }"#;
        assert_eq!(format!("{error:?}"), shown);
    }
}
