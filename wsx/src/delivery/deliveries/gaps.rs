//! The absent peers for which nothing waits, and which have not learned of a gap. Their number is
//! bounded: the observer of this end has learned of each message, and they may never come back.
use crate::delivery::deliveries::{
    Shared,
    state::{Peer, State},
};
use std::{collections::BTreeMap, sync::Arc};

/// Maximum number of these peers. Too low: a peer that was away for long does not learn which
/// messages it has missed. Too high: each one takes about 1 KB, and a record of the store.
const MAX_PEERS: usize = 10_000;

/// These peers, the one that is there for longest first.
#[derive(Default)]
pub(super) struct Gaps {
    by_age: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl Gaps {
    /// Removes a peer: it is connected, or something is kept for it.
    pub(super) fn remove(&mut self, peer: &mut Peer) {
        if let Some(age) = peer.gap_age.take() {
            self.by_age.remove(&age);
        }
    }

    /// Removes the oldest one, if there are too many.
    fn pop_above_bound(&mut self) -> Option<Arc<str>> {
        if self.by_age.len() <= MAX_PEERS {
            return None;
        }
        self.by_age.pop_first().map(|(_, name)| name)
    }
}

impl State {
    /// Notes that only a gap is kept for this peer, if that is so.
    pub(super) fn note_gap(&mut self, name: &Arc<str>) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        if peer.conn.is_none() && peer.gap_age.is_none() && peer.outgoing.has_only_skips() {
            peer.gap_age = Some(self.gaps.next);
            self.gaps.by_age.insert(self.gaps.next, name.clone());
            self.gaps.next += 1;
        }
    }
}

impl Shared {
    /// Forgets a peer for which nothing is kept. If only a gap is, forgets the oldest gaps above
    /// the bound.
    pub(super) fn forget_if_empty(&self, state: &mut State, name: &str) {
        state.forget_if_empty(name);
        let Some(name) = state.peers.get_key_value(name).map(|(name, _)| name.clone()) else { return };
        state.note_gap(&name);
        while let Some(name) = state.gaps.pop_above_bound() {
            let State { peers, clock, total, .. } = &mut *state;
            let Some(peer) = peers.get_mut(&name) else { continue };
            peer.gap_age = None;
            peer.outgoing.forget_skips();
            self.write_records(peer, &name, clock, total);
            state.forget_if_empty(&name);
        }
    }
}
