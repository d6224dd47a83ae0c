//! The input of one connection does not keep other connections waiting: row R5 of the
//! specification.
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsx::Hub;
use wsx_tests::{handshake::upgrade, within};

/// A stream with a request, then endless frames, as fast as they are read. It accepts all writes.
struct Endless {
    asked: bool,
    started: bool,
    /// The first frame, and the frame that is repeated.
    frames: (&'static [u8], &'static [u8]),
    reads: Reads,
    turns: Arc<AtomicUsize>,
}

/// Counts the reads between two turns of the other task.
#[derive(Default)]
struct Reads {
    turn: usize,
    since: usize,
    most: usize,
    all: usize,
}

impl AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.asked, true) {
            out.put_slice(upgrade("/ws", "").as_bytes());
            return Poll::Ready(Ok(()));
        }
        let (turn, reads) = (this.turns.load(Ordering::Relaxed), &mut this.reads);
        reads.since = if turn == reads.turn { reads.since + 1 } else { 1 };
        (reads.turn, reads.most, reads.all) = (turn, reads.most.max(reads.since), reads.all + 1);
        // Fifty reads are enough.
        if reads.all == 50 {
            assert!(reads.most <= 2, "{} reads in one turn, of {:?}", reads.most, this.frames.1);
            return Poll::Ready(Ok(()));
        }
        let (first, next) = this.frames;
        if !std::mem::replace(&mut this.started, true) {
            out.put_slice(first);
        }
        while out.remaining() >= next.len() {
            out.put_slice(next);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A task that is always ready, like a busy neighbour, and counts its turns.
async fn neighbour(turns: Arc<AtomicUsize>) {
    poll_fn::<(), _>(|cx| {
        turns.fetch_add(1, Ordering::Relaxed);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Row R5: between two turns of other tasks a connection reads only a bounded amount, of any kind:
/// endless fragments, control frames, messages.
#[tokio::test]
async fn input_without_an_end_leaves_the_others_their_turns() {
    let nothing: &[u8] = b"";
    for frames in [
        (&b"\x01\x80\0\0\0\0"[..], &b"\x00\x80\0\0\0\0"[..]),
        (nothing, b"\x89\x80\0\0\0\0"),
        (nothing, b"\x8a\x80\0\0\0\0"),
        (nothing, b"\x82\x80\0\0\0\0"),
        (nothing, b"\x82\x8a\0\0\0\x000123456789"),
    ] {
        let turns = Arc::new(AtomicUsize::new(0));
        let neighbour = tokio::spawn(neighbour(turns.clone()));
        let hub = Hub::builder().without_handlers().build().unwrap();
        let handler = hub.ws_handler(wsx::unique_id, |_| {});
        let stream = Endless { asked: false, started: false, frames, reads: Reads::default(), turns };
        let conn = within(handler.serve_connection(stream, None)).await.unwrap();
        // The stream panics after too many reads in one turn. Otherwise it ends.
        let closed = within(conn.closed()).await;
        assert_eq!(u16::from(closed.code), 1006, "{closed}");
        neighbour.abort();
    }
}
