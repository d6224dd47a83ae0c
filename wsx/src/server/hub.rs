//! The server's registry of connections, with all public methods of the hub.
//!
//! Knows neither sockets nor HTTP: `upgrade` makes connections of requests.
#[cfg(feature = "server")]
use crate::server::{
    builder::HubBuilder,
    identity::Identity,
    rejection::Rejection,
    upgrade::{self, WsHandler},
};
use crate::{
    config::Config,
    connection::{Connection, handle::Handle, queue::PushError, sending::Sending},
    dispatch::program::Program,
    envelope::SentBy,
    error::SendError,
    observer::Observer,
    protocol::endpoint::{Endpoint, Untyped},
    server::{admission::Admission, registry::Registry, shutdown},
    wire::close_code::CloseCode,
    wire::write::Frame,
};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{fmt, sync::Arc, time::Duration};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The server's registry of connections, with the endpoint whose handlers run on them. Cheap to clone; all clones are one
/// hub.
///
/// [`Hub::new`] is the plain form. [`Hub::builder`] takes an endpoint with state, bounds and an observer.
pub struct Hub<E = Untyped>(Arc<Inner<E>>);

struct Inner<E> {
    program: Program<E>,
    registry: Registry,
    admission: Arc<Admission>,
    /// What the builder's `on_connect` was given.
    on_connect: Option<Box<OnConnect>>,
    lifecycle: Lifecycle,
}

pub(crate) type OnConnect = dyn Fn(&Handle) + Send + Sync;

/// What a shutdown triggers and waits for.
#[derive(Default)]
pub(crate) struct Lifecycle {
    /// The task of each connection, its end included.
    pub(crate) tasks: TaskTracker,
    /// Listeners, and handshakes in progress.
    pub(crate) handshakes: TaskTracker,
    /// Triggered when a shutdown begins: no more connections.
    pub(crate) stop: CancellationToken,
    /// Triggered when the grace period of a shutdown has expired.
    pub(crate) kill: CancellationToken,
}

#[cfg(feature = "server")]
impl Hub {
    /// Creates a hub of the untyped endpoint, on which handlers without `on = …` register.
    ///
    /// There may be none: `register` can add handlers to each connection. [`Hub::builder`] reports a hub without handlers
    /// as an error, and takes other endpoints.
    ///
    /// # Panics
    ///
    /// When the handlers do not fit together, with a line for every problem. [`Hub::builder`] returns them instead.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let hub = wsx::Hub::new();
    /// hub.serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?).await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "it collects handlers and may panic, which nobody expects of a default"
    )]
    pub fn new() -> Self {
        Self::builder().without_handlers().build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns a builder, which takes an endpoint, state, bounds and an observer.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }
}

#[cfg(feature = "server")]
impl<E: Endpoint> Hub<E> {
    /// Returns the types that have a handler, the reserved ones included, in alphabetical order.
    #[must_use]
    pub fn handled_types(&self) -> Vec<String> {
        self.program().router.types()
    }

    /// Accepts connections until the hub shuts down. Their ids come from [`unique_id`](crate::unique_id).
    ///
    /// To choose ids, or to reject a request, use [`ws_handler`](Self::ws_handler) and [`WsHandler::serve`].
    ///
    /// # Cancel safety
    ///
    /// As [`WsHandler::serve`].
    pub async fn serve(&self, listener: tokio::net::TcpListener) {
        self.ws_handler(upgrade::unique_id, |_| {}).serve(listener).await;
    }

    /// As [`serve`](Self::serve), with TLS: for clients of `wss://`.
    ///
    /// # Cancel safety
    ///
    /// As [`WsHandler::serve_tls`].
    #[cfg(feature = "rustls")]
    pub async fn serve_tls(&self, listener: tokio::net::TcpListener, tls: crate::server::tls::Tls) {
        self.ws_handler(upgrade::unique_id, |_| {}).serve_tls(listener, tls).await;
    }

    /// Returns the handler of upgrade requests: it serves a listener, or is mounted at a path of an HTTP server.
    ///
    /// `build_id` makes the connection's id from the upgrade request, before the upgrade. It may look things up, and
    /// reject the request with a status. It is dropped when the peer ends the stream, the handshake takes too long, or the
    /// hub shuts down. `register` sees each new connection before its first message. A panic in either rejects the request
    /// with 500.
    ///
    /// A new connection with a known id replaces the old one, which closes with
    /// [`CloseCode::REPLACED`](crate::CloseCode::REPLACED). So ids must be unique. Two boxes with one id, such as from the
    /// same disk image, replace each other for ever, because each connects again. An [`Observer`] sees them close with
    /// 4000.
    ///
    /// In axum, mount it with `route_service`: `Router::new().route_service("/ws", hub.ws_handler(device_id, |_| {}))`.
    ///
    /// ```standalone_crate
    /// use wsx::{Hub, Rejection, http::{StatusCode, request::Parts}};
    ///
    /// async fn device_id(request: Parts) -> Result<String, Rejection> {
    ///     let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
    ///     id.map(str::to_owned).ok_or(Rejection::new(StatusCode::BAD_REQUEST, "no id"))
    /// }
    ///
    /// let upgrade = Hub::new().ws_handler(device_id, |conn| println!("{} is here", conn.id()));
    /// ```
    pub fn ws_handler<F, Fut, I, R>(&self, build_id: F, register: R) -> WsHandler<E>
    where
        F: Fn(http::request::Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, Rejection>> + Send + 'static,
        I: Into<Identity>,
        R: Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static,
    {
        WsHandler::new(self.clone(), build_id, move |conn| register(Connection::of(conn)))
    }
}

impl<E: Endpoint> Hub<E> {
    /// Returns the endpoint's value: the state that the handlers see.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.program().endpoint
    }

    /// Queues a message or an envelope for one connection, and waits for room in its queue.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchConnection`] when no connection has this id, [`SendError::Closed`] when the connection ends
    /// while this waits, [`SendError::Encode`] when the message cannot be written as JSON.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_to<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, id: &str, message: &M) -> Sending<'static> {
        let conn = self.0.registry.get(id).ok_or_else(|| SendError::NoSuchConnection(id.to_owned()));
        Sending::on_owned(conn, message.encode(Role::Server).map(Frame::into_bytes))
    }

    /// Queues a message or an envelope once for every connection. Returns how many accepted it.
    ///
    /// The message is encoded once. Connections with room get it at once. Then this waits for the full ones, all at the
    /// same time, each until it has room or its write timeout ends it.
    ///
    /// # Errors
    ///
    /// [`SendError::Encode`] when the message cannot be written as JSON. It is not sent to any connection then.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped before its first poll, no connection gets the message. If it is dropped later, connections that
    /// were full may not get it; all others have it.
    pub fn broadcast<M: SentBy<E::Side, E::Peer> + ?Sized>(
        &self,
        message: &M,
    ) -> BoxFuture<'_, Result<usize, SendError>> {
        let frame = message.encode(Role::Server).map(Frame::into_bytes);
        // Boxed, so that its type does not name the message: see `sending`.
        Box::pin(async move {
            let frame = frame?;
            let (mut accepted, full) = self.offer(&frame);
            let mut waiting: FuturesUnordered<_> =
                full.iter().map(|conn| Sending::on(conn, Ok(frame.clone()))).collect();
            while let Some(done) = waiting.next().await {
                accepted += usize::from(done.is_ok());
            }
            Ok(accepted)
        })
    }

    /// Queues the frame for all connections with room. Returns their number, and the full ones.
    fn offer(&self, frame: &Bytes) -> (usize, Vec<Handle>) {
        let (mut accepted, mut full) = (0, Vec::new());
        self.0.registry.for_each(|conn| match conn.try_push(frame.clone()) {
            Ok(()) => accepted += 1,
            Err(PushError::Full) => full.push(conn.clone()),
            Err(PushError::Closed) => {}
        });
        (accepted, full)
    }

    /// Returns the connection with this id.
    #[must_use]
    pub fn connection(&self, id: &str) -> Option<Connection<E::Side, E::Peer>> {
        self.0.registry.get(id).map(Connection::from_handle)
    }

    /// Returns the ids of all connections, in no order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.registry.ids()
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.registry.len()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many messages had no handler since the start: unknown types, and raw frames without a `__raw__` handler.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.program().ignored()
    }

    /// Closes the hub gracefully. New connections are rejected with 503. Queued messages are sent, then every connection is
    /// closed with code 1001. Running handlers, `__close__` handlers and observers finish first.
    ///
    /// Returns the number of connections that were still open when `grace` expired. Those are dropped.
    ///
    /// [`WsHandler::serve`](crate::server::WsHandler::serve) stops accepting and returns. Requests in the middle of a
    /// handshake, `build_id` included, get 503 too. Messages that a peer sent before it learned of the close are still
    /// handled. Sends fail with [`SendError::Closed`] from the beginning on. The reply of a handler that started before the
    /// shutdown is sent before 1001, which waits for it for a quarter of
    /// [`Config::close_timeout`](crate::Config::close_timeout); replies of later handlers are dropped.
    ///
    /// A grace period of 10 s, the default of `Config::close_timeout`, leaves healthy peers all the time that they have
    /// anyway: a connection that passes its `close_timeout` is dropped before, and not counted. When the grace period
    /// expires, frames that the socket takes at once are still written, the close frame included, and `__close__` handlers
    /// have one second. A grace period of zero does that at once.
    ///
    /// Every call waits until the hub has closed; with several calls, the shortest grace period applies. Do not await this
    /// in one of the hub's own handlers: the shutdown waits for that handler. Spawn a task instead.
    ///
    /// # Cancel safety
    ///
    /// A shutdown that has begun goes on if this is dropped, its grace period included.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # use std::time::Duration;
    /// let hub = wsx::Hub::new();
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await?;
    /// let serving = tokio::spawn({ let hub = hub.clone(); async move { hub.serve(listener).await } });
    /// # async fn asked_to_stop() {}
    /// asked_to_stop().await;
    /// let cut_off = hub.shutdown(Duration::from_secs(10)).await;
    /// // The listener serves until the hub has closed, to answer late requests.
    /// serving.await?;
    /// println!("{cut_off} connections were cut off");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let Lifecycle { stop, tasks, .. } = self.lifecycle();
        stop.cancel();
        // In a task of its own, so that every connection is closed even if this future is dropped.
        let hub = self.clone();
        let ending = tokio::spawn(async move { shutdown::run(&hub, grace).await });
        // It fails only when its runtime ends.
        ending.await.unwrap_or_else(|_| tasks.len())
    }
}

impl<E> Hub<E> {
    pub(crate) fn from_parts(
        program: Program<E>,
        admission: Arc<Admission>,
        on_connect: Option<Box<OnConnect>>,
    ) -> Self {
        Self(Arc::new(Inner {
            program,
            registry: Registry::default(),
            admission,
            on_connect,
            lifecycle: Lifecycle::default(),
        }))
    }

    /// Adds a connection with this id to the registry. The connection that had the id closes with 4000, because an edge box
    /// comes back before the server has noticed that its old link is dead. Returns `None` after a shutdown has begun.
    pub(crate) fn open(&self, id: Arc<str>) -> Option<Handle> {
        let conn = Handle::new(id.clone(), Role::Server, self.config());
        let replaced = self.0.registry.insert(&conn, id, || !self.lifecycle().stop.is_cancelled()).ok()?;
        if let Some(old) = replaced {
            old.close(CloseCode::REPLACED, "this id has connected again".into());
        }
        Some(conn)
    }

    /// Removes this very connection, never one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle) {
        self.0.registry.remove(conn);
    }

    pub(crate) fn program(&self) -> &Program<E> {
        &self.0.program
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.program.config
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.0.program.observer
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    pub(crate) fn on_connect(&self) -> Option<&OnConnect> {
        self.0.on_connect.as_deref()
    }
}

impl<E> Clone for Hub<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Hub<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &E::NAME).field("connections", &self.len()).finish_non_exhaustive()
    }
}
