//! The handle of a connection, with its public methods. `untyped` has those that need a connection
//! without a protocol.
//!
//! A send only queues. The task of the connection owns the socket and writes the queue into it. The
//! handle does not know the socket or the hub.
pub(crate) mod asking;
pub(crate) mod closure_handler;
pub(crate) mod extensions;
pub(crate) mod handle;
pub(crate) mod keeper;
pub(crate) mod loom_or_std;
pub(crate) mod queue;
#[cfg(feature = "nats")]
pub(crate) mod remote;
pub(crate) mod request_error;
pub(crate) mod requests;
pub(crate) mod sending;
pub(crate) mod shrink;
pub(crate) mod target;
pub(crate) mod token_bucket;
mod untyped;
pub(crate) mod wall_clock;
pub(crate) mod watch;

pub use asking::Asking;
pub use sending::Sending;

pub use crate::wire::deflate::{Compression, Direction};

use crate::{
    closed::Closed,
    connection::{
        handle::{Handle, Start},
        queue::QueueClosed,
    },
    envelope::{AskedBy, SentBy, frame::Encode as _},
    error::SendError,
    protocol::{
        PeerVersion,
        side::{AnySide, Side},
    },
    wire::{
        close_code::CloseCode,
        header::{MAX_CONTROL, Opcode},
        write,
    },
};
use http::{HeaderMap, header::SEC_WEBSOCKET_PROTOCOL};
use ref_cast::{RefCastCustom, ref_cast_custom};
use std::{
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

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
/// Every async method is cancel safe, except [`request`](Self::request): its reply is lost. If a
/// send is dropped while it waits for room, its message is not sent; see [`Sending`].
#[derive(RefCastCustom)]
#[repr(transparent)]
pub struct Connection<S: Side = AnySide, To = <S as Side>::Peer> {
    /// The queue and the other state that all handles of the connection share.
    pub(crate) handle: Handle,
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

    /// Returns the id of the connection. At a server `build_id` made it. At a client it is the URL
    /// without user information, query and fragment, because these can contain secrets.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Returns the address of the peer, or `None` if it is not known (row N7 of the specification).
    ///
    /// At a server it is the address that `build_id` gets as `PeerAddr`. So behind a trusted proxy
    /// it is the one that the proxy names, with port 0 if it does not name the port. If `build_id`
    /// gets none, it is that of the TCP socket below the stream, if there is one. `register` cannot
    /// know that one yet.
    ///
    /// At a client it is that of its TCP socket, which is the server or a proxy.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.handle.peer_addr()
    }

    /// Returns what the peer speaks, if it has named that (row U5 of the specification).
    ///
    /// A peer without a protocol names nothing, and so do an older wsx and other libraries.
    #[must_use]
    pub fn peer_version(&self) -> Option<&PeerVersion> {
        self.handle.peer_protocol().map(|peer| &peer.version)
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
    /// - [`SendError::PeerTooOld`]: the version of the peer does not understand the message.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the message is not sent; see
    /// [`Sending`].
    pub fn send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Sending<'_> {
        Sending::message(&self.handle, message)
    }

    /// Queues a message or an envelope without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). Also [`SendError::Full`]: the queue does not have room.
    pub fn try_send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        sending::try_send(&self.handle, message)
    }

    /// Asks the peer, and waits for its reply (row Q3 of the specification).
    /// [`Asking`] has an example.
    ///
    /// A handler may await this, on its own connection too: the reply and the peer's own requests
    /// do not wait for the handler. If the handler spawns a task that asks, and awaits that task,
    /// the peer's requests wait for the handler.
    ///
    /// # Errors
    ///
    /// [`RequestError`](crate::RequestError).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped, the reply is lost. The peer may still handle the
    /// request; see [`Asking`].
    pub fn request<M: AskedBy<S, To> + ?Sized>(&self, message: &M) -> Asking<'_, M::Reply, M::Refusal> {
        Asking::on(&self.handle, |keys| message.draft(keys))
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

    /// Waits until the socket has taken every message that was accepted before this call.
    ///
    /// The messages are then in the buffers of the operating system. The peer may not have received
    /// them: only an answer of its own says that. On a connection of `Connection::new`, it waits
    /// for [`start`](Connection::start).
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`]: the connection has ended or is closing, or it ends before the
    ///   socket has taken the messages. A [`close`](Self::close) during this wait is not an error:
    ///   queued messages are then still sent.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the messages stay queued.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.handle.flush().await.map_err(|QueueClosed| SendError::Closed)
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

    /// Returns the subprotocol on which both ends agreed in the handshake (RFC 6455 section 1.9).
    ///
    /// A hub offers its own with `WsHandler::protocols`. A client requests some with a header
    /// `Sec-WebSocket-Protocol`.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.handshake_headers().get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()
    }

    /// Returns the headers of the server's answer to the handshake, at both ends. A server adds
    /// them with `Identity::header`.
    ///
    /// `Connection`, `Upgrade` and `Sec-WebSocket-Accept` are not among them. At the server, nor
    /// are headers that the program's HTTP server adds.
    #[must_use]
    pub fn handshake_headers(&self) -> &HeaderMap {
        static NOTHING: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        self.handle.answer().unwrap_or(&NOTHING)
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

/// The task of a socket, which has not started, and the address of its peer. It has no methods.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "a task that was not started has nothing to show")]
pub struct StartTask(pub(crate) Start, pub(crate) Option<SocketAddr>);

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

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        RawFrame, closed::ClosedBy, config::Config, connection::queue::Taken, envelope::Envelope, wire::role::Role,
    };
    use futures_util::FutureExt;
    use std::sync::Mutex;
    use tokio_util::sync::CancellationToken;

    /// A connection without a task, whose queue has room for one message.
    fn connection() -> Connection {
        let config = Config::default().queue_messages(1);
        Connection::from_handle(Handle::new("box-7".into(), Role::Server, &config))
    }

    /// Takes the queued frame.
    fn taken(conn: &Connection) -> Vec<u8> {
        match conn.handle.queue().take() {
            Taken::One(frame) => frame.to_vec(),
            other => panic!("{other:?}, not one frame"),
        }
    }

    fn queued(conn: &Connection, sending: Sending<'_>) -> Vec<u8> {
        sending.now_or_never().expect("there is room").expect("the connection is open");
        taken(conn)
    }

    #[test]
    fn each_kind_of_message_is_one_frame() {
        let conn = connection();
        assert_eq!(queued(&conn, conn.send_bytes("text")), b"\x81\x04text");
        assert_eq!(queued(&conn, conn.send_binary("text")), b"\x82\x04text");
        assert_eq!(queued(&conn, conn.send_raw(&RawFrame::Text("text".into()))), b"\x81\x04text");
        assert_eq!(queued(&conn, conn.send_raw(&RawFrame::Binary(b"\xff"[..].into()))), b"\x82\x01\xff");
        assert_eq!(queued(&conn, conn.ping(b"ping")), b"\x89\x04ping");
        assert_eq!(queued(&conn, conn.ping(&[0; 125])).len(), 127);
        let envelope = Envelope::with_type("hello", "box-7");
        let sent = queued(&conn, conn.send(&envelope));
        assert_eq!(sent[0], 0x81);
        assert!(String::from_utf8_lossy(&sent[2..]).contains("hello"));
        conn.try_send(&envelope).unwrap();
        assert!(matches!(conn.try_send(&envelope), Err(SendError::Full)));
        assert_eq!(taken(&conn)[0], 0x81);
    }

    #[test]
    fn a_message_that_cannot_be_a_frame_is_an_error() {
        let conn = connection();
        assert!(matches!(conn.ping(&[0; 126]).now_or_never(), Some(Err(SendError::PingTooLong(126)))));
        assert!(matches!(conn.send_bytes(b"\xff").now_or_never(), Some(Err(SendError::NotUtf8(_)))));
    }

    #[tokio::test]
    async fn a_close_is_seen_by_all_handles() {
        let (conn, other) = (connection(), connection());
        let clone = conn.untyped();
        assert!(conn == clone && conn == conn.clone() && conn != other);
        assert!(!clone.is_closed());
        conn.close();
        conn.close_with(CloseCode::GOING_AWAY, "later");
        let closing = clone.handle.closing().expect("it was closed");
        assert_eq!((closing.code, &*closing.reason), (CloseCode::NORMAL, ""));
        assert!(clone.is_closed() && !other.is_closed());
        assert!(matches!(clone.try_send(&Envelope::with_type("hello", "box-7")), Err(SendError::Closed)));
        assert!(clone.closed().now_or_never().is_none());
        conn.handle.set_closed(Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
        assert_eq!(clone.closed().await.code, CloseCode::NORMAL);
        other.close_with(CloseCode::GOING_AWAY, "bye");
        assert_eq!(other.handle.closing().map(|closing| closing.code), Some(CloseCode::GOING_AWAY));
        assert_eq!((conn.id(), format!("{conn:?}")), ("box-7", format!("{:?}", conn.handle)));
    }

    #[test]
    fn values_and_handlers_are_attached_to_the_connection() {
        let (conn, pongs) = (connection(), Arc::new(Mutex::new(Vec::new())));
        conn.set_extension(7_u32);
        assert_eq!((conn.extension::<u32>(), conn.extension::<u8>()), (Some(7), None));
        conn.register_handler("cmd", |_: u32, _| async {});
        assert!(conn.handle.own_handler("cmd").is_some());
        conn.on_pong({
            let pongs = pongs.clone();
            move |payload| pongs.lock().unwrap().push(payload.to_vec())
        });
        conn.handle.pong(b"pong");
        assert_eq!(*pongs.lock().unwrap(), [b"pong"]);
    }

    #[tokio::test]
    async fn a_flush_waits_until_the_socket_has_taken_the_messages() {
        let conn = connection();
        conn.try_send(&Envelope::with_type("hello", "box-7")).unwrap();
        let mut flush = Box::pin(conn.flush());
        assert!((&mut flush).now_or_never().is_none());
        taken(&conn);
        match conn.handle.queue().take() {
            Taken::Flush(flushed) => flushed.set(()).unwrap(),
            other => panic!("{other:?}, not a mark"),
        }
        flush.await.unwrap();
        let mut lost = Box::pin(conn.flush());
        assert!((&mut lost).now_or_never().is_none());
        conn.close();
        assert!((&mut lost).now_or_never().is_none(), "queued messages are still sent");
        conn.handle.set_closed(Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
        assert!(matches!(lost.await, Err(SendError::Closed)));
        assert!(matches!(conn.flush().await, Err(SendError::Closed)));
    }

    #[test]
    fn the_answer_to_the_handshake_has_the_subprotocol() {
        let conn = connection();
        assert_eq!((conn.subprotocol(), conn.handshake_headers().len()), (None, 0));
        let header = |value: &[u8]| {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            [(SEC_WEBSOCKET_PROTOCOL, value)].into_iter().collect()
        };
        conn.handle.set_answer(header(b"fleet.v1"));
        assert_eq!((conn.subprotocol(), conn.handshake_headers().len()), (Some("fleet.v1"), 1));
        let other = connection();
        other.handle.set_answer(header(b"\xe9"));
        assert_eq!((other.subprotocol(), other.handshake_headers().len()), (None, 1), "not ASCII");
    }

    #[tokio::test]
    async fn the_task_starts_once_and_the_token_closes_the_connection() {
        let (conn, cancel) = (connection(), CancellationToken::new());
        let started = Arc::new(Mutex::new(0));
        conn.handle.set_start(Box::new({
            let started = started.clone();
            move |handle| {
                *started.lock().unwrap() += 1;
                Box::pin(async move {
                    while !handle.is_closed() {
                        tokio::task::yield_now().await;
                    }
                    handle.set_closed(Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
                })
            }
        }));
        conn.start(cancel.clone());
        conn.start(cancel.clone());
        tokio::task::yield_now().await;
        assert!(!conn.is_closed());
        cancel.cancel();
        assert_eq!(conn.closed().await.code, CloseCode::NORMAL);
        assert_eq!(*started.lock().unwrap(), 1);
    }
}
