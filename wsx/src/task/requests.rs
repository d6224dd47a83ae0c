//! The part of the reader for requests: it hands replies over, keeps what waits for a handler, and
//! starts the handlers that run beside the serial one. `read_loop` has the order of all steps.
//!
//! A handler may await a reply of its own peer, and the peer may need a reply of this end to make
//! it. So from its first request on, the requests of the peer are handled beside it. Other messages
//! wait for it, in order.
use crate::{
    connection::{Connection, handle::Intake},
    envelope::{
        failure::{self, Failure},
        incoming::{Incoming, RawFrame},
        sorted::Sorted,
    },
    protocol::endpoint::Endpoint,
    task::{
        backlog::Request,
        beside::{Kind, MAX_NESTED},
        read_loop::{Cut, ReadLoop},
        transport::Transport,
    },
    wire::data_message::DataMessage,
};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

impl<'t, E: Endpoint, T: Transport> ReadLoop<'t, E, T> {
    /// Hands a reply over, if this is one that a request waits for. Otherwise returns the message.
    #[inline]
    pub(super) fn take_reply(&self, message: DataMessage) -> Option<DataMessage> {
        if self.conn.awaits_reply() { self.hand_over(message) } else { Some(message) }
    }

    fn hand_over(&self, message: DataMessage) -> Option<DataMessage> {
        let id = match Sorted::of(&RawFrame::from(&message)) {
            Sorted::Reply(id) => id.number(),
            _ => None,
        };
        match id {
            Some(id) => self.conn.requests().answer(id, message).err(),
            None => Some(message),
        }
    }

    /// Keeps a message that arrives while a handler runs, until its turn.
    pub(super) fn keep(&mut self, message: DataMessage) {
        let Some(message) = self.take_reply(message) else { return };
        if self.conn.intake() == Intake::Shut {
            return message.recycle();
        }
        let frame = RawFrame::from(&message);
        let request = match Sorted::of(&frame) {
            Sorted::Request { id, ttl } => {
                let deadline = ttl.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)));
                Some((Box::from(id.json()), deadline))
            }
            Sorted::Cancel(id) => return self.backlog.cancel(id.json()),
            _ => None,
        };
        match request {
            None => self.backlog.push(message),
            Some((id, deadline)) => {
                let request = Request { message, id, deadline };
                if self.backlog.requests() < self.scope.program.config.max_requests {
                    self.backlog.push_request(request);
                } else {
                    self.refuse(&request, failure::BUSY, "too many requests wait");
                }
            }
        }
    }

    /// Answers a request with a failure, without its handler.
    fn refuse(&mut self, request: &Request, code: &'static str, why: &'static str) {
        let frame = RawFrame::from(&request.message);
        let incoming = Incoming::message(&frame);
        if let Some(reply) = self.scope.failure(self.conn, &incoming, &Failure::new(code, why)) {
            self.beside.reply(reply, (&*incoming.message_type).into());
        }
    }

    /// Returns the message of a request that has waited. Answers it if the peer does not wait any
    /// more.
    pub(super) fn in_time(&mut self, request: Request) -> Option<DataMessage> {
        if request.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Some(request.message);
        }
        self.refuse(&request, failure::EXPIRED, "it has waited for a handler until its deadline");
        None
    }

    /// Reads ahead and polls the handlers beside the running one, as long as one of them makes
    /// another step possible and the turn lasts.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        loop {
            let was_over = self.read_ahead(cx);
            let started = self.start_nested();
            let might_nest = self.progress.may_nest();
            let ended = self.poll_beside(cx);
            let goes_on = started || ended || might_nest != self.progress.may_nest();
            if was_over || !goes_on || self.ends_turn(cx) {
                return;
            }
        }
    }

    /// Polls the handlers beside the serial one, while none of those runs. Returns whether the next
    /// message has to wait.
    #[cold]
    pub(super) fn poll_beside_idle(&mut self, cx: &mut Context<'_>) -> bool {
        if self.progress.is_cut() {
            self.cut_beside();
            return false;
        }
        self.poll_beside(cx);
        self.beside.has_replies()
    }

    /// Polls the handlers beside the serial one. Returns whether one has ended.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> bool {
        let (conn, observer) = (self.conn, &self.scope.program.observer);
        let dropped = |message_type: &str| observer.reply_dropped(Connection::of(conn), message_type);
        self.beside.poll(conn, dropped, cx)
    }

    /// Drops the handlers beside the serial one, because they have had their time.
    pub(super) fn cut_beside(&mut self) {
        let (conn, observer) = (Connection::of(self.conn), &self.scope.program.observer);
        self.beside.cut(
            |message_type| observer.handler_dropped(conn, message_type, 0),
            |message_type| observer.reply_dropped(conn, message_type),
        );
    }

    /// Starts the oldest request that waits, if every running handler awaits a reply. Returns
    /// whether it did.
    fn start_nested(&mut self) -> bool {
        if self.backlog.requests() == 0 || self.beside.has_replies() || !self.progress.may_nest() {
            return false;
        }
        let Some(request) = self.backlog.pop_request() else { return false };
        if self.progress.nested() as usize >= MAX_NESTED {
            self.refuse(&request, failure::BUSY, "requests that ask back are nested too deep");
        } else if let Some(message) = self.in_time(request) {
            self.turn.count(message.len());
            self.start_beside(Kind::Nested, RawFrame::from(message));
        }
        true
    }

    /// Starts the handler of a message beside the serial one.
    pub(super) fn start_beside(&mut self, kind: Kind<'t>, frame: RawFrame<'static>) {
        let (conn, scope) = (self.conn, self.scope);
        let message_type = Box::from(&*Incoming::message(&frame).message_type);
        let handler = async move {
            let reply = scope.message(conn, &frame).await;
            DataMessage::from(frame).recycle();
            reply
        };
        self.beside.start(kind, message_type, Box::pin(handler), self.progress);
    }

    /// Ready when a call of a concurrent handler may start. At its maximum, messages wait. Only a
    /// request may exceed it, if all calls await replies.
    pub(super) fn poll_slot(
        &mut self,
        message_type: &str,
        maximum: usize,
        frame: &RawFrame<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        if self.progress.is_cut() {
            return Poll::Ready(Err(Cut));
        }
        loop {
            let (calls, silent) = self.beside.calls(message_type);
            let is_nested =
                || silent == 0 && self.progress.may_nest() && matches!(Sorted::of(frame), Sorted::Request { .. });
            if !self.beside.has_replies() && (calls < maximum || (calls < maximum + MAX_NESTED && is_nested())) {
                return Poll::Ready(Ok(()));
            }
            self.go_on(cx);
            if self.beside.calls(message_type) == (calls, silent) {
                return Poll::Pending;
            }
        }
    }
}
