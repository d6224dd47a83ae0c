//! The bounds of an outbox and of a mailbox, and their stores.
use crate::delivery::{
    Store,
    size::{Room, Size},
};
use std::fmt;

/// The messages that a client keeps until the server has handled them.
///
/// Without a store they are in memory, and a restart of the program loses them. With a store they
/// survive it; `send` then waits until its message is durable. The messages are in memory in both
/// cases, so both bounds count.
///
/// If the outbox is full, the policy of the new message decides: a message of `at_least_once`
/// returns [`SendError::OutboxFull`](crate::SendError::OutboxFull), or drops the oldest messages of
/// its type if that says `full = drop_oldest` and it then has room. A message of `latest` or
/// `state` replaces its older one, and needs room only if there is none.
///
/// ```standalone_crate
/// use wsx::{Client, delivery::Outbox};
///
/// let outbox = Outbox::new().messages(10_000).bytes(4 * 1024 * 1024);
/// let client = Client::builder("ws://127.0.0.1:9001/ws?id=box-7").outbox(outbox).build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[must_use]
pub struct Outbox {
    pub(crate) bounds: Bounds,
    pub(crate) store: Option<Box<dyn Store>>,
}

/// The messages that a hub keeps for the peers, by their ids, until they have handled them.
///
/// As an [`Outbox`], with bounds for each peer and for all together. The ids have to be those of
/// the boxes: with [`unique_id`](crate::unique_id) a peer has another id each time, and never gets
/// what waits for its old one.
///
/// ```standalone_crate
/// use wsx::{Hub, delivery::Mailbox};
///
/// let mailbox = Mailbox::new().messages_per_peer(100).bytes(256 * 1024 * 1024);
/// let hub = Hub::builder().without_handlers().mailbox(mailbox).build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[must_use]
pub struct Mailbox {
    pub(crate) bounds: Bounds,
    pub(crate) store: Option<Box<dyn Store>>,
}

/// Maximum numbers of messages and bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) messages_per_peer: usize,
    pub(crate) bytes_per_peer: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Bounds {
    /// Whether there is room for one more message of this length. `total` is kept for all peers.
    pub(super) fn has_room(&self, total: Size, bytes: usize) -> bool {
        total.messages < self.messages && total.bytes.saturating_add(bytes) <= self.bytes
    }

    /// Returns what is left for a peer. `own` is kept for it, and `total` for all peers.
    pub(super) fn room(&self, own: Size, total: Size) -> Room {
        let left = |own: usize, used: usize, all: usize, used_by_all: usize| {
            own.saturating_sub(used).min(all.saturating_sub(used_by_all))
        };
        Room {
            messages: left(self.messages_per_peer, own.messages, self.messages, total.messages),
            bytes: left(self.bytes_per_peer, own.bytes, self.bytes, total.bytes),
        }
    }
}

impl Outbox {
    /// Returns an outbox in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of messages; default 100,000, which is five messages a second for
    /// five hours. Too low: an outage loses messages. Too high: the bytes decide.
    pub fn messages(mut self, messages: usize) -> Self {
        (self.bounds.messages, self.bounds.messages_per_peer) = (messages, messages);
        self
    }

    /// Sets the maximum number of bytes of all messages, as they are on the wire; default 16 MiB.
    /// Too low: an outage loses messages. Too high: they fill the memory of the box.
    pub fn bytes(mut self, bytes: usize) -> Self {
        (self.bounds.bytes, self.bounds.bytes_per_peer) = (bytes, bytes);
        self
    }

    /// Sets the store, which keeps the messages when the program ends; default: none.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }
}

impl Mailbox {
    /// Returns a mailbox in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of messages for each peer; default 1,000. Too low: a box that sleeps
    /// misses commands. Too high: one box takes the room of the others.
    pub fn messages_per_peer(mut self, messages: usize) -> Self {
        self.bounds.messages_per_peer = messages;
        self
    }

    /// Sets the maximum number of bytes for each peer, its states included; default 1 MiB. The
    /// states that the peer has sent may take as much again. Too low and too high: as
    /// [`messages_per_peer`](Self::messages_per_peer).
    pub fn bytes_per_peer(mut self, bytes: usize) -> Self {
        self.bounds.bytes_per_peer = bytes;
        self
    }

    /// Sets the maximum number of messages of all peers together; default 1,000,000. The states
    /// that peers have sent may be as many again. Too low: messages are rejected although their
    /// peer has room. Too high: the bytes decide.
    pub fn messages(mut self, messages: usize) -> Self {
        self.bounds.messages = messages;
        self
    }

    /// Sets the maximum number of bytes of all peers together, their states included; default 64
    /// MiB. The states that peers have sent may take as much again. Too low: as for the messages.
    /// Too high: absent boxes fill the memory of the server.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    /// Sets the store, as [`Outbox::store`].
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }
}

impl Default for Outbox {
    fn default() -> Self {
        let (messages, bytes) = (100_000, 16 << 20);
        let bounds = Bounds { messages_per_peer: messages, bytes_per_peer: bytes, messages, bytes };
        Self { bounds, store: None }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        let bounds = Bounds { messages_per_peer: 1_000, bytes_per_peer: 1 << 20, messages: 1_000_000, bytes: 64 << 20 };
        Self { bounds, store: None }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_store = self.store.is_some();
        f.debug_struct("Outbox").field("bounds", &self.bounds).field("has_store", &has_store).finish()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_store = self.store.is_some();
        f.debug_struct("Mailbox").field("bounds", &self.bounds).field("has_store", &has_store).finish()
    }
}
