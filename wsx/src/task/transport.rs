//! What the connection's task needs of a socket: messages in, finished frames out, an end.
//!
//! There are two: bytes, which `reader` makes messages of, and a `WebSocketStream` that the user brings. Reading and writing
//! are two futures in one task. Each needs the socket only for the length of one poll, so it sits in a mutex that nobody
//! ever waits for (a `RefCell` would do, but make the task `!Send`).
use crate::{
    config::Config,
    connection::queue::Queue,
    wire::reader::{self, Link, Reader, Received},
};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// After so many reads without a whole message or a control frame the other connections of the thread have a turn: 128 KB
/// of tiny fragments take some milliseconds, and a message can have any number of them.
const READS: u32 = 2;

/// A socket, as one task uses it.
pub(crate) trait Transport: Send + Sync {
    /// What the peer sent next. Control frames that answer it go into `queue`, ahead of its data.
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, tungstenite::Error>>;

    /// The reader waits, be it for the peer or for a handler, or is done: it keeps what it needs and no more.
    fn settle(&self);

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
pub(crate) struct Raw<S>(Mutex<Io<S>>);

struct Io<S> {
    socket: S,
    reader: Reader,
    heard: bool,
}

impl<S> Raw<S> {
    /// `early` is what came right behind the handshake.
    pub(crate) fn new(socket: S, role: Role, early: Vec<u8>, config: &Config) -> Self {
        Self(Mutex::new(Io { socket, reader: Reader::new(role, early, config), heard: false }))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Raw<S> {
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, tungstenite::Error>> {
        let Io { socket, reader, heard } = &mut *lock(&self.0);
        reader.poll(&mut Polled { socket, heard, queue, cx, reads: 0 })
    }

    fn settle(&self) {
        lock(&self.0).reader.settle();
    }

    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut lock(&self.0).socket).poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).socket).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).socket).poll_shutdown(cx)
    }

    fn heard(&self) -> bool {
        std::mem::take(&mut lock(&self.0).heard)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let socket = &mut lock(&self.0).socket;
        reader::poll_scratch(|into| poll_read(socket, into, cx), <[u8]>::len)
    }
}

/// The socket during one poll. The task's context goes along through tungstenite's calls, so no proxy wakers are needed.
struct Polled<'p, 'w, S> {
    socket: &'p mut S,
    heard: &'p mut bool,
    queue: &'p Queue,
    cx: &'p mut Context<'w>,
    reads: u32,
}

impl<S: AsyncRead + Unpin> Link for Polled<'_, '_, S> {
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.reads == READS {
            // Polled once, it asks for a turn behind the runtime's next look at its sockets. A plain wake comes before that, and
            // a thread that always has such tasks looks every 61 turns.
            let _ = pin!(yield_now()).poll(self.cx);
            return Poll::Pending;
        }
        self.reads += 1;
        let read = ready!(poll_read(self.socket, into, self.cx));
        *self.heard = true;
        Poll::Ready(read)
    }

    fn answer(&mut self, frame: &[u8]) -> bool {
        self.queue.push_control(frame)
    }
}

fn poll_read<S: AsyncRead + Unpin>(socket: &mut S, into: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
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
    fn poll_received(&self, _: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, tungstenite::Error>> {
        loop {
            let next = ready!(Pin::new(&mut *lock(&self.0)).poll_next(cx));
            self.1.store(true, Ordering::Relaxed);
            let message = next.unwrap_or(Err(tungstenite::Error::ConnectionClosed))?;
            if let Some(received) = Received::of(message) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// What this stream keeps is its own to say.
    fn settle(&self) {}

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
        reader::poll_scratch(|into| poll_read(stream.get_mut(), into, cx), <[u8]>::len)
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
