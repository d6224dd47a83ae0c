//! The state that the handles and the task of a connection share: the queue, the close, and the
//! attached values.
//!
//! The task, the hub and the sends use a [`Handle`]. [`Connection`](super::Connection) is its
//! public form and adds the side. A handle does not know the socket or the hub.
mod asks;
mod compression;
pub(crate) mod delivery;
mod extra;
mod intake;
mod peer;
mod reports;

pub(crate) use intake::Intake;
pub(crate) use peer::PeerProtocol;

use crate::{
    catch_panic::Guarded,
    closed::{Closed, ClosedBy},
    config::Config,
    connection::{
        closure_handler::OwnHandler,
        extensions::Extensions,
        handle::{delivery::Delivery, extra::Extra},
        queue::{Bound, Budget, PushError, Queue, QueueClosed},
        requests::{Requests, Writes},
        wall_clock::{AtomicSeconds, Seconds},
    },
    wire::{close_code::CloseCode, role::Role},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{
    HeaderMap,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};
use tokio::sync::SetOnce;

/// A handle of a connection, without its side.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Shared>);

struct Shared {
    /// The key of the connection in the hub's registry, or the URL of a client without its secrets.
    id: Arc<str>,
    /// The address of the peer, if it is known. Set before the task starts.
    peer: OnceLock<SocketAddr>,
    /// When the hub last received bytes of the peer.
    seen: AtomicSeconds,
    /// Decides whether frames are masked. It is here because a sender makes the finished frame.
    role: Role,
    /// The frames that wait for the task.
    queue: Queue,
    /// Set by the first close of this program, before the queue is closed.
    closing: OnceLock<Box<Closing>>,
    /// Set when the connection has ended.
    closed: SetOnce<Box<Closed>>,
    /// An [`Intake`]. It is not part of `closing`, because it is read for every message.
    intake: AtomicU8,
    /// Whether the task of a hub's connection was spawned. Before that, the handshake may still
    /// fail, and then the program learns of neither the opening nor the end.
    started: AtomicBool,
    /// How long a request of this program waits for its reply, by default.
    request_timeout: Duration,
    /// Maximum number of requests of this program that wait at once.
    max_requests: usize,
    /// The requests of this program that wait. A connection that never asks has none.
    requests: OnceLock<Box<Requests>>,
    /// Whether this end compresses. It is read for every message, so it is not only in `extra`.
    #[cfg(feature = "deflate")]
    compresses: AtomicBool,
    /// Whether the observer knows that the peer sends replies which nobody waits for.
    unexpected: AtomicBool,
    /// What the peer speaks, if it has named it. Set before the task starts.
    peer_protocol: OnceLock<Arc<PeerProtocol>>,
    /// The delivery of kept messages on this connection.
    delivery: Delivery,
    /// Only few connections have this, so the others do not carry its memory.
    extra: OnceLock<Box<Extra>>,
}

/// A function of the program that takes the payload of a pong.
pub(crate) type PongHandler = Arc<dyn Fn(&[u8]) + Send + Sync>;
/// Runs for each new connection. It takes the handle without a side, so that its type does not name
/// the endpoint.
pub(crate) type OnConnect = Guarded<Box<dyn Fn(&Handle) + Send + Sync>>;
/// Returns the task of a socket, which has not started. `Connection::start` calls it.
pub(crate) type Start = Box<dyn FnOnce(Handle) -> BoxFuture<'static, ()> + Send>;

/// The code and the reason with which this program closes the connection.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

impl Handle {
    /// Returns a connection whose task has not started.
    pub(crate) fn new(id: Arc<str>, role: Role, config: &Config) -> Self {
        Self::within(Budget::default(), id, role, config)
    }

    /// As [`new`](Self::new), with a queue that counts for the budget of a hub.
    pub(crate) fn within(budget: Budget, id: Arc<str>, role: Role, config: &Config) -> Self {
        let bound = Bound { messages: config.queue_messages, bytes: config.queue_bytes };
        Self(Arc::new(Shared {
            id,
            peer: OnceLock::new(),
            seen: AtomicSeconds::default(),
            role,
            queue: Queue::new(bound, budget),
            closing: OnceLock::new(),
            closed: SetOnce::new(),
            intake: AtomicU8::new(Intake::Open as u8),
            started: AtomicBool::new(false),
            request_timeout: config.request_timeout,
            max_requests: config.max_requests,
            requests: OnceLock::new(),
            #[cfg(feature = "deflate")]
            compresses: AtomicBool::new(false),
            unexpected: AtomicBool::new(false),
            peer_protocol: OnceLock::new(),
            delivery: Delivery::default(),
            extra: OnceLock::new(),
        }))
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.0.id
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer.get().copied()
    }

    /// Sets the address of the peer, if it is known and was not set before.
    pub(crate) fn set_peer_addr(&self, peer: Option<SocketAddr>) {
        if let Some(peer) = peer {
            let _ = self.0.peer.set(peer);
        }
    }

    /// Returns when the hub last received bytes of the peer.
    pub(crate) fn seen(&self) -> Seconds {
        self.0.seen.load()
    }

    /// Notes that bytes of the peer were received now.
    pub(crate) fn set_seen(&self) {
        self.0.seen.store(Seconds::now());
    }

    pub(crate) fn role(&self) -> Role {
        self.0.role
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Queues a finished frame, if there is room.
    pub(crate) fn try_push(&self, frame: Bytes) -> Result<(), PushError> {
        self.0.queue.try_push(frame)
    }

    /// Waits until the socket has taken all queued frames.
    pub(crate) async fn flush(&self) -> Result<(), QueueClosed> {
        let written = self.0.queue.flush()?;
        tokio::select! {
            biased;
            _ = written.wait() => Ok(()),
            _ = self.0.closed.wait() => Err(QueueClosed),
        }
    }

    /// Closes the connection: queued messages are sent, then the close frame. Messages that still
    /// arrive are dropped, even if a shutdown has begun. An earlier close keeps its code.
    ///
    /// A code that must not be in a close frame is sent as 1000.
    pub(crate) fn close(&self, code: CloseCode, reason: String) {
        let code = if code.is_sendable() { code } else { CloseCode::NORMAL };
        let _ = self.0.closing.set(Box::new(Closing { code, reason }));
        self.conclude_delivery();
        self.shut();
    }

    /// Closes the connection as a shutdown does. Messages that the peer sent before it learned of
    /// the close are handled, and the running handler may reply. A connection that is already
    /// closing is not changed.
    pub(crate) fn close_draining(&self, code: CloseCode, reason: &str) {
        if self.0.closing.set(Box::new(Closing { code, reason: reason.to_owned() })).is_ok() {
            self.drain();
        }
    }

    /// Gives the link up: the connection ends as one whose link broke, but by this program.
    /// Messages that wait are dropped, so that none of them is handled after one of the next
    /// connection. An earlier close keeps its code.
    pub(crate) fn abandon(&self, reason: &str) {
        let _ = self.0.closing.set(Box::new(Closing { code: CloseCode::ABNORMAL, reason: reason.to_owned() }));
        self.shut();
    }

    /// Closes the queue for all but replies. Messages that were received before are handled.
    pub(crate) fn drain(&self) {
        // `fetch_max`, because `Shut` must stay.
        self.0.intake.fetch_max(Intake::Draining as u8, Ordering::Relaxed);
        self.0.queue.close_to_sends();
    }

    /// Closes the queue. Messages are dropped from now on.
    pub(crate) fn shut(&self) {
        self.0.intake.store(Intake::Shut as u8, Ordering::Relaxed);
        self.0.queue.close();
    }

    pub(crate) fn intake(&self) -> Intake {
        Intake::from_stored(self.0.intake.load(Ordering::Relaxed))
    }

    /// Notes that the task of this connection is spawned now.
    pub(crate) fn set_started(&self) {
        self.0.started.store(true, Ordering::Relaxed);
    }

    /// Whether its task was spawned, which runs the handlers of `__open__` and `__close__`.
    pub(crate) fn is_started(&self) -> bool {
        self.0.started.load(Ordering::Relaxed)
    }

    /// Whether the connection has ended or is closing.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.queue.is_closed()
    }

    /// Returns the close of this program, if there was one.
    pub(crate) fn closing(&self) -> Option<&Closing> {
        self.0.closing.get().map(|closing| &**closing)
    }

    /// Returns the close of this program as the end of the connection, if there was one.
    pub(crate) fn closed_by_us(&self) -> Option<Closed> {
        self.closing().map(|closing| Closed::new(closing.code, closing.reason.as_str(), ClosedBy::Us))
    }

    /// Waits until the connection has ended. Returns the reason.
    pub(crate) async fn closed(&self) -> Closed {
        (**self.0.closed.wait().await).clone()
    }

    /// Records the end. Only the first call counts; a second one could only come from a second
    /// task.
    pub(crate) fn set_closed(&self, closed: Closed) {
        self.end_requests(&closed, Writes::Over);
        let _ = self.0.closed.set(Box::new(closed));
    }

    /// Returns the waker of the task's reader. It is the connection itself, so it needs no memory.
    pub(crate) fn reader_waker(&self) -> Waker {
        self.0.clone().into()
    }

    /// Whether both are handles of the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Stores the headers of the answer to the handshake, without those of every handshake.
    pub(crate) fn set_answer(&self, mut headers: HeaderMap) {
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
            headers.remove(name);
        }
        if !headers.is_empty() {
            let _ = self.extra().answer.set(Box::new(headers));
        }
    }

    /// Returns the headers of the answer to the handshake, if it had headers of its own.
    pub(crate) fn answer(&self) -> Option<&HeaderMap> {
        self.0.extra.get()?.answer.get().map(|headers| &**headers)
    }

    /// Returns an attached value, in its `Arc`. So the caller clones it without a lock.
    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        lock(&self.0.extra.get()?.extensions).get()
    }

    pub(crate) fn set_extension<T: Send + Sync + 'static>(&self, value: T) {
        let replaced = lock(&self.extra().extensions).insert(value);
        drop(replaced);
    }

    pub(crate) fn set_extensions(&self, extensions: Extensions) {
        if !extensions.is_empty() {
            let replaced = std::mem::replace(&mut *lock(&self.extra().extensions), extensions);
            drop(replaced);
        }
    }

    pub(crate) fn set_handler(&self, message_type: String, handler: Arc<dyn OwnHandler>) {
        let replaced = lock(&self.extra().handlers).insert(message_type, handler);
        drop(replaced);
    }

    /// Returns the connection's own handler for this type.
    pub(crate) fn own_handler(&self, message_type: &str) -> Option<Arc<dyn OwnHandler>> {
        lock(&self.0.extra.get()?.handlers).get(message_type).cloned()
    }

    pub(crate) fn set_pong_handler(&self, handler: PongHandler) {
        let replaced = lock(&self.extra().pong).replace(handler);
        drop(replaced);
    }

    /// Runs the function of `on_pong`, if there is one.
    pub(crate) fn pong(&self, payload: &[u8]) {
        let handler = self.0.extra.get().and_then(|extra| lock(&extra.pong).clone());
        if let Some(handler) = handler {
            handler(payload);
        }
    }

    /// Stores the task, for a connection made by `Connection::new`.
    pub(crate) fn set_start(&self, start: Start) {
        let replaced = lock(&self.extra().start).replace(start);
        drop(replaced);
    }

    /// Takes the task, once.
    pub(crate) fn take_start(&self) -> Option<Start> {
        lock(&self.0.extra.get()?.start).take()
    }

    /// Returns the state that few connections have, and creates it if necessary.
    fn extra(&self) -> &Extra {
        self.0.extra.get_or_init(Box::default)
    }
}

/// Wakes the reader of the task.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.queue.wake_reader();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.wake_reader();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.0.id).field("role", &self.0.role).finish_non_exhaustive()
    }
}

/// Locks. The caller must not clone, call or drop a value of the program under the lock, because
/// its code may take the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::connection::watch::Watch;

    fn handle() -> Handle {
        Handle::new("box-7".into(), Role::Client, &Config::default())
    }

    /// A value of the program that panics when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a program may do this");
        }
    }

    #[test]
    fn a_handle_knows_its_connection() {
        let handle = handle();
        assert_eq!((&**handle.id(), handle.role()), ("box-7", Role::Client));
        assert!(handle.is_same(&handle.clone()) && !handle.is_same(&self::handle()));
        assert!(!handle.is_started());
        handle.set_started();
        assert!(handle.is_started());
        assert_eq!(format!("{handle:?}"), r#"Connection { id: "box-7", role: Client, .. }"#);
    }

    #[test]
    fn a_close_keeps_the_first_code_and_drops_messages() {
        for (code, sent) in [(1008, 1008), (1005, 1000), (1014, 1000), (4001, 4001)] {
            let handle = handle();
            assert!(handle.closing().is_none() && !handle.is_closed());
            assert_eq!(handle.intake(), Intake::Open);
            handle.close(code.into(), "first".into());
            handle.close(CloseCode::GOING_AWAY, "second".into());
            let closing = handle.closing().expect("it was closed");
            assert_eq!((u16::from(closing.code), &*closing.reason), (sent, "first"));
            assert!(handle.is_closed() && matches!(handle.try_push(Bytes::new()), Err(PushError::Closed)));
            assert_eq!(handle.intake(), Intake::Shut);
        }
    }

    #[test]
    fn a_shutdown_lets_handlers_reply_and_a_close_after_it_does_not() {
        let handle = handle();
        handle.close_draining(CloseCode::GOING_AWAY, "bye");
        assert_eq!((handle.intake(), handle.is_closed()), (Intake::Draining, true));
        assert!(handle.queue().try_append(b"reply").is_ok());
        handle.close(CloseCode::NORMAL, String::new());
        assert_eq!(handle.intake(), Intake::Shut);
        assert!(handle.queue().try_append(b"reply").is_err());
        let code = |handle: &Handle| handle.closing().map(|closing| closing.code);
        assert_eq!(code(&handle), Some(CloseCode::GOING_AWAY));
        handle.drain();
        assert_eq!(handle.intake(), Intake::Shut);
        let closing = self::handle();
        closing.close(CloseCode::NORMAL, String::new());
        closing.close_draining(CloseCode::GOING_AWAY, "bye");
        assert_eq!((closing.intake(), code(&closing)), (Intake::Shut, Some(CloseCode::NORMAL)));
    }

    /// Row K22: an old message is not handled after a newer one.
    #[test]
    fn a_connection_that_is_given_up_drops_messages() {
        let given_up = handle();
        given_up.abandon("why");
        let closing = given_up.closing().map(|closing| (closing.code, &*closing.reason));
        assert_eq!((given_up.intake(), closing), (Intake::Shut, Some((CloseCode::ABNORMAL, "why"))));
        let closed = handle();
        closed.close_draining(CloseCode::GOING_AWAY, "bye");
        closed.abandon("why");
        let code = closed.closing().map(|closing| closing.code);
        assert_eq!((closed.intake(), code), (Intake::Shut, Some(CloseCode::GOING_AWAY)));
    }

    #[tokio::test]
    async fn the_first_end_counts() {
        let handle = handle();
        handle.set_closed(Closed::new(CloseCode::NORMAL, "first", ClosedBy::Peer));
        handle.set_closed(Closed::new(CloseCode::ABNORMAL, "second", ClosedBy::Link));
        assert_eq!(handle.closed().await, Closed::new(CloseCode::NORMAL, "first", ClosedBy::Peer));
    }

    #[test]
    fn the_waker_of_the_reader_calls_the_reader() {
        let (handle, noop) = (handle(), Waker::noop());
        assert!(handle.queue().begin_poll(noop) && !handle.queue().begin_poll(noop));
        let waker = handle.reader_waker();
        waker.wake_by_ref();
        assert!(handle.queue().begin_poll(noop) && !handle.queue().begin_poll(noop));
        waker.wake();
        assert!(handle.queue().begin_poll(noop));
    }

    #[test]
    fn one_value_of_each_type_is_attached() {
        let handle = handle();
        assert_eq!(handle.extension::<u32>(), None);
        handle.set_extension(1_u32);
        handle.set_extension(2_u32);
        handle.set_extension("text");
        handle.set_extensions(Extensions::default());
        assert_eq!((handle.extension::<u32>().as_deref(), handle.extension::<u8>()), (Some(&2), None));
        assert_eq!(handle.extension::<&str>().as_deref(), Some(&"text"));
        let mut extensions = Extensions::default();
        assert!(extensions.insert(3_u32).is_none() && extensions.insert(4_u32).is_some());
        handle.set_extensions(extensions);
        assert_eq!((handle.extension::<u32>().as_deref(), handle.extension::<&str>()), (Some(&4), None));
    }

    #[test]
    fn the_handlers_of_a_connection_are_found_by_their_type() {
        use crate::connection::{Connection, closure_handler::by_hand};
        let handle = handle();
        assert!(handle.own_handler("cmd").is_none());
        handle.set_handler("cmd".into(), by_hand(|_: u32, _: Connection| async {}));
        assert!(handle.own_handler("cmd").is_some() && handle.own_handler("other").is_none());
    }

    #[test]
    fn a_pong_runs_the_newest_function() {
        let (handle, seen) = (handle(), Arc::new(Mutex::new(Vec::new())));
        handle.pong(b"none");
        for name in ["first", "second"] {
            let seen = seen.clone();
            handle.set_pong_handler(Arc::new(move |payload| seen.lock().unwrap().push((name, payload.to_vec()))));
        }
        handle.pong(b"pong");
        assert_eq!(*seen.lock().unwrap(), [("second", b"pong".to_vec())]);
    }

    #[test]
    fn the_task_is_taken_once() {
        let handle = handle();
        assert!(handle.take_start().is_none());
        handle.set_start(Box::new(|_| Box::pin(async {})));
        assert!(handle.take_start().is_some() && handle.take_start().is_none());
    }

    #[test]
    fn the_answer_is_kept_without_the_headers_of_every_handshake() {
        let handle = handle();
        let headers = |names: &[&'static str]| -> HeaderMap {
            names
                .iter()
                .map(|name| (http::HeaderName::from_static(name), http::HeaderValue::from_static("x")))
                .collect()
        };
        let usual = ["connection", "upgrade", "sec-websocket-accept"];
        handle.set_answer(headers(&usual));
        assert!(handle.answer().is_none() && handle.0.extra.get().is_none(), "it has no memory");
        handle.set_answer(headers(&[&usual[..], &["x-box"]].concat()));
        assert_eq!(handle.answer(), Some(&headers(&["x-box"])));
    }

    /// Remembers each call.
    #[derive(Default)]
    struct Calls(Mutex<Vec<String>>);

    impl Watch for Calls {
        fn compressed(&self, _: &Handle, _: &crate::connection::Compression) {}
        fn sent(&self, conn: &Handle, message_type: &'static str, bytes: usize) {
            self.0.lock().unwrap().push(format!("{} sent {message_type} {bytes}", conn.id()));
        }

        fn queue_changed(&self, conn: &Handle, before: usize, now: usize) {
            self.0.lock().unwrap().push(format!("{} has {before} {now}", conn.id()));
        }
    }

    #[test]
    fn a_watched_connection_reports_its_messages_and_its_queue() {
        let (handle, calls) = (handle(), Arc::new(Calls::default()));
        handle.report_sent("early", 1);
        handle.report_queue();
        handle.end_reports();
        handle.set_watch(calls.clone());
        handle.set_watch(Arc::new(Calls::default()));
        handle.report_queue();
        for message_type in ["first", "second"] {
            handle.try_push(Bytes::from_static(b"frame")).unwrap();
            handle.report_sent(message_type, 5);
        }
        let _ = handle.queue().take();
        handle.report_queue();
        handle.report_queue();
        handle.try_push(Bytes::from_static(b"frame")).unwrap();
        handle.report_queue();
        handle.end_reports();
        handle.end_reports();
        let expected = ["sent first 5", "has 0 1", "sent second 5", "has 1 2", "has 2 0", "has 0 1", "has 1 0"];
        assert_eq!(*calls.0.lock().unwrap(), expected.map(|call| format!("box-7 {call}")));
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn a_connection_has_its_span_until_its_end() {
        use tracing::{Event, Metadata, Subscriber, span};
        struct All;
        impl Subscriber for All {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
                span::Id::from_u64(7)
            }
            fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
            fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
            fn event(&self, _: &Event<'_>) {}
            fn enter(&self, _: &span::Id) {}
            fn exit(&self, _: &span::Id) {}
        }
        let handle = handle();
        assert!(handle.span().is_disabled());
        handle.set_span(tracing::subscriber::with_default(All, || tracing::error_span!("connection")));
        assert!(!handle.span().is_disabled());
        handle.end_span();
        assert!(handle.span().is_disabled());
    }

    #[test]
    fn values_that_panic_when_they_are_dropped_do_not_harm_the_task() {
        use crate::connection::{Connection, closure_handler::by_hand};
        let handle = handle();
        let bombs = [Bomb, Bomb, Bomb, Bomb];
        let [handler, pong, start, value] = bombs;
        handle.set_handler(
            "cmd".into(),
            by_hand(move |_: u32, _: Connection| {
                let _ = &handler;
                async {}
            }),
        );
        handle.set_pong_handler(Arc::new(move |_| {
            let _ = &pong;
        }));
        handle.set_start(Box::new(move |_| {
            let _ = &start;
            Box::pin(async {})
        }));
        handle.set_extension(value);
        drop(handle);
    }
}
