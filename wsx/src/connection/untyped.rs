//! The methods of a connection without a protocol: they send anything, and add handlers by hand.
//!
//! They have a file of their own, because most programs with a protocol do not use them.
use crate::{
    connection::{
        Asking, Connection,
        closure_handler::{FromMessage, by_hand},
        sending::Sending,
    },
    envelope::{Outbound, frame::Encode as _, incoming::RawFrame, reply::IntoReply},
    error::SendError,
    message::Message,
    wire::{header::Opcode, write},
};
#[cfg(feature = "tungstenite")]
use crate::{
    connection::{OpenWebSocket, StartTask, handle::Handle},
    wire::role::Role,
};
use serde::de::DeserializeOwned;
use std::future::Future;
use tokio_util::sync::CancellationToken;

impl Connection {
    /// Returns a connection on a WebSocket whose handshake is done, at either end (row C1 of the
    /// specification).
    ///
    /// It does nothing until [`start`](Self::start). Messages that are sent before wait in the
    /// queue. Only handlers from [`register_handler`](Self::register_handler) run on it. While one
    /// waits, nothing is read, unless it awaits a request: `ws` answers a close frame at once, and
    /// then does not send a reply. The bounds are those of [`Config::default`](crate::Config),
    /// except that `ws` has its own maximum length of a message.
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
        // The stream masks frames itself, so they are made as a server makes them, at either end.
        let handle = Handle::new("".into(), Role::Server, &crate::Config::default());
        let StartTask(start, peer) = ws.into_start();
        handle.set_peer_addr(peer);
        handle.set_start(start);
        Self::from_handle(handle)
    }

    /// Starts the task of the connection, which reads and writes. When `cancel` is triggered, the
    /// connection is closed with code 1000 (row C6 of the specification).
    ///
    /// A second call has no effect, nor has a call on a connection of a hub or a client.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
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

    /// Adds a handler to this connection only, for messages that arrive later.
    ///
    /// It takes precedence over the annotated handler of the same type, and replaces an earlier one
    /// of this connection. It takes the message and the connection, and returns the same results as
    /// an annotated handler. For the type `"__raw__"` it takes a [`RawFrame`]: a message that is
    /// not an envelope.
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

    /// Asks the peer, and waits for its reply. `R` is the message that is expected as the reply.
    ///
    /// ```
    /// # async fn example(conn: wsx::Connection) -> Result<(), wsx::RequestError> {
    /// #[derive(serde::Serialize, wsx::Message)]
    /// struct Reboot { delay_s: u32 }
    ///
    /// #[derive(serde::Deserialize, wsx::Message)]
    /// struct Rebooted { uptime_s: u64 }
    ///
    /// let done = conn.request_as::<Rebooted>(&Reboot { delay_s: 5 }).await?;
    /// println!("it had been up for {} s", done.uptime_s);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RequestError`](crate::RequestError).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped, the reply is lost. The peer may still handle the
    /// request; see [`Asking`].
    pub fn request_as<R: Message + DeserializeOwned>(&self, message: &(impl Outbound + ?Sized)) -> Asking<'_, R> {
        Asking::on(&self.handle, |keys| message.draft(keys))
    }

    /// Queues bytes as a text message, unchanged: the JSON of an envelope, or any other text.
    ///
    /// # Errors
    ///
    /// - [`SendError::NotUtf8`]: the bytes are not UTF-8. [`send_binary`](Self::send_binary) sends
    ///   them.
    /// - [`SendError::Closed`]: as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the message is not sent; see
    /// [`Sending`].
    pub fn send_bytes(&self, text: impl AsRef<[u8]>) -> Sending<'_> {
        match std::str::from_utf8(text.as_ref()) {
            Ok(text) => self.send_frame(Opcode::TEXT, text.as_bytes()),
            Err(error) => Sending::on_frame(&self.handle, Err(SendError::NotUtf8(error))),
        }
    }

    /// Queues bytes as a binary message.
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`]: as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the message is not sent; see
    /// [`Sending`].
    pub fn send_binary(&self, bytes: impl AsRef<[u8]>) -> Sending<'_> {
        self.send_frame(Opcode::BINARY, bytes.as_ref())
    }

    /// Queues a received message unchanged: text as a text message, bytes as a binary message.
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
    /// - [`SendError::Closed`]: as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If this future is dropped while it waits for room, the message is not sent; see
    /// [`Sending`].
    pub fn send_raw(&self, frame: &RawFrame<'_>) -> Sending<'_> {
        let kind = match frame {
            RawFrame::Text(_) => Opcode::TEXT,
            RawFrame::Binary(_) => Opcode::BINARY,
        };
        self.send_frame(kind, frame.as_bytes())
    }

    fn send_frame(&self, kind: Opcode, payload: &[u8]) -> Sending<'_> {
        Sending::on_frame(&self.handle, Ok(write::data_frame(kind, self.handle.role(), payload)))
    }
}
