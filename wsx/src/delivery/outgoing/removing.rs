//! Messages that leave without being handled: they have expired, or the program or a newer message
//! drops them. It does not know what is sent next.
use super::{Outgoing, Record, Slot};
use crate::{
    delivery::{Outcome, Time, Why, lane::Lane, message::Message, size::Room},
    policy::{Delivery, Full},
};
use std::collections::BTreeMap;

impl Outgoing {
    /// Whether there is room for this message.
    pub(in crate::delivery) fn has_room(&self, message: &Message, room: Room) -> bool {
        let Room { messages, bytes } = self.room_of(message, room);
        messages > 0 && bytes >= message.len()
    }

    /// Returns the messages that have to leave so that this one has room. Those on their way come
    /// last: the peer may handle them. Returns `None` if it has no room without them.
    pub(super) fn dropped_for(&self, message: &Message, room: Room) -> Option<Vec<u64>> {
        let Room { mut messages, mut bytes } = self.room_of(message, room);
        let mut dropped = Vec::new();
        let policy = message.kept.policy;
        let may_drop = policy.full == Full::DropOldest && policy.delivery == Delivery::AtLeastOnce;
        let is_same = |other: &Message| may_drop && other.kept.message_type == message.kept.message_type;
        let (sent, _) = self.sent();
        let waiting = self.seq.range(sent + 1..).chain(self.seq.range(..=sent));
        let by_age = self.held_in(Lane::Seq).chain(waiting.map(|(number, message)| (*number, message)));
        let mut others = by_age.filter(|(_, other)| is_same(other));
        while messages == 0 || bytes < message.len() {
            let (number, oldest) = others.next()?;
            messages += 1;
            bytes += oldest.len();
            dropped.push(number);
        }
        Some(dropped)
    }

    /// Returns the room for this message, with that of the messages that it replaces.
    fn room_of(&self, message: &Message, mut room: Room) -> Room {
        if Lane::of(message.kept.policy.delivery) == Lane::Latest {
            // It replaces the older one. Several older ones wait for the store, and need room.
            let replaced = self.slots.get(&Slot::of(message)).filter(|numbers| numbers.len() == 1);
            if let Some(replaced) = replaced.and_then(|numbers| self.get(Lane::Latest, numbers[0])) {
                room.messages += 1;
                room.bytes += replaced.len();
            }
        }
        if let Some((_, settled)) = self.settled.get(&*message.kept.message_type) {
            room.bytes += settled.len();
        }
        room
    }

    /// Removes the messages that have expired, and returns their types. A message that is on its
    /// way stays until the connection ends. `lowest` is as for `accept`.
    pub(in crate::delivery) fn expire(&mut self, now: Time, lowest: u64) -> Vec<Box<str>> {
        if self.first_expiry.is_none_or(|first| first > now) {
            return Vec::new();
        }
        let (seq_sent, latest_sent) = self.sent();
        let mut first = None;
        let mut expired = |lane: Lane, waiting: &BTreeMap<u64, Message>, sent: u64| -> Vec<u64> {
            let waiting = waiting.range(sent + 1..).map(|(number, message)| (*number, message));
            let (expired, others): (Vec<_>, Vec<_>) = self
                .held_in(lane)
                .chain(waiting)
                .filter(|(_, message)| message.expires.is_some())
                .partition(|(_, message)| message.has_expired(now));
            first = others.iter().filter_map(|(_, message)| message.expires).chain(first).min();
            expired.into_iter().map(|(number, _)| number).collect()
        };
        let seq = expired(Lane::Seq, &self.seq, seq_sent);
        let latest = expired(Lane::Latest, &self.latest, latest_sent);
        self.first_expiry = first;
        let mut types = Vec::new();
        for number in seq {
            let message = self.skip(number, Why::Expired, lowest).expect("it was found above");
            types.push((*message.end(Outcome::Expired).kept.message_type).into());
        }
        for number in latest {
            let message = self.get(Lane::Latest, number).expect("it was found above");
            types.push((*message.kept.message_type).into());
            self.remove_latest(number, Outcome::Expired);
        }
        types
    }

    /// Notes when a message expires.
    pub(super) fn may_expire(&mut self, expires: Option<Time>) {
        self.first_expiry = self.first_expiry.into_iter().chain(expires).min();
    }

    /// Returns the last number of each lane that is on its way.
    pub(super) fn sent(&self) -> (u64, u64) {
        self.link.as_ref().map_or((0, 0), |link| (link.seq_sent, link.latest_sent))
    }

    /// Removes all messages that wait, and returns their types. States that the peer has handled
    /// stay. `lowest` is as for `accept`.
    pub(in crate::delivery) fn drop_waiting(&mut self, lowest: u64) -> Vec<Box<str>> {
        let held = |lane| self.held_in(lane).map(|(number, _)| number);
        let numbers: Vec<u64> = held(Lane::Seq).chain(self.seq.keys().copied()).collect();
        let newest: Vec<u64> = held(Lane::Latest).chain(self.latest.keys().copied()).collect();
        let mut types = self.drop_all(&numbers, Why::Dropped, lowest);
        for number in newest {
            let message = self.get(Lane::Latest, number).expect("it was found above");
            types.push((*message.kept.message_type).into());
            self.remove_latest(number, Outcome::Dropped);
        }
        types
    }

    /// Removes these messages, and returns their types.
    pub(super) fn drop_all(&mut self, numbers: &[u64], why: Why, lowest: u64) -> Vec<Box<str>> {
        let mut types = Vec::new();
        for number in numbers {
            if let Some(message) = self.skip(*number, why, lowest) {
                types.push((*message.end(Outcome::Dropped).kept.message_type).into());
            }
        }
        types
    }

    /// Removes a message, and skips its number, which the peer expects. Instead of the number of a
    /// held message, which the peer may have passed, a new one is skipped.
    pub(super) fn skip(&mut self, number: u64, why: Why, lowest: u64) -> Option<Message> {
        let (message, skipped) = match self.seq.remove(&number) {
            Some(message) => (message, number),
            None => {
                let message = self.held.remove(&(Lane::Seq, number))?;
                (message, self.following(Lane::Seq, self.last_seq, lowest))
            }
        };
        self.last_seq = self.last_seq.max(skipped);
        self.bytes -= message.len();
        self.records.push(Record::Delete(Lane::Seq, number));
        self.free_empty();
        self.add_skip(skipped, skipped, why);
        Some(message)
    }

    /// Forgets the numbers that are skipped. The peer takes them for numbers that never were
    /// messages.
    pub(in crate::delivery) fn forget_skips(&mut self) {
        self.records.extend(self.skips.end(u64::MAX).into_iter().map(Record::EndSkip));
    }

    fn add_skip(&mut self, from: u64, to: u64, why: Why) {
        let Some((from, to, replaced)) = self.skips.add(from, to, why) else { return };
        self.records.extend(replaced.into_iter().filter(|first| *first != from).map(Record::EndSkip));
        self.records.push(Record::Skip(from, to, why));
        if let Some((from, to, gone)) = self.skips.shorten() {
            self.records.extend([Record::EndSkip(gone), Record::Skip(from, to, Why::Unknown)]);
        }
    }
}
