//! The part of the reader for requests: it hands replies over, keeps what waits for a handler, and
//! starts the handlers that run beside the serial one. `read_loop` has the order of all steps.
//!
//! A handler may await a reply of its own peer, and the peer may need a reply of this end to make
//! it. So from its first request on, the requests of the peer are handled beside it. Other messages
//! wait for it, in order.
use crate::{
    connection::{Connection, handle::Intake},
    envelope::{
        codes,
        failure::Failure,
        incoming::{Incoming, RawFrame},
        sorted::Sorted,
    },
    protocol::endpoint::Endpoint,
    task::{
        backlog::Request,
        beside::{Kind, Waiting},
        read_loop::{Cut, ReadLoop},
        transport::Transport,
    },
    wire::data_message::DataMessage,
};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

impl<'t, E: Endpoint, T: Transport> ReadLoop<'t, E, T> {
    /// Hands a reply over, if this is one that a request waits for, or an acknowledgement.
    /// Otherwise returns the message. The error is the length of what was handed over.
    #[inline]
    pub(super) fn take_reply(&self, message: DataMessage) -> Result<DataMessage, usize> {
        if self.conn.awaits_control() { self.hand_over(message) } else { Ok(message) }
    }

    #[inline(never)]
    fn hand_over(&self, message: DataMessage) -> Result<DataMessage, usize> {
        let length = message.len();
        let frame = RawFrame::from(&message);
        match Sorted::control(&frame) {
            Some(Sorted::Reply(id)) => match id.number() {
                Some(id) => self.conn.requests().answer(id, message).err().ok_or(length),
                None => Ok(message),
            },
            Some(Sorted::Acknowledgement(ack)) => {
                self.scope.program.deliveries.acknowledged(self.conn, ack);
                Err(length)
            }
            _ => Ok(message),
        }
    }

    /// Keeps a message that arrives while a handler runs, until its turn.
    pub(super) fn keep(&mut self, message: DataMessage) {
        let Ok(message) = self.take_reply(message) else { return };
        if self.conn.intake() == Intake::Shut {
            return message.recycle();
        }
        let frame = RawFrame::from(&message);
        let request = match Sorted::of(&frame) {
            // It is not started anyway. A page asks so for a sign of life, also while a handler
            // runs.
            Sorted::Request { ttl: Some(0), .. } => {
                return self.refuse(&frame, codes::EXPIRED, "its deadline has passed");
            }
            Sorted::Request { id, ttl } => Some((Box::from(id.json()), deadline(ttl))),
            Sorted::Cancel(id) if self.beside.cancel(id.json()) => return,
            Sorted::Cancel(id) => return self.backlog.cancel(id.json()),
            _ => None,
        };
        match request {
            None => self.backlog.push(message),
            Some((id, deadline)) => {
                let request = Request { message, id, deadline };
                if self.backlog.requests() < self.scope.program.config.max_requests {
                    self.backlog.push_request(request);
                } else {
                    self.refuse(&RawFrame::from(&request.message), codes::BUSY, "too many requests wait");
                }
            }
        }
    }

    /// Answers a request with a failure, without its handler.
    fn refuse(&mut self, frame: &RawFrame<'_>, code: &'static str, why: &'static str) {
        let incoming = Incoming::message(frame);
        if let Some(reply) = self.scope.failure(self.conn, &incoming, &Failure::new(code, why)) {
            self.beside.reply(reply, (&*incoming.message_type).into());
        }
    }

    /// Whether the peer still waits for the reply to a request. Answers the request if not.
    fn is_in_time(&mut self, frame: &RawFrame<'_>, deadline: Option<Instant>) -> bool {
        let in_time = deadline.is_none_or(|deadline| Instant::now() < deadline);
        if !in_time {
            self.refuse(frame, codes::EXPIRED, "it has waited for a handler until its deadline");
        }
        in_time
    }

    /// Reads ahead and polls the handlers beside the running one, as long as one of them makes
    /// another step possible and the turn lasts.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        loop {
            let was_over = self.read_ahead(cx);
            let started = self.start_nested();
            let might_nest = self.progress.may_nest();
            let ended = self.poll_beside(cx);
            let goes_on = started || ended || might_nest != self.progress.may_nest();
            if was_over || !goes_on || self.ends_turn(cx) {
                return;
            }
        }
    }

    /// Polls the handlers beside the serial one, while none of those runs. Returns whether the next
    /// message has to wait.
    #[cold]
    pub(super) fn poll_beside_idle(&mut self, cx: &mut Context<'_>) -> bool {
        if self.progress.is_cut() {
            self.cut_beside();
            return false;
        }
        self.poll_beside(cx);
        // A nested handler is serial, although the handler beside which it began has ended.
        let waits = |this: &Self| this.beside.has_replies() || this.progress.nested() > 0;
        if waits(self) {
            self.go_on(cx);
        }
        let waits = waits(self);
        if !waits {
            // Reading goes on, also after a wait for a call.
            self.progress.set_paused(false);
        }
        waits
    }

    /// Polls the handlers beside the serial one. Returns whether one has ended.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> bool {
        let (conn, observer) = (self.conn, &self.scope.program.observer);
        let dropped = |message_type: &str| observer.reply_dropped(Connection::of(conn), message_type);
        let ended = self.beside.poll(conn, dropped, cx);
        self.progress.set_reply_waits(self.beside.has_replies());
        ended
    }

    /// Drops the handlers beside the serial one, because they have had their time.
    pub(super) fn cut_beside(&mut self) {
        let (conn, observer) = (Connection::of(self.conn), &self.scope.program.observer);
        self.beside.cut(
            |message_type| observer.handler_dropped(conn, message_type, 0),
            |message_type| observer.reply_dropped(conn, message_type),
        );
    }

    /// Starts the oldest request that waits, if every running handler awaits a reply, or if its own
    /// handler is concurrent and a call is free. Returns whether it has left the backlog.
    fn start_nested(&mut self) -> bool {
        if self.beside.has_replies() || !self.progress.is_asking() || self.progress.is_opening() {
            return false;
        }
        let Some(first) = self.backlog.first_request() else { return false };
        let may_nest = self.progress.may_nest();
        let (kind, may_start, others) = match self.scope.concurrency(self.conn, &RawFrame::from(&first.message)) {
            None => (Kind::Nested, may_nest, self.progress.nested() as usize),
            Some((message_type, maximum)) => {
                let (calls, silent) = self.beside.calls(message_type);
                (Kind::Concurrent(message_type), calls < maximum || silent == 0 && may_nest, calls)
            }
        };
        if !may_start {
            return false;
        }
        let Some(request) = self.backlog.pop_request() else { return false };
        let frame = RawFrame::from(request.message);
        if self.conn.intake() == Intake::Shut {
            DataMessage::from(frame).recycle();
        } else if !self.has_room_beside(others) {
            self.refuse(&frame, codes::BUSY, "too many requests ask back");
        } else if self.is_in_time(&frame, request.deadline) {
            self.turn.count(frame.as_bytes().len());
            self.start_beside(kind, frame);
        }
        true
    }

    /// Whether another request may be handled beside handlers that await replies, if there are as
    /// many now. One request may always be.
    fn has_room_beside(&self, requests: usize) -> bool {
        let config = &self.scope.program.config;
        requests < config.max_requests && self.beside.bytes() < config.asking_backlog_bytes.max(1)
    }

    /// Starts the handler of a message beside the serial one.
    #[inline(never)]
    pub(super) fn start_beside(&mut self, kind: Kind<'t>, frame: RawFrame<'static>) {
        let (conn, scope, bytes) = (self.conn, self.scope, frame.as_bytes().len());
        let is_owed = conn.closing().is_none();
        let message_type = match kind {
            Kind::Concurrent(message_type) => Box::from(message_type),
            Kind::Nested => Box::from(&*Incoming::message(&frame).message_type),
        };
        let handler = async move {
            let mut reply = scope.message(conn, &frame).await;
            DataMessage::from(frame).recycle();
            if let Some(reply) = &mut reply {
                conn.mark(reply);
            }
            reply
        };
        self.beside.start(kind, message_type, bytes, is_owed, Box::pin(handler), self.progress);
    }

    /// Ready when a call of a concurrent handler may start. At its maximum, and at the maximum of
    /// bytes that are handled beside, messages wait. Only a request may exceed it, if all calls
    /// await replies. Returns whether the message is to be handled: a request may be cancelled or
    /// too late, and after a close nothing is handled.
    pub(super) fn poll_slot(
        &mut self,
        message_type: &str,
        maximum: usize,
        frame: &RawFrame<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Cut>> {
        if self.progress.is_cut() {
            return Poll::Ready(Err(Cut));
        }
        let mut is_first = true;
        loop {
            if self.conn.intake() == Intake::Shut {
                self.beside.take_waiting();
                return Poll::Ready(Ok(false));
            }
            let (calls, silent) = self.beside.calls(message_type);
            // One message may always be handled.
            let has_room = calls == 0 || self.beside.bytes() < self.scope.program.config.backlog_bytes;
            let is_free = calls < maximum && has_room;
            if !is_free && self.beside.waiting().is_none() {
                let (id, deadline) = match Sorted::of(frame) {
                    Sorted::Request { id, ttl } => (id.json().into(), deadline(ttl)),
                    _ => (Box::default(), None),
                };
                self.beside.wait(Waiting { id, deadline, is_cancelled: false });
            }
            let is_request = self.beside.waiting().is_some_and(|waiting| !waiting.id.is_empty());
            let is_nested = is_request && silent == 0 && self.progress.may_nest();
            let may_start = is_free || is_nested && self.has_room_beside(calls.saturating_sub(maximum));
            if may_start && !self.beside.has_replies() {
                let starts = match self.beside.take_waiting() {
                    Some(waiting) => !waiting.is_cancelled && self.is_in_time(frame, waiting.deadline),
                    None => true,
                };
                return Poll::Ready(Ok(starts));
            }
            if !std::mem::take(&mut is_first) {
                return Poll::Pending;
            }
            self.go_on(cx);
        }
    }

    /// Returns the message of a request from the backlog, if its peer still waits. Notes the
    /// request, so that it keeps its deadline if it has to wait for a call.
    #[cold]
    pub(super) fn next_request(&mut self, request: Request) -> Option<DataMessage> {
        let Request { message, id, deadline } = request;
        if !self.is_in_time(&RawFrame::from(&message), deadline) {
            return None;
        }
        if self.scope.program.router.has_concurrent() {
            self.beside.wait(Waiting { id, deadline, is_cancelled: false });
        }
        Some(message)
    }

    /// Forgets what [`next_request`](Self::next_request) has noted: the handler is serial, or there
    /// is none.
    #[inline]
    pub(super) fn forget_waiting(&mut self) {
        if self.scope.program.router.has_concurrent() {
            self.beside.take_waiting();
        }
    }
}

/// Returns when the peer does not wait any more for the reply to a request that arrives now.
fn deadline(ttl: Option<u64>) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(ttl?))
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::{Closed, ClosedBy},
        config::Config,
        connection::{asking::Asking, closure_handler::by_hand, request_error::RequestError},
        dispatch::{
            context::Context,
            program::{Program, ProgramBuilder},
            registration::{HandlerEntry, Outcome},
            router::{NoHandlers, Owner},
        },
        envelope::{
            Envelope,
            incoming::{CLOSE, RAW},
            reply::IntoReply,
        },
        error::SendError,
        message::{Derived, Message},
        observer::{GuardedObserver, Observer, Silent},
        protocol::{
            endpoint::IntoEndpoint,
            side::{AnyPeer, AnySide},
        },
        task::running::{ASK, Running, SECOND, frame_of_a_client, start, start_program, within},
        wire::close_code::CloseCode,
    };
    use serde::{Deserialize, de::IgnoredAny};
    use std::{
        any::Any,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Semaphore, oneshot},
        task::{JoinHandle, yield_now},
        time::sleep,
    };

    /// The reply that these tests expect.
    #[derive(Debug, Deserialize)]
    struct Done(u32);

    impl Derived for Done {}
    impl Message for Done {
        const TYPE: &'static str = "done";
        const FINGERPRINT: u64 = 0;
    }

    const DONE: &[u8] = br#"{"type":"done","re":1,"data":5}"#;

    fn request(conn: &Connection) -> Asking<'_, Done> {
        conn.request_as(&Envelope::with_type("what", "x".repeat(40)))
    }

    /// Adds a handler of `outer`, which asks the peer. Returns the outcome of its request.
    fn ask_in_handler(running: &Running) -> oneshot::Receiver<u32> {
        let (sender, receiver) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let outer = by_hand(move |_: IgnoredAny, conn: Connection| {
            let sender = sender.lock().unwrap().take();
            async move {
                let Done(n) = request(&conn).await.unwrap();
                sender.unwrap().send(n).unwrap();
            }
        });
        running.conn.set_handler("outer".into(), outer);
        receiver
    }

    /// A connection whose reply to the second `inner` waits for room, because its peer reads
    /// nothing. Its handler of `outer` asks.
    async fn with_a_reply_that_waits(room: usize) -> (Running, oneshot::Receiver<u32>) {
        let mut running = start(Config::default().queue_bytes(10), SECOND, room);
        let outcome = ask_in_handler(&running);
        running.conn.set_handler("inner".into(), by_hand(|_: IgnoredAny, _| async { Envelope::with_type("yes", 1) }));
        running.send(0x81, br#"{"type":"outer"}"#).await;
        for id in 1..=2 {
            // The request, then the first reply, is in the hands of the writer before the next one.
            sleep(Duration::from_millis(1)).await;
            running.send(0x81, format!(r#"{{"type":"inner","id":{id}}}"#).as_bytes()).await;
        }
        (running, outcome)
    }

    /// Row Z5: replies that were read together may inflate to far more than a turn.
    #[cfg(feature = "deflate")]
    #[tokio::test(start_paused = true)]
    async fn a_long_reply_ends_the_turn() {
        use crate::{
            task::{running::start_with, transport::socket::SocketTransport},
            wire::deflate::{Agreed, Stream},
        };
        use flate2::{Compress, FlushCompress};
        let peer = Stream { window_bits: 15, keeps_context: false, level: 6 };
        let agreed = Agreed { own: None, peer, min_size: 0 };
        let around = |transport: SocketTransport<_>| transport.inflating(Some(agreed));
        let mut running = start_with(Config::default(), SECOND, 1 << 16, Silent, around);
        let turns = Arc::new(AtomicUsize::new(0));
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (conn, turns) = (Connection::from_handle(running.conn.clone()), turns.clone());
                tokio::spawn(async move {
                    request(&conn).await.unwrap();
                    turns.load(Ordering::Relaxed)
                })
            })
            .collect();
        let mut replies = Vec::new();
        for id in 1..=4 {
            running.frame().await.expect("a request");
            let reply = format!(r#"{{"type":"done","re":{id},"data":5{}}}"#, " ".repeat(300_000));
            let mut payload = Vec::with_capacity(1 << 16);
            let mut state = Compress::new(flate2::Compression::best(), false);
            state.compress_vec(reply.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
            payload.truncate(payload.len() - 4);
            replies.extend_from_slice(&[0xc1, 0x80 | 126]);
            replies.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
            replies.extend_from_slice(&[0; 4]);
            replies.extend_from_slice(&payload);
        }
        running.far.write_all(&replies).await.unwrap();
        let other = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
        });
        let mut ended = Vec::new();
        for asking in asking {
            ended.push(within(asking).await.unwrap());
        }
        other.abort();
        assert!(ended.is_sorted_by(|one, next| one < next), "others had a turn between them: {ended:?}");
    }

    /// Row Q4: two ends with full queues do not wait for each other.
    #[tokio::test(start_paused = true)]
    async fn replies_are_read_while_those_to_the_peer_wait_for_room() {
        let (mut running, outcome) = with_a_reply_that_waits(10).await;
        within(running.send(0x81, DONE)).await;
        assert_eq!(within(outcome).await, Ok(5));
    }

    /// Row Q4: a reply that waits for room leaves before the close frame.
    #[tokio::test(start_paused = true)]
    async fn a_reply_that_waits_for_room_leaves_before_the_close_frame() {
        // The socket has most of the request. Then it takes the rest and the first reply at once.
        let (mut running, outcome) = with_a_reply_that_waits(100).await;
        within(running.send(0x81, DONE)).await;
        within(outcome).await.unwrap();
        running.conn.close_draining(CloseCode::GOING_AWAY, "");
        sleep(Duration::from_millis(1)).await;
        let mut start = [0; 100];
        within(running.far.read_exact(&mut start)).await.unwrap();
        let rest = usize::from(start[1]) + 2 - start.len();
        within(running.far.read_exact(&mut start[..rest])).await.unwrap();
        for expected in ["\"re\":1", "\"re\":2"] {
            let (_, payload) = running.frame().await.expect("the frame before the close frame");
            assert!(String::from_utf8_lossy(&payload).contains(expected), "{expected}");
        }
        assert_eq!(running.frame().await, Some((0x88, b"\x03\xe9".to_vec())));
    }

    /// Row Q4: a text that begins like a request, and is not an envelope, waits for the handler
    /// that asks.
    #[tokio::test(start_paused = true)]
    async fn a_text_that_begins_like_a_request_waits_for_the_handler_that_asks() {
        let mut running = start(Config::default(), SECOND, 1000);
        let outcome = ask_in_handler(&running);
        let raw = Arc::new(AtomicUsize::new(0));
        let count = raw.clone();
        let on_raw = by_hand(move |_: RawFrame<'static>, _| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        });
        running.conn.set_handler(RAW.into(), on_raw);
        running.send(0x81, br#"{"type":"outer"}"#).await;
        running.send(0x81, br#"{"type":"inner","id":1,"data":"#).await;
        // Such a text has no deadline either.
        running.send(0x81, br#"{"type":"inner","id":1,"ttl":1,"data":"#).await;
        sleep(SECOND).await;
        assert_eq!(raw.load(Ordering::Relaxed), 0);
        running.send(0x81, DONE).await;
        within(outcome).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(raw.load(Ordering::Relaxed), 2);
    }

    /// Row V1: a peer whose requests are handled while a handler asks leaves turns to others.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_requests_leaves_turns_to_other_tasks() {
        let mut running = start(Config::default(), SECOND, 100_000);
        let _outcome = ask_in_handler(&running);
        let (handled, pongs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = by_hand({
            let handled = handled.clone();
            move |_: IgnoredAny, _| {
                handled.fetch_add(1, Ordering::Relaxed);
                std::future::ready(())
            }
        });
        running.conn.set_handler("count".into(), count);
        let seen = pongs.clone();
        running.conn.set_pong_handler(Arc::new(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        }));
        running.send(0x81, br#"{"type":"outer"}"#).await;
        sleep(Duration::from_millis(1)).await;
        let request = frame_of_a_client(0x81, br#"{"type":"count","id":1}"#);
        let group = [request, frame_of_a_client(0x8a, b"").repeat(4)].concat();
        running.far.write_all(&group.repeat(300)).await.unwrap();
        let mut before = [0; 2];
        while before != [300, 1200] {
            yield_now().await;
            let now = [&handled, &pongs].map(|count| count.load(Ordering::Relaxed));
            for (now, before) in now.into_iter().zip(before) {
                assert!(now - before <= 128, "{} frames in one turn", now - before);
            }
            before = now;
        }
    }

    /// Row Q3: a request ends when no reply can arrive any more. The handler of `__close__` may
    /// wait for a task that asks.
    #[tokio::test(start_paused = true)]
    async fn requests_end_before_the_handler_of_the_end_runs() {
        for is_lost in [true, false] {
            let mut running = start(Config::default(), SECOND, 1000);
            let conn = Connection::from_handle(running.conn.clone());
            let asking = tokio::spawn(async move { request(&conn).await.unwrap_err() });
            let asking = Mutex::new(Some(asking));
            let (sender, outcome) = oneshot::channel();
            let sender = Mutex::new(Some(sender));
            let on_close = by_hand(move |_: Closed, _| {
                let (asking, sender) = (asking.lock().unwrap().take(), sender.lock().unwrap().take());
                async move {
                    let error = asking.unwrap().await.unwrap();
                    sender.unwrap().send(error).unwrap();
                }
            });
            running.conn.set_handler(CLOSE.into(), on_close);
            assert!(running.frame().await.is_some(), "the request");
            let start = Instant::now();
            if is_lost {
                drop(running.far);
            } else {
                running.close().await;
                drop(running.far);
            }
            let error = within(outcome).await.unwrap();
            assert!(matches!(error, RequestError::Ended(_)), "{error:?}");
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    }

    /// Row Q3: a request that may still be written is not reported as one that was not sent.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_written_after_the_close_of_the_peer_was_sent() {
        let mut running = start(Config::default(), SECOND, 10);
        running.conn.try_push(frame_of_a_client(0x82, &[0; 100]).into()).unwrap();
        sleep(Duration::from_millis(1)).await;
        // Otherwise the reader is done at the close.
        running.send(0x81, ASK).await;
        let conn = Connection::from_handle(running.conn.clone());
        let asking = tokio::spawn(async move { request(&conn).await });
        sleep(Duration::from_millis(1)).await;
        running.send(0x88, b"\x03\xe8").await;
        let error = within(asking).await.unwrap();
        assert!(matches!(error, Err(RequestError::Ended(Closed { by: ClosedBy::Peer, .. }))), "{error:?}");
        within(running.far.read_exact(&mut [0; 106])).await.unwrap();
        let (_, payload) = running.frame().await.expect("the request");
        assert!(String::from_utf8_lossy(&payload).contains("\"what\""));
    }

    /// The endpoint of a concurrent handler.
    #[derive(Clone)]
    struct Pool {
        /// A call of `work` takes a permit.
        permits: Arc<Semaphore>,
        started: Arc<AtomicUsize>,
        dropped: Arc<AtomicUsize>,
    }

    /// Counts the handlers that were dropped. The first one panics.
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "as a test wants it");
        }
    }

    fn work<'f>(context: &'f Context<'f, Pool>) -> Outcome<'f> {
        let Pool { permits, started, dropped } = context.endpoint();
        started.fetch_add(1, Ordering::Relaxed);
        let guard = Guard(dropped.clone());
        Outcome::Pending(Box::pin(async move {
            permits.acquire().await.unwrap().forget();
            std::mem::forget(guard);
            Envelope::with_type("worked", 1).into_reply(context.reply_to())
        }))
    }

    impl IntoEndpoint for Pool {
        type Endpoint = Self;
        fn into_endpoint(self) -> Self {
            self
        }
    }

    impl Endpoint for Pool {
        type Side = AnySide;
        type Peer = AnyPeer;
        const NAME: &'static str = "Pool";
        const MODULE: &'static str = module_path!();
        fn entries() -> Vec<Box<dyn Any>> {
            vec![Box::new(HandlerEntry::<Self> {
                message_type: "work",
                call: work,
                payload: false,
                states: &[],
                concurrent: 2,
                takes_hub: false,
                name: "work",
                file: file!(),
                line: line!(),
            })]
        }
    }

    const WORK: &[u8] = br#"{"type":"work"}"#;

    fn pool(config: Config, room: usize, observer: impl Observer) -> (Running, Pool) {
        let pool = Pool { permits: Arc::new(Semaphore::new(0)), started: Arc::default(), dropped: Arc::default() };
        let mut builder = ProgramBuilder::default().endpoint(pool.clone());
        (builder.config, builder.observer) = (config, GuardedObserver::new(observer));
        let (program, result): (Program<Pool>, _) = builder.build(Owner::Hub, NoHandlers::Problem);
        result.unwrap();
        (start_program(program, room, |transport| transport), pool)
    }

    /// Row Q9: a text that begins like a concurrent message, and is not an envelope, is for the
    /// serial handler of `__raw__`.
    #[tokio::test(start_paused = true)]
    async fn a_text_that_is_not_an_envelope_is_handled_serially() {
        let (mut running, _) = pool(Config::default(), 1000, Silent);
        let slow = |answer: &'static str, time| {
            move || async move {
                sleep(time).await;
                Envelope::with_type(answer, 1)
            }
        };
        let (raw, ask) = (slow("raw", SECOND), slow("asked", Duration::ZERO));
        running.conn.set_handler(RAW.into(), by_hand(move |_: RawFrame<'static>, _| raw()));
        running.conn.set_handler("ask".into(), by_hand(move |_: IgnoredAny, _| ask()));
        running.send(0x81, br#"{"type":"work","data":"#).await;
        running.send(0x81, ASK).await;
        for expected in ["raw", "asked"] {
            let (_, payload) = running.frame().await.expect("a reply");
            assert!(String::from_utf8_lossy(&payload).contains(expected), "{expected}");
        }
    }

    /// Row Q9: a message that waits for a call starts when a reply that waited for room has left.
    #[tokio::test(start_paused = true)]
    async fn a_call_starts_when_the_reply_of_another_has_left() {
        let (mut running, Pool { permits, started, .. }) = pool(Config::default().queue_bytes(10), 10, Silent);
        for _ in 0..3 {
            running.send(0x81, WORK).await;
        }
        // The writer has the first one, and the reserve is full.
        for _ in 0..2 {
            running.conn.try_push(frame_of_a_client(0x82, &[0; 100]).into()).unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        permits.add_permits(1);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(started.load(Ordering::Relaxed), 2, "the reply waits");
        within(running.far.read_exact(&mut [0; 212])).await.unwrap();
        assert!(running.frame().await.is_some(), "the reply");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(started.load(Ordering::Relaxed), 3);
    }

    /// A connection that asks, and whose only call has ended. The reply of the call waits for room.
    async fn with_the_reply_of_a_call(config: Config) -> (Running, JoinHandle<Result<Done, RequestError>>) {
        let (mut running, Pool { permits, .. }) = pool(config.queue_bytes(10), 10, Silent);
        running.send(0x81, WORK).await;
        running.conn.try_push(frame_of_a_client(0x82, &[0; 100]).into()).unwrap();
        sleep(Duration::from_millis(1)).await;
        let conn = Connection::from_handle(running.conn.clone());
        let asking = tokio::spawn(async move { request(&conn).await });
        sleep(Duration::from_millis(1)).await;
        permits.add_permits(1);
        sleep(Duration::from_millis(1)).await;
        (running, asking)
    }

    /// Row Q4: replies are read while only a reply waits for room, and no serial handler runs.
    #[tokio::test(start_paused = true)]
    async fn replies_are_read_while_no_handler_runs() {
        let (mut running, asking) = with_the_reply_of_a_call(Config::default()).await;
        // The request is still in the queue, and the peer answers it anyway.
        running.send(0x81, DONE).await;
        assert_eq!(within(asking).await.unwrap().unwrap().0, 5);
    }

    /// Row Q4: when the reply has left, a silent peer is judged again.
    #[tokio::test(start_paused = true)]
    async fn the_heartbeat_goes_on_when_a_reply_has_left() {
        let config = Config::default().backlog_messages(0).heartbeat(SECOND, SECOND).write_timeout(60 * SECOND);
        let (mut running, _asking) = with_the_reply_of_a_call(config).await;
        sleep(10 * SECOND).await;
        within(running.far.read_exact(&mut [0; 106])).await.unwrap();
        for _ in 0..2 {
            assert!(running.frame().await.is_some(), "the request, and the reply");
        }
        // The peer takes everything, and answers no ping.
        let mut taken = Vec::new();
        let (closed, _) = tokio::join!(within(running.conn.closed()), running.far.read_to_end(&mut taken));
        assert!(closed.reason.contains("ping"), "{closed}");
    }

    /// Row Q9: after a wait for a call, a silent peer is judged again.
    #[tokio::test(start_paused = true)]
    async fn the_heartbeat_goes_on_after_a_wait_for_a_call() {
        let config = Config::default().backlog_messages(0).heartbeat(SECOND, SECOND);
        let (mut running, Pool { permits, .. }) = pool(config, 1000, Silent);
        for _ in 0..3 {
            running.send(0x81, WORK).await;
        }
        sleep(10 * SECOND).await;
        assert!(!running.conn.is_closed(), "nothing is read");
        permits.add_permits(1);
        let closed = within(running.conn.closed()).await;
        assert!(closed.reason.contains("ping"), "{closed}");
    }

    /// Row Q9: at the end each call is dropped, even if the drop of another panics.
    #[tokio::test(start_paused = true)]
    async fn every_call_is_dropped_even_if_one_panics() {
        let (mut running, Pool { dropped, .. }) = pool(Config::default(), 1000, Silent);
        for _ in 0..2 {
            running.send(0x81, WORK).await;
        }
        sleep(Duration::from_millis(1)).await;
        drop(running.far);
        within(running.task).await.unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }

    /// Row Q3: a request that had no room before its deadline was not sent.
    #[tokio::test(start_paused = true)]
    async fn a_request_without_room_ends_at_its_deadline() {
        let running = start(Config::default().queue_bytes(10), SECOND, 10);
        for _ in 0..2 {
            running.conn.try_push(frame_of_a_client(0x82, &[0; 100]).into()).unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        let conn = Connection::from_handle(running.conn.clone());
        let error = request(&conn).timeout(SECOND).await.unwrap_err();
        assert!(matches!(error, RequestError::NotSent(SendError::Full)), "{error:?}");
        assert!(!running.conn.awaits_reply());
    }
}

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
