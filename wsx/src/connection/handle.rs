//! What a connection's handles and its task share: the queue, the state of closing, and what is attached.
//!
//! The task, the hub and the sends work on a [`Handle`]; [`Connection`](super::Connection) is its public face, which adds
//! the side that sends. A handle knows neither the socket nor the hub.
use crate::{
    closed::Closed,
    config::Config,
    connection::{
        by_hand::OwnHandler,
        extensions::Extensions,
        queue::{Bound, PushError, Queue},
    },
    wire::close_code::CloseCode,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Wake, Waker},
};
use tokio::sync::SetOnce;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A connection, whatever its side.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Shared>);

struct Shared {
    id: Arc<str>,
    /// Decides whether frames are masked, because a frame is finished where it is made.
    role: Role,
    queue: Queue,
    /// Set by the first caller that closes, before the queue is closed.
    closing: OnceLock<Box<Closing>>,
    /// Set when the connection has ended.
    closed: SetOnce<Box<Closed>>,
    /// An [`Intake`], apart from `closing` because it is read for every message.
    intake: AtomicU8,
    /// What only few connections have, so that the others do not pay for it.
    extra: OnceLock<Box<Extra>>,
}

#[derive(Default)]
struct Extra {
    handlers: Mutex<HashMap<String, Arc<dyn OwnHandler>>>,
    pong: Mutex<Option<PongHandler>>,
    extensions: Mutex<Extensions>,
    start: Mutex<Option<Start>>,
}

pub(crate) type PongHandler = Arc<dyn Fn(&[u8]) + Send + Sync>;
/// What `Connection::start` runs: the socket's task, not yet started.
pub(crate) type Start = Box<dyn FnOnce(Handle) -> BoxFuture<'static, ()> + Send>;

/// How a connection is to be closed.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

/// What happens to a message that arrives.
///
/// ```text
/// Open --close_draining--> Draining --close, end--> Shut
///   \------------------close, end------------------/
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Intake {
    /// It is handled.
    Open,
    /// It is handled, because the peer may have sent it before it learned of the close.
    Draining,
    /// It is dropped.
    Shut,
}

impl Intake {
    fn from_stored(stored: u8) -> Self {
        match stored {
            0 => Self::Open,
            1 => Self::Draining,
            _ => Self::Shut,
        }
    }
}

impl Handle {
    /// Creates a connection that waits for its task.
    pub(crate) fn new(id: Arc<str>, role: Role, config: &Config) -> Self {
        let bound = Bound { messages: config.queue_messages, bytes: config.queue_bytes };
        Self(Arc::new(Shared {
            id,
            role,
            queue: Queue::new(bound),
            closing: OnceLock::new(),
            closed: SetOnce::new(),
            intake: AtomicU8::new(Intake::Open as u8),
            extra: OnceLock::new(),
        }))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn role(&self) -> Role {
        self.0.role
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Queues a finished frame if there is room for it.
    pub(crate) fn try_push(&self, frame: Bytes) -> Result<(), PushError> {
        self.0.queue.try_push(frame)
    }

    /// Closes: queued messages are sent, then the close frame; messages that still arrive are dropped. A code that no
    /// close frame may carry is sent as 1000.
    pub(crate) fn close(&self, code: CloseCode, reason: String) {
        let code = if code.is_sendable() { code } else { CloseCode::NORMAL };
        self.begin_close(Closing { code, reason }, Intake::Shut);
    }

    /// Closes, but messages that the peer sent before it learned of it are still handled, and the running handler may
    /// reply.
    pub(crate) fn close_draining(&self, code: CloseCode, reason: &str) {
        self.begin_close(Closing { code, reason: reason.to_owned() }, Intake::Draining);
    }

    fn begin_close(&self, closing: Closing, intake: Intake) {
        if self.0.closing.set(Box::new(closing)).is_ok() {
            // `fetch_max`: the intake that the task has shut stays shut.
            self.0.intake.fetch_max(intake as u8, Ordering::Relaxed);
            match intake {
                Intake::Draining => self.0.queue.close_after_reply(),
                Intake::Open | Intake::Shut => self.0.queue.close(),
            }
        }
    }

    /// For the task: the connection ends for another reason than a request.
    pub(crate) fn shut(&self) {
        self.0.intake.store(Intake::Shut as u8, Ordering::Relaxed);
        self.0.queue.close();
    }

    pub(crate) fn intake(&self) -> Intake {
        Intake::from_stored(self.0.intake.load(Ordering::Relaxed))
    }

    /// Whether the connection has ended or is closing.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.queue.is_closed()
    }

    /// How the program asked for the close, if it did.
    pub(crate) fn closing(&self) -> Option<&Closing> {
        self.0.closing.get().map(|closing| &**closing)
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) -> Closed {
        (**self.0.closed.wait().await).clone()
    }

    /// Records the end. The first one stands: a second one would be that of a second task.
    pub(crate) fn set_closed(&self, closed: Closed) {
        let _ = self.0.closed.set(Box::new(closed));
    }

    /// A waker for the task's reader. It is the connection itself, so no connection pays for it.
    pub(crate) fn reader_waker(&self) -> Waker {
        self.0.clone().into()
    }

    /// Whether both are handles of one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// An attached value, which the caller clones without a lock.
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

    /// The handler that this connection alone has for the type.
    pub(crate) fn own_handler(&self, message_type: &str) -> Option<Arc<dyn OwnHandler>> {
        lock(&self.0.extra.get()?.handlers).get(message_type).cloned()
    }

    pub(crate) fn set_pong_handler(&self, handler: PongHandler) {
        let replaced = lock(&self.extra().pong).replace(handler);
        drop(replaced);
    }

    /// Runs the program's pong handler, if there is one.
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

    fn extra(&self) -> &Extra {
        self.0.extra.get_or_init(Box::default)
    }
}

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

/// None of these locks is held while a value of the program is cloned, called or dropped: its code may take the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
