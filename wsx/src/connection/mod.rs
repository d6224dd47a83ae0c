//! A cloneable handle of one socket: its id, closing, what is attached to it; what is sent goes through `sending`.
//!
//! Knows the queue, not the hub and not the socket: `drive` owns the socket, and empties the queue into it.
pub(crate) mod closed;
pub(crate) mod conn;
pub(crate) mod queue;
pub(crate) mod sending;
mod sync;

use crate::{
    config::Config,
    connection::closed::Closed,
    connection::queue::{Bound, Queue, Refused},
    dispatch::incoming::Incoming,
    envelope::Outbound,
    error::{HandlerError, SendError},
    wire::frame::Frame,
};
use bytes::Bytes;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Wake, Waker},
};
use tokio::sync::SetOnce;
use tokio_tungstenite::tungstenite::protocol::{Role, frame::coding::CloseCode};

/// A cloneable handle of one WebSocket connection, the same on both sides of the wire.
///
/// Handlers take it as `Connection` or `&Connection`; a hub and a client hand it out. Sending queues the message and
/// never touches the socket; messages leave in the order in which they were queued, each as a frame of its own.
///
/// # Cancel safety
///
/// A send that is dropped while it waits for room has not sent its message, and none is ever torn; see
/// [`Sending`](crate::Sending).
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: Arc<str>,
    /// Decides about the mask, so frames are finished where they are made.
    role: Role,
    queue: Queue,
    /// Set by whoever closes first, before the queue is closed.
    closing: OnceLock<Box<Closing>>,
    /// Set when all is over.
    closed: SetOnce<Box<Closed>>,
    /// Whether messages are still handled; apart from `closing`, as it is read for every message.
    intake: AtomicU8,
    /// What few connections have, so that the others do not pay for it.
    extra: OnceLock<Box<Extra>>,
}

#[derive(Default)]
struct Extra {
    handlers: Mutex<HashMap<String, Arc<dyn OwnHandler>>>,
    pong: Mutex<Option<PongHandler>>,
    extensions: Mutex<Extensions>,
    start: Mutex<Option<Start>>,
}

type PongHandler = Arc<dyn Fn(&[u8]) + Send + Sync>;
/// What [`Connection::start`] runs: the socket's task, not yet begun.
pub(crate) type Start = Box<dyn FnOnce(Connection) -> BoxFuture<'static, ()> + Send>;

/// A boxed future that may move between threads.
pub type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;
/// The finished frame of the reply, if there is one.
pub type HandlerResult = Result<Option<Frame>, HandlerError>;

/// A handler that was added by hand.
pub(crate) trait OwnHandler: Send + Sync {
    /// Takes what it needs out of `incoming` at once, and owns it.
    fn call(&self, conn: &Connection, incoming: &Incoming<'_>) -> BoxFuture<'static, HandlerResult>;
}

/// How a connection is to be closed.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

const OPEN: u8 = 0;
/// Closing, but what the peer still sends is handled.
const DRAINING: u8 = 1;
/// Closing, and what the peer still sends is dropped.
const SHUT: u8 = 2;

impl Connection {
    /// A connection that waits to be driven.
    pub(crate) fn unopened(id: Arc<str>, role: Role, config: &Config) -> Self {
        let bound = Bound { messages: config.queue_messages, bytes: config.queue_bytes };
        Self(Arc::new(Inner {
            id,
            role,
            queue: Queue::new(bound),
            closing: OnceLock::new(),
            closed: SetOnce::new(),
            intake: AtomicU8::new(OPEN),
            extra: OnceLock::new(),
        }))
    }

    /// The id that `build_id` made on a server; on a client, the URL.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Queues a message or an envelope without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Full`] when there is no room.
    pub fn try_send<M: Outbound + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        self.try_push(message.encode(self.0.role)?.into_bytes()).map_err(|refused| match refused {
            Refused::Full => SendError::Full,
            Refused::Closed => SendError::Closed,
        })
    }

    /// Runs `handler` with the payload of each pong, in place of the one set before. It must not block.
    pub fn on_pong(&self, handler: impl Fn(&[u8]) + Send + Sync + 'static) {
        let replaced = lock(&self.extra().pong).replace(Arc::new(handler));
        drop(replaced);
    }

    /// Closes with code 1000: what is queued leaves first, then the close frame. Calling it again changes nothing.
    ///
    /// From now on sends fail with [`SendError::Closed`], and what the peer still sends is not handled.
    pub fn close(&self) {
        self.close_with(CloseCode::Normal, "");
    }

    /// Closes with a code and a reason, otherwise as [`close`](Self::close). A reason is cut at 123 bytes (RFC 6455
    /// section 5.5). A code that no close frame may carry (section 7.4.1: 1004, 1005, 1006, 1015 and what nobody has
    /// defined) is sent as 1000.
    pub fn close_with(&self, code: CloseCode, reason: impl Into<String>) {
        let code = if code.is_allowed() { code.into() } else { 1000 };
        self.begin_close(Closing { code, reason: reason.into() }, SHUT);
    }

    /// Closes, but what the peer has sent before it learned of it is still handled, and the handler that runs may reply.
    pub(crate) fn close_draining(&self, code: u16, reason: &str) {
        self.begin_close(Closing { code, reason: reason.to_owned() }, DRAINING);
    }

    /// For the task: the connection ends for another reason than a request.
    pub(crate) fn shut(&self) {
        self.0.intake.store(SHUT, Ordering::Relaxed);
        self.0.queue.close(false);
    }

    fn begin_close(&self, closing: Closing, intake: u8) {
        if self.0.closing.set(Box::new(closing)).is_ok() {
            // `fetch_max`: a task that has shut the intake keeps it shut.
            self.0.intake.fetch_max(intake, Ordering::Relaxed);
            self.0.queue.close(intake == DRAINING);
        }
    }

    /// Whether it has ended or is closing, so that nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.queue.is_closed()
    }

    /// Waits for the end, and says how it came; at once if it has come already.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: waiting again gives the same answer.
    pub async fn closed(&self) -> Closed {
        (**self.0.closed.wait().await).clone()
    }

    /// A value that `build_id` attached to this connection, such as the user it authenticated.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        let value = lock(&self.0.extra.get()?.extensions).0.get(&TypeId::of::<T>())?.clone();
        value.downcast_ref().cloned()
    }

    /// Attaches a value, in place of an earlier one of the same type.
    pub fn set_extension<T: Clone + Send + Sync + 'static>(&self, value: T) {
        let replaced = lock(&self.extra().extensions).insert(value);
        drop(replaced);
    }

    pub(crate) fn set_extensions(&self, extensions: Extensions) {
        if !extensions.0.is_empty() {
            let replaced = std::mem::replace(&mut *lock(&self.extra().extensions), extensions);
            drop(replaced);
        }
    }

    pub(crate) fn set_handler(&self, message_type: String, handler: Arc<dyn OwnHandler>) {
        let replaced = lock(&self.extra().handlers).insert(message_type, handler);
        drop(replaced);
    }

    pub(crate) fn own_handler(&self, message_type: &str) -> Option<Arc<dyn OwnHandler>> {
        lock(&self.0.extra.get()?.handlers).get(message_type).cloned()
    }

    pub(crate) fn pong(&self, payload: &[u8]) {
        let handler = self.0.extra.get().and_then(|extra| lock(&extra.pong).clone());
        if let Some(handler) = handler {
            handler(payload);
        }
    }

    pub(crate) fn set_start(&self, start: Start) {
        let replaced = lock(&self.extra().start).replace(start);
        drop(replaced);
    }

    pub(crate) fn take_start(&self) -> Option<Start> {
        lock(&self.0.extra.get()?.start).take()
    }

    pub(crate) fn try_push(&self, frame: Bytes) -> Result<(), Refused> {
        self.0.queue.try_push(frame)
    }

    pub(crate) fn role(&self) -> Role {
        self.0.role
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(crate) fn closing(&self) -> Option<&Closing> {
        self.0.closing.get().map(|closing| &**closing)
    }

    /// Whether what comes in is still handled.
    pub(crate) fn takes_messages(&self) -> bool {
        self.0.intake.load(Ordering::Relaxed) != SHUT
    }

    /// Whether nobody has asked for a close yet.
    pub(crate) fn is_open(&self) -> bool {
        self.0.intake.load(Ordering::Relaxed) == OPEN
    }

    pub(crate) fn set_closed(&self, closed: Closed) {
        // A second end of the same connection would be a second task on it; the first one's word stands.
        let _ = self.0.closed.set(Box::new(closed));
    }

    /// Wakes the connection's task for its reader. It is the connection itself, so no connection pays for it.
    pub(crate) fn reader_waker(&self) -> Waker {
        self.0.clone().into()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn extra(&self) -> &Extra {
        self.0.extra.get_or_init(Box::default)
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.queue.wake_reader();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.wake_reader();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.0.id).field("role", &self.0.role).finish_non_exhaustive()
    }
}

/// One value of each type, as `http::Extensions` has it. Shared, so that it is cloned and dropped without a lock.
#[derive(Default)]
pub(crate) struct Extensions(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Returns what it replaces.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.insert(TypeId::of::<T>(), Arc::new(value))
    }
}

/// None of these locks is held while a value of the user's is cloned, called or dropped: it may come back for the lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
