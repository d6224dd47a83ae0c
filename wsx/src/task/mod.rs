//! The one task that owns a connection's socket: it opens, serves, closes, and reports. It does not
//! know the handshake.
//!
//! Nothing else touches a socket after its handshake. Reading, the running handler and writing make
//! progress side by side. None of them waits for another.
//!
//! ```text
//! serve --peer closes, input is rejected, handler panics, program closes--> close --> drain --> report
//!       --link breaks, program gives it up-----------------------------------------^
//! ```
//!
//! While it drains, a running handler and the messages before the end have the rest of
//! `close_timeout`.
mod backlog;
mod beside;
mod closing;
pub(crate) mod deadline;
pub(crate) mod heartbeat;
#[cfg(feature = "tungstenite")]
mod open_websocket;
mod progress;
mod read_loop;
mod receive_limit;
mod requests;
pub(crate) mod tcp_options;
pub(crate) mod transport;
mod writer;

use crate::{
    catch_panic,
    closed::{Closed, ClosedBy},
    connection::{Connection, handle::Handle, requests::Writes},
    dispatch::run::Scope,
    envelope::incoming::Incoming,
    observer::spans,
    protocol::endpoint::Endpoint,
    task::{
        deadline::LAST_LOOK,
        heartbeat::{Due, HeartbeatTimer},
        progress::{Progress, ReadEnd},
        read_loop::ReadLoop,
        transport::Transport,
        writer::Writer,
    },
    wire::{close_code::CloseCode, deflate::Deflater, header::Opcode, write},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// Runs a connection from before its first message to the end of its socket.
///
/// At the end it takes the socket out of `socket`. `kill` ends the wait for a peer that does not
/// close in time, and for a running handler.
#[expect(clippy::manual_async_fn, reason = "an async fn has room for each argument twice")]
pub(crate) fn run<'t, E: Endpoint, T: Transport>(
    socket: &'t mut Option<T>,
    conn: &'t Handle,
    scope: &'t Scope<'t, E>,
    kill: &'t CancellationToken,
) -> impl Future<Output = ()> + Send + use<'t, E, T> {
    async move {
        let _ending = Ending { conn, scope };
        let Some(transport) = &*socket else { return };
        let config = &scope.program.config;
        spans::open(conn);
        let closed = {
            let progress = Progress::new();
            let mut reading = pin!(Some(ReadLoop::new(transport, conn, scope, &progress).run()));
            let reader = reading.as_mut().as_pin_mut().expect("made above");
            let heartbeat = config.heartbeat.map(|heartbeat| Box::new(HeartbeatTimer::new(heartbeat)));
            let deflater = conn.compression().and_then(|agreed| Deflater::new(agreed, conn.role()));
            let writer = Writer::new(config.write_timeout).deflating(deflater);
            let mut task = Task {
                transport,
                conn,
                writer,
                reader,
                progress: &progress,
                waker: conn.reader_waker(),
                heartbeat,
                failed: None,
                reader_done: false,
                in_hub: scope.hub.is_some(),
            };
            poll_fn(|cx| task.poll_serve(cx)).await;
            let closed = task.closed();
            if let Some(hub) = scope.hub {
                hub.remove(conn, &closed);
            }
            scope.program.deliveries.stop(conn);
            task.end_sends(&closed);
            // Boxed. Otherwise every idle connection would carry the room for its close.
            Box::pin(task.end(&closed, config, kill)).await;
            task.report_compression(true);
            // Dropping a handler's future runs code of the application, which may panic. The end is
            // reported anyway.
            let _ = catch_panic::call(|| reading.set(None));
            closed
        };
        let _ = catch_panic::call(|| *socket = None);
        Box::pin(report(conn, &closed, scope)).await;
        conn.set_closed(closed);
    }
}

/// Marks the connection as ended even if the task does not finish. The stream of an application may
/// panic, or the runtime may be dropped.
struct Ending<'a, E: Endpoint> {
    conn: &'a Handle,
    scope: &'a Scope<'a, E>,
}

impl<E: Endpoint> Drop for Ending<'_, E> {
    fn drop(&mut self) {
        let closed = Closed::new(CloseCode::ABNORMAL, "the connection's task was dropped", ClosedBy::Link);
        if let Some(hub) = self.scope.hub {
            hub.remove(self.conn, &closed);
        }
        self.scope.program.deliveries.detach(self.conn);
        end_unfinished(self.conn, closed);
    }
}

/// Ends a connection whose task did not finish, or does not exist.
pub(crate) fn end_unfinished(conn: &Handle, closed: Closed) {
    conn.shut();
    conn.end_reports();
    spans::close(conn);
    conn.set_closed(closed);
}

/// The reader and the writer of a connection, which are polled together.
struct Task<'t, T, F> {
    /// The socket.
    transport: &'t T,
    /// The state that the task shares with the handles, such as the queue.
    conn: &'t Handle,
    /// Writes the queue into the socket.
    writer: Writer,
    /// The future of [`ReadLoop::run`], which also runs the handlers.
    reader: Pin<&'t mut F>,
    /// The running handler, and the end of reading.
    progress: &'t Progress,
    /// The waker that the reader waits with. It is separate, so that a wake-up for a queued message
    /// does not poll the reader.
    waker: Waker,
    /// The heartbeat, if one is configured. Boxed, because it is off by default.
    heartbeat: Option<Box<HeartbeatTimer>>,
    /// Set when a write failed. Boxed, because it is rare.
    failed: Option<Box<FailedWrite>>,
    /// Whether `reader` has ended. After that, it must not be polled again.
    reader_done: bool,
    /// Whether a hub wants to know when the peer was seen last.
    in_hub: bool,
}

/// A write that failed, while the task still reads. The peer's close frame may be in the socket,
/// and says more than "broken pipe".
struct FailedWrite {
    error: io::Error,
    last_look: Pin<Box<Sleep>>,
}

impl<T: Transport, F: Future<Output = ()>> Task<'_, T, F> {
    /// Reads and handles messages, then writes. Ready when all queued frames are written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if T::ANSWERS_CLOSE {
            // What was queued before the close frame is read has to be written before it.
            let _ = self.writer.poll(self.transport, self.conn.queue(), cx)?;
        }
        let woken = self.poll_reader(cx);
        let received = woken && self.transport.take_received();
        if received && self.in_hub {
            self.conn.set_seen();
        }
        // In the same poll, whether or not a handler is pending. So replies are written at once,
        // and a handler that waits for room in its own queue gets it.
        let written = self.writer.poll(self.transport, self.conn.queue(), cx);
        self.conn.report_queue();
        self.report_compression(woken);
        self.poll_heartbeat(received, cx);
        written
    }

    /// Reports what was compressed and inflated in this poll, if the connection compresses.
    #[inline]
    fn report_compression(&mut self, read: bool) {
        if self.conn.compression().is_none() {
            return;
        }
        let inflated = if read { self.transport.take_inflated() } else { None };
        for work in [inflated, self.writer.take_compressed()].into_iter().flatten() {
            self.conn.report_compression(&work);
        }
    }

    /// Ends reading, because the link is lost. A reader that does not run a handler ends at once.
    fn lose_link(&mut self, why: String, cx: &Context<'_>) {
        self.progress.set_end(ReadEnd::LinkLost(why));
        self.waker.wake_by_ref();
        self.poll_reader(cx);
    }

    /// Polls the reader if it was woken. Returns whether it was.
    fn poll_reader(&mut self, cx: &Context<'_>) -> bool {
        let woken = self.conn.queue().begin_poll(cx.waker());
        if woken && !self.reader_done {
            let mut cx = Context::from_waker(&self.waker);
            match catch_panic::call(|| self.reader.as_mut().poll(&mut cx)) {
                Some(Poll::Pending) => {}
                Some(Poll::Ready(())) => self.reader_done = true,
                None => {
                    self.reader_done = true;
                    self.progress.done();
                    self.progress.set_end(ReadEnd::Panicked);
                }
            }
            self.transport.shrink();
        }
        woken
    }

    /// Queues a ping when it is due. Ends the connection if the peer has not answered in time.
    fn poll_heartbeat(&mut self, received: bool, cx: &mut Context<'_>) {
        let Some(heartbeat) = &mut self.heartbeat else { return };
        let is_alive = received | self.writer.take_progress();
        // While too many messages wait for their handlers, or the peer exceeds its limit, its bytes
        // wait in the buffer of the operating system. That is not silence.
        if is_alive || self.progress.is_paused() || self.transport.is_held_back() {
            heartbeat.restart();
        }
        loop {
            match heartbeat.poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Due::Ping) => {
                    self.conn.queue().push_control(&write::frame(Opcode::PING, self.conn.role(), &[]));
                    heartbeat.set_unacknowledged(self.transport.unacknowledged());
                    // Writes it.
                    cx.waker().wake_by_ref();
                }
                // The ping waits behind other frames. The write timeout judges them.
                Poll::Ready(Due::PeerLost) if self.writer.is_blocked() => heartbeat.wait_again(),
                Poll::Ready(Due::PeerLost) if heartbeat.set_unacknowledged(self.transport.unacknowledged()) => {
                    heartbeat.wait_again();
                }
                Poll::Ready(Due::PeerLost) => {
                    let why = "the peer was silent and did not answer a ping in time";
                    return self.lose_link(why.to_owned(), cx);
                }
            }
        }
    }

    /// Ready when the connection has to end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(failed) = &mut self.failed {
            if failed.last_look.as_mut().poll(cx).is_ready() {
                let why = failed.error.to_string();
                self.lose_link(why, cx);
            }
            self.poll_reader(cx);
        } else if let Poll::Ready(Err(error)) = self.poll(cx) {
            self.failed = Some(Box::new(FailedWrite { error, last_look: Box::pin(sleep(LAST_LOOK)) }));
            // The reader has to look at the socket, and the timer has to be polled.
            self.waker.wake_by_ref();
            cx.waker().wake_by_ref();
        }
        if self.progress.end().is_some() || self.conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the reason for the end.
    fn closed(&mut self) -> Closed {
        // Closing has its own time limit.
        self.heartbeat = None;
        match (self.progress.end(), self.conn.closing()) {
            (Some(ReadEnd::LinkLost(why)), _) => Closed::new(CloseCode::ABNORMAL, why, ClosedBy::Link),
            (Some(ReadEnd::Panicked), _) => Closed::new(CloseCode::INTERNAL_ERROR, "internal error", ClosedBy::Us),
            (Some(ReadEnd::Rejected(code, why)), _) => Closed::new(*code, why, ClosedBy::Us),
            (Some(ReadEnd::PeerClosed(frame)), _) => Closed::new(frame.code, &frame.reason, ClosedBy::Peer),
            (None, Some(closing)) if closing.code == CloseCode::ABNORMAL => {
                // The program has given the link up, so the connection ends as with a lost link.
                self.progress.set_end(ReadEnd::LinkLost(closing.reason.clone()));
                self.waker.wake_by_ref();
                Closed::new(closing.code, closing.reason.as_str(), ClosedBy::Us)
            }
            (None, Some(closing)) => Closed::new(closing.code, closing.reason.as_str(), ClosedBy::Us),
            (None, None) => unreachable!("an open connection ends by its reader or by a request"),
        }
    }

    /// Makes sends and requests fail, and shows the end to a running handler. After a close by this
    /// program, sends fail already, and the handler goes on.
    fn end_sends(&self, closed: &Closed) {
        if self.progress.end().is_none() {
            return;
        }
        if self.reader_done {
            self.conn.shut();
        } else {
            // A handler is running, and messages may wait.
            self.conn.drain();
        }
        // Before the handler of `__close__`, which may wait for a task that asks.
        let writes = if closed.code == CloseCode::ABNORMAL { Writes::Over } else { Writes::GoOn };
        self.conn.end_requests(closed, writes);
        if !self.reader_done {
            self.conn.set_closed(closed.clone());
        }
    }
}

/// Runs the handler of `__close__`, and reports the end to the observer.
async fn report<E: Endpoint>(conn: &Handle, closed: &Closed, scope: &Scope<'_, E>) {
    let incoming = Incoming::close(closed);
    // A handler that hangs is dropped inside of `catch_panic`, because its drop may panic too.
    let _ = catch_panic::run(deadline::timeout(scope.program.config.close_timeout, scope.event(conn, &incoming))).await;
    scope.program.observer.connection_closed(Connection::of(conn), closed);
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        config::{Config, OverLimit},
        connection::queue::Queue,
        observer::Silent,
        task::{
            running::{ASK, SECOND, start, start_with, within},
            transport::unacknowledged::Unacknowledged,
        },
        wire::{data_message::Received, violation::ReadError},
    };
    use std::{
        collections::VecDeque,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };
    use tokio::time::Instant;

    /// A transport with these numbers of unacknowledged bytes; 0 after the list.
    struct Acknowledging<T>(T, Mutex<VecDeque<u32>>);

    impl<T: Transport> Transport for Acknowledging<T> {
        fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
            self.0.poll_received(queue, cx)
        }
        fn shrink(&self) {
            self.0.shrink();
        }
        fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
            self.0.poll_write(frames, cx)
        }
        fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_flush(cx)
        }
        fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_shutdown(cx)
        }
        fn take_received(&self) -> bool {
            self.0.take_received()
        }
        fn unacknowledged(&self) -> Option<Unacknowledged> {
            let bytes = self.1.lock().unwrap().pop_front().unwrap_or(0);
            Some(Unacknowledged { bytes, ..Unacknowledged::default() })
        }
        fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
            self.0.poll_discard(cx)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_given_up_is_not_read_while_a_handler_still_runs() {
        let mut running = start(Config::default(), 5 * SECOND, 1000);
        let pongs = Arc::new(AtomicUsize::new(0));
        running.conn.set_pong_handler(Arc::new({
            let pongs = pongs.clone();
            move |_| {
                pongs.fetch_add(1, Ordering::Relaxed);
            }
        }));
        running.send(0x81, ASK).await;
        running.send(0x8a, b"").await;
        sleep(SECOND).await;
        running.conn.abandon("why");
        let closed = within(running.conn.closed()).await;
        assert_eq!((closed.code, &*closed.reason, closed.by), (CloseCode::ABNORMAL, "why", ClosedBy::Us));
        let start = Instant::now();
        running.send(0x8a, b"").await;
        within(running.task).await.unwrap();
        assert_eq!((start.elapsed(), pongs.load(Ordering::Relaxed)), (4 * SECOND, 1));
    }

    /// The bytes of a peer above its limit wait in the socket, so the heartbeat does not judge it.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_held_back_is_not_lost() {
        let config = Config::default().max_message_size(100).heartbeat(SECOND, SECOND);
        let config = config.receive_limit(1000, 1, SECOND, OverLimit::Wait);
        let mut running = start(config, SECOND, 1000);
        let start = Instant::now();
        // More than 100 bytes above the limit.
        for _ in 0..2 {
            running.send(0x8a, &[0; 120]).await;
        }
        within(running.conn.closed()).await;
        assert!(start.elapsed() > 100 * SECOND, "{:?}", start.elapsed());
    }

    /// The kernel has taken the ping and other frames, and a slow link needs longer than the
    /// timeout for them.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_acknowledges_bytes_is_not_lost() {
        let config = Config::default().heartbeat(3 * SECOND, 2 * SECOND);
        let acknowledging = |transport| Acknowledging(transport, Mutex::new([9, 8, 7, 7].into()));
        let running = start_with(config, SECOND, 1000, Silent, acknowledging);
        let start = Instant::now();
        within(running.conn.closed()).await;
        // A timeout for each number. The last one is the same as before.
        assert_eq!(start.elapsed(), 3 * SECOND + 3 * (2 * SECOND + LAST_LOOK));
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod running;

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
