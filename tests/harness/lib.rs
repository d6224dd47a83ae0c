//! What the tests share: a hub that listens on a port of its own, a peer that speaks raw WebSocket, an observer that
//! remembers, and a deadline for every wait.
//!
//! The peer is tokio-tungstenite, so that wsx is never tested against itself alone.
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::{fmt, future::Future, sync::Arc, time::Duration};
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
    Closed, ConnectError, Connection, Endpoint, HandlerError, Hub, Observer, Rejection, http::request::Parts,
    server::WsHandler,
};

/// Long enough for a busy machine; what passes never waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits with a deadline, so that a test that hangs says where.
///
/// # Panics
///
/// When the deadline passes.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    async move { timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("nothing within {DEADLINE:?} at {at}")) }
}

/// Lets the clock jump, as it does for a process that was stopped: no timer in between gets a turn of its own.
pub async fn jump(ahead: Duration) {
    tokio::time::pause();
    tokio::time::advance(ahead).await;
    tokio::time::resume();
}

/// Sends a ping and waits for its answer. What either end sent before has arrived by then.
///
/// # Panics
///
/// When the connection is closed, or the answer does not come in time.
pub async fn round_trip(conn: &Connection) {
    let pongs = Log::default();
    let log = pongs.clone();
    conn.on_pong(move |payload| log.add(payload.to_vec()));
    within(conn.ping(b"round trip")).await.expect("the connection is open");
    // Those of a heartbeat are empty.
    while pongs.next().await != b"round trip" {}
}

/// A `build_id` that takes the id from `?id=…`.
///
/// # Errors
///
/// Without an id, 400.
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
    /// Ids come from `?id=…`; `register` does nothing.
    pub async fn start(hub: Hub<E>) -> Self {
        let door = hub.ws_handler(query_id, |_| {});
        Self::start_at(hub, door, "127.0.0.1:0").await
    }

    /// With this door, at this address.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub async fn start_at(hub: Hub<E>, door: WsHandler<E>, address: &str) -> Self {
        Self::start_on(hub, door, TcpListener::bind(address).await.expect("a free port"))
    }

    /// With this door, on this listener.
    ///
    /// # Panics
    ///
    /// When that is not bound.
    #[must_use]
    pub fn start_on(hub: Hub<E>, door: WsHandler<E>, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        Self { hub, address, listener: tokio::spawn(door.serve(listener)) }
    }

    /// The URL for this id.
    #[must_use]
    pub fn url(&self, id: &str) -> String {
        format!("ws://{}/ws?id={id}", self.address)
    }

    /// A raw peer with this id, entered in the hub.
    pub async fn peer(&self, id: &str) -> Peer {
        Peer::connect(&self.url(id)).await
    }

    /// Stops accepting and closes all connections, as a server that is restarted does.
    pub async fn stop(self) {
        self.hub.shutdown(DEADLINE).await;
        let _ = self.listener.await;
    }
}

/// A server in a runtime of its own, which can die as a killed process does: its sockets go without a word.
#[derive(Debug)]
pub struct Mortal {
    /// `127.0.0.1` and the port.
    pub address: String,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Mortal {
    /// Runs what `serve` makes of a listener at this address.
    ///
    /// # Panics
    ///
    /// When the address is taken, or threads are.
    pub async fn start<F, Fut>(address: &str, serve: F) -> Self
    where
        F: FnOnce(TcpListener) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be made");
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

    /// Ends it without a word. Once this is back, nobody listens any more.
    ///
    /// # Panics
    ///
    /// When the runtime does not end in time.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().expect("it is killed once");
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE));
        ended.await.expect("a runtime ends without a panic");
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client that sends and sees single frames.
#[derive(Debug)]
pub struct Peer(pub WebSocketStream<TcpStream>);

impl Peer {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When refused.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.expect("the handshake succeeds")
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    ///
    /// The handshake's.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub async fn try_connect(url: &str) -> Result<Self, tungstenite::Error> {
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("a ws URL");
        let tcp = within(TcpStream::connect(address)).await.expect("somebody listens");
        tcp.set_nodelay(true).expect("a socket takes options");
        within(client_async(url, tcp)).await.map(|(ws, _)| Self(ws))
    }

    /// Sends one frame.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    pub async fn send(&mut self, message: impl Into<Message>) {
        within(self.0.send(message.into())).await.expect("the connection lives");
    }

    /// Sends an envelope with this type and data.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    pub async fn say(&mut self, message_type: &str, data: Value) {
        let envelope = serde_json::json!({"ver": 1, "type": message_type, "ts": 1_732_969_200, "data": data});
        self.send(envelope.to_string()).await;
    }

    /// The next message, pings and pongs included.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        within(self.0.next()).await
    }

    /// The next text message.
    ///
    /// # Panics
    ///
    /// When something else comes.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("expected a text message, got {other:?}"),
        }
    }

    /// The next envelope.
    ///
    /// # Panics
    ///
    /// When something else comes.
    pub async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("an envelope is JSON")
    }

    /// The next envelope's type and data.
    pub async fn hear_data(&mut self) -> (String, Value) {
        let mut envelope = self.hear().await;
        (envelope["type"].as_str().unwrap_or_default().to_owned(), envelope["data"].take())
    }

    /// The close code and reason that come next, other messages passed over.
    ///
    /// # Panics
    ///
    /// When the connection ends without a close frame.
    pub async fn close(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Close(None))) => return (1005, String::new()),
                Some(Ok(_)) => {}
                other => panic!("the connection ended without a close frame: {other:?}"),
            }
        }
    }
}

/// What an [`Observer`] saw.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as the observer's methods")]
pub enum Seen {
    Opened(String),
    Closed(String, Closed),
    Failed(String, String, HandlerError),
    Ignored(String, String),
    Refused(u16, String),
    TlsFailed(String),
    Retrying(u32, Duration, String),
}

/// An observer that remembers, and its memory.
#[must_use]
pub fn recorder() -> (Recorder, Memory) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder(sender), Memory(receiver))
}

/// Remembers what it sees. Unbounded, as a test sends a bounded number of messages.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::UnboundedSender<Seen>);

/// What a [`Recorder`] saw, in order.
#[derive(Debug)]
pub struct Memory(mpsc::UnboundedReceiver<Seen>);

impl Memory {
    /// The next event for which `pick` returns something, others passed over.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            let seen = within(self.0.recv()).await.expect("the recorder lives");
            if let Some(found) = pick(seen) {
                return found;
            }
        }
    }

    /// The next message that failed: connection, type, error.
    pub async fn failed(&mut self) -> (String, String, HandlerError) {
        self.find(|seen| if let Seen::Failed(id, kind, error) = seen { Some((id, kind, error)) } else { None }).await
    }

    /// The next message that was ignored: connection and type.
    pub async fn ignored(&mut self) -> (String, String) {
        self.find(|seen| if let Seen::Ignored(id, kind) = seen { Some((id, kind)) } else { None }).await
    }

    /// The next connection that ended.
    pub async fn closed(&mut self) -> (String, Closed) {
        self.find(|seen| if let Seen::Closed(id, closed) = seen { Some((id, closed)) } else { None }).await
    }
}

impl Recorder {
    fn saw(&self, seen: Seen) {
        // A test that has ended does not listen any more.
        let _ = self.0.send(seen);
    }
}

impl Observer for Recorder {
    fn connection_opened(&self, conn: &Connection) {
        self.saw(Seen::Opened(conn.id().to_owned()));
    }
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        self.saw(Seen::Closed(conn.id().to_owned(), closed.clone()));
    }
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        // The error cannot be cloned; what is remembered has its text.
        let copy = match error {
            HandlerError::Decode { expected, path, source } => {
                HandlerError::Decode { expected, path: path.clone(), source: serde::de::Error::custom(source) }
            }
            other => HandlerError::Handler(chain(other).into()),
        };
        self.saw(Seen::Failed(conn.id().to_owned(), message_type.to_owned(), copy));
    }
    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        self.saw(Seen::Ignored(conn.id().to_owned(), message_type.to_owned()));
    }
    fn handshake_rejected(&self, _: Option<std::net::SocketAddr>, status: wsx::http::StatusCode, why: &str) {
        self.saw(Seen::Refused(status.as_u16(), why.to_owned()));
    }
    fn tls_failed(&self, _: Option<std::net::SocketAddr>, error: &std::io::Error) {
        self.saw(Seen::TlsFailed(error.to_string()));
    }
    fn connect_failed(&self, attempt: u32, delay: Duration, error: &ConnectError) {
        self.saw(Seen::Retrying(attempt, delay, error.to_string()));
    }
}

/// An error with its causes, in one line.
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

/// A log that handlers write and a test reads.
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
        // A test that has ended does not listen any more.
        let _ = self.0.send(entry);
    }

    /// The next entry.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn next(&self) -> T {
        within(async { self.1.lock().await.recv().await }).await.expect("the log keeps a sender")
    }

    /// The next entry, if it is here already.
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
pub mod exchange;
pub mod fleet;
pub mod handshake;
pub mod numbered;
pub mod request;
pub mod weak_link;

/// The code of the documents, compiled and run as it stands there.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../README.zh-CN.md")]
    struct ReadmeInChinese;
    #[doc = include_str!("../../docs/specification.md")]
    struct Specification;
    #[doc = include_str!("../../docs/architecture.md")]
    struct Architecture;
}
