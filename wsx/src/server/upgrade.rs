//! The handler of upgrade requests, with all its public methods.
//!
//! It serves a listener or a stream by itself, or is a service in the HTTP server of the program.
//! It does not know messages.
use crate::{
    catch_panic::{self, Guarded},
    connection::{Connection, handle::Handle},
    protocol::{
        endpoint::{Endpoint, Untyped},
        side::Side,
    },
    server::{
        accept_loop, establish,
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
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

/// Makes the ids `conn-0`, `conn-1` and so on, which are unique in this process. It is the
/// `build_id` of programs that do not choose ids.
///
/// # Errors
///
/// It never returns an error.
///
/// # Cancel safety
///
/// Cancel safe: it does not wait, and an id is never returned twice.
pub async fn unique_id(_: Parts) -> Result<String, Rejection> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    Ok(format!("conn-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The address of the peer, in the `extensions` of the request that `build_id` receives. It is the
/// address for which the limits count, and which the observer receives.
///
/// If the peer comes through one of the
/// [`trusted_proxies`](crate::server::HubBuilder::trusted_proxies), it is the address that the
/// proxy names. The port is then 0 if the proxy does not name it.
///
/// In an HTTP server of the program, it is there only if that server adds it to the request. With
/// the feature `axum`, the server can also add axum's `ConnectInfo<SocketAddr>`. A hub with
/// [`max_connections_per_address`](crate::server::HubBuilder::max_connections_per_address) or
/// `trusted_proxies` answers 500 to a request without an address, and the observer receives what to
/// add (row N4 of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// An error that [`WsHandler::serve_connection`] returns: the stream did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request was rejected, and the peer has received the answer.
    #[error("the handshake was rejected with {status}: {reason}")]
    Rejected {
        /// The HTTP status of the answer.
        status: StatusCode,
        /// The text of the answer.
        reason: String,
    },
    /// The request was a health check (row N3 of the specification), and has its answer. The
    /// observer does not receive it.
    #[error("the request was a health check, and was answered with {status}")]
    HealthCheck {
        /// The HTTP status of the answer: 200, or 503 from [`Hub::drain`](crate::Hub::drain) on.
        status: StatusCode,
    },
    /// The TLS handshake failed, or took longer than
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout). Only with the feature
    /// `rustls`.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// Code of the program panicked during the handshake, for example its stream. The stream was
    /// dropped.
    ///
    /// After a panic in `build_id` or `register`, the peer gets 500, and this is
    /// [`Rejected`](Self::Rejected).
    #[error("the program's code panicked during the handshake")]
    Panicked,
    /// The stream broke during the handshake.
    #[error("the stream broke during the handshake")]
    Io(#[source] io::Error),
}

/// Makes the id of a connection from its upgrade request.
type BuildId = dyn Fn(Parts) -> BoxFuture<'static, Result<Identity, Rejection>> + Send + Sync;

/// Runs for each new connection.
type Register = dyn Fn(&Handle) + Send + Sync;

/// A hub's handler of upgrade requests, which turns them into connections. A clone is cheap.
///
/// [`serve`](Self::serve) takes a listener. [`serve_connection`](Self::serve_connection) takes a
/// stream that the program has accepted. With the feature `hyper`, this is a service for hyper,
/// tower and axum's `route_service`.
pub struct WsHandler<E: Endpoint = Untyped> {
    /// The hub that receives the connections.
    pub(super) hub: Hub<E>,
    /// Given to `ws_handler`; makes the id of a connection.
    pub(super) build_id: Guarded<Arc<BuildId>>,
    /// Given to `ws_handler`; runs for each new connection.
    pub(super) register: Guarded<Arc<Register>>,
    /// The only path that is accepted, if there is one.
    pub(super) path: Option<Arc<str>>,
    /// The origins of web pages that are accepted.
    pub(super) origins: Arc<Origins>,
    /// The subprotocols of the server.
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
            build_id: Guarded::new(Arc::new(move |request| {
                let identity = build_id(request);
                Box::pin(async move { identity.await.map(Into::into) })
            })),
            register: Guarded::new(Arc::new(register)),
            path: None,
            origins: Arc::new(Origins::Any),
            protocols: Arc::default(),
        }
    }

    /// Accepts only requests for this path. Others get 404.
    ///
    /// Use it with [`serve`](Self::serve) and [`serve_connection`](Self::serve_connection). In an
    /// HTTP server, its router selects the path.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Accepts only web pages of these origins, for example `["https://ops.example.com"]`. Scheme,
    /// host and port must be equal (row X1 of the specification).
    ///
    /// Programs other than browsers do not send an `Origin` header, and are accepted. Without this
    /// call every origin is accepted, which is for development.
    ///
    /// # Panics
    ///
    /// Panics if an origin does not have the form `scheme://host` or `scheme://host:port`.
    #[must_use]
    pub fn allow_origins<'o>(mut self, origins: impl IntoIterator<Item = &'o str>) -> Self {
        let list = origins.into_iter().map(|text| {
            Origin::parse(text)
                .unwrap_or_else(|| panic!("{text:?} is not an origin: write it as \"https://ops.example.com\""))
        });
        self.origins = Arc::new(Origins::List(list.collect()));
        self
    }

    /// Accepts only web pages of the host to which they connect, with any scheme.
    ///
    /// Use it for a dashboard that comes from the same server. The host is the one in the `Host`
    /// header. If a trusted proxy sent the request, it is the one in `X-Forwarded-Host`, if there
    /// is one. The observer receives the origin and the host that were not equal (row N5 of the
    /// specification).
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.origins = Arc::new(Origins::SameHost);
        self
    }

    /// Sets the subprotocols (RFC 6455 section 1.9) of this server.
    ///
    /// The server selects the first one in the client's list that it has. Both ends then read it
    /// with [`Connection::subprotocol`]. A client that requests only others is accepted without a
    /// subprotocol; `build_id` can reject it.
    #[must_use]
    pub fn protocols<'p>(mut self, protocols: impl IntoIterator<Item = &'p str>) -> Self {
        self.protocols = protocols.into_iter().map(str::to_owned).collect();
        self
    }

    /// Accepts connections until the hub shuts down. Connections that then wait in the queue of the
    /// operating system get 503.
    ///
    /// A failed handshake ends only its own connection; the observer receives it. When accepting
    /// fails, for example without a free file descriptor, it continues after a pause (row R15 of
    /// the specification).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping this future closes the listener, and resets the connections in its
    /// queue. Handshakes in progress continue, and open connections stay.
    pub async fn serve(self, listener: TcpListener) {
        accept_loop::each(self, listener, |upgrade, stream, peer, place| async move {
            // The observer has already received the error.
            let _ = establish::stream(&upgrade, stream, Some(peer), place).await;
        })
        .await;
    }

    /// As [`serve`](Self::serve), with TLS, for clients of `wss://`.
    /// [`Observer::tls_failed`](crate::Observer::tls_failed) receives a failed TLS handshake.
    ///
    /// The TLS handshake and the WebSocket handshake share
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout), and count as one for
    /// [`HubBuilder::max_handshakes`](crate::server::HubBuilder::max_handshakes) (row L6 of the
    /// specification).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping this future closes the listener, and resets the connections in its
    /// queue. Handshakes in progress continue, and open connections stay.
    #[cfg(feature = "rustls")]
    pub async fn serve_tls(self, listener: TcpListener, tls: crate::server::tls::Tls) {
        accept_loop::each(self, listener, |upgrade, stream, peer, place| {
            let tls = tls.clone();
            async move {
                // The observer has already received the error.
                let _ = crate::server::tls::stream(&upgrade, stream, Some(peer), place, &tls).await;
            }
        })
        .await;
    }

    /// Makes the handshake on a stream, and starts the connection in its own task. `build_id`
    /// receives `peer` as [`PeerAddr`].
    ///
    /// # Errors
    ///
    /// - [`HandshakeError::Rejected`]: the request was rejected, and the peer has received the
    ///   answer. At the maximum number of handshakes the peer receives it only if the stream takes
    ///   it at once.
    /// - [`HandshakeError::Io`]: the stream broke.
    /// - [`HandshakeError::Panicked`]: the stream panicked.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped before it is done, the stream is dropped, and the
    /// hub does not have the connection. If the new connection had already replaced one with the
    /// same id, that one stays closed.
    pub async fn serve_connection<S>(
        &self,
        io: S,
        peer: Option<SocketAddr>,
    ) -> Result<Connection<E::Side, E::Peer>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // A shutdown waits until the peer has its answer.
        let _handshake = self.hub.lifecycle().handshakes.token();
        let mut io = io;
        guarded(async {
            match establish::place(&self.hub, peer).await {
                Ok(place) => establish::stream(self, io, peer, place).await,
                Err(rejection) => Err(establish::reject_at_once(&self.hub, &mut io, peer, rejection).await),
            }
        })
        .await
    }

    /// As [`serve_connection`](Self::serve_connection), with TLS on the stream.
    ///
    /// # Errors
    ///
    /// As [`serve_connection`](Self::serve_connection). Also [`HandshakeError::Tls`]: the TLS
    /// handshake failed.
    ///
    /// If a limit on connections, handshakes or addresses is reached, the stream is closed before
    /// TLS, without an answer. A TLS handshake would cost the resources that the limits protect.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_connection`](Self::serve_connection).
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
        guarded(async {
            match establish::place(&self.hub, peer).await {
                Ok(place) => crate::server::tls::stream(self, io, peer, place, tls).await,
                Err(rejection) => Err(establish::reject_silently(&self.hub, peer, rejection)),
            }
        })
        .await
    }

    /// Answers an upgrade request that an HTTP server with hyper 1.x has received, and starts the
    /// connection after the upgrade.
    ///
    /// Any other request gets an HTTP error. If `build_id` does not decide within
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout), the answer is 408. Reading
    /// the request, and the time for it, is a matter of the HTTP server.
    ///
    /// The server must support upgrades. That is
    /// `hyper::server::conn::http1::Builder::serve_connection(…).with_upgrades()`, or
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
    /// hyper and axum do not know the connections that they have upgraded, so their own graceful
    /// shutdown does not wait for them (row X8 of the specification). Shut the hub down first,
    /// while the server still accepts. Late requests then get 503, and other pages are served until
    /// the last WebSocket has closed. Then the server ends in its own way.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn asked_to_stop() {}
    /// # use {axum::Router, tokio::net::TcpListener, wsx::Hub};
    /// # async fn example(listener: TcpListener, app: Router, hub: Hub) -> std::io::Result<()> {
    /// let hub_has_closed = async move {
    ///     asked_to_stop().await;
    ///     hub.shutdown(Duration::from_secs(10)).await;
    /// };
    /// axum::serve(listener, app).with_graceful_shutdown(hub_has_closed).await
    /// # }
    /// ```
    ///
    /// With hyper alone, end the accept loop at that moment, and call `graceful_shutdown` on each
    /// HTTP connection. `examples/src/bin/mount_hyper.rs` is a complete program.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped before it is done, the connection is not made.
    /// After it has returned the answer, the connection starts by itself.
    #[cfg(feature = "hyper")]
    pub async fn upgrade<B>(&self, request: http::Request<B>) -> crate::server::hyper::Answer {
        crate::server::hyper::answer(self, request).await
    }
}

/// Makes a handshake on a stream of the program, which may panic.
async fn guarded<S: Side, To>(
    handshake: impl Future<Output = Result<Handle, HandshakeError>>,
) -> Result<Connection<S, To>, HandshakeError> {
    let made = catch_panic::run(Box::pin(handshake)).await.unwrap_or(Err(HandshakeError::Panicked));
    made.map(Connection::from_handle)
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
