//! The one task that owns a connection's socket: it opens, serves, closes, and reports. It does not
//! know the handshake.
//!
//! Nothing else touches a socket after its handshake. Reading, the running handler and writing make
//! progress side by side. None of them waits for another.
//!
//! ```text
//! serve --peer closes, input is rejected, handler panics, program closes--> close --> report
//!       --link breaks---------------------------------------------------------------^
//! ```
pub(crate) mod heartbeat;
#[cfg(feature = "tungstenite")]
mod open_websocket;
mod read_loop;
pub(crate) mod tcp_options;
pub(crate) mod transport;
mod writer;

use crate::{
    catch_panic,
    closed::{Closed, ClosedBy},
    connection::{
        Connection,
        handle::{Handle, Intake},
    },
    dispatch::run::Scope,
    envelope::incoming::Incoming,
    protocol::endpoint::Endpoint,
    task::{
        heartbeat::{Due, HeartbeatTimer},
        read_loop::{Handling, HandlingCell, ReadEnd, read},
        transport::{Transport, discard},
        writer::Writer,
    },
    wire::{close_code::CloseCode, header::Opcode, write},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long input is read and dropped after our FIN. A socket that is dropped with unread input
/// sends a reset, which can overtake the close frame.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum number of bytes that are dropped within [`LINGER`].
const LINGER_BYTES: usize = 4 << 20;

/// Runs a connection from before its first message to the end of its socket.
///
/// At the end it takes the socket out of `socket`. `kill` ends the wait for a peer that does not
/// close in time. The socket is borrowed, because a future has room for each argument, and again
/// for the variable that it moves to.
pub(crate) async fn run<E: Endpoint, T: Transport>(
    socket: &mut Option<T>,
    conn: &Handle,
    scope: &Scope<'_, E>,
    kill: &CancellationToken,
) {
    let _ending = Ending { conn, scope };
    let Some(transport) = &*socket else { return };
    let config = &scope.program.config;
    let closed = {
        let handling = HandlingCell::new();
        let mut reading = pin!(Some(read(transport, conn, scope, &handling)));
        let reader = reading.as_mut().as_pin_mut().expect("made above");
        let heartbeat = config.heartbeat.map(|heartbeat| Box::new(HeartbeatTimer::new(heartbeat)));
        let writer = Writer::new(config.write_timeout);
        let mut task = Task {
            transport,
            conn,
            writer,
            reader,
            handling: &handling,
            waker: conn.reader_waker(),
            heartbeat,
            end: None,
        };
        poll_fn(|cx| task.poll_serve(cx)).await;
        if let Some(hub) = scope.hub {
            hub.remove(conn);
        }
        let closed = task.closed();
        if closed.by != ClosedBy::Link {
            // Boxed. Otherwise every idle connection would carry the room for its close.
            Box::pin(async {
                tokio::select! {
                    // In this order, so that frames which the socket takes at once are written,
                    // even if the wait has already ended.
                    biased;
                    _ = task.close(&closed, config.close_timeout / 4, kill) => {}
                    () = sleep(config.close_timeout) => {}
                    () = kill.cancelled() => {}
                }
            })
            .await;
        }
        // Dropping a handler's future runs code of the application, which may panic. The end is
        // reported anyway.
        let _ = catch_panic::call(|| reading.set(None));
        closed
    };
    let _ = catch_panic::call(|| *socket = None);
    Box::pin(report(conn, &closed, scope)).await;
    conn.set_closed(closed);
}

/// Marks the connection as ended even if the task does not finish. The stream of an application may
/// panic, or the runtime may be dropped.
struct Ending<'a, E: Endpoint> {
    conn: &'a Handle,
    scope: &'a Scope<'a, E>,
}

impl<E: Endpoint> Drop for Ending<'_, E> {
    fn drop(&mut self) {
        if let Some(hub) = self.scope.hub {
            hub.remove(self.conn);
        }
        self.conn.shut();
        self.conn.set_closed(Closed::new(CloseCode::ABNORMAL, "the connection's task was dropped", ClosedBy::Link));
    }
}

/// The reader and the writer of a connection, which are polled together.
struct Task<'t, T, F> {
    /// The socket.
    transport: &'t T,
    /// The state that the task shares with the handles, such as the queue.
    conn: &'t Handle,
    /// Writes the queue into the socket.
    writer: Writer,
    /// The future of [`read`], which also runs the handlers.
    reader: Pin<&'t mut F>,
    /// Whether a handler is running. Then nothing is read.
    handling: &'t HandlingCell,
    /// The waker that the reader waits with. It is separate, so that a wake-up for a queued message
    /// does not poll the reader.
    waker: Waker,
    /// The heartbeat, if one is configured. Boxed, because it is off by default.
    heartbeat: Option<Box<HeartbeatTimer>>,
    /// The result of `reader`. After that, `reader` must not be polled again.
    end: Option<ReadEnd>,
}

impl<T: Transport, F: Future<Output = ReadEnd>> Task<'_, T, F> {
    /// Reads and handles messages, then writes. Ready when all queued frames are written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_reader(cx);
        self.poll_heartbeat(cx)?;
        // In the same poll, whether or not a handler is pending. So replies are written at once,
        // and a handler that waits for room in its own queue gets it.
        self.writer.poll(self.transport, self.conn.queue(), cx)
    }

    /// Polls the reader if it was woken.
    fn poll_reader(&mut self, cx: &Context<'_>) {
        let woken = self.conn.queue().begin_poll(cx.waker());
        if woken && self.end.is_none() {
            let mut cx = Context::from_waker(&self.waker);
            match catch_panic::call(|| self.reader.as_mut().poll(&mut cx)) {
                Some(Poll::Pending) => {}
                Some(Poll::Ready(end)) => self.end = Some(end),
                None => self.end = Some(ReadEnd::Panicked),
            }
            self.transport.shrink();
        }
    }

    /// Queues a ping when it is due, unless a ping is still queued. Returns an error if the peer
    /// has not answered in time.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(heartbeat) = &mut self.heartbeat else { return Ok(()) };
        // While a handler runs, the peer's bytes wait in the buffer of the operating system. That
        // is not silence.
        if self.transport.take_received() || self.handling.get() != Handling::Idle {
            heartbeat.restart();
        }
        while let Poll::Ready(due) = heartbeat.poll(cx) {
            if due == Due::PeerLost {
                let why = "the peer was silent and did not answer a ping in time";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            self.conn.queue().push_control(&write::frame(Opcode::PING, self.conn.role(), &[]));
        }
        Ok(())
    }

    /// Ready when the connection has to end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(error)) = self.poll(cx) {
            // The error of the read says why the link broke. A write after that only fails with
            // "broken pipe".
            if !matches!(self.end, Some(ReadEnd::LinkLost(_))) {
                self.end = Some(ReadEnd::LinkLost(error.to_string()));
            }
        }
        if self.end.is_some() || self.conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the reason for the end. After this, sends fail.
    fn closed(&mut self) -> Closed {
        // Closing has its own time limit.
        self.heartbeat = None;
        let closed = match (&self.end, self.conn.closing()) {
            (Some(ReadEnd::LinkLost(why)), _) => Closed::new(CloseCode::ABNORMAL, why, ClosedBy::Link),
            (Some(ReadEnd::Panicked), _) => Closed::new(CloseCode::INTERNAL_ERROR, "internal error", ClosedBy::Us),
            (Some(ReadEnd::Rejected(code, why)), _) => Closed::new(*code, why, ClosedBy::Us),
            (Some(ReadEnd::PeerClosed(Some(frame))), _) => {
                Closed::new(u16::from(frame.code).into(), frame.reason.as_str(), ClosedBy::Peer)
            }
            (Some(ReadEnd::PeerClosed(None)), _) => Closed::new(CloseCode::NO_STATUS, "", ClosedBy::Peer),
            (None, Some(closing)) => return Closed::new(closing.code, closing.reason.as_str(), ClosedBy::Us),
            (None, None) => unreachable!("an open connection ends by its reader or by a request"),
        };
        self.conn.shut();
        closed
    }

    /// Writes the queued frames and our close frame, waits for the peer's close frame, and ends the
    /// stream.
    ///
    /// During a shutdown it waits for the reply of the running handler. It does so for at most
    /// `reply_grace`, and not longer than the grace period of the shutdown.
    async fn close(&mut self, closed: &Closed, reply_grace: Duration, kill: &CancellationToken) -> io::Result<()> {
        // Until the peer has closed, its messages are still read. The intake of the connection
        // decides whether they are handled.
        if self.conn.intake() != Intake::Shut {
            let mut grace_over = pin!(timeout(reply_grace, kill.cancelled()));
            let mut waiting = true;
            poll_fn(|cx| {
                let written = self.poll(cx)?;
                waiting = waiting && grace_over.as_mut().poll(cx).is_pending();
                let owed = self.handling.get() == Handling::ReplyOwed && self.end.is_none();
                if owed && waiting { Poll::Pending } else { written.map(Ok::<_, io::Error>) }
            })
            .await?;
            // Nothing may follow the close frame.
            self.conn.queue().close();
        }
        poll_fn(|cx| self.poll(cx)).await?;
        // The answer to a close frame carries the same code (RFC 6455 section 5.5.1).
        self.writer.rest = write::close_frame(self.conn.role(), closed.code, &closed.reason);
        poll_fn(|cx| self.poll(cx)).await?;
        poll_fn(|cx| {
            self.poll_reader(cx);
            if self.end.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        poll_fn(|cx| self.transport.poll_shutdown(cx)).await?;
        let _ = timeout(LINGER, discard(self.transport, LINGER_BYTES)).await;
        Ok(())
    }
}

/// Runs the handler of `__close__`, and reports the end to the observer.
async fn report<E: Endpoint>(conn: &Handle, closed: &Closed, scope: &Scope<'_, E>) {
    let incoming = Incoming::close(closed);
    // A handler that hangs is dropped inside of `catch_panic`, because its drop may panic too.
    let _ = catch_panic::run(timeout(scope.program.config.close_timeout, scope.event(conn, &incoming))).await;
    let _ = catch_panic::call(|| scope.program.observer.connection_closed(Connection::of(conn), closed));
}

#[cfg(all(test, wsx_model))]
mod loom_tests;
