//! A door behind somebody else's HTTP server: hyper, and with it tower and axum, whose `route_service` takes it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let hub = wsx::Hub::new();
//! let app: axum::Router = axum::Router::new().route_service("/ws", hub.ws_handler(wsx::unique_id, |_| {}));
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?, app).await
//! # }
//! ```
//!
//! Neither hyper nor axum knows the connections that it has upgraded, so their own graceful shutdown ends without them.
//! Let the hub end first, while the server goes on accepting: those who come late get their 503, other pages are served
//! until the last WebSocket has gone, and then the server ends by its own means.
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn asked_to_stop() {}
//! # async fn example(listener: tokio::net::TcpListener, app: axum::Router, hub: wsx::Hub) -> std::io::Result<()> {
//! let hub_has_ended = async move {
//!     asked_to_stop().await;
//!     hub.shutdown(Duration::from_secs(10)).await;
//! };
//! axum::serve(listener, app).with_graceful_shutdown(hub_has_ended).await
//! # }
//! ```
//!
//! With hyper itself, that is the moment at which the accept loop ends and `graceful_shutdown` is called on each HTTP
//! connection; `examples/src/bin/mount_hyper.rs` has all of it.
use crate::{
    protocol::endpoint::Endpoint,
    server::handshake::Reject,
    server::upgrade::{Entered, WsHandler, going_away, late},
    task::tcp_options,
    task::transport::Raw,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{
    http::{Request, Response, StatusCode, header},
    protocol::Role,
};

type Answer = Response<Full<Bytes>>;

impl<E: Endpoint> WsHandler<E> {
    /// Answers an upgrade request that an HTTP server built on hyper 1.x has received, and runs the connection once the
    /// upgrade is done. Any other request gets an HTTP error, and so does one that `build_id` has not decided about within
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout): 408. Reading the request is the server's, and so is
    /// the time for it.
    ///
    /// The server must support upgrades: `hyper::server::conn::http1::Builder::serve_connection(…).with_upgrades()`, or
    /// `axum::serve`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the connection is not made. Once it has answered, the connection is made without it.
    pub async fn upgrade<B>(&self, request: Request<B>) -> Answer {
        let (mut parts, _) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let _door = self.hub().doors().token();
        let limit = self.hub().config().handshake_timeout;
        let admitted = tokio::select! {
            biased;
            () = self.hub().stop().cancelled() => Err(going_away()),
            admitted = timeout(limit, self.admit(Request::from_parts(parts, ()), None)) => {
                admitted.unwrap_or_else(|_| Err(late(limit)))
            }
        };
        match admitted.and_then(|(answer, identity)| {
            let upgrade = upgrade.ok_or_else(|| {
                Reject::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this HTTP server does not support upgrades; with hyper, call `.with_upgrades()`",
                )
            })?;
            Ok((answer, upgrade, self.enter(identity)?))
        }) {
            Ok((answer, upgrade, entered)) => {
                tokio::spawn(async move {
                    // Without an upgrade in time, `entered` is dropped and its connection goes.
                    if let Ok(Ok(upgraded)) = timeout(limit, upgrade).await {
                        run(entered, upgraded);
                    }
                });
                answer.map(|()| Full::default())
            }
            Err(reject) => {
                self.tell_refused(None, &reject);
                refusal(reject)
            }
        }
    }
}

fn refusal(reject: Reject) -> Answer {
    let mut answer = Response::new(Full::from(reject.body));
    *answer.status_mut() = reject.status;
    *answer.headers_mut() = *reject.headers;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().entry(header::CONTENT_TYPE).or_insert(text);
    answer
}

/// Runs on the socket below hyper's stream where it can be had: one layer less for every byte.
fn run<E: Endpoint>(entered: Entered<E>, upgraded: Upgraded) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return run_tcp(entered, parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => run_tcp(entered, parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => {
            let config = entered.config().clone();
            entered.run(Raw::new(TokioIo::new(upgraded), Role::Server, Vec::new(), &config));
        }
    }
}

fn run_tcp<E: Endpoint>(entered: Entered<E>, socket: TcpStream, early: &Bytes) {
    let config = entered.config().clone();
    tcp_options::prepare(&socket, &config);
    entered.run(Raw::new(socket, Role::Server, early.to_vec(), &config));
}

impl<E: Endpoint, B: Send + 'static> tower_service::Service<Request<B>> for WsHandler<E> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        hyper::service::Service::call(self, request)
    }
}

impl<E: Endpoint, B: Send + 'static> hyper::service::Service<Request<B>> for WsHandler<E> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move { Ok(door.upgrade(request).await) })
    }
}
