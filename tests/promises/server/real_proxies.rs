//! The configurations of `docs/deployment.md`, with HAProxy and nginx: row N6 of the specification.
use crate::proxies::{Recording, ask, small};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wsx::server::WsHandler;
use wsx_tests::{
    Peer,
    handshake::{head, status, upgrade},
    proxy::{Proxy, documented, replaced},
    within,
};

/// Returns the documented configuration of HAProxy for these two servers, with checks that are as
/// fast as a test.
fn haproxy(mode: &str, north: &str, south: &str) -> String {
    replaced(
        documented(&format!("haproxy.cfg: mode {mode}")),
        &[("10.0.0.11:9001", north), ("10.0.0.12:9001", south), ("inter 2s", "inter 20ms")],
    )
}

/// Connects through the proxy, from this address.
async fn connect(source: &str, proxy: &Proxy, request: &str) -> (u16, TcpStream) {
    ask(source, &proxy.address, request).await
}

/// Row N1: through HAProxy, the limit and `build_id` have the address of the peer, whatever
/// the peer claims.
#[tokio::test]
async fn a_peer_behind_haproxy_has_its_own_address() {
    let hub = small().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1).health("/healthz");
    let recording = Recording::start(hub).await;
    let address = &recording.server.address;
    let proxy = Proxy::haproxy(&haproxy("http", address, address)).await;
    let forged = upgrade("/", "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n");
    let mut open = Vec::new();
    for source in ["127.0.0.2", "127.0.0.3"] {
        let (status, tcp) = connect(source, &proxy, &forged).await;
        assert_eq!((status, recording.peer().await), (101, source.to_owned()));
        open.push(tcp);
        assert_eq!(connect(source, &proxy, &forged).await.0, 429);
        assert_eq!(recording.rejections.next().await.0, source);
    }
    assert_eq!(recording.rejections.try_next(), None, "health checks are not reported");
}

/// Row N2: the same without HTTP in HAProxy, with both versions of the PROXY protocol. Its
/// health checks begin with the header too.
#[tokio::test]
async fn a_peer_behind_haproxy_is_named_by_the_proxy_protocol() {
    for version in ["send-proxy-v2", "send-proxy"] {
        let hub = small().trusted_proxies(["127.0.0.1"]).proxy_protocol().max_connections_per_address(1);
        let recording = Recording::start(hub.health("/healthz")).await;
        let address = &recording.server.address;
        let config = haproxy("tcp", address, "127.0.0.1:1");
        let config = replaced(&config, &[("send-proxy-v2", version), ("check-ssl verify none ", "")]);
        let proxy = Proxy::haproxy(&config).await;
        // Nothing listens at the other server, so the checks have run.
        proxy.has_status("south", "DOWN").await;
        proxy.has_status("north", "UP").await;
        let (status, _open) = connect("127.0.0.2", &proxy, &upgrade("/", "")).await;
        assert_eq!((status, recording.peer().await), (101, "127.0.0.2".to_owned()), "{version}");
        assert_eq!(connect("127.0.0.2", &proxy, &upgrade("/", "")).await.0, 429, "{version}");
        assert_eq!(recording.rejections.next().await.0, "127.0.0.2");
        assert_eq!(recording.rejections.try_next(), None, "health checks are not reported");
    }
}

/// Row N2: a proxy that looks into HTTP, behind one that does not. The first one names the peer in
/// the request, and the second one names the first.
#[tokio::test]
async fn a_peer_behind_two_kinds_of_haproxy_has_its_own_address() {
    let recording = Recording::start(small().trusted_proxies(["127.0.0.1"]).proxy_protocol().health("/healthz")).await;
    let config = haproxy("tcp", &recording.server.address, "127.0.0.1:1");
    let tcp = Proxy::haproxy(&replaced(&config, &[("check-ssl verify none ", "")])).await;
    let http = Proxy::haproxy(&haproxy("http", &tcp.address, &tcp.address)).await;
    let forged = upgrade("/", "X-Forwarded-For: 192.0.2.1\r\n");
    let (status, _open) = connect("127.0.0.2", &http, &forged).await;
    assert_eq!((status, recording.peer().await), (101, "127.0.0.2".to_owned()));
    // The address that the second one names is not that of a proxy, so the request is the peer's.
    let (status, _direct) = connect("127.0.0.3", &tcp, &forged).await;
    assert_eq!((status, recording.peer().await), (101, "127.0.0.3".to_owned()));
}

/// Row N3: HAProxy sends new connections to another server when a server drains. Those that
/// are open stay, and end with 1001.
#[tokio::test]
async fn haproxy_takes_a_draining_server_out() {
    let start = || async { Recording::start(small().trusted_proxies(["127.0.0.1"]).health("/healthz")).await };
    let (north, south) = (start().await, start().await);
    let proxy = Proxy::haproxy(&haproxy("http", &north.server.address, &south.server.address)).await;
    let url = format!("ws://{}/ws", proxy.address);
    let mut peers = [Peer::connect(&url).await, Peer::connect(&url).await];
    assert_eq!((north.server.hub.len(), south.server.hub.len()), (1, 1), "both servers take part");
    assert!(!north.server.hub.is_draining());
    north.server.hub.drain();
    assert!(north.server.hub.is_draining());
    proxy.has_status("north", "DOWN").await;
    let _later = [Peer::connect(&url).await, Peer::connect(&url).await];
    assert_eq!((north.server.hub.len(), south.server.hub.len()), (1, 3));
    for (peer, server) in peers.iter_mut().zip([&north, &south]) {
        server.server.hub.broadcast(&wsx::Envelope::with_type("cmd", 1)).await.unwrap();
        assert_eq!(peer.receive_data().await.0, "cmd", "an open connection stays");
    }
    let hub = north.server.hub.clone();
    let ended = tokio::spawn(async move { hub.shutdown(Duration::from_secs(15)).await });
    assert_eq!(peers[0].close().await.0, 1001);
    while let Some(Ok(_)) = peers[0].next().await {}
    assert_eq!(within(ended).await.unwrap(), 0);
    for server in [north, south] {
        assert_eq!(server.rejections.try_next(), None, "health checks are not reported");
    }
}

/// Returns the documented configuration of nginx for these two servers.
fn nginx(north: &str, south: &str) -> String {
    replaced(documented("nginx.conf"), &[("10.0.0.11:9001", north), ("10.0.0.12:9001", south)])
}

/// Rows N1, N5: through nginx, the address is that of the peer, and pages of the host that the
/// browser knows may connect.
#[tokio::test]
async fn a_peer_behind_nginx_has_its_own_address_and_host() {
    let hub = small().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1);
    let recording = Recording::start_as(hub, WsHandler::same_origin).await;
    let address = &recording.server.address;
    let proxy = Proxy::nginx(&nginx(address, "127.0.0.1:1 down")).await;
    // The host of the request is `a`.
    let page = "Origin: http://a\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
    let (status, _open) = connect("127.0.0.2", &proxy, &upgrade("/", page)).await;
    assert_eq!((status, recording.peer().await), (101, "127.0.0.2".to_owned()));
    assert_eq!(connect("127.0.0.2", &proxy, &upgrade("/", page)).await.0, 429);
    assert_eq!(recording.rejections.next().await.0, "127.0.0.2");
    let forged = "Origin: http://evil\r\nX-Forwarded-Host: evil\r\n";
    assert_eq!(connect("127.0.0.3", &proxy, &upgrade("/", forged)).await.0, 403);
    let (peer, _, reason) = recording.rejections.next().await;
    assert!(peer == "127.0.0.3" && reason.contains("\"http://evil\"") && reason.contains("\"a\""), "{peer}: {reason}");
}

/// Row N6: a server that answers 503, because boxes come too fast, stays in use. nginx does not
/// answer 502.
#[tokio::test]
async fn nginx_keeps_a_server_that_accepts_no_more_at_the_moment() {
    let start = || Recording::start(small().trusted_proxies(["127.0.0.1"]).max_connections_per_second(1, 1));
    let (north, south) = (start().await, start().await);
    let proxy = Proxy::nginx(&nginx(&north.server.address, &south.server.address)).await;
    let (mut open, mut rejected) = (Vec::new(), 0);
    while rejected < 5 {
        match connect("127.0.0.2", &proxy, &upgrade("/", "")).await {
            (101, tcp) => open.push(tcp),
            (status, _) => {
                assert_eq!(status, 503, "after {} connections and {rejected} rejections", open.len());
                rejected += 1;
            }
        }
    }
    assert!(open.len() >= 2, "each of the servers accepts one");
}

/// Row N5: a proxy that changes `Host` is found by the report, which names both sides of the
/// comparison. The peer does not learn them.
#[tokio::test]
async fn a_proxy_that_changes_the_host_is_found_by_the_report() {
    let recording = Recording::start_as(small(), WsHandler::same_origin).await;
    let address = &recording.server.address;
    let config = replaced(&nginx(address, "127.0.0.1:1 down"), &[("proxy_set_header Host $http_host;", "")]);
    let proxy = Proxy::nginx(&config).await;
    let mut tcp = TcpStream::connect(&proxy.address).await.unwrap();
    tcp.write_all(upgrade("/", "Origin: https://ops.example.com\r\n").as_bytes()).await.unwrap();
    let mut answer = head(&mut tcp).await;
    let mut body = vec![0; 64];
    let length = within(tcp.read(&mut body)).await.unwrap();
    answer.push_str(&String::from_utf8_lossy(&body[..length]));
    assert!(status(&answer) == 403 && answer.contains("this `Origin` is not allowed"), "{answer}");
    assert!(!answer.contains("ops.example.com"), "{answer}");
    let (_, _, reason) = recording.rejections.next().await;
    // nginx sends the name of its upstream.
    for part in ["\"https://ops.example.com\"", "the host is \"wsx\"", "trusted_proxies", "X-Forwarded-Host"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
}

/// nginx goes to the next server when one shuts down.
#[tokio::test]
async fn nginx_goes_to_the_next_server_after_a_shutdown() {
    let start = || async { Recording::start(small().trusted_proxies(["127.0.0.1"])).await };
    let (north, south) = (start().await, start().await);
    let proxy = Proxy::nginx(&nginx(&north.server.address, &south.server.address)).await;
    within(north.server.hub.shutdown(Duration::from_secs(15))).await;
    let url = format!("ws://{}/ws", proxy.address);
    let _peers = [Peer::connect(&url).await, Peer::connect(&url).await];
    assert_eq!(south.server.hub.len(), 2);
}
