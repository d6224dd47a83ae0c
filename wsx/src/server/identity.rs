//! The identity that the program gives a connection: its id, its labels, and values for its
//! handlers.
use crate::{
    connection::extensions::Extensions,
    error::LabelError,
    server::{
        handshake,
        labels::{self, LabelSet},
    },
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{fmt, sync::Arc};

/// The identity of a new connection, which `build_id` returns: its id, its labels, and values for
/// its handlers.
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
    /// The labels, or the error of the first label that is not valid.
    pub(crate) labels: Result<LabelSet, LabelError>,
}

impl Identity {
    /// Returns an identity with this id, and without values.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        let (extensions, headers) = (Extensions::default(), HeaderMap::new());
        Self { id: id.into(), extensions, headers, labels: Ok(LabelSet::new()) }
    }

    /// Adds a value, which [`Connection::extension`](crate::Connection::extension) returns. It
    /// replaces an earlier value of the same type.
    #[must_use]
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Adds a label to the connection, for [`Hub::broadcast_to`](crate::Hub::broadcast_to) and
    /// [`Hub::ids_of`](crate::Hub::ids_of) (row S7 of the specification).
    ///
    /// A connection has at most 16 labels, of 1 to 128 bytes each. They may have any characters.
    /// With a label that is not valid, the handshake is rejected with 500, and the observer
    /// receives the reason. If the program has changed the labels of this id while it was online,
    /// those stay; see [`Hub::add_label`](crate::Hub::add_label).
    ///
    /// ```
    /// use wsx::{Identity, Rejection, http::request::Parts};
    ///
    /// async fn identify(_: Parts) -> Result<Identity, Rejection> {
    ///     Ok(Identity::new("box-7").label("site-7").label("model-b"))
    /// }
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.labels = self.labels.and_then(|mut labels| {
            labels::insert(&mut labels, label.as_ref())?;
            Ok(labels)
        });
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

    /// Returns an error for a mistake of the program that the handshake must not carry out.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(name) = handshake::OWN.iter().find(|name| self.headers.contains_key(*name)) {
            return Err(format!("`build_id` added the header `{name}`, which the handshake writes itself: remove it"));
        }
        let labels = self.labels.as_ref();
        labels.map(drop).map_err(|error| format!("`build_id` set labels that are not valid: {error}"))
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
