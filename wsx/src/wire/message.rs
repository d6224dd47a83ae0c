//! What a peer sent, as the reader returns it.
//!
//! Knows neither the frames that it came in nor who handles it.
use bytes::Bytes;
use std::cell::Cell;
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};

/// A message's memory is used for the thread's next one up to this length, and given back above it.
const MAX_KEPT: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a peer sent.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Message),
    /// Its answer is on its way.
    Ping,
    Pong(Bytes),
    Close(Option<CloseFrame>),
}

impl Received {
    /// `None` for what no reader gives: a single frame.
    pub(crate) fn from_tungstenite(message: tungstenite::Message) -> Option<Self> {
        Some(match message {
            tungstenite::Message::Text(text) => Self::Message(Message::Text(text.as_str().to_owned())),
            tungstenite::Message::Binary(bytes) => Self::Message(Message::Binary(bytes.into())),
            tungstenite::Message::Ping(_) => Self::Ping,
            tungstenite::Message::Pong(payload) => Self::Pong(payload),
            tungstenite::Message::Close(close) => Self::Close(close),
            tungstenite::Message::Frame(_) => return None,
        })
    }
}

/// A message, in memory of its own; [`recycle`](Self::recycle) it.
#[derive(Debug)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    /// Memory for a payload of this length, used before if possible.
    pub(super) fn memory(length: usize) -> Vec<u8> {
        let mut memory = if length <= MAX_KEPT { SPARE.take() } else { Vec::new() };
        memory.clear();
        memory
    }

    /// Keeps the memory of a message that was handled for the next one of this thread.
    pub(crate) fn recycle(self) {
        let memory = match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        };
        if memory.capacity() <= MAX_KEPT {
            SPARE.set(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_long_message_is_not_kept() {
        let long = Message::Binary(Vec::with_capacity(MAX_KEPT + 1));
        SPARE.take();
        long.recycle();
        assert_eq!(SPARE.take().capacity(), 0);
        Message::Binary(Vec::with_capacity(MAX_KEPT)).recycle();
        assert_eq!(SPARE.take().capacity(), MAX_KEPT);
    }
}
