//! A message on its way into a connection's queue.
//!
//! A type of its own, and not of the message's: it is the same for all messages, so a message that may not be sent is one
//! error where it is given, and not a second one where the future is awaited.
use crate::{
    connection::Connection,
    connection::queue::{Place, Refused},
    envelope::Outbound,
    error::SendError,
    wire::frame::{self, Frame, Kind, MAX_CONTROL},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;

/// Resolves once the message is queued. Nothing happens until it is awaited, except that the message is encoded already.
///
/// # Cancel safety
///
/// Dropped before its first poll, or while it waits for room, the message is not sent. If room came after its last poll, the
/// message is in the queue already, and is sent whole and once: who must know which of the two it was awaits this to its end.
#[derive(Debug)]
#[must_use = "a message is sent when this is awaited"]
pub struct Sending<'c> {
    conn: Holder<'c>,
    step: Step,
    /// Of a handler, whose connection may begin to close meanwhile.
    reply: bool,
    /// Of a client: until this is triggered, the end of a connection is not the end of the client.
    client: Option<CancellationToken>,
}

#[derive(Debug)]
enum Holder<'c> {
    Borrowed(&'c Connection),
    Owned(Connection),
    Nobody,
}

#[derive(Debug)]
enum Step {
    Frame(Bytes),
    Waiting(Place),
    Failed(SendError),
    Done,
}

impl<'c> Sending<'c> {
    pub(crate) fn on(conn: &'c Connection, frame: Result<Bytes, SendError>) -> Self {
        Self::new(Holder::Borrowed(conn), frame.map_or_else(Step::Failed, Step::Frame))
    }

    fn new(conn: Holder<'c>, step: Step) -> Self {
        Self { conn, step, reply: false, client: None }
    }

    /// Of a handler that began before any close: a close that is for a shutdown lets its reply out.
    pub(crate) fn of_handler(mut self) -> Self {
        self.reply = true;
        self
    }
}

impl Sending<'static> {
    pub(crate) fn on_owned(conn: Result<Connection, SendError>, frame: Result<Bytes, SendError>) -> Self {
        match (frame, conn) {
            (Ok(frame), Ok(conn)) => Self::new(Holder::Owned(conn), Step::Frame(frame)),
            (Err(error), _) | (_, Err(error)) => Self::new(Holder::Nobody, Step::Failed(error)),
        }
    }

    /// Between two connections of a client, that is what an error says.
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.client = Some(stop);
        self
    }
}

impl Connection {
    /// Queues a message or an envelope, waiting for room in the queue.
    ///
    /// It is encoded at once, so the future holds no part of it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection has ended or ends while waiting, [`SendError::Encode`] when the
    /// message is no JSON.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send<M: Outbound + ?Sized>(&self, message: &M) -> Sending<'_> {
        Sending::on(self, message.encode(self.role()).map(Frame::into_bytes))
    }

    /// Queues bytes as a text message, as they are: an envelope's JSON, or any other text.
    ///
    /// # Errors
    ///
    /// [`SendError::NotUtf8`] when no text frame may carry them (use [`send_binary`](Self::send_binary)),
    /// [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_bytes(&self, text: impl AsRef<[u8]>) -> Sending<'_> {
        let frame = std::str::from_utf8(text.as_ref())
            .map(|text| frame::of(Kind::Text, self.role(), text.as_bytes()))
            .map_err(SendError::NotUtf8);
        Sending::on(self, frame)
    }

    /// Queues bytes as a binary message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_binary(&self, bytes: impl AsRef<[u8]>) -> Sending<'_> {
        Sending::on(self, Ok(frame::of(Kind::Binary, self.role(), bytes.as_ref())))
    }

    /// Queues a ping frame. Nothing in this library pings by itself unless told to.
    ///
    /// # Errors
    ///
    /// [`SendError::PingTooLong`] over 125 bytes, [`SendError::Closed`] as in [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the ping is not sent; see [`Sending`].
    pub fn ping(&self, payload: &[u8]) -> Sending<'_> {
        let frame = match payload.len() {
            0..=MAX_CONTROL => Ok(frame::of(Kind::Ping, self.role(), payload)),
            length => Err(SendError::PingTooLong(length)),
        };
        Sending::on(self, frame)
    }

    pub(crate) fn push(&self, frame: Bytes) -> Sending<'_> {
        Sending::on(self, Ok(frame))
    }
}

impl Holder<'_> {
    fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Borrowed(conn) => Some(conn),
            Self::Owned(conn) => Some(conn),
            Self::Nobody => None,
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = match (std::mem::replace(&mut this.step, Step::Done), this.conn.connection()) {
            (Step::Failed(error), _) => Err(error),
            (Step::Frame(frame), Some(conn)) => match conn.queue().push(frame, this.reply, cx) {
                Ok(Some(place)) => {
                    this.step = Step::Waiting(place);
                    return Poll::Pending;
                }
                Ok(None) => Ok(()),
                Err(Refused::Closed | Refused::Full) => Err(SendError::Closed),
            },
            (Step::Waiting(place), Some(conn)) => match conn.queue().poll_place(&place, cx) {
                Poll::Pending => {
                    this.step = Step::Waiting(place);
                    return Poll::Pending;
                }
                Poll::Ready(queued) => queued.map_err(|_| SendError::Closed),
            },
            (Step::Done, _) | (_, None) => unreachable!("a future is not polled after it is done"),
        };
        Poll::Ready(result.map_err(|error| match (error, &this.client) {
            (SendError::Closed, Some(stop)) if !stop.is_cancelled() => SendError::NotConnected,
            (error, _) => error,
        }))
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let (Step::Waiting(place), Some(conn)) = (&self.step, self.conn.connection()) {
            conn.queue().leave(place);
        }
    }
}
