//! Passes control frames and fragments through tungstenite, one frame at a time.
//!
//! tungstenite joins fragments, checks their UTF-8, and answers pings and closes. It receives a
//! single frame and does not know the socket. The reader decides which frames it receives.
use crate::wire::{data_message::Received, header::MAX_HEADER, read::Link, read_buffer::Input};
use std::{io, task::Poll};
use tokio_tungstenite::tungstenite::{
    Error,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

/// The state of tungstenite for one connection. Many connections never need it.
pub(super) struct Tungstenite {
    context: WebSocketContext,
    /// Whether tungstenite holds an answer for which the queue was too full.
    pub(super) has_answer: bool,
}

/// The part of a frame that tungstenite has read.
pub(super) struct Forwarded {
    /// The number of header bytes that it has read.
    header_read: usize,
    header_size: usize,
    /// The number of payload bytes that it has not read.
    payload: u64,
}

impl Forwarded {
    pub(super) fn new(header_size: usize, payload: u64) -> Self {
        Self { header_read: 0, header_size, payload }
    }

    fn is_complete(&self) -> bool {
        self.header_read == self.header_size && self.payload == 0
    }
}

impl Tungstenite {
    pub(super) fn new(role: Role, max_message_size: usize) -> Self {
        Self { context: WebSocketContext::new(role, Some(limits(max_message_size))), has_answer: false }
    }

    /// Passes the frame to tungstenite. Returns a message or control frame, or `None` while a
    /// message is not complete.
    pub(super) fn poll_frame(
        &mut self,
        frame: &mut Unread<'_>,
        link: &mut impl Link,
    ) -> Poll<Option<Result<Received, Error>>> {
        let mut channel = Channel { frame: Some(frame), link, answered: false };
        let result = self.context.read(&mut channel);
        let received = match result {
            Ok(message) => Received::from_tungstenite(message).map(Ok),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if !frame.frame.is_complete() {
                    return Poll::Pending;
                }
                None
            }
            Err(error) => Some(Err(error)),
        };
        if matches!(received, Some(Ok(Received::Ping))) {
            self.flush_answers(link);
        }
        Poll::Ready(received)
    }

    /// Queues the answers of tungstenite.
    ///
    /// If its write buffer is full, tungstenite keeps the newest pong elsewhere. A flush that
    /// empties the buffer does not send that pong. So this flushes until tungstenite writes nothing
    /// more, or the queue is full. In the second case the queue later polls the reader again.
    pub(super) fn flush_answers(&mut self, link: &mut impl Link) {
        let mut channel = Channel { frame: None, link, answered: false };
        self.has_answer = loop {
            channel.answered = false;
            if self.context.flush(&mut channel).is_err() {
                break true;
            }
            if !channel.answered {
                break false;
            }
        };
    }
}

/// Returns the limits for tungstenite.
///
/// With its defaults a connection costs 135 KB, and a peer that sends pings without reading fills
/// the memory. tungstenite needs little here: it reads a single frame at a time, and writes only
/// control frames.
pub(super) fn limits(max_message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_write_buffer_size(512)
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size))
}

/// The rest of the frame that tungstenite reads.
pub(super) struct Unread<'c> {
    pub(super) frame: &'c mut Forwarded,
    /// The header of the frame, which is no longer in the input.
    pub(super) header: &'c [u8; MAX_HEADER],
    pub(super) input: &'c mut Input,
}

impl Unread<'_> {
    /// Returns the next bytes of the frame, at most `most`.
    fn next(&mut self, most: usize, link: &mut impl Link) -> io::Result<&[u8]> {
        let Forwarded { header_read, header_size, payload } = &mut *self.frame;
        if header_read < header_size {
            let start = *header_read;
            *header_read += most.min(*header_size - start);
            return Ok(&self.header[start..*header_read]);
        }
        if *payload == 0 {
            // The next frame may not go through tungstenite.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.input.unread().is_empty() {
            match self.input.poll_fill(|into| link.poll_read(into)) {
                Poll::Ready(read) => read?,
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let bytes = self.input.take(most.min(usize::try_from(*payload).unwrap_or(usize::MAX)));
        // The cast does not cut off anything: a length in memory has at most 64 bits.
        *payload -= bytes.len() as u64;
        Ok(bytes)
    }
}

/// The connection, as tungstenite uses it: it reads at most one frame, and writes control frames.
struct Channel<'c, 'f, L> {
    frame: Option<&'c mut Unread<'f>>,
    link: &'c mut L,
    /// Whether the queue had room for each frame that tungstenite wrote.
    answered: bool,
}

impl<L: Link> io::Read for Channel<'_, '_, L> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(frame) = &mut self.frame else { return Err(io::ErrorKind::WouldBlock.into()) };
        let bytes = frame.next(out.len(), self.link)?;
        out[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl<L: Link> io::Write for Channel<'_, '_, L> {
    /// tungstenite writes complete frames, so its pongs can be queued between the messages.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        if !self.link.answer(frame) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.answered = true;
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
