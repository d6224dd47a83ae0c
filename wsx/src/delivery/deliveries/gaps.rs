//! The absent peers for which nothing waits, and which have not learned of a gap. Their number is
//! bounded: the observer of this end has learned of each message, and they may never come back.
use crate::delivery::deliveries::{Shared, state::State};
use std::sync::Arc;

impl State {
    /// Notes that only a gap is kept for this peer, if that is so.
    pub(super) fn note_gap(&mut self, name: &Arc<str>) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        if peer.conn.is_none() && peer.gap_place.is_none() && peer.outgoing.has_only_skips() {
            peer.gap_place = Some(self.gaps.add(name.clone(), 1));
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
        while let Some(name) = state.gaps.pop() {
            let State { peers, clock, total, .. } = &mut *state;
            let Some(peer) = peers.get_mut(&name) else { continue };
            peer.gap_place = None;
            peer.outgoing.forget_skips();
            self.write_records(peer, &name, clock, total);
            state.forget_if_empty(&name);
        }
    }
}
