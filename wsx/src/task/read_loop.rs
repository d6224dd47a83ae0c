//! Reads messages and runs their handlers, one after the other, until the connection ends. It does
//! not write or close.
//!
//! While a handler runs, it reads ahead: control frames are answered, the end is noticed, and
//! messages wait for their turn.
use crate::{
    connection::{
        Connection,
        asking::{has_asked, reset_asked},
        handle::{Handle, Intake},
        queue::PushError,
        target::Counted,
    },
    dispatch::run::Scope,
    envelope::incoming::{Incoming, OPEN, RawFrame},
    protocol::endpoint::Endpoint,
    task::{
        backlog::{Backlog, Next},
        beside::{Beside, Kind},
        progress::{Handling, Progress, ReadEnd},
        transport::Transport,
    },
    wire::{
        data_message::{DataMessage, Received},
        violation::ReadError,
        write::Frame,
    },
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::task::yield_now;

/// After this many messages, the other connections of the thread get a turn, and the replies are
/// written.
const TURN_MESSAGES: u32 = 128;
/// The same for bytes. Parsing them takes about a millisecond.
const TURN_BYTES: usize = 256 * 1024;

/// The reader of one connection.
pub(super) struct ReadLoop<'t, E, T> {
    transport: &'t T,
    pub(super) conn: &'t Handle,
    pub(super) scope: &'t Scope<'t, E>,
    /// What the rest of the task needs to know.
    pub(super) progress: &'t Progress,
    /// The messages that wait for the running handler.
    pub(super) backlog: Backlog,
    /// The handlers that run beside it.
    pub(super) beside: Beside<'t>,
    pub(super) turn: Turn,
}

/// The messages and bytes since the last turn of other connections.
#[derive(Default)]
pub(super) struct Turn {
    messages: u32,
    bytes: usize,
}

impl Turn {
    /// Counts a message or control frame.
    pub(super) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Whether the turn is over. Then the next one begins.
    pub(super) fn take_over(&mut self) -> bool {
        let is_over = self.messages >= TURN_MESSAGES || self.bytes >= TURN_BYTES;
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

/// A running handler was dropped, because it had had its time.
pub(super) struct Cut;

impl<'t, E: Endpoint, T: Transport> ReadLoop<'t, E, T> {
    pub(super) fn new(transport: &'t T, conn: &'t Handle, scope: &'t Scope<'t, E>, progress: &'t Progress) -> Self {
        Self {
            transport,
            conn,
            scope,
            progress,
            backlog: Backlog::default(),
            beside: Beside::default(),
            turn: Turn::default(),
        }
    }

    /// Reads and handles one message after the other, until the end was read and every message
    /// before it was handled.
    ///
    /// An idle connection has room for every value that lives across an await. So the futures of
    /// handlers are pinned where they are made, and a value ends with its block.
    #[expect(clippy::manual_async_fn, reason = "an async fn has room for `self` twice")]
    pub(super) fn run(mut self) -> impl Future<Output = ()> + use<'t, E, T> {
        async move {
            if self.open().await.is_err() {
                return;
            }
            loop {
                let Some(mut next) = poll_fn(|cx| self.poll_next(cx)).await else { return };
                if let Some((message_type, maximum)) =
                    next.as_ref().and_then(|frame| self.scope.concurrency(self.conn, frame))
                {
                    let frame = next.take().expect("a message has a handler");
                    let slot = poll_fn(|cx| self.poll_slot(message_type, maximum, &frame, cx)).await;
                    match slot {
                        Ok(true) => self.start_beside(Kind::Concurrent(message_type), frame),
                        Ok(false) => DataMessage::from(frame).recycle(),
                        Err(cut) => {
                            let _ = self.finish(Err(cut), &|| message_type.to_owned()).await;
                            return;
                        }
                    }
                }
                // The running handler's payload may borrow from it.
                if let Some(frame) = &next {
                    self.forget_waiting();
                    self.progress.start(self.conn);
                    let reply = {
                        let mut handler = pin!(self.scope.message(self.conn, frame));
                        poll_fn(|cx| self.poll_handler(handler.as_mut(), cx)).await
                    };
                    match reply {
                        Ok(None) => self.progress.done(),
                        reply => {
                            let message_type = || Incoming::message(frame).message_type.into_owned();
                            if self.finish(reply, &message_type).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                if let Some(frame) = next {
                    DataMessage::from(frame).recycle();
                }
                // A stream that answers the peer's close by itself writes nothing after that. So
                // everything is written before it reads on.
                if self.turn.take_over() || T::ANSWERS_CLOSE {
                    // Not by a plain wake-up: here the runtime polls its sockets before it
                    // continues.
                    yield_now().await;
                }
            }
        }
    }

    /// Reports the open connection, and runs the handler of `__open__`.
    async fn open(&mut self) -> Result<(), Cut> {
        let (conn, scope) = (self.conn, self.scope);
        self.progress.start(conn);
        self.progress.set_opening(true);
        scope.program.observer.connection_opened(Connection::of(conn));
        let incoming = Incoming::open();
        let reply = {
            let mut handler = pin!(scope.event(conn, &incoming));
            poll_fn(|cx| self.poll_handler(handler.as_mut(), cx)).await
        };
        let finished = self.finish(reply, &|| OPEN.to_owned()).await;
        self.progress.set_opening(false);
        // Not before: the handler of `__open__` may reject the peer.
        scope.program.deliveries.attach(conn);
        finished
    }

    /// Returns the next message that has a turn. Returns `Some(None)` after a control frame or a
    /// message that is not handled, and `None` after the end.
    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Option<RawFrame<'static>>>> {
        if !self.beside.is_idle() && self.poll_beside_idle(cx) {
            return Poll::Pending;
        }
        let message = match self.backlog.pop() {
            Some(Next::Message(message)) => message,
            Some(Next::Request(request)) => match self.next_request(request) {
                Some(message) => message,
                None => return Poll::Ready(Some(None)),
            },
            None => match ready!(self.poll_received(cx)) {
                // The end waits for the handlers that run.
                None if self.beside.is_idle() => return Poll::Ready(None),
                None => return Poll::Pending,
                Some(Ok(Received::Message(message))) => match self.take_reply(message) {
                    Ok(message) => message,
                    Err(taken) => {
                        self.turn.count(taken);
                        return Poll::Ready(Some(None));
                    }
                },
                Some(other) => {
                    self.note(other);
                    self.turn.count(0);
                    return Poll::Ready(Some(None));
                }
            },
        };
        self.turn.count(message.len());
        if self.conn.intake() == Intake::Shut {
            self.forget_waiting();
            message.recycle();
            return Poll::Ready(Some(None));
        }
        Poll::Ready(Some(Some(RawFrame::from(message))))
    }

    /// Reads the next message or control frame. Returns `None` after the end, which the task may
    /// have set.
    #[inline]
    fn poll_received(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, ReadError>>> {
        if self.progress.end().is_some() {
            return Poll::Ready(None);
        }
        let received = self.transport.poll_received(self.conn.queue(), cx);
        if received.is_pending() {
            self.report_held_back();
        }
        received.map(Some)
    }

    /// Reports a peer that is held back by its limit, if that is due.
    fn report_held_back(&self) {
        let program = self.scope.program;
        if program.config.receive_limit.is_some() && self.transport.take_held_back() {
            program.observer.connection_held_back(Connection::of(self.conn));
        }
    }

    /// Polls a handler. Reads ahead while it waits.
    fn poll_handler<R>(
        &mut self,
        handler: Pin<&mut impl Future<Output = R>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R, Cut>> {
        if self.progress.is_cut() {
            return Poll::Ready(Err(Cut));
        }
        reset_asked();
        if let Poll::Ready(result) = handler.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if has_asked() {
            self.progress.set_asked();
        }
        self.go_on(cx);
        Poll::Pending
    }

    /// Queues the reply of a handler. Reports a reply that cannot be sent, and a handler that was
    /// dropped.
    async fn finish(
        &mut self,
        reply: Result<Option<Frame>, Cut>,
        message_type: &(dyn Fn() -> String + Sync),
    ) -> Result<(), Cut> {
        let observer = &self.scope.program.observer;
        match reply {
            Err(Cut) => {
                observer.handler_dropped(Connection::of(self.conn), &message_type(), self.backlog.len());
                self.cut_beside();
                return Err(Cut);
            }
            Ok(Some(mut reply)) => {
                self.conn.mark(&mut reply);
                let counted = Counted::of(&reply);
                let queued = match self.try_reply(&reply) {
                    Err(PushError::Full) => Box::pin(self.reply_with_room(reply)).await,
                    result => result.is_ok(),
                };
                if queued {
                    counted.report(self.conn);
                } else {
                    observer.reply_dropped(Connection::of(self.conn), &message_type());
                }
            }
            Ok(None) => {}
        }
        self.progress.done();
        Ok(())
    }

    /// Queues a short reply, if there is room.
    #[inline]
    fn try_reply(&self, reply: &Frame) -> Result<(), PushError> {
        match self.progress.handling() {
            Handling::ReplyDropped => Err(PushError::Closed),
            Handling::Idle | Handling::ReplyOwed => self.conn.queue().try_append(reply.as_bytes()),
        }
    }

    /// Queues a reply of any length, and reads ahead while the queue is full. Returns whether it
    /// was queued.
    async fn reply_with_room(&mut self, reply: Frame) -> bool {
        let reply = reply.into_bytes();
        poll_fn(|cx| match self.conn.queue().try_reply(&reply) {
            Ok(()) => Poll::Ready(true),
            Err(PushError::Closed) => Poll::Ready(false),
            Err(PushError::Full) if self.progress.is_cut() => Poll::Ready(false),
            Err(PushError::Full) => {
                self.go_on(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// Reads until the socket is empty or the backlog is full, while a handler runs or a reply
    /// waits for room.
    ///
    /// A stream that answers the peer's close by itself is not read ahead, because the reply could
    /// not follow. It is read if a handler awaits a reply, which would otherwise never come.
    ///
    /// Returns whether the turn is over. Then the task is polled again.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) -> bool {
        while self.progress.end().is_none() {
            let is_asking = self.progress.is_asking();
            let config = &self.scope.program.config;
            // Replies of the peer are read while those to it wait. Otherwise two ends with full
            // queues would wait for each other.
            // A reply comes after these messages, also one that a task of the program awaits.
            let asking = (is_asking || self.conn.awaits_reply()).then(|| self.beside.bytes());
            let is_full = self.backlog.is_full(config, asking)
                || self.beside.replies() >= config.max_requests.max(1)
                || (T::ANSWERS_CLOSE && !is_asking);
            self.progress.set_paused(is_full);
            if is_full {
                return false;
            }
            let Poll::Ready(received) = self.transport.poll_received(self.conn.queue(), cx) else {
                self.report_held_back();
                return false;
            };
            let mut bytes = 0;
            match received {
                Ok(Received::Message(message)) => {
                    bytes = message.len();
                    self.keep(message);
                }
                other => {
                    self.note(other);
                    if self.progress.end().is_some() {
                        // The running handler learns of the end: its sends fail. It may still
                        // reply.
                        self.conn.drain();
                    }
                }
            }
            self.turn.count(bytes);
            if self.ends_turn(cx) {
                return true;
            }
        }
        false
    }

    /// Whether the turn of this connection is over. Then the task is polled again, after others.
    pub(super) fn ends_turn(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self.turn.take_over();
        if is_over {
            // One poll schedules this task after the runtime has polled its sockets.
            let _ = pin!(yield_now()).poll(cx);
        }
        is_over
    }

    /// Notes a control frame or the end of reading.
    fn note(&self, received: Result<Received, ReadError>) {
        match received {
            Ok(Received::Message(_)) => unreachable!("the caller handles messages"),
            // The reader has answered it.
            Ok(Received::Ping) => {}
            Ok(Received::Pong(payload)) => self.conn.pong(&payload),
            Ok(Received::Close(close)) => self.progress.set_end(ReadEnd::PeerClosed(close)),
            Err(error) => self.progress.set_end(end_of(&error)),
        }
    }
}

/// Returns how an error of the reader ends the connection.
fn end_of(error: &ReadError) -> ReadEnd {
    match error {
        ReadError::Rejected(violation) => ReadEnd::Rejected(violation.close_code(), violation.to_string()),
        ReadError::Ended | ReadError::Lost(_) => ReadEnd::LinkLost(error.to_string()),
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::ClosedBy,
        config::Config,
        connection::closure_handler::by_hand,
        envelope::Envelope,
        observer::{Observer, Silent},
        task::{
            deadline::LAST_LOOK,
            running::{ASK, Running, SECOND, frame_of_a_client, start, start_with, within},
        },
        wire::{close_code::CloseCode, violation::Violation},
    };
    use serde::de::IgnoredAny;
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    #[test]
    fn a_turn_ends_with_128_messages_or_256_kib() {
        let mut turn = Turn::default();
        let mut is_last = |bytes| {
            turn.count(bytes);
            turn.take_over()
        };
        for _ in 0..2 {
            assert_eq!((1..=128).find(|_| is_last(0)), Some(128));
        }
        for lengths in [&[256 * 1024][..], &[256 * 1024 - 1, 1], &[100_000, 100_000, 62_144]] {
            let last = lengths.iter().position(|length| is_last(*length));
            assert_eq!(last, Some(lengths.len() - 1), "{lengths:?}");
        }
    }

    #[test]
    fn invalid_input_is_rejected_with_its_code_and_a_lost_link_is_not() {
        let rejected = end_of(&Violation::TextNotUtf8.into());
        assert!(matches!(rejected, ReadEnd::Rejected(code, why) if u16::from(code) == 1007 && why.contains("UTF-8")));
        for lost in [ReadError::Ended, ReadError::Lost(std::io::ErrorKind::ConnectionReset.into())] {
            assert!(matches!(end_of(&lost), ReadEnd::LinkLost(why) if why == lost.to_string()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_messages_leaves_turns_to_other_tasks() {
        let mut running = start(Config::default(), SECOND, 10_000);
        let handled = Arc::new(AtomicUsize::new(0));
        let handler = by_hand({
            let handled = handled.clone();
            move |_: IgnoredAny, _| {
                handled.fetch_add(1, Ordering::Relaxed);
                std::future::ready(())
            }
        });
        running.conn.set_handler("ask".into(), handler);
        running.far.write_all(&frame_of_a_client(0x81, ASK).repeat(300)).await.unwrap();
        let mut before = 0;
        while before < 300 {
            yield_now().await;
            let now = handled.load(Ordering::Relaxed);
            assert!(now - before <= TURN_MESSAGES as usize, "{} messages in one turn", now - before);
            before = now;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_connection_runs_its_handler_before_the_first_message() {
        let mut running = start(Config::default(), Duration::ZERO, 1000);
        let handler = by_hand(|_: IgnoredAny, _| async {
            tokio::time::sleep(SECOND).await;
            Envelope::with_type("open", 1)
        });
        running.conn.set_handler(OPEN.into(), handler);
        running.send(0x81, ASK).await;
        for expected in ["open", "answer"] {
            let (_, reply) = running.frame().await.expect("a reply");
            assert!(String::from_utf8_lossy(&reply).contains(expected), "{expected}");
        }
    }

    /// Remembers the replies that were dropped.
    #[derive(Clone, Default)]
    struct Dropped(Arc<Mutex<Vec<String>>>);

    impl Observer for Dropped {
        fn reply_dropped(&self, _: &Connection, message_type: &str) {
            self.0.lock().unwrap().push(message_type.to_owned());
        }
    }

    /// Starts a connection whose reply has to wait for room: the peer takes nothing, and the
    /// reserve of the queue is full.
    async fn full(observer: impl Observer) -> Running {
        let config = Config::default().queue_bytes(10).close_timeout(4 * SECOND);
        let mut running = start_with(config, Duration::ZERO, 10, observer, |transport| transport);
        for _ in 0..2 {
            running.conn.try_push(vec![0; 100].into()).unwrap();
            // The writer takes the first one.
            sleep_a_little().await;
        }
        running.send(0x81, ASK).await;
        sleep_a_little().await;
        running
    }

    async fn sleep_a_little() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_waits_for_room_in_the_queue() {
        let mut running = full(Silent).await;
        within(running.far.read_exact(&mut [0; 200])).await.unwrap();
        let (first, reply) = running.frame().await.expect("a reply");
        assert!(first == 0x81 && String::from_utf8_lossy(&reply).contains("answer"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_never_gets_room_is_reported() {
        let dropped = Dropped::default();
        let running = full(dropped.clone()).await;
        let start = Instant::now();
        running.conn.close_draining(CloseCode::GOING_AWAY, "");
        within(running.task).await.unwrap();
        assert_eq!(start.elapsed(), 4 * SECOND + LAST_LOOK);
        assert_eq!(*dropped.0.lock().unwrap(), ["ask"]);
    }

    /// Messages after a close of this program do not wait for the handler, so they cannot hide the
    /// close of the peer.
    #[tokio::test(start_paused = true)]
    async fn messages_after_a_close_do_not_fill_the_backlog() {
        let mut running = start(Config::default().backlog_messages(1), 5 * SECOND, 1000);
        running.send(0x81, ASK).await;
        sleep_a_little().await;
        let start = Instant::now();
        running.conn.close(CloseCode::NORMAL, String::new());
        assert_eq!(running.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
        for _ in 0..3 {
            running.send(0x81, ASK).await;
        }
        running.send(0x88, b"\x03\xe8").await;
        assert_eq!(running.frame().await, None, "our FIN");
        assert_eq!(start.elapsed(), Duration::ZERO, "the handler still runs");
        drop(running.far);
        assert_eq!(within(running.conn.closed()).await.by, ClosedBy::Us);
    }
}
