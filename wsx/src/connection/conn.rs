//! A connection that says only what a protocol lets its side say.
use crate::{
    connection::Connection, connection::closed::Closed, connection::sending::Sending, envelope::SentBy,
    error::SendError, message::Side, wire::frame::Frame,
};
use std::{fmt, marker::PhantomData};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A connection limited to what side `S` may send to its peer; a handler on a typed endpoint takes it as an argument.
///
/// It has what a [`Connection`] has, but for the bytes that no protocol looks at and the handlers of its own: who wants those
/// takes `&Connection` beside it. [`into_owned`](Self::into_owned) makes one to keep, for a task of the program's own:
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
/// use wsx::Conn;
///
/// #[wsx::handler(on = Station)]
/// fn on_health(health: Health, conn: Conn<'_, Server>) {
///     let conn = conn.into_owned();
///     tokio::spawn(async move {
///         tokio::time::sleep(std::time::Duration::from_secs(60)).await;
///         conn.send(&Cmd { reboot: !health.ok }).await
///     });
/// }
/// # fn main() {}
/// ```
pub struct Conn<'f, S: Side, To = <S as Side>::Peer> {
    connection: Held<'f>,
    direction: PhantomData<fn() -> (S, To)>,
}

#[derive(Debug, Clone)]
enum Held<'f> {
    Borrowed(&'f Connection),
    Owned(Connection),
}

impl Held<'_> {
    fn get(&self) -> &Connection {
        match self {
            Self::Borrowed(connection) => connection,
            Self::Owned(connection) => connection,
        }
    }
}

impl<'f, S: Side, To> Conn<'f, S, To> {
    pub(crate) fn new(connection: &'f Connection) -> Self {
        Self { connection: Held::Borrowed(connection), direction: PhantomData }
    }

    /// The same connection, to keep for as long as one likes. It does not keep the connection open.
    #[must_use]
    pub fn into_owned(self) -> Conn<'static, S, To> {
        let connection = match self.connection {
            Held::Borrowed(connection) => connection.clone(),
            Held::Owned(connection) => connection,
        };
        Conn { connection: Held::Owned(connection), direction: PhantomData }
    }

    /// Queues a message, as [`Connection::send`].
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Sending<'f> {
        match &self.connection {
            Held::Borrowed(connection) => connection.send(message),
            Held::Owned(connection) => {
                let frame = message.encode(connection.role()).map(Frame::into_bytes);
                Sending::on_owned(Ok(connection.clone()), frame)
            }
        }
    }

    /// Queues a message without waiting, as [`Connection::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`].
    pub fn try_send<M: SentBy<S, To> + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        self.connection.get().try_send(message)
    }

    /// The id, as [`Connection::id`].
    #[must_use]
    pub fn id(&self) -> &str {
        self.connection.get().id()
    }

    /// Queues a ping frame, as [`Connection::ping`].
    ///
    /// # Errors
    ///
    /// As [`Connection::ping`].
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the ping is not sent; see [`Sending`].
    pub fn ping(&self, payload: &[u8]) -> Sending<'_> {
        self.connection.get().ping(payload)
    }

    /// Runs `handler` with the payload of each pong, as [`Connection::on_pong`].
    pub fn on_pong(&self, handler: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.connection.get().on_pong(handler);
    }

    /// Closes, as [`Connection::close`].
    pub fn close(&self) {
        self.connection.get().close();
    }

    /// Closes with a code and a reason, as [`Connection::close_with`].
    pub fn close_with(&self, code: CloseCode, reason: impl Into<String>) {
        self.connection.get().close_with(code, reason);
    }

    /// Whether it has ended or is closing, as [`Connection::is_closed`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.get().is_closed()
    }

    /// Waits for the end, as [`Connection::closed`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: waiting again gives the same answer.
    pub async fn closed(&self) -> Closed {
        self.connection.get().closed().await
    }

    /// A value that was attached to this connection, as [`Connection::extension`].
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.connection.get().extension()
    }

    /// Attaches a value, as [`Connection::set_extension`].
    pub fn set_extension<T: Clone + Send + Sync + 'static>(&self, value: T) {
        self.connection.get().set_extension(value);
    }
}

// By hand, since a side need not be `Clone` for this.
impl<S: Side, To> Clone for Conn<'_, S, To> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), direction: PhantomData }
    }
}

impl<S: Side, To> fmt::Debug for Conn<'_, S, To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("side", &S::NAME).field("connection", self.connection.get()).finish()
    }
}
