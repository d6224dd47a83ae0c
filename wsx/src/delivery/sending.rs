//! What was sent to a peer on its present connection, and is not acknowledged. It does not know
//! what waits.
use crate::{
    delivery::{Moment, Time, Why, lane::Lane, message::Message, window::Window},
    protocol::verdict::Verdict,
};
use std::{collections::VecDeque, sync::Arc};

/// The sending on one connection.
///
/// ```text
/// (nothing) --begin sent--> has_begun --first acknowledgement--> is_resumed --> messages
/// ```
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(super) struct Link {
    /// Whether the peer knows the epoch.
    pub(super) has_begun: bool,
    /// Whether the peer has said where to resume.
    pub(super) is_resumed: bool,
    /// All numbers up to this one were sent or skipped, or were handled before.
    pub(super) seq_sent: u64,
    /// The same for the other lane.
    pub(super) latest_sent: u64,
    /// The messages of each lane that are not acknowledged, by their numbers.
    in_flight: [VecDeque<InFlight>; 2],
    /// Their bytes.
    bytes: usize,
    window: Window,
    /// Whether the connection closes. Nothing is sent any more; acknowledgements still arrive.
    pub(super) is_closing: bool,
    /// What the peer does not understand, if this end knows.
    verdict: Option<Arc<Verdict>>,
}

/// A message that is not acknowledged.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(test, derive(Hash))]
struct InFlight {
    number: u64,
    bytes: usize,
    sent: Time,
}

/// What is sent next.
#[derive(Debug)]
pub(super) enum Step<'m> {
    /// The epoch, and the numbers that wait.
    Begin { first: u64, last: u64 },
    /// Numbers that are never sent.
    Skip { from: u64, to: u64, why: Why },
    /// A message has expired: remove it, and ask again.
    Expire,
    /// The peer does not understand a message: hold it, give that to the store, and ask again.
    Hold,
    /// A message, with its number in the lane.
    Message { number: u64, message: &'m Message },
}

impl Link {
    pub(super) fn new(verdict: Option<Arc<Verdict>>) -> Self {
        Self { verdict, ..Self::default() }
    }

    /// Whether the peer understands a message.
    pub(super) fn reads(&self, message: &Message) -> bool {
        let Some(verdict) = &self.verdict else { return true };
        let message_type = &message.kept.message_type;
        match &message.by {
            None => verdict.reads(message_type),
            Some(by) => verdict.reads_of(by, message_type),
        }
    }

    /// Returns the message, if the window has room.
    pub(super) fn send<'m>(&mut self, lane: Lane, number: u64, message: &'m Message, now: Time) -> Option<Step<'m>> {
        let in_flight = self.in_flight.iter().map(VecDeque::len).sum();
        if !self.window.has_room(in_flight, self.bytes, message.len()) {
            return None;
        }
        *match lane {
            Lane::Seq => &mut self.seq_sent,
            Lane::Latest => &mut self.latest_sent,
        } = number;
        self.add(lane, number, message.len(), now);
        message.report(Moment::Sent);
        Some(Step::Message { number, message })
    }

    /// Notes that the numbers up to this one were explained.
    pub(super) fn skip(&mut self, to: u64, now: Time) {
        self.seq_sent = to;
        self.add(Lane::Seq, to, 0, now);
    }

    fn add(&mut self, lane: Lane, number: u64, bytes: usize, sent: Time) {
        self.bytes += bytes;
        self.in_flight[lane as usize].push_back(InFlight { number, bytes, sent });
    }

    /// Removes what is acknowledged.
    pub(super) fn acknowledged(&mut self, seq: u64, latest: u64, now: Time) {
        let (mut messages, mut bytes, mut newest) = (0, 0, None);
        for (lane, last) in self.in_flight.iter_mut().zip([seq, latest]) {
            while let Some(message) = lane.front().filter(|message| message.number <= last) {
                messages += 1;
                bytes += message.bytes;
                newest = newest.max(Some(message.sent));
                lane.pop_front();
            }
            if lane.is_empty() {
                // An empty queue keeps its memory.
                *lane = VecDeque::new();
            }
        }
        if let Some(sent) = newest {
            self.bytes -= bytes;
            self.window.acknowledged(messages, bytes, sent.millis(), now.millis());
        }
    }
}
