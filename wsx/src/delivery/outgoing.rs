//! The messages that wait for one peer, their numbers, and which of them is sent next.
//!
//! It does not know sockets or clocks. The caller stores the [`Record`]s.
mod holding;
mod removing;
mod resuming;
mod seen;
#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;

use crate::{
    delivery::{
        Moment, Outcome, Time, Why,
        failed::Failed,
        lane::Lane,
        message::Message,
        sending::{Link, Step},
        size::Room,
        skips::Skips,
        slot::Slot,
    },
    protocol::verdict::Verdict,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The messages for one peer.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Outgoing {
    /// The messages that all count, by number.
    seq: BTreeMap<u64, Message>,
    /// The newest message of each slot, by number.
    latest: BTreeMap<u64, Message>,
    /// The messages that the peer did not understand when their turn came, by the numbers that they
    /// had. The peer may have handled these numbers as ones that never were messages.
    held: BTreeMap<(Lane, u64), Message>,
    /// The numbers of `latest` by slot, in ascending order, with those that are held. The older
    /// ones wait until the store has a newer one, because after a crash it may have only them.
    slots: HashMap<Slot, Vec<u64>>,
    /// The states that the peer has handled, with their numbers. They are sent again if the peer
    /// forgets them.
    settled: HashMap<Box<str>, (u64, Message)>,
    /// The numbers of messages that are never sent.
    skips: Skips,
    /// The last number of each lane.
    last_seq: u64,
    last_latest: u64,
    /// The highest number of each lane that the peer can have handled: the last one in the store at
    /// the start, and those that were sent on earlier connections.
    known: [u64; 2],
    /// The lanes in which a message got a number in this run of the program.
    is_numbering: [bool; 2],
    /// No message expires before this, except those on their way. A search visits all of them.
    first_expiry: Option<Time>,
    /// The bytes of all messages, settled states included.
    bytes: usize,
    /// The connection of the peer.
    link: Option<Link>,
    /// What changed and is not in the store.
    records: Vec<Record>,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) place: (Lane, u64),
    /// The types of the messages that have made room for it.
    pub(super) dropped: Vec<Box<str>>,
}

/// A change for the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Record {
    /// The message with this number is new, or has changed.
    Put(Lane, u64),
    /// The message with this number does not wait any more.
    Delete(Lane, u64),
    /// The store could not take the message with this number, unless it does not know.
    Withdraw(Lane, u64),
    /// These numbers are never sent.
    Skip(u64, u64, Why),
    /// The numbers from this one on are not remembered as skipped any more.
    EndSkip(u64),
}

impl Outgoing {
    /// Adds a message. The first number of a run is at least `lowest`. Returns the message if there
    /// is no room.
    pub(super) fn accept(&mut self, message: Message, lowest: u64, room: Room) -> Result<Accepted, Box<Message>> {
        let lane = Lane::of(message.kept.policy.delivery);
        let slot = (lane == Lane::Latest).then(|| Slot::of(&message));
        let Some(numbers) = self.dropped_for(&message, room) else { return Err(Box::new(message)) };
        let dropped = self.drop_all(&numbers, Why::Full, lowest);
        self.bytes += message.len();
        self.may_expire(message.expires);
        let number = match slot {
            None => {
                self.last_seq = self.following(lane, self.last_seq, lowest);
                self.seq.insert(self.last_seq, message);
                self.last_seq
            }
            Some(slot) => {
                self.last_latest = self.following(lane, self.last_latest, lowest);
                self.slots.entry(slot).or_default().push(self.last_latest);
                self.latest.insert(self.last_latest, message);
                self.last_latest
            }
        };
        self.is_numbering[lane as usize] = true;
        Ok(Accepted { place: (lane, number), dropped })
    }

    /// Returns the number after the last one. The first of a run is at least `lowest`: the store
    /// may have lost higher numbers that the peer has handled.
    fn following(&self, lane: Lane, last: u64, lowest: u64) -> u64 {
        if self.is_numbering[lane as usize] { last + 1 } else { lowest.max(last + 1) }
    }

    /// Notes that the store has a message, so it may be sent, and replaces the older one of its
    /// slot.
    pub(super) fn stored(&mut self, lane: Lane, number: u64) {
        let Some(message) = self.lane_mut(lane).get_mut(&number) else { return };
        message.is_stored = true;
        message.report(Moment::Accepted);
        if lane == Lane::Latest {
            let (slot, is_state) = (Slot::of(message), message.is_state());
            if is_state {
                self.remove_settled(&slot.message_type);
            }
            let older = self.slots[&slot].iter().copied().take_while(|older| *older < number);
            for older in older.collect::<Vec<_>>() {
                self.remove_latest(older, Outcome::Superseded);
            }
        }
        self.set_aside(lane, number);
    }

    /// Takes a message back that the store could not take. Its number was not sent, so it is a hole
    /// like one that never was a message.
    pub(super) fn refused(&mut self, lane: Lane, number: u64) {
        let Some(message) = self.lane_mut(lane).remove(&number) else { return };
        self.bytes -= message.len();
        if lane == Lane::Latest {
            self.leave_slot(&Slot::of(&message), number);
        }
        self.records.push(Record::Withdraw(lane, number));
        message.end(Outcome::Dropped);
    }

    fn remove_latest(&mut self, number: u64, outcome: Outcome) {
        let held = || self.held.remove(&(Lane::Latest, number));
        let Some(message) = self.latest.remove(&number).or_else(held) else { return };
        self.bytes -= message.len();
        self.leave_slot(&Slot::of(&message), number);
        self.records.push(Record::Delete(Lane::Latest, number));
        self.free_empty();
        message.end(outcome);
    }

    fn leave_slot(&mut self, slot: &Slot, number: u64) {
        let Some(numbers) = self.slots.get_mut(slot) else { return };
        numbers.retain(|other| *other != number);
        if numbers.is_empty() {
            self.slots.remove(slot);
        }
    }

    fn remove_settled(&mut self, message_type: &str) {
        if let Some((number, message)) = self.settled.remove(message_type) {
            self.bytes -= message.len();
            self.records.push(Record::Delete(Lane::Latest, number));
        }
    }

    /// Begins a connection, with what its peer does not understand. Nothing was sent on it.
    pub(super) fn attach(&mut self, verdict: Option<Arc<Verdict>>) {
        self.detach();
        self.link = Some(Link::new(verdict));
    }

    /// Sends nothing more on the connection. What was sent may still be acknowledged.
    pub(super) fn stop(&mut self) {
        if let Some(link) = &mut self.link {
            link.is_closing = true;
        }
    }

    /// Ends the connection. What was in progress is sent again on the next one.
    pub(super) fn detach(&mut self) {
        let (seq_sent, latest_sent) = self.sent();
        let on_their_way = self.seq.range(..=seq_sent).chain(self.latest.range(..=latest_sent));
        let first = on_their_way.filter_map(|(_, message)| message.expires).min();
        self.may_expire(first);
        let Some(link) = self.link.take() else { return };
        self.known = [self.known[0].max(link.seq_sent), self.known[1].max(link.latest_sent)];
    }

    /// Returns what is sent next, if anything may be sent now.
    pub(super) fn next(&mut self, now: Time) -> Option<Step<'_>> {
        let link = self.link.as_mut().filter(|link| !link.is_closing)?;
        if !link.has_begun {
            let waits = |lane: &BTreeMap<u64, Message>| lane.values().any(|message| message.is_stored);
            let is_idle = !waits(&self.latest) && !waits(&self.seq) && self.held.is_empty();
            if is_idle && self.settled.is_empty() && self.skips.is_empty() {
                return None;
            }
            link.has_begun = true;
            let first = self.seq.keys().next().copied().unwrap_or(self.last_seq + 1);
            return Some(Step::Begin { first, last: self.last_seq });
        }
        if !link.is_resumed {
            return None;
        }
        if let Some((&number, message)) = self.latest.range(link.latest_sent + 1..).next() {
            if message.has_expired(now) {
                return Some(Step::Expire);
            }
            if message.is_stored && !link.reads(message) {
                return Some(Step::Hold);
            }
            if message.is_stored {
                return link.send(Lane::Latest, number, message, now);
            }
        }
        let from = link.seq_sent + 1;
        let next = self.seq.range(from..).next();
        if next.is_some_and(|(_, message)| message.has_expired(now)) {
            return Some(Step::Expire);
        }
        if next.is_some_and(|(_, message)| !message.is_stored) {
            // After a crash, lower numbers than that of the message may be given away, or may be
            // those of messages again that had got later ones.
            return None;
        }
        if let Some((to, why)) = self.skips.before(from, next.map(|(number, _)| *number)) {
            link.skip(to, now);
            return Some(Step::Skip { from, to, why });
        }
        let (&number, message) = next?;
        if link.reads(message) { link.send(Lane::Seq, number, message, now) } else { Some(Step::Hold) }
    }

    /// Takes an acknowledgement. Returns the messages that failed, with their types. The first one
    /// of a connection says where sending resumes.
    pub(super) fn acknowledged(
        &mut self,
        seq: u64,
        latest: u64,
        failed: &[Failed],
        now: Time,
    ) -> Vec<(Failed, Box<str>)> {
        let Some(link) = &mut self.link else { return Vec::new() };
        if !link.has_begun {
            return Vec::new();
        }
        let (mut seq, mut latest) = (seq, latest);
        let resumes = !link.is_resumed;
        if resumes {
            let first = self.seq.keys().next().copied().into_iter().chain(self.skips.first()).min();
            link.is_resumed = true;
            // A peer that has forgotten everything begins with the lowest number.
            link.seq_sent = if seq == 0 { first.unwrap_or(self.last_seq + 1) - 1 } else { seq };
            link.latest_sent = latest;
            self.resume(seq, latest);
        } else {
            seq = seq.min(link.seq_sent);
            latest = latest.min(link.latest_sent);
            link.acknowledged(seq, latest, now);
        }
        let reason = |lane, number| failed.iter().find(|failed| failed.lane == lane && failed.number == number);
        let mut failures = Vec::new();
        let mut end = |lane, number, message: Message| match reason(lane, number) {
            None => message.end(Outcome::Handled),
            Some(failed) => {
                failures.push((failed.clone(), (*message.kept.message_type).into()));
                message.end(Outcome::Failed { code: failed.code.clone(), message: failed.message.clone() })
            }
        };
        while let Some((number, message)) = pop_until(&mut self.seq, seq) {
            self.bytes -= message.len();
            self.records.push(Record::Delete(Lane::Seq, number));
            end(Lane::Seq, number, message);
        }
        while let Some((number, message)) = pop_until(&mut self.latest, latest) {
            self.leave_slot(&Slot::of(&message), number);
            let message = end(Lane::Latest, number, message);
            if message.is_state() {
                self.records.push(Record::Put(Lane::Latest, number));
                self.settled.insert((*message.kept.message_type).into(), (number, message));
            } else {
                self.bytes -= message.len();
                self.records.push(Record::Delete(Lane::Latest, number));
            }
        }
        self.records.extend(self.skips.end(seq).into_iter().map(Record::EndSkip));
        if resumes {
            self.release();
        }
        self.free_empty();
        failures
    }

    /// Frees the memory of empty maps, which would keep it.
    fn free_empty(&mut self) {
        for lane in [&mut self.seq, &mut self.latest] {
            if lane.is_empty() {
                *lane = BTreeMap::new();
            }
        }
        if self.held.is_empty() {
            self.held = BTreeMap::new();
        }
    }

    /// Takes the changes since the last call.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Returns a message for the store, and whether it is a state that the peer has handled.
    pub(super) fn stored_form(&self, lane: Lane, number: u64) -> Option<(&Message, bool)> {
        let waiting = self.get(lane, number);
        let settled = || self.settled.values().find(|(own, _)| *own == number).map(|(_, message)| (message, true));
        waiting.map(|message| (message, false)).or_else(settled)
    }

    /// Whether the peer has been told the epoch and has not said where to resume.
    pub(super) fn awaits_resume(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.has_begun && !link.is_resumed)
    }

    /// Whether nothing is kept for the peer.
    pub(super) fn is_empty(&self) -> bool {
        self.messages() == 0 && self.settled.is_empty() && self.skips.is_empty()
    }

    /// Whether nothing is kept for the peer but skipped numbers.
    pub(super) fn has_only_skips(&self) -> bool {
        self.messages() == 0 && self.settled.is_empty() && !self.skips.is_empty()
    }

    /// Returns a message that waits or is held.
    fn get(&self, lane: Lane, number: u64) -> Option<&Message> {
        let waiting = match lane {
            Lane::Seq => self.seq.get(&number),
            Lane::Latest => self.latest.get(&number),
        };
        waiting.or_else(|| self.held.get(&(lane, number)))
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut BTreeMap<u64, Message> {
        match lane {
            Lane::Seq => &mut self.seq,
            Lane::Latest => &mut self.latest,
        }
    }
}

/// Takes the first message, if its number is at most this one.
fn pop_until(lane: &mut BTreeMap<u64, Message>, last: u64) -> Option<(u64, Message)> {
    let first = lane.first_entry().filter(|first| *first.key() <= last)?;
    Some(first.remove_entry())
}

/// All that decides about the next steps, for the model: it visits each state once.
#[cfg(test)]
impl std::hash::Hash for Outgoing {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let Self { seq, latest, held, slots, settled, skips, last_seq, last_latest, .. } = self;
        let Self { known, is_numbering, first_expiry, bytes, link, records, .. } = self;
        let (slots, settled): (BTreeMap<_, _>, BTreeMap<_, _>) = (slots.iter().collect(), settled.iter().collect());
        (seq, latest, held, slots, settled, skips, last_seq, last_latest).hash(state);
        (known, is_numbering, first_expiry, bytes, link, records).hash(state);
    }
}
