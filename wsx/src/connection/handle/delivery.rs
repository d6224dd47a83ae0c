//! What a handle knows of kept messages: who keeps them, and whether they are delivered on it.
use crate::{
    connection::{handle::Handle, keeper::Keeper},
    error::SendError,
    wire::role::Role,
};
use std::sync::{
    Arc, LazyLock, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The delivery of kept messages on a connection.
#[derive(Default)]
pub(super) struct Delivery {
    /// Set before the task starts. A connection of `Connection::new` does not have one. It is weak:
    /// a connection that a program holds after its end does not hold the hub or the client.
    keeper: OnceLock<Weak<dyn Keeper>>,
    /// Distinguishes the connections of a process; 0 until the handler of `__open__` has ended.
    /// Before that, the program may still reject the peer.
    token: AtomicU64,
    /// Whether acknowledgements may arrive, which the reader looks for.
    is_delivering: AtomicBool,
}

/// Returns the name under which a client keeps messages for its server.
pub(crate) fn server_name() -> &'static Arc<str> {
    static SERVER: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    &SERVER
}

impl Handle {
    /// Sets who keeps messages for the peer.
    pub(crate) fn set_keeper(&self, keeper: &Arc<dyn Keeper>) {
        let _ = self.0.delivery.keeper.set(Arc::downgrade(keeper));
    }

    /// Returns who keeps messages for the peer, while that lives.
    ///
    /// # Errors
    ///
    /// - [`SendError::NotKept`]: nobody keeps messages for this connection.
    /// - [`SendError::Closed`]: the hub or the client is gone.
    pub(crate) fn keeper(&self) -> Result<Arc<dyn Keeper>, SendError> {
        self.0.delivery.keeper.get().ok_or(SendError::NotKept)?.upgrade().ok_or(SendError::Closed)
    }

    /// Acknowledges the kept messages that were handled, because the connection closes.
    pub(crate) fn conclude_delivery(&self) {
        if let Some(keeper) = self.0.delivery.keeper.get().and_then(Weak::upgrade) {
            keeper.conclude(self);
        }
    }

    /// Returns the name under which messages are kept for the peer: the id at a hub. A client has
    /// one peer, whose name is empty.
    pub(crate) fn peer_name(&self) -> &Arc<str> {
        match self.role() {
            Role::Server => self.id(),
            Role::Client => server_name(),
        }
    }

    /// Returns [`peer_name`](Self::peer_name) as a text.
    pub(crate) fn peer(&self) -> &str {
        self.peer_name()
    }

    /// Allows the delivery on this connection.
    pub(crate) fn set_open_to_delivery(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.0.delivery.token.store(NEXT.fetch_add(1, Ordering::Relaxed), Ordering::SeqCst);
    }

    /// Whether kept messages may be delivered.
    pub(crate) fn is_open_to_delivery(&self) -> bool {
        self.delivery_token() != 0
    }

    /// Returns a number that no other connection of this process has.
    pub(crate) fn delivery_token(&self) -> u64 {
        self.0.delivery.token.load(Ordering::SeqCst)
    }

    /// Notes that the peer may send acknowledgements.
    pub(crate) fn set_delivering(&self) {
        self.0.delivery.is_delivering.store(true, Ordering::Relaxed);
    }

    /// Whether the reader looks for replies and acknowledgements, which do not wait for a handler.
    #[inline]
    pub(crate) fn awaits_control(&self) -> bool {
        self.awaits_reply() || self.0.delivery.is_delivering.load(Ordering::Relaxed)
    }
}
