//! The second half of a task: closes the socket, and gives a running handler its time. It does not
//! decide why the connection ends.
use crate::{
    closed::Closed,
    config::Config,
    connection::{handle::Intake, requests::Writes},
    task::{Task, deadline::Deadline, progress::Handling, transport::Transport},
    wire::{close_code::CloseCode, write},
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
                if closed.code != CloseCode::ABNORMAL {
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
                    if self.reader_done || self.is_idle() && self.progress.end().is_none() {
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
        // Nothing is read or written any more.
        self.conn.end_requests(closed, Writes::Over);
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
            self.conn.conclude_delivery();
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
            None => self.progress.handling() == Handling::ReplyOwed || self.progress.owes_beside(),
        }
    }

    /// Whether no handler is running, and no reply waits for room.
    fn is_idle(&self) -> bool {
        self.progress.handling() == Handling::Idle && !self.progress.is_busy_beside()
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

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::ClosedBy,
        connection::closure_handler::by_hand,
        task::{
            deadline::LAST_LOOK,
            running::{ASK, SECOND, start, within},
        },
        wire::close_code::CloseCode,
    };
    use serde::de::IgnoredAny;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    #[tokio::test(start_paused = true)]
    async fn a_running_handler_has_a_quarter_of_the_close_timeout_for_its_reply() {
        for (takes, replies) in [(2499, true), (2501, false)] {
            let mut running = start(Config::default(), Duration::from_millis(takes), 1000);
            let start = Instant::now();
            running.send(0x81, ASK).await;
            // The handler starts.
            yield_now().await;
            running.conn.close_draining(CloseCode::GOING_AWAY, "");
            if replies {
                assert_eq!(running.frame().await.expect("the reply").0, 0x81);
                assert_eq!(start.elapsed(), Duration::from_millis(takes));
            }
            assert_eq!(running.frame().await, Some((0x88, b"\x03\xe9".to_vec())));
            assert_eq!(start.elapsed(), Duration::from_millis(takes.min(2500)));
            running.send(0x88, b"\x03\xe9").await;
            assert_eq!(running.frame().await, None, "nothing follows the close frame");
            drop(running.far);
            within(running.task).await.unwrap();
            assert_eq!(within(running.conn.closed()).await.code, CloseCode::GOING_AWAY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_close_has_the_close_timeout() {
        for kill_after in [None, Some(3 * SECOND)] {
            let mut running = start(Config::default().close_timeout(4 * SECOND), SECOND, 1000);
            yield_now().await;
            let start = Instant::now();
            running.conn.close(CloseCode::NORMAL, String::new());
            assert_eq!(running.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
            if let Some(time) = kill_after {
                sleep(time).await;
                running.kill.cancel();
            }
            within(running.task).await.unwrap();
            assert_eq!(start.elapsed(), kill_after.unwrap_or(4 * SECOND + LAST_LOOK));
            let closed = within(running.conn.closed()).await;
            assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Us));
        }
    }

    /// The peer's FIN is awaited, so that no reset overtakes the close frame.
    #[tokio::test(start_paused = true)]
    async fn a_socket_lingers_until_its_peer_has_been_silent_for_a_second() {
        for (late, lingers) in [(None, SECOND), (Some(900), Duration::from_millis(1900))] {
            let mut running = start(Config::default(), SECOND, 1000);
            running.close().await;
            let start = Instant::now();
            if let Some(late) = late {
                sleep(Duration::from_millis(late)).await;
                running.far.write_all(b"late").await.unwrap();
            }
            within(running.task).await.unwrap();
            assert_eq!(start.elapsed(), lingers);
        }
        let mut running = start(Config::default(), SECOND, 1000);
        running.close().await;
        let start = Instant::now();
        drop(running.far);
        within(running.task).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "the peer's FIN ends it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_close_of_a_peer_is_answered_with_its_code() {
        let mut running = start(Config::default(), SECOND, 1000);
        running.send(0x88, b"\x0f\xa1why").await;
        assert_eq!(running.frame().await, Some((0x88, b"\x0f\xa1why".to_vec())));
        assert_eq!(running.frame().await, None);
        drop(running.far);
        within(running.task).await.unwrap();
        let closed = within(running.conn.closed()).await;
        assert_eq!((u16::from(closed.code), &*closed.reason, closed.by), (4001, "why", ClosedBy::Peer));
    }

    /// After the peer's close, the messages before it are still answered.
    #[tokio::test(start_paused = true)]
    async fn messages_before_the_close_of_a_peer_get_their_replies() {
        let mut running = start(Config::default(), SECOND, 1000);
        for _ in 0..2 {
            running.send(0x81, ASK).await;
        }
        running.send(0x88, b"\x03\xe8").await;
        let start = Instant::now();
        assert_eq!(running.frame().await.expect("a reply").0, 0x81);
        assert!(running.conn.is_closed() && within(running.conn.closed()).await.by == ClosedBy::Peer);
        assert_eq!(running.frame().await.expect("a reply").0, 0x81);
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert_eq!(running.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_does_not_end_is_dropped_after_the_close_timeout() {
        struct Flag(Arc<AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let mut running = start(Config::default().close_timeout(4 * SECOND), SECOND, 1000);
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        running.conn.set_handler(
            "hang".into(),
            by_hand(move |_: IgnoredAny, _| {
                let flag = Flag(flag.clone());
                async move {
                    std::future::pending::<()>().await;
                    drop(flag);
                }
            }),
        );
        running.send(0x81, br#"{"type":"hang"}"#).await;
        yield_now().await;
        let start = Instant::now();
        drop(running.far);
        let closed = within(running.conn.closed()).await;
        assert_eq!((closed.by, start.elapsed()), (ClosedBy::Link, Duration::ZERO), "the end is known at once");
        sleep(4 * SECOND).await;
        assert!(!dropped.load(Ordering::Relaxed));
        within(running.task).await.unwrap();
        assert_eq!(start.elapsed(), 4 * SECOND + LAST_LOOK);
        assert!(dropped.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_input_is_answered_with_its_code() {
        let mut running = start(Config::default(), SECOND, 1000);
        running.send(0x83, b"").await;
        let (first, payload) = running.frame().await.expect("a close frame");
        assert_eq!((first, &payload[..2]), (0x88, &b"\x03\xea"[..]));
        // Input after that is dropped, and does not keep the peer from reading.
        running.far.write_all(&[0; 5000]).await.unwrap();
        drop(running.far);
        within(running.task).await.unwrap();
        assert_eq!(within(running.conn.closed()).await.by, ClosedBy::Us);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_lost_and_one_that_answers_is_not() {
        let mut running = start(Config::default().heartbeat(3 * SECOND, 2 * SECOND), SECOND, 1000);
        yield_now().await;
        let start = Instant::now();
        assert_eq!(running.frame().await, Some((0x89, Vec::new())));
        assert_eq!(start.elapsed(), 3 * SECOND);
        running.send(0x8a, b"").await;
        assert_eq!(running.frame().await, Some((0x89, Vec::new())));
        assert_eq!(start.elapsed(), 6 * SECOND);
        let closed = within(running.conn.closed()).await;
        assert_eq!((closed.by, start.elapsed()), (ClosedBy::Link, 8 * SECOND + LAST_LOOK));
        assert!(closed.reason.contains("ping"), "{closed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_lost() {
        let running = start(Config::default().write_timeout(4 * SECOND), SECOND, 10);
        yield_now().await;
        let start = Instant::now();
        running.conn.try_push(vec![0; 100].into()).unwrap();
        let closed = within(running.conn.closed()).await;
        // One more look at the socket, after the failed write.
        assert_eq!((closed.by, start.elapsed()), (ClosedBy::Link, 4 * SECOND + 2 * LAST_LOOK));
        assert!(closed.reason.contains("taken nothing"), "{closed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_slowly_or_waits_for_a_handler_is_not_silent() {
        let config = Config::default().heartbeat(3 * SECOND, 2 * SECOND).write_timeout(20 * SECOND);
        // The write timeout judges a ping that cannot leave.
        let running = start(config.clone(), SECOND, 10);
        let start_time = Instant::now();
        running.conn.try_push(vec![0; 100].into()).unwrap();
        let closed = within(running.conn.closed()).await;
        assert_eq!((closed.by, start_time.elapsed()), (ClosedBy::Link, 20 * SECOND + 2 * LAST_LOOK));
        // While nothing is read, the bytes of the peer wait in the socket. The last interval begins
        // at 9 seconds, and the handler ends at 10.
        let mut running = start(config.clone().backlog_messages(0), 10 * SECOND, 1000);
        let start_time = Instant::now();
        running.send(0x81, ASK).await;
        let closed = within(running.conn.closed()).await;
        assert_eq!((closed.by, start_time.elapsed()), (ClosedBy::Link, 14 * SECOND + LAST_LOOK));
        // Bytes in both directions at the same time.
        let mut running = start(config, SECOND, 10);
        let start_time = Instant::now();
        running.conn.try_push(vec![0; 15].into()).unwrap();
        sleep(2 * SECOND).await;
        running.send(0x8a, b"").await;
        within(running.far.read_exact(&mut [0; 15])).await.unwrap();
        assert_eq!(running.frame().await, Some((0x89, Vec::new())));
        assert_eq!(start_time.elapsed(), 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_dropped_ends_its_connection() {
        let running = start(Config::default(), SECOND, 1000);
        yield_now().await;
        running.task.abort();
        let closed = within(running.conn.closed()).await;
        assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link));
        assert!(running.conn.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_handler_of_the_close_runs_within_the_close_timeout() {
        for (takes, took) in [(2 * SECOND, 2 * SECOND), (60 * SECOND, 4 * SECOND + LAST_LOOK)] {
            let running = start(Config::default().close_timeout(4 * SECOND), SECOND, 1000);
            let seen = Arc::new(std::sync::Mutex::new(None));
            let handler = by_hand({
                let seen = seen.clone();
                move |closed: Closed, _| {
                    *seen.lock().unwrap() = Some(closed);
                    sleep(takes)
                }
            });
            running.conn.set_handler("__close__".into(), handler);
            yield_now().await;
            let start_time = Instant::now();
            drop(running.far);
            within(running.task).await.unwrap();
            assert_eq!(start_time.elapsed(), took);
            let seen = seen.lock().unwrap().take();
            assert_eq!(seen, Some(within(running.conn.closed()).await));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queued_message_does_not_poll_the_handler() {
        let mut running = start(Config::default(), SECOND, 1000);
        let polls = Arc::new(std::sync::Mutex::new(0));
        let handler = by_hand({
            let polls = polls.clone();
            move |_: IgnoredAny, _| {
                let polls = polls.clone();
                poll_fn(move |_| {
                    *polls.lock().unwrap() += 1;
                    Poll::<()>::Pending
                })
            }
        });
        running.conn.set_handler("count".into(), handler);
        running.send(0x81, br#"{"type":"count"}"#).await;
        yield_now().await;
        assert_eq!(*polls.lock().unwrap(), 1);
        running.conn.try_push((&b"\x81\x04text"[..]).into()).unwrap();
        assert_eq!(running.frame().await, Some((0x81, b"text".to_vec())));
        assert_eq!(*polls.lock().unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_after_a_close_of_this_program_is_dropped() {
        let mut running = start(Config::default(), SECOND, 1000);
        let handled = Arc::new(AtomicBool::new(false));
        let handler = by_hand({
            let handled = handled.clone();
            move |_: IgnoredAny, _| {
                handled.store(true, Ordering::Relaxed);
                std::future::ready(())
            }
        });
        running.conn.set_handler("ask".into(), handler);
        running.conn.close(CloseCode::NORMAL, String::new());
        assert_eq!(running.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
        running.send(0x81, ASK).await;
        running.send(0x88, b"\x03\xe8").await;
        assert_eq!(running.frame().await, None);
        assert!(!handled.load(Ordering::Relaxed));
    }
}
