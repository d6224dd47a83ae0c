//! A connection's handle, with all of its public methods.
//!
//! Sending only queues. The connection's task owns the socket and empties the queue into it; the handle knows neither the
//! socket nor the hub.
pub(crate) mod by_hand;
pub(crate) mod extensions;
pub(crate) mod handle;
pub(crate) mod queue;
pub(crate) mod sending;

pub use sending::Sending;

use crate::{
    closed::Closed,
    connection::{
        by_hand::{FromMessage, by_hand},
        handle::{Handle, Start},
        queue::PushError,
    },
    envelope::{SentBy, incoming::RawFrame, reply::IntoReply},
    error::SendError,
    protocol::side::{AnySide, Side},
    wire::{
        close_code::CloseCode,
        header::{MAX_CONTROL, Opcode},
        write::{self, Frame},
    },
};
use ref_cast::{RefCastCustom, ref_cast_custom};
use std::{fmt, future::Future, marker::PhantomData, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A handle of one WebSocket connection, the same type on both sides of the wire. Cheap to clone.
///
/// `S` is the side that this program speaks for, and `To` its peer: the connection sends only the messages that the
/// protocol lets `S` send to `To`. A handler on a typed endpoint takes `&Connection<Server>`, or `Connection<Server>` to
/// keep it. Without a protocol the type is `Connection`, which sends any message.
///
/// Sending queues the message and never touches the socket. Messages leave in the order in which they were queued, each in
/// a frame of its own. A handle does not keep its connection open.
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
/// A send that is dropped while it waits for room has not sent its message; see [`Sending`].
#[derive(RefCastCustom)]
#[repr(transparent)]
pub struct Connection<S: Side = AnySide, To = <S as Side>::Peer> {
    handle: Handle,
    #[trivial]
    direction: PhantomData<fn() -> (S, To)>,
}

impl<S: Side, To> Connection<S, To> {
    /// The connection of this handle.
    #[ref_cast_custom]
    pub(crate) const fn of(handle: &Handle) -> &Self;

    pub(crate) fn from_handle(handle: Handle) -> Self {
        Self { handle, direction: PhantomData }
    }

    /// Returns the connection's id: on a server the one that `build_id` made, on a client the URL.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Queues a message or an envelope, and waits for room in the queue.
    ///
    /// The message is encoded at once, so the future holds no part of it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection has ended or ends while this waits, [`SendError::Encode`] when the message
    /// cannot be written as JSON.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Sending<'_> {
        Sending::on(&self.handle, message.encode(self.handle.role()).map(Frame::into_bytes))
    }

    /// Queues a message or an envelope without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Full`] when the queue has no room.
    pub fn try_send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let frame = message.encode(self.handle.role())?.into_bytes();
        self.handle.try_push(frame).map_err(|error| match error {
            PushError::Full => SendError::Full,
            PushError::Closed => SendError::Closed,
        })
    }

    /// Queues a ping frame. wsx itself pings only where [`Config::heartbeat`](crate::Config::heartbeat()) is set.
    ///
    /// # Errors
    ///
    /// [`SendError::PingTooLong`] over 125 bytes (RFC 6455 section 5.5), [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the ping is not sent; see [`Sending`].
    pub fn ping(&self, payload: &[u8]) -> Sending<'_> {
        let frame = match payload.len() {
            0..=MAX_CONTROL => Ok(write::frame(Opcode::PING, self.handle.role(), payload)),
            length => Err(SendError::PingTooLong(length)),
        };
        Sending::on(&self.handle, frame)
    }

    /// Runs `handler` with the payload of each pong. It replaces the handler that was set before, and must not block.
    pub fn on_pong(&self, handler: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.handle.set_pong_handler(Arc::new(handler));
    }

    /// Closes with code 1000. Queued messages are sent first, then the close frame. A second call changes nothing.
    ///
    /// From now on sends fail with [`SendError::Closed`], and messages that still arrive are not handled.
    pub fn close(&self) {
        self.close_with(CloseCode::NORMAL, "");
    }

    /// Closes with a code and a reason, otherwise as [`close`](Self::close).
    ///
    /// A reason is cut at 123 bytes (RFC 6455 section 5.5). A code that no close frame may carry (section 7.4: 1004, 1005,
    /// 1006, 1015 and undefined ones) is sent as 1000.
    pub fn close_with(&self, code: CloseCode, reason: impl Into<String>) {
        self.handle.close(code, reason.into());
    }

    /// Whether the connection has ended or is closing, so that nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Waits until the connection has ended, and returns how. Returns at once if it has ended already.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a second wait gives the same answer.
    pub async fn closed(&self) -> Closed {
        self.handle.closed().await
    }

    /// Returns a value that `build_id` attached to this connection, such as the user that it authenticated.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.handle.extension().map(|value| T::clone(&value))
    }

    /// Attaches a value. It replaces an earlier value of the same type.
    pub fn set_extension<T: Clone + Send + Sync + 'static>(&self, value: T) {
        self.handle.set_extension(value);
    }

    /// Returns the same connection, but one that sends any message: the protocol is not checked.
    #[must_use]
    pub fn untyped(&self) -> Connection {
        Connection::from_handle(self.handle.clone())
    }
}

impl Connection {
    /// Creates a connection on a WebSocket whose handshake is done, at either end. It does nothing until it is
    /// [started](Self::start); messages that are sent before wait in the queue.
    ///
    /// Only handlers from [`register_handler`](Self::register_handler) run on it. Its bounds are those of
    /// [`Config::default`](crate::Config), except that the longest message is that of `ws`'s own configuration.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use wsx::{CancellationToken, Connection, Envelope, tokio_tungstenite::client_async};
    ///
    /// let tcp = tokio::net::TcpStream::connect("127.0.0.1:9001").await?;
    /// let (ws, _) = client_async("ws://127.0.0.1:9001/ws", tcp).await?;
    /// let conn = Connection::new(ws);
    /// conn.register_handler("cmd", |command: Envelope, _| async move { println!("{command:?}") });
    /// conn.start(CancellationToken::new());
    /// conn.send(&Envelope::with_type("hello", "box-7")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tungstenite")]
    pub fn new<W: OpenWebSocket>(ws: W) -> Self {
        // The stream masks frames itself, so they are finished as a server's are, whichever end this is.
        let handle =
            Handle::new("".into(), tokio_tungstenite::tungstenite::protocol::Role::Server, &crate::Config::default());
        handle.set_start(ws.into_start().0);
        Self::from_handle(handle)
    }

    /// Starts reading and writing, in a task of its own. When `cancel` is triggered, the connection closes with 1000.
    ///
    /// A second call, or a call on a connection of a hub or a client, changes nothing.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self, cancel: CancellationToken) {
        let Some(start) = self.handle.take_start() else { return };
        let (conn, task) = (self.clone(), start(self.handle.clone()));
        tokio::spawn(async move {
            let mut task = task;
            tokio::select! {
                () = &mut task => return,
                () = cancel.cancelled() => conn.close(),
            }
            task.await;
        });
    }

    /// Adds a handler to this connection alone, for the messages that come after. It goes before the annotated handler
    /// of the same type, and replaces the one that was added here before.
    ///
    /// The handler takes the message and the connection, and returns what an annotated handler may return. With the type
    /// `"__raw__"` and a [`RawFrame`] it gets the frames that are not an envelope.
    ///
    /// ```
    /// # fn example(conn: wsx::Connection) {
    /// conn.register_handler("cmd", |command: serde_json::Value, conn: wsx::Connection| async move {
    ///     println!("{} wants {command}", conn.id());
    /// });
    /// conn.register_handler("__raw__", |frame: wsx::RawFrame, _| async move {
    ///     println!("{} bytes that are not an envelope", frame.as_bytes().len());
    /// });
    /// # }
    /// ```
    pub fn register_handler<T, Via, F, Fut>(&self, message_type: impl Into<String>, handler: F)
    where
        T: FromMessage<Via> + 'static,
        Via: 'static,
        F: Fn(T, Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoReply> + Send + 'static,
    {
        self.handle.set_handler(message_type.into(), by_hand(handler));
    }

    /// Queues bytes as a text message, unchanged: an envelope's JSON, or any other text.
    ///
    /// # Errors
    ///
    /// [`SendError::NotUtf8`] when no text frame may carry them (use [`send_binary`](Self::send_binary)),
    /// [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_bytes(&self, text: impl AsRef<[u8]>) -> Sending<'_> {
        let frame = std::str::from_utf8(text.as_ref())
            .map(|text| write::frame(Opcode::TEXT, self.handle.role(), text.as_bytes()))
            .map_err(SendError::NotUtf8);
        Sending::on(&self.handle, frame)
    }

    /// Queues bytes as a binary message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_binary(&self, bytes: impl AsRef<[u8]>) -> Sending<'_> {
        Sending::on(&self.handle, Ok(write::frame(Opcode::BINARY, self.handle.role(), bytes.as_ref())))
    }

    /// Queues a frame as it came: text as a text message, bytes as a binary message.
    ///
    /// ```
    /// use wsx::{Connection, RawFrame};
    ///
    /// #[wsx::handler("__raw__")]
    /// async fn echo(frame: RawFrame<'_>, conn: &Connection) -> Result<(), wsx::SendError> {
    ///     conn.send_raw(&frame).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// If this is dropped while it waits for room, the frame is not sent; see [`Sending`].
    pub fn send_raw(&self, frame: &RawFrame<'_>) -> Sending<'_> {
        let kind = match frame {
            RawFrame::Text(_) => Opcode::TEXT,
            RawFrame::Binary(_) => Opcode::BINARY,
        };
        Sending::on(&self.handle, Ok(write::frame(kind, self.handle.role(), frame.as_bytes())))
    }
}

/// A WebSocket whose handshake is done, for [`Connection::new`]: `tokio_tungstenite::WebSocketStream`.
pub trait OpenWebSocket {
    /// The socket's task, not yet started.
    #[doc(hidden)]
    fn into_start(self) -> StartTask;
}

/// What [`OpenWebSocket::into_start`] returns. It has no methods.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "a task that was not started has nothing to show")]
pub struct StartTask(pub(crate) Start);

impl<S: Side, To> Clone for Connection<S, To> {
    fn clone(&self) -> Self {
        Self::from_handle(self.handle.clone())
    }
}

/// Whether both are handles of one connection.
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
