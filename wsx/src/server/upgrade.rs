//! The handler of upgrade requests, with all of its public methods.
//!
//! It serves a listener or a stream on its own, or is a service behind the program's own HTTP server.
use crate::{
    connection::{Connection, handle::Handle},
    protocol::endpoint::{Endpoint, Untyped},
    server::{
        accept, admit,
        hub::Hub,
        identity::Identity,
        origin::{Origin, Origins},
        rejection::Rejection,
    },
};
use futures_util::future::BoxFuture;
use http::{StatusCode, request::Parts};
use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

/// A `build_id` for programs that do not choose ids: `conn-0`, `conn-1` and so on, unique in this process.
///
/// # Errors
///
/// Never.
///
/// # Cancel safety
///
/// Cancel safe: it does not wait. An id is never given twice.
pub async fn unique_id(_: Parts) -> Result<String, Rejection> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Ok(format!("conn-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The address from which a connection comes, in the `extensions` of the request that `build_id` sees. Behind the
/// program's own HTTP server it is there only if that server adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// An error of a stream that did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request was rejected, and the peer has the answer.
    #[error("the handshake was rejected with {status}: {reason}")]
    Rejected {
        /// The HTTP status of the answer.
        status: StatusCode,
        /// The text of the answer.
        reason: String,
    },
    /// The TLS handshake failed, or took longer than [`Config::handshake_timeout`](crate::Config::handshake_timeout). Only
    /// with the feature `rustls`.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The stream broke.
    #[error("the stream broke during the handshake")]
    Io(#[source] io::Error),
}

pub(super) type BuildId = dyn Fn(Parts) -> BoxFuture<'static, Result<Identity, Rejection>> + Send + Sync;

/// A hub's handler of upgrade requests, which makes connections of them. Cheap to clone.
///
/// [`serve`](Self::serve) takes a listener, and [`serve_connection`](Self::serve_connection) a stream that the program
/// has accepted itself. With the feature `hyper` it is a service for hyper, for tower, and for axum's `route_service`.
pub struct WsHandler<E: Endpoint = Untyped> {
    pub(super) hub: Hub<E>,
    pub(super) build_id: Arc<BuildId>,
    pub(super) register: Arc<dyn Fn(&Handle) + Send + Sync>,
    pub(super) path: Option<Arc<str>>,
    pub(super) origins: Arc<Origins>,
    pub(super) protocols: Arc<[String]>,
}

impl<E: Endpoint> WsHandler<E> {
    pub(crate) fn new<F, Fut, I>(hub: Hub<E>, build_id: F, register: impl Fn(&Handle) + Send + Sync + 'static) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, Rejection>> + Send + 'static,
        I: Into<Identity>,
    {
        Self {
            hub,
            build_id: Arc::new(move |request| {
                let identity = build_id(request);
                Box::pin(async move { identity.await.map(Into::into) })
            }),
            register: Arc::new(register),
            path: None,
            origins: Arc::new(Origins::Any),
            protocols: Arc::default(),
        }
    }

    /// Accepts requests for this path alone; others get 404.
    ///
    /// For [`serve`](Self::serve) and [`serve_connection`](Self::serve_connection). Behind an HTTP server, its router
    /// decides.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Accepts web pages of these origins alone, as in `["https://ops.example.com"]`: scheme, host and port must be equal.
    ///
    /// Programs other than browsers send no `Origin`, and are accepted. Without this call every origin is accepted, which
    /// is for development.
    ///
    /// # Panics
    ///
    /// When an origin does not have the form `scheme://host` or `scheme://host:port`.
    #[must_use]
    pub fn allow_origins<'o>(mut self, origins: impl IntoIterator<Item = &'o str>) -> Self {
        let list = origins.into_iter().map(|text| {
            Origin::parse(text)
                .unwrap_or_else(|| panic!("{text:?} is not an origin: write it as \"https://ops.example.com\""))
        });
        self.origins = Arc::new(Origins::List(list.collect()));
        self
    }

    /// Accepts web pages of the host to which they connect, whatever its scheme, and no others. A dashboard that the same
    /// server delivers needs this. Behind a proxy the host is that of the `Host` header that the proxy passes on.
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.origins = Arc::new(Origins::SameHost);
        self
    }

    /// Sets the subprotocols (RFC 6455 section 1.9) of this server.
    ///
    /// The first one of the client's list that is among them is agreed on, and is the connection's extension
    /// [`Subprotocol`](crate::server::Subprotocol). A client that asks for none of them is accepted without one; `build_id`
    /// may reject it.
    #[must_use]
    pub fn protocols<'p>(mut self, protocols: impl IntoIterator<Item = &'p str>) -> Self {
        self.protocols = protocols.into_iter().map(str::to_owned).collect();
        self
    }

    /// Accepts connections until the hub shuts down. Connections that wait in the system's queue by then get 503.
    ///
    /// A handshake that fails ends its own connection alone. When accepting fails, as it does without a free file
    /// descriptor, it continues after a pause.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped, it stops accepting. Handshakes in progress continue, and open connections stay.
    pub async fn serve(self, listener: TcpListener) {
        accept::each(self, listener, |upgrade, stream, peer, place| async move {
            // The observer has received the error.
            let _ = admit::stream(&upgrade, stream, Some(peer), place).await;
        })
        .await;
    }

    /// As [`serve`](Self::serve), with TLS: for clients of `wss://`. A TLS handshake that fails ends its own connection
    /// alone, and is reported to [`Observer::tls_failed`](crate::Observer::tls_failed).
    ///
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) is for the handshakes of TLS and of WebSocket
    /// together, and [`HubBuilder::max_handshakes`](crate::server::HubBuilder::max_handshakes) counts both as one.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped, it stops accepting. Open connections stay.
    #[cfg(feature = "rustls")]
    pub async fn serve_tls(self, listener: TcpListener, tls: crate::server::tls::Tls) {
        accept::each(self, listener, |upgrade, stream, peer, place| {
            let tls = tls.clone();
            async move {
                // The observer has received the error.
                let _ = crate::server::tls::stream(&upgrade, stream, Some(peer), place, &tls).await;
            }
        })
        .await;
    }

    /// Makes a connection of a stream: reads the request, answers it, and runs the connection in a task of its own. `peer`
    /// reaches `build_id` as [`PeerAddr`].
    ///
    /// # Errors
    ///
    /// When the request is rejected or the stream breaks. The peer has its answer by then.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped before it is done, the stream is dropped with it, and the hub does not have the connection. A
    /// connection of the same id that it has replaced by then is closed all the same.
    pub async fn serve_connection<S>(
        &self,
        io: S,
        peer: Option<SocketAddr>,
    ) -> Result<Connection<E::Side, E::Peer>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut io = io;
        // A shutdown waits until the peer has its answer.
        let _handshake = self.hub.lifecycle().handshakes.token();
        let conn = match admit::place(&self.hub) {
            Ok(place) => admit::stream(self, io, peer, place).await?,
            Err(rejection) => return Err(admit::reject(&self.hub, &mut io, peer, rejection).await),
        };
        Ok(Connection::from_handle(conn))
    }

    /// As [`serve_connection`](Self::serve_connection), with TLS on the stream.
    ///
    /// # Errors
    ///
    /// When the TLS handshake fails, the request is rejected or the stream breaks. Where too many handshakes are in
    /// progress, or too many connections come from one address, the stream ends before TLS and without an answer: an answer
    /// would cost what the limits are to save.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped before it is done, the stream is dropped with it.
    #[cfg(feature = "rustls")]
    pub async fn serve_tls_connection<S>(
        &self,
        io: S,
        peer: Option<SocketAddr>,
        tls: &crate::server::tls::Tls,
    ) -> Result<Connection<E::Side, E::Peer>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let place = admit::place(&self.hub).map_err(|rejection| admit::reject_silently(&self.hub, peer, rejection))?;
        crate::server::tls::stream(self, io, peer, place, tls).await.map(Connection::from_handle)
    }

    /// Answers an upgrade request that an HTTP server built on hyper 1.x has received, and runs the connection once the
    /// upgrade is done.
    ///
    /// Any other request gets an HTTP error. A request that `build_id` has not decided about within
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) gets 408. Reading the request, and the time for it,
    /// is the HTTP server's.
    ///
    /// The server must support upgrades: `hyper::server::conn::http1::Builder::serve_connection(…).with_upgrades()`, or
    /// `axum::serve`. In axum, mount the handler with `route_service`:
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let hub = wsx::Hub::new();
    /// let upgrade = hub.ws_handler(wsx::unique_id, |_| {});
    /// let app: axum::Router = axum::Router::new().route_service("/ws", upgrade);
    /// axum::serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?, app).await
    /// # }
    /// ```
    ///
    /// # Shutdown
    ///
    /// Neither hyper nor axum knows the connections that it has upgraded, so their own graceful shutdown ends without them.
    /// Shut the hub down first, while the server goes on accepting. Late requests get 503, other pages are served until the
    /// last WebSocket has closed, and then the server ends in its own way.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn asked_to_stop() {}
    /// # async fn example(listener: tokio::net::TcpListener, app: axum::Router, hub: wsx::Hub) -> std::io::Result<()> {
    /// let hub_has_closed = async move {
    ///     asked_to_stop().await;
    ///     hub.shutdown(Duration::from_secs(10)).await;
    /// };
    /// axum::serve(listener, app).with_graceful_shutdown(hub_has_closed).await
    /// # }
    /// ```
    ///
    /// With hyper itself, that is the moment at which the accept loop ends and `graceful_shutdown` is called on each HTTP
    /// connection; `examples/src/bin/mount_hyper.rs` is a whole program.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped before it is done, the connection is not made. Once it has answered, the connection is made
    /// without it.
    #[cfg(feature = "hyper")]
    pub async fn upgrade<B>(&self, request: http::Request<B>) -> crate::server::hyper::Answer {
        crate::server::hyper::answer(self, request).await
    }
}

impl<E: Endpoint> Clone for WsHandler<E> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
            build_id: self.build_id.clone(),
            register: self.register.clone(),
            path: self.path.clone(),
            origins: self.origins.clone(),
            protocols: self.protocols.clone(),
        }
    }
}

impl<E: Endpoint> fmt::Debug for WsHandler<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsHandler")
            .field("hub", &self.hub)
            .field("path", &self.path)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
