//! The handlers that run beside the serial one: those of concurrent messages, and those of requests
//! that the peer makes while a handler awaits its reply.
//!
//! It knows handlers and their replies. It does not know the socket or the messages that wait.
use crate::{
    catch_panic,
    connection::{
        asking::{has_asked, reset_asked},
        handle::Handle,
        queue::PushError,
        target::Counted,
    },
    task::progress::Progress,
    wire::write::Frame,
};
use bytes::Bytes;
use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The handlers that run beside the serial one. It has no memory while there are none.
#[derive(Default)]
pub(super) struct Beside<'t>(Option<Box<Running<'t>>>);

#[derive(Default)]
struct Running<'t> {
    handlers: FuturesUnordered<Handler<'t>>,
    /// The bytes of their messages.
    bytes: usize,
    /// The replies that wait for room in the send queue.
    replies: VecDeque<Reply>,
    /// The message that waits for a free call of its concurrent handler.
    waiting: Option<Waiting>,
}

/// A message that waits for a free call of its concurrent handler. The reader has it.
pub(super) struct Waiting {
    /// The JSON of its id, for a cancellation. It is empty for a message that is not a request.
    pub(super) id: Box<str>,
    /// When the peer does not wait for the reply any more.
    pub(super) deadline: Option<Instant>,
    /// Whether the peer has cancelled it.
    pub(super) is_cancelled: bool,
}

/// Why a handler runs beside the serial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// It is the handler of a request, and other handlers await their replies.
    Nested,
    /// The handler of this type is concurrent.
    Concurrent(&'t str),
}

/// A running handler.
struct Handler<'t> {
    /// Owns its message. It is missing after the end.
    future: Option<BoxFuture<'t, Option<Frame>>>,
    kind: Kind<'t>,
    message_type: Box<str>,
    /// The length of its message.
    bytes: usize,
    /// Whether it began before any close of this program. Otherwise its reply is dropped.
    is_owed: bool,
    /// Whether it has awaited a reply.
    asked: bool,
    progress: &'t Progress,
}

struct Reply {
    frame: Bytes,
    /// The type of the message that is answered.
    message_type: Box<str>,
    counted: Counted,
    /// As in the handler.
    is_owed: bool,
}

impl Reply {
    fn new(frame: Frame, message_type: Box<str>, is_owed: bool) -> Self {
        let counted = Counted::of(&frame);
        Self { frame: frame.into_bytes(), message_type, counted, is_owed }
    }
}

impl Future for Handler<'_> {
    /// The length of the message, and its reply.
    type Output = (usize, Option<Reply>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let future = this.future.as_mut().expect("a future is not polled after its end");
        reset_asked();
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            // Here a panic ends the connection, as one of the serial handler does.
            this.future = None;
        } else if has_asked() && !this.asked {
            this.asked = true;
            this.progress.count_asking(this.kind == Kind::Nested, 1);
        }
        polled.map(|reply| {
            let message_type = std::mem::take(&mut this.message_type);
            (this.bytes, reply.map(|frame| Reply::new(frame, message_type, this.is_owed)))
        })
    }
}

impl Drop for Handler<'_> {
    fn drop(&mut self) {
        let is_nested = self.kind == Kind::Nested;
        self.progress.count_beside(is_nested, self.is_owed, -1);
        if self.asked {
            self.progress.count_asking(is_nested, -1);
        }
        // Each handler is dropped, whatever the others do when they are dropped.
        let future = self.future.take();
        let _ = catch_panic::call(|| drop(future));
    }
}

impl<'t> Beside<'t> {
    /// Whether nothing runs, and no reply waits.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a reply waits for room. Then no further message is handled.
    pub(super) fn has_replies(&self) -> bool {
        self.replies() > 0
    }

    /// Returns how many replies wait for room.
    pub(super) fn replies(&self) -> usize {
        self.0.as_ref().map_or(0, |running| running.replies.len())
    }

    /// Returns the bytes of the messages whose handlers run.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |running| running.bytes)
    }

    /// Returns how many calls of a concurrent handler run, and how many of them have not asked.
    pub(super) fn calls(&self, message_type: &str) -> (usize, usize) {
        let Some(running) = &self.0 else { return (0, 0) };
        let calls = running.handlers.iter().filter(|handler| handler.kind == Kind::Concurrent(message_type));
        calls.fold((0, 0), |(all, silent), handler| (all + 1, silent + usize::from(!handler.asked)))
    }

    /// Notes a message that waits for a free call.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.0.get_or_insert_default().waiting = Some(waiting);
    }

    /// Returns the message that is noted as waiting.
    pub(super) fn waiting(&self) -> Option<&Waiting> {
        self.0.as_ref()?.waiting.as_ref()
    }

    /// Takes the message that waits, because a call is free now.
    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        self.0.as_mut()?.waiting.take()
    }

    /// Cancels the request that waits, if it has this id. Returns whether it has.
    pub(super) fn cancel(&mut self, id: &str) -> bool {
        let waiting = self.0.as_mut().and_then(|running| running.waiting.as_mut());
        let found = waiting.filter(|waiting| &*waiting.id == id);
        found.map(|waiting| waiting.is_cancelled = true).is_some()
    }

    /// Starts a handler. It is polled by [`poll`](Self::poll).
    pub(super) fn start(
        &mut self,
        kind: Kind<'t>,
        message_type: Box<str>,
        bytes: usize,
        is_owed: bool,
        future: BoxFuture<'t, Option<Frame>>,
        progress: &'t Progress,
    ) {
        progress.count_beside(kind == Kind::Nested, is_owed, 1);
        let handler = Handler { future: Some(future), kind, message_type, bytes, is_owed, asked: false, progress };
        let running = self.0.get_or_insert_default();
        running.bytes += bytes;
        running.handlers.push(handler);
    }

    /// Adds a reply that no handler made. It leaves with [`poll`](Self::poll).
    pub(super) fn reply(&mut self, frame: Frame, message_type: Box<str>) {
        self.0.get_or_insert_default().replies.push_back(Reply::new(frame, message_type, true));
    }

    /// Polls the handlers, and queues their replies. Calls `dropped` with the type of each message
    /// whose reply cannot be sent. Returns whether a handler has ended or a reply has left.
    pub(super) fn poll(&mut self, conn: &Handle, dropped: impl Fn(&str), cx: &mut Context<'_>) -> bool {
        let Some(running) = &mut self.0 else { return false };
        let mut ended = false;
        while let Poll::Ready(Some((bytes, reply))) = running.handlers.poll_next_unpin(cx) {
            ended = true;
            running.bytes -= bytes;
            running.replies.extend(reply);
        }
        while let Some(reply) = running.replies.front() {
            let queued = if reply.is_owed {
                // Short replies share their memory; a long one has its own.
                conn.queue().try_append(&reply.frame).or_else(|error| match error {
                    PushError::Full => conn.queue().try_reply(&reply.frame),
                    PushError::Closed => Err(PushError::Closed),
                })
            } else {
                Err(PushError::Closed)
            };
            match queued {
                Ok(()) => reply.counted.report(conn),
                Err(PushError::Closed) => dropped(&reply.message_type),
                Err(PushError::Full) => return ended,
            }
            ended = true;
            running.replies.pop_front();
        }
        if running.handlers.is_empty() && running.waiting.is_none() {
            self.0 = None;
        }
        ended
    }

    /// Drops all handlers and replies. Calls `handler` and `reply` with their types.
    pub(super) fn cut(&mut self, handler: impl Fn(&str), reply: impl Fn(&str)) {
        let Some(running) = self.0.take() else { return };
        running.replies.iter().for_each(|waiting| reply(&waiting.message_type));
        running.handlers.iter().for_each(|running| handler(&running.message_type));
    }
}
