//! Inflates received messages (RFC 7692 section 7.2.2), each within a limit.
use crate::wire::{
    data_message::DataMessage,
    deflate::{Agreed, Compression, Direction, history::History},
    violation::Violation,
};
use flate2::{Decompress, FlushDecompress, Status};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// The four bytes that a sender leaves out at the end of a message (RFC 7692 section 7.2.1), and
/// then an empty last block. The DEFLATE stream ends exactly here, unless the message ends within a
/// block.
const END: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];
/// Maximum number of last blocks (BFINAL is set) before the end of a message (RFC 7692 section
/// 7.2.3.4).
const MAX_LAST_BLOCKS: usize = 64;
/// A message may have four last blocks, and one more for each 64 bytes of its payload. After a last
/// block, zlib begins a new stream, which takes time. Without this limit, a message of last blocks
/// would cost far more time than other messages of its length.
const BYTES_PER_LAST_BLOCK: usize = 64;
/// Maximum number of payload bytes that are inflated at a time. A payload of Huffman codes with
/// hardly any content can cost up to 100 ns for each byte.
const SLICE: usize = 8 * 1024;
/// After so many bytes of payloads, the other connections of the thread get a turn: 1.6 ms at most.
const TURN: usize = 16 * 1024;
/// What a last block costs, in bytes of payload: it begins a stream with a context of 32 KiB.
const LAST_BLOCK_COST: usize = 64;
/// The largest window, in bytes (RFC 1951 section 3.2.5).
const MAX_WINDOW: usize = 1 << 15;
/// First memory of a message, in bytes.
const MIN_RESERVED: usize = 512;

thread_local! {
    /// The state of zlib for the next message of this thread: 47 KB, with a window of any size.
    static STATE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// Inflates the messages of one connection.
#[derive(Debug)]
pub(crate) struct Inflater {
    history: History,
    /// The message of which only the first slices are inflated.
    begun: Option<Box<Begun>>,
    work: Compression,
    /// How many bytes longer than their payloads the messages were, for the receive limit.
    surplus: usize,
    /// What was inflated in this turn of the connection, in bytes of payloads.
    spent: usize,
}

impl Inflater {
    pub(crate) fn new(agreed: Agreed) -> Self {
        let work = Compression::none(Direction::Received);
        Self { history: History::new(agreed.peer.context()), begun: None, work, surplus: 0, spent: 0 }
    }

    /// Inflates the next [`SLICE`] of this payload. Returns the message after the last one. It is
    /// rejected as soon as it has more than `limit` bytes. Then the connection ends.
    pub(crate) fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Option<Vec<u8>>, Violation> {
        let start = Instant::now();
        let mut begun = match self.begun.take() {
            Some(begun) => *begun,
            None => Begun::new(self.history.bytes(), payload.len())?,
        };
        let (read, last_blocks) = (begun.read, begun.last_blocks);
        let is_complete = begun.inflate(self.history.bytes(), payload, limit);
        self.spent += begun.read - read + (begun.last_blocks - last_blocks) * LAST_BLOCK_COST;
        begun.elapsed += start.elapsed();
        if matches!(is_complete, Ok(false)) {
            self.begun = Some(Box::new(begun));
            return Ok(None);
        }
        let Begun { state, message, elapsed, .. } = begun;
        STATE.set(Some(state));
        is_complete?;
        self.history.push(&message);
        self.work.add(message.len(), payload.len(), elapsed);
        self.surplus = self.surplus.saturating_add(message.len().saturating_sub(payload.len()));
        Ok(Some(message))
    }

    /// Whether the other connections of the thread get a turn before the next slice or message.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent >= TURN
    }

    /// Begins a turn.
    pub(crate) fn begin_turn(&mut self) {
        self.spent = 0;
    }

    /// Returns how many bytes longer than their payloads the messages have been since the last
    /// call.
    pub(crate) fn take_surplus(&mut self) -> usize {
        std::mem::take(&mut self.surplus)
    }

    /// Returns what it has done since the last report.
    pub(crate) fn work(&mut self) -> &mut Compression {
        &mut self.work
    }
}

/// A message that is not complete.
#[derive(Debug)]
struct Begun {
    /// The state of zlib, which no other message uses meanwhile.
    state: Box<Decompress>,
    /// The bytes so far.
    message: Vec<u8>,
    /// How many bytes of the payload are inflated.
    read: usize,
    last_blocks: usize,
    elapsed: Duration,
}

impl Begun {
    fn new(history: &[u8], payload: usize) -> Result<Self, Violation> {
        let state = STATE.take().unwrap_or_else(new_state);
        let message = DataMessage::memory(payload);
        let mut begun = Self { state, message, read: 0, last_blocks: 0, elapsed: Duration::ZERO };
        begun.begin_stream(history)?;
        Ok(begun)
    }

    /// Inflates the next slice. Returns whether the message is complete.
    fn inflate(&mut self, history: &[u8], payload: &[u8], limit: usize) -> Result<bool, Violation> {
        // The message of length 0, which some peers compress to nothing.
        if payload.is_empty() {
            return Ok(true);
        }
        let end = payload.len().min(self.read + SLICE);
        while self.read < end {
            let (read, status) = self.feed(&payload[self.read..end], limit)?;
            self.read += read;
            if status != Status::StreamEnd {
                continue;
            }
            if self.read == payload.len() {
                return Ok(true);
            }
            self.last_blocks += 1;
            if self.last_blocks > (4 + payload.len() / BYTES_PER_LAST_BLOCK).min(MAX_LAST_BLOCKS) {
                return Err(Violation::NotInflated("it has too many last blocks"));
            }
            self.begin_stream(history)?;
        }
        if end < payload.len() {
            return Ok(false);
        }
        // A last block that the payload does not complete may end here, too. Then these bytes are a
        // part of the message.
        let length = self.message.len();
        match self.feed(&END, limit)? {
            (read, Status::StreamEnd) if read == END.len() && self.message.len() == length => Ok(true),
            _ => Err(Violation::NotInflated("it ends within a block")),
        }
    }

    /// Begins a stream, which may refer to the history and to the message so far.
    fn begin_stream(&mut self, history: &[u8]) -> Result<(), Violation> {
        self.state.reset(false);
        for context in [history, &self.message[self.message.len().saturating_sub(MAX_WINDOW)..]] {
            if !context.is_empty() {
                self.state.set_dictionary(context).map_err(|_| Violation::NotInflated("its context is damaged"))?;
            }
        }
        Ok(())
    }

    /// Inflates all of these bytes, or their part before the end of the stream. Returns their
    /// number.
    fn feed(&mut self, bytes: &[u8], limit: usize) -> Result<(usize, Status), Violation> {
        let (message, mut rest) = (&mut self.message, bytes);
        loop {
            if message.len() == message.capacity() {
                // One byte beyond the limit shows that there is more.
                let most = limit.saturating_add(1) - message.len();
                message.reserve_exact(message.len().max(MIN_RESERVED).min(most));
            }
            let (read, written) = (self.state.total_in(), message.len());
            let status = self.state.decompress_vec(rest, message, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::NotInflated("its data is damaged"))?;
            let read = (self.state.total_in() - read) as usize;
            rest = &rest[read..];
            if message.len() > limit {
                return Err(Violation::MessageTooLong { length: message.len() as u64, limit });
            }
            let is_full = message.len() == message.capacity();
            if status == Status::StreamEnd || (rest.is_empty() && !is_full) {
                return Ok((bytes.len() - rest.len(), status));
            }
            if read == 0 && message.len() == written && !is_full {
                return Err(Violation::NotInflated("its data is damaged"));
            }
        }
    }
}

/// zlib gets the largest window. A distance inside the message may exceed the agreed window. A
/// distance that leads before the history is an error.
fn new_state() -> Box<Decompress> {
    #[cfg(test)]
    tests::MADE.set(tests::MADE.get() + 1);
    Box::new(Decompress::new_with_window_bits(false, 15))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::Stream;
    use flate2::{Compress, FlushCompress};

    thread_local! {
        /// The number of states that this thread has made.
        pub(super) static MADE: Cell<usize> = const { Cell::new(0) };
    }

    fn inflater(window_bits: u8, keeps_context: bool) -> Inflater {
        let peer = Stream { window_bits, keeps_context, level: 6 };
        Inflater::new(Agreed { own: None, peer, min_size: 0 })
    }

    /// Returns the payloads of these messages, which continue each other.
    fn compressed(messages: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut state = Compress::new(flate2::Compression::new(9), false);
        let payload = |message: &&[u8]| {
            let mut payload = Vec::with_capacity(message.len() + 100);
            state.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
            payload.truncate(payload.len() - 4);
            payload
        };
        messages.iter().map(payload).collect()
    }

    /// Inflates all slices. Returns the message and their number.
    fn all(inflater: &mut Inflater, payload: &[u8], limit: usize) -> Result<(Vec<u8>, usize), Violation> {
        let mut slices = 1;
        loop {
            if let Some(message) = inflater.inflate(payload, limit)? {
                return Ok((message, slices));
            }
            slices += 1;
        }
    }

    /// Row Z4: the state belongs to the thread, also after a message that was damaged.
    #[test]
    fn each_thread_inflates_with_one_state() {
        let payload = &compressed(&[b"a message, a message"])[0];
        for _ in 0..5 {
            assert!(inflater(15, true).inflate(payload, 100).is_ok());
            assert!(inflater(15, true).inflate(b"\x07", 100).is_err());
        }
        assert_eq!(MADE.get(), 1);
    }

    const DAMAGED: Violation = Violation::NotInflated("its data is damaged");

    /// Row Z5: an inflated message is not longer than a plain one may be.
    #[test]
    fn a_message_is_rejected_with_the_first_byte_beyond_the_limit() {
        let payload = &compressed(&[&[7; 100_000]])[0];
        for limit in [100_000, 100_001, usize::MAX] {
            assert_eq!(all(&mut inflater(15, true), payload, limit), Ok((vec![7; 100_000], 1)), "{limit}");
        }
        for limit in [0, 1, 511, 512, 513, 99_999] {
            let rejected = all(&mut inflater(15, true), payload, limit);
            let long = matches!(rejected, Err(Violation::MessageTooLong { limit: found, .. }) if found == limit);
            assert!(long, "{limit}: {:?}", rejected.map(|(message, _)| message.len()));
        }
    }

    /// Row Z5: a block may cost far more time than its content. So the other connections of the
    /// thread have their turns before the end of a long message.
    #[test]
    fn a_long_payload_is_inflated_in_slices() {
        use rand::{RngExt, SeedableRng, rngs::SmallRng};
        let mut random = SmallRng::seed_from_u64(1);
        let letters: Vec<u8> = (0..100_000).map(|_| random.random_range(b'a'..=b'p')).collect();
        let payloads = compressed(&[&letters, &letters[..20_000], b"short"]);
        let mut inflater = inflater(15, true);
        for (payload, message) in payloads.iter().zip([&letters[..], &letters[..20_000], b"short"]) {
            let (found, slices) = all(&mut inflater, payload, 100_000).unwrap();
            assert!(found == message);
            assert_eq!(slices, payload.len().div_ceil(SLICE));
        }
        assert!(payloads[0].len() > 5 * SLICE);
        let work = inflater.work().take().expect("it has inflated");
        let wire: usize = payloads.iter().map(Vec::len).sum();
        assert_eq!((work.messages, work.plain_bytes, work.wire_bytes), (3, 120_005, wire as u64));
        // A second thread of the runtime may go on with the message.
        let mut inflater = self::inflater(15, true);
        assert_eq!(inflater.inflate(&payloads[0], 100_000), Ok(None));
        std::thread::scope(|scope| {
            let rest = scope.spawn(|| all(&mut inflater, &payloads[0], 100_000).unwrap());
            assert!(rest.join().unwrap().0 == letters);
        });
    }

    /// Row Z5: a message of several streams refers to the messages before it and to its own
    /// streams.
    #[test]
    fn each_last_block_costs_some_bytes() {
        let last = |message: &[u8]| {
            let mut payload = compressed(&[message]).remove(0);
            // The next block is the last one, and empty.
            payload.extend_from_slice(&[0, 0, 0xff, 0xff, 3, 0]);
            payload
        };
        let (first, second) = (&compressed(&[b"a context, a context"])[0], last(b"another stream"));
        let mut one = inflater(9, true);
        assert_eq!(one.inflate(first, 100), Ok(Some(b"a context, a context".to_vec())));
        let mut copies = Compress::new_with_window_bits(flate2::Compression::new(9), false, 9);
        copies.set_dictionary(b"a context, a contextanother stream").unwrap();
        let mut third = Vec::with_capacity(100);
        copies.compress_vec(b"a context, another stream", &mut third, FlushCompress::Sync).unwrap();
        third.truncate(third.len() - 4);
        assert!(third.len() < 20, "it refers to both");
        let message = [&second[..], &third].concat();
        let expected = b"another streama context, another stream";
        assert_eq!(one.inflate(&message, 100), Ok(Some(expected.to_vec())));
        assert_eq!(one.inflate(&compressed(&[b"x"])[0], 100), Ok(Some(b"x".to_vec())));

        let many = Err(Violation::NotInflated("it has too many last blocks"));
        for (blocks, filler, result) in [(4, 0, Ok(Some(Vec::new()))), (5, 0, many), (5, 30, Ok(Some(Vec::new())))] {
            // Empty stored blocks of five bytes make it longer.
            let payload = [[3, 0].repeat(blocks), [0, 0, 0, 0xff, 0xff].repeat(filler), vec![0]].concat();
            assert_eq!(inflater(15, true).inflate(&payload, 100), result, "{blocks} last blocks");
        }
    }

    #[test]
    fn a_message_that_ends_within_a_block_is_rejected() {
        let payload = &compressed(&[b"a message, a message"])[0];
        for end in 1..payload.len() {
            let cut = inflater(15, true).inflate(&payload[..end], 100);
            assert!(matches!(cut, Err(Violation::NotInflated(_))), "{end} bytes: {cut:?}");
        }
        // A last block that would end with the bytes which the reader appends.
        let cut = inflater(15, true).inflate(b"\x2b\x78\x2b\x78\x78", 1000);
        assert_eq!(cut, Err(Violation::NotInflated("it ends within a block")));
    }

    /// Row Z6: what was damaged leaves nothing behind.
    #[test]
    fn a_damaged_message_does_not_damage_the_next_one_of_the_thread() {
        let payloads = compressed(&[b"a message, a message", b"a message"]);
        for broken in [&payloads[0][..4], b"\xff", b"\x07", &payloads[1]] {
            let rejected = inflater(15, true).inflate(broken, 100);
            assert!(rejected == Err(DAMAGED) || rejected == Err(Violation::NotInflated("it ends within a block")));
            assert_eq!(inflater(15, true).inflate(&payloads[0], 100), Ok(Some(b"a message, a message".to_vec())));
        }
    }
}
