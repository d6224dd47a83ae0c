//! Inflates received messages (RFC 7692 section 7.2.2), each within a limit.
use crate::wire::{
    data_message::DataMessage,
    deflate::{Agreed, Compression, Direction, history::History},
    violation::Violation,
};
use flate2::{Decompress, FlushDecompress, Status};
use std::{cell::Cell, time::Instant};

/// What the sender has left out at the end of a message, and then an empty last block. The stream
/// ends exactly here, unless the message ends within a block.
const END: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];
/// Maximum number of last blocks within a message (RFC 7692 section 7.2.3.4). A sender makes one for
/// each flush that it cannot make in another way. Each costs the time of a new stream, so a message
/// of nothing else would cost more than its length is worth.
const MAX_LAST_BLOCKS: u32 = 64;
/// The largest window, in bytes (RFC 1951 section 3.2.5).
const MAX_WINDOW: usize = 1 << 15;
/// First memory of a message, in bytes.
const MIN_RESERVED: usize = 512;

thread_local! {
    /// The state of zlib for the next message of this thread: 48 KB.
    static STATE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// Inflates the messages of one connection.
#[derive(Debug)]
pub(crate) struct Inflater {
    history: History,
    work: Compression,
}

impl Inflater {
    pub(crate) fn new(agreed: Agreed) -> Self {
        Self { history: History::new(agreed.peer.context()), work: Compression::none(Direction::Received) }
    }

    /// Returns the message with this payload. It is rejected as soon as it has more than `limit`
    /// bytes.
    pub(crate) fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
        let begun = Instant::now();
        let mut state = STATE.take().unwrap_or_else(new_state);
        let inflated = inflate(&mut state, self.history.bytes(), payload, limit);
        STATE.set(Some(state));
        let message = inflated?;
        self.history.push(&message);
        self.work.add(message.len(), payload.len(), begun.elapsed());
        Ok(message)
    }

    /// Returns what it has done since the last report.
    pub(crate) fn work(&mut self) -> &mut Compression {
        &mut self.work
    }
}

/// Every window is allowed here. A distance beyond the window that was agreed on leads before the
/// history, which is an error.
fn new_state() -> Box<Decompress> {
    Box::new(Decompress::new_with_window_bits(false, 15))
}

fn inflate(state: &mut Decompress, history: &[u8], payload: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
    let mut message = DataMessage::memory(payload.len());
    // The message of length 0, which some peers compress to nothing.
    if payload.is_empty() {
        return Ok(message);
    }
    let mut stream = Stream::begin(state, history)?;
    let (mut rest, mut last_blocks) = (payload, 0);
    while stream.feed(&mut rest, &mut message, limit)? == Status::StreamEnd {
        if rest.is_empty() {
            return Ok(message);
        }
        last_blocks += 1;
        if last_blocks > MAX_LAST_BLOCKS {
            return Err(Violation::NotInflated("it has too many last blocks"));
        }
        stream = Stream::begin(stream.0, &context(history, &message))?;
    }
    let mut rest = &END[..];
    match stream.feed(&mut rest, &mut message, limit)? {
        Status::StreamEnd if rest.is_empty() => Ok(message),
        _ => Err(Violation::NotInflated("it ends within a block")),
    }
}

/// Returns what a new stream within a message may refer to: the end of both, up to the largest
/// window.
fn context(history: &[u8], message: &[u8]) -> Vec<u8> {
    let new = &message[message.len().saturating_sub(MAX_WINDOW)..];
    let old = &history[history.len().saturating_sub(MAX_WINDOW - new.len())..];
    [old, new].concat()
}

struct Stream<'s>(&'s mut Decompress);

impl<'s> Stream<'s> {
    fn begin(state: &'s mut Decompress, dictionary: &[u8]) -> Result<Self, Violation> {
        state.reset(false);
        if !dictionary.is_empty() {
            state.set_dictionary(dictionary).map_err(|_| Violation::NotInflated("its context is damaged"))?;
        }
        Ok(Self(state))
    }

    /// Inflates all of `rest`, or its part before the end of the stream. Appends the result.
    fn feed(&mut self, rest: &mut &[u8], message: &mut Vec<u8>, limit: usize) -> Result<Status, Violation> {
        loop {
            if message.len() == message.capacity() {
                // One byte beyond the limit shows that there is more.
                let more = message.len().max(MIN_RESERVED).min(limit + 1 - message.len());
                message.reserve_exact(more);
            }
            let (read, written) = (self.0.total_in(), message.len());
            let status = self.0.decompress_vec(rest, message, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::NotInflated("its data is damaged"))?;
            let read = (self.0.total_in() - read) as usize;
            *rest = &rest[read..];
            if message.len() > limit {
                return Err(Violation::MessageTooLong { length: message.len() as u64, limit });
            }
            let is_full = message.len() == message.capacity();
            if status == Status::StreamEnd || (rest.is_empty() && !is_full) {
                return Ok(status);
            }
            if read == 0 && message.len() == written && !is_full {
                return Err(Violation::NotInflated("its data is damaged"));
            }
        }
    }
}
