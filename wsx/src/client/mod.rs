//! The edge's end: a connection that is dialled, and dialled again when it breaks.
pub(crate) mod backoff;
pub(crate) mod dial;
pub(crate) mod stream;
#[cfg_attr(feature = "rustls", path = "tls/enabled.rs")]
#[cfg_attr(not(feature = "rustls"), path = "tls/disabled.rs")]
pub(crate) mod tls;

use crate::{
    catch_panic,
    client::backoff::Backoff,
    client::dial::Target,
    client::stream::{Connector, Destination, Socket},
    client::tls::Trust,
    config::Config,
    connection::closed::Closed,
    connection::sending::Sending,
    connection::{BoxFuture, Connection},
    dispatch::handler::{FromMessage, IntoReply, by_hand},
    dispatch::router::{Added, Empty, End, Router, Scope},
    envelope::SentBy,
    error::{BoxError, ConnectError, SendError, StartError},
    observer::{Blind, Observer, Setback},
    protocol::endpoint::{Endpoint, Untyped},
    task::drive,
    task::transport::Raw,
    wire::frame::Frame,
};
use std::{
    fmt,
    future::Future,
    io,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, MissedTickBehavior, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    http::{HeaderMap, HeaderName, HeaderValue},
    protocol::{Role, frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;

/// A connection to a server that is dialled again when it breaks. Cheap to clone; all clones are one client.
///
/// The client lives until it is closed or its cancellation is triggered, whether or not a handle is left.
///
/// ```no_run
/// # #[derive(serde::Serialize, wsx::Message)]
/// # struct Telemetry { celsius: f64 }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use wsx::{CancellationToken, Client};
///
/// let client = Client::new("ws://127.0.0.1:9001/ws?id=box-7");
/// client.connect(CancellationToken::new(), |conn| println!("connected to {}", conn.id())).await?;
/// client.send(&Telemetry { celsius: 21.5 }).await?;
/// client.close();
/// # Ok(())
/// # }
/// ```
pub struct Client<E: Endpoint = Untyped>(Arc<Inner<E>>);

struct Inner<E: Endpoint> {
    url: String,
    endpoint: E,
    router: Result<Router<E>, StartError>,
    options: Options,
    /// Between `connect` and the end of what it began.
    running: AtomicBool,
    /// Whether `connect` has ever begun something: tells an end from the time before the first beginning.
    begun: AtomicBool,
    current: Mutex<Option<Connection>>,
    state: watch::Sender<ClientState>,
    /// Triggered by `close`.
    stop: CancellationToken,
    ignored: AtomicU64,
}

type Headers = dyn Fn() -> BoxFuture<'static, Result<HeaderMap, BoxError>> + Send + Sync;

struct Options {
    config: Config,
    backoff: Backoff,
    jitter: Box<dyn Fn() -> f64 + Send + Sync>,
    reconnect: bool,
    fixed_headers: HeaderMap,
    headers: Option<Arc<Headers>>,
    connector: Option<Box<Connector>>,
    trust: Trust,
    observer: Arc<dyn Observer>,
    give_up: Option<Box<GiveUp>>,
}

type GiveUp = dyn Fn(&Setback) -> bool + Send + Sync;

impl Options {
    /// Whether there is to be no further attempt, which the observer is told then. A decision that panics is none.
    fn gives_up(&self, setback: &Setback) -> bool {
        let decide = |decide: &GiveUp| catch_panic::call(|| decide(setback)).unwrap_or(false);
        let given_up = self.give_up.as_deref().is_some_and(decide);
        if given_up {
            let _ = catch_panic::call(|| self.observer.gave_up(setback));
        }
        given_up
    }
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ClientState {
    /// Not connected, and not about to be: before `connect`, after the end of a connection without reconnecting, and after
    /// giving up.
    Disconnected,
    /// Dialling.
    Connecting {
        /// Counted from 1, since the last connection that lasted.
        attempt: u32,
    },
    /// Connected: messages can be sent.
    Connected,
    /// Waiting before the next attempt.
    Waiting {
        /// The attempt that failed.
        attempt: u32,
        /// How long.
        delay: Duration,
    },
    /// Closed for good.
    Closed,
}

impl Client {
    /// A client of the untyped endpoint, on which handlers without `on = …` register. It does nothing until
    /// [`connect`](Self::connect), which also reports what is wrong with the URL or the handlers.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::builder(url).build()
    }

    /// For a client of the untyped endpoint with state, headers, or bounds of its own.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        Self::builder_with(url, Untyped::default())
    }
}

impl<E: Endpoint> Client<E> {
    /// A client whose connection runs the handlers of this endpoint, which carries their state.
    #[must_use]
    pub fn with(url: impl Into<String>, endpoint: E) -> Self {
        Self::builder_with(url, endpoint).build()
    }

    /// For a client of this endpoint with headers or bounds of its own.
    #[must_use]
    pub fn builder_with(url: impl Into<String>, endpoint: E) -> ClientBuilder<E> {
        ClientBuilder {
            url: url.into(),
            endpoint,
            added: Vec::new(),
            options: Options {
                config: Config::default(),
                backoff: Backoff::default(),
                jitter: Box::new(rand::random),
                reconnect: true,
                fixed_headers: HeaderMap::new(),
                headers: None,
                connector: None,
                trust: Trust::default(),
                observer: Arc::new(Blind),
                give_up: None,
            },
        }
    }

    /// Connects, and from then on connects again whenever the connection ends, until the client is closed or `cancel` is
    /// triggered; both close the connection with 1000. `register` sees each new connection before its first message; if it
    /// panics, that connection closes with 1011.
    ///
    /// Returns when the first connection is made, with another handle of this client. With reconnecting it keeps trying until
    /// then.
    ///
    /// # Errors
    ///
    /// At once, whatever the options: a URL that cannot be dialled, handlers that do not fit together,
    /// [`ConnectError::AlreadyConnected`] from a second call while the first has not ended. Without
    /// reconnecting also every other failure. [`ConnectError::Closed`] when closed or cancelled meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, no connection is made, `register` has not run, and `connect` can be called again. The server
    /// may have seen a handshake that was not finished.
    pub async fn connect(
        &self,
        cancel: CancellationToken,
        register: impl Fn(&Connection) + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        let inner = &self.0;
        if let Err(error) = &inner.router {
            return Err(error.clone().into());
        }
        let target = Target::parse(&inner.url)?;
        if inner.running.swap(true, Ordering::AcqRel) {
            return Err(ConnectError::AlreadyConnected);
        }
        let mut session = Session { client: self.clone(), target, cancel, register: Box::new(register), failures: 0 };
        let (conn, transport) = session.next(Start::AtOnce).await?;
        // Before this returns, so that the caller can send.
        session.enter(&conn);
        tokio::spawn(session.run(conn, transport));
        Ok(self.clone())
    }

    /// Queues a message or an envelope on the current connection, waiting for room in its queue.
    ///
    /// What was queued when a connection breaks is lost: delivery is at most once.
    ///
    /// # Errors
    ///
    /// [`SendError::NotConnected`] before the first connection and between two, [`SendError::Closed`] once the client is closed,
    /// [`SendError::Encode`] when the message is no JSON.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, message: &M) -> Sending<'static> {
        let conn = self.connection().ok_or(SendError::Closed);
        Sending::on_owned(conn, message.encode(Role::Client).map(Frame::into_bytes)).of_client(self.0.stop.clone())
    }

    /// Sends what `message` makes, at once and then every `interval`, until the client is closed: the application's own
    /// heartbeat, by which a server's handlers see that the program works, and not only its network stack. Spawn it.
    ///
    /// Between two connections nothing is made, and nothing waits for the next one. While the queue is full one message
    /// waits for room, and no further one is made; the interval counts from then on. It is at least a millisecond.
    ///
    /// ```no_run
    /// # async fn example(client: wsx::Client) {
    /// use std::time::{Duration, Instant};
    ///
    /// #[derive(serde::Serialize, wsx::Message)]
    /// struct Alive { uptime: u64 }
    ///
    /// let start = Instant::now();
    /// tokio::spawn(client.send_every(Duration::from_secs(30), move || Alive { uptime: start.elapsed().as_secs() }));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::Encode`] when a message is no JSON; none is made after it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it makes no more messages; one that waits for room is not sent.
    pub fn send_every<M: SentBy<E::Side, E::Peer>>(
        &self,
        interval: Duration,
        mut message: impl FnMut() -> M + Send + 'static,
    ) -> BoxFuture<'static, Result<(), SendError>> {
        let client = self.clone();
        // Boxed, so that its type does not name the message: see `sending`.
        Box::pin(async move {
            // Zero would be no clock at all.
            let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while client.0.stop.run_until_cancelled(ticks.tick()).await.is_some() {
                if client.connection().is_none() {
                    continue;
                }
                // A message of its own, so that it is not kept while it waits.
                let sending = client.send(&message());
                if let Err(error @ SendError::Encode(_)) = sending.await {
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    /// The current connection, if there is one.
    #[must_use]
    pub fn connection(&self) -> Option<Connection> {
        self.0.current().clone()
    }

    /// Where the client stands, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.0.state.subscribe()
    }

    /// Waits until the client is connected; before [`connect`](Self::connect), until that has been called too.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when it is closed, now or meanwhile; [`SendError::NotConnected`] when it does not try any
    /// more, without reconnecting or having given up.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn connected(&self) -> Result<(), SendError> {
        let mut state = self.state();
        let seen = state.wait_for(|state| *state == ClientState::Connected || self.0.is_over(*state)).await;
        match seen.as_deref() {
            Ok(ClientState::Connected) => Ok(()),
            Ok(ClientState::Disconnected) => Err(SendError::NotConnected),
            _ => Err(SendError::Closed),
        }
    }

    /// Closes for good: what is queued leaves, then the connection closes with 1000. Calling it again changes nothing.
    pub fn close(&self) {
        self.0.stop.cancel();
        if let Some(conn) = self.connection() {
            conn.close();
        }
        // Under the state's lock, as the end of a session is: one of the two sees the other.
        self.0.state.send_if_modified(|state| {
            let ended = !self.0.running.load(Ordering::Acquire);
            ended && std::mem::replace(state, ClientState::Closed) != ClientState::Closed
        });
    }

    /// Waits until nothing of this client runs any more: it is closed and its last connection has ended, or its connection
    /// has ended, or could not be made, and it does not try again, without reconnecting or having given up. Its state says
    /// which: [`Closed`](ClientState::Closed) or [`Disconnected`](ClientState::Disconnected).
    ///
    /// Before [`connect`](Self::connect) there is nothing to end yet, so that is waited for too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn closed(&self) {
        // The sender lives in this client, so waiting cannot fail.
        let _ = self.state().wait_for(|state| self.0.is_over(*state)).await;
    }

    /// Whether the client is closed or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// The endpoint's value: the state that the handlers see.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.0.endpoint
    }

    /// How many messages nobody handled since the start.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.ignored.load(Ordering::Relaxed)
    }
}

impl<E: Endpoint> Inner<E> {
    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_current(&self, conn: Option<Connection>) {
        let ended = std::mem::replace(&mut *self.current(), conn);
        // Behind the lock: with the last handle the values go that the program attached, and their code may ask for it.
        drop(ended);
    }

    /// Whether nothing runs any more that `connect` has begun.
    fn is_over(&self, state: ClientState) -> bool {
        match state {
            ClientState::Closed => true,
            ClientState::Disconnected => self.begun.load(Ordering::Acquire),
            _ => false,
        }
    }
}

/// What one call of `connect` began: connection after connection.
struct Session<E: Endpoint> {
    client: Client<E>,
    target: Target,
    cancel: CancellationToken,
    register: Box<dyn Fn(&Connection) + Send + Sync>,
    /// In a row, since the last connection that lasted.
    failures: u32,
}

type Dialled = (Connection, Raw<Socket>);

#[derive(PartialEq)]
enum Start {
    AtOnce,
    /// A connection has just ended.
    AfterWait,
}

impl<E: Endpoint> Session<E> {
    /// The next connection, after as many attempts as it takes and the options allow.
    async fn next(&mut self, start: Start) -> Result<Dialled, ConnectError> {
        let inner = self.client.0.clone();
        let (stop, cancel) = (inner.stop.clone(), self.cancel.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(ConnectError::Closed),
            () = cancel.cancelled() => Err(ConnectError::Closed),
            dialled = self.attempts(start) => dialled,
        }
    }

    async fn attempts(&mut self, start: Start) -> Result<Dialled, ConnectError> {
        let inner = self.client.0.clone();
        if start == Start::AfterWait {
            self.wait(None).await;
        }
        loop {
            let attempt = self.failures.saturating_add(1);
            inner.state.send_replace(ClientState::Connecting { attempt });
            // After the state has changed: until then `Disconnected` is the beginning, from then on the end.
            inner.begun.store(true, Ordering::Release);
            match self.attempt().await {
                Ok(dialled) => return Ok(dialled),
                Err(error) if !inner.options.reconnect || error.is_final() => return Err(error),
                Err(error) => {
                    let setback = Setback::Attempt(error);
                    let gives_up = inner.options.gives_up(&setback);
                    let Setback::Attempt(error) = setback else { unreachable!("made above") };
                    if gives_up {
                        return Err(error);
                    }
                    self.wait(Some(&error)).await;
                }
            }
        }
    }

    async fn attempt(&self) -> Result<Dialled, ConnectError> {
        let inner = &self.client.0;
        let Options { config, headers, fixed_headers, connector, trust, .. } = &inner.options;
        let dialled = timeout(config.handshake_timeout, async {
            let mut all = fixed_headers.clone();
            if let Some(headers) = headers {
                let made = catch_panic::run(async { headers().await }).await;
                let made = made.unwrap_or_else(|| Err("the program panicked".into()));
                all.extend(made.map_err(ConnectError::Headers)?);
            }
            self.target.dial(connector.as_deref(), trust, all, config).await
        });
        let (socket, early) = dialled.await.unwrap_or(Err(ConnectError::Timeout(config.handshake_timeout)))?;
        let conn = Connection::unopened(inner.url.as_str().into(), Role::Client, config);
        Ok((conn, Raw::new(socket, Role::Client, early, config)))
    }

    /// Waits before the next attempt, after one that failed or a connection that ended.
    async fn wait(&mut self, error: Option<&ConnectError>) {
        let inner = &self.client.0;
        let Options { backoff, jitter, .. } = &inner.options;
        let random = catch_panic::call(jitter).unwrap_or_else(rand::random);
        let delay = match error {
            Some(ConnectError::Refused { retry_after: Some(asked), .. }) => {
                backoff.delay_asked(self.failures, random, *asked)
            }
            _ => backoff.delay(self.failures, random),
        };
        self.failures = self.failures.saturating_add(1);
        if let Some(error) = error {
            let _ = catch_panic::call(|| inner.options.observer.retrying(self.failures, delay, error));
        }
        inner.state.send_replace(ClientState::Waiting { attempt: self.failures, delay });
        sleep(delay).await;
    }

    /// Connection after connection, until the client is closed.
    async fn run(mut self, mut conn: Connection, mut transport: Raw<Socket>) {
        let inner = self.client.0.clone();
        loop {
            let closed = self.serve(conn, transport).await;
            if !inner.options.reconnect || self.stopped() || inner.options.gives_up(&Setback::Ended(closed)) {
                break;
            }
            match self.next(Start::AfterWait).await {
                Ok(next) => {
                    (conn, transport) = next;
                    self.enter(&conn);
                }
                // Closed, or given up, which the observer knows.
                Err(_) => break,
            }
        }
    }

    /// Shows a new connection to `register`, and sends go to it from now on.
    fn enter(&self, conn: &Connection) {
        if catch_panic::call(|| (self.register)(conn)).is_none() {
            conn.close_with(CloseCode::Error, "internal error");
        }
        self.client.0.set_current(Some(conn.clone()));
        self.client.0.state.send_replace(ClientState::Connected);
    }

    /// One connection, from its first message to its end.
    async fn serve(&mut self, conn: Connection, transport: Raw<Socket>) -> Closed {
        let inner = &self.client.0;
        let Ok(router) = &inner.router else { unreachable!("`connect` has looked") };
        let scope = Scope {
            endpoint: &inner.endpoint,
            hub: None,
            router,
            config: &inner.options.config,
            observer: &*inner.options.observer,
            ignored: &inner.ignored,
        };
        let since = Instant::now();
        let patience = CancellationToken::new();
        let mut transport = Some(transport);
        // A stream that the program's connector gave may panic in there.
        let driven = catch_panic::run(drive(&mut transport, &conn, &scope, &patience));
        tokio::pin!(driven);
        tokio::select! {
            _ = &mut driven => {}
            () = self.cancel.cancelled() => {
                inner.stop.cancel();
                conn.close();
                driven.await;
            }
            () = inner.stop.cancelled() => {
                conn.close();
                driven.await;
            }
        }
        inner.set_current(None);
        if since.elapsed() >= inner.options.backoff.stable_after {
            self.failures = 0;
        }
        conn.closed().await
    }

    fn stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.client.is_closed()
    }
}

impl<E: Endpoint> Drop for Session<E> {
    fn drop(&mut self) {
        let inner = &self.client.0;
        inner.set_current(None);
        if self.cancel.is_cancelled() {
            inner.stop.cancel();
        }
        // Under the state's lock: a `close` that comes meanwhile either is seen here or sees that this has ended, and the
        // next `connect` says where it stands after this has.
        inner.state.send_modify(|state| {
            inner.running.store(false, Ordering::Release);
            *state = if inner.stop.is_cancelled() { ClientState::Closed } else { ClientState::Disconnected };
        });
    }
}

/// Builds a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use wsx::{Backoff, Client, http::{HeaderMap, HeaderValue, header}};
///
/// let client = Client::builder("ws://127.0.0.1:9001/ws")
///     .header(header::USER_AGENT, HeaderValue::from_static("box/1.0"))
///     // Asked for at each attempt, so that an expired token is no reason to stay away.
///     .headers(|| async {
///         let token = String::from("Bearer …");
///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&token)?)]))
///     })
///     .backoff(Backoff::default().max(Duration::from_secs(60)))
///     .build();
/// ```
pub struct ClientBuilder<E: Endpoint = Untyped> {
    url: String,
    endpoint: E,
    added: Vec<Added>,
    options: Options,
}

impl ClientBuilder {
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

impl<E: Endpoint> ClientBuilder<E> {
    /// The bounds of each connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.options.config = config;
        self
    }

    /// How long to wait between attempts. A server that says `Retry-After` in its refusal, in seconds, is left alone for so
    /// long, up to [`Backoff::max`].
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Where the waits between attempts have their random numbers from, one for each: from 0, the shortest wait, to 1, the
    /// longest; what is outside counts as the nearer of the two. By default the thread's generator.
    ///
    /// For tests that want the same waits each time, and for fleets whose boxes shall keep their places in the window, each
    /// with a number made of its serial number. A number that all boxes share brings them all back at once.
    /// Where it panics, the thread's generator serves.
    #[must_use]
    pub fn jitter(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.options.jitter = Box::new(random);
        self
    }

    /// Whether a connection that cannot be made, or that has ended, is tried again; default true.
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.options.reconnect = reconnect;
        self
    }

    /// When not to try again, though reconnecting is on. Asked after each attempt that failed and each connection that
    /// ended; on `true` the client is [`Disconnected`](ClientState::Disconnected), `connect` returns the error if it still
    /// waits for its first connection, and can be called again. A decision that panics counts as `false`.
    ///
    /// By default it never gives up: a box that nobody can reach had better go on, since a refusal can be a mistake of the
    /// server's. Where somebody looks, let it stop on a refusal; two programs with one id replace each other for ever
    /// otherwise.
    ///
    /// ```
    /// let client = wsx::Client::builder("ws://127.0.0.1:9001/ws").give_up(wsx::Setback::is_refusal).build();
    /// ```
    #[must_use]
    pub fn give_up(mut self, decide: impl Fn(&Setback) -> bool + Send + Sync + 'static) -> Self {
        self.options.give_up = Some(Box::new(decide));
        self
    }

    /// A header for each handshake.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.options.fixed_headers.append(name, value);
        self
    }

    /// Headers that are made anew for each handshake, such as a token that expires. An error counts as a failed attempt, and a
    /// panic does too.
    #[must_use]
    pub fn headers<F, Fut>(mut self, headers: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.options.headers = Some(Arc::new(move || Box::pin(headers())));
        self
    }

    /// Dials through this in place of TCP: a proxy, a Unix socket, a stack of its own, a simulated network. It is asked at
    /// each attempt, and what it returns carries the handshakes, that of TLS included, and the connection.
    /// [`Config::handshake_timeout`] bounds it too: it is dropped then. Its error is [`ConnectError::Dial`], and so is its
    /// panic. The host and port of the URL still make the `Host` header.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// let client = wsx::Client::builder("ws://localhost/ws")
    ///     .connector(|_| tokio::net::UnixStream::connect("/run/station.sock"))
    ///     .build();
    /// # }
    /// ```
    #[must_use]
    pub fn connector<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn(Destination) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.options.connector = Some(Box::new(move |destination| {
            let dialled = dial(destination);
            Box::pin(async move { Ok(Socket::Other(Box::new(dialled.await?))) })
        }));
        self
    }

    /// Whom a client of `wss://` trusts, and the certificate that it shows if the server asks for one. By default it trusts
    /// those that the platform trusts, as of its first attempt in this process, and has no certificate of its own.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use wsx::rustls::{
    ///     ClientConfig, RootCertStore,
    ///     crypto::ring,
    ///     pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    /// };
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut roots = RootCertStore::empty();
    /// roots.add(CertificateDer::from_pem_file("fleet-ca.pem")?)?;
    /// let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_client_auth_cert(
    ///         vec![CertificateDer::from_pem_file("box-7.pem")?],
    ///         PrivateKeyDer::from_pem_file("box-7.key")?,
    ///     )?;
    /// let client = wsx::Client::builder("wss://station.example.com/ws").tls(config).build();
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.options.trust = Trust(Some(config.into()));
        self
    }

    /// Who sees what goes wrong.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.options.observer = Arc::new(observer);
        self
    }

    /// The client, not connected yet.
    #[must_use]
    pub fn build(self) -> Client<E> {
        let Self { url, endpoint, added, options } = self;
        let router = Router::build(&endpoint, added, End::Client, Empty::Allowed);
        Client(Arc::new(Inner {
            url,
            endpoint,
            router,
            options,
            running: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            current: Mutex::new(None),
            state: watch::Sender::new(ClientState::Disconnected),
            stop: CancellationToken::new(),
            ignored: AtomicU64::new(0),
        }))
    }
}

impl<E: Endpoint> fmt::Debug for ClientBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &self.url).field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}

impl<E: Endpoint> Clone for Client<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Client<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.0.url)
            .field("state", &*self.0.state.borrow())
            .finish_non_exhaustive()
    }
}
