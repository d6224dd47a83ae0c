//! Messages of types that the peer does not understand, because it speaks another version of the
//! protocol. They are held until it does, and the others are sent.
//!
//! ```text
//! waits --its turn comes: hold--> waits for the store --stored: set_aside--> held
//!   ^                                     |                                   |
//!   +---------- release: a new number, when a peer understands it ------------+
//! ```
//!
//! A held message is not in its lane any more, and the peer passes its number. So the store has to
//! know first: after a crash, the acknowledgement of a later number would otherwise end a message
//! that was never sent. Until then the message stays in its place, and nothing overtakes it.
use super::Outgoing;
use crate::delivery::{lane::Lane, message::Message, outgoing::Record};
use std::collections::{BTreeMap, HashSet};

impl Outgoing {
    /// Begins to hold the messages that the peer of the connection does not understand. Returns
    /// their types.
    pub(in crate::delivery) fn hold(&mut self) -> Vec<Box<str>> {
        let Some(link) = &self.link else { return Vec::new() };
        let mut types = Vec::new();
        let lanes = [(Lane::Seq, &mut self.seq, link.seq_sent), (Lane::Latest, &mut self.latest, link.latest_sent)];
        for (lane, waiting, sent) in lanes {
            for (number, message) in waiting.range_mut(sent + 1..) {
                // The store may still not take one that it does not have.
                if message.is_stored && !link.reads(message) {
                    (message.is_stored, message.is_held) = (false, true);
                    self.records.push(Record::Put(lane, *number));
                    types.push((*message.kept.message_type).into());
                }
            }
        }
        types
    }

    /// Takes a message out of its lane, if the store has it as held.
    pub(super) fn set_aside(&mut self, lane: Lane, number: u64) {
        let waiting = self.lane_mut(lane);
        if waiting.get(&number).is_some_and(|message| message.is_held) {
            let message = waiting.remove(&number).expect("it was found above");
            self.held.insert((lane, number), message);
            self.free_empty();
        }
    }

    /// Gives the held messages that the peer of the connection understands new numbers, at the end
    /// of their lanes and in their old order. Later messages of these types stay behind them. This
    /// is called before anything is sent on the connection.
    pub(super) fn release(&mut self) {
        for lane in [Lane::Seq, Lane::Latest] {
            let Some(link) = &self.link else { return };
            let waiting = match lane {
                Lane::Seq => &self.seq,
                Lane::Latest => &self.latest,
            };
            let held: Vec<u64> =
                self.held_in(lane).filter(|(_, message)| link.reads(message)).map(|(number, _)| number).collect();
            let is_held = |message: &&Message| message.is_held && link.reads(message);
            let of_held = held.iter().map(|number| &self.held[&(lane, *number)]);
            let types: HashSet<&str> =
                of_held.chain(waiting.values().filter(is_held)).map(|message| &*message.kept.message_type).collect();
            if types.is_empty() {
                continue;
            }
            let mut later = waiting.iter().filter(|(_, message)| types.contains(&*message.kept.message_type));
            let first = later.next().map(|(number, _)| *number);
            let mut moved = first.map_or_else(BTreeMap::new, |first| self.lane_mut(lane).split_off(&first));
            for number in held {
                let message = self.held.remove(&(lane, number)).expect("it was found above");
                moved.insert(number, message);
            }
            self.append(lane, moved);
        }
    }

    /// Returns the held messages of a lane.
    pub(in crate::delivery) fn held_in(&self, lane: Lane) -> impl Iterator<Item = (u64, &Message)> {
        self.held.range((lane, 0)..=(lane, u64::MAX)).map(|((_, number), message)| (*number, message))
    }
}
