//! The transport of a hub and a client: a stream of bytes, which `wire` turns into frames and back.
use crate::{
    config::Config,
    connection::queue::Queue,
    task::transport::{Transport, lock, poll_read, tcp},
    wire::{
        data_message::Received,
        read::{Link, Reader},
        read_buffer::poll_with_buffer,
        violation::ReadError,
    },
};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::yield_now,
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// After this many reads without a complete message or control frame, the other connections of the
/// thread get a turn.
///
/// 128 KB of tiny fragments take some milliseconds, and a message can have any number of fragments.
const MAX_READS: u32 = 2;

/// A stream of bytes after a finished handshake.
pub(crate) struct SocketTransport<S>(Mutex<Inner<S>>);

struct Inner<S> {
    /// The stream of bytes.
    socket: S,
    /// Turns its bytes into messages, and holds the part of a message that has arrived.
    reader: Reader,
    /// Whether bytes were received since the last `take_received`. The heartbeat needs it.
    received: bool,
    /// Returns the TCP socket below the stream.
    tcp: fn(&S) -> Option<&TcpStream>,
}

impl<S> SocketTransport<S> {
    /// Returns a transport. `early` has the bytes that arrived together with the end of the
    /// handshake.
    pub(crate) fn new(socket: S, role: Role, early: Vec<u8>, config: &Config) -> Self
    where
        S: 'static,
    {
        Self::with_tcp(socket, tcp::of, role, early, config)
    }

    /// As [`new`](Self::new), with a function that returns the TCP socket below the stream.
    pub(crate) fn with_tcp(
        socket: S,
        tcp: fn(&S) -> Option<&TcpStream>,
        role: Role,
        early: Vec<u8>,
        config: &Config,
    ) -> Self {
        Self(Mutex::new(Inner { socket, reader: Reader::new(role, early, config), received: false, tcp }))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for SocketTransport<S> {
    #[inline]
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        let Inner { socket, reader, received, .. } = &mut *lock(&self.0);
        reader.poll(&mut Polled { socket, received, queue, cx, reads: 0 })
    }

    fn shrink(&self) {
        lock(&self.0).reader.shrink();
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

    fn take_received(&self) -> bool {
        std::mem::take(&mut lock(&self.0).received)
    }

    fn unacknowledged(&self) -> Option<u32> {
        let Inner { socket, tcp, .. } = &*lock(&self.0);
        tcp(socket).and_then(tcp::unacknowledged)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let socket = &mut lock(&self.0).socket;
        poll_with_buffer(|into| poll_read(socket, into, cx), <[u8]>::len)
    }
}

/// The socket during one poll, with the context of the task.
struct Polled<'p, 'w, S> {
    socket: &'p mut S,
    received: &'p mut bool,
    queue: &'p Queue,
    cx: &'p mut Context<'w>,
    reads: u32,
}

impl<S: AsyncRead + Unpin> Link for Polled<'_, '_, S> {
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.reads == MAX_READS {
            // One poll of `yield_now` schedules this task after the runtime has polled its sockets.
            // A plain wake would schedule it before, and a thread that always has such tasks polls
            // its sockets only every 61 turns.
            let _ = pin!(yield_now()).poll(self.cx);
            return Poll::Pending;
        }
        self.reads += 1;
        let read = ready!(poll_read(self.socket, into, self.cx));
        *self.received = true;
        Poll::Ready(read)
    }

    fn answer(&mut self, frame: &[u8]) -> bool {
        self.queue.push_control(frame)
    }
}
