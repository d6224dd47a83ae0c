//! What a node needs from the engine between the nodes: one subject that all nodes read, and one
//! subject for each node. It does not know what the payloads mean.
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// The name of a node, new for each start of its hub: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The engine between the nodes. All of its waits have a deadline, and all of its queues a bound.
pub(crate) trait Bus: Send + Sync + 'static {
    /// Since when the bus is up: connected, and subscribed to the subjects of this node. `None`
    /// while it is down.
    fn up_since(&self) -> Option<Instant>;

    /// The longest payload that one packet may have, in bytes.
    fn max_payload(&self) -> usize;

    /// Queues a packet for all other nodes, in order. Never waits. The queue is written at a
    /// limited rate. While the bus is down, nothing is queued, and what is in the queue then is
    /// lost. So is a packet that is longer than [`max_payload`](Self::max_payload).
    fn publish(&self, payload: Bytes) -> Result<(), NotPublished>;

    /// Waits until the queue of [`publish`](Self::publish) has room for any packet again, or the
    /// bus is down.
    fn room(&self) -> BoxFuture<'_, ()>;

    /// Waits until everything that was queued before is written to the engine, or the bus is down.
    /// For the end of a node. Meanwhile the queues are full for others.
    fn flushed(&self) -> BoxFuture<'_, ()>;

    /// Sends a packet to one node, and waits for its answer.
    fn ask(&self, node: NodeId, payload: Bytes, timeout: Duration) -> BoxFuture<'_, Result<Bytes, AskError>>;

    /// Sends a packet to one node, and does not wait. It is lost while the bus is down, and if too
    /// many such packets wait.
    fn tell(&self, node: NodeId, payload: Bytes);

    /// The packets for this node that were lost because it, or its process, was too slow. Then the
    /// silence of another node says nothing.
    fn lost(&self) -> u64;
}

/// The reason why a packet was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPublished {
    Down,
    /// The queue is full.
    Full,
}

/// The reason why a node has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskError {
    /// The bus is down. The packet was not sent.
    Down,
    /// Nobody reads the subject of this node. The packet was not received.
    NoSuchNode,
    /// The node did not answer in time, or the bus went down meanwhile. The node may have received
    /// the packet, and may still do so.
    TimedOut,
}

/// What the bus hands to the node that reads it.
#[derive(Debug)]
pub(crate) enum Event {
    /// The bus is up, for the first time or again. The node is subscribed: what is sent to it from
    /// now on arrives.
    Up,
    /// The bus is down, for this reason. It is sent again if it stays down for another reason.
    Down(String),
    /// A packet for all nodes. It may be one of this node itself.
    Published(Bytes),
    /// A packet for this node alone.
    Told(Bytes),
    /// A packet for this node alone, whose sender waits for an answer.
    Asked(Bytes, Answerer),
}

/// Answers one packet. If it is dropped, the asking node waits until its deadline.
pub(crate) struct Answerer(pub(crate) Box<dyn FnOnce(Bytes) + Send>);

impl Answerer {
    pub(crate) fn answer(self, payload: Bytes) {
        (self.0)(payload);
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answerer")
    }
}
