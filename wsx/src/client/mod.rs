//! The client: dials, reconnects, and has all public methods of [`Client`]. It does not read or
//! write messages; `task` does.
#[cfg(feature = "testing")]
mod attach;
mod attempt;
pub(crate) mod backoff;
pub(crate) mod builder;
mod dial;
mod every;
pub(crate) mod handshake;
mod inner;
mod options;
mod reconnect;
mod redirect;
mod rejected;
pub(crate) mod state;
pub(crate) mod stream;
#[cfg_attr(feature = "rustls", path = "tls/enabled.rs")]
#[cfg_attr(not(feature = "rustls"), path = "tls/disabled.rs")]
pub(crate) mod tls;
pub(crate) mod url;
mod urls;
mod zone;

pub use builder::ClientBuilder;
#[cfg(feature = "proxy")]
pub use dial::proxy::Proxy;
pub use redirect::Redirect;
pub use stream::Destination;
pub use urls::{Attempt, Urls};

use crate::{
    catch_panic::Guarded,
    client::{inner::Inner, reconnect::Session, state::ClientState},
    connection::{Asking, Connection, Sending, handle::Handle, loom_or_std::watch},
    delivery::Delivering,
    envelope::{AskedBy, Outbound, SentBy, frame::Encode as _, kept::KeptMessage},
    error::{ConnectError, SendError},
    message::{Kept, Message, State},
    protocol::{
        endpoint::{Endpoint, Untyped},
        side::AnySide,
    },
    wire::role::Role,
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A client: a connection to a server, which is dialled again when it breaks.
///
/// A clone is cheap, and all clones are the same client. A connected client goes on until it is
/// closed or cancelled, even if all its clones are dropped.
///
/// ```no_run
/// # #[derive(serde::Serialize, wsx::Message)]
/// # struct Telemetry { celsius: f64 }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use wsx::{CancellationToken, Client, StderrObserver};
///
/// let client =
///     Client::builder("ws://127.0.0.1:9001/ws?id=box-7").observer(StderrObserver).build()?;
/// client.start(CancellationToken::new()).await?;
/// client.send(&Telemetry { celsius: 21.5 }).await?;
/// client.close();
/// # Ok(())
/// # }
/// ```
pub struct Client<E: Endpoint = Untyped>(Arc<Inner<E>>);

impl Client {
    /// Returns a client of the untyped endpoint, with the annotated handlers that do not name an
    /// endpoint.
    ///
    /// It does nothing until [`connect`](Self::connect) or [`start`](Self::start). These also
    /// return the problems of the URL and of the handlers; [`Client::builder`] reports them
    /// earlier.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::builder(url.into()).build_unchecked()
    }

    /// Returns a builder, which takes an endpoint, state, headers, bounds and an observer.
    ///
    /// `urls` is one URL, a list of them, or a function; see [`Urls`].
    #[must_use]
    pub fn builder(urls: impl Into<Urls>) -> ClientBuilder {
        ClientBuilder::new(urls.into())
    }
}

impl<E: Endpoint> Client<E> {
    /// Connects, and connects again whenever the connection ends, until the client is closed or
    /// `cancel` is triggered. Both close the connection with code 1000.
    ///
    /// `register` runs for each new connection, before its first message. If it panics, that
    /// connection is closed with code 1011. [`start`](Self::start) does the same without
    /// `register`.
    ///
    /// Returns another handle of this client when the first connection is made. With reconnecting,
    /// it keeps trying until then (row K3 of the specification). Only an
    /// [`Observer`](crate::Observer) sees the failed attempts.
    ///
    /// A second call waits for the connection of the first, without its own `register`; its
    /// `cancel` ends only its own wait. If the first call fails, the second begins to dial.
    ///
    /// # Errors
    ///
    /// - [`ConnectError::Build`], at once: the URL is wrong, or the handlers do not fit together.
    /// - [`ConnectError::AlreadyConnected`], at once: the client is connected.
    /// - [`ConnectError::Closed`]: the client was closed or cancelled before the first connection.
    /// - Every other error of an attempt, if reconnecting is off or the client gave up.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped before it is done, a connection was not made and
    /// `register` has not run. `connect` can be called again. The server may have seen an
    /// unfinished handshake.
    pub async fn connect(
        &self,
        cancel: CancellationToken,
        register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        let Inner { targets, status, .. } = &*self.0;
        targets.as_ref().map_err(Clone::clone)?;
        while !status.begin() {
            if status.now() == ClientState::Connected {
                return Err(ConnectError::AlreadyConnected);
            }
            let ready = status.wait_for(|state, is_over| *state == ClientState::Connected || is_over);
            match cancel.run_until_cancelled(ready).await {
                Some(ClientState::Connected) => return Ok(self.clone()),
                None | Some(ClientState::Closed) => return Err(ConnectError::Closed),
                // The earlier call has failed.
                Some(_) => {}
            }
        }
        let register = Guarded::new(Box::new(move |conn: &Handle| register(Connection::of(conn))) as Box<_>);
        Session::new(self, cancel, register).connect().await?;
        Ok(self.clone())
    }

    /// As [`connect`](Self::connect), without `register`.
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

    /// Sends a message or an envelope.
    ///
    /// A message that is delivered at most once is queued on the current connection; this waits
    /// until its queue has room. Messages that are queued when a connection breaks are lost. A kept
    /// message goes into the [`Outbox`](crate::delivery::Outbox), also without a connection; see
    /// [`wsx::delivery`](crate::delivery).
    ///
    /// # Errors
    ///
    /// - [`SendError::NotConnected`]: the client has no connection now. Not for a kept message.
    /// - [`SendError::Closed`]: the client is closed.
    /// - [`SendError::Encode`]: the message cannot be written as JSON.
    /// - [`SendError::PeerTooOld`]: the version of the server does not understand the message.
    /// - [`SendError::OutboxFull`], [`SendError::Store`]: the outbox does not take a kept message.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; see [`Sending`]. If this future is dropped after its first poll, a kept message
    /// is kept.
    pub fn send<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, message: &M) -> Sending<'static> {
        let conn = || self.0.current().clone().ok_or(SendError::Closed);
        let sending = Sending::message_to(Role::Client, message, conn, || self.recipient());
        sending.of_client(self.0.stop.clone())
    }

    /// Sends a kept message, as [`send`](Self::send), and waits until the server has handled it.
    pub fn deliver<M: SentBy<E::Side, E::Peer> + Kept>(&self, message: &M) -> Delivering {
        Delivering::new(self.recipient(), KeptMessage::of(message))
    }

    /// Sets the state of this type, which the server remembers. It is sent at once and at every
    /// connect, until the server has handled it. A newer one replaces it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) for a kept message.
    pub fn set<M: SentBy<E::Side, E::Peer> + State>(&self, state: &M) -> Sending<'static> {
        self.send(state)
    }

    /// Returns the number of messages that wait in the outbox.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.program.deliveries.messages("")
    }

    /// Asks the server on the current connection, and waits for its reply (row Q3 of the
    /// specification). [`Asking`] has an example.
    ///
    /// # Errors
    ///
    /// [`RequestError`](crate::RequestError).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the reply is lost if this is dropped; see [`Asking`].
    pub fn request<M: AskedBy<E::Side, E::Peer> + ?Sized>(&self, message: &M) -> Asking<'static, M::Reply, M::Refusal> {
        self.ask(|keys| message.draft(keys))
    }

    /// As [`request`](Self::request), without a protocol: `R` is the message that is expected as
    /// the reply.
    pub fn request_as<R: Message + DeserializeOwned>(&self, message: &(impl Outbound + ?Sized)) -> Asking<'static, R>
    where
        E: Endpoint<Side = AnySide>,
    {
        self.ask(|keys| message.draft(keys))
    }

    /// Waits until the socket has taken every message that the current connection accepted before
    /// this call.
    ///
    /// The messages are then in the buffers of the operating system. Only an answer of the peer
    /// proves that it has received them. Kept messages in the outbox may still wait.
    ///
    /// # Errors
    ///
    /// - [`SendError::NotConnected`]: the client has no connection, or lost it during this wait.
    /// - [`SendError::Closed`]: the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the messages stay queued.
    pub async fn flush(&self) -> Result<(), SendError> {
        let conn = self.connection();
        let flushed = match &conn {
            Some(conn) => conn.flush().await,
            None => Err(SendError::Closed),
        };
        flushed.map_err(|error| match error {
            SendError::Closed if !self.is_closed() => SendError::NotConnected,
            error => error,
        })
    }

    /// Dials now, because the program knows more than the client, for example that the network has
    /// changed.
    ///
    /// - A client that waits begins its next attempt at once.
    /// - An attempt in progress is dropped and begins again, because its path may be dead.
    /// - A connected client gives its connection up without waiting for a close, and dials at once.
    ///   The connection ends with [`CloseCode::ABNORMAL`](crate::CloseCode::ABNORMAL), by
    ///   [`ClosedBy::Us`](crate::ClosedBy::Us). Its queued messages are lost, and received messages
    ///   that wait for their handler are dropped. Its running handler has
    ///   [`Config::close_timeout`](crate::Config::close_timeout) to end, beside the new connection,
    ///   but ends at the next `retry_now`.
    ///
    /// It has no effect before `connect`, after the end of the client, and on the connection of a
    /// client that does not reconnect. The waits after later failures are not shorter.
    pub fn retry_now(&self) {
        self.0.retry.send_replace(());
    }

    /// Calls `message` now and then at every `interval`, and sends its result, until the client is
    /// closed. Spawn the future that this returns.
    ///
    /// It is a heartbeat of the application: the server's handlers see that the program works (row
    /// R1 of the specification). `message` is not called without a connection. An `interval` below
    /// 1 ms counts as 1 ms, and the next one begins when the queue has the message.
    ///
    /// ```no_run
    /// # async fn example(client: wsx::Client) {
    /// use std::time::{Duration, Instant};
    ///
    /// #[derive(serde::Serialize, wsx::Message)]
    /// struct Alive { uptime: u64 }
    ///
    /// let start = Instant::now();
    /// let alive = move || Alive { uptime: start.elapsed().as_secs() };
    /// tokio::spawn(client.send_every(Duration::from_secs(30), alive));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`SendError::Encode`]: a message cannot be written as JSON. The future ends then.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped, a message that waits for room is not sent.
    pub fn send_every<M: SentBy<E::Side, E::Peer>>(
        &self,
        interval: Duration,
        message: impl FnMut() -> M + Send + 'static,
    ) -> BoxFuture<'static, Result<(), SendError>> {
        every::send(self.clone(), interval, message)
    }

    /// Returns the current connection, if there is one.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<E::Side, E::Peer>> {
        self.0.current().clone().map(Connection::from_handle)
    }

    /// Returns a receiver of the client's state.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.0.status.subscribe()
    }

    /// Waits until the client is connected, also before [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`]: the client is closed, or is closed while this waits.
    /// - [`SendError::NotConnected`]: the client has stopped trying, because reconnecting is off or
    ///   because it gave up.
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

    /// Closes the client for good. Queued messages are sent, then the connection is closed with
    /// code 1000. A second call has no effect.
    pub fn close(&self) {
        self.0.stop.cancel();
        if let Some(conn) = self.connection() {
            conn.close();
        }
        self.0.status.close();
        self.0.end_if_closed();
    }

    /// Waits until the client has ended: its last connection has ended, and it does not dial again.
    ///
    /// The state is [`Closed`](ClientState::Closed) after [`close`](Self::close) or a cancellation,
    /// and [`Disconnected`](ClientState::Disconnected) if reconnecting is off or the client gave
    /// up. Before [`connect`](Self::connect) this waits too.
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

    /// Returns the value of the endpoint, which is the state of the handlers.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.0.program.endpoint
    }

    /// Returns how many received messages were not handled, as
    /// [`Hub::ignored`](crate::Hub::ignored).
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.program.ignored()
    }
}

impl<E: Endpoint> Clone for Client<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Client<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: &dyn fmt::Debug = match &self.0.targets {
            Ok(targets) => targets,
            Err(problems) => problems,
        };
        f.debug_struct("Client").field("urls", urls).field("state", &self.0.status.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
