//! What the connection's task needs of a socket: messages in, finished frames out, an end.
//!
//! There are two: bytes, which `reader` makes messages of, and a `WebSocketStream` that the user brings. Reading and writing
//! are two futures in one task. Each needs the socket only for the length of one poll, so it sits in a mutex that nobody
//! ever waits for (a `RefCell` would do, but make the task `!Send`).
pub(crate) mod socket;
pub(crate) mod tungstenite;

use crate::{connection::queue::Queue, wire::message::Received};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::Error;

/// A socket, as one task uses it.
pub(crate) trait Transport: Send + Sync {
    /// What the peer sent next. Control frames that answer it go into `queue`, ahead of its data.
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, Error>>;

    /// The reader waits, be it for the peer or for a handler, or is done: it keeps what it needs and no more.
    fn shrink(&self);

    /// Writes a part of `frames`, which begin with a header or with what the last call left.
    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// No more is written: FIN.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether anything has come in since this was last asked.
    fn take_received(&self) -> bool;

    /// Reads and drops; 0 is the peer's FIN.
    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

fn poll_read<S: AsyncRead + Unpin>(socket: &mut S, into: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
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
