//! The kind of each rejected handshake: row X13 of the specification.
use crate::proxies::{ask, axum, small};
use std::{net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wsx::{
    Config, Identity, Observer, Rejection, RejectionKind, Untyped,
    http::{HeaderValue, StatusCode, header::UPGRADE, request::Parts},
    server::{HubBuilder, OnDuplicate, WsHandler},
};
use wsx_tests::{
    Log, Server,
    handshake::{head, status, upgrade},
    query_id, within,
};

/// Records the kind and the status of each rejection.
#[derive(Clone, Default)]
struct Kinds(Log<(RejectionKind, u16)>);
impl Observer for Kinds {
    fn handshake_rejected(&self, _: Option<SocketAddr>, kind: RejectionKind, status: StatusCode, _: &str) {
        self.0.add((kind, status.as_u16()));
    }
}

/// A server whose ids come from `?id=…`.
async fn start(hub: HubBuilder<Untyped>, with: impl FnOnce(WsHandler) -> WsHandler) -> (Server<Untyped>, Kinds) {
    let kinds = Kinds::default();
    let hub = hub.observer(kinds.clone()).build().unwrap();
    let handler = with(hub.ws_handler(query_id, |_| {}));
    (Server::start_at(hub, handler, "127.0.0.1:0").await, kinds)
}

/// Sends this request, and returns the rejection that the observer receives. The peer has its
/// status too.
async fn rejected(address: &str, request: &str, kinds: &Kinds) -> (RejectionKind, u16) {
    let (status, _) = ask("127.0.0.1", address, request).await;
    let rejected = kinds.0.next().await;
    assert_eq!(rejected.1, status);
    rejected
}

/// Row X13: a request that is rejected by its content.
#[tokio::test]
async fn a_request_that_does_not_fit_has_its_kind() {
    let hub = || small().trusted_proxies(["127.0.0.1"]);
    let (server, kinds) = start(hub(), |handler| handler.path("/ws").allow_origins(["https://ops.example.com"])).await;
    for (request, expected) in [
        ("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), (RejectionKind::Request, 426)),
        ("\r\n\r\nhello\r\n\r\n".to_owned(), (RejectionKind::Request, 400)),
        (upgrade("/other?id=a", ""), (RejectionKind::Path, 404)),
        (upgrade("/ws?id=a", "Origin: https://evil.example.com\r\n"), (RejectionKind::Origin, 403)),
        (upgrade("/ws?id=a", "X-Forwarded-For: unknown\r\n"), (RejectionKind::Proxy, 400)),
        (upgrade("/ws", ""), (RejectionKind::BuildId, 400)),
    ] {
        assert_eq!(rejected(&server.address, &request, &kinds).await, expected, "{request}");
    }
    let (server, kinds) = start(hub().proxy_protocol(), |handler| handler).await;
    let expected = (RejectionKind::Proxy, 400);
    assert_eq!(rejected(&server.address, &upgrade("/?id=a", ""), &kinds).await, expected, "no PROXY header");
}

/// Row X13: whatever the program's `build_id` returns has one kind. A panic, and a mistake of the
/// program, have another one.
#[tokio::test]
async fn the_programs_own_rejections_have_one_kind() {
    async fn decides(request: Parts) -> Result<Identity, Rejection> {
        match request.uri.path() {
            "/status" => Err(StatusCode::SERVICE_UNAVAILABLE.into()),
            "/text" => Err((StatusCode::TOO_MANY_REQUESTS, "no".to_owned()).into()),
            "/rejection" => Err(Rejection::new(StatusCode::FORBIDDEN, "no")),
            "/panic" => panic!("on purpose"),
            "/label" => Ok(Identity::new("a").label("")),
            _ => Ok(Identity::new("a").header(UPGRADE, HeaderValue::from_static("h2c"))),
        }
    }
    let kinds = Kinds::default();
    let hub = small().observer(kinds.clone()).build().unwrap();
    let handler = hub.ws_handler(decides, |_| {});
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    for (path, expected) in [
        ("/status", (RejectionKind::BuildId, 503)),
        ("/text", (RejectionKind::BuildId, 429)),
        ("/rejection", (RejectionKind::BuildId, 403)),
        ("/panic", (RejectionKind::Internal, 500)),
        ("/header", (RejectionKind::Internal, 500)),
        ("/label", (RejectionKind::Internal, 500)),
    ] {
        assert_eq!(rejected(&server.address, &upgrade(path, ""), &kinds).await, expected, "{path}");
    }
}

/// Row X13: each limit has a kind of its own.
#[tokio::test]
async fn each_limit_has_its_kind() {
    let edge = small().config(Config::edge());
    for (hub, expected) in [
        (small().max_connections(1), (RejectionKind::Full, 503)),
        (small().max_connections_per_address(1), (RejectionKind::PerAddress, 429)),
        (small().max_connections_per_second(1, 0), (RejectionKind::PerSecond, 503)),
        (edge.on_duplicate(OnDuplicate::RejectNew), (RejectionKind::Duplicate, 409)),
    ] {
        let (server, kinds) = start(hub, |handler| handler).await;
        let _open = server.peer("a").await;
        let id = if expected.0 == RejectionKind::Duplicate { "a" } else { "b" };
        let request = upgrade(&format!("/?id={id}"), "");
        assert_eq!(rejected(&server.address, &request, &kinds).await, expected);
    }
    // The first peer is silent, so it gives way.
    let (server, kinds) = start(small().max_handshakes(1), |handler| handler).await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let _open = server.peer("a").await;
    assert_eq!(status(&head(&mut silent).await), 503);
    assert_eq!(kinds.0.next().await, (RejectionKind::Handshakes, 503));
    let config = Config::default().handshake_timeout(Duration::from_millis(20));
    let (server, kinds) = start(small().config(config), |handler| handler).await;
    assert_eq!(rejected(&server.address, "GET", &kinds).await, (RejectionKind::Timeout, 408));
    let handler = server.hub.ws_handler(query_id, |_| {});
    server.hub.shutdown(Duration::ZERO).await;
    let (near, mut far) = tokio::io::duplex(4096);
    far.write_all(upgrade("/?id=a", "").as_bytes()).await.unwrap();
    let serving = tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    assert_eq!(status(&head(&mut far).await), 503);
    drop(far);
    within(serving).await.unwrap().unwrap_err();
    assert_eq!(kinds.0.next().await, (RejectionKind::Shutdown, 503));
}

/// Row X13: an HTTP server of the program that lacks something has a kind of its own.
#[tokio::test]
async fn a_mistake_in_the_http_server_has_its_kind() {
    let kinds = Kinds::default();
    let hub = small().observer(kinds.clone()).max_connections_per_address(2).build().unwrap();
    let address = axum(hub.ws_handler(query_id, |_| {}), "nothing").await;
    let request = upgrade("/ws?id=a", "");
    assert_eq!(rejected(&address, &request, &kinds).await, (RejectionKind::HttpServer, 500));
}
