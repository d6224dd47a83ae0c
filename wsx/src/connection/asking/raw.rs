//! A request without its types: it sends the request, and waits for the reply, which it does not
//! read. A request on another node has its own way, which another module gives it.
#[cfg(feature = "nats")]
use crate::connection::remote::{Call, Remote};
use crate::{
    closed::Closed,
    connection::{
        handle::Handle,
        queue::{Pushed, QueueClosed, Ticket},
        requests::{Ended, NotAdded, Writes},
        target::{Counted, Target, error_for},
    },
    envelope::{failure::Failure, keys::Sent},
    error::SendError,
    wire::{data_message::DataMessage, header::Opcode, write::Draft},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

pin_project! {
    /// The future of a request, which returns the reply as it came. Dropping it cancels the
    /// request.
    pub(crate) struct RawAsking<'c> {
        target: Target<'c>,
        step: Step,
        timeout: Duration,
        // In place, so that a request needs no memory for it.
        #[pin]
        deadline: Option<Sleep>,
        // The end of its client, if a client asks.
        client: Option<CancellationToken>,
    }

    impl PinnedDrop for RawAsking<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(conn) = this.target.handle() {
                this.step.drop_on(conn);
            }
        }
    }
}

/// The reason why a request has no reply.
#[derive(Debug)]
pub(crate) enum Unanswered {
    NoSuchConnection(String),
    NotSent(SendError),
    /// The connection ended before the reply.
    Ended(Closed),
    TimedOut,
}

/// The progress of a request.
#[derive(Debug)]
enum Step {
    /// Not yet polled.
    Draft { id: u64, draft: Draft },
    /// The queue is full and has noted this request.
    Room { id: u64, ticket: Ticket, before: u64, sent: Counted },
    /// The request is queued. `before` messages had been queued before it, or more.
    Reply { id: u64, before: u64 },
    /// A request on another node, not yet polled.
    #[cfg(feature = "nats")]
    Call(Box<(Draft, Call)>),
    /// The other node has the request, or will have it.
    #[cfg(feature = "nats")]
    Called(Remote<Result<DataMessage, Unanswered>>),
    /// Returns this error at the first poll.
    Failed(Failed),
    /// Has returned its result.
    Done,
}

/// A request that failed before it was sent.
#[derive(Debug)]
pub(crate) enum Failed {
    NoSuchConnection(String),
    NotSent(SendError),
}

impl Step {
    /// Returns the request, if it was not polled.
    fn draft_mut(&mut self) -> Option<&mut Draft> {
        match self {
            Self::Draft { draft, .. } => Some(draft),
            #[cfg(feature = "nats")]
            Self::Call(call) => Some(&mut call.0),
            _ => None,
        }
    }

    /// Forgets the request. The peer learns that nobody waits for the reply.
    fn drop_on(&self, conn: &Handle) {
        let (id, sent) = match self {
            Self::Draft { id, .. } => (*id, false),
            Self::Room { id, ticket, sent, .. } => {
                let is_queued = conn.queue().give_up(ticket);
                if is_queued {
                    sent.report(conn);
                }
                (*id, is_queued)
            }
            Self::Reply { id, .. } => (*id, true),
            // Dropping the future of a call cancels it.
            #[cfg(feature = "nats")]
            Self::Call(_) | Self::Called(_) => return,
            Self::Failed(_) | Self::Done => return,
        };
        if conn.requests().forget(id) && sent {
            // Without room, the peer does some work in vain.
            let _ = conn.try_push(Failure::cancellation(conn.role(), id).into_bytes());
        }
    }
}

impl<'c> RawAsking<'c> {
    /// Returns a request on this connection. `encode` writes the request with these keys.
    pub(super) fn on(conn: &'c Handle, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> Self {
        let timeout = conn.request_timeout();
        Self::new(Target::Borrowed(conn), begin(conn, timeout, encode), timeout)
    }

    /// Returns a request on a connection that it owns. Without a timeout, it has that of the
    /// connection.
    pub(crate) fn on_owned(
        conn: Result<Handle, Failed>,
        timeout: Option<Duration>,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
    ) -> Self {
        match conn {
            Ok(conn) => {
                let timeout = timeout.unwrap_or_else(|| conn.request_timeout());
                let step = begin(&conn, timeout, encode);
                Self::new(Target::Owned(conn), step, timeout)
            }
            Err(failed) => Self::new(Target::Missing, Step::Failed(failed), Duration::ZERO),
        }
    }

    /// Returns a request on another node, which `call` sends at the first poll. `encode` writes the
    /// request; the other node puts its own `id` and `ttl` into it.
    #[cfg(feature = "nats")]
    pub(super) fn remote(
        timeout: Duration,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
        call: Call,
    ) -> Self {
        let step = match encode(Sent::Request { id: 0, ttl: milliseconds(timeout) }) {
            Ok(draft) => Step::Call(Box::new((draft, call))),
            Err(error) => Step::Failed(Failed::NotSent(error)),
        };
        Self::new(Target::Missing, step, timeout)
    }

    fn new(target: Target<'c>, step: Step, timeout: Duration) -> Self {
        Self { target, step, timeout, deadline: None, client: None }
    }

    /// See [`Asking::of_client`](super::Asking::of_client).
    pub(super) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.client = Some(stop);
        self
    }

    /// See [`Asking::timeout`](super::Asking::timeout).
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        assert!(self.deadline.is_none(), "the timeout of a request is set before it is sent");
        self.timeout = timeout;
        if let Some(draft) = self.step.draft_mut() {
            // The type of a message cannot contain this text: JSON escapes its quotes.
            const KEY: &[u8] = b",\"ttl\":";
            let payload = draft.payload();
            let at = payload.windows(KEY.len()).position(|window| window == KEY).expect("a request has a `ttl`");
            let start = at + KEY.len();
            let digits = payload[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            draft.replace(start..start + digits, milliseconds(timeout).to_string().as_bytes());
        }
        self
    }
}

/// Adds the request to those of the connection, and encodes it.
fn begin(conn: &Handle, timeout: Duration, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> Step {
    match conn.requests().add(conn.max_requests()) {
        Ok(id) => {
            let encoded = encode(Sent::Request { id, ttl: milliseconds(timeout) });
            let read = |draft: Draft| match draft.message_type() {
                message_type if conn.peer_reads(message_type) => Ok(draft),
                message_type => Err(conn.withhold(message_type)),
            };
            encoded.and_then(read).map_or_else(
                |error| {
                    conn.requests().forget(id);
                    Step::Failed(Failed::NotSent(error))
                },
                |draft| Step::Draft { id, draft },
            )
        }
        Err(NotAdded::Full) => Step::Failed(Failed::NotSent(SendError::Full)),
        Err(NotAdded::Ended) => Step::Failed(Failed::NotSent(SendError::Closed)),
    }
}

/// Returns the time in milliseconds, rounded up: the peer answers a request with 0 ms at once.
pub(crate) fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Future for RawAsking<'_> {
    type Output = Result<DataMessage, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut deadline = this.deadline;
        let client = this.client.as_ref();
        let not_sent = |error| Poll::Ready(Err(Unanswered::NotSent(error_for(error, client))));
        // Before the step is taken: outside of a runtime this panics, and the request is then
        // forgotten.
        if deadline.is_none() && this.step.draft_mut().is_some() {
            deadline.set(Some(sleep(*this.timeout)));
        }
        loop {
            let step = std::mem::replace(this.step, Step::Done);
            let conn = match (&step, this.target.handle()) {
                (Step::Failed(_) | Step::Done, _) | (_, None) => None,
                (_, conn) => conn,
            };
            match (step, conn) {
                (Step::Failed(Failed::NoSuchConnection(id)), _) => {
                    return Poll::Ready(Err(Unanswered::NoSuchConnection(id)));
                }
                (Step::Failed(Failed::NotSent(error)), _) => return not_sent(error),
                #[cfg(feature = "nats")]
                (Step::Call(call), _) => {
                    let (draft, call) = *call;
                    *this.step = Step::Called(call.begin(draft, *this.timeout));
                }
                #[cfg(feature = "nats")]
                (Step::Called(mut called), _) => match Pin::new(&mut called).poll(cx) {
                    Poll::Ready(result) => return Poll::Ready(result),
                    Poll::Pending if has_passed(deadline.as_mut(), cx) => {
                        return Poll::Ready(Err(Unanswered::TimedOut));
                    }
                    Poll::Pending => {
                        *this.step = Step::Called(called);
                        return Poll::Pending;
                    }
                },
                (Step::Draft { id, draft }, Some(conn)) => {
                    let mut frame = draft.finish(Opcode::TEXT, conn.role());
                    conn.mark(&mut frame);
                    let sent = Counted::of(&frame);
                    match conn.queue().push(frame.into_bytes(), cx) {
                        Ok(Pushed::Queued(before)) => {
                            sent.report(conn);
                            *this.step = Step::Reply { id, before };
                        }
                        Ok(Pushed::Waiting(ticket, before)) => *this.step = Step::Room { id, ticket, before, sent },
                        Err(QueueClosed) => {
                            conn.requests().forget(id);
                            return not_sent(SendError::Closed);
                        }
                    }
                }
                (Step::Room { id, ticket, before, sent }, Some(conn)) => match conn.queue().poll_ticket(&ticket, cx) {
                    Poll::Ready(Ok(())) => {
                        sent.report(conn);
                        *this.step = Step::Reply { id, before };
                    }
                    Poll::Ready(Err(QueueClosed)) => {
                        conn.requests().forget(id);
                        return not_sent(SendError::Closed);
                    }
                    Poll::Pending if has_passed(deadline.as_mut(), cx) => {
                        if conn.queue().cancel(&ticket).is_some() {
                            conn.requests().forget(id);
                            return not_sent(SendError::Full);
                        }
                        // It was queued meanwhile, or the queue was closed.
                        *this.step = Step::Room { id, ticket, before, sent };
                    }
                    Poll::Pending => {
                        *this.step = Step::Room { id, ticket, before, sent };
                        return Poll::Pending;
                    }
                },
                (Step::Reply { id, before }, Some(conn)) => match conn.requests().poll(id, cx) {
                    Poll::Ready(Ended::Answered(reply)) => return Poll::Ready(Ok(reply)),
                    // The task never took the frame, and does not any more.
                    Poll::Ready(Ended::Closed(_, Writes::Over)) if conn.queue().taken() <= before => {
                        return not_sent(SendError::Closed);
                    }
                    Poll::Ready(Ended::Closed(closed, _)) => return Poll::Ready(Err(Unanswered::Ended(closed))),
                    Poll::Pending if has_passed(deadline.as_mut(), cx) => {
                        conn.requests().forget(id);
                        return Poll::Ready(Err(Unanswered::TimedOut));
                    }
                    Poll::Pending => {
                        *this.step = Step::Reply { id, before };
                        return Poll::Pending;
                    }
                },
                (Step::Done, _) | (_, None) => unreachable!("a future is not polled after it is done"),
            }
        }
    }
}

fn has_passed(deadline: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> bool {
    deadline.as_pin_mut().is_some_and(|deadline| deadline.poll(cx).is_ready())
}

impl fmt::Debug for RawAsking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("step", &self.step).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
