//! The absent peers whose handled numbers are remembered, in the order in which they left. It does
//! not know what is remembered.
use std::{collections::BTreeMap, sync::Arc};

/// Maximum number of absent peers whose handled numbers are remembered. Each takes about 1.4 KB.
/// Too low: what a peer sends again after an outage is handled again. Too high: peers that invent
/// ids fill the memory.
pub(in crate::delivery::deliveries) const MAX_REMEMBERED: usize = 100_000;
/// The bytes of a peer that counts once. One with many failures counts more often.
const BYTES: usize = 1400;

/// The queue of these peers.
pub(in crate::delivery::deliveries) struct Remembered {
    /// By their places. The lowest one has left first.
    queue: BTreeMap<u64, (Arc<str>, usize)>,
    /// How often all of them count.
    count: usize,
    next: u64,
    max: usize,
}

impl Remembered {
    pub(in crate::delivery::deliveries) fn new(max: usize) -> Self {
        Self { queue: BTreeMap::new(), count: 0, next: 0, max }
    }

    /// Adds a peer that takes so many bytes beside its numbers. Returns its place.
    pub(super) fn add(&mut self, name: Arc<str>, bytes: usize) -> u64 {
        let (place, count) = (self.next, 1 + bytes / BYTES);
        self.next += 1;
        self.count += count;
        self.queue.insert(place, (name, count));
        place
    }

    /// Removes the peer with this place.
    pub(super) fn remove(&mut self, place: u64) {
        if let Some((_, count)) = self.queue.remove(&place) {
            self.count -= count;
        }
    }

    /// Removes the peer that left first, if there are too many.
    pub(super) fn pop(&mut self) -> Option<Arc<str>> {
        if self.count <= self.max {
            return None;
        }
        let (_, (name, count)) = self.queue.pop_first()?;
        self.count -= count;
        Some(name)
    }
}
