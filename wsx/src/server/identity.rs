//! The identity that the program gives a connection: its id, and values for its handlers.
use crate::connection::extensions::Extensions;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{fmt, sync::Arc};

/// The identity of a new connection, which `build_id` returns: its id, and values for its handlers.
///
/// If the id is enough, `build_id` can return a string.
///
/// ```
/// use wsx::{Identity, Rejection, http::request::Parts};
///
/// #[derive(Clone)]
/// struct User { admin: bool }
///
/// async fn identify(request: Parts) -> Result<Identity, Rejection> {
///     Ok(Identity::new("box-7").with(User { admin: false }))
/// }
/// // Later, in a handler: `conn.extension::<User>()`.
/// ```
pub struct Identity {
    pub(crate) id: Arc<str>,
    pub(crate) extensions: Extensions,
    /// Headers of the answer, besides those of the handshake.
    pub(crate) headers: HeaderMap,
}

impl Identity {
    /// Returns an identity with this id, and without values.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), extensions: Extensions::default(), headers: HeaderMap::new() }
    }

    /// Adds a value, which [`Connection::extension`](crate::Connection::extension) returns. It
    /// replaces an earlier value of the same type.
    #[must_use]
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Adds a header to the answer, which both ends read with
    /// [`Connection::handshake_headers`](crate::Connection::handshake_headers). A second header
    /// with the same name does not replace the first.
    ///
    /// The handshake writes some headers itself. With one of them, the handshake is rejected with
    /// 500, and the observer receives its name: `Connection`, `Upgrade`, `Sec-WebSocket-Accept`,
    /// `Sec-WebSocket-Extensions`, `Sec-WebSocket-Protocol`, `Content-Length` and
    /// `Transfer-Encoding`. A client of wsx accepts an answer of up to 16 KiB and 64 headers.
    ///
    /// ```
    /// use wsx::{Identity, Rejection, http::{HeaderName, HeaderValue, request::Parts}};
    ///
    /// async fn identify(_: Parts) -> Result<Identity, Rejection> {
    ///     let site = (HeaderName::from_static("x-site"), HeaderValue::from_static("north"));
    ///     Ok(Identity::new("box-7").header(site.0, site.1))
    /// }
    /// ```
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

impl From<String> for Identity {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}
impl From<&str> for Identity {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}
impl From<Arc<str>> for Identity {
    fn from(id: Arc<str>) -> Self {
        Self::new(id)
    }
}
