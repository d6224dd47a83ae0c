//! The socket, as the task of a connection uses it: it receives messages, takes finished frames,
//! and ends.
//!
//! There are two kinds: a stream of bytes, and a `WebSocketStream` of the application. The task
//! reads and writes in two futures, and each needs the socket only during a poll. So the socket is
//! in a mutex that is never contended. A `RefCell` would make the task `!Send`.
#[cfg(target_os = "linux")]
mod sock_diag;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod tungstenite;
pub(crate) mod unacknowledged;

use crate::{
    connection::queue::Queue,
    task::transport::unacknowledged::Unacknowledged,
    wire::{data_message::Received, deflate::Compression, violation::ReadError},
};
use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// The socket of one task.
pub(crate) trait Transport: Send + Sync {
    /// Whether the stream answers the peer's close frame by itself, and writes nothing after that.
    const ANSWERS_CLOSE: bool = false;

    /// Returns the next message or control frame of the peer. Control frames that answer it go into
    /// `queue`.
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>>;

    /// Frees memory, because the reader waits for the peer or for a handler, or is done.
    fn shrink(&self);

    /// Writes a part of `frames`. They start with a header, or with the rest that the last call did
    /// not write.
    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Writes the bytes that the stream holds back, such as TLS.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the output of the socket with a FIN.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes were received since the last call.
    fn take_received(&self) -> bool;

    /// Whether the peer is held back by its limit, so that its silence says nothing.
    fn is_held_back(&self) -> bool {
        false
    }

    /// Whether a report is due that the peer is held back by its limit. This is `true` once for a
    /// report.
    fn take_held_back(&self) -> bool {
        false
    }

    /// Returns what was inflated since the last call, if there was anything.
    fn take_inflated(&self) -> Option<Compression> {
        None
    }

    /// Returns what the peer's kernel has not acknowledged, if that is known. It costs a few system
    /// calls.
    fn unacknowledged(&self) -> Option<Unacknowledged>;

    /// Reads and drops bytes. Returns their number; 0 is the peer's FIN.
    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

fn poll_read<S: AsyncRead + Unpin>(socket: &mut S, into: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Ignores the poison: a stream that panics ends its connection anyway.
fn lock<T>(socket: &Mutex<T>) -> MutexGuard<'_, T> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}
