//! The answer to a handshake that is turned away.
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::fmt;

/// A refused handshake: what `build_id` returns to turn a request away.
///
/// ```
/// use wsx::{Rejection, http::{StatusCode, request::Parts}};
///
/// async fn device_id(request: Parts) -> Result<String, Rejection> {
///     let token = request.headers.get("authorization").ok_or(Rejection::new(StatusCode::UNAUTHORIZED, "no token"))?;
///     # let lookup = |_: &[u8]| Some("box-7".to_owned());
///     lookup(token.as_bytes()).ok_or(Rejection::new(StatusCode::FORBIDDEN, "unknown device"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Rejection {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Boxed, since most refusals have none.
    pub(crate) headers: Box<HeaderMap>,
}

impl Rejection {
    /// This status, and a line of text as its body.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), headers: Box::default() }
    }

    /// Adds a header to the answer, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

impl std::error::Error for Rejection {}
