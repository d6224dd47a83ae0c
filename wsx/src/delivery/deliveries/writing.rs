//! The changes of what waits for a peer, on their way to the store. It does not know when they
//! happen.
use crate::delivery::{
    deliveries::{
        Shared,
        state::{Clock, Peer, Size},
    },
    journal::{Fate, Then},
    lane::Lane,
    outgoing::Record,
    record,
};
use std::sync::Arc;

impl Shared {
    /// Gives the changes of a peer to the store.
    pub(super) fn write_records(&self, peer: &mut Peer, name: &str, clock: &mut Clock, total: &mut Size) {
        let records = peer.outgoing.take_records();
        let outgoing = &peer.outgoing;
        let is_unstored =
            |lane, number| outgoing.stored_form(lane, number).is_some_and(|(message, _)| !message.is_stored);
        let unstored: Vec<_> = records
            .iter()
            .filter_map(|record| match *record {
                Record::Put(lane, number) if is_unstored(lane, number) => Some((lane, number)),
                _ => None,
            })
            .collect();
        let Some(journal) = self.journal.get() else {
            let before = outgoing.size();
            unstored.into_iter().for_each(|(lane, number)| peer.outgoing.stored(lane, number));
            total.change(before, peer.outgoing.size());
            return;
        };
        let mut withdrawn = Vec::new();
        let mut changes: Vec<_> = records
            .into_iter()
            .filter_map(|change| match change {
                Record::Put(lane, number) => {
                    let (message, is_settled) = outgoing.stored_form(lane, number)?;
                    Some(record::message(name, lane, number, message, is_settled, self.own.as_deref()))
                }
                Record::Delete(lane, number) => Some(record::delete_message(name, lane, number)),
                Record::Withdraw(lane, number) => {
                    withdrawn.push(record::delete_message(name, lane, number));
                    None
                }
                Record::Skip(from, to, why) => Some(record::skip(name, from, to, why)),
                Record::EndSkip(from) => Some(record::delete_skip(name, from)),
            })
            .collect();
        changes.extend(clock.record());
        if !changes.is_empty() {
            journal.submit(changes, Fate::Required, self.when_stored(name, unstored));
        }
        // Tried once: while a disk is full, they must not become more and more.
        if !withdrawn.is_empty() {
            journal.submit(withdrawn, Fate::Optional, Box::new(|_| {}));
        }
    }

    /// Returns what is done when the store has these messages, which got new numbers.
    fn when_stored(&self, name: &str, unstored: Vec<(Lane, u64)>) -> Then {
        if unstored.is_empty() {
            return Box::new(|_| {});
        }
        let (me, name) = (self.me.clone(), Arc::from(name));
        Box::new(move |result| {
            let Some(shared) = me.upgrade().filter(|_| result.is_ok()) else { return };
            unstored.into_iter().for_each(|(lane, number)| shared.stored(&name, lane, number, true));
        })
    }
}
