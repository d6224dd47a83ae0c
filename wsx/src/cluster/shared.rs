//! What a node and its hub share: whether the cluster can be reached, who is in it, and the numbers
//! of the broadcasts. It does not know the bus.
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// What a node and its hub share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(super) connected: AtomicBool,
    /// The calls of other nodes that run here.
    #[cfg(test)]
    pub(super) running: AtomicUsize,
    /// The broadcasts of other nodes that are missing here.
    pub(super) missed: AtomicU64,
    /// The bytes of the broadcasts of other nodes that wait here.
    pub(super) waiting: AtomicUsize,
    /// The number of broadcasts that were numbered. Held while one is published, so that they leave
    /// in the order of their numbers.
    broadcasts: Mutex<u64>,
    /// The broadcasts that the other nodes did not get, since they were reported, and in all.
    dropped: AtomicU64,
    all_dropped: AtomicU64,
    nodes: Mutex<Vec<Arc<str>>>,
}

/// A snapshot of the cluster, as this node sees it. [`Hub::cluster`](crate::Hub::cluster) returns
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// Whether NATS can be reached.
    pub connected: bool,
    /// The names of the other nodes, in alphabetical order.
    pub nodes: Vec<Arc<str>>,
    /// How many broadcasts of other nodes have not arrived, since the hub was built.
    pub missed: u64,
    /// How many broadcasts of this node did not leave for the other nodes, since the hub was built.
    pub dropped: u64,
}

impl Shared {
    /// Returns the number of broadcasts that were numbered.
    pub(super) fn published(&self) -> u64 {
        *self.broadcasts()
    }

    /// Publishes a broadcast with its number, which is taken only if this succeeds.
    pub(super) fn number_broadcast<E>(&self, publish: impl FnOnce(u64) -> Result<(), E>) -> Result<(), E> {
        let mut broadcasts = self.broadcasts();
        publish(*broadcasts + 1)?;
        *broadcasts += 1;
        Ok(())
    }

    fn broadcasts(&self) -> MutexGuard<'_, u64> {
        self.broadcasts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a broadcast that the other nodes do not get. The number of the next one tells them.
    pub(super) fn drop_broadcast(&self) {
        *self.broadcasts() += 1;
        self.dropped.fetch_add(1, Relaxed);
        self.all_dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn status(&self) -> ClusterStatus {
        ClusterStatus {
            connected: self.connected.load(Relaxed),
            nodes: self.nodes().clone(),
            missed: self.missed.load(Relaxed),
            dropped: self.all_dropped.load(Relaxed),
        }
    }

    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Relaxed)
    }

    pub(super) fn set_nodes(&self, mut nodes: Vec<Arc<str>>) {
        nodes.sort_unstable();
        *self.nodes() = nodes;
    }
}
