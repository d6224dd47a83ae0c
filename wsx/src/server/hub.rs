//! The hub: the server's connections, with all public methods of [`Hub`].
//!
//! It does not know sockets or HTTP; `upgrade` turns requests into connections. `inner` has its
//! parts, and adds and removes connections.
pub(crate) mod inner;

#[cfg(feature = "server")]
use crate::server::{
    builder::HubBuilder,
    identity::Identity,
    rejection::Rejection,
    upgrade::{self, WsHandler},
};
use crate::{
    connection::{Asking, Connection},
    delivery::{Delivering, StateOf, Waiting},
    envelope::{AskedBy, Outbound, SentBy, frame::Encode as _, kept::KeptMessage},
    error::{LabelError, SendError},
    message::{self, Kept, Message},
    protocol::{
        PeerVersion,
        endpoint::{Endpoint, Untyped},
        side::AnySide,
    },
    server::{broadcast, hub::inner::Inner, presence::Presence, sending_to::SendingTo, shutdown},
    wire::close_code::CloseCode,
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The server's registry of connections, with the endpoint whose handlers run on them.
///
/// All clones are the same hub. [`Hub::builder`] takes an endpoint, state, bounds and an observer.
pub struct Hub<E = Untyped>(Arc<Inner<E>>);

#[cfg(feature = "server")]
impl Hub {
    /// Returns a hub of the untyped endpoint, with the annotated handlers that do not name an
    /// endpoint.
    ///
    /// It may be without handlers, because `register` can add them to each connection.
    ///
    /// # Panics
    ///
    /// Panics if the handlers do not fit together. [`Hub::builder`] returns the problems instead.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it may panic, which is unexpected in a default")]
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
    /// Returns the types that have a handler, including the reserved ones, in alphabetical order.
    #[must_use]
    pub fn handled_types(&self) -> Vec<String> {
        self.program().router.types()
    }

    /// Accepts connections until the hub shuts down. [`unique_id`](crate::unique_id) makes their
    /// ids.
    ///
    /// To choose ids, or to reject requests, use [`ws_handler`](Self::ws_handler).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping this future closes the listener; see [`WsHandler::serve`]. Open
    /// connections stay.
    pub async fn serve(&self, listener: tokio::net::TcpListener) {
        self.ws_handler(upgrade::unique_id, |_| {}).serve(listener).await;
    }

    /// As [`serve`](Self::serve), with TLS, for clients of `wss://` (row L1 of the specification).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping this future closes the listener; see [`WsHandler::serve_tls`].
    /// Open connections stay.
    #[cfg(feature = "rustls")]
    pub async fn serve_tls(&self, listener: tokio::net::TcpListener, tls: crate::server::tls::Tls) {
        self.ws_handler(upgrade::unique_id, |_| {}).serve_tls(listener, tls).await;
    }

    /// Returns the handler of upgrade requests. It serves a listener, or is mounted in an HTTP
    /// server (row S1 of the specification).
    ///
    /// `build_id` makes the id of a connection from the upgrade request. It can wait, for example
    /// for a database, and it can reject the request with a status (row X2). Its future is dropped
    /// if the peer closes the stream, the handshake times out, or the hub shuts down. `register`
    /// runs for each new connection, before its first message. A panic in either of them rejects
    /// the request with 500.
    ///
    /// A new connection replaces an older one with the same id, so ids must be unique.
    /// [`wsx::server`](crate::server#ids) says more, and has an example. In axum, mount it with
    /// `route_service`; see [`WsHandler::upgrade`].
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
    /// Returns the value of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.program().endpoint
    }

    /// Sends a message or an envelope to the peer with this id (row S2 of the specification).
    ///
    /// A message that is delivered at most once is queued for the connection with this id; this
    /// waits until its queue has room. A kept message goes into the mailbox, also if the peer is
    /// not connected; the result says which. See [`wsx::delivery`](crate::delivery).
    ///
    /// # Errors
    ///
    /// - [`SendError::NoSuchConnection`]: no connection has this id. Not for a kept message.
    /// - In a cluster also `NodeUnreachable`, `TooLong`, `Full` and `Unconfirmed`.
    /// - [`SendError::Closed`]: the connection is closing, or this happens while the send waits.
    /// - [`SendError::Encode`]: the message cannot be written as JSON.
    /// - [`SendError::PeerTooOld`]: the version of the peer does not understand the message.
    /// - [`SendError::OutboxFull`], [`SendError::Store`]: the mailbox does not take a kept message.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; see [`Sending`](crate::connection::Sending). If this future is dropped after
    /// its first poll, a kept message is kept, and a message to another node may be sent.
    pub fn send_to<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, id: &str, message: &M) -> SendingTo {
        self.send(id, message)
    }

    /// Sends a kept message, as [`send_to`](Self::send_to), and waits until the peer has handled
    /// it.
    pub fn deliver<M: SentBy<E::Side, E::Peer> + Kept>(&self, id: &str, message: &M) -> Delivering {
        Delivering::new(Ok(self.recipient(id)), KeptMessage::of(message))
    }

    /// Sets the state of this type for a peer. It is sent at once and at every connect, until the
    /// peer has handled it. A newer one replaces it.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to) for a kept message.
    pub fn set<M: SentBy<E::Side, E::Peer> + message::State>(&self, id: &str, state: &M) -> SendingTo {
        self.send_to(id, state)
    }

    /// Returns the newest state of this type: the one that the peer has sent, also if it is absent,
    /// or the one that was [set](Self::set) for it. `None` also if it does not decode as `M`.
    #[must_use]
    pub fn state<M: message::State + DeserializeOwned>(&self, id: &str) -> Option<StateOf<M>> {
        let StateOf { value, age, is_handled } = self.program().deliveries.state(id, M::TYPE)?;
        Some(StateOf { value: serde_json::from_slice(&value).ok()?, age, is_handled })
    }

    /// Returns the messages that wait for this peer, in the order in which they are sent.
    #[must_use]
    pub fn waiting(&self, id: &str) -> Vec<Waiting> {
        self.program().deliveries.waiting(id)
    }

    /// Drops the messages that wait for this peer, and returns their number. States that it has
    /// handled stay. The peer may handle what was sent to it. Both observers see the rest as a gap.
    pub fn drop_waiting(&self, id: &str) -> usize {
        self.program().deliveries.drop_waiting(id)
    }

    /// Asks the connection with this id, and waits for its reply (row Q3 of the specification).
    /// [`Asking`] has an example.
    ///
    /// # Errors
    ///
    /// [`RequestError`](crate::RequestError).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the reply is lost if this is dropped; see [`Asking`].
    pub fn request<M: AskedBy<E::Side, E::Peer> + ?Sized>(
        &self,
        id: &str,
        message: &M,
    ) -> Asking<'static, M::Reply, M::Refusal> {
        self.ask(id, |keys| message.draft(keys))
    }

    /// As [`request`](Self::request), without a protocol: `R` is the expected reply.
    pub fn request_as<R: Message + DeserializeOwned>(
        &self,
        id: &str,
        message: &(impl Outbound + ?Sized),
    ) -> Asking<'static, R>
    where
        E: Endpoint<Side = AnySide>,
    {
        self.ask(id, |keys| message.draft(keys))
    }

    /// Queues a message or an envelope for every connection. Returns the number of connections that
    /// accepted it (row S3 of the specification).
    ///
    /// The message is encoded once. A kept message goes into the mailbox of each connected peer. A
    /// slow connection does not delay the others; see [`wsx::server`](crate::server#broadcasts).
    ///
    /// # Errors
    ///
    /// - [`SendError::Encode`]: the message cannot be written as JSON.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped before its first poll, the message is not sent.
    /// If it is dropped while it waits, full connections and other nodes may not get the message.
    pub fn broadcast<M: SentBy<E::Side, E::Peer> + ?Sized>(
        &self,
        message: &M,
    ) -> BoxFuture<'_, Result<usize, SendError>> {
        broadcast::send(self, message, None)
    }

    /// As [`broadcast`](Self::broadcast), for the connections with this label (row S7 of the
    /// specification). Its cost depends on their number, and not on that of all connections.
    ///
    /// A label that no connection has is not an error: the result is 0. Errors and cancel safety
    /// are as of [`broadcast`](Self::broadcast).
    pub fn broadcast_to<'h, M: SentBy<E::Side, E::Peer> + ?Sized>(
        &'h self,
        label: &'h str,
        message: &M,
    ) -> BoxFuture<'h, Result<usize, SendError>> {
        broadcast::send(self, message, Some(label))
    }

    /// Returns the ids of the connections with this label, in any order.
    #[must_use]
    pub fn ids_of(&self, label: &str) -> Vec<String> {
        self.0.roster.labels().ids(label)
    }

    /// Returns the labels of the connection with this id, or those that its next connection keeps.
    #[must_use]
    pub fn labels_of(&self, id: &str) -> Vec<String> {
        self.0.roster.labels_of(id)
    }

    /// Adds a label to the connection with this id, besides those of
    /// [`Identity::label`](crate::Identity::label). A label that it has already is not an error,
    /// and not a change.
    ///
    /// Labels belong to the id while it is online. If the program has changed them, the next
    /// connection of the id keeps them, and ignores those of its own `build_id`. An id that was
    /// offline meanwhile has the labels of `build_id` again. Within its
    /// [`presence_grace`](crate::server::HubBuilder::presence_grace), only labels that the program
    /// has changed before can be changed; otherwise `build_id` sets the next ones.
    ///
    /// # Errors
    ///
    /// [`LabelError`]: the id does not have a connection or kept labels, it has 16 labels, or the
    /// label does not have 1 to 128 bytes.
    pub fn add_label(&self, id: &str, label: &str) -> Result<(), LabelError> {
        self.0.roster.add_label(id, label)
    }

    /// Removes a label from this id. Returns whether the id had it. To move a connection to another
    /// label, add that one first.
    pub fn remove_label(&self, id: &str, label: &str) -> bool {
        self.0.roster.remove_label(id, label)
    }

    /// Returns the presence of ids: those that are or were connected, with times, addresses and
    /// close reasons, and the changes (row S6 of the specification).
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.0.roster.presence().clone()
    }

    /// Returns all connections of this node, in any order.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection<E::Side, E::Peer>> {
        self.registry().connections().into_iter().map(Connection::from_handle).collect()
    }

    /// Returns the connection with this id, if this node has it.
    #[must_use]
    pub fn connection(&self, id: &str) -> Option<Connection<E::Side, E::Peer>> {
        self.registry().get(id).map(Connection::from_handle)
    }

    /// Closes the connection with this id as [`Connection::close_with`]. Does not wait for its end.
    ///
    /// # Errors
    ///
    /// - [`SendError::NoSuchConnection`]: the hub does not have a connection with this id.
    /// - In a cluster also `NodeUnreachable`, and `Unconfirmed`: it may have been closed.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: after its first poll the connection may close, even if this is dropped.
    pub async fn close(&self, id: &str, code: CloseCode, reason: impl Into<String>) -> Result<(), SendError> {
        self.close_anywhere(id, code, reason.into()).await
    }

    /// Whether a connection with this id is open: its handler of `__open__` runs or has run, and
    /// its handler of `__close__` has not begun (row S4 of the specification).
    ///
    /// A handler of `__close__` may run after that of `__open__` for the next connection of a box.
    /// [`presence`](Self::presence) knows whether the box has gone.
    #[must_use]
    pub fn is_connected(&self, id: &str) -> bool {
        self.is_connected_here(id) || (self.is_node() && self.roster().is_elsewhere(id))
    }

    /// Returns the ids of all connections, in any order, also of those of other nodes.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.roster().ids(self.is_node())
    }

    /// Returns the number of connections, also of those of other nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roster().len(self.is_node())
    }

    /// Whether the hub does not have a connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many received messages were not handled, since the hub was built: those without
    /// a handler (row E3 of the specification), and replies that no request waits for (row Q5).
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.program().ignored()
    }

    /// Returns the number of connections for each version that their peers speak. Under `None` are
    /// those that name none: a peer without a protocol, an older wsx, or another library.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<Option<PeerVersion>, usize> {
        self.registry().versions()
    }

    /// Returns what this node knows of its [cluster](crate::cluster), if it is in one.
    #[cfg(feature = "nats")]
    #[must_use]
    pub fn cluster(&self) -> Option<crate::cluster::ClusterStatus> {
        self.joined().map(crate::cluster::Cluster::status)
    }

    /// Answers health checks with 503 from now on, so that a load balancer sends new connections to
    /// another server (row N3 of the specification). Everything else goes on, new connections
    /// included.
    ///
    /// Call it before [`shutdown`](Self::shutdown), and wait until the load balancer has noticed;
    /// see [`HubBuilder::health`](crate::server::HubBuilder::health).
    pub fn drain(&self) {
        self.lifecycle().draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`drain`](Self::drain) or [`shutdown`](Self::shutdown) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.lifecycle().is_draining()
    }

    /// Closes the hub gracefully. New connections are rejected with 503. Queued messages are sent,
    /// then every connection is closed with code 1001, or 1012 in a cluster. Running handlers,
    /// `__close__` handlers and observers finish first (row X7 of the specification).
    ///
    /// Returns the number of connections that were still open after `grace`, and were dropped.
    ///
    /// Every call waits until the hub has closed; with several calls, the shortest grace period
    /// applies. Do not await this in one of the hub's own handlers: the shutdown waits for it.
    /// [`wsx::server`](crate::server#shutdown) has the details and an example.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this future is dropped, the shutdown goes on, with its grace period.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        shutdown::begin(self, grace).await
    }
}
