//! Addresses that are valid on one interface only.
use wsx::{
    CancellationToken, Client, ConnectError, Hub, Rejection,
    client::ClientBuilder,
    http::{header::HOST, request::Parts},
    server::PeerAddr,
};
use wsx_tests::{Log, Server, within};

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
