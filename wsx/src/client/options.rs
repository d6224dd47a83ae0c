//! The options that only a client has. The builder sets them, and the session reads them.
use crate::{
    catch_panic::Guarded,
    client::{backoff::Backoff, dial::route::Route, handshake::own_header, redirect::Follow, tls::Trust},
    connection::handle::OnConnect,
    error::BoxError,
    observer::Setback,
};
use futures_util::future::BoxFuture;
use http::HeaderMap;

/// Makes the headers of one handshake.
pub(super) type Headers = Guarded<Box<dyn Fn() -> BoxFuture<'static, Result<HeaderMap, BoxError>> + Send + Sync>>;
/// Decides whether the client stops trying.
pub(super) type GiveUp = Guarded<Box<dyn Fn(&Setback) -> bool + Send + Sync>>;

/// The options that only a client has. The hub and the client share all others, in
/// `ProgramBuilder`.
pub(super) struct Options {
    /// How long to wait before the next attempt.
    pub(super) backoff: Backoff,
    /// Returns the random number of one wait. It is replaceable, so that a test or a fleet can
    /// choose the numbers.
    pub(super) jitter: Guarded<Box<dyn Fn() -> f64 + Send + Sync>>,
    /// Whether to dial again after a failed attempt or an ended connection.
    pub(super) reconnect: bool,
    /// The headers that are the same in each handshake.
    pub(super) fixed_headers: HeaderMap,
    /// Makes the headers that differ from one handshake to the next, such as a token that expires.
    pub(super) headers: Option<Headers>,
    /// The redirects that the client follows.
    pub(super) redirects: Option<Follow>,
    /// The way to the server: TCP with its source, or the program's connector.
    pub(super) route: Route,
    /// The certificates that a `wss://` client trusts, and its own certificate.
    pub(super) trust: Trust,
    /// Decides whether to stop although `reconnect` is on.
    pub(super) give_up: Option<GiveUp>,
    /// Shows each new connection to the program, before the `register` of `connect`.
    pub(super) on_connect: Option<OnConnect>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            jitter: Guarded::new(Box::new(rand::random)),
            reconnect: true,
            fixed_headers: HeaderMap::new(),
            headers: None,
            route: Route::default(),
            redirects: None,
            trust: Trust::default(),
            give_up: None,
            on_connect: None,
        }
    }
}

impl Options {
    /// Reports the options that are wrong, or do not fit together.
    pub(super) fn problems(&self, mut report: impl FnMut(String)) {
        self.route.problems(&mut report);
        own_header(&self.fixed_headers).into_iter().for_each(report);
    }
}
