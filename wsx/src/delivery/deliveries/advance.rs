//! Goes on with what waits for a peer: what may be sent is sent, and the changes go to the store.
use crate::delivery::deliveries::{
    Shared,
    events::Event,
    pump::pump,
    state::{Clock, Peer, Size, State},
};

impl Shared {
    /// Sends what may be sent to a peer now, and gives the changes to the store.
    pub(super) fn advance(&self, state: &mut State, name: &str, events: &mut Vec<Event>) {
        let State { peers, epoch, clock, total, .. } = state;
        let Some(peer) = peers.get_mut(name) else { return };
        self.advance_peer(peer, name, epoch, clock, total, events);
    }

    /// As [`advance`](Self::advance), for a peer that is found. What is held is given to the store
    /// before anything passes it; without a store it is held at once.
    pub(super) fn advance_peer(
        &self,
        peer: &mut Peer,
        name: &str,
        epoch: &str,
        clock: &mut Clock,
        total: &mut Size,
        events: &mut Vec<Event>,
    ) {
        loop {
            let holds = pump(peer, name, epoch, total, clock.now(), events);
            self.write_records(peer, name, clock, total);
            if !holds {
                return;
            }
        }
    }
}
