//! The address of a peer that comes through a proxy or another HTTP server: in limits, in reports
//! and in `build_id`.
use futures_util::future::BoxFuture;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_tungstenite::tungstenite;
use wsx::{
    Config, Hub, Observer, Rejection, RejectionKind, Untyped,
    http::{StatusCode, request::Parts},
    server::{HandshakeError, HubBuilder, PeerAddr, WsHandler},
};
use wsx_tests::{
    Log, Peer, Server,
    handshake::{head, status, upgrade},
    within,
};

/// Records the address and the reason of each rejection.
#[derive(Clone, Default)]
struct Rejections(Log<(String, u16, String)>);
impl Observer for Rejections {
    fn handshake_rejected(&self, peer: Option<SocketAddr>, _: RejectionKind, status: StatusCode, reason: &str) {
        let peer = peer.map_or("unknown".to_owned(), |peer| peer.ip().to_string());
        self.0.add((peer, status.as_u16(), reason.to_owned()));
    }
}

pub(crate) fn small() -> HubBuilder<Untyped> {
    Hub::builder().without_handlers()
}

/// A server that records the address which `build_id` gets.
pub(crate) struct Recording {
    pub(crate) server: Server<Untyped>,
    peers: Log<SocketAddr>,
    pub(crate) rejections: Log<(String, u16, String)>,
}

impl Recording {
    pub(crate) async fn start(hub: HubBuilder<Untyped>) -> Self {
        Self::start_as(hub, |handler| handler).await
    }

    pub(crate) async fn start_as(hub: HubBuilder<Untyped>, with: impl FnOnce(WsHandler) -> WsHandler) -> Self {
        let (peers, rejections) = (Log::default(), Rejections::default());
        let hub = hub.observer(rejections.clone()).build().unwrap();
        let handler = with(hub.ws_handler(recording(&peers), |_| {}));
        let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
        Self { server, peers, rejections: rejections.0 }
    }

    /// Returns the address that `build_id` got.
    pub(crate) async fn peer(&self) -> String {
        self.peers.next().await.ip().to_string()
    }
}

/// Returns a `build_id` that records the address of the peer.
fn recording(
    peers: &Log<SocketAddr>,
) -> impl Fn(Parts) -> BoxFuture<'static, Result<String, Rejection>> + Send + Sync + 'static {
    let peers = peers.clone();
    move |request| {
        let PeerAddr(peer) = request.extensions.get().copied().expect("the address is known");
        peers.add(peer);
        Box::pin(wsx::unique_id(request))
    }
}

/// Connects from this address of the loopback network, sends these bytes, and returns the status of
/// the answer with the socket.
pub(crate) async fn ask(source: &str, address: &str, bytes: &str) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let mut tcp = within(socket.connect(address.parse().unwrap())).await.unwrap();
    tcp.write_all(bytes.as_bytes()).await.unwrap();
    (status(&head(&mut tcp).await), tcp)
}

/// Sends a request with this header from the address of a proxy.
async fn through(address: &str, header: &str) -> (u16, TcpStream) {
    ask("127.0.0.1", address, &upgrade("/", header)).await
}

/// Row N1: the peers of a trusted proxy count for their own addresses, and the proxy has no limit.
#[tokio::test]
async fn the_peers_of_a_trusted_proxy_have_limits_of_their_own() {
    let hub = small().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1);
    let recording = Recording::start(hub).await;
    let address = &recording.server.address;
    let mut open = Vec::new();
    for header in ["X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "Forwarded: for=192.0.2.2\r\n"] {
        let (status, tcp) = through(address, header).await;
        assert_eq!(status, 101, "{header}");
        open.push(tcp);
    }
    assert_eq!((recording.peer().await, recording.peer().await), ("192.0.2.1".into(), "192.0.2.2".into()));
    assert_eq!(through(address, "X-Forwarded-For: 192.0.2.1\r\n").await.0, 429);
    let (peer, status, _) = recording.rejections.next().await;
    assert_eq!((&*peer, status), ("192.0.2.1", 429), "the observer gets the address of the peer");
    // The connections of the proxy itself.
    for _ in 0..3 {
        let (status, tcp) = through(address, "").await;
        assert_eq!(status, 101);
        open.push(tcp);
        assert_eq!(recording.peer().await, "127.0.0.1");
    }
    // A connection that has ended makes room for its own address.
    drop(open.remove(0));
    within(async {
        while through(address, "X-Forwarded-For: 192.0.2.1\r\n").await.0 != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Row N1: the headers of a peer that is not trusted are worthless.
#[tokio::test]
async fn the_headers_of_other_peers_are_ignored() {
    let hub = small().trusted_proxies(["127.0.0.1/32", "2001:db8::/32"]).max_connections_per_address(1);
    let recording = Recording::start(hub).await;
    let address = &recording.server.address;
    let forged = |peer: u8| upgrade("/", &format!("X-Forwarded-For: 192.0.2.{peer}\r\nForwarded: for=x\r\n"));
    let (status, _open) = ask("127.0.0.2", address, &forged(1)).await;
    assert_eq!((status, &*recording.peer().await), (101, "127.0.0.2"));
    assert_eq!(ask("127.0.0.2", address, &forged(2)).await.0, 429);
    assert_eq!(recording.rejections.next().await.0, "127.0.0.2");
}

/// Row N1: a request whose proxy does not name its peer is rejected. It must not count as the
/// proxy, which has no limit.
#[tokio::test]
async fn a_proxy_that_does_not_name_its_peer_gets_400() {
    let recording = Recording::start(small().trusted_proxies(["127.0.0.1"])).await;
    for (header, expected) in [
        ("X-Forwarded-For: unknown\r\n", "does not name an address"),
        ("Forwarded: for=\"192.0.2.1\r\n", "violates RFC 7239"),
        ("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n", "name different peers"),
    ] {
        assert_eq!(ask("127.0.0.1", &recording.server.address, &upgrade("/", header)).await.0, 400, "{header}");
        let (peer, status, reason) = recording.rejections.next().await;
        assert_eq!((&*peer, status), ("127.0.0.1", 400));
        assert!(reason.contains(expected), "{reason}");
    }
}

/// Row N1: a mistake in the networks is an error of `build`.
#[tokio::test]
async fn a_network_that_is_not_valid_is_an_error() {
    let error = small().trusted_proxies(["10.0.0.1/8", "proxy"]).build().unwrap_err();
    assert_eq!(error.problems().len(), 2, "{error}");
    assert!(error.problems()[0].contains("bits after the first 8"), "{error}");
    let error = small().proxy_protocol().build().unwrap_err();
    assert!(error.to_string().contains("trusted_proxies"), "{error}");
    let error = small().health("healthz").build().unwrap_err();
    assert!(error.to_string().contains('/'), "{error}");
}

/// Row N2: a trusted proxy begins with a header, and other peers must not.
#[tokio::test]
async fn a_trusted_proxy_has_to_send_the_header() {
    let hub = small().trusted_proxies(["127.0.0.1"]).proxy_protocol().max_connections_per_address(1);
    let recording = Recording::start(hub).await;
    let address = &recording.server.address;
    // The headers of the request are those of the peer, which is not trusted.
    let request = upgrade("/", "X-Forwarded-For: 198.51.100.9\r\n");
    let line = |peer: &str| format!("PROXY TCP4 {peer} 10.0.0.1 4711 443\r\n{request}");
    let (status, _open) = ask("127.0.0.1", address, &line("192.0.2.1")).await;
    assert_eq!((status, &*recording.peer().await), (101, "192.0.2.1"));
    assert_eq!(ask("127.0.0.1", address, &line("192.0.2.1")).await.0, 429);
    assert_eq!(recording.rejections.next().await.0, "192.0.2.1");
    let (status, _other) = ask("127.0.0.1", address, &line("192.0.2.2")).await;
    assert_eq!((status, &*recording.peer().await), (101, "192.0.2.2"));
    assert_eq!(ask("127.0.0.1", address, &request).await.0, 400);
    let (peer, _, reason) = recording.rejections.next().await;
    assert_eq!(peer, "127.0.0.1");
    assert!(reason.contains("has not sent a header of the PROXY protocol"), "{reason}");
    assert_eq!(ask("127.0.0.2", address, &line("192.0.2.3")).await.0, 400, "not trusted");
    assert_eq!(recording.rejections.next().await.0, "127.0.0.2");
    let (status, _direct) = ask("127.0.0.2", address, &request).await;
    assert_eq!((status, &*recording.peer().await), (101, "127.0.0.2"));
}

/// Row N2: a header that names no peer leaves the address of the proxy, and a peer cannot choose
/// another one.
#[tokio::test]
async fn a_header_without_a_peer_does_not_make_the_request_trusted() {
    let hub = small().trusted_proxies(["127.0.0.1"]).proxy_protocol().max_connections_per_address(1);
    let recording = Recording::start(hub).await;
    let version_2 = |bytes: &str| format!("\r\n\r\n\0\r\nQUIT\n{bytes}\0\0");
    let mut open = Vec::new();
    for header in [
        "PROXY UNKNOWN\r\n".to_owned(),
        "PROXY UNKNOWN 192.0.2.1 10.0.0.1 4711 443\r\n".to_owned(),
        // LOCAL, PROXY without a family, and PROXY with a Unix socket.
        version_2("\x20\0"),
        version_2("\x21\0"),
        version_2("\x21\x31"),
    ] {
        for forged in ["X-Forwarded-For: 198.51.100.9\r\n", "Forwarded: for=198.51.100.9\r\n", ""] {
            let request = header.clone() + &upgrade("/", forged);
            let (status, tcp) = ask("127.0.0.1", &recording.server.address, &request).await;
            assert_eq!((status, &*recording.peer().await), (101, "127.0.0.1"), "{header:?} {forged}");
            open.push(tcp);
        }
    }
}

/// Row N2: the header of a proxy that is a peer of another one is followed by that proxy's own.
#[tokio::test]
async fn a_proxy_behind_a_proxy_names_the_peer_in_its_request() {
    let recording = Recording::start(small().trusted_proxies(["127.0.0.0/8"]).proxy_protocol()).await;
    let request = upgrade("/", "X-Forwarded-For: 192.0.2.1\r\n");
    let line = format!("PROXY TCP4 127.0.0.9 127.0.0.1 4711 443\r\n{request}");
    let (status, _open) = ask("127.0.0.1", &recording.server.address, &line).await;
    assert_eq!((status, &*recording.peer().await), (101, "192.0.2.1"));
}

/// Row N2: the header is part of the handshake, so it has the same deadline.
#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_in_time_is_answered_408() {
    let config = Config::default().handshake_timeout(Duration::from_secs(3));
    let hub = small().config(config).trusted_proxies(["192.0.2.9"]).proxy_protocol().build().unwrap();
    let handler = hub.ws_handler(wsx::unique_id, |_| {});
    let peer: SocketAddr = "192.0.2.9:4711".parse().unwrap();
    for start in ["", "PROXY", "PROXY TCP4 192.0.2.1 10.0.0.1 47", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(start.as_bytes()).await.unwrap();
        let before = tokio::time::Instant::now();
        let rejected = handler.serve_connection(far, Some(peer)).await.unwrap_err();
        let HandshakeError::Rejected { status, .. } = rejected else { panic!("{rejected:?}") };
        assert_eq!(status, 408, "{start:?}");
        // The peer has another second to read its answer.
        let took = before.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_millis(4200)).contains(&took), "{took:?}");
    }
}

/// Serves the hub at `/ws` with axum, which adds the address of the socket in this way.
pub(crate) async fn axum(handler: WsHandler, adding: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = axum::Router::new().route_service("/ws", handler);
    match adding {
        "ConnectInfo" => {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        }
        "PeerAddr" => {
            let add = |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>,
                       mut request: axum::extract::Request,
                       next: axum::middleware::Next| async move {
                request.extensions_mut().insert(PeerAddr(peer));
                next.run(request).await
            };
            let app = app.layer(axum::middleware::from_fn(add)).into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        }
        _ => {
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        }
    }
    address
}

/// Row N4: in axum, the limit, the observer and `build_id` have the address that axum knows.
#[tokio::test]
async fn the_limit_of_an_address_holds_in_axum() {
    for adding in ["ConnectInfo", "PeerAddr"] {
        let (peers, rejections) = (Log::default(), Rejections::default());
        let hub = small().observer(rejections.clone()).max_connections_per_address(2).trusted_proxies(["127.0.0.1"]);
        let hub = hub.build().unwrap();
        let address = axum(hub.ws_handler(recording(&peers), |_| {}), adding).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let (status, tcp) = ask("127.0.0.2", &address, &upgrade("/ws", "X-Forwarded-For: 192.0.2.1\r\n")).await;
            assert_eq!((status, peers.next().await.ip().to_string()), (101, "127.0.0.2".to_owned()), "{adding}");
            open.push(tcp);
        }
        for _ in 0..3 {
            assert_eq!(ask("127.0.0.2", &address, &upgrade("/ws", "")).await.0, 429, "{adding}");
            assert_eq!(rejections.0.next().await.0, "127.0.0.2");
        }
        // A proxy that is trusted there too.
        let (status, _tcp) = ask("127.0.0.1", &address, &upgrade("/ws", "X-Forwarded-For: 192.0.2.1\r\n")).await;
        assert_eq!((status, peers.next().await.ip().to_string()), (101, "192.0.2.1".to_owned()), "{adding}");
        // A connection that has ended makes room.
        drop(open.pop());
        within(async {
            while ask("127.0.0.2", &address, &upgrade("/ws", "")).await.0 != 101 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Row N4: without an address, a hub that needs it rejects each request, and says what to add. One
/// that does not need it works as before.
#[tokio::test]
async fn a_missing_address_is_an_error_that_says_what_to_add() {
    for hub in [small().max_connections_per_address(2), small().trusted_proxies(["127.0.0.1"])] {
        let rejections = Rejections::default();
        let hub = hub.observer(rejections.clone()).build().unwrap();
        let address = axum(hub.ws_handler(wsx::unique_id, |_| {}), "nothing").await;
        let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&format!("ws://{address}/ws")).await else {
            panic!("it connected")
        };
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.body().as_deref(), Some(&b"internal error"[..]), "the peer does not learn the reason");
        let (peer, status, reason) = rejections.0.next().await;
        assert_eq!((&*peer, status), ("unknown", 500));
        assert!(reason.contains("PeerAddr") && reason.contains("into_make_service_with_connect_info"), "{reason}");
    }
    let hub = small().build().unwrap();
    let address = axum(hub.ws_handler(wsx::unique_id, |_| {}), "nothing").await;
    Peer::connect(&format!("ws://{address}/ws")).await;
}
