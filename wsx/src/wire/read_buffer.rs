//! Bytes that were read from a socket and not parsed yet. All connections of a thread share one
//! buffer.
//!
//! It does not know frames or sockets; the caller reads.
use std::{
    cell::Cell,
    io,
    task::{Poll, ready},
};

/// The length of the thread's buffer, which limits a single read. It is not memory of each
/// connection.
pub(super) const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads into the thread's buffer, and calls `use_bytes` with the bytes.
pub(crate) fn poll_with_buffer<T>(
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    use_bytes: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    let mut input = Input::default();
    let read = input.poll_fill(read);
    let result = read.map_ok(|_| use_bytes(input.unread()));
    input.shrink();
    result
}

/// The bytes that were read and not taken yet.
#[derive(Default)]
pub(super) struct Input {
    /// The thread's buffer, or memory of exactly the size of the remaining bytes.
    pub(super) bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { start: 0, end: bytes.len(), bytes }
    }

    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes the next bytes, at most `most`.
    #[inline]
    pub(super) fn take(&mut self, most: usize) -> &[u8] {
        let start = self.start;
        self.start += most.min(self.end - start);
        &self.bytes[start..self.start]
    }

    /// Reads more bytes, after all earlier ones were taken.
    pub(super) fn poll_fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.len() != READ_SIZE {
            // Taken, not borrowed: the stream may be the application's, and its `poll_read` may run
            // the task of another connection.
            self.bytes = READ_BUFFER.take();
            self.bytes.resize(READ_SIZE, 0);
        }
        (self.start, self.end) = (0, 0);
        let read = ready!(read(&mut self.bytes))?;
        self.end = read;
        Poll::Ready(Ok(read))
    }

    /// Returns the buffer to the thread. The remaining bytes move into memory of exactly their
    /// size.
    pub(super) fn shrink(&mut self) {
        if self.bytes.len() == READ_SIZE {
            let unread = self.unread().to_vec();
            READ_BUFFER.set(std::mem::replace(self, Self::with_bytes(unread)).bytes);
        } else if self.unread().is_empty() {
            *self = Self::default();
        }
    }
}
