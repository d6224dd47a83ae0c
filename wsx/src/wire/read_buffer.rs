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

#[cfg(test)]
mod tests {
    use super::*;

    /// A read that gives these bytes.
    fn gives(bytes: &[u8]) -> impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>> {
        |into| {
            into[..bytes.len()].copy_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
    }

    /// Returns the size of the thread's buffer, and leaves the thread without one.
    fn thread_buffer() -> usize {
        READ_BUFFER.take().len()
    }

    #[test]
    fn a_read_fills_the_buffer_of_the_thread_with_up_to_64_kib() {
        thread_buffer();
        let mut input = Input::with_bytes(b"early".to_vec());
        assert_eq!(input.unread(), b"early");
        assert_eq!(input.take(2), b"ea");
        assert_eq!(input.take(9), b"rly");
        let whole = input.poll_fill(|into| {
            into.fill(b'x');
            Poll::Ready(Ok(into.len()))
        });
        assert!(matches!(whole, Poll::Ready(Ok(65_536))));
        assert_eq!(input.unread().len(), 65_536);
        assert_eq!(input.take(usize::MAX), [b'x'; 65_536]);
        assert!(matches!(input.poll_fill(gives(b"more")), Poll::Ready(Ok(4))));
        assert_eq!(input.unread(), b"more");
        assert!(input.poll_fill(|_| Poll::Pending).is_pending());
        assert_eq!(input.unread(), b"");
    }

    #[test]
    fn a_connection_that_waits_keeps_only_the_bytes_that_it_has_not_used() {
        for (used, left) in [(0, 5), (2, 3), (5, 0)] {
            thread_buffer();
            let mut input = Input::default();
            assert!(matches!(input.poll_fill(gives(b"12345")), Poll::Ready(Ok(5))));
            input.take(used);
            assert_eq!(thread_buffer(), 0, "the connection has it");
            input.shrink();
            assert_eq!(thread_buffer(), READ_SIZE);
            assert_eq!((input.unread(), input.bytes.capacity()), (&b"12345"[used..], left));
            // It waits again.
            input.shrink();
            assert_eq!((input.unread(), input.bytes.capacity()), (&b"12345"[used..], left));
            input.take(left);
            input.shrink();
            assert_eq!((input.unread(), input.bytes.capacity()), (&b""[..], 0));
            assert_eq!(thread_buffer(), 0, "it has returned the buffer once");
        }
    }

    #[test]
    fn the_bytes_of_one_read_are_used_and_the_buffer_is_returned() {
        thread_buffer();
        let used = poll_with_buffer(gives(b"bytes"), <[u8]>::to_vec);
        assert!(matches!(used, Poll::Ready(Ok(bytes)) if bytes == b"bytes"));
        assert_eq!(thread_buffer(), READ_SIZE);
        assert!(poll_with_buffer(|_| Poll::Pending, <[u8]>::to_vec).is_pending());
        assert_eq!(thread_buffer(), READ_SIZE);
    }
}
