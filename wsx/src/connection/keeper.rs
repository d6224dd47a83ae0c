//! Who keeps messages until their peer has handled them, as a send sees it. It does not know where
//! they are kept.
use crate::{connection::handle::Handle, envelope::kept::KeptMessage, error::SendError};
use std::{fmt, sync::Arc};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Keeps messages.
pub(crate) trait Keeper: Send + Sync {
    /// Keeps a message for the peer of this name. `conn` returns its connection, if there is one.
    ///
    /// The message is sent when the store has it, also if the result is not awaited.
    fn keep(
        &self,
        peer: &Arc<str>,
        conn: &mut dyn FnMut() -> Option<Handle>,
        message: KeptMessage,
        watch: Option<watch::Sender<Moment>>,
    ) -> Result<Kept, SendError>;

    /// Removes what has expired for this peer.
    fn expire(&self, peer: &str);

    /// Acknowledges what was handled on a connection, before its close frame.
    fn conclude(&self, conn: &Handle);

    /// Returns what is cancelled when nothing is sent any more.
    fn ended(&self) -> CancellationToken;
}

/// A message that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) accepting: Accepting,
    /// Whether its peer is connected, and understands it.
    pub(crate) may_leave: bool,
}

/// Whether the store has a message.
#[derive(Debug)]
pub(crate) enum Accepting {
    /// There is only memory.
    Done,
    /// Ready when the message is durable, or when the store could not take it.
    Durable(oneshot::Receiver<Result<(), SendError>>),
}

/// What has happened to a kept message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The store does not have it yet.
    Waiting,
    /// It is kept, and durable if the store is.
    Accepted,
    /// It was sent on the present connection.
    Sent,
    /// It is not kept any more.
    Ended(Outcome),
}

/// Why a message is not kept any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Handled,
    Failed {
        code: Box<str>,
        message: Box<str>,
    },
    Expired,
    /// The program or a full outbox dropped it.
    Dropped,
    /// A newer message has replaced it.
    Superseded,
}

/// Where a message is when its send is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// The peer is connected. A message that is delivered at most once is in the queue of the
    /// connection. A kept message is in the mailbox, and leaves in its turn.
    Sent,
    /// The peer is not connected, or speaks a version that does not understand the message. The
    /// mailbox keeps the message until the peer is connected and understands it.
    Kept,
}

/// The peer for which a send keeps a message.
pub(crate) struct Recipient {
    pub(crate) keeper: Arc<dyn Keeper>,
    pub(crate) peer: Arc<str>,
    /// Returns the connection of the peer, if there is one.
    pub(crate) conn: Box<dyn FnMut() -> Option<Handle> + Send + Sync>,
}

impl Recipient {
    /// Returns the peer of a connection.
    pub(crate) fn of(conn: &Handle) -> Result<Self, SendError> {
        let (keeper, own) = (conn.keeper()?, conn.clone());
        Ok(Self { keeper, peer: conn.peer_name().clone(), conn: Box::new(move || Some(own.clone())) })
    }

    pub(crate) fn keep(
        &mut self,
        message: KeptMessage,
        watch: Option<watch::Sender<Moment>>,
    ) -> Result<Kept, SendError> {
        self.keeper.keep(&self.peer, &mut *self.conn, message, watch)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("peer", &self.peer).finish_non_exhaustive()
    }
}
