//! The second half of a task: closes the socket, and gives a running handler its time. It does not
//! decide why the connection ends.
use crate::{
    closed::{Closed, ClosedBy},
    config::Config,
    connection::handle::Intake,
    task::{Task, deadline::Deadline, progress::Handling, transport::Transport},
    wire::write,
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a peer may send nothing after our FIN and before its own. A socket that is dropped with
/// unread input sends a reset, which can overtake the close frame.
const LINGER: Duration = Duration::from_secs(1);
/// After this many reads of dropped input, the other connections of the thread get a turn.
const MAX_DISCARDS: u32 = 16;

impl<T: Transport, F: Future<Output = ()>> Task<'_, T, F> {
    /// Closes the socket, and gives a running handler and waiting messages their time. Then a
    /// handler that still runs is dropped at its next await.
    pub(super) async fn end(&mut self, closed: &Closed, config: &Config, kill: &CancellationToken) {
        tokio::select! {
            // In this order, so that frames which the socket takes at once are written, even if
            // the wait has already ended.
            biased;
            () = async {
                if closed.by != ClosedBy::Link {
                    // A broken link ends the close, but not the handlers.
                    let _ = self.close(closed, config.close_timeout / 4, kill).await;
                }
                if !self.reader_done {
                    // Nothing can be sent any more.
                    self.conn.queue().close();
                    self.conn.set_closed(closed.clone());
                }
                poll_fn(|cx| {
                    self.poll_reader(cx);
                    if self.reader_done || self.progress.handling() == Handling::Idle && self.progress.end().is_none() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            } => {}
            () = Deadline::after(config.close_timeout) => {}
            () = kill.cancelled() => {}
        }
        self.progress.cut();
        self.waker.wake_by_ref();
        poll_fn(|cx| {
            self.poll_reader(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Writes the queued frames and our close frame, waits for the peer's close frame, and ends the
    /// stream.
    ///
    /// It waits for the reply of the running handler before the close frame, for at most
    /// `reply_grace`. In a shutdown, that is not longer than the grace period of the shutdown.
    async fn close(&mut self, closed: &Closed, reply_grace: Duration, kill: &CancellationToken) -> io::Result<()> {
        // Until the peer has closed, its messages are still read. The intake of the connection
        // decides whether they are handled.
        if self.conn.intake() != Intake::Shut {
            let mut grace_over = pin!(timeout(reply_grace, kill.cancelled()));
            let mut waiting = true;
            poll_fn(|cx| {
                let written = self.poll_closing(cx)?;
                waiting = waiting && grace_over.as_mut().poll(cx).is_pending();
                if waiting && self.owes_reply() { Poll::Pending } else { written.map(Ok::<_, io::Error>) }
            })
            .await?;
            // Nothing may follow the close frame.
            self.conn.queue().close();
        }
        poll_fn(|cx| self.poll_closing(cx)).await?;
        // The answer to a close frame carries the same code (RFC 6455 section 5.5.1).
        self.writer.rest = write::close_frame(self.conn.role(), closed.code, &closed.reason);
        poll_fn(|cx| self.poll_closing(cx)).await?;
        poll_fn(|cx| {
            self.poll_reader(cx);
            if self.progress.end().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        poll_fn(|cx| self.transport.poll_shutdown(cx)).await?;
        self.linger().await;
        Ok(())
    }

    /// Whether a reply has to be waited for: that of the running handler, or after the peer's close
    /// also those of the messages that wait.
    fn owes_reply(&self) -> bool {
        match self.progress.end() {
            Some(_) => !self.reader_done,
            None => self.progress.handling() == Handling::ReplyOwed,
        }
    }

    /// As [`poll`](Self::poll). After the end of reading, it drops the input. A peer that writes a
    /// long message reads our close frame only after that.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.end().is_some() {
            let _ = self.poll_discard(&mut false, cx);
        }
        self.poll(cx)
    }

    /// Reads and drops input. Ready at the peer's FIN. `dropped` is set if there was input.
    fn poll_discard(&mut self, dropped: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_DISCARDS {
            match ready!(self.transport.poll_discard(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => *dropped = true,
            }
        }
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// Reads and drops input until the peer's FIN, or until the peer sends nothing for [`LINGER`].
    async fn linger(&mut self) {
        let mut silence = pin!(sleep(LINGER));
        poll_fn(|cx| {
            let mut dropped = false;
            if self.poll_discard(&mut dropped, cx).is_ready() {
                return Poll::Ready(());
            }
            if dropped {
                silence.set(sleep(LINGER));
            }
            silence.as_mut().poll(cx)
        })
        .await;
    }
}
