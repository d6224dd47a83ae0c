//! The client's end: a connection that is dialled, and dialled again when it breaks. All public methods of the client.
pub(crate) mod backoff;
pub(crate) mod builder;
mod dial;
mod handshake;
mod session;
pub(crate) mod state;
pub(crate) mod stream;
#[cfg_attr(feature = "rustls", path = "tls/enabled.rs")]
#[cfg_attr(not(feature = "rustls"), path = "tls/disabled.rs")]
pub(crate) mod tls;
pub(crate) mod url;

pub use builder::ClientBuilder;
pub use stream::Destination;

use crate::{
    client::{
        builder::Options,
        session::Session,
        state::{ClientState, Status},
        url::Target,
    },
    connection::{Connection, handle::Handle, sending::Sending},
    dispatch::program::Program,
    envelope::SentBy,
    error::{BuildError, ConnectError, SendError},
    protocol::endpoint::{Endpoint, Untyped},
    wire::write::Frame,
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

/// A connection to a server that is dialled again when it breaks. Cheap to clone; all clones are one client.
///
/// The client lives until it is closed or its cancellation is triggered, whether or not a handle is left.
///
/// ```no_run
/// # #[derive(serde::Serialize, wsx::Message)]
/// # struct Telemetry { celsius: f64 }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use wsx::{CancellationToken, Client, StderrObserver};
///
/// let client = Client::builder("ws://127.0.0.1:9001/ws?id=box-7").observer(StderrObserver).build()?;
/// client.start(CancellationToken::new()).await?;
/// client.send(&Telemetry { celsius: 21.5 }).await?;
/// client.close();
/// # Ok(())
/// # }
/// ```
pub struct Client<E: Endpoint = Untyped>(Arc<Inner<E>>);

struct Inner<E: Endpoint> {
    url: String,
    program: Program<E>,
    /// Where the URL leads, or why the client cannot be started: only [`Client::new`] makes one that cannot.
    target: Result<Target, BuildError>,
    options: Options,
    current: Mutex<Option<Handle>>,
    status: Status,
    /// Triggered by `close`.
    stop: CancellationToken,
}

impl Client {
    /// Creates a client of the untyped endpoint, on which handlers without `on = …` register.
    ///
    /// It does nothing until [`connect`](Self::connect) or [`start`](Self::start), which also reports what is wrong with
    /// the URL or the handlers. [`Client::builder`] reports that at once.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::builder(url).build_unchecked()
    }

    /// Returns a builder, which takes an endpoint, state, headers, bounds and an observer.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }
}

impl<E: Endpoint> Client<E> {
    /// Connects, and connects again whenever the connection ends, until the client is closed or `cancel` is triggered. Both
    /// close the connection with 1000.
    ///
    /// `register` sees each new connection before its first message. If it panics, that connection closes with 1011.
    /// [`start`](Self::start) is the same without it.
    ///
    /// Returns when the first connection is made, with another handle of this client. With reconnecting, it tries until
    /// then; a client without an observer does so in silence, so give it one.
    ///
    /// # Errors
    ///
    /// At once, whatever the options: [`ConnectError::Build`] for a wrong URL or handlers that do not fit together,
    /// [`ConnectError::AlreadyConnected`] from a second call while the first has not ended. Without reconnecting also every
    /// other failure. [`ConnectError::Closed`] when the client is closed or cancelled before the first connection.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped before it is done, no connection is made, `register` has not run, and `connect` can be called
    /// again. The server may have seen a handshake that was not finished.
    pub async fn connect(
        &self,
        cancel: CancellationToken,
        register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        let session = Session::begin(self, cancel, Box::new(move |conn| register(Connection::of(conn))))?;
        session.connect().await?;
        Ok(self.clone())
    }

    /// As [`connect`](Self::connect), for programs that gave `on_connect` to the builder, or that need none.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn start(&self, cancel: CancellationToken) -> Result<Self, ConnectError> {
        self.connect(cancel, |_| {}).await
    }

    /// Queues a message or an envelope on the current connection, and waits for room in its queue.
    ///
    /// Messages that are queued when a connection breaks are lost: delivery is at most once.
    ///
    /// # Errors
    ///
    /// [`SendError::NotConnected`] before the first connection and between two, [`SendError::Closed`] once the client is
    /// closed, [`SendError::Encode`] when the message cannot be written as JSON.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, message: &M) -> Sending<'static> {
        let conn = self.0.current().clone().ok_or(SendError::Closed);
        Sending::on_owned(conn, message.encode(Role::Client).map(Frame::into_bytes)).of_client(self.0.stop.clone())
    }

    /// Sends the message that `message` makes, at once and then every `interval`, until the client is closed. Spawn it.
    ///
    /// It is the application's own heartbeat, by which a server's handlers see that the program works, and not only its
    /// network stack.
    ///
    /// Between two connections no message is made. While the queue is full, one message waits for room, and no further one
    /// is made; the interval counts from then on. It is at least a millisecond.
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
    /// [`SendError::Encode`] when a message cannot be written as JSON. It ends with that.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped, it makes no more messages. A message that waits for room is not sent.
    pub fn send_every<M: SentBy<E::Side, E::Peer>>(
        &self,
        interval: Duration,
        mut message: impl FnMut() -> M + Send + 'static,
    ) -> BoxFuture<'static, Result<(), SendError>> {
        let client = self.clone();
        // Boxed, so that its type does not name the message: see `sending`.
        Box::pin(async move {
            // Tokio's interval must not be zero.
            let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while client.0.stop.run_until_cancelled(ticks.tick()).await.is_some() {
                if client.0.current().is_none() {
                    continue;
                }
                // The message itself is not kept while its frame waits.
                let sending = client.send(&message());
                if let Err(error @ SendError::Encode(_)) = sending.await {
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    /// Returns the current connection, if there is one.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<E::Side, E::Peer>> {
        self.0.current().clone().map(Connection::from_handle)
    }

    /// Returns a receiver of the client's state, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.0.status.subscribe()
    }

    /// Waits until the client is connected. Before [`connect`](Self::connect) it waits until that has been called too.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the client is closed, now or while this waits. [`SendError::NotConnected`] when it does
    /// not try any more: without reconnecting, or because it gave up.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn connected(&self) -> Result<(), SendError> {
        match self.0.status.wait_for(|state, is_over| *state == ClientState::Connected || is_over).await {
            ClientState::Connected => Ok(()),
            ClientState::Disconnected => Err(SendError::NotConnected),
            _ => Err(SendError::Closed),
        }
    }

    /// Closes for good. Queued messages are sent, then the connection closes with 1000. A second call changes nothing.
    pub fn close(&self) {
        self.0.stop.cancel();
        if let Some(conn) = self.connection() {
            conn.close();
        }
        self.0.status.close();
    }

    /// Waits until nothing of this client runs any more. Either it is closed and its last connection has ended, or it does
    /// not try again: without reconnecting, or because it gave up. Its state says which, [`Closed`](ClientState::Closed) or
    /// [`Disconnected`](ClientState::Disconnected).
    ///
    /// Before [`connect`](Self::connect) nothing has begun that could end, so this waits for that too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn closed(&self) {
        self.0.status.wait_for(|_, is_over| is_over).await;
    }

    /// Whether the client is closed or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Returns the endpoint's value: the state that the handlers see.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.0.program.endpoint
    }

    /// Returns how many messages had no handler since the start.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.program.ignored()
    }
}

impl<E: Endpoint> Inner<E> {
    fn current(&self) -> MutexGuard<'_, Option<Handle>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_current(&self, conn: Option<Handle>) {
        let ended = std::mem::replace(&mut *self.current(), conn);
        // Dropped after the lock: values that the program attached go with the last handle, and their code may take it.
        drop(ended);
    }
}

impl<E: Endpoint> Clone for Client<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Client<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.0.url).field("state", &self.0.status.now()).finish_non_exhaustive()
    }
}
