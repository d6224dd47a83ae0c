//! Where numbers go on: after a start, from the store, and on a connection, from what the peer
//! remembers. It does not know what is sent then.
use super::{Outgoing, Record, Slot};
use crate::delivery::{Outcome, Why, lane::Lane, message::Message};
use std::collections::BTreeMap;

impl Outgoing {
    /// Adds a message that the store had.
    pub(in crate::delivery) fn restore(&mut self, lane: Lane, number: u64, message: Message, is_settled: bool) {
        self.bytes += message.len();
        self.may_expire(message.expires);
        match lane {
            Lane::Seq => {
                self.last_seq = self.last_seq.max(number);
                self.seq.insert(number, message);
                self.set_aside(lane, number);
            }
            Lane::Latest => {
                self.last_latest = self.last_latest.max(number);
                if !is_settled {
                    self.restore_latest(number, message);
                } else if self.slots.contains_key(&Slot::of(&message)) {
                    self.bytes -= message.len();
                    self.records.push(Record::Delete(lane, number));
                } else {
                    self.settled.insert((*message.kept.message_type).into(), (number, message));
                }
            }
        }
        self.known = [self.last_seq, self.last_latest];
    }

    /// Adds a message that the store had, unless it has a newer one of the same slot: the program
    /// may have ended between the two changes of the store.
    fn restore_latest(&mut self, number: u64, message: Message) {
        if message.is_state() {
            self.remove_settled(&message.kept.message_type);
        }
        let numbers = self.slots.entry(Slot::of(&message)).or_default();
        let other = numbers.first().copied();
        numbers.push(number);
        numbers.sort_unstable();
        self.latest.insert(number, message);
        self.set_aside(Lane::Latest, number);
        if let Some(other) = other {
            self.remove_latest(other.min(number), Outcome::Superseded);
        }
    }

    /// Adds numbers that are never sent, which the store had.
    pub(in crate::delivery) fn restore_skip(&mut self, from: u64, to: u64, why: Why) {
        self.last_seq = self.last_seq.max(to);
        self.known[Lane::Seq as usize] = self.last_seq;
        match self.skips.add(from, to, why) {
            None => self.records.push(Record::EndSkip(from)),
            Some((first, last, parts)) if !parts.is_empty() => {
                // One record for one range.
                self.records.extend(parts.into_iter().chain([from]).filter(|part| *part != first).map(Record::EndSkip));
                self.records.push(Record::Skip(first, last, why));
            }
            Some(_) => {}
        }
    }

    /// Makes the numbers fit what the peer remembers.
    pub(super) fn resume(&mut self, seq: u64, latest: u64) {
        if latest == 0 {
            // The peer has forgotten the states.
            for (_, (number, message)) in std::mem::take(&mut self.settled) {
                // A newer one waits for the store, or there is not one.
                self.slots.entry(Slot::of(&message)).or_default().insert(0, number);
                self.records.push(Record::Put(Lane::Latest, number));
                self.may_expire(message.expires);
                self.latest.insert(number, message);
            }
        }
        self.renumber(Lane::Seq, seq);
        self.renumber(Lane::Latest, latest);
    }

    /// Gives messages new numbers if the peer has handled other messages with theirs: an older copy
    /// of the store was put back, and the clock too. A message that was never sent, and was not in
    /// that copy, cannot be handled.
    fn renumber(&mut self, lane: Lane, handled: u64) {
        let known = self.known[lane as usize];
        self.known[lane as usize] = known.max(handled);
        let first = self.lane_mut(lane).range(known + 1..).next().map(|(number, _)| *number);
        let last = match lane {
            Lane::Seq => &mut self.last_seq,
            Lane::Latest => &mut self.last_latest,
        };
        *last = handled.max(*last);
        if first.is_some_and(|first| first <= handled) {
            // All of them, so that they keep their order.
            let later = self.lane_mut(lane).split_off(&(known + 1));
            self.append(lane, later);
        }
    }

    /// Gives messages new numbers at the end of the lane, in their order. They are sent when the
    /// store has them there.
    pub(super) fn append(&mut self, lane: Lane, messages: BTreeMap<u64, Message>) {
        let (waiting, last) = match lane {
            Lane::Seq => (&mut self.seq, &mut self.last_seq),
            Lane::Latest => (&mut self.latest, &mut self.last_latest),
        };
        for (number, mut message) in messages {
            *last += 1;
            self.records.extend([Record::Delete(lane, number), Record::Put(lane, *last)]);
            (message.is_stored, message.is_held) = (false, false);
            if lane == Lane::Latest {
                let numbers = self.slots.get_mut(&Slot::of(&message)).expect("a message is in its slot");
                numbers.retain(|other| *other != number);
                numbers.push(*last);
            }
            waiting.insert(*last, message);
        }
    }
}
