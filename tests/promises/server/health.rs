//! The answers to the health checks of a load balancer: row N3 of the specification.
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsx::{Hub, Untyped, http::StatusCode, server::HandshakeError};
use wsx_tests::{
    Memory, Peer, Seen, Server,
    handshake::{head, status, upgrade},
    query_id, recorder, within,
};

/// Returns a hub that answers health checks, and the record of its observer.
fn hub() -> (Hub<Untyped>, Memory) {
    let (recorder, memory) = recorder();
    (Hub::builder().without_handlers().observer(recorder).health("/healthz").build().unwrap(), memory)
}

/// Sends these bytes, and returns the whole answer.
async fn ask(address: &str, bytes: &str) -> String {
    let mut tcp = within(TcpStream::connect(address)).await.unwrap();
    tcp.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.expect("the stream ends without a reset");
    answer
}

/// Checks that the observer received nothing up to this request, which is rejected.
async fn nothing_was_reported(address: &str, memory: &mut Memory) {
    let answer = ask(address, "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&answer), 405);
    let first = memory.find(Some).await;
    assert!(matches!(first, Seen::HandshakeRejected(405, _)), "{first:?}");
}

/// Checks as load balancers send them. The first is HAProxy's default. The last is from the HTTP
/// client of Java, which requests HTTP/2 each time.
const CHECKS: [&str; 6] = [
    "OPTIONS /healthz HTTP/1.0\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /healthz?probe=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /healthz HTTP/1.0\r\n\r\n",
    "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\nHost: a\r\n\
     HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17\r\n\r\n",
];

#[tokio::test]
async fn a_health_check_gets_200_and_503_while_draining() {
    let (hub, mut memory) = hub();
    let server = Server::start(hub).await;
    for (expected, text) in [(200, "serving"), (503, "draining")] {
        for check in CHECKS {
            let answer = ask(&server.address, check).await;
            assert_eq!(status(&answer), expected, "{check}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, if check.starts_with("HEAD") { "" } else { text }, "{check}");
        }
        nothing_was_reported(&server.address, &mut memory).await;
        assert!(server.hub.is_empty());
        server.hub.drain();
    }
    // A hub that drains still accepts connections.
    let _peer = server.peer("a").await;
    assert!(matches!(memory.find(Some).await, Seen::ConnectionOpened(_)));
}

/// Boxes may connect at the path of the health checks. Other requests for it are rejected.
#[tokio::test]
async fn an_upgrade_at_the_same_path_is_a_connection() {
    let (hub, _memory) = hub();
    let server = Server::start(hub).await;
    let _peer = Peer::connect(&format!("ws://{}/healthz?id=a", server.address)).await;
    assert_eq!(server.hub.len(), 1);
    assert_eq!(status(&ask(&server.address, "POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await), 405);
    assert_eq!(status(&ask(&server.address, "GET /healthz/ HTTP/1.1\r\nHost: a\r\n\r\n").await), 426);
}

/// HAProxy's default check opens a TCP connection and resets it. Others close it.
#[tokio::test]
async fn a_connection_that_sends_nothing_is_not_reported() {
    let (hub, mut memory) = hub();
    let server = Server::start(hub).await;
    for reset in [false, true] {
        for _ in 0..10 {
            let tcp = within(TcpStream::connect(&server.address)).await.unwrap();
            if reset {
                socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
    nothing_was_reported(&server.address, &mut memory).await;
}

/// During a shutdown, `serve_connection` answers a health check, and reports it to its caller only.
#[tokio::test]
async fn a_health_check_during_a_shutdown_gets_503() {
    let (hub, mut memory) = hub();
    let handler = hub.ws_handler(query_id, |_| {});
    for (check, reported) in [(CHECKS[1].to_owned(), false), (upgrade("/ws?id=a", ""), true)] {
        hub.shutdown(Duration::ZERO).await;
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(check.as_bytes()).await.unwrap();
        let handler = handler.clone();
        let serving = tokio::spawn(async move { handler.serve_connection(far, None).await.map(drop) });
        assert_eq!(status(&head(&mut near).await), 503);
        drop(near);
        match within(serving).await.unwrap() {
            Err(HandshakeError::HealthCheck { status }) if !reported => assert_eq!(status, 503),
            Err(HandshakeError::Rejected { status, .. }) if reported => assert_eq!(status, 503),
            other => panic!("{other:?}"),
        }
    }
    let first = memory.find(Some).await;
    assert!(matches!(&first, Seen::HandshakeRejected(503, why) if why.contains("going away")), "{first:?}");
}

/// In axum, the handler can be mounted at the path of the checks, or the router has a page of its
/// own.
#[tokio::test]
async fn a_health_check_in_axum_gets_the_same_answers() {
    let (hub, mut memory) = hub();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler = hub.ws_handler(query_id, |_| {});
    let page = {
        let hub = hub.clone();
        move || async move { if hub.is_draining() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK } }
    };
    let app = axum::Router::new()
        .route_service("/ws", handler.clone())
        .route_service("/healthz", handler)
        .route("/page", axum::routing::get(page));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for expected in [200, 503, 503] {
        for path in ["/healthz", "/page"] {
            let answer = ask(&address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(status(&answer), expected, "{path}");
        }
        if hub.is_draining() {
            hub.shutdown(Duration::ZERO).await;
        }
        hub.drain();
    }
    let answer = ask(&address, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 503);
    let first = memory.find(Some).await;
    assert!(matches!(first, Seen::HandshakeRejected(503, _)), "{first:?}");
}
