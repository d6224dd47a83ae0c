//! Removes the messages whose time to live is over.
use crate::delivery::{
    Time,
    deliveries::{
        Shared,
        events::Event,
        state::{Peer, Size, State},
    },
};
use std::{sync::Arc, time::Duration};

/// Shortest time between two looks at the messages of all peers. Too low: a mailbox that stays full
/// is searched at each send, which takes milliseconds for a million messages. Too high: the room of
/// expired messages is given back late.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

impl Shared {
    /// Removes what has expired for one peer.
    pub(super) fn expire(&self, name: &str) {
        let mut events = Vec::new();
        let mut state = self.lock();
        self.expire_locked(&mut state, name, &mut events);
        self.forget_if_empty(&mut state, name);
        drop(state);
        self.report(events);
    }

    /// Removes what has expired for all peers, unless this was done a moment ago.
    pub(super) fn expire_all(&self, state: &mut State, events: &mut Vec<Event>) {
        let now = state.clock.now();
        if state.swept.is_some_and(|last| last.age(now) < SWEEP_EVERY) {
            return;
        }
        state.swept = Some(now);
        let names: Vec<Arc<str>> = state.peers.keys().cloned().collect();
        for name in names {
            self.expire_locked(state, &name, events);
            self.forget_if_empty(state, &name);
        }
    }

    pub(super) fn expire_locked(&self, state: &mut State, name: &str, events: &mut Vec<Event>) {
        let State { peers, clock, total, .. } = state;
        let Some(peer) = peers.get_mut(name) else { return };
        expire(peer, name, total, clock.now(), events);
        self.write_records(peer, name, clock, total);
    }
}

/// Removes what has expired for a peer. The caller gives the changes to the store.
pub(super) fn expire(peer: &mut Peer, name: &str, total: &mut Size, now: Time, events: &mut Vec<Event>) {
    let before = peer.outgoing.size();
    let expired = peer.outgoing.expire(now, now.lowest_number());
    total.change(before, peer.outgoing.size());
    if !expired.is_empty() {
        events.push(Event::Expired(name.into(), expired));
    }
}
