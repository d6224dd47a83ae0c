//! The queued frames, in order and bounded, and the control frames that are sent before them.
//!
//! It counts messages and bytes. It does not know the senders or the task.
use crate::connection::queue::{BATCH, Flushed, Taken, budget::Budget, spare_batch};
use bytes::Bytes;
use std::collections::VecDeque;

/// Maximum number of queued messages and bytes; see [`Config`](crate::Config).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Maximum number of queued control frames, which are pongs. More are rejected. The reader then
/// keeps only the newest pong, as RFC 6455 section 5.5.3 allows. So a peer that sends pings but
/// does not read cannot fill the memory. Ten pings at once, as Autobahn sends them, get ten pongs.
pub(super) const MAX_CONTROLS: usize = 16;
/// Maximum number of entries for which an empty deque keeps memory. So an idle connection owns
/// almost no memory.
const MAX_KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Buffer {
    bound: Bound,
    /// Twice the bytes of `bound`: the maximum with the reserve.
    bytes_with_reserve: usize,
    /// The bytes that all queues of the hub may hold together.
    budget: Budget,
    pub(super) entries: VecDeque<Entry>,
    /// The number of messages in `entries`.
    pub(super) messages: usize,
    /// The number of bytes in `entries`.
    pub(super) bytes: usize,
    /// The number of messages that were ever queued.
    pub(super) pushed: u64,
    /// Control frames. They are sent before `entries`, so that a full queue does not delay a pong.
    controls: VecDeque<Bytes>,
}

#[derive(Debug)]
pub(super) enum Entry {
    Frame(Bytes),
    /// Replies, one after the other.
    Replies {
        bytes: Vec<u8>,
        messages: usize,
    },
    /// A mark between frames, not a frame.
    Flush(Flushed),
}

impl Entry {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame,
            Self::Replies { bytes, .. } => bytes,
            Self::Flush(_) => &[],
        }
    }
}

impl Buffer {
    pub(super) fn new(bound: Bound, budget: Budget) -> Self {
        Self {
            bound,
            bytes_with_reserve: bound.bytes.saturating_mul(2),
            budget,
            entries: VecDeque::new(),
            messages: 0,
            bytes: 0,
            pushed: 0,
            controls: VecDeque::new(),
        }
    }

    /// Whether there is room for a message of this length. An empty queue has room for one message
    /// of any length, even beyond the budget of the hub.
    #[inline]
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.messages == 0
            || (self.messages < self.bound.messages
                && self.bytes + length <= self.bound.bytes
                && self.budget.has_room(length))
    }

    /// Whether there is room in the reserve for a reply, which does not wait as sends do. The
    /// reserve is as long as [`Bound::bytes`]. It has no maximum number of replies, because short
    /// ones share their memory.
    #[inline]
    pub(super) fn has_reserve(&self, length: usize) -> bool {
        self.messages == 0 || (self.bytes + length <= self.bytes_with_reserve && self.budget.has_room(length))
    }

    /// Whether there is room in the reserve for the frame of a broadcast. Each frame is an entry of
    /// its own, so their number is bounded too.
    pub(super) fn has_reserve_for_frame(&self, length: usize) -> bool {
        self.has_reserve(length) && self.entries.len() < self.bound.messages.saturating_mul(2)
    }

    /// Whether at least half of the bounds is free.
    pub(super) fn is_half_empty(&self) -> bool {
        self.messages <= self.bound.messages / 2 && self.bytes <= self.bound.bytes / 2
    }

    #[inline]
    pub(super) fn push(&mut self, frame: Bytes) {
        self.add(frame.len());
        self.entries.push_back(Entry::Frame(frame));
    }

    /// Appends the reply to the previous one, if both fit into one write and nothing was queued
    /// between them.
    #[inline]
    pub(super) fn append(&mut self, reply: &[u8]) {
        self.add(reply.len());
        if let Some(Entry::Replies { bytes, messages }) = self.entries.back_mut() {
            if bytes.len() + reply.len() <= BATCH {
                bytes.extend_from_slice(reply);
                *messages += 1;
                return;
            }
        }
        let mut bytes = spare_batch();
        bytes.extend_from_slice(reply);
        self.entries.push_back(Entry::Replies { bytes, messages: 1 });
    }

    /// Adds a mark, or returns the last entry if it is one. So there are not more marks than
    /// frames, however often a program asks.
    pub(super) fn push_flush(&mut self) -> Flushed {
        if let Some(Entry::Flush(flushed)) = self.entries.back() {
            return flushed.clone();
        }
        let flushed = Flushed::default();
        self.entries.push_back(Entry::Flush(flushed.clone()));
        flushed
    }

    /// Counts one more message.
    #[inline]
    fn add(&mut self, length: usize) {
        self.messages += 1;
        self.pushed += 1;
        self.bytes += length;
        self.budget.add(length);
    }

    /// Queues a control frame. Returns whether there was room.
    pub(super) fn push_control(&mut self, frame: &[u8]) -> bool {
        let has_room = self.controls.len() < MAX_CONTROLS;
        if has_room {
            self.controls.push_back(Bytes::copy_from_slice(frame));
        }
        has_room
    }

    /// Takes the entries of one write, at least one.
    #[inline]
    pub(super) fn take(&mut self) -> Taken {
        let Some(first) = self.pop() else { return Taken::Nothing };
        let has_more = self.next_length().is_some_and(|second| first.bytes().len() + second <= BATCH);
        match first {
            Entry::Flush(flushed) => Taken::Flush(flushed),
            Entry::Frame(frame) if !has_more => Taken::One(frame),
            first => {
                let mut batch = match first {
                    Entry::Replies { bytes, .. } => bytes,
                    first => {
                        let mut batch = spare_batch();
                        batch.extend_from_slice(first.bytes());
                        batch
                    }
                };
                while self.next_length().is_some_and(|next| batch.len() + next <= BATCH) {
                    batch.extend_from_slice(self.pop().expect("there is a next entry").bytes());
                }
                Taken::Many(batch)
            }
        }
    }

    /// Frees the memory of an empty deque that was long before.
    #[inline]
    pub(super) fn shrink_if_empty(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > MAX_KEPT {
            self.entries = VecDeque::new();
        }
    }

    /// Frees the memory that the last replies do not fill.
    pub(super) fn shrink_replies(&mut self) {
        if let Some(Entry::Replies { bytes, .. }) = self.entries.back_mut() {
            bytes.shrink_to_fit();
        }
    }

    #[inline]
    fn next_length(&self) -> Option<usize> {
        self.controls.front().map(Bytes::len).or_else(|| match self.entries.front()? {
            Entry::Flush(_) => None,
            entry => Some(entry.bytes().len()),
        })
    }

    #[inline]
    fn pop(&mut self) -> Option<Entry> {
        if let Some(control) = self.controls.pop_front() {
            return Some(Entry::Frame(control));
        }
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.bytes().len();
        self.budget.remove(entry.bytes().len());
        self.messages -= match &entry {
            Entry::Frame(_) => 1,
            Entry::Replies { messages, .. } => *messages,
            Entry::Flush(_) => 0,
        };
        Some(entry)
    }
}

/// The frames of a connection that ends do not count any more.
impl Drop for Buffer {
    fn drop(&mut self) {
        self.budget.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(messages: usize, bytes: usize) -> Buffer {
        Buffer::new(Bound { messages, bytes }, Budget::default())
    }

    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    /// Takes everything. Returns the length of each write, and whether it was a single frame.
    fn writes(buffer: &mut Buffer) -> Vec<(usize, bool)> {
        let mut writes = Vec::new();
        loop {
            match buffer.take() {
                Taken::Nothing => return writes,
                Taken::One(frame) => writes.push((frame.len(), true)),
                Taken::Many(batch) => writes.push((batch.len(), false)),
                Taken::Flush(_) => unreachable!("no test here flushes"),
            }
        }
    }

    #[test]
    fn the_bounds_and_the_reserve_are_exact() {
        let mut buffer = buffer(3, 100);
        assert!(buffer.has_room(usize::MAX) && buffer.has_reserve(usize::MAX) && buffer.is_half_empty());
        buffer.push(frame(40));
        assert_eq!([60, 61].map(|length| buffer.has_room(length)), [true, false]);
        assert_eq!([160, 161].map(|length| buffer.has_reserve(length)), [true, false]);
        buffer.push(frame(60));
        assert_eq!([0, 1].map(|length| buffer.has_room(length)), [true, false]);
        buffer.push(frame(0));
        assert!(!buffer.has_room(0), "three messages");
        assert_eq!([100, 101].map(|length| buffer.has_reserve(length)), [true, false]);
        for _ in 3..6 {
            assert!(buffer.has_reserve_for_frame(33));
            buffer.push(frame(33));
        }
        assert!(buffer.has_reserve(1) && !buffer.has_reserve_for_frame(1), "six frames");
        assert_eq!((buffer.messages, buffer.bytes), (6, 199));
        assert_eq!(writes(&mut buffer), [(199, false)]);
        assert_eq!((buffer.messages, buffer.bytes), (0, 0));
    }

    #[test]
    fn a_buffer_is_half_empty_when_half_of_both_bounds_is_free() {
        for (lengths, is_half_empty) in [
            (&[25, 25][..], true),
            (&[0, 0], true),
            (&[0, 0, 0], false),
            (&[50], true),
            (&[51], false),
            (&[20, 20, 20], false),
        ] {
            let mut buffer = buffer(5, 101);
            lengths.iter().for_each(|&length| buffer.push(frame(length)));
            assert_eq!(buffer.is_half_empty(), is_half_empty, "{lengths:?}");
        }
    }

    #[test]
    fn replies_share_memory_up_to_the_length_of_one_write() {
        let mut buffer = buffer(3, 100);
        buffer.append(&vec![b'r'; BATCH - 10]);
        buffer.append(&[b'r'; 10]);
        assert_eq!((buffer.entries.len(), buffer.messages, buffer.bytes), (1, 2, BATCH));
        buffer.append(b"r");
        buffer.append(b"r");
        assert_eq!((buffer.entries.len(), buffer.messages, buffer.bytes), (2, 4, BATCH + 2));
        assert_eq!(writes(&mut buffer), [(BATCH, false), (2, false)]);
        assert_eq!((buffer.messages, buffer.bytes), (0, 0));
    }

    #[test]
    fn one_write_has_as_many_entries_as_fit() {
        for (lengths, expected) in [
            (&[BATCH + 1, 1][..], &[(BATCH + 1, true), (1, true)][..]),
            (&[BATCH - 1, 1], &[(BATCH, false)]),
            (&[BATCH - 1, 2], &[(BATCH - 1, true), (2, true)]),
            (&[BATCH - 2, 1, 1], &[(BATCH, false)]),
            (&[BATCH - 2, 1, 2, 3], &[(BATCH - 1, false), (5, false)]),
            (&[30_000, 30_000, 30_000], &[(60_000, false), (30_000, true)]),
            (&[0, 0], &[(0, false)]),
        ] {
            let mut buffer = buffer(10, usize::MAX);
            lengths.iter().for_each(|&length| buffer.push(frame(length)));
            assert_eq!(writes(&mut buffer), expected, "{lengths:?}");
        }
    }

    #[test]
    fn control_frames_count_towards_a_write_but_not_towards_the_bounds() {
        let mut buffer = buffer(10, usize::MAX);
        buffer.push(frame(BATCH - 4));
        assert!(buffer.push_control(b"ping") && buffer.push_control(b"pong"));
        assert_eq!((buffer.messages, buffer.bytes), (1, BATCH - 4));
        assert_eq!(writes(&mut buffer), [(8, false), (BATCH - 4, true)]);
    }

    #[test]
    fn an_empty_deque_keeps_memory_for_64_entries() {
        for (entries, left, kept) in [(1, 0, true), (64, 0, true), (65, 0, false), (65, 1, true)] {
            let mut buffer = buffer(usize::MAX, usize::MAX);
            buffer.entries = VecDeque::with_capacity(entries);
            (0..left).for_each(|_| buffer.push(frame(1)));
            buffer.shrink_if_empty();
            assert_eq!(buffer.entries.capacity(), if kept { entries } else { 0 }, "{entries} entries, {left} used");
        }
    }

    #[test]
    fn queued_bytes_use_the_budget_until_they_are_taken_or_dropped() {
        let budget = Budget::new(100);
        let is_free = |bytes| budget.has_room(bytes) && !budget.has_room(bytes + 1);
        let mut buffer = Buffer::new(Bound { messages: 10, bytes: 1000 }, budget.clone());
        assert!(is_free(100));
        buffer.push(frame(70));
        buffer.append(&[b'r'; 20]);
        assert!(is_free(10));
        assert_eq!([10, 11].map(|length| buffer.has_room(length)), [true, false]);
        assert_eq!([10, 11].map(|length| buffer.has_reserve(length)), [true, false]);
        assert_eq!(writes(&mut buffer), [(90, false)]);
        assert!(is_free(100));
        buffer.push(frame(30));
        drop(buffer);
        assert!(is_free(100));
    }
}
