//! What this end has handled of the numbered messages of a peer. It decides which message is
//! handled, which one is a duplicate, and where messages are missing.
//!
//! It knows numbers. It does not know messages, sockets, clocks or the store.
use crate::delivery::{Why, lane::Lane};
use std::collections::BTreeSet;

/// Maximum number of messages of a lane that are handled or in progress above the last handled
/// number. A sender of wsx has at most 1,024 in its window; another one must not fill the memory
/// while one handler hangs.
const MAX_AHEAD: usize = 4096;

/// The numbered messages of one epoch of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Incoming {
    seq: Track,
    latest: Track,
}

/// One lane of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Track {
    /// All numbers up to this one are handled, or do not exist.
    handled: u64,
    /// The highest number that was received on this connection, or explained as missing.
    received: u64,
    /// Numbers whose handlers run.
    running: BTreeSet<u64>,
    /// Numbers above `handled` that are handled. Handlers that run at the same time end in any
    /// order.
    done: BTreeSet<u64>,
    /// The lowest number whose handler was dropped. The peer has to send it again, so nothing after
    /// it counts as handled.
    dropped: Option<u64>,
}

/// What to do with a numbered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Handle it. The numbers between are missing without an explanation.
    Handle { missing: Option<(u64, u64)> },
    /// It was handled before.
    Duplicate,
    /// It is sent again after the next begin: an earlier one has to come first.
    Later,
}

impl Incoming {
    /// Returns what this end remembered of the epoch.
    pub(super) fn restored(seq: u64, latest: u64) -> Self {
        let track = |handled| Track { handled, received: handled, ..Track::default() };
        Self { seq: track(seq), latest: track(latest) }
    }

    /// Returns the last handled number.
    pub(super) fn handled(&self, lane: Lane) -> u64 {
        self.track(lane).handled
    }

    /// Whether a handler runs for a message of this epoch.
    pub(super) fn is_running(&self) -> bool {
        !(self.seq.running.is_empty() && self.latest.running.is_empty())
    }

    /// Begins a connection: the peer sends everything after the handled numbers. Handlers of an
    /// earlier connection have ended.
    pub(super) fn begin(&mut self) {
        for track in [&mut self.seq, &mut self.latest] {
            track.received = track.handled;
            track.dropped = None;
        }
    }

    /// Decides about a message that was received.
    pub(super) fn start(&mut self, lane: Lane, number: u64) -> Arrival {
        let track = self.track_mut(lane);
        if track.dropped.is_some() {
            return Arrival::Later;
        }
        if track.done.len() + track.running.len() >= MAX_AHEAD && number > track.received {
            // As if its handler was dropped: the peer has to send it again.
            track.dropped = Some(number);
            return Arrival::Later;
        }
        if number <= track.handled || track.done.contains(&number) || track.running.contains(&number) {
            track.received = track.received.max(number);
            track.advance(lane);
            return Arrival::Duplicate;
        }
        // The other lane has holes where a newer value has replaced an older one. The first number
        // of all may be any.
        let is_hole = lane == Lane::Seq && track.received > 0 && number > track.received + 1;
        let missing = is_hole.then(|| (track.received + 1, number - 1));
        track.received = track.received.max(number);
        track.running.insert(number);
        Arrival::Handle { missing }
    }

    /// Notes that a handler has ended, also with an error. Returns whether the last handled number
    /// has changed.
    pub(super) fn end(&mut self, lane: Lane, number: u64) -> bool {
        let track = self.track_mut(lane);
        track.running.remove(&number);
        track.done.insert(number);
        track.advance(lane)
    }

    /// Notes that a handler was dropped before its end.
    pub(super) fn dropped(&mut self, lane: Lane, number: u64) -> bool {
        let track = self.track_mut(lane);
        track.running.remove(&number);
        track.dropped = Some(track.dropped.map_or(number, |dropped| dropped.min(number)));
        track.advance(lane)
    }

    /// Notes that the peer does not have these numbers. Returns those that this end has not
    /// handled, with the reasons, if the peer lost messages, and whether the last handled number
    /// has changed.
    pub(super) fn skip(&mut self, from: u64, to: u64, why: Why) -> (Vec<(u64, u64, Why)>, bool) {
        let track = &mut self.seq;
        let first = from.max(track.received + 1);
        if track.dropped.is_some() || to < first {
            return (Vec::new(), false);
        }
        // Numbers before it that the peer did not explain. The first number of all may be any.
        let hole = if track.received > 0 { track.not_done(track.received + 1, first - 1) } else { Vec::new() };
        let explained = if why == Why::Void { Vec::new() } else { track.not_done(first, to) };
        let with = |ranges: Vec<(u64, u64)>, why| ranges.into_iter().map(move |(from, to)| (from, to, why));
        let missing = with(hole, Why::Unknown).chain(with(explained, why)).collect();
        track.received = to;
        (missing, track.advance(Lane::Seq))
    }

    fn track(&self, lane: Lane) -> &Track {
        match lane {
            Lane::Seq => &self.seq,
            Lane::Latest => &self.latest,
        }
    }

    fn track_mut(&mut self, lane: Lane) -> &mut Track {
        match lane {
            Lane::Seq => &mut self.seq,
            Lane::Latest => &mut self.latest,
        }
    }
}

impl Track {
    /// Returns these numbers without those that are handled: handlers that run at the same time may
    /// have ended before an earlier one was dropped.
    fn not_done(&self, mut from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        if to < from {
            return missing;
        }
        for done in self.done.range(from..=to) {
            if from < *done {
                missing.push((from, done - 1));
            }
            from = done + 1;
        }
        if from <= to {
            missing.push((from, to));
        }
        missing
    }

    /// Moves the last handled number up to the first message that is not handled. Returns whether
    /// it has moved.
    fn advance(&mut self, lane: Lane) -> bool {
        let first = self.running.first().copied().into_iter().chain(self.dropped).min();
        let limit = match (first, lane) {
            (None, _) => self.received,
            (Some(first), Lane::Seq) => first - 1,
            // A number that was not received may be that of a value in an older copy of the store.
            (Some(first), Lane::Latest) => self.done.range(..first).next_back().copied().unwrap_or(self.handled),
        };
        let moved = limit > self.handled;
        if moved {
            self.handled = limit;
            while self.done.first().is_some_and(|first| *first <= limit) {
                self.done.pop_first();
            }
        }
        moved
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    const HANDLE: Arrival = Arrival::Handle { missing: None };

    /// Row G7: a number is handled once, on one connection and on the next.
    #[test]
    fn a_message_that_comes_again_is_a_duplicate() {
        let mut incoming = Incoming::default();
        for number in 1..=2 {
            assert_eq!(incoming.start(Lane::Seq, number), HANDLE);
            assert!(incoming.is_running());
            assert!(incoming.end(Lane::Seq, number));
        }
        assert!(!incoming.is_running());
        assert_eq!(incoming.start(Lane::Seq, 2), Arrival::Duplicate);
        incoming.begin();
        assert_eq!(incoming.start(Lane::Seq, 2), Arrival::Duplicate);
        assert_eq!((incoming.start(Lane::Seq, 3), incoming.handled(Lane::Seq)), (HANDLE, 2));
        let mut restored = Incoming::restored(7, 5);
        assert_eq!(
            (restored.start(Lane::Seq, 7), restored.start(Lane::Latest, 5)),
            (Arrival::Duplicate, Arrival::Duplicate)
        );
        assert_eq!((restored.start(Lane::Seq, 8), restored.start(Lane::Latest, 9)), (HANDLE, HANDLE));
    }

    /// Rows G5 and G7: handlers that run at the same time end in any order.
    #[test]
    fn the_handled_number_waits_for_the_slowest_handler() {
        let mut incoming = Incoming::default();
        for number in 1..=3 {
            assert_eq!(incoming.start(Lane::Seq, number), HANDLE);
        }
        assert!(!incoming.end(Lane::Seq, 3) && !incoming.end(Lane::Seq, 2));
        assert_eq!(incoming.handled(Lane::Seq), 0);
        assert!(incoming.end(Lane::Seq, 1));
        assert_eq!(incoming.handled(Lane::Seq), 3);
    }

    /// Row G4: a message whose handler was dropped comes again, and those after it that were
    /// handled do not run again.
    #[test]
    fn a_message_whose_handler_was_dropped_comes_again() {
        let mut incoming = Incoming::default();
        for number in 1..=3 {
            incoming.start(Lane::Seq, number);
        }
        incoming.end(Lane::Seq, 3);
        assert!(incoming.dropped(Lane::Seq, 2) || incoming.handled(Lane::Seq) == 0);
        incoming.end(Lane::Seq, 1);
        assert_eq!((incoming.handled(Lane::Seq), incoming.start(Lane::Seq, 4)), (1, Arrival::Later));
        incoming.begin();
        assert_eq!(incoming.start(Lane::Seq, 2), HANDLE);
        assert_eq!(incoming.start(Lane::Seq, 3), Arrival::Duplicate);
        assert!(incoming.end(Lane::Seq, 2));
        assert_eq!(incoming.handled(Lane::Seq), 3);
    }

    /// Row G15: a peer that sends on while a handler hangs does not fill the memory.
    #[test]
    fn the_numbers_ahead_are_bounded() {
        let mut incoming = Incoming::default();
        for number in 1..=MAX_AHEAD as u64 {
            assert_eq!(incoming.start(Lane::Seq, number), HANDLE);
            if number > 1 {
                incoming.end(Lane::Seq, number);
            }
        }
        let next = MAX_AHEAD as u64 + 1;
        assert_eq!(
            (incoming.start(Lane::Seq, next), incoming.start(Lane::Seq, next + 1)),
            (Arrival::Later, Arrival::Later)
        );
        assert!(incoming.end(Lane::Seq, 1));
        assert_eq!(incoming.handled(Lane::Seq), next - 1);
        incoming.begin();
        assert_eq!(incoming.start(Lane::Seq, next), HANDLE);
    }

    /// Row G8: missing numbers are reported, unless they never were messages.
    #[test]
    fn missing_numbers_are_reported_once() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.start(Lane::Seq, 1000), HANDLE, "the first number may be any");
        incoming.end(Lane::Seq, 1000);
        assert_eq!(incoming.start(Lane::Seq, 1003), Arrival::Handle { missing: Some((1001, 1002)) });
        incoming.end(Lane::Seq, 1003);
        assert_eq!(incoming.skip(1004, 1009, Why::Expired), (vec![(1004, 1009, Why::Expired)], true));
        assert_eq!(incoming.skip(1004, 1009, Why::Expired), (vec![], false), "it was explained before");
        assert_eq!(incoming.skip(1010, 2000, Why::Void), (vec![], true));
        assert_eq!((incoming.start(Lane::Seq, 2001), incoming.handled(Lane::Seq)), (HANDLE, 2000));
        assert_eq!(incoming.skip(2002, 2002, Why::Full), (vec![(2002, 2002, Why::Full)], false));
        assert!(incoming.end(Lane::Seq, 2001));
        assert_eq!(incoming.handled(Lane::Seq), 2002);
    }

    /// Row G8: what was handled before an earlier message was dropped is not part of a gap.
    #[test]
    fn a_handled_number_is_not_missing() {
        let mut incoming = Incoming::default();
        for number in 1..=9 {
            assert_eq!(incoming.start(Lane::Seq, number), HANDLE);
        }
        for number in [2, 3, 5, 9] {
            incoming.end(Lane::Seq, number);
        }
        for number in [1, 4, 6, 7, 8] {
            incoming.dropped(Lane::Seq, number);
        }
        incoming.begin();
        assert_eq!(incoming.start(Lane::Seq, 1), HANDLE);
        assert_eq!(incoming.skip(2, 3, Why::Expired), (vec![], false));
        let missing = [(4, 4), (6, 8), (10, 10)].map(|(from, to)| (from, to, Why::Expired));
        assert_eq!(incoming.skip(4, 10, Why::Expired), (missing.to_vec(), false));
        assert!(incoming.end(Lane::Seq, 1));
        assert_eq!(incoming.handled(Lane::Seq), 10);
    }

    /// Row G8: numbers before a skip that the peer did not explain are missing too.
    #[test]
    fn a_hole_before_a_skip_is_reported() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.skip(5, 5, Why::Void), (vec![], true), "the first number may be any");
        let explained = (10, 12, Why::Expired);
        assert_eq!(incoming.skip(10, 12, Why::Expired), (vec![(6, 9, Why::Unknown), explained], true));
        assert_eq!(incoming.skip(15, 16, Why::Void), (vec![(13, 14, Why::Unknown)], true));
        assert_eq!(incoming.skip(16, 17, Why::Full), (vec![(17, 17, Why::Full)], true));
        for number in 18..=21 {
            incoming.start(Lane::Seq, number);
        }
        incoming.end(Lane::Seq, 20);
        for number in [18, 19, 21] {
            incoming.dropped(Lane::Seq, number);
        }
        incoming.begin();
        let holes = [(18, 19), (21, 21)].map(|(from, to)| (from, to, Why::Unknown));
        assert_eq!(incoming.skip(22, 22, Why::Void), (holes.to_vec(), true));
        assert_eq!(incoming.handled(Lane::Seq), 22);
    }

    /// Row G12: the numbers of the other lane have holes.
    #[test]
    fn the_lane_of_the_newest_values_has_holes() {
        let mut incoming = Incoming::default();
        assert_eq!((incoming.start(Lane::Latest, 3), incoming.start(Lane::Latest, 9)), (HANDLE, HANDLE));
        assert!(incoming.end(Lane::Latest, 3));
        assert_eq!(incoming.handled(Lane::Latest), 3);
        assert!(incoming.end(Lane::Latest, 9));
        assert_eq!((incoming.handled(Lane::Latest), incoming.handled(Lane::Seq)), (9, 0));
    }
}
