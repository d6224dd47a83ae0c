//! The address of the peer that a connection keeps: row N7 of the specification.
use crate::proxies::{ask, axum, small};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;
use wsx::{CancellationToken, Client, Connection, Observer, tokio_tungstenite::client_async};
use wsx_tests::{Log, Seen, Server, handshake::upgrade, recorder, within};

/// The addresses that `register` and the observer see.
#[derive(Clone, Default)]
struct Shown {
    register: Log<Option<SocketAddr>>,
    opened: Log<Option<SocketAddr>>,
}

impl Observer for Shown {
    fn connection_opened(&self, conn: &Connection) {
        self.opened.add(conn.peer_addr());
    }
}

impl Shown {
    fn register(&self) -> impl Fn(&Connection) + Send + Sync + use<> {
        let register = self.register.clone();
        move |conn| register.add(conn.peer_addr())
    }

    async fn both(&self) -> [Option<SocketAddr>; 2] {
        [self.register.next().await, self.opened.next().await]
    }
}

/// Connects from this address, and returns the socket.
async fn open(source: &str, address: &str, bytes: &str) -> TcpStream {
    let (status, tcp) = ask(source, address, bytes).await;
    assert_eq!(status, 101);
    tcp
}

/// Row N7: a connection keeps the address of its peer: the one of the socket, or the one that a
/// trusted proxy names.
#[tokio::test]
async fn a_connection_keeps_the_address_of_its_peer() {
    for proxy_protocol in [false, true] {
        let shown = Shown::default();
        let hub = small().observer(shown.clone()).trusted_proxies(["127.0.0.1"]);
        let hub = if proxy_protocol { hub.proxy_protocol() } else { hub }.build().unwrap();
        let handler = hub.ws_handler(wsx::unique_id, shown.register());
        let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
        let forged = upgrade("/", "X-Forwarded-For: 198.51.100.9\r\n");
        let direct = open("127.0.0.2", &server.address, &forged).await;
        assert_eq!(shown.both().await, [Some(direct.local_addr().unwrap()); 2]);
        let request = if proxy_protocol {
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n".to_owned() + &forged
        } else {
            upgrade("/", "X-Forwarded-For: 198.51.100.9, 192.0.2.1:4711\r\n")
        };
        let _by_proxy = open("127.0.0.1", &server.address, &request).await;
        assert_eq!(shown.both().await, [Some("192.0.2.1:4711".parse().unwrap()); 2]);
    }
}

/// Row N7: behind another HTTP server, it is the address that this server adds, or that of the
/// socket after the upgrade.
#[tokio::test]
async fn a_connection_behind_axum_keeps_the_address_of_its_peer() {
    for adding in ["ConnectInfo", "PeerAddr", "nothing"] {
        let shown = Shown::default();
        let hub = small().observer(shown.clone()).build().unwrap();
        let address = axum(hub.ws_handler(wsx::unique_id, shown.register()), adding).await;
        let tcp = open("127.0.0.2", &address, &upgrade("/ws", "")).await;
        let peer = Some(tcp.local_addr().unwrap());
        let early = if adding == "nothing" { None } else { peer };
        assert_eq!(shown.both().await, [early, peer], "{adding}");
    }
}

/// Row N7: at a client, it is the address of its socket. A stream that is not a socket has none.
#[tokio::test]
async fn a_client_knows_the_address_of_its_socket() {
    let hub = small().build().unwrap();
    let server = Server::start(hub.clone()).await;
    let client = Client::builder(server.url("box")).build().unwrap();
    let shown = Shown::default();
    within(client.connect(CancellationToken::new(), shown.register())).await.unwrap();
    assert_eq!(shown.register.next().await, Some(server.address.parse().unwrap()));
    let tcp = TcpStream::connect(&server.address).await.unwrap();
    let (ws, _) = within(client_async(server.url("other"), tcp)).await.unwrap();
    assert_eq!(Connection::new(ws).peer_addr(), Some(server.address.parse().unwrap()));
    let (near, far) = tokio::io::duplex(4096);
    let handler = hub.ws_handler(wsx::unique_id, |_| {});
    let serving = tokio::spawn(async move { handler.serve_connection(near, None).await });
    let (ws, _) = within(client_async("ws://a/ws", far)).await.unwrap();
    assert_eq!(within(serving).await.unwrap().unwrap().peer_addr(), None);
    assert_eq!(Connection::new(ws).peer_addr(), None);
}

/// Rows N7, S5: the older peer of a contest is the one that was replaced, also if the id was free
/// after the last replacement.
#[tokio::test]
async fn a_contest_names_the_connection_that_was_replaced() {
    let (recorder, mut memory) = recorder();
    let hub = small().observer(recorder).contested_after(1, Duration::from_secs(3600));
    let server = Server::start(hub.build().unwrap()).await;
    let _first = server.peer("box").await;
    let second = server.peer("box").await;
    let conn = server.hub.connection("box").unwrap();
    drop(second);
    within(conn.closed()).await;
    let third = server.peer("box").await;
    let fourth = server.peer("box").await;
    let contest = |seen| match seen {
        Seen::IdContested(_, addresses, _) => Some(addresses),
        _ => None,
    };
    let addresses = [third, fourth].map(|peer| Some(peer.0.get_ref().local_addr().unwrap()));
    assert_eq!(memory.find(contest).await, addresses);
}
