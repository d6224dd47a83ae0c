//! The future of a request: it sends the request, and waits for the reply.
//!
//! Its type names the reply, and not the request. So a message that is not a request is one
//! compiler error at the call, and not a second one at the `.await`.
mod reply;

use crate::{
    connection::{
        handle::Handle,
        queue::{Pushed, QueueClosed, Ticket},
        request_error::RequestError,
        requests::{Ended, NotAdded, Writes},
        target::{Counted, Target, error_for},
    },
    envelope::{Refusal, failure::Failure, keys::Sent},
    error::SendError,
    message::Message,
    wire::{header::Opcode, write::Draft},
};
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;
use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

thread_local! {
    /// Whether a request was polled on this thread since [`reset_asked`].
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Begins to watch for requests on this thread. The reader does so before it polls a handler.
#[inline]
pub(crate) fn reset_asked() {
    ASKED.set(false);
}

/// Whether the handler that was polled since [`reset_asked`] awaits a reply.
#[inline]
pub(crate) fn has_asked() -> bool {
    ASKED.get()
}

pin_project! {
    /// The future of a request, which returns the reply `R` or a [`RequestError<F>`]. It is
    /// returned by [`Connection::request`](crate::Connection::request), and by that of a hub or a
    /// client.
    ///
    /// The request is already encoded, and counts as outstanding. It is sent when this future is
    /// first polled. Its deadline begins then too: 10 s by default
    /// ([`Config::request_timeout`](crate::Config::request_timeout)), or
    /// [`timeout`](Self::timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    /// # struct Reboot { delay_s: u32 }
    /// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    /// # struct Rebooted { uptime_s: u64 }
    /// # async fn example(conn: wsx::Connection) -> Result<(), wsx::RequestError> {
    /// let asked = conn.request_as::<Rebooted>(&Reboot { delay_s: 5 });
    /// let done = asked.timeout(Duration::from_secs(30)).await?;
    /// # let _ = done.uptime_s;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A handler that polls this is asking: from then on until its end, requests of its peer are
    /// handled beside it. Without that, two handlers that ask each other would both wait.
    ///
    /// # Panics
    ///
    /// Panics when it is first polled outside of a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the reply is lost. If this is dropped before its first poll, the request is
    /// not sent. If it is dropped later, its reply is not awaited any more: the peer gets a
    /// cancellation, and does not start a request that still waits there. A request that it has
    /// started runs to its end.
    #[must_use = "a request is sent when this is awaited"]
    pub struct Asking<'c, R, F = Infallible> {
        target: Target<'c>,
        step: Step,
        timeout: Duration,
        // In place, so that a request needs no memory for it.
        #[pin]
        deadline: Option<Sleep>,
        // The end of its client, if a client asks.
        client: Option<CancellationToken>,
        answer: PhantomData<fn() -> (R, F)>,
    }

    impl<R, F> PinnedDrop for Asking<'_, R, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(conn) = this.target.handle() {
                this.step.drop_on(conn);
            }
        }
    }
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
            Self::Failed(_) | Self::Done => return,
        };
        if conn.requests().forget(id) && sent {
            // Without room, the peer does some work in vain.
            let _ = conn.try_push(Failure::cancellation(conn.role(), id).into_bytes());
        }
    }
}

impl<'c, R, F> Asking<'c, R, F> {
    /// Returns a request on this connection. `encode` writes the request with these keys.
    pub(crate) fn on(conn: &'c Handle, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> Self {
        let (step, timeout) = begin(conn, encode);
        Self::new(Target::Borrowed(conn), step, timeout)
    }

    /// Returns a request on a connection that it owns.
    pub(crate) fn on_owned(
        conn: Result<Handle, Failed>,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
    ) -> Self {
        match conn {
            Ok(conn) => {
                let (step, timeout) = begin(&conn, encode);
                Self::new(Target::Owned(conn), step, timeout)
            }
            Err(failed) => Self::new(Target::Missing, Step::Failed(failed), Duration::ZERO),
        }
    }

    fn new(target: Target<'c>, step: Step, timeout: Duration) -> Self {
        Self { target, step, timeout, deadline: None, client: None, answer: PhantomData }
    }

    /// Makes this the request of a client. Between two connections it returns
    /// [`SendError::NotConnected`].
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.client = Some(stop);
        self
    }

    /// Sets the time from the first poll to the reply; default
    /// [`Config::request_timeout`](crate::Config::request_timeout).
    ///
    /// The request carries this time, rounded up to whole milliseconds. The peer does not start it
    /// later than this time after its arrival.
    ///
    /// # Panics
    ///
    /// Panics if the request was polled before.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        assert!(self.deadline.is_none(), "the timeout of a request is set before it is sent");
        self.timeout = timeout;
        if let Step::Draft { draft, .. } = &mut self.step {
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
fn begin(conn: &Handle, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> (Step, Duration) {
    let (timeout, maximum) = (conn.request_timeout(), conn.max_requests());
    let step = match conn.requests().add(maximum) {
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
    };
    (step, timeout)
}

/// Returns the time in milliseconds, rounded up: the peer answers a request with 0 ms at once.
fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl<R: Message + DeserializeOwned, F: Refusal> Future for Asking<'_, R, F> {
    type Output = Result<R, RequestError<F>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ASKED.set(true);
        let this = self.project();
        let mut deadline = this.deadline;
        let client = this.client.as_ref();
        let not_sent = |error| Poll::Ready(Err(RequestError::NotSent(error_for(error, client))));
        // Before the step is taken: outside of a runtime this panics, and the request is then
        // forgotten.
        if let (Step::Draft { .. }, true) = (&*this.step, deadline.is_none()) {
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
                    return Poll::Ready(Err(RequestError::NoSuchConnection(id)));
                }
                (Step::Failed(Failed::NotSent(error)), _) => return not_sent(error),
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
                    Poll::Ready(Ended::Answered(reply)) => {
                        let result = reply::read(&reply);
                        reply.recycle();
                        return Poll::Ready(result);
                    }
                    // The task never took the frame, and does not any more.
                    Poll::Ready(Ended::Closed(_, Writes::Over)) if conn.queue().taken() <= before => {
                        return not_sent(SendError::Closed);
                    }
                    Poll::Ready(Ended::Closed(closed, _)) => return Poll::Ready(Err(RequestError::Ended(closed))),
                    Poll::Pending if has_passed(deadline.as_mut(), cx) => {
                        conn.requests().forget(id);
                        return Poll::Ready(Err(RequestError::TimedOut));
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

impl<R, F> fmt::Debug for Asking<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("step", &self.step).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
