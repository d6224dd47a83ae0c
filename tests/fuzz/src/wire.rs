//! A stream in memory that delivers the fuzzer's bytes piece by piece and records what is written
//! to it, and a clock on which every deadline passes at once when there is nothing else to do.
use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    time::{Instant, timeout},
};

/// How many bytes a stream accepts at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Everything,
    /// At most this many bytes, and nothing every other time.
    Little(usize),
    /// This many bytes in all, and then nothing until [`Wire::take`].
    UpTo(usize),
}

/// A stream, and the peer at its other end. Clones are the same stream.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<State>>);

struct State {
    pieces: VecDeque<Vec<u8>>,
    /// Whether there are no more pieces, as after a FIN.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    takes: Takes,
    written: Vec<u8>,
    /// Whether the next read is pending, so that pieces arrive one by one.
    pause: bool,
    blocked: bool,
    /// Since when a write waits until the peer takes more.
    waiting: Option<Instant>,
    /// The last time when such a write went on.
    progress: Option<Instant>,
}

impl Wire {
    pub(crate) fn new(pieces: Vec<Vec<u8>>, takes: Takes) -> Self {
        Self(Arc::new(Mutex::new(State {
            // An empty piece would look like the end of the stream.
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            over: false,
            reader: None,
            writer: None,
            takes,
            written: Vec::new(),
            pause: true,
            blocked: true,
            waiting: None,
            progress: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }

    /// Sends this as the peer.
    pub(crate) fn send(&self, piece: Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        let mut state = self.state();
        state.pieces.push_back(piece);
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Ends the peer's bytes.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.over = true;
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Lets the peer take this many bytes more.
    pub(crate) fn take(&self, more: usize) {
        let mut state = self.state();
        if let Takes::UpTo(most) = &mut state.takes {
            *most += more;
        }
        state.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Returns since when a write waits until the peer takes more, if one does.
    pub(crate) fn waiting(&self) -> Option<Instant> {
        self.state().waiting
    }

    /// Returns the last time when a write that waited went on.
    pub(crate) fn progress(&self) -> Option<Instant> {
        self.state().progress
    }

    /// Returns the number of bytes from the peer that were not read.
    pub(crate) fn unread(&self) -> usize {
        self.state().pieces.iter().map(Vec::len).sum()
    }

    /// Returns what was written to the peer.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.state().written.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let Some(mut piece) = state.pieces.pop_front() else {
            if state.over {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.pause = !state.pause;
        if !state.pause {
            state.pieces.push_front(piece);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = piece.len().min(out.remaining());
        out.put_slice(&piece[..most]);
        if most < piece.len() {
            state.pieces.push_front(piece.split_off(most));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let most = match state.takes {
            Takes::Everything => bytes.len(),
            Takes::Little(most) => {
                state.blocked = !state.blocked;
                if !state.blocked {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                most.min(bytes.len())
            }
            Takes::UpTo(most) => {
                let most = most.saturating_sub(state.written.len()).min(bytes.len());
                if most == 0 {
                    // Only `take` wakes this write, or a deadline.
                    state.writer = Some(cx.waker().clone());
                    state.waiting.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                if state.waiting.take().is_some() {
                    state.progress = Some(Instant::now());
                }
                most
            }
        };
        state.written.extend_from_slice(&bytes[..most]);
        Poll::Ready(Ok(most))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("the runtime needs no resources of the system");
}

/// Runs the future, with a time limit on the paused clock.
///
/// # Panics
///
/// When the time limit expires: the future waits for ever.
pub(crate) fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            timeout(limit, future).await.unwrap_or_else(|_| panic!("the future is still waiting after {limit:?}"))
        })
    })
}

/// Panics when the function has more than `most` bytes allocated at a time.
pub(crate) fn bounded<T>(most: usize, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(run()));
    assert!(info.bytes_max <= most as u64, "{} bytes were allocated at a time, more than {most}", info.bytes_max);
    result.expect("the function has run")
}
