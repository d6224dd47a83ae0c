//! A message on its way into a connection's queue.
//!
//! A type of its own, and not of the message's: it is the same for all messages, so a message that may not be sent is one
//! error where it is given, and not a second one where the future is awaited.
use crate::{
    connection::Connection,
    error::SendError,
    queue::{Place, Refused},
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
        Self {
            conn: Holder::Borrowed(conn),
            step: frame.map_or_else(Step::Failed, Step::Frame),
            reply: false,
            client: None,
        }
    }

    /// A reply of a handler that began before any close: one that is for a shutdown lets it out.
    pub(crate) fn reply(conn: &'c Connection, frame: Bytes) -> Self {
        Self { conn: Holder::Borrowed(conn), step: Step::Frame(frame), reply: true, client: None }
    }
}

impl Sending<'static> {
    pub(crate) fn on_owned(conn: Result<Connection, SendError>, frame: Result<Bytes, SendError>) -> Self {
        match (frame, conn) {
            (Ok(frame), Ok(conn)) => {
                Self { conn: Holder::Owned(conn), step: Step::Frame(frame), reply: false, client: None }
            }
            (Err(error), _) | (_, Err(error)) => {
                Self { conn: Holder::Nobody, step: Step::Failed(error), reply: false, client: None }
            }
        }
    }

    /// Between two connections of a client, that is what an error says.
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.client = Some(stop);
        self
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
