//! Reads messages and runs their handlers, one after the other, until the connection ends. It does
//! not write or close.
//!
//! While a handler runs, it reads ahead: control frames are answered, the end is noticed, and
//! messages wait for their turn.
use crate::{
    connection::{
        Connection,
        handle::{Handle, Intake},
        queue::PushError,
    },
    dispatch::run::Scope,
    envelope::incoming::{Incoming, OPEN, RawFrame},
    protocol::endpoint::Endpoint,
    task::{
        backlog::Backlog,
        progress::{Handling, Progress, ReadEnd},
        transport::Transport,
    },
    wire::{
        data_message::{DataMessage, Received},
        violation::ReadError,
        write::Frame,
    },
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};
use tokio::task::yield_now;

/// After this many messages, the other connections of the thread get a turn, and the replies are
/// written.
const TURN_MESSAGES: u32 = 128;
/// The same for bytes. Parsing them takes about a millisecond.
const TURN_BYTES: usize = 256 * 1024;

/// The reader of one connection.
pub(super) struct ReadLoop<'t, E, T> {
    transport: &'t T,
    conn: &'t Handle,
    scope: &'t Scope<'t, E>,
    /// What the rest of the task needs to know.
    progress: &'t Progress,
    /// The messages that wait for the running handler.
    backlog: Backlog,
    turn: Turn,
}

/// The messages and bytes since the last turn of other connections.
#[derive(Default)]
struct Turn {
    messages: u32,
    bytes: usize,
}

impl Turn {
    /// Counts a message or control frame. Returns whether the turn is over.
    fn count(&mut self, bytes: usize) -> bool {
        self.messages += 1;
        self.bytes += bytes;
        let is_over = self.messages >= TURN_MESSAGES || self.bytes >= TURN_BYTES;
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

/// A running handler was dropped, because it had had its time.
struct Cut;

impl<'t, E: Endpoint, T: Transport> ReadLoop<'t, E, T> {
    pub(super) fn new(transport: &'t T, conn: &'t Handle, scope: &'t Scope<'t, E>, progress: &'t Progress) -> Self {
        Self { transport, conn, scope, progress, backlog: Backlog::default(), turn: Turn::default() }
    }

    /// Reads and handles one message after the other, until the end was read and every message
    /// before it was handled.
    pub(super) async fn run(mut self) {
        self.progress.start(self.conn);
        self.scope.program.observer.connection_opened(Connection::of(self.conn));
        if self.open().await.is_err() {
            return;
        }
        loop {
            let message = match self.backlog.pop() {
                Some(message) => message,
                None => match poll_fn(|cx| self.poll_received(cx)).await {
                    None => return,
                    Some(Ok(Received::Message(message))) => message,
                    Some(other) => {
                        self.note(other);
                        self.pause(0).await;
                        continue;
                    }
                },
            };
            let bytes = message.len();
            if self.conn.intake() == Intake::Shut {
                message.recycle();
            } else if self.handle(message).await.is_err() {
                return;
            }
            self.pause(bytes).await;
        }
    }

    /// Reads the next message or control frame. Returns `None` after the end, which the task may
    /// have set.
    fn poll_received(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, ReadError>>> {
        if self.progress.end().is_some() {
            return Poll::Ready(None);
        }
        self.transport.poll_received(self.conn.queue(), cx).map(Some)
    }

    /// Runs the handler of `__open__`.
    async fn open(&mut self) -> Result<(), Cut> {
        let incoming = Incoming::open();
        let reply = self.run_handler(self.scope.event(self.conn, &incoming)).await;
        self.finish(reply, || OPEN.to_owned()).await
    }

    /// Runs the handler of a message, which owns the message meanwhile. So the payload may borrow
    /// from it.
    async fn handle(&mut self, message: DataMessage) -> Result<(), Cut> {
        // Owned, not borrowed: every idle connection has room for all that this future holds.
        let frame = RawFrame::from(message);
        self.progress.start(self.conn);
        let reply = self.run_handler(self.scope.message(self.conn, &frame)).await;
        let result = self.finish(reply, || Incoming::message(&frame).message_type.into_owned()).await;
        DataMessage::from(frame).recycle();
        result
    }

    /// Runs a handler to its end, and reads ahead while it waits.
    async fn run_handler<R>(&mut self, handler: impl Future<Output = R>) -> Result<R, Cut> {
        let mut handler = pin!(handler);
        poll_fn(|cx| {
            if self.progress.is_cut() {
                return Poll::Ready(Err(Cut));
            }
            if let Poll::Ready(result) = handler.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            self.read_ahead(cx);
            Poll::Pending
        })
        .await
    }

    /// Queues the reply of a handler. Reports a reply that cannot be sent, and a handler that was
    /// dropped.
    async fn finish(
        &mut self,
        reply: Result<Option<Frame>, Cut>,
        message_type: impl FnOnce() -> String,
    ) -> Result<(), Cut> {
        let observer = &self.scope.program.observer;
        let Ok(reply) = reply else {
            observer.handler_dropped(Connection::of(self.conn), &message_type(), self.backlog.len());
            return Err(Cut);
        };
        if let Some(reply) = reply {
            if !self.queue_reply(reply).await {
                observer.reply_dropped(Connection::of(self.conn), &message_type());
            }
        }
        self.progress.done();
        self.progress.set_paused(false);
        Ok(())
    }

    /// Queues a reply, and reads ahead while the queue is full. Returns whether it was queued.
    async fn queue_reply(&mut self, reply: Frame) -> bool {
        if self.progress.handling() == Handling::ReplyDropped {
            return false;
        }
        match self.conn.queue().try_append(reply.as_bytes()) {
            Ok(()) => return true,
            Err(PushError::Closed) => return false,
            Err(PushError::Full) => {}
        }
        let reply = reply.into_bytes();
        poll_fn(|cx| match self.conn.queue().try_reply(&reply) {
            Ok(()) => Poll::Ready(true),
            Err(PushError::Closed) => Poll::Ready(false),
            Err(PushError::Full) if self.progress.is_cut() => Poll::Ready(false),
            Err(PushError::Full) => {
                self.read_ahead(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// Reads until the socket is empty or the backlog is full, while a handler runs.
    ///
    /// A stream that answers the peer's close by itself is not read ahead, because the reply could
    /// not follow.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if T::ANSWERS_CLOSE {
            return self.progress.set_paused(true);
        }
        while self.progress.end().is_none() {
            let is_full = self.backlog.is_full(&self.scope.program.config);
            self.progress.set_paused(is_full);
            if is_full {
                return;
            }
            let Poll::Ready(received) = self.transport.poll_received(self.conn.queue(), cx) else { return };
            let mut bytes = 0;
            match received {
                Ok(Received::Message(message)) if self.conn.intake() == Intake::Shut => message.recycle(),
                Ok(Received::Message(message)) => {
                    bytes = message.len();
                    self.backlog.push(message);
                }
                other => {
                    self.note(other);
                    if self.progress.end().is_some() {
                        self.announce_end();
                    }
                }
            }
            if self.turn.count(bytes) {
                // One poll schedules this task after the runtime has polled its sockets.
                let _ = pin!(yield_now()).poll(cx);
                return;
            }
        }
    }

    /// Notes a control frame or the end of reading.
    fn note(&self, received: Result<Received, ReadError>) {
        match received {
            Ok(Received::Message(_)) => unreachable!("the caller handles messages"),
            // The reader has answered it.
            Ok(Received::Ping) => {}
            Ok(Received::Pong(payload)) => self.conn.pong(&payload),
            Ok(Received::Close(close)) => self.progress.set_end(ReadEnd::PeerClosed(close)),
            Err(error) => self.progress.set_end(end_of(&error)),
        }
    }

    /// Shows the end to the running handler: its sends fail, and it may still reply.
    fn announce_end(&self) {
        self.conn.drain();
    }

    /// Counts a message or control frame. Gives other connections a turn if this turn is over.
    async fn pause(&mut self, bytes: usize) {
        // A stream that answers the peer's close by itself writes nothing after that. So everything
        // is written before it reads on.
        if self.turn.count(bytes) || T::ANSWERS_CLOSE {
            // Not by a plain wake-up: here the runtime polls its sockets before it continues.
            yield_now().await;
        }
    }
}

/// Returns how an error of the reader ends the connection.
fn end_of(error: &ReadError) -> ReadEnd {
    match error {
        ReadError::Rejected(violation) => ReadEnd::Rejected(violation.close_code(), violation.to_string()),
        ReadError::Ended | ReadError::Lost(_) => ReadEnd::LinkLost(error.to_string()),
    }
}
