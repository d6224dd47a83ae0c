//! One task per connection: the read loop with its handler, and the writer polled beside it, until the end.
//!
//! The only place that touches a socket after its handshake. Reading, the handler in flight and writing make progress
//! side by side; none of them waits for another.
pub(crate) mod heartbeat;
mod standalone;
pub(crate) mod tcp_options;
pub(crate) mod transport;

use crate::{
    catch_panic,
    connection::Connection,
    connection::closed::{Closed, ClosedBy},
    connection::queue::{self, Queue, Taken},
    dispatch::incoming::Incoming,
    dispatch::router::Scope,
    protocol::endpoint::Endpoint,
    task::heartbeat::{Beat, Due},
    task::transport::{Transport, discard},
    wire::frame::{self, Frame, Kind},
    wire::reader::{self, Received},
};
use bytes::{Buf, Bytes};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{Sleep, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    error::{CapacityError, Error, ProtocolError},
    protocol::CloseFrame,
};
use tokio_util::sync::CancellationToken;

/// After so many messages the other connections of the thread have a turn, and the replies leave.
const TURN: u32 = 128;
/// After our FIN we read and drop for so long, and no more than `LINGER_BYTES`: a socket that is dropped with unread
/// input sends a reset, which can overtake the close frame.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// Nothing is being handled: what [`Task::handling`] says.
const IDLE: u8 = 0;
/// A message is, since before any close: its reply leaves in front of the close frame of a shutdown.
const OWING: u8 = 1;
/// A message is that came later, whose reply has nowhere to go.
const LATE: u8 = 2;

/// Why the read loop ended.
enum End {
    /// The peer's close frame.
    Peer(Option<CloseFrame>),
    /// What the peer sent is against RFC 6455, or over a limit.
    Refused(u16, String),
    /// A handler or an observer panicked.
    Panicked,
    /// The link broke.
    Lost(String),
}

/// Runs a connection from before its first message to the end of its socket, which is taken out of its place then. `kill`
/// ends the patience with a peer that does not close in time.
///
/// The socket is borrowed because a future keeps an argument's first place as well as its second one.
pub(crate) async fn drive<E: Endpoint, T: Transport>(
    socket: &mut Option<T>,
    conn: &Connection,
    scope: &Scope<'_, E>,
    kill: &CancellationToken,
) {
    let _ending = Ending { conn, scope };
    let Some(transport) = &*socket else { return };
    let closed = {
        let handling = AtomicU8::new(IDLE);
        let mut reading = pin!(Some(read(transport, conn, scope, &handling)));
        let reader = reading.as_mut().as_pin_mut().expect("made above");
        let beat = scope.config.heartbeat.map(|rhythm| Box::new(Beat::new(rhythm)));
        let writer = Writer::new(scope.config.write_timeout);
        let mut task =
            Task { transport, conn, writer, reader, handling: &handling, waker: conn.reader_waker(), beat, end: None };
        poll_fn(|cx| task.poll_open(cx)).await;
        if let Some(hub) = scope.hub {
            hub.forget(conn);
        }
        let closed = task.closed();
        if closed.by != ClosedBy::Link {
            // Boxed, or every idle connection would carry the room for its end.
            Box::pin(async {
                tokio::select! {
                    // In this order, so that what the socket takes at once leaves even where patience has ended already.
                    biased;
                    _ = task.goodbye(&closed, scope.config.close_timeout / 4, kill) => {}
                    () = sleep(scope.config.close_timeout) => {}
                    () = kill.cancelled() => {}
                }
            })
            .await;
        }
        // What a handler leaves behind is the user's, as the stream is, and may panic; the end is told all the same.
        let _ = catch_panic::call(|| reading.set(None));
        closed
    };
    let _ = catch_panic::call(|| *socket = None);
    Box::pin(report(conn, &closed, scope)).await;
    conn.set_closed(closed);
}

/// Makes the end known even where the task does not get there: a stream of the user's panicked, or the runtime went.
struct Ending<'a, E: Endpoint> {
    conn: &'a Connection,
    scope: &'a Scope<'a, E>,
}

impl<E: Endpoint> Drop for Ending<'_, E> {
    fn drop(&mut self) {
        if let Some(hub) = self.scope.hub {
            hub.forget(self.conn);
        }
        self.conn.shut();
        self.conn.set_closed(Closed::new(1006, "its task has gone", ClosedBy::Link));
    }
}

/// Both halves of a connection, polled as one.
struct Task<'t, T, F> {
    transport: &'t T,
    conn: &'t Connection,
    writer: Writer,
    reader: Pin<&'t mut F>,
    /// Whether a message is being handled, and nothing read meanwhile.
    handling: &'t AtomicU8,
    /// What the reader waits with, so that a wake for what is queued is not one for the reader.
    waker: Waker,
    beat: Option<Box<Beat>>,
    /// Set when `reader` is done, which must not be polled again then.
    end: Option<End>,
}

impl<T: Transport, F: Future<Output = End>> Task<'_, T, F> {
    /// Reads and handles, then writes what there is to write; ready when everything queued has left.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_reader(cx);
        self.poll_beat(cx)?;
        // In the same poll, whether or not a handler is pending: replies leave at once, and a handler that waits for room
        // in its own queue gets it.
        self.writer.poll(self.transport, self.conn.queue(), cx)
    }

    /// Polls the reader if something came for it.
    fn poll_reader(&mut self, cx: &Context<'_>) {
        let called = self.conn.queue().begin(cx.waker());
        if called && self.end.is_none() {
            let mut cx = Context::from_waker(&self.waker);
            match catch_panic::call(|| self.reader.as_mut().poll(&mut cx)) {
                Some(Poll::Pending) => {}
                Some(Poll::Ready(end)) => self.end = Some(end),
                None => self.end = Some(End::Panicked),
            }
            self.transport.settle();
        }
    }

    /// Pings when it is due, which a ping that is still waiting serves as well; an error when the peer has gone.
    fn poll_beat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(beat) = &mut self.beat else { return Ok(()) };
        // What the peer says while a handler runs waits in the system's buffer: that is no silence.
        if self.transport.heard() || self.handling.load(Ordering::Relaxed) != IDLE {
            beat.heard();
        }
        while let Poll::Ready(due) = beat.poll(cx) {
            if due == Due::Dead {
                let why = "the peer has been silent, and has not answered a ping in time";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            self.conn.queue().push_control(&frame::of(Kind::Ping, self.conn.role(), &[]));
        }
        Ok(())
    }

    /// Ready when the connection is to end.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(error)) = self.poll(cx) {
            // A link that broke says why once, and what is tried after that fails as a broken pipe.
            if !matches!(self.end, Some(End::Lost(_))) {
                self.end = Some(End::Lost(error.to_string()));
            }
        }
        if self.end.is_some() || self.conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// How it ends. From here on nobody can send.
    fn closed(&mut self) -> Closed {
        // The end has a deadline of its own.
        self.beat = None;
        let closed = match (&self.end, self.conn.closing()) {
            (Some(End::Lost(why)), _) => Closed::new(1006, why, ClosedBy::Link),
            (Some(End::Panicked), _) => Closed::new(1011, "internal error", ClosedBy::Us),
            (Some(End::Refused(code, why)), _) => Closed::new(*code, why, ClosedBy::Us),
            (Some(End::Peer(Some(frame))), _) => Closed::new(frame.code.into(), frame.reason.as_str(), ClosedBy::Peer),
            (Some(End::Peer(None)), _) => Closed::new(1005, "", ClosedBy::Peer),
            (None, Some(closing)) => return Closed::new(closing.code, closing.reason.as_str(), ClosedBy::Us),
            (None, None) => unreachable!("an open connection ends by its reader or by a request"),
        };
        self.conn.shut();
        closed
    }

    /// What is queued, our close frame, the peer's, and the end of the socket. A shutdown waits `patience` for the reply of
    /// the handler that runs, and no longer than its own.
    async fn goodbye(&mut self, closed: &Closed, patience: Duration, kill: &CancellationToken) -> io::Result<()> {
        // As long as the peer has not closed, its messages go on being read; whether they are handled is the
        // connection's to say.
        if self.conn.takes_messages() {
            let mut impatience = pin!(timeout(patience, kill.cancelled()));
            let mut patient = true;
            poll_fn(|cx| {
                let written = self.poll(cx)?;
                patient = patient && impatience.as_mut().poll(cx).is_pending();
                let owing = self.handling.load(Ordering::Relaxed) == OWING && self.end.is_none();
                if owing && patient { Poll::Pending } else { written.map(Ok::<_, io::Error>) }
            })
            .await?;
            // Nothing comes behind the close frame.
            self.conn.queue().close(false);
        }
        poll_fn(|cx| self.poll(cx)).await?;
        // An answer carries the code that it answers (RFC 6455 section 5.5.1).
        self.writer.rest = frame::close(self.conn.role(), closed.code.into(), &closed.reason);
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

/// Tells the program of the end.
async fn report<E: Endpoint>(conn: &Connection, closed: &Closed, scope: &Scope<'_, E>) {
    let incoming = Incoming::close(closed);
    // A handler that hangs here, or panics, has nobody to answer to; one that hangs is dropped inside of the guard.
    let _ = catch_panic::run(timeout(scope.config.close_timeout, scope.router.event(scope, conn, &incoming))).await;
    let _ = catch_panic::call(|| scope.observer.closed(conn, closed));
}

/// Reads and handles message after message. Owns the frame while its handler runs, so payloads may borrow.
async fn read<E: Endpoint, T: Transport>(
    transport: &T,
    conn: &Connection,
    scope: &Scope<'_, E>,
    handling: &AtomicU8,
) -> End {
    begin(conn, handling);
    scope.observer.opened(conn);
    let opening = scope.router.event(scope, conn, &Incoming::open()).await;
    reply(conn, opening, handling).await;
    let mut turn = 0;
    loop {
        match poll_fn(|cx| transport.poll_received(conn.queue(), cx)).await {
            Ok(Received::Data(message)) => {
                if conn.takes_messages() {
                    begin(conn, handling);
                    let answer = scope.router.message(scope, conn, &message).await;
                    reply(conn, answer, handling).await;
                }
                reader::recycle(message);
            }
            // Its pong is queued.
            Ok(Received::Ping) => {}
            Ok(Received::Pong(payload)) => conn.pong(&payload),
            Ok(Received::Close(close)) => return End::Peer(close),
            Err(error) => return end_of(&error),
        }
        turn += 1;
        if turn == TURN {
            turn = 0;
            // Not by a wake: the runtime looks at its sockets before this goes on.
            yield_now().await;
        }
    }
}

/// A handler is about to run.
fn begin(conn: &Connection, handling: &AtomicU8) {
    handling.store(if conn.is_open() { OWING } else { LATE }, Ordering::Relaxed);
}

/// A handler has run.
async fn reply(conn: &Connection, reply: Option<Frame>, handling: &AtomicU8) {
    if let Some(reply) = reply {
        if conn.queue().try_append(reply.as_bytes()).is_err() {
            // Waits for room, and so reads no more meanwhile. A connection that closes takes no reply, but one that it owes.
            let owed = handling.load(Ordering::Relaxed) == OWING;
            let sending = conn.push(reply.into_bytes());
            let _ = if owed { sending.of_handler() } else { sending }.await;
        }
    }
    handling.store(IDLE, Ordering::Relaxed);
}

/// What the peer is told of an error in what it sent (RFC 6455 section 7.4.1).
fn end_of(error: &Error) -> End {
    let code = match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => 1009,
        Error::Utf8(_) => 1007,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return End::Lost("the peer hung up without a close frame".into());
        }
        Error::Protocol(_) => 1002,
        Error::Io(error) => return End::Lost(error.to_string()),
        error => return End::Lost(error.to_string()),
    };
    End::Refused(code, error.to_string())
}

/// Takes frames from the queue and writes them; it alone knows what is half written.
struct Writer {
    /// What the socket has not taken yet.
    rest: Bytes,
    /// Written but not flushed: a TLS stream holds data back.
    dirty: bool,
    timeout: Duration,
    /// Runs only while the socket takes nothing, and begins anew with every byte that it takes.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Writer {
    fn new(timeout: Duration) -> Self {
        Self { rest: Bytes::new(), dirty: false, timeout, deadline: None }
    }

    /// Ready when all that was queued has left, or the socket has taken nothing for the write timeout.
    fn poll<T: Transport>(&mut self, transport: &T, queue: &Queue, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.rest.is_empty() {
                match transport.poll_write(&self.rest, cx) {
                    Poll::Ready(n) => self.wrote(n?)?,
                    Poll::Pending => {
                        queue.settle();
                        return self.blocked(cx);
                    }
                }
            }
            match queue.take() {
                Taken::Nothing => return self.flush(transport, cx),
                Taken::One(frame) => self.rest = frame,
                // The queue's lock is not held while writing, so that other threads can go on sending.
                Taken::Many(batch) => {
                    match transport.poll_write(&batch, cx) {
                        Poll::Ready(n) => {
                            let n = n?;
                            self.rest = Bytes::copy_from_slice(&batch[n..]);
                            self.progress();
                        }
                        Poll::Pending => self.rest = Bytes::copy_from_slice(&batch),
                    }
                    queue::recycle(batch);
                }
            }
        }
    }

    fn flush<T: Transport>(&mut self, transport: &T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dirty {
            if transport.poll_flush(cx)?.is_pending() {
                return self.blocked(cx);
            }
            self.dirty = false;
        }
        self.deadline = None;
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.rest.advance(n);
        if self.rest.is_empty() {
            // An empty slice of a long frame would keep all of its memory.
            self.rest = Bytes::new();
        }
        self.progress();
        Ok(())
    }

    fn progress(&mut self) {
        self.dirty = true;
        self.deadline = None;
    }

    fn blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timeout = self.timeout;
        ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        let why = format!("the peer has taken nothing for {timeout:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

#[cfg(all(test, wsx_model))]
mod model;

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;
    use crate::connection::queue::{BATCH, Bound};
    use std::{collections::VecDeque, sync::Mutex};

    /// A socket that takes so many bytes of each write, or none for now; and then all.
    struct Socket {
        takes: Mutex<VecDeque<Option<usize>>>,
        written: Mutex<Vec<u8>>,
    }

    impl Transport for Socket {
        fn poll_write(&self, frames: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
            match self.takes.lock().unwrap().pop_front().unwrap_or(Some(usize::MAX)) {
                None => Poll::Pending,
                Some(most) => {
                    let n = most.min(frames.len());
                    self.written.lock().unwrap().extend_from_slice(&frames[..n]);
                    Poll::Ready(Ok(n))
                }
            }
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_received(&self, _: &Queue, _: &mut Context<'_>) -> Poll<Result<Received, Error>> {
            unreachable!("a writer does not read")
        }

        fn settle(&self) {}

        fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            unreachable!("a writer does not close")
        }

        fn heard(&self) -> bool {
            false
        }

        fn poll_discard(&self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
            unreachable!("a writer does not read")
        }
    }

    /// Wherever a socket stops taking, and however often: every frame leaves whole, once and in order. One at a time, many in
    /// one write, and more than one write holds.
    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_a_part_or_nothing_loses_no_frame() {
        for lengths in [&[5][..], &[5, 1, 7], &[BATCH - 1, 2, 3], &[BATCH + 1, 2], &[1, BATCH, 1, 1]] {
            for first in [None, Some(1), Some(6), Some(usize::MAX)] {
                for second in [None, Some(2)] {
                    let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX });
                    let mut expected = Vec::new();
                    for (name, length) in (b'a'..).zip(lengths) {
                        expected.extend(vec![name; *length]);
                        queue.try_push(vec![name; *length].into()).unwrap();
                    }
                    let socket = Socket { takes: Mutex::new([first, second, first].into()), written: Mutex::default() };
                    let mut writer = Writer::new(Duration::from_secs(10));
                    let mut polls = 0;
                    while writer.poll(&socket, &queue, &mut Context::from_waker(Waker::noop())).is_pending() {
                        polls += 1;
                        assert!(polls < 4, "it does not go on");
                    }
                    assert!(*socket.written.lock().unwrap() == expected, "{lengths:?}, {first:?}, {second:?}");
                }
            }
        }
    }
}
