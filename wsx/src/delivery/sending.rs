//! What was sent to a peer on its present connection, and is not acknowledged. It does not know
//! what waits.
use crate::delivery::{Moment, Time, Why, lane::Lane, message::Message, window::Window};
use bytes::Bytes;
use std::collections::VecDeque;

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
    /// The messages that are not acknowledged.
    in_flight: VecDeque<InFlight>,
    /// Their bytes.
    bytes: usize,
    window: Window,
    /// Whether the connection closes. Nothing is sent any more; acknowledgements still arrive.
    pub(super) is_closing: bool,
}

/// A message that is not acknowledged.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(test, derive(Hash))]
struct InFlight {
    lane: Lane,
    number: u64,
    bytes: usize,
    sent: Time,
}

/// What is sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The epoch, and the numbers that wait.
    Begin { first: u64, last: u64 },
    /// Numbers that are never sent.
    Skip { from: u64, to: u64, why: Why },
    /// A message has expired: remove it, and ask again.
    Expire,
    /// A message, as the envelope without its number, with the position of its data.
    Message { lane: Lane, is_state: bool, number: u64, text: Bytes, split: usize },
}

impl Link {
    /// Returns the message, if the window has room.
    pub(super) fn send(&mut self, lane: Lane, number: u64, message: &Message, now: Time) -> Option<Step> {
        if !self.window.has_room(self.in_flight.len(), self.bytes, message.len()) {
            return None;
        }
        *match lane {
            Lane::Seq => &mut self.seq_sent,
            Lane::Latest => &mut self.latest_sent,
        } = number;
        self.add(lane, number, message.len(), now);
        message.report(Moment::Sent);
        Some(Step::Message {
            lane,
            is_state: message.is_state(),
            number,
            text: message.kept.text.clone(),
            split: message.kept.split,
        })
    }

    /// Notes that the numbers up to this one were explained.
    pub(super) fn skip(&mut self, to: u64, now: Time) {
        self.seq_sent = to;
        self.add(Lane::Seq, to, 0, now);
    }

    fn add(&mut self, lane: Lane, number: u64, bytes: usize, sent: Time) {
        self.bytes += bytes;
        self.in_flight.push_back(InFlight { lane, number, bytes, sent });
    }

    /// Removes what is acknowledged.
    pub(super) fn acknowledged(&mut self, seq: u64, latest: u64, now: Time) {
        let (mut messages, mut bytes, mut newest) = (0, 0, None);
        self.in_flight.retain(|message| {
            let last = match message.lane {
                Lane::Seq => seq,
                Lane::Latest => latest,
            };
            let is_acknowledged = message.number <= last;
            if is_acknowledged {
                messages += 1;
                bytes += message.bytes;
                newest = newest.max(Some(message.sent));
            }
            !is_acknowledged
        });
        if let Some(sent) = newest {
            self.bytes -= bytes;
            self.window.acknowledged(messages, bytes, sent.millis(), now.millis());
        }
    }
}
