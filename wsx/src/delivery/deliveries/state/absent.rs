//! Absent peers of which something is remembered, in the order in which they left, and at most so
//! many. It does not know what is remembered.
use std::{collections::BTreeMap, sync::Arc};

/// The queue of these peers.
pub(in crate::delivery::deliveries) struct Absent {
    /// By their places, with how often each counts. The lowest one has left first.
    queue: BTreeMap<u64, (Arc<str>, usize)>,
    /// How often all of them count.
    count: usize,
    next: u64,
    max: usize,
}

impl Absent {
    pub(in crate::delivery::deliveries) fn new(max: usize) -> Self {
        Self { queue: BTreeMap::new(), count: 0, next: 0, max }
    }

    /// Adds a peer that counts so often. Returns its place.
    pub(in crate::delivery::deliveries) fn add(&mut self, name: Arc<str>, count: usize) -> u64 {
        let place = self.next;
        self.next += 1;
        self.count += count;
        self.queue.insert(place, (name, count));
        place
    }

    /// Removes the peer with this place, if it has one.
    pub(in crate::delivery::deliveries) fn remove(&mut self, place: &mut Option<u64>) {
        if let Some((_, count)) = place.take().and_then(|place| self.queue.remove(&place)) {
            self.count -= count;
        }
    }

    /// Removes the peer that left first, if there are too many.
    pub(in crate::delivery::deliveries) fn pop(&mut self) -> Option<Arc<str>> {
        if self.count <= self.max {
            return None;
        }
        let (_, (name, count)) = self.queue.pop_first()?;
        self.count -= count;
        Some(name)
    }
}
