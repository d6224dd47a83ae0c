//! Writes queued frames to the socket. Only the writer knows which frame is partly written. It does
//! not read.
use crate::{
    connection::queue::{self, Queue, Taken},
    task::{
        deadline::LAST_LOOK,
        transport::{Transport, unacknowledged::Unacknowledged},
    },
    wire::deflate::{Compression, Deflater},
};
use bytes::{Buf, Bytes};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{Sleep, sleep},
};

/// Takes frames from the queue and writes them.
pub(super) struct Writer {
    /// The bytes that the socket has not taken yet.
    pub(super) rest: Bytes,
    /// Whether written bytes are not flushed yet. A TLS stream can hold them back.
    unflushed: bool,
    /// The write timeout.
    timeout: Duration,
    /// The state of a blocked write. Boxed, because most writes are not blocked.
    blocked: Option<Box<Blocked>>,
    /// Whether a blocked write has made progress since the last `take_progress`.
    progressed: bool,
    /// Compresses the frames that are marked. Boxed, because few connections agree on that.
    deflater: Option<Box<Deflater>>,
}

/// After this many bytes that it was to compress, the other connections of the thread get a turn.
/// That takes some milliseconds.
const MAX_COMPRESSED: usize = 128 * 1024;
/// What a compressed message costs beside its bytes, as a number of bytes.
const MESSAGE_COST: usize = 256;
/// The write timeout is checked in this many steps.
const STEPS: u32 = 4;

/// A write for which the socket has no room. It ends with every byte that the socket takes.
struct Blocked {
    /// The end of a step. After the last step it is that of the last look.
    timer: Pin<Box<Sleep>>,
    /// The number of steps without progress.
    idle: u32,
    /// What the peer had not acknowledged at the end of the last step. That is not known for every
    /// stream.
    unacknowledged: Option<Unacknowledged>,
}

impl Writer {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { rest: Bytes::new(), unflushed: false, timeout, blocked: None, progressed: false, deflater: None }
    }

    /// Compresses from now on.
    pub(super) fn deflating(mut self, deflater: Option<Deflater>) -> Self {
        self.deflater = deflater.map(Box::new);
        self
    }

    /// Returns what was compressed since the last call, if there was anything.
    #[inline]
    pub(super) fn take_compressed(&mut self) -> Option<Compression> {
        self.deflater.as_mut()?.work().take()
    }

    /// Ready when all queued frames are written. Returns an error if the socket has taken nothing
    /// for the write timeout.
    pub(super) fn poll<T: Transport>(
        &mut self,
        transport: &T,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut compressed = 0;
        loop {
            while !self.rest.is_empty() {
                match transport.poll_write(&self.rest, cx) {
                    Poll::Ready(n) => self.wrote(n?)?,
                    Poll::Pending => {
                        queue.shrink();
                        return self.blocked(transport, cx);
                    }
                }
            }
            if compressed >= MAX_COMPRESSED {
                // Not by a plain wake-up: here the runtime polls its sockets before it continues.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            match queue.take() {
                Taken::Nothing => return self.flush(transport, cx),
                Taken::One(frame) => {
                    self.rest = match &mut self.deflater {
                        Some(deflater) if Deflater::has_work(&frame) => {
                            compressed += frame.len();
                            deflater.rewrite(&frame).into()
                        }
                        _ => frame,
                    }
                }
                // The queue is not locked during the write, so other threads can send meanwhile.
                Taken::Many(mut batch) => {
                    if let Some(deflater) = &mut self.deflater {
                        let before = deflater.work().messages;
                        let rewritten = deflater.rewrite(&batch);
                        compressed += batch.len() + (deflater.work().messages - before) as usize * MESSAGE_COST;
                        queue::recycle(std::mem::replace(&mut batch, rewritten));
                    }
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
                Taken::Flush(flushed) => {
                    if self.unflushed && transport.poll_flush(cx)?.is_pending() {
                        queue.put_back(flushed);
                        return self.blocked(transport, cx);
                    }
                    self.unflushed = false;
                    let _ = flushed.set(());
                }
            }
        }
    }

    /// Flushes the written bytes. Ready when nothing is held back.
    fn flush<T: Transport>(&mut self, transport: &T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            if transport.poll_flush(cx)?.is_pending() {
                return self.blocked(transport, cx);
            }
            self.unflushed = false;
        }
        self.unblock();
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

    /// Notes that the socket has taken bytes, which ends the write timeout.
    fn progress(&mut self) {
        self.unflushed = true;
        self.unblock();
    }

    fn unblock(&mut self) {
        if self.blocked.take().is_some() {
            self.progressed = true;
        }
    }

    /// Whether bytes wait for room in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Whether a blocked write has made progress since the last call. Then the peer is alive: the
    /// socket had no room before the peer's system took bytes.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Pending while the socket takes nothing, until the write timeout.
    ///
    /// The kernel wakes a writer only when a third of its buffer is free. A slow link needs longer
    /// for that than the timeout. So each step looks at the unacknowledged bytes, and the timeout
    /// starts again if there is progress.
    fn blocked<T: Transport>(&mut self, transport: &T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.timeout / STEPS;
        let blocked = self
            .blocked
            .get_or_insert_with(|| Box::new(Blocked { timer: Box::pin(sleep(step)), idle: 0, unacknowledged: None }));
        loop {
            ready!(blocked.timer.as_mut().poll(cx));
            let is_alive = Unacknowledged::note(&mut blocked.unacknowledged, transport.unacknowledged());
            self.progressed |= is_alive;
            blocked.idle = if is_alive { 0 } else { blocked.idle + 1 };
            let next = match blocked.idle {
                ..STEPS => step,
                STEPS => LAST_LOOK,
                _ => {
                    let why = format!("the peer has taken nothing for {:?}", self.timeout);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
                }
            };
            blocked.timer.set(sleep(next));
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        connection::queue::{BATCH, Bound, Budget},
        wire::{data_message::Received, violation::ReadError},
    };
    use std::{collections::VecDeque, future::poll_fn, sync::Mutex, task::Waker};
    use tokio::time::Instant;

    /// A socket that takes this many bytes of each write; `None` is a write that has to wait. After
    /// the list it takes everything.
    struct Socket {
        takes: Mutex<VecDeque<Option<usize>>>,
        /// The number of unacknowledged bytes at each call; unknown after the list.
        unacknowledged: Mutex<VecDeque<u32>>,
        written: Mutex<Vec<u8>>,
        /// The number of calls for which a flush has to wait.
        slow_flushes: Mutex<u32>,
    }

    impl Socket {
        fn new(takes: impl Into<VecDeque<Option<usize>>>) -> Self {
            Self {
                takes: Mutex::new(takes.into()),
                unacknowledged: Mutex::default(),
                written: Mutex::default(),
                slow_flushes: Mutex::default(),
            }
        }
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
            let mut slow = self.slow_flushes.lock().unwrap();
            if *slow > 0 {
                *slow -= 1;
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }

        fn poll_received(&self, _: &Queue, _: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
            unreachable!("a writer does not read")
        }

        fn shrink(&self) {}

        fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            unreachable!("a writer does not close")
        }

        fn unacknowledged(&self) -> Option<Unacknowledged> {
            let bytes = self.unacknowledged.lock().unwrap().pop_front()?;
            Some(Unacknowledged { bytes, ..Unacknowledged::default() })
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
                    let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX }, Budget::default());
                    let mut expected = Vec::new();
                    for (name, length) in (b'a'..).zip(lengths) {
                        expected.extend(vec![name; *length]);
                        queue.try_push(vec![name; *length].into()).unwrap();
                    }
                    let socket = Socket::new([first, second, first]);
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

    fn queue_with(frames: &[Bytes]) -> Queue {
        let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX }, Budget::default());
        frames.iter().for_each(|frame| queue.try_push(frame.clone()).unwrap());
        queue
    }

    fn poll(writer: &mut Writer, socket: &Socket, queue: &Queue) -> Poll<io::Result<()>> {
        writer.poll(socket, queue, &mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_write_that_goes_on_is_progress() {
        let (frame, mut writer) = (Bytes::from_static(b"message"), Writer::new(Duration::from_secs(10)));
        let queue = queue_with(&[frame]);
        let socket = Socket::new([Some(3), None, Some(4)]);
        assert!(poll(&mut writer, &socket, &queue).is_pending());
        assert!(writer.is_blocked() && !writer.take_progress(), "the first bytes did not wait");
        assert!(poll(&mut writer, &socket, &queue).is_ready());
        assert!(!writer.is_blocked() && writer.take_progress());
        assert!(!writer.take_progress(), "it was taken");
        // Many frames in one write.
        for _ in 0..2 {
            queue.try_push(Bytes::from_static(b"more")).unwrap();
        }
        let socket = Socket::new([None, None, Some(8)]);
        assert!(poll(&mut writer, &socket, &queue).is_pending());
        assert!(writer.is_blocked());
        assert!(poll(&mut writer, &socket, &queue).is_ready());
        assert!(!writer.is_blocked() && writer.take_progress());
    }

    /// Row Z5: a socket that takes everything does not keep the thread while a long queue is
    /// compressed.
    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn compression_ends_its_turn() {
        use crate::wire::{
            deflate::{Agreed, Stream},
            header::{MARK, Opcode},
            role::Role,
            write,
        };
        let stream = Stream { window_bits: 15, keeps_context: true, level: 6 };
        let agreed = Agreed { own: Some(stream), peer: stream, min_size: 0 };
        for (length, frames, turns) in [(1000, 10, 1), (MAX_COMPRESSED, 1, 2), (MAX_COMPRESSED, 3, 4), (2000, 300, 5)] {
            let mut frame = write::frame(Opcode::TEXT, Role::Server, &vec![b'x'; length]).to_vec();
            frame[0] |= MARK;
            let queue = Queue::new(Bound { messages: frames, bytes: usize::MAX }, Budget::default());
            (0..frames).for_each(|_| queue.try_push(frame.clone().into()).unwrap());
            let deflater = Deflater::new(agreed, Role::Server);
            let (socket, mut writer) = (Socket::new([]), Writer::new(Duration::from_secs(10)).deflating(deflater));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                writer.poll(&socket, &queue, cx)
            })
            .await
            .unwrap();
            assert_eq!(polls, turns, "{frames} frames of {length} bytes");
            let work = writer.take_compressed().expect("it has compressed");
            assert_eq!(work.plain_bytes, (frames * length) as u64);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn written_bytes_are_flushed_once() {
        for frames in [1, 2] {
            let queue = queue_with(&vec![Bytes::from_static(b"message"); frames]);
            let (socket, mut writer) = (Socket::new([]), Writer::new(Duration::from_secs(10)));
            *socket.slow_flushes.lock().unwrap() = 2;
            assert!(poll(&mut writer, &socket, &queue).is_pending());
            assert!(writer.is_blocked() && !writer.take_progress());
            assert!(poll(&mut writer, &socket, &queue).is_pending());
            assert!(poll(&mut writer, &socket, &queue).is_ready());
            assert!(!writer.is_blocked() && writer.take_progress());
            *socket.slow_flushes.lock().unwrap() = 1;
            assert!(poll(&mut writer, &socket, &queue).is_ready(), "nothing is held back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_takes_too_long_is_a_timeout() {
        let (queue, socket) = (queue_with(&[Bytes::from_static(b"message")]), Socket::new([]));
        *socket.slow_flushes.lock().unwrap() = u32::MAX;
        let (start, mut writer) = (Instant::now(), Writer::new(Duration::from_secs(10)));
        let error = poll_fn(|cx| writer.poll(&socket, &queue, cx)).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, Duration::from_secs(10) + LAST_LOOK));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_no_bytes_has_failed() {
        let queue = queue_with(&[Bytes::from_static(b"message")]);
        let (socket, mut writer) = (Socket::new([Some(3), Some(0)]), Writer::new(Duration::from_secs(10)));
        let Poll::Ready(Err(error)) = poll(&mut writer, &socket, &queue) else { panic!("the write went on") };
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[tokio::test(start_paused = true)]
    async fn a_written_frame_frees_its_memory() {
        let owner: std::sync::Arc<[u8]> = b"message"[..].into();
        let queue = queue_with(&[Bytes::from_owner(owner.clone())]);
        let (socket, mut writer) = (Socket::new([Some(3), None]), Writer::new(Duration::from_secs(10)));
        assert!(poll(&mut writer, &socket, &queue).is_pending());
        assert_eq!(std::sync::Arc::strong_count(&owner), 2);
        assert!(poll(&mut writer, &socket, &queue).is_ready());
        assert_eq!(std::sync::Arc::strong_count(&owner), 1);
    }

    /// Row K25: a TLS stream can hold bytes back that it has taken.
    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_the_bytes_that_a_stream_holds_back() {
        let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX }, Budget::default());
        let push = |frame: &'static [u8]| queue.try_push(Bytes::from_static(frame)).unwrap();
        push(b"before");
        let flushed = queue.flush().unwrap();
        push(b"after");
        let socket = Socket { slow_flushes: Mutex::new(2), ..Socket::new([Some(2), None]) };
        let mut writer = Writer::new(Duration::from_secs(10));
        let mut steps = Vec::new();
        for _ in 0..4 {
            let polled = writer.poll(&socket, &queue, &mut Context::from_waker(Waker::noop()));
            steps.push((socket.written.lock().unwrap().len(), flushed.initialized(), polled.is_ready()));
        }
        assert_eq!(steps, [(2, false, false), (6, false, false), (6, false, false), (11, true, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_the_peer_acknowledges_are_progress() {
        let (queue, timeout) = (queue_with(&[Bytes::from_static(b"message")]), Duration::from_secs(10));
        let socket = Socket { unacknowledged: Mutex::new([9, 9, 8].into()), ..Socket::new([None; 4]) };
        let (mut writer, mut progress) = (Writer::new(timeout), Vec::new());
        for _ in 0..4 {
            assert!(poll(&mut writer, &socket, &queue).is_pending());
            progress.push(writer.take_progress());
            tokio::time::advance(timeout / STEPS).await;
        }
        assert_eq!(progress, [false, false, false, true]);
    }

    /// Returns the time until the write timeout of a socket that takes nothing.
    async fn time_to_timeout(unacknowledged: &[u32]) -> Duration {
        let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX }, Budget::default());
        queue.try_push(Bytes::from_static(b"message")).unwrap();
        let socket =
            Socket { unacknowledged: Mutex::new(unacknowledged.to_vec().into()), ..Socket::new(vec![None; 100]) };
        let (start, mut writer) = (Instant::now(), Writer::new(Duration::from_secs(10)));
        let error = poll_fn(|cx| writer.poll(&socket, &queue, cx)).await.unwrap_err();
        assert_eq!(error.to_string(), "the peer has taken nothing for 10s");
        start.elapsed()
    }

    /// Row V1: the write timeout, and what a slow link may do.
    #[tokio::test(start_paused = true)]
    async fn a_link_that_takes_bytes_within_the_timeout_is_not_cut() {
        const TIMEOUT: Duration = Duration::from_secs(10);
        assert_eq!(time_to_timeout(&[]).await, TIMEOUT + LAST_LOOK, "the number is not known");
        assert_eq!(time_to_timeout(&[9; 9]).await, TIMEOUT + LAST_LOOK);
        assert_eq!(time_to_timeout(&[9, 9, 9, 8, 8, 8, 8, 8]).await, 2 * TIMEOUT + LAST_LOOK);
        assert_eq!(time_to_timeout(&[9, 9, 9, 9, 8]).await, 2 * (TIMEOUT + LAST_LOOK), "at the last look");
        assert_eq!(time_to_timeout(&[7, 8, 9, 10, 11]).await, TIMEOUT + LAST_LOOK, "more is not progress");
    }
}
