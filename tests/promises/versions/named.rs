//! Each end names what it speaks.
use super::{NewBox, NewStation, OldBox, connect, new_server, v1, v2};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use wsx::{Client, Hub, protocol::PeerVersion};
use wsx_tests::{Peer, Server, handshake, within};

fn text(version: Option<&PeerVersion>) -> Option<(String, u64)> {
    version.map(|version| (version.to_string(), version.fingerprint))
}

/// Row U5: a client names its version, and the hub answers with its own; both can read it.
#[tokio::test]
async fn both_ends_know_the_version_of_the_other() {
    let (server, _) = new_server().await;
    let old = connect(&server, "old", OldBox::default()).await;
    let conn = server.hub.connection("old").unwrap();
    assert_eq!(text(conn.peer_version()), Some(("Fleet v1".into(), v1::Fleet::FINGERPRINT)));
    let conn = old.connection().unwrap();
    assert_eq!(text(conn.peer_version()), Some(("Fleet v2".into(), v2::Fleet::FINGERPRINT)));
}

/// Row U5: the hub counts its connections by version.
#[tokio::test]
async fn the_hub_counts_its_peers_by_version() {
    let (server, _) = new_server().await;
    let _clients = (
        connect(&server, "1", OldBox::default()).await,
        connect(&server, "2", NewBox::default()).await,
        connect(&server, "3", NewBox::default()).await,
    );
    let _silent = server.peer("4").await;
    let counted: Vec<_> = server.hub.versions().into_iter().map(|(peer, count)| (text(peer.as_ref()), count)).collect();
    let old = Some(("Fleet v1".to_owned(), v1::Fleet::FINGERPRINT));
    let new = Some(("Fleet v2".to_owned(), v2::Fleet::FINGERPRINT));
    assert_eq!(counted, [(None, 1), (old, 1), (new, 2)]);
}

/// Row U5: what is on the wire.
#[tokio::test]
async fn the_header_names_protocol_version_and_fingerprint() {
    let (server, _) = new_server().await;
    let address = &server.address;
    let answer = |header: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = handshake::upgrade("/ws?id=raw", &format!("{header}\r\n"));
        stream.write_all(request.as_bytes()).await.unwrap();
        within(handshake::head(&mut stream)).await.to_lowercase()
    };
    let own = format!("\r\nwsx-protocol: fleet.2.{:016x}\r\n", v2::Fleet::FINGERPRINT);
    assert!(answer("wsx-protocol: Fleet.1.00000000000000ff").await.contains(&own));
    // A peer that names nothing gets the answer of every server.
    assert!(!answer("x: y").await.contains("wsx-protocol"));
    assert!(!answer("wsx-protocol: a later form").await.contains("wsx-protocol"));
}

/// Row U5: an end without a protocol, or an older server, sees nothing of it.
#[tokio::test]
async fn an_end_without_a_protocol_names_nothing() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let client = Client::builder(server.url("1")).build().unwrap();
    within(client.start(wsx::CancellationToken::new())).await.unwrap();
    assert_eq!(server.hub.connection("1").unwrap().peer_version(), None);
    assert_eq!(client.connection().unwrap().peer_version(), None);
    let typed = connect(&server, "2", NewBox::default()).await;
    assert_eq!(text(server.hub.connection("2").unwrap().peer_version()).unwrap().0, "Fleet v2");
    assert_eq!(typed.connection().unwrap().peer_version(), None);
}

/// Row U5: a page names its version in the query, and peers may name what they like.
#[tokio::test]
async fn a_page_names_its_version_in_the_query() {
    let server = Server::start(Hub::builder().endpoint(NewStation::default()).build().unwrap()).await;
    let mut peers = Vec::new();
    for number in 0..200 {
        let url = format!("{}&wsx-protocol=X{number}.{number}.00000000000000ff", server.url(&number.to_string()));
        peers.push(Peer::connect(&url).await);
    }
    let counted = server.hub.versions();
    assert_eq!(counted.len(), 200, "also those that are not remembered");
    assert!(counted.values().all(|count| *count == 1));
}
