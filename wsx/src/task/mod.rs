//! The one task that owns a connection's socket: open, serve, close, report.
//!
//! Nothing else touches a socket after its handshake. Reading, the running handler and writing make progress side by side;
//! none of them waits for another.
//!
//! ```text
//! serve --peer closes, link breaks, handler panics, program closes--> close --> report
//!       --link breaks----------------------------------------------------------^
//! ```
pub(crate) mod heartbeat;
#[cfg(feature = "tungstenite")]
mod open_websocket;
mod read;
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
    dispatch::scope::Scope,
    envelope::incoming::Incoming,
    protocol::endpoint::Endpoint,
    task::{
        heartbeat::{Due, HeartbeatTimer},
        read::{Handling, HandlingCell, ReadEnd, read},
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

/// After our FIN, input is read and dropped for this long, and at most [`LINGER_BYTES`] of it. A socket that is dropped with
/// unread input sends a reset, which can overtake the close frame.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// Runs a connection from before its first message to the end of its socket, which is taken out of its place then. `kill`
/// ends the wait for a peer that does not close in time.
///
/// The socket is borrowed, because a future keeps room for an argument and once more for the variable it moves to.
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
            // Boxed, or every idle connection would carry the room for its end.
            Box::pin(async {
                tokio::select! {
                    // In this order, so that what the socket takes at once is written even if the wait has ended already.
                    biased;
                    _ = task.close(&closed, config.close_timeout / 4, kill) => {}
                    () = sleep(config.close_timeout) => {}
                    () = kill.cancelled() => {}
                }
            })
            .await;
        }
        // Dropping a handler's future runs code of the program, which may panic. The end is reported all the same.
        let _ = catch_panic::call(|| reading.set(None));
        closed
    };
    let _ = catch_panic::call(|| *socket = None);
    Box::pin(report(conn, &closed, scope)).await;
    conn.set_closed(closed);
}

/// Marks the connection as ended even if the task does not get there: a stream of the program panicked, or the runtime was
/// dropped.
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

/// Both halves of a connection, polled as one.
struct Task<'t, T, F> {
    transport: &'t T,
    conn: &'t Handle,
    writer: Writer,
    reader: Pin<&'t mut F>,
    /// Whether a handler runs, so that nothing is read.
    handling: &'t HandlingCell,
    /// The waker that the reader waits with, so that a wake for a queued message does not poll the reader.
    waker: Waker,
    heartbeat: Option<Box<HeartbeatTimer>>,
    /// Set when `reader` is done. It must not be polled again then.
    end: Option<ReadEnd>,
}

impl<T: Transport, F: Future<Output = ReadEnd>> Task<'_, T, F> {
    /// Reads and handles, then writes. Ready when all queued frames are written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_reader(cx);
        self.poll_heartbeat(cx)?;
        // In the same poll, whether or not a handler is pending: replies are written at once, and a handler that waits for
        // room in its own queue gets it.
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

    /// Pings when it is due, unless a ping is still queued. Returns an error when the peer has not answered in time.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(heartbeat) = &mut self.heartbeat else { return Ok(()) };
        // While a handler runs, the peer's bytes wait in the system's buffer: that is not silence.
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

    /// Ready when the connection is to end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(error)) = self.poll(cx) {
            // The read says why the link broke; a write after that fails only as a broken pipe.
            if !matches!(self.end, Some(ReadEnd::LinkLost(_))) {
                self.end = Some(ReadEnd::LinkLost(error.to_string()));
            }
        }
        if self.end.is_some() || self.conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns how the connection ends. From here on nothing can be sent.
    fn closed(&mut self) -> Closed {
        // Closing has a deadline of its own.
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

    /// Writes what is queued, then our close frame, waits for the peer's, and ends the stream. A shutdown waits `patience`
    /// for the reply of the running handler, and at most for its own grace period.
    async fn close(&mut self, closed: &Closed, patience: Duration, kill: &CancellationToken) -> io::Result<()> {
        // Until the peer has closed, its messages are still read. The connection's intake decides whether they are handled.
        if self.conn.intake() != Intake::Shut {
            let mut impatience = pin!(timeout(patience, kill.cancelled()));
            let mut patient = true;
            poll_fn(|cx| {
                let written = self.poll(cx)?;
                patient = patient && impatience.as_mut().poll(cx).is_pending();
                let owed = self.handling.get() == Handling::ReplyOwed && self.end.is_none();
                if owed && patient { Poll::Pending } else { written.map(Ok::<_, io::Error>) }
            })
            .await?;
            // Nothing follows the close frame.
            self.conn.queue().close();
        }
        poll_fn(|cx| self.poll(cx)).await?;
        // An answer carries the code that it answers (RFC 6455 section 5.5.1).
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

/// Reports the end to the handler of `__close__` and to the observer.
async fn report<E: Endpoint>(conn: &Handle, closed: &Closed, scope: &Scope<'_, E>) {
    let incoming = Incoming::close(closed);
    // A handler that hangs is dropped inside of `catch_panic`, because its drop may panic too.
    let _ = catch_panic::run(timeout(scope.program.config.close_timeout, scope.event(conn, &incoming))).await;
    let _ = catch_panic::call(|| scope.program.observer.connection_closed(Connection::of(conn), closed));
}

#[cfg(all(test, wsx_model))]
mod model;
