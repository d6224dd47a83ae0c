//! The answer to a rejected handshake: an HTTP status, a text and headers.
use crate::{
    observer::RejectionKind,
    wire::{close_code::CloseCode, role::Role, write},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::fmt;

/// The HTTP answer to a rejected handshake, which `build_id` returns as its error.
///
/// ```
/// use wsx::{Rejection, http::{StatusCode, request::Parts}};
///
/// async fn device_id(request: Parts) -> Result<String, Rejection> {
///     let token = request.headers.get("authorization").ok_or(StatusCode::UNAUTHORIZED)?;
///     # let lookup = |_: &[u8]| Some("box-7".to_owned());
///     lookup(token.as_bytes()).ok_or(Rejection::new(StatusCode::FORBIDDEN, "unknown device"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The kind for the observer.
    pub(crate) kind: RejectionKind,
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Boxed, because most rejections do not have headers.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) reported: Reported,
    /// The answer that opens a WebSocket, if the peer is a web page. The text then follows in a
    /// close frame, because a page cannot read the answer to a rejected handshake.
    pub(crate) opened: Option<Box<Response<()>>>,
}

/// The report that the observer receives for a rejection.
#[derive(Debug, Clone)]
pub(crate) enum Reported {
    /// The text of the answer.
    Text,
    /// The text of the answer, then this detail, which the peer must not see.
    Detail(Box<str>),
    /// Not reported, because it is the answer to a health check.
    Nothing,
}

impl Rejection {
    /// Returns a rejection with this status. `body` is a line of text in the answer.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Self::of(RejectionKind::BuildId, status, body)
    }

    /// Returns a rejection by wsx itself.
    pub(crate) fn of(kind: RejectionKind, status: StatusCode, body: impl Into<String>) -> Self {
        Self { kind, status, body: body.into(), headers: Box::default(), reported: Reported::Text, opened: None }
    }

    /// Returns the rejection of a trusted proxy that does not name its peer.
    pub(crate) fn unnamed_peer(why: impl Into<Box<str>>) -> Self {
        Self::of(RejectionKind::Proxy, StatusCode::BAD_REQUEST, "the proxy does not name its peer").detail(why)
    }

    /// Adds a detail for the observer, which the peer does not receive.
    pub(crate) fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.reported = Reported::Detail(detail.into());
        self
    }

    /// Makes this a rejection that a web page can read: it opens the WebSocket with this answer,
    /// and closes it with [`CloseCode::OUTDATED`].
    pub(crate) fn opened(mut self, answer: Response<()>) -> Self {
        self.opened = Some(Box::new(answer));
        self
    }

    /// Returns the close frame that carries the text.
    pub(crate) fn close_frame(&self) -> Bytes {
        write::close_frame(Role::Server, CloseCode::OUTDATED, &self.body)
    }

    /// Makes this the answer to a health check.
    pub(crate) fn unreported(mut self) -> Self {
        self.reported = Reported::Nothing;
        self
    }

    /// Adds a header to the answer, such as `Retry-After`. It replaces an earlier header of the
    /// same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// A rejection without a text.
impl From<StatusCode> for Rejection {
    fn from(status: StatusCode) -> Self {
        Self::new(status, "")
    }
}

impl From<(StatusCode, String)> for Rejection {
    fn from((status, body): (StatusCode, String)) -> Self {
        Self::new(status, body)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, body, .. } = self;
        if body.is_empty() { write!(f, "{status}") } else { write!(f, "{status}: {body}") }
    }
}

impl std::error::Error for Rejection {}
