//! The source of a client's connection, and addresses that are valid on one interface only.
use tokio::net::TcpStream;
use wsx::{
    CancellationToken, Client, ConnectError, Hub, Rejection,
    client::ClientBuilder,
    http::{header::HOST, request::Parts},
    server::PeerAddr,
};
use wsx_tests::{Log, Server, chain, within};

/// What a server sees of a client: its address and its `Host` header.
type Seen = (String, String);

/// Starts a hub at this address that logs its clients.
async fn logging(address: &str) -> (Server<wsx::Untyped>, Log<Seen>) {
    let (hub, log) = (Hub::new(), Log::default());
    let seen = log.clone();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            let peer = request.extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_string());
            let host = request.headers[HOST].to_str().map(str::to_owned);
            let (Some(peer), Ok(host)) = (peer, host) else { panic!("{request:?}") };
            seen.add((peer, host));
            async { Ok::<_, Rejection>("a".to_owned()) }
        },
        |_| {},
    );
    (Server::start_at(hub, upgrade, address).await, log)
}

async fn connect(client: ClientBuilder) -> Result<Client, ConnectError> {
    within(client.reconnect(false).build()?.start(CancellationToken::new())).await
}

/// Row K13: the client connects from the address and through the interface that the program chose.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_connects_from_its_source() {
    let (server, log) = logging("127.0.0.1:0").await;
    let own = std::net::Ipv4Addr::new(127, 0, 0, 5);
    connect(Client::builder(server.url("a")).bind_address(own).bind_interface("lo")).await.unwrap();
    assert_eq!(log.next().await.0, "127.0.0.5");
    let error = connect(Client::builder(server.url("a")).bind_interface("wsx-none")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error:?}");
    assert!(chain(&error).contains("cannot bind to the interface \"wsx-none\""), "{}", chain(&error));
}

/// Row K13: options for the source that cannot work are reported by `build`.
#[test]
fn a_source_that_cannot_work_is_reported_at_once() {
    let client = || Client::builder("ws://a/ws");
    let own_sockets = client().connector(|_| TcpStream::connect("127.0.0.1:1")).bind_interface("lo");
    for (client, expected) in
        [(own_sockets, "`connector` makes its own sockets"), (client().bind_interface(""), "empty")]
    {
        let error = client.build().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Row K14: the socket has the zone of the URL, here the number of the loopback interface. The
/// server sees the address alone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_zone_is_for_the_socket_alone() {
    let (server, log) = logging("[::1]:0").await;
    let port = server.address.rsplit(':').next().unwrap();
    connect(Client::builder(format!("ws://[::1%251]:{port}/ws"))).await.unwrap();
    assert_eq!(log.next().await.1, format!("[::1]:{port}"));
    let error = connect(Client::builder(format!("ws://[fe80::1%25wsx-none]:{port}/ws"))).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach [fe80::1%wsx-none]:{port}"));
}
