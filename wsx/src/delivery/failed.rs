//! Messages that count as handled, although their handlers failed, for as long as their sender may
//! not know. It does not know who reports them.
#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;

use crate::delivery::{lane::Lane, window};
use std::{cmp::Reverse, sync::Arc};

/// Maximum number of ranges of failures that are remembered for an epoch of a peer. A sender of
/// wsx, which has at most 1,024 messages in its window, causes at most 3,200: as many that it has
/// not heard of, that it may have heard of, and that an earlier message holds up. Too low: its
/// messages wait for the next connection. Too high: they fill the memory.
pub(super) const MAX_RANGES: usize = 4096;
/// After as many messages, the failures that their sender knows are forgotten.
const LOOK_EVERY: u64 = 64;
/// Maximum length of the text of a failure, in bytes.
const MAX_TEXT: usize = 512;
/// Maximum length of the code of a failure, in bytes.
const MAX_CODE: usize = 128;
/// Maximum length of all codes and texts of an epoch, in bytes. Above it, failures have no text.
const MAX_REASONS: usize = 16 * 1024;
/// Maximum length of all codes and texts in an acknowledgement, in bytes. Above it, failures have
/// no text. So an acknowledgement of a whole window has less than 64 KiB, unless codes are long: a
/// peer with a smaller `max_message_size` would close each connection.
const MAX_IN_ACKNOWLEDGEMENT: usize = 8 * 1024;
/// Maximum length of a code without a text, in bytes.
const SHORT_CODE: usize = 32;

/// What an acknowledgement says of one message that was not handled.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) lane: Lane,
    pub(super) number: u64,
    pub(super) code: Box<str>,
    pub(super) message: Box<str>,
}

/// The failures of one epoch that its sender may not know.
///
/// It knows a failure that was acknowledged on this connection in two cases: it sends a message,
/// and the failure was in the answer to its begin; or it sends as many messages after the
/// acknowledgement as its window has. With its next begin, it names the first number that it does
/// not know.
#[derive(Debug)]
pub(super) struct Failures {
    /// In the order in which they were noted.
    ranges: Vec<Range>,
    /// The length of the codes and texts.
    bytes: usize,
    /// How many messages were received on this connection.
    received: u64,
    max_ranges: usize,
}

/// Failures with following numbers and the same reason.
#[derive(Debug)]
struct Range {
    lane: Lane,
    from: u64,
    to: u64,
    reason: Arc<Reason>,
    /// After how many received messages it was acknowledged on this connection.
    acknowledged: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
struct Reason {
    code: Box<str>,
    text: Box<str>,
}

/// Failures with following numbers and the same code, in a store: the lane, the first number, the
/// last one, and the code.
pub(super) type Stored<C> = (u8, u64, u64, C);

impl Failures {
    pub(super) fn new(max_ranges: usize) -> Self {
        Self { ranges: Vec::new(), bytes: 0, received: 0, max_ranges }
    }

    /// Whether there is no room for another failure. Then no handler may run.
    pub(super) fn is_full(&self) -> bool {
        self.ranges.len() >= self.max_ranges
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.ranges.len() * (size_of::<Range>() + size_of::<Reason>()) + self.bytes
    }

    /// Notes the failure of a message.
    pub(super) fn add(&mut self, lane: Lane, number: u64, code: &str, text: &str) {
        let reason = if self.bytes > MAX_REASONS {
            Reason { code: cut(code, SHORT_CODE), text: "".into() }
        } else {
            Reason { code: cut(code, MAX_CODE), text: cut(text, MAX_TEXT) }
        };
        self.add_range(lane, number, number, reason);
    }

    fn add_range(&mut self, lane: Lane, from: u64, to: u64, reason: Reason) {
        let last = self.ranges.last_mut();
        let reason = match last {
            Some(last) if *last.reason == reason => {
                if last.lane == lane && last.acknowledged.is_none() && last.to + 1 == from {
                    last.to = to;
                    return;
                }
                last.reason.clone()
            }
            _ => {
                self.bytes += reason.len();
                Arc::new(reason)
            }
        };
        self.ranges.push(Range { lane, from, to, reason, acknowledged: None });
    }

    /// Notes that the peer begins a connection, and keeps the messages of `seq` from this one on.
    /// What it may not know is acknowledged again.
    pub(super) fn begin(&mut self, first: u64) {
        self.received = 0;
        self.retain(|range| {
            if range.lane == Lane::Seq {
                range.from = range.from.max(first);
            }
            range.acknowledged = None;
            range.from <= range.to
        });
    }

    /// Notes that a numbered message or a skip was received, and forgets what its sender knows.
    pub(super) fn received(&mut self) {
        let is_first = self.received == 0;
        self.received += 1;
        let before = self.received.saturating_sub(window::MAX_MESSAGES as u64);
        if is_first {
            // It has waited for the answer to its begin.
            self.retain(|range| range.acknowledged.is_none());
        } else if self.received % LOOK_EVERY == 0 && !self.ranges.is_empty() {
            self.retain(|range| range.acknowledged.is_none_or(|at| at >= before));
        }
    }

    /// Returns the failures up to these numbers that were not acknowledged on this connection, and
    /// at most as many as a window has messages: those with the highest numbers. They count as
    /// acknowledged then.
    pub(super) fn take(&mut self, handled: [u64; 2]) -> Vec<Failed> {
        let mut due = Vec::new();
        for at in (0..self.ranges.len()).rev() {
            let range = &mut self.ranges[at];
            let last = handled[range.lane as usize];
            if range.acknowledged.is_some() || range.from > last {
                continue;
            }
            range.acknowledged = Some(self.received);
            let (lane, to, reason) = (range.lane, range.to, range.reason.clone());
            range.to = to.min(last);
            if due.len() < MAX_RANGES {
                let numbers = (range.from..=range.to).rev().take(window::MAX_MESSAGES);
                due.extend(numbers.map(|number| (lane, number, reason.clone())));
            }
            if last < to {
                self.ranges.insert(at + 1, Range { lane, from: last + 1, to, reason, acknowledged: None });
            }
        }
        due.sort_unstable_by_key(|(lane, number, _)| (*lane as usize, Reverse(*number)));
        due.truncate(window::MAX_MESSAGES);
        due.sort_unstable_by_key(|(lane, number, _)| (*lane as usize, *number));
        let mut bytes = 0;
        let failed = due.into_iter().map(|(lane, number, reason)| {
            bytes += reason.len();
            let (code, message) = if bytes > MAX_IN_ACKNOWLEDGEMENT {
                (cut(&reason.code, SHORT_CODE), "".into())
            } else {
                (reason.code.clone(), reason.text.clone())
            };
            Failed { lane, number, code, message }
        });
        failed.collect()
    }

    /// Returns the failures up to these numbers for the store, without their texts.
    pub(super) fn stored(&self, handled: [u64; 2]) -> Vec<Stored<&str>> {
        let mut stored: Vec<Stored<&str>> = Vec::new();
        for Range { lane, from, to, reason, .. } in &self.ranges {
            let (lane, from, to) = (*lane as u8, *from, (*to).min(handled[*lane as usize]));
            match stored.last_mut() {
                _ if to < from => {}
                Some(last) if (last.0, last.2 + 1, last.3) == (lane, from, &*reason.code) => last.2 = to,
                _ => stored.push((lane, from, to, &reason.code)),
            }
        }
        stored
    }

    /// Takes the failures of a store.
    pub(super) fn restore(&mut self, stored: Vec<Stored<Box<str>>>) {
        for (lane, from, to, code) in stored {
            let lane = if lane == Lane::Seq as u8 { Lane::Seq } else { Lane::Latest };
            if from <= to && !self.is_full() {
                self.add_range(lane, from, to, Reason { code, text: "".into() });
            }
        }
    }

    /// Keeps the ranges for which `keep` returns `true`.
    fn retain(&mut self, keep: impl FnMut(&mut Range) -> bool) {
        self.ranges.retain_mut(keep);
        // Neighbours may share a reason.
        let mut last: Option<&Arc<Reason>> = None;
        self.bytes = 0;
        for range in &self.ranges {
            if !last.is_some_and(|last| Arc::ptr_eq(last, &range.reason)) {
                self.bytes += range.reason.len();
            }
            last = Some(&range.reason);
        }
        if self.ranges.is_empty() {
            // An empty list keeps its memory.
            self.ranges = Vec::new();
        }
    }
}

impl Reason {
    fn len(&self) -> usize {
        self.code.len() + self.text.len()
    }
}

/// Returns the text, cut between two characters.
fn cut(text: &str, length: usize) -> Box<str> {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
