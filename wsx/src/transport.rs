//! What the connection's task needs of a socket: messages in, finished frames out, an end.
//!
//! There are two: bytes, whose frames tungstenite's `WebSocketContext` reads, and a `WebSocketStream` that the user
//! brings. Reading and writing are two futures in one task. Each needs the socket only for the length of one poll, so
//! it sits in a mutex that nobody ever waits for (a `RefCell` would do, but make the task `!Send`).
use crate::{config::Config, queue::Queue};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role, WebSocketConfig, WebSocketContext,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// How much one read asks for, in bytes: the buffer is the thread's, so its size costs no connection anything.
const READ: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A socket, as one task uses it.
pub(crate) trait Transport: Send + Sync {
    /// What the reading future keeps between two messages.
    type Reader: Send;

    /// Called once.
    fn reader(&self) -> Self::Reader;

    /// The next message. Control frames that answer the peer go into `queue`, ahead of its data.
    fn poll_message(
        &self,
        reader: &mut Self::Reader,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message, tungstenite::Error>>;

    /// Writes a part of `frames`, which begin with a header or with what the last call left.
    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// No more is written: FIN.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether anything has come in since this was last asked.
    fn heard(&self) -> bool;

    /// Reads and drops; 0 is the peer's FIN.
    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

/// A stream of bytes behind a finished handshake.
pub(crate) struct Raw<S> {
    socket: Mutex<S>,
    role: Role,
    limits: WebSocketConfig,
    /// What came right behind the handshake.
    early: Mutex<Vec<u8>>,
    heard: AtomicBool,
}

impl<S> Raw<S> {
    pub(crate) fn new(socket: S, role: Role, early: Vec<u8>, config: &Config) -> Self {
        // tungstenite's defaults cost 135 KB a connection, and let a peer that pings without reading fill the memory.
        // Each connection keeps the read buffer, so it is small: what one read brings beyond it waits in the thread's. The
        // write buffer holds control frames only.
        let limits = WebSocketConfig::default()
            .read_buffer_size(512)
            .write_buffer_size(0)
            .max_write_buffer_size(512)
            .max_message_size(Some(config.max_message_size))
            .max_frame_size(Some(config.max_message_size));
        Self { socket: Mutex::new(socket), role, limits, early: Mutex::new(early), heard: AtomicBool::new(false) }
    }
}

/// What the reading future of [`Raw`] owns.
pub(crate) struct RawReader {
    context: WebSocketContext,
    /// Bytes of the last read that tungstenite has not taken yet.
    left: Vec<u8>,
    at: usize,
    /// tungstenite has written since we last looked.
    wrote: bool,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Raw<S> {
    type Reader = RawReader;

    fn reader(&self) -> RawReader {
        let early = std::mem::take(&mut *lock(&self.early));
        let context = WebSocketContext::from_partially_read(early, self.role, Some(self.limits));
        RawReader { context, left: Vec::new(), at: 0, wrote: false }
    }

    fn poll_message(
        &self,
        reader: &mut RawReader,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message, tungstenite::Error>> {
        let RawReader { context, left, at, wrote } = reader;
        let mut polled = Polled { socket: &self.socket, heard: &self.heard, queue, left, at, wrote, cx };
        match context.read(&mut polled) {
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                // When its write buffer is full, tungstenite puts the newest pong aside, and a flush that empties the
                // buffer leaves that pong there. Nothing would wake us for it, so flush until nothing comes.
                while std::mem::take(polled.wrote) {
                    // A refusal means that enough control frames wait, and then this one is no loss.
                    let _ = context.flush(&mut polled);
                }
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.socket)).poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.socket)).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.socket)).poll_shutdown(cx)
    }

    fn heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_into(&self.socket, cx, <[u8]>::len)
    }
}

/// One read into the thread's buffer.
fn poll_into<S: AsyncRead + Unpin, T>(
    socket: &Mutex<S>,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    // Taken, not borrowed: `S` is the user's and may run anything inside its `poll_read`.
    let mut scratch = READ_BUFFER.take();
    scratch.resize(READ, 0);
    let mut buffer = ReadBuf::new(&mut scratch);
    let polled = Pin::new(&mut *lock(socket)).poll_read(cx, &mut buffer);
    let result = polled.map_ok(|()| take(buffer.filled()));
    READ_BUFFER.set(scratch);
    result
}

/// The socket as tungstenite sees it during one poll: bytes in from the socket, its own frames out to the queue. The
/// task's context goes along through tungstenite's calls, so no proxy wakers are needed.
struct Polled<'p, 'w, S> {
    socket: &'p Mutex<S>,
    heard: &'p AtomicBool,
    queue: &'p Queue,
    left: &'p mut Vec<u8>,
    at: &'p mut usize,
    wrote: &'p mut bool,
    cx: &'p mut Context<'w>,
}

impl<S: AsyncRead + Unpin> io::Read for Polled<'_, '_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if *self.at < self.left.len() {
            let rest = &self.left[*self.at..];
            let n = out.len().min(rest.len());
            out[..n].copy_from_slice(&rest[..n]);
            *self.at += n;
            if *self.at == self.left.len() {
                // The buffer goes back to the thread: an idle connection keeps none.
                let mut spare = std::mem::take(self.left);
                spare.clear();
                SPARE_BUFFER.set(spare);
                *self.at = 0;
            }
            return Ok(n);
        }
        let left = &mut *self.left;
        let polled = poll_into(self.socket, self.cx, |got| {
            let n = out.len().min(got.len());
            out[..n].copy_from_slice(&got[..n]);
            if n < got.len() {
                *left = SPARE_BUFFER.take();
                left.extend_from_slice(&got[n..]);
            }
            n
        });
        match polled {
            Poll::Ready(result) => {
                self.heard.store(true, Ordering::Relaxed);
                result
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> io::Write for Polled<'_, '_, S> {
    /// tungstenite writes whole frames, so its pongs can stand in the queue between ours.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        if !self.queue.push_control(frame) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *self.wrote = true;
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that tokio-tungstenite made. It alone knows its role and what it has read ahead, so it stays whole; the
/// limits on what it reads are those that it was made with.
pub(crate) struct Brought<S>(Mutex<WebSocketStream<S>>, AtomicBool);

impl<S> Brought<S> {
    pub(crate) fn new(stream: WebSocketStream<S>) -> Self {
        Self(Mutex::new(stream), AtomicBool::new(false))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Brought<S> {
    type Reader = ();

    fn reader(&self) {}

    fn poll_message(&self, (): &mut (), _: &Queue, cx: &mut Context<'_>) -> Poll<Result<Message, tungstenite::Error>> {
        let next = ready!(Pin::new(&mut *lock(&self.0)).poll_next(cx));
        self.1.store(true, Ordering::Relaxed);
        Poll::Ready(next.unwrap_or(Err(tungstenite::Error::ConnectionClosed)))
    }

    /// Takes whole frames apart again, as this stream makes its own headers and masks. All or nothing of a frame.
    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.0);
        ready!(Pin::new(&mut *stream).poll_ready(cx)).map_err(io_error)?;
        let (message, length) = parse(frames);
        match Pin::new(&mut *stream).start_send(message) {
            // This stream answers the peer's close frame by itself, and takes nothing behind its answer.
            Ok(()) | Err(tungstenite::Error::Protocol(ProtocolError::SendAfterClosing)) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(lock(&self.0).get_mut()).poll_shutdown(cx)
    }

    fn heard(&self) -> bool {
        self.1.swap(false, Ordering::Relaxed)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.0);
        let mut sink = [0; 1024];
        let mut buffer = ReadBuf::new(&mut sink);
        ready!(Pin::new(stream.get_mut()).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// A frame of our own making, unmasked and whole, and its length.
fn parse(frames: &[u8]) -> (Message, usize) {
    let (length, start) = match frames[1] {
        126 => (usize::from(u16::from_be_bytes([frames[2], frames[3]])), 4),
        127 => {
            let length: [u8; 8] = frames[2..10].try_into().expect("eight bytes");
            (usize::try_from(u64::from_be_bytes(length)).expect("it was in memory"), 10)
        }
        length => (usize::from(length), 2),
    };
    let payload = Bytes::copy_from_slice(&frames[start..start + length]);
    let message = match frames[0] & 0x0f {
        1 => Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), true)),
        2 => Message::Binary(payload),
        8 => Message::Close(payload.split_first_chunk().map(|(code, reason)| CloseFrame {
            code: u16::from_be_bytes(*code).into(),
            reason: String::from_utf8_lossy(reason).as_ref().into(),
        })),
        _ => Message::Ping(payload),
    };
    (message, start + length)
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

/// A stream that panicked ends its connection anyway.
fn lock<T>(socket: &Mutex<T>) -> MutexGuard<'_, T> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads and drops until the peer's FIN, but no more than `most` bytes.
pub(crate) fn discard<T: Transport>(transport: &T, most: usize) -> impl Future<Output = ()> + Send + '_ {
    let mut dropped = 0;
    std::future::poll_fn(move |cx| {
        while dropped < most {
            match ready!(transport.poll_discard(cx)) {
                Ok(0) | Err(_) => break,
                Ok(n) => dropped += n,
            }
        }
        Poll::Ready(())
    })
}
