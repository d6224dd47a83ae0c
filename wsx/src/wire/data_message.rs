//! A message or control frame of the peer, as the reader returns it. It does not know frames or
//! handlers.
use crate::wire::{
    close_frame::CloseFrame,
    long_memory::{self, MIN_LONG},
};
use bytes::Bytes;
use std::cell::Cell;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A message or control frame of the peer.
#[derive(Debug)]
pub(crate) enum Received {
    Message(DataMessage),
    /// The pong that answers it is already queued, or waits for room in the queue.
    Ping,
    Pong(Bytes),
    Close(CloseFrame),
}

/// A message that owns its memory. [`recycle`](Self::recycle) passes the memory on to the next
/// message.
#[derive(Debug)]
pub(crate) enum DataMessage {
    Text(String),
    Binary(Vec<u8>),
}

impl DataMessage {
    /// Returns empty memory for a payload of this length, that of an earlier message if possible.
    #[inline]
    pub(super) fn memory(length: usize) -> Vec<u8> {
        let mut memory = if length < MIN_LONG { SPARE.take() } else { Vec::new() };
        memory.clear();
        memory
    }

    /// Returns the length, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Frees memory that the message does not need, because it waits and counts with its length. An
    /// inflated message has up to twice that, or 512 bytes.
    pub(crate) fn shrink(&mut self) {
        let most = |length: usize| length + length / 8 + 64;
        match self {
            Self::Text(text) if text.capacity() > most(text.len()) => text.shrink_to_fit(),
            Self::Binary(bytes) if bytes.capacity() > most(bytes.len()) => bytes.shrink_to_fit(),
            _ => {}
        }
    }

    /// Keeps the memory of a handled message for the next one: of this thread, or of the program if
    /// it is long.
    #[inline]
    pub(crate) fn recycle(self) {
        let memory = match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        };
        if memory.capacity() < MIN_LONG {
            SPARE.set(memory);
        } else {
            long_memory::keep(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_long_message_is_not_kept_in_the_thread() {
        let _alone = long_memory::alone();
        let long = DataMessage::Binary(Vec::with_capacity(MIN_LONG));
        SPARE.take();
        long.recycle();
        assert_eq!(SPARE.take().capacity(), 0);
        DataMessage::Binary(Vec::with_capacity(MIN_LONG - 1)).recycle();
        assert_eq!(SPARE.take().capacity(), MIN_LONG - 1);
    }

    #[test]
    fn a_short_message_gets_the_memory_of_an_earlier_one_and_a_long_message_does_not() {
        SPARE.take();
        DataMessage::Text("twelve bytes".into()).recycle();
        for length in [256 * 1024, usize::MAX] {
            assert_eq!(DataMessage::memory(length).capacity(), 0, "{length} bytes");
        }
        let memory = DataMessage::memory(256 * 1024 - 1);
        assert_eq!((memory.len(), memory.capacity()), (0, 12));
        assert_eq!(DataMessage::memory(0).capacity(), 0, "the memory is handed over");
    }
}
