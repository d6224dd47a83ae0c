//! The hub's doors: how handshakes become connections, standalone or behind the user's own HTTP server.
use crate::{
    catch_panic,
    config::Config,
    connection::Connection,
    connection::closed::{Closed, ClosedBy},
    dispatch::handler::{FromMessage, IntoReply, by_hand},
    dispatch::router::{Added, Empty, End, Router, Scope},
    error::StartError,
    observer::{Blind, Observer},
    protocol::endpoint::{Endpoint, Untyped},
    server::admission::{Admission, Counted, Limits},
    server::handshake::{self, HeadError, Identity, Origin, Origins, Reject},
    server::hub::{Hub, Parts},
    task::drive,
    task::tcp_options,
    task::transport::{Raw, Transport},
};
use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    panic::Location,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    http::{self, Request, Response, StatusCode, header::SEC_WEBSOCKET_PROTOCOL, request::Parts as RequestParts},
    protocol::Role,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// After a failed accept, such as one without a file descriptor left, the listener waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a refused peer may take to read its answer.
pub(crate) const REFUSAL: Duration = Duration::from_secs(1);

impl Hub {
    /// A hub of the untyped endpoint, on which handlers without `on = …` register. There may be none: `register` can add
    /// them to each connection. `Hub::builder().build()` refuses to be without, and says whether there are some on endpoints of
    /// their own, which want [`Hub::with`].
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
    /// let door = hub.ws_handler(wsx::unique_id, |conn| println!("{} is here", conn.id()));
    /// door.listen(tokio::net::TcpListener::bind("127.0.0.1:9001").await?).await;
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

    /// For a hub of the untyped endpoint with state, or with bounds of its own.
    #[must_use]
    pub fn builder() -> HubBuilder {
        Self::builder_with(Untyped::default())
    }
}

impl<E: Endpoint> Hub<E> {
    /// A hub whose connections run the handlers of this endpoint, which carries their state.
    ///
    /// # Panics
    ///
    /// When the handlers do not fit together, with a line for every problem. [`Hub::builder_with`] returns them instead.
    #[must_use]
    pub fn with(endpoint: E) -> Self {
        Self::builder_with(endpoint).build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// For a hub of this endpoint with bounds of its own, or an observer.
    #[must_use]
    pub fn builder_with(endpoint: E) -> HubBuilder<E> {
        HubBuilder {
            endpoint,
            config: Config::default(),
            observer: Arc::new(Blind),
            limits: Limits::default(),
            added: Vec::new(),
            empty: Empty::Refused,
        }
    }

    /// The types that have a handler, the reserved ones included, in alphabetical order.
    #[must_use]
    pub fn handled_types(&self) -> Vec<String> {
        self.table().types()
    }

    pub(crate) fn table(&self) -> Arc<Router<E>> {
        self.router().downcast().expect("the builder made it for this endpoint")
    }

    /// A door for connections, to mount at a path of an HTTP server or to listen on its own.
    ///
    /// `build_id` makes the connection's id from the upgrade request, before the upgrade; it may look things up, and
    /// refuse with a status. It is dropped when the peer has gone, the handshake takes too long, or the hub shuts down
    /// meanwhile. `register` sees each new connection before its first message. A panic in either
    /// refuses the request with 500.
    ///
    /// An id that is here already replaces the connection that has it, which closes with
    /// [`CLOSE_REPLACED`](crate::CLOSE_REPLACED). So ids must be unique: two boxes that have one id, such as from the same
    /// image of a disk, replace each other for ever, as each connects again. An [`Observer`] sees them close with 4000.
    ///
    /// ```standalone_crate
    /// use wsx::{Hub, Reject, http::{StatusCode, request::Parts}};
    ///
    /// async fn device_id(request: Parts) -> Result<String, Reject> {
    ///     let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
    ///     id.map(str::to_owned).ok_or(Reject::new(StatusCode::BAD_REQUEST, "no id"))
    /// }
    ///
    /// let door = Hub::new().ws_handler(device_id, |conn| println!("{} is here", conn.id()));
    /// ```
    pub fn ws_handler<F, Fut, I, R>(&self, build_id: F, register: R) -> WsHandler<E>
    where
        F: Fn(RequestParts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, Reject>> + Send + 'static,
        I: Into<Identity>,
        R: Fn(&Connection) + Send + Sync + 'static,
    {
        WsHandler {
            hub: self.clone(),
            router: self.table(),
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
}

/// A `build_id` for programs that do not care: `conn-0`, `conn-1` and so on, unique in this process.
///
/// # Errors
///
/// Never.
///
/// # Cancel safety
///
/// Cancel safe: it does not wait. An id is never given twice.
pub async fn unique_id(_: RequestParts) -> Result<String, Reject> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Ok(format!("conn-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Builds a [`Hub`].
///
/// ```standalone_crate
/// use std::time::Duration;
/// use wsx::{Config, Hub, State};
///
/// #[wsx::handler("hello")]
/// fn on_hello(name: String, State(greeting): State<&'static str>) {
///     println!("{greeting}, {name}");
/// }
///
/// let hub = Hub::builder()
///     .state("welcome")
///     .config(Config::default().write_timeout(Duration::from_secs(5)))
///     .on("bye", |name: String, conn: wsx::Connection| async move { conn.close() })
///     .build()?;
/// # Ok::<_, wsx::StartError>(())
/// ```
pub struct HubBuilder<E: Endpoint = Untyped> {
    endpoint: E,
    config: Config,
    observer: Arc<dyn Observer>,
    limits: Limits,
    added: Vec<Added>,
    empty: Empty,
}

impl HubBuilder {
    /// Gives the handlers a value of this type, which they take as [`State<T>`](crate::State). A second one of the same
    /// type takes the first one's place.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.endpoint.0.insert(value);
        self
    }

    /// Adds a handler for all connections by hand, as [`Connection::register_handler`] does for one.
    #[must_use]
    #[track_caller]
    pub fn on<T, Via, F, Fut>(mut self, message_type: impl Into<String>, handler: F) -> Self
    where
        T: FromMessage<Via> + 'static,
        Via: 'static,
        F: Fn(T, Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoReply> + Send + 'static,
    {
        self.added.push(Added { message_type: message_type.into(), handler: by_hand(handler), at: Location::caller() });
        self
    }
}

impl<E: Endpoint> HubBuilder<E> {
    /// The bounds of every connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Who sees what goes wrong.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Most connections at a time, those that are closing included; default 100,000. One more is told 503.
    ///
    /// Too low: honest boxes stay outside. Too high: the memory of all of them, 3 KB when idle, 8 KB over TLS, and up to
    /// [`Config::max_message_size`] and [`Config::queue_bytes`] when not.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// Most connections and handshakes of one address at a time; by default as many as in all, since behind a proxy or a
    /// NAT many have one. One more is told 429. In IPv6 a /64 network counts as one address.
    ///
    /// Counts where the address is known: in [`WsHandler::listen`], and in [`WsHandler::serve_stream`] with a `peer`.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.limits.connections_per_address = connections;
        self
    }

    /// Most handshakes that are half done at a time; default 1,024. While there are as many, [`WsHandler::listen`] accepts
    /// no more, and [`WsHandler::serve_stream`] answers 503.
    ///
    /// Each holds up to 16 KiB, and at most for [`Config::handshake_timeout`].
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.limits.handshakes = handshakes;
        self
    }

    /// Builds even if no handler is found: the hub only sends, or each connection brings its own handlers.
    #[must_use]
    pub fn without_handlers(mut self) -> Self {
        self.empty = Empty::Allowed;
        self
    }

    /// Collects the handlers.
    ///
    /// # Errors
    ///
    /// Two handlers for one type, state that was not given, no handler at all: every problem, with file and line.
    pub fn build(self) -> Result<Hub<E>, StartError> {
        let Self { endpoint, config, observer, limits, added, empty } = self;
        let router = Arc::new(Router::build(&endpoint, added, End::Hub, empty)?);
        let admission = Arc::new(Admission::new(limits));
        Ok(Hub::from_parts(Parts { endpoint, config, observer, admission, router }))
    }
}

impl<E: Endpoint> fmt::Debug for HubBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("endpoint", &E::NAME)
            .field("config", &self.config)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The address that a connection comes from, in the `extensions` of the request that `build_id` sees. Where the HTTP
/// server is the user's own, it is there only if that server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

type BuildId = dyn Fn(RequestParts) -> Pin<Box<dyn Future<Output = Result<Identity, Reject>> + Send>> + Send + Sync;

/// A hub's door: takes handshakes and makes connections of them. Cheap to clone.
///
/// Use [`listen`](Self::listen) for a server of its own, [`serve_stream`](Self::serve_stream) for a stream that the
/// program has accepted itself. With the feature `hyper` it is a service that hyper, tower and axum's `route_service`
/// take.
pub struct WsHandler<E: Endpoint = Untyped> {
    hub: Hub<E>,
    router: Arc<Router<E>>,
    build_id: Arc<BuildId>,
    register: Arc<dyn Fn(&Connection) + Send + Sync>,
    path: Option<Arc<str>>,
    origins: Arc<Origins>,
    protocols: Arc<[String]>,
}

/// A stream did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request was refused, and has been told so.
    #[error("refused with {status}: {why}")]
    Refused {
        /// The HTTP status of the answer.
        status: StatusCode,
        /// The answer's text.
        why: String,
    },
    /// The TLS handshake failed, or took longer than [`Config::handshake_timeout`]. Of the feature `rustls` alone.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The stream broke.
    #[error("the stream broke during the handshake")]
    Io(#[source] io::Error),
}

impl<E: Endpoint> WsHandler<E> {
    /// Lets in this path alone; others get 404. For [`listen`](Self::listen) and [`serve_stream`](Self::serve_stream): behind an HTTP
    /// server, its router decides.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Lets in web pages of these origins alone, as in `["https://ops.example.com"]`: scheme, host and port must be the
    /// same. Programs that are no browsers send no `Origin`, and are let in. Without this call every origin is, which is
    /// for development.
    ///
    /// # Panics
    ///
    /// When one is not of the form `scheme://host` or `scheme://host:port`.
    #[must_use]
    pub fn allow_origins<'o>(mut self, origins: impl IntoIterator<Item = &'o str>) -> Self {
        let list = origins.into_iter().map(|text| {
            Origin::parse(text)
                .unwrap_or_else(|| panic!("{text:?} is no origin; write it as \"https://ops.example.com\""))
        });
        self.origins = Arc::new(Origins::List(list.collect()));
        self
    }

    /// Lets in web pages of the host that they connect to, whatever its scheme, and no others: what a dashboard needs that
    /// the same server delivers. Behind a proxy it takes the `Host` header that the proxy passes on.
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.origins = Arc::new(Origins::SameHost);
        self
    }

    /// The subprotocols (RFC 6455 section 1.9) that are spoken here. The first one of the client's list that is among them
    /// is agreed on, and is the connection's extension [`Subprotocol`](crate::Subprotocol). A client that asks for none of
    /// them is let in without one; `build_id` may turn it away.
    #[must_use]
    pub fn protocols<'p>(mut self, protocols: impl IntoIterator<Item = &'p str>) -> Self {
        self.protocols = protocols.into_iter().map(str::to_owned).collect();
        self
    }

    /// Accepts connections until the hub shuts down; those whom the system has let in by then are told 503. A handshake
    /// that fails ends its own connection alone; when accepting fails, as it does without a file descriptor left, it goes
    /// on after a pause.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting; handshakes that have begun go on, and connections that are open stay.
    pub async fn listen(self, listener: TcpListener) {
        self.accept_each(listener, |door, stream, peer, place| async move {
            // The observer has seen it.
            let _ = door.serve(stream, Some(peer), place).await;
        })
        .await;
    }

    /// Accepts connections until the hub shuts down, and runs `serve` for each in a task of its own. It is given the
    /// connection's place among the half-done handshakes.
    pub(crate) async fn accept_each<F, Fut>(self, listener: TcpListener, serve: F)
    where
        F: Fn(Self, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Makes a shutdown wait until the last have their answer.
        let _door = self.hub.doors().token();
        let stop = self.hub.stop().clone();
        let handshakes = self.hub.admission().handshakes.clone();
        loop {
            // With as many half-done handshakes as there may be, those who come wait in the system's queue.
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async { (handshakes.clone().acquire_owned().await, listener.accept().await) } => accepted,
            };
            let (Ok(place), accepted) = accepted else { unreachable!("nobody closes the semaphore") };
            let Ok((stream, peer)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            self.spawn(&serve, stream, peer, place);
        }
        // More may come all the time, so this has an end.
        let _ = timeout(REFUSAL, self.answer_waiting(listener, serve)).await;
    }

    fn spawn<F, Fut>(&self, serve: &F, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit)
    where
        F: Fn(Self, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        tcp_options::prepare(&stream, self.hub.config());
        tokio::spawn(self.hub.doors().track_future(serve(self.clone(), stream, peer, place)));
    }

    /// Takes those who wait in the system's queue, each of whom is told 503: a listener that is dropped resets them.
    async fn answer_waiting<F, Fut>(&self, listener: TcpListener, serve: F)
    where
        F: Fn(Self, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Tokio's own `accept` waits for the next one.
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            // Handshakes that are half done are being refused, and give their places back.
            let Ok(place) = self.hub.admission().handshakes.clone().acquire_owned().await else { return };
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.spawn(&serve, stream, peer, place);
            }
        }
    }

    /// Makes a connection of a stream: reads the request, answers it, and runs the connection in a task of its own, which
    /// keeps nothing of the handshake. `peer` reaches `build_id` as [`PeerAddr`].
    ///
    /// # Errors
    ///
    /// When the request is refused or the stream breaks. The peer has its answer by then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the stream is dropped with it, and the hub has no such connection. One of the same id that it
    /// has replaced by then is closed all the same.
    pub async fn serve_stream<S>(&self, mut stream: S, peer: Option<SocketAddr>) -> Result<Connection, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Makes a shutdown wait until the peer has its answer.
        let _door = self.hub.doors().token();
        match self.place() {
            Ok(place) => self.serve(stream, peer, place).await,
            Err(reject) => Err(self.refuse(&mut stream, peer, reject).await),
        }
    }

    async fn serve<S>(
        &self,
        mut stream: S,
        peer: Option<SocketAddr>,
        place: OwnedSemaphorePermit,
    ) -> Result<Connection, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self.begin(peer, place) {
            Ok(begun) => self.handshake(stream, begun, http::Extensions::new()).await,
            Err(reject) => Err(self.refuse(&mut stream, peer, reject).await),
        }
    }

    /// A place among the half-done handshakes, if one is free.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Reject> {
        let place = self.hub.admission().handshakes.clone().try_acquire_owned();
        place.map_err(|_| Reject::new(StatusCode::SERVICE_UNAVAILABLE, "too many handshakes are half done"))
    }

    /// Begins a handshake, whose time runs from now on.
    pub(crate) fn begin(&self, peer: Option<SocketAddr>, place: OwnedSemaphorePermit) -> Result<Begun, Reject> {
        let counted = self
            .hub
            .admission()
            .count(peer.map(|peer| peer.ip()))
            .map_err(|()| Reject::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"))?;
        Ok(Begun { peer, counted, _place: place, since: Instant::now(), limit: self.hub.config().handshake_timeout })
    }

    /// Reads the request and answers it. `extensions` reach `build_id` with it.
    pub(crate) async fn handshake<S>(
        &self,
        mut stream: S,
        begun: Begun,
        extensions: http::Extensions,
    ) -> Result<Connection, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Begun { peer, limit, .. } = begun;
        let handshake = async {
            let (mut request, early) = handshake::read_head(&mut stream).await?;
            request.extensions_mut().extend(extensions);
            let (answer, identity) = self.admit(request, peer).await.map_err(HeadError::Refused)?;
            Ok((answer, identity, early))
        };
        let handshake = tokio::select! {
            biased;
            () = self.hub.stop().cancelled() => Err(HeadError::Refused(going_away())),
            result = timeout(begun.left(), handshake) => result.unwrap_or_else(|_| Err(HeadError::Refused(late(limit)))),
        };
        let (answer, identity, early) = match handshake {
            Ok(done) => done,
            Err(HeadError::Io(error)) => return Err(HandshakeError::Io(error)),
            Err(HeadError::Refused(reject)) => return Err(self.refuse(&mut stream, peer, reject).await),
        };
        let entered = match self.enter(identity) {
            Ok(entered) => entered.counted(begun.counted),
            Err(reject) => return Err(self.refuse(&mut stream, peer, reject).await),
        };
        let accepted = timeout(limit, handshake::accept(&mut stream, &answer)).await;
        accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(HandshakeError::Io)?;
        Ok(entered.run(Raw::new(stream, Role::Server, early, self.hub.config())))
    }

    async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        peer: Option<SocketAddr>,
        reject: Reject,
    ) -> HandshakeError {
        self.tell_refused(peer, &reject);
        let _ = timeout(REFUSAL, handshake::refuse(stream, &reject)).await;
        HandshakeError::Refused { status: reject.status, why: reject.body }
    }

    /// The answer is the same if the observer panics.
    pub(crate) fn tell_refused(&self, peer: Option<SocketAddr>, reject: &Reject) {
        let _ = catch_panic::call(|| self.hub.observer().refused(peer, reject.status, &reject.body));
    }

    /// Whether this request may become a connection, and whose.
    pub(crate) async fn admit(
        &self,
        request: Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<(Response<()>, Identity), Reject> {
        let mut answer = handshake::check(&request, &self.origins)?;
        if self.path.as_ref().is_some_and(|path| **path != *request.uri().path()) {
            return Err(Reject::new(StatusCode::NOT_FOUND, "there is nothing at this path"));
        }
        let (mut parts, ()) = request.into_parts();
        if let Some(peer) = peer {
            parts.extensions.insert(PeerAddr(peer));
        }
        let agreed = handshake::agree(&parts.headers, &self.protocols);
        let identified = catch_panic::run(async { (self.build_id)(parts).await }).await;
        let mut identity = identified.unwrap_or_else(|| Err(internal_error()))?;
        if let Some((protocol, header)) = agreed {
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, header);
            identity.extensions.insert(protocol);
        }
        Ok((answer, identity))
    }

    /// Enters a connection into the hub, and shows it to `register`.
    pub(crate) fn enter(&self, identity: Identity) -> Result<Entered<E>, Reject> {
        let token = self.hub.tasks().token();
        // This one included, and so exact however many come at once.
        if self.hub.tasks().len() > self.hub.admission().limits.connections {
            return Err(Reject::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
        }
        let conn = self.hub.open(identity.id).ok_or_else(going_away)?;
        conn.set_extensions(identity.extensions);
        let (hub, router) = (self.hub.clone(), self.router.clone());
        let entered = Entered { hub, router, conn, token, counted: None, running: false };
        catch_panic::call(|| (self.register)(&entered.conn)).map(|()| entered).ok_or_else(internal_error)
    }

    #[cfg(any(feature = "hyper", feature = "rustls"))]
    pub(crate) fn hub(&self) -> &Hub<E> {
        &self.hub
    }
}

/// A handshake that has begun, and what it holds until it is done.
pub(crate) struct Begun {
    pub(crate) peer: Option<SocketAddr>,
    counted: Option<Counted>,
    /// Among the half-done handshakes.
    _place: OwnedSemaphorePermit,
    since: Instant,
    /// How long it may take in all.
    pub(crate) limit: Duration,
}

impl Begun {
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }
}

/// A connection that is in the hub and has no socket yet. Dropped like this, it goes out again.
pub(crate) struct Entered<E: Endpoint> {
    hub: Hub<E>,
    router: Arc<Router<E>>,
    conn: Connection,
    /// Makes a shutdown wait.
    token: TaskTrackerToken,
    /// Boxed, since most hubs do not count addresses.
    counted: Option<Box<Counted>>,
    running: bool,
}

impl<E: Endpoint> Entered<E> {
    fn counted(mut self, counted: Option<Counted>) -> Self {
        self.counted = counted.map(Box::new);
        self
    }

    /// Runs the connection in a fresh task, so that nothing of the handshake stays in its memory.
    pub(crate) fn run(mut self, transport: impl Transport + 'static) -> Connection {
        self.running = true;
        let (hub, router, conn, token) = (self.hub.clone(), self.router.clone(), self.conn.clone(), self.token.clone());
        let counted = self.counted.take();
        let mut transport = Some(transport);
        tokio::spawn(async move {
            let scope = Scope {
                endpoint: hub.endpoint(),
                hub: Some(&hub),
                router: &router,
                config: hub.config(),
                observer: hub.observer(),
                ignored: hub.ignored_counter(),
            };
            drive(&mut transport, &conn, &scope, hub.kill()).await;
            drop((token, counted));
        });
        self.conn.clone()
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn config(&self) -> &Config {
        self.hub.config()
    }
}

impl<E: Endpoint> Drop for Entered<E> {
    fn drop(&mut self) {
        if !self.running {
            self.hub.forget(&self.conn);
            self.conn.shut();
            self.conn.set_closed(Closed::new(1006, "the handshake was not finished", ClosedBy::Link));
        }
    }
}

pub(crate) fn going_away() -> Reject {
    Reject::new(StatusCode::SERVICE_UNAVAILABLE, "the server is going away")
}

/// Whoever was waited for, the peer has to come again.
pub(crate) fn late(limit: Duration) -> Reject {
    Reject::new(StatusCode::REQUEST_TIMEOUT, format!("the handshake took longer than {limit:?}"))
}

/// Code of the program's has panicked, which is none of the peer's business.
fn internal_error() -> Reject {
    Reject::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

impl<E: Endpoint> Clone for WsHandler<E> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
            router: self.router.clone(),
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
