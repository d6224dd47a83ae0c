//! The future of a send: a finished frame on its way into a connection's queue.
//!
//! It does not name the message's type. So a message that may not be sent is one error, at the call, and not a second one
//! at the `.await`.
use crate::{
    connection::{
        handle::Handle,
        queue::{Origin, Pushed, QueueClosed, Ticket},
    },
    error::SendError,
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;

/// A send, which resolves once the message is queued. The message is encoded already; it is queued when this is awaited.
///
/// # Cancel safety
///
/// If this is dropped before its first poll, or while it waits for room, the message is not sent. If room came after its
/// last poll, the message is already in the queue, and is sent whole and once. A program that must know which of the two
/// happened awaits this to its end.
#[derive(Debug)]
#[must_use = "a message is sent when this is awaited"]
pub struct Sending<'c> {
    conn: Target<'c>,
    step: Step,
    sender: Sender,
}

#[derive(Debug)]
enum Target<'c> {
    Borrowed(&'c Handle),
    Owned(Handle),
    /// The send has failed already.
    Missing,
}

#[derive(Debug)]
enum Step {
    Frame(Bytes),
    Waiting(Ticket),
    Failed(SendError),
    Done,
}

/// Who sends.
#[derive(Debug)]
enum Sender {
    Program,
    /// A handler that replies, and that began before any close. A close for a shutdown lets this reply out.
    Handler,
    /// A client, until this token is triggered. The end of a connection is not the end of the client.
    Client(CancellationToken),
}

impl<'c> Sending<'c> {
    pub(crate) fn on(conn: &'c Handle, frame: Result<Bytes, SendError>) -> Self {
        Self::new(Target::Borrowed(conn), frame.map_or_else(Step::Failed, Step::Frame))
    }

    fn new(conn: Target<'c>, step: Step) -> Self {
        Self { conn, step, sender: Sender::Program }
    }

    /// Makes this the reply of a handler that began before any close.
    pub(crate) fn of_handler(mut self) -> Self {
        self.sender = Sender::Handler;
        self
    }
}

impl Sending<'static> {
    pub(crate) fn on_owned(conn: Result<Handle, SendError>, frame: Result<Bytes, SendError>) -> Self {
        match (frame, conn) {
            (Ok(frame), Ok(conn)) => Self::new(Target::Owned(conn), Step::Frame(frame)),
            (Err(error), _) | (_, Err(error)) => Self::new(Target::Missing, Step::Failed(error)),
        }
    }

    /// Makes this a client's send: between two connections it fails as [`SendError::NotConnected`].
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.sender = Sender::Client(stop);
        self
    }
}

impl Target<'_> {
    fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Borrowed(handle) => Some(handle),
            Self::Owned(handle) => Some(handle),
            Self::Missing => None,
        }
    }
}

impl Sender {
    fn origin(&self) -> Origin {
        match self {
            Self::Handler => Origin::Reply,
            Self::Program | Self::Client(_) => Origin::Send,
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = match (std::mem::replace(&mut this.step, Step::Done), this.conn.handle()) {
            (Step::Failed(error), _) => Err(error),
            (Step::Frame(frame), Some(conn)) => match conn.queue().push(frame, this.sender.origin(), cx) {
                Ok(Pushed::Waiting(ticket)) => {
                    this.step = Step::Waiting(ticket);
                    return Poll::Pending;
                }
                Ok(Pushed::Queued) => Ok(()),
                Err(QueueClosed) => Err(SendError::Closed),
            },
            (Step::Waiting(ticket), Some(conn)) => match conn.queue().poll_ticket(&ticket, cx) {
                Poll::Pending => {
                    this.step = Step::Waiting(ticket);
                    return Poll::Pending;
                }
                Poll::Ready(queued) => queued.map_err(|QueueClosed| SendError::Closed),
            },
            (Step::Done, _) | (_, None) => unreachable!("a future is not polled after it is done"),
        };
        Poll::Ready(result.map_err(|error| match (error, &this.sender) {
            (SendError::Closed, Sender::Client(stop)) if !stop.is_cancelled() => SendError::NotConnected,
            (error, _) => error,
        }))
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let (Step::Waiting(ticket), Some(conn)) = (&self.step, self.conn.handle()) {
            conn.queue().cancel(ticket);
        }
    }
}
