//! The methods of the builder that decide whether and when a client dials again.
use crate::{
    catch_panic::Guarded,
    client::{backoff::Backoff, builder::ClientBuilder},
    observer::Setback,
    protocol::endpoint::Endpoint,
};

impl<E: Endpoint> ClientBuilder<E> {
    /// Sets the waits between two attempts; default [`Backoff::default`] (row K2 of the
    /// specification).
    ///
    /// A server can reject a handshake with a `Retry-After` header in seconds. The client then
    /// waits at least that long, up to [`Backoff::max`] (row R2).
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Sets the source of random numbers for the waits between attempts; default the random
    /// generator of the thread.
    ///
    /// `random` is called once for each wait. It returns 0 for the shortest wait and 1 for the
    /// longest. A number outside counts as the nearer of the two. If it panics, the generator of
    /// the thread is used.
    ///
    /// A fleet can spread its boxes evenly, if each box returns a number made from its serial
    /// number. If all boxes return the same number, they all reconnect at the same time.
    #[must_use]
    pub fn jitter(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.options.jitter = Guarded::new(Box::new(random));
        self
    }

    /// Sets whether the client dials again after a failed attempt or an ended connection; default
    /// `true` (row K3 of the specification).
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.options.reconnect = reconnect;
        self
    }

    /// Sets a function that decides whether the client stops trying although reconnecting is on.
    ///
    /// `decide` runs after each failed attempt and after each ended connection. When it returns
    /// `true`, the state becomes [`Disconnected`](crate::ClientState::Disconnected), and `connect`
    /// can be called again. If `connect` still waits for the first connection, it returns the
    /// error. A panic counts as `false`.
    ///
    /// By default a client never gives up: a rejection can be a mistake at the server, and an
    /// unattended box must not stay away for it. A program that an operator watches should stop on
    /// a rejection, with [`Setback::is_refusal`].
    #[must_use]
    pub fn give_up(mut self, decide: impl Fn(&Setback) -> bool + Send + Sync + 'static) -> Self {
        self.options.give_up = Some(Guarded::new(Box::new(decide)));
        self
    }
}
