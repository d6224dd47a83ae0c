//! A stream in memory that gives what the fuzzer made up, piece by piece, and keeps what is written to it; and a clock that
//! makes every deadline pass at once when nothing else is to be done.
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
    time::timeout,
};

/// How much a stream takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Everything,
    /// So many bytes, and nothing every other time.
    Little(usize),
    /// So many bytes in all, and then nothing more.
    UpTo(usize),
}

/// Both a stream, and the peer behind it. Clones are one stream.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<State>>);

struct State {
    pieces: VecDeque<Vec<u8>>,
    /// No more pieces come: FIN.
    over: bool,
    reader: Option<Waker>,
    takes: Takes,
    written: Vec<u8>,
    /// The next call is told to come again, so that pieces come one by one.
    pause: bool,
    blocked: bool,
}

impl Wire {
    pub(crate) fn new(pieces: Vec<Vec<u8>>, takes: Takes) -> Self {
        Self(Arc::new(Mutex::new(State {
            // An empty one would look like the end.
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            over: false,
            reader: None,
            takes,
            written: Vec::new(),
            pause: true,
            blocked: true,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }

    /// The peer sends this.
    pub(crate) fn send(&self, piece: Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        let mut state = self.state();
        state.pieces.push_back(piece);
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// The peer sends no more.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.over = true;
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// What was written to the peer.
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
                    // Nobody wakes it: a deadline must.
                    return Poll::Pending;
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
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("it needs nothing of the system");
}

/// Runs to the end, within so long on the paused clock.
///
/// # Panics
///
/// When it takes longer: something waits for ever.
pub(crate) fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            timeout(limit, future).await.unwrap_or_else(|_| panic!("it has not ended in {limit:?}"))
        })
    })
}

/// Panics when it makes more than `most` bytes live at a time.
pub(crate) fn bounded<T>(most: usize, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(run()));
    assert!(info.bytes_max <= most as u64, "{} bytes were live, and at most {most} may be", info.bytes_max);
    result.expect("it has run")
}
