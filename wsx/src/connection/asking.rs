//! The future of a request: it sends the request, and waits for the reply.
//!
//! Its type names the reply, and not the request. So a message that is not a request is one
//! compiler error at the call, and not a second one at the `.await`.
pub(crate) mod raw;
mod reply;

pub(crate) use raw::Failed;
use raw::{RawAsking, Unanswered};

#[cfg(feature = "nats")]
use crate::connection::remote::Call;
use crate::{
    connection::{handle::Handle, request_error::RequestError},
    envelope::{Refusal, keys::Sent},
    error::SendError,
    message::Message,
    wire::write::Draft,
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
    task::{Context, Poll, ready},
    time::Duration,
};
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
        #[pin]
        asking: RawAsking<'c>,
        answer: PhantomData<fn() -> (R, F)>,
    }
}

impl<'c, R, F> Asking<'c, R, F> {
    /// Returns a request on this connection. `encode` writes the request with these keys.
    pub(crate) fn on(conn: &'c Handle, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> Self {
        Self::new(RawAsking::on(conn, encode))
    }

    /// Returns a request on a connection that it owns.
    pub(crate) fn on_owned(
        conn: Result<Handle, Failed>,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
    ) -> Self {
        Self::new(RawAsking::on_owned(conn, None, encode))
    }

    /// Returns a request on another node. `timeout` is that of the hub.
    ///
    /// At the first poll, `call` takes the request and its timeout, which
    /// [`timeout`](Self::timeout) may have changed. The request is an envelope with an `id` and a
    /// `ttl` that have no meaning: the other node writes its own. This future drops that of `call`
    /// at its own end, and at the deadline.
    #[cfg(feature = "nats")]
    pub(crate) fn remote(
        timeout: Duration,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
        call: Call,
    ) -> Self {
        Self::new(RawAsking::remote(timeout, encode, call))
    }

    fn new(asking: RawAsking<'c>) -> Self {
        Self { asking, answer: PhantomData }
    }

    /// Makes this the request of a client. Between two connections it returns
    /// [`SendError::NotConnected`].
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.asking = self.asking.of_client(stop);
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
        self.asking = self.asking.timeout(timeout);
        self
    }
}

impl<R: Message + DeserializeOwned, F: Refusal> Future for Asking<'_, R, F> {
    type Output = Result<R, RequestError<F>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ASKED.set(true);
        let reply = ready!(self.project().asking.poll(cx))?;
        let result = reply::read(&reply);
        reply.recycle();
        Poll::Ready(result)
    }
}

impl<F> From<Unanswered> for RequestError<F> {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::NoSuchConnection(id) => Self::NoSuchConnection(id),
            Unanswered::NotSent(error) => Self::NotSent(error),
            Unanswered::Ended(closed) => Self::Ended(closed),
            Unanswered::TimedOut => Self::TimedOut,
        }
    }
}

impl<R, F> fmt::Debug for Asking<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asking.fmt(f)
    }
}
