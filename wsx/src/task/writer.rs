//! Writes queued frames to the socket. Only the writer knows which frame is partly written. It does
//! not read.
use crate::{
    connection::queue::{self, Queue, Taken},
    task::transport::Transport,
};
use bytes::{Buf, Bytes};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Takes frames from the queue and writes them.
pub(super) struct Writer {
    /// The bytes that the socket has not taken yet.
    pub(super) rest: Bytes,
    /// Whether written bytes are not flushed yet. A TLS stream can hold them back.
    unflushed: bool,
    /// The write timeout.
    timeout: Duration,
    /// The end of the write timeout. It runs only while the socket takes nothing, and starts again
    /// with every byte that it takes.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Writer {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { rest: Bytes::new(), unflushed: false, timeout, deadline: None }
    }

    /// Ready when all queued frames are written. Returns an error if the socket has taken nothing
    /// for the write timeout.
    pub(super) fn poll<T: Transport>(
        &mut self,
        transport: &T,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.rest.is_empty() {
                match transport.poll_write(&self.rest, cx) {
                    Poll::Ready(n) => self.wrote(n?)?,
                    Poll::Pending => {
                        queue.shrink();
                        return self.blocked(cx);
                    }
                }
            }
            match queue.take() {
                Taken::Nothing => return self.flush(transport, cx),
                Taken::One(frame) => self.rest = frame,
                // The queue is not locked during the write, so other threads can send meanwhile.
                Taken::Many(batch) => {
                    match transport.poll_write(&batch, cx) {
                        Poll::Ready(n) => {
                            let n = n?;
                            self.rest = Bytes::copy_from_slice(&batch[n..]);
                            self.progress();
                        }
                        Poll::Pending => self.rest = Bytes::copy_from_slice(&batch),
                    }
                    queue::recycle(batch);
                }
            }
        }
    }

    /// Flushes the written bytes. Ready when nothing is held back.
    fn flush<T: Transport>(&mut self, transport: &T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            if transport.poll_flush(cx)?.is_pending() {
                return self.blocked(cx);
            }
            self.unflushed = false;
        }
        self.deadline = None;
        Poll::Ready(Ok(()))
    }

    /// Notes that the socket has taken `n` bytes of `rest`.
    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.rest.advance(n);
        if self.rest.is_empty() {
            // An empty slice of a long frame would keep all its memory.
            self.rest = Bytes::new();
        }
        self.progress();
        Ok(())
    }

    /// Notes that the socket has taken bytes, which restarts the write timeout.
    fn progress(&mut self) {
        self.unflushed = true;
        self.deadline = None;
    }

    /// Pending while the socket takes nothing, until the write timeout.
    fn blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timeout = self.timeout;
        ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        let why = format!("the peer has taken nothing for {timeout:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;
    use crate::{
        connection::queue::{BATCH, Bound},
        wire::data_message::Received,
    };
    use std::{collections::VecDeque, sync::Mutex, task::Waker};
    use tokio_tungstenite::tungstenite::Error;

    /// A socket that takes this many bytes of each write; `None` is a write that has to wait. After
    /// the list it takes everything.
    struct Socket {
        takes: Mutex<VecDeque<Option<usize>>>,
        written: Mutex<Vec<u8>>,
    }

    impl Transport for Socket {
        fn poll_write(&self, frames: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
            match self.takes.lock().unwrap().pop_front().unwrap_or(Some(usize::MAX)) {
                None => Poll::Pending,
                Some(most) => {
                    let n = most.min(frames.len());
                    self.written.lock().unwrap().extend_from_slice(&frames[..n]);
                    Poll::Ready(Ok(n))
                }
            }
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_received(&self, _: &Queue, _: &mut Context<'_>) -> Poll<Result<Received, Error>> {
            unreachable!("a writer does not read")
        }

        fn shrink(&self) {}

        fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            unreachable!("a writer does not close")
        }

        fn take_received(&self) -> bool {
            false
        }

        fn poll_discard(&self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
            unreachable!("a writer does not read")
        }
    }

    /// The socket takes only parts. Still every frame is written completely, once and in order. The
    /// frames are single ones, many in one write, and more than fit into one write.
    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_a_part_or_nothing_loses_no_frame() {
        for lengths in [&[5][..], &[5, 1, 7], &[BATCH - 1, 2, 3], &[BATCH + 1, 2], &[1, BATCH, 1, 1]] {
            for first in [None, Some(1), Some(6), Some(usize::MAX)] {
                for second in [None, Some(2)] {
                    let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX });
                    let mut expected = Vec::new();
                    for (name, length) in (b'a'..).zip(lengths) {
                        expected.extend(vec![name; *length]);
                        queue.try_push(vec![name; *length].into()).unwrap();
                    }
                    let socket = Socket { takes: Mutex::new([first, second, first].into()), written: Mutex::default() };
                    let mut writer = Writer::new(Duration::from_secs(10));
                    let mut polls = 0;
                    while writer.poll(&socket, &queue, &mut Context::from_waker(Waker::noop())).is_pending() {
                        polls += 1;
                        assert!(polls < 4, "the writer stopped");
                    }
                    assert!(*socket.written.lock().unwrap() == expected, "{lengths:?}, {first:?}, {second:?}");
                }
            }
        }
    }
}
