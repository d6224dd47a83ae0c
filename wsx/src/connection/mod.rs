//! The handle of a connection, with all its public methods. `untyped` has those that need a
//! connection without a protocol.
//!
//! A send only queues. The task of the connection owns the socket and writes the queue into it. The
//! handle does not know the socket or the hub.
pub(crate) mod closure_handler;
pub(crate) mod extensions;
pub(crate) mod handle;
pub(crate) mod loom_or_std;
pub(crate) mod queue;
pub(crate) mod sending;
mod untyped;

pub use sending::Sending;

use crate::{
    closed::Closed,
    connection::{
        handle::{Handle, Start},
        queue::PushError,
    },
    envelope::SentBy,
    error::SendError,
    protocol::side::{AnySide, Side},
    wire::{
        close_code::CloseCode,
        header::{MAX_CONTROL, Opcode},
        write::{self, Frame},
    },
};
use ref_cast::{RefCastCustom, ref_cast_custom};
use std::{fmt, marker::PhantomData, sync::Arc};

/// A handle of a WebSocket connection, the same type at both ends. A clone is cheap.
///
/// `S` is the side of this program, and `To` is its peer. The connection sends only the messages
/// that the protocol allows from `S` to `To`. A handler on a typed endpoint takes
/// `&Connection<Server>`, or `Connection<Server>` to keep it. Without a protocol the type is
/// `Connection`, which sends any message.
///
/// A send queues the message and does not touch the socket. Messages leave in the order in which
/// they were queued, each in its own frame (row C3 of the specification). A handle does not keep
/// its connection open.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct Health { ok: bool }
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct Cmd { reboot: bool }
/// # wsx::protocol! { Fleet v1 { Edge -> Server: Health; Server -> Edge: Cmd; } }
/// # #[derive(wsx::Endpoint)]
/// # #[wsx(side = Server)]
/// # struct Station;
/// use wsx::Connection;
///
/// #[wsx::handler(on = Station)]
/// fn on_health(health: Health, conn: Connection<Server>) {
///     tokio::spawn(async move {
///         tokio::time::sleep(std::time::Duration::from_secs(60)).await;
///         conn.send(&Cmd { reboot: !health.ok }).await
///     });
/// }
/// # fn main() {}
/// ```
///
/// # Cancel safety
///
/// Every async method is cancel safe. If a send is dropped while it waits for room, its message is
/// not sent; see [`Sending`].
#[derive(RefCastCustom)]
#[repr(transparent)]
pub struct Connection<S: Side = AnySide, To = <S as Side>::Peer> {
    /// The queue and the other state that all handles of the connection share.
    handle: Handle,
    /// The side and its peer, for the compiler alone.
    #[trivial]
    direction: PhantomData<fn() -> (S, To)>,
}

impl<S: Side, To> Connection<S, To> {
    /// Returns the connection of this handle.
    #[ref_cast_custom]
    pub(crate) const fn of(handle: &Handle) -> &Self;

    pub(crate) fn from_handle(handle: Handle) -> Self {
        Self { handle, direction: PhantomData }
    }

    /// Returns the id of the connection. At a server `build_id` made it; at a client it is the URL.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Queues a message or an envelope. Waits until the queue has room.
    ///
    /// The message is encoded at once, so the future does not borrow it.
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`]: the connection has ended or is closing, or this happens while the
    ///   send waits.
    /// - [`SendError::Encode`]: the message cannot be written as JSON.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the message is not sent; see
    /// [`Sending`].
    pub fn send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Sending<'_> {
        Sending::on(&self.handle, message.encode(self.handle.role()).map(Frame::into_bytes))
    }

    /// Queues a message or an envelope without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). Also [`SendError::Full`]: the queue does not have room.
    pub fn try_send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let frame = message.encode(self.handle.role())?.into_bytes();
        self.handle.try_push(frame).map_err(|error| match error {
            PushError::Full => SendError::Full,
            PushError::Closed => SendError::Closed,
        })
    }

    /// Queues a ping frame. wsx sends pings of its own only if
    /// [`Config::heartbeat`](crate::Config::heartbeat()) is set (row B1 of the specification).
    ///
    /// # Errors
    ///
    /// - [`SendError::PingTooLong`]: the payload has more than 125 bytes (RFC 6455 section 5.5).
    /// - [`SendError::Closed`]: as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the ping is not sent; see
    /// [`Sending`].
    pub fn ping(&self, payload: &[u8]) -> Sending<'_> {
        let frame = match payload.len() {
            0..=MAX_CONTROL => Ok(write::frame(Opcode::PING, self.handle.role(), payload)),
            length => Err(SendError::PingTooLong(length)),
        };
        Sending::on(&self.handle, frame)
    }

    /// Sets a function that runs with the payload of each pong. It replaces an earlier one, and
    /// must not block.
    pub fn on_pong(&self, handler: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.handle.set_pong_handler(Arc::new(handler));
    }

    /// Closes the connection with code 1000. Queued messages are sent first, then the close frame.
    /// A second call has no effect.
    ///
    /// Later sends return [`SendError::Closed`]. Messages that wait for their handler, or still
    /// arrive, are dropped (row C5 of the specification). A running handler goes on for up to
    /// [`Config::close_timeout`](crate::Config::close_timeout), and its reply is dropped.
    pub fn close(&self) {
        self.close_with(CloseCode::NORMAL, "");
    }

    /// Closes the connection with a code and a reason; otherwise as [`close`](Self::close).
    ///
    /// The reason is cut at 123 bytes (RFC 6455 section 5.5). A code that must not be in a close
    /// frame is sent as 1000. These are 1004, 1005, 1006, 1015 and undefined codes (RFC 6455
    /// section 7.4). 1014 is sent as 1000 too; see [`CloseCode::BAD_GATEWAY`].
    pub fn close_with(&self, code: CloseCode, reason: impl Into<String>) {
        self.handle.close(code, reason.into());
    }

    /// Whether the connection has ended or is closing. Sends then fail.
    ///
    /// It becomes true at once when the peer closes or the link breaks, also while a handler of
    /// this connection waits at an `.await`. There is one exception: if the buffer of
    /// [`Config::backlog_messages`](crate::Config::backlog_messages) is full, wsx notices the end
    /// after that handler.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Waits until the connection has ended. Returns the reason, at once if it has already ended.
    ///
    /// It also returns in a handler of this connection: at once when the peer closes or the link
    /// breaks, and after a close by this program when the close is done. That handler, and later
    /// the handler of `__close__`, still run then.
    ///
    /// ```
    /// # async fn measure() {}
    /// #[wsx::handler("measure")]
    /// async fn on_measure(conn: &wsx::Connection) {
    ///     tokio::select! {
    ///         () = measure() => {}
    ///         closed = conn.closed() => println!("{} does not wait any more: {closed}", conn.id()),
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a second call returns the same value.
    pub async fn closed(&self) -> Closed {
        self.handle.closed().await
    }

    /// Returns a value attached to this connection, for example the user that `build_id`
    /// authenticated.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.handle.extension().map(|value| T::clone(&value))
    }

    /// Attaches a value to this connection. It replaces an earlier value of the same type.
    pub fn set_extension<T: Clone + Send + Sync + 'static>(&self, value: T) {
        self.handle.set_extension(value);
    }

    /// Returns this connection as one that sends any message. The protocol is then not checked.
    #[must_use]
    pub fn untyped(&self) -> Connection {
        Connection::from_handle(self.handle.clone())
    }
}

/// A WebSocket whose handshake is done, for [`Connection::new`].
/// `tokio_tungstenite::WebSocketStream` implements it.
pub trait OpenWebSocket {
    /// Returns the task of the socket, which has not started.
    #[doc(hidden)]
    fn into_start(self) -> StartTask;
}

/// The task of a socket, which has not started. It has no methods.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "a task that was not started has nothing to show")]
pub struct StartTask(pub(crate) Start);

impl<S: Side, To> Clone for Connection<S, To> {
    fn clone(&self) -> Self {
        Self::from_handle(self.handle.clone())
    }
}

/// Whether both are handles of the same connection.
impl<S: Side, To> PartialEq for Connection<S, To> {
    fn eq(&self, other: &Self) -> bool {
        self.handle.is_same(&other.handle)
    }
}

impl<S: Side, To> Eq for Connection<S, To> {}

impl<S: Side, To> fmt::Debug for Connection<S, To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
