//! The shared parts of the tests: a hub that listens on a port of its own, a peer that sends and
//! receives raw WebSocket messages, an observer that records, and a time limit for every wait.
//!
//! The peer is tokio-tungstenite, so that wsx is never tested only against itself.
//!
//! The doctests are the code of the documents: row D2 of the specification.
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::{fmt, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};
use wsx::{
    Closed, ClusterEvent, ConnectError, Connection, Endpoint, HandlerError, Hub, Observer, Rejection, RejectionKind,
    http::request::Parts, server::WsHandler,
};

/// Long enough for a busy machine. A test that passes never waits this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits with a time limit, so that a test that hangs reports the place.
///
/// # Panics
///
/// When the time limit expires.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    async move { timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("still waiting after {DEADLINE:?} at {at}")) }
}

/// Moves the clock forward in one step, as a process sees it that was stopped. Timers in between do
/// not run one by one.
pub async fn jump(ahead: Duration) {
    tokio::time::pause();
    tokio::time::advance(ahead).await;
    tokio::time::resume();
}

/// Sends a ping and waits for its pong. Everything that either end sent before has arrived by then.
///
/// # Panics
///
/// When the connection is closed, or the pong does not arrive in time.
pub async fn round_trip(conn: &Connection) {
    let pongs = Log::default();
    let log = pongs.clone();
    conn.on_pong(move |payload| log.add(payload.to_vec()));
    within(conn.ping(b"round trip")).await.expect("the connection is open");
    // The pongs of a heartbeat are empty.
    while pongs.next().await != b"round trip" {}
}

/// A `build_id` that reads the id from `?id=…`.
///
/// # Errors
///
/// Rejects a request without an id with 400.
pub async fn query_id(request: Parts) -> Result<String, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
    id.map(str::to_owned).ok_or(Rejection::new(wsx::http::StatusCode::BAD_REQUEST, "no id"))
}

/// A hub that listens on a port of its own.
#[derive(Debug)]
pub struct Server<E: Endpoint> {
    /// The hub.
    pub hub: Hub<E>,
    /// `127.0.0.1` and the port.
    pub address: String,
    listener: JoinHandle<()>,
}

impl<E: Endpoint> Server<E> {
    /// Starts the hub on a free port. Ids come from `?id=…`; `register` does nothing.
    pub async fn start(hub: Hub<E>) -> Self {
        let upgrade = hub.ws_handler(query_id, |_| {});
        Self::start_at(hub, upgrade, "127.0.0.1:0").await
    }

    /// Starts the hub with this `WsHandler`, at this address.
    ///
    /// # Panics
    ///
    /// When the address is in use.
    pub async fn start_at(hub: Hub<E>, upgrade: WsHandler<E>, address: &str) -> Self {
        Self::start_on(hub, upgrade, TcpListener::bind(address).await.expect("a free port"))
    }

    /// Starts the hub with this `WsHandler`, on this listener.
    ///
    /// # Panics
    ///
    /// When the listener is not bound.
    #[must_use]
    pub fn start_on(hub: Hub<E>, upgrade: WsHandler<E>, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        Self { hub, address, listener: tokio::spawn(upgrade.serve(listener)) }
    }

    /// Returns the URL for this id.
    #[must_use]
    pub fn url(&self, id: &str) -> String {
        format!("ws://{}/ws?id={id}", self.address)
    }

    /// Connects a raw peer with this id. It is in the hub on return.
    pub async fn peer(&self, id: &str) -> Peer {
        Peer::connect(&self.url(id)).await
    }

    /// Stops accepting and closes all connections, as a server does that restarts.
    pub async fn stop(self) {
        self.hub.shutdown(DEADLINE).await;
        let _ = self.listener.await;
    }
}

/// A server in a runtime of its own. It can die as a killed process does: its sockets close without
/// a close frame.
#[derive(Debug)]
pub struct KillableServer {
    /// `127.0.0.1` and the port.
    pub address: String,
    runtime: Option<tokio::runtime::Runtime>,
}

impl KillableServer {
    /// Runs the future that `serve` makes from a listener at this address.
    ///
    /// # Panics
    ///
    /// When the address is in use, or the system cannot start a thread.
    pub async fn start<F, Fut>(address: &str, serve: F) -> Self
    where
        F: FnOnce(TcpListener) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("the system can start a thread");
        let address = address.to_owned();
        let bound = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            let address = listener.local_addr().expect("a bound socket has an address").to_string();
            tokio::spawn(serve(listener));
            address
        });
        let address = bound.await.expect("binding does not panic");
        Self { address, runtime: Some(runtime) }
    }

    /// Kills the server without a close frame. On return the port is free.
    ///
    /// # Panics
    ///
    /// When the runtime does not stop in time.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().expect("only `kill` and `drop` take the runtime");
        let stopped = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE));
        stopped.await.expect("the runtime shuts down without a panic");
    }
}

impl Drop for KillableServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client that sends and receives single frames.
#[derive(Debug)]
pub struct Peer(pub WebSocketStream<TcpStream>);

impl Peer {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When the handshake fails.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.expect("the handshake succeeds")
    }

    /// Connects, or returns why the handshake failed.
    ///
    /// # Errors
    ///
    /// Errors of the handshake.
    ///
    /// # Panics
    ///
    /// When the address has no listener.
    pub async fn try_connect(url: &str) -> Result<Self, tungstenite::Error> {
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("a ws URL");
        let tcp = within(TcpStream::connect(address)).await.expect("the address has a listener");
        tcp.set_nodelay(true).expect("the option is supported");
        within(client_async(url, tcp)).await.map(|(ws, _)| Self(ws))
    }

    /// Sends one frame.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send(&mut self, message: impl Into<Message>) {
        within(self.0.send(message.into())).await.expect("the connection is open");
    }

    /// Sends an envelope with this type and data.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send_envelope(&mut self, message_type: &str, data: Value) {
        let envelope = serde_json::json!({"ver": 1, "type": message_type, "ts": 1_732_969_200, "data": data});
        self.send(envelope.to_string()).await;
    }

    /// Receives the next message, pings and pongs included.
    ///
    /// # Panics
    ///
    /// When no message arrives in time.
    pub async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        within(self.0.next()).await
    }

    /// Receives the next text message.
    ///
    /// # Panics
    ///
    /// When something else arrives.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("expected a text message, got {other:?}"),
        }
    }

    /// Receives the next envelope.
    ///
    /// # Panics
    ///
    /// When something else arrives.
    pub async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("an envelope is JSON")
    }

    /// Receives the next envelope, and returns its type and data.
    pub async fn receive_data(&mut self) -> (String, Value) {
        let mut envelope = self.receive().await;
        (envelope["type"].as_str().unwrap_or_default().to_owned(), envelope["data"].take())
    }

    /// Returns after the other end has read everything that this peer has sent.
    ///
    /// # Panics
    ///
    /// When something else than the pong arrives.
    pub async fn read_so_far(&mut self) {
        self.send(Message::Ping("all read?".into())).await;
        let next = self.next().await;
        assert!(matches!(next, Some(Ok(Message::Pong(_)))), "expected a pong, got {next:?}");
    }

    /// Skips other messages up to the close frame. Returns its code and reason.
    ///
    /// # Panics
    ///
    /// When the connection is closed without a close frame.
    pub async fn close(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Close(None))) => return (1005, String::new()),
                Some(Ok(_)) => {}
                other => panic!("the connection closed without a close frame: {other:?}"),
            }
        }
    }
}

/// An event that an [`Observer`] received.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants have the names of the observer's methods")]
pub enum Seen {
    ConnectionOpened(String),
    ConnectionClosed(String, Closed),
    HandlerFailed(String, String, HandlerError),
    ReplyDropped(String, String),
    HandlerDropped(String, String, usize),
    MessageIgnored(String, String),
    ReplyUnexpected(String, String),
    HandshakeRejected(u16, String),
    TlsFailed(String),
    IdContested(String, [Option<SocketAddr>; 2], u32),
    ConnectFailed(u32, Duration, String),
}

/// Returns an observer that records, and its record.
#[must_use]
pub fn recorder() -> (Recorder, Memory) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder(sender), Memory(receiver))
}

/// Records its events. Unbounded, because a test sends a bounded number of messages.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::UnboundedSender<Seen>);

/// The events of a [`Recorder`], in order.
#[derive(Debug)]
pub struct Memory(mpsc::UnboundedReceiver<Seen>);

impl Memory {
    /// Waits for the next event for which `pick` returns a value. Other events are skipped.
    ///
    /// # Panics
    ///
    /// When no such event arrives in time.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            let seen = within(self.0.recv()).await.expect("the recorder is not dropped");
            if let Some(found) = pick(seen) {
                return found;
            }
        }
    }

    /// Waits for the next message whose handler failed. Returns connection, type and error.
    pub async fn handler_failed(&mut self) -> (String, String, HandlerError) {
        self.find(|seen| if let Seen::HandlerFailed(id, kind, error) = seen { Some((id, kind, error)) } else { None })
            .await
    }

    /// Waits for the next reply that could not be sent. Returns the type of its message.
    pub async fn reply_dropped(&mut self) -> String {
        self.find(|seen| if let Seen::ReplyDropped(_, kind) = seen { Some(kind) } else { None }).await
    }

    /// Waits for the next handler that was dropped. Returns the type of its message, and the number
    /// of messages that waited for it.
    pub async fn handler_dropped(&mut self) -> (String, usize) {
        self.find(|seen| if let Seen::HandlerDropped(_, kind, waiting) = seen { Some((kind, waiting)) } else { None })
            .await
    }

    /// Waits for the next message that was ignored. Returns connection and type.
    pub async fn message_ignored(&mut self) -> (String, String) {
        self.find(|seen| if let Seen::MessageIgnored(id, kind) = seen { Some((id, kind)) } else { None }).await
    }

    /// Waits for the next reply that no request waits for. Returns connection and type.
    pub async fn reply_unexpected(&mut self) -> (String, String) {
        self.find(|seen| if let Seen::ReplyUnexpected(id, kind) = seen { Some((id, kind)) } else { None }).await
    }

    /// Waits for the next connection that closed. Returns its id and why it closed.
    pub async fn connection_closed(&mut self) -> (String, Closed) {
        self.find(|seen| if let Seen::ConnectionClosed(id, closed) = seen { Some((id, closed)) } else { None }).await
    }
}

impl Recorder {
    fn saw(&self, seen: Seen) {
        // A test that has finished no longer receives.
        let _ = self.0.send(seen);
    }
}

impl Observer for Recorder {
    fn connection_opened(&self, conn: &Connection) {
        self.saw(Seen::ConnectionOpened(conn.id().to_owned()));
    }
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        self.saw(Seen::ConnectionClosed(conn.id().to_owned(), closed.clone()));
    }
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        // The error cannot be cloned, so a copy with its text is recorded.
        let copy = match error {
            HandlerError::Decode { expected, path, source } => {
                HandlerError::Decode { expected, path: path.clone(), source: serde::de::Error::custom(source) }
            }
            other => HandlerError::Handler(chain(other).into()),
        };
        self.saw(Seen::HandlerFailed(conn.id().to_owned(), message_type.to_owned(), copy));
    }
    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        self.saw(Seen::ReplyDropped(conn.id().to_owned(), message_type.to_owned()));
    }
    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        self.saw(Seen::HandlerDropped(conn.id().to_owned(), message_type.to_owned(), waiting));
    }
    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        self.saw(Seen::MessageIgnored(conn.id().to_owned(), message_type.to_owned()));
    }
    fn reply_unexpected(&self, conn: &Connection, message_type: &str) {
        self.saw(Seen::ReplyUnexpected(conn.id().to_owned(), message_type.to_owned()));
    }
    fn handshake_rejected(&self, _: Option<SocketAddr>, _: RejectionKind, status: wsx::http::StatusCode, why: &str) {
        self.saw(Seen::HandshakeRejected(status.as_u16(), why.to_owned()));
    }
    fn tls_failed(&self, _: Option<SocketAddr>, error: &std::io::Error) {
        self.saw(Seen::TlsFailed(error.to_string()));
    }
    fn id_contested(&self, id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>, replacements: u32) {
        self.saw(Seen::IdContested(id.to_owned(), [older, newer], replacements));
    }
    fn connect_failed(&self, attempt: u32, delay: Duration, error: &ConnectError) {
        self.saw(Seen::ConnectFailed(attempt, delay, error.to_string()));
    }
}

/// Returns an event of a cluster of each kind, with this text wherever another node can put one.
#[must_use]
pub fn cluster_events(text: &str) -> Vec<ClusterEvent> {
    let (name, reason) = (|| text.into(), || text.to_owned());
    vec![
        ClusterEvent::Connected,
        ClusterEvent::Disconnected { reason: reason() },
        ClusterEvent::NodeJoined { name: name() },
        ClusterEvent::NodeLeft { name: name() },
        ClusterEvent::NodeLost { name: name() },
        ClusterEvent::BroadcastsMissed { name: name(), count: 7 },
        ClusterEvent::BroadcastsDropped { count: 3 },
        ClusterEvent::PacketIgnored { reason: reason() },
    ]
}

/// Returns an error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// A list that handlers write and a test reads.
pub struct Log<T>(mpsc::UnboundedSender<T>, Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<T>>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self(sender, Arc::new(tokio::sync::Mutex::new(receiver)))
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl<T> Log<T> {
    /// Adds an entry.
    pub fn add(&self, entry: T) {
        // A test that has finished no longer reads.
        let _ = self.0.send(entry);
    }

    /// Waits for the next entry.
    ///
    /// # Panics
    ///
    /// When no entry is added in time.
    pub async fn next(&self) -> T {
        within(async { self.1.lock().await.recv().await }).await.expect("the log keeps a sender")
    }

    /// Returns the next entry if there already is one.
    #[must_use]
    pub fn try_next(&self) -> Option<T> {
        self.1.try_lock().ok()?.try_recv().ok()
    }
}

impl<T> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

pub mod alone;
pub mod compressed;
pub mod exchange;
pub mod fleet;
pub mod frame;
pub mod handshake;
pub mod numbered;
pub mod page;
pub mod proxy;
pub mod released;
pub mod request;
pub mod weak_link;

/// The code of the documents, compiled and run unchanged.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../README.zh-CN.md")]
    struct ReadmeInChinese;
    #[doc = include_str!("../../docs/specification.md")]
    struct Specification;
    #[doc = include_str!("../../docs/deployment.md")]
    struct Deployment;
    #[doc = include_str!("../../docs/architecture.md")]
    struct Architecture;
}
