//! The handler of upgrade requests as a service of hyper, tower and axum. It does not read HTTP;
//! hyper does.
use crate::{
    catch_panic,
    observer::RejectionKind,
    protocol::endpoint::Endpoint,
    server::{
        admission::Counted,
        establish::{self, Admitted, Entered, REJECTION_TIMEOUT, going_away, timed_out},
        http::lingering_close,
        hub::Hub,
        lifecycle::Lifecycle,
        peer_address,
        rejection::Rejection,
        upgrade::WsHandler,
    },
    task::{deadline, tcp_options, transport::socket::SocketTransport},
    wire::role::Role,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

/// The answer to an upgrade request.
pub(super) type Answer = Response<Full<Bytes>>;

/// Answers a request, and starts the connection when the upgrade is done.
pub(super) async fn answer<E: Endpoint, B>(handler: &WsHandler<E>, request: Request<B>) -> Answer {
    // Values of the program in the request may panic when they are dropped.
    let answered = catch_panic::run(unguarded_answer(handler, request)).await;
    answered.unwrap_or_else(|| rejected(establish::internal_error()))
}

async fn unguarded_answer<E: Endpoint, B>(handler: &WsHandler<E>, request: Request<B>) -> Answer {
    let (mut parts, _) = request.into_parts();
    let mut upgrade = parts.extensions.remove::<OnUpgrade>();
    let hub = &handler.hub;
    let Lifecycle { handshakes, stop, .. } = hub.lifecycle();
    let _handshake = handshakes.token();
    let limit = hub.config().handshake_timeout;
    let socket = peer_address::of_server(&parts.extensions);
    let found = find_peer(hub, socket, &parts);
    let peer = found.as_ref().map_or(socket, |(peer, _)| *peer);
    let by_proxy = socket.is_some_and(|socket| hub.admission().ingress.trusts(socket.ip()));
    let admitted = async {
        let (peer, counted) = found?;
        let request = Request::from_parts(parts, ());
        let admitted = tokio::select! {
            biased;
            () = stop.cancelled() => Err(going_away()),
            admitted = deadline::timeout(limit, establish::admit(handler, request, peer, by_proxy)) => {
                admitted.unwrap_or_else(|| Err(timed_out(limit)))
            }
        };
        admitted.map(|admitted| (admitted, counted))
    };
    match admitted.await.and_then(|(Admitted { answer, identity, ticket, speaks, compression }, counted)| {
        let upgrade = upgrade.take().ok_or_else(|| {
            Rejection::of(
                RejectionKind::HttpServer,
                StatusCode::INTERNAL_SERVER_ERROR,
                "this HTTP server does not support upgrades: with hyper, call `.with_upgrades()`",
            )
        })?;
        let entered = establish::enter(handler, identity, peer, speaks, compression)?.counted(counted);
        if let Some(ticket) = ticket {
            ticket.spend();
        }
        Ok((answer, upgrade, entered))
    }) {
        Ok((answer, upgrade, entered)) => {
            tokio::spawn(async move {
                // Without an upgrade in time, `entered` is dropped, and the hub removes the
                // connection.
                if let Some(Ok(upgraded)) = deadline::timeout(limit, upgrade).await {
                    run(entered, upgraded);
                }
            });
            answer.map(|()| Full::default())
        }
        Err(rejection) => {
            establish::report(hub, peer, &rejection);
            match (&rejection.opened, upgrade) {
                (Some(_), Some(upgrade)) => rejected_as_page(rejection, upgrade, limit),
                _ => rejected(rejection),
            }
        }
    }
}

/// Returns the address of a request's peer, and counts it. A health check gets its answer as the
/// rejection.
fn find_peer<E>(
    hub: &Hub<E>,
    socket: Option<SocketAddr>,
    request: &Parts,
) -> Result<(Option<SocketAddr>, Option<Counted>), Rejection> {
    let admission = hub.admission();
    let Parts { method, uri, headers, .. } = request;
    let is_draining = hub.lifecycle().is_draining();
    if let Some(answer) = admission.ingress.answer_to_health_check(method, uri, headers, is_draining) {
        return Err(answer);
    }
    if socket.is_none() && admission.needs_addresses() {
        return Err(peer_address::missing());
    }
    let peer = admission.ingress.peer_of(socket, headers)?;
    Ok((peer, establish::count(hub, peer)?))
}

/// Opens the WebSocket of a web page, and closes it with the text of the rejection.
fn rejected_as_page(mut rejection: Rejection, upgrade: OnUpgrade, limit: Duration) -> Answer {
    let answer = rejection.opened.take().expect("the peer is a page");
    tokio::spawn(async move {
        let Some(Ok(upgraded)) = deadline::timeout(limit, upgrade).await else { return };
        let mut stream = TokioIo::new(upgraded);
        let closed = async {
            stream.write_all(&rejection.close_frame()).await?;
            lingering_close(&mut stream).await
        };
        // Without a result, the page has gone.
        let _ = timeout(REJECTION_TIMEOUT, closed).await;
    });
    answer.map(|()| Full::default())
}

/// Returns the HTTP answer of a rejection.
fn rejected(rejection: Rejection) -> Answer {
    let mut answer = Response::new(Full::from(rejection.body));
    *answer.status_mut() = rejection.status;
    *answer.headers_mut() = *rejection.headers;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().entry(header::CONTENT_TYPE).or_insert(text);
    answer
}

/// Starts the connection on the TCP socket in hyper's stream, if there is one. Then its bytes do
/// not pass through hyper.
fn run<E: Endpoint>(entered: Entered<E>, upgraded: Upgraded) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return run_tcp(entered, parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => run_tcp(entered, parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => {
            let config = entered.config().clone();
            entered.run(SocketTransport::new(TokioIo::new(upgraded), Role::Server, Vec::new(), &config));
        }
    }
}

/// Starts the connection on a TCP socket. `early` has the bytes that hyper has already read.
fn run_tcp<E: Endpoint>(entered: Entered<E>, socket: TcpStream, early: &Bytes) {
    let config = entered.config().clone();
    tcp_options::prepare(&socket, &config);
    entered.run(SocketTransport::new(socket, Role::Server, early.to_vec(), &config));
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
        let handler = self.clone();
        Box::pin(async move { Ok(handler.upgrade(request).await) })
    }
}
