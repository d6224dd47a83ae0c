//! Compresses frames that are about to be written (RFC 7692 section 7.2.1).
use crate::wire::{
    deflate::{Agreed, Compression, Direction, Stream, history::History},
    header::{Header, MARK, Opcode},
    mask::mask,
    role::Role,
    write::{Frame, encode},
};
use flate2::{Compress, FlushCompress};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// The end of what a flush writes. It is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    /// The state of zlib for the next message of this thread, and its window and level: 192 KB with
    /// a window of 10 bits, and 320 KB with 15.
    static STATE: Cell<Option<Box<(Compress, u8, u8)>>> = const { Cell::new(None) };
}

/// Compresses the frames of one connection.
#[derive(Debug)]
pub(crate) struct Deflater {
    stream: Stream,
    min_size: usize,
    role: Role,
    history: History,
    work: Compression,
}

impl Deflater {
    /// Returns `None` if this end does not compress.
    pub(crate) fn new(agreed: Agreed, role: Role) -> Option<Self> {
        let stream = agreed.own?;
        let (history, work) = (History::new(stream.context()), Compression::none(Direction::Sent));
        Some(Self { stream, min_size: agreed.min_size, role, history, work })
    }

    /// Whether the first of these frames is marked.
    pub(crate) fn has_work(frames: &[u8]) -> bool {
        frames.first().is_some_and(|first| first & MARK != 0)
    }

    /// Returns these whole frames. Those that are marked are compressed, if they are long enough
    /// and get shorter.
    pub(crate) fn rewrite(&mut self, mut frames: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(frames.len());
        while let Some(header) = Header::parse(frames) {
            let (frame, rest) = frames.split_at(header.size + header.payload_length as usize);
            frames = rest;
            if !Self::has_work(frame) {
                out.extend_from_slice(frame);
                continue;
            }
            match self.compressed(&header, &frame[header.size..]) {
                Some(compressed) => out.extend_from_slice(compressed.as_bytes()),
                None => {
                    out.push(frame[0] & !MARK);
                    out.extend_from_slice(&frame[1..]);
                }
            }
        }
        out
    }

    /// Returns the compressed frame, if that is shorter or begins the context.
    fn compressed(&mut self, header: &Header, payload: &[u8]) -> Option<Frame> {
        if payload.len() < self.min_size {
            return None;
        }
        let begun = Instant::now();
        let unmasked = header.masked.then(|| {
            let mut unmasked = payload.to_vec();
            mask(&mut unmasked, header.mask_key);
            unmasked
        });
        let message = unmasked.as_deref().unwrap_or(payload);
        // The first message may stay as long as it is: in its context, the next ones shrink.
        let begins = self.stream.keeps_context && self.history.bytes().is_empty();
        let most = message.len().saturating_sub(usize::from(!begins));
        let frame = encode(header.opcode().compressed(), self.role, "", |buffer| {
            deflate(self.stream, self.history.bytes(), message, most, buffer)
        });
        let Ok(frame) = frame else {
            self.work.elapsed += begun.elapsed();
            return None;
        };
        self.history.push(message);
        self.work.add(message.len(), frame.payload_len(), begun.elapsed());
        Some(frame)
    }

    /// Returns what it has done since the last report.
    pub(crate) fn work(&mut self) -> &mut Compression {
        &mut self.work
    }
}

/// Compresses a message of a server without a context. Returns its frame, if the message gets
/// shorter, and the time.
pub(crate) fn compress(stream: Stream, opcode: Opcode, message: &[u8]) -> (Option<Frame>, Duration) {
    let begun = Instant::now();
    let frame = encode(opcode.compressed(), Role::Server, "", |buffer| {
        deflate(stream, &[], message, message.len().saturating_sub(1), buffer)
    });
    (frame.ok(), begun.elapsed())
}

/// Appends the compressed message. It is an error if it has more than `most` bytes.
fn deflate(stream: Stream, context: &[u8], message: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), ()> {
    let Stream { window_bits, level, .. } = stream;
    let state = STATE.take().filter(|state| (state.1, state.2) == (window_bits, level));
    let mut state = state.unwrap_or_else(|| Box::new((new_state(window_bits, level), window_bits, level)));
    let fitted = deflate_with(&mut state.0, context, message, most, out);
    STATE.set(Some(state));
    fitted
}

fn new_state(window_bits: u8, level: u8) -> Compress {
    #[cfg(test)]
    tests::MADE.set(tests::MADE.get() + 1);
    Compress::new_with_window_bits(flate2::Compression::new(level.into()), false, window_bits)
}

fn deflate_with(
    state: &mut Compress,
    context: &[u8],
    message: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), ()> {
    state.reset();
    if !context.is_empty() {
        state.set_dictionary(context).map_err(drop)?;
    }
    let start = out.len();
    // More room would be in vain. The flush is complete if it leaves some.
    out.reserve_exact(most + TAIL.len() + 1);
    let flushed = state.compress_vec(message, out, FlushCompress::Sync).is_ok() && out.len() < out.capacity();
    let length = out.len() - start;
    if !flushed || length > most + TAIL.len() || !out.ends_with(&TAIL) {
        return Err(());
    }
    out.truncate(out.len() - TAIL.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// The number of states that this thread has made.
        pub(super) static MADE: Cell<usize> = const { Cell::new(0) };
    }

    /// Row Z4: the state belongs to the thread. Another window or level gets a new one.
    #[test]
    fn each_thread_uses_its_state_again() {
        let length = |window_bits, level, message: &[u8]| {
            let stream = Stream { window_bits, keeps_context: false, level };
            compress(stream, Opcode::TEXT, message).0.map(|frame| frame.payload_len())
        };
        let text: Vec<u8> = (0..300_u32).flat_map(|n| (n * n % 251).to_string().into_bytes()).collect();
        let twice = text.repeat(2);
        let best = length(15, 9, &twice);
        assert_eq!((length(15, 9, &twice), MADE.get()), (best, 1));
        let near = length(9, 9, &twice);
        assert!(near > best, "its window does not reach the repetition: {near:?}");
        let quick = length(9, 1, &twice);
        assert_eq!(MADE.get(), 3);
        assert!(quick != near, "another level");
    }
}
