//! `docs/howto/checklist.md`: row D3 of the specification.
#[expect(unreachable_pub, reason = "the page shows it as the code of a program")]
mod client;
#[expect(unreachable_pub, reason = "the page shows it as the code of a program")]
mod server;

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{CancellationToken, http::request::Parts};
use wsx_tests::{Peer, Server, handshake, query_id, round_trip, within};

/// Returns the status of the answer to a request.
async fn answered(server: &Server<wsx::Untyped>, request: &str) -> u16 {
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let status = handshake::status(&handshake::head(&mut tcp).await);
    let _ = within(tcp.read(&mut [0; 1024])).await;
    status
}

/// Row D3: the settings of the page are in force, at both ends.
#[tokio::test]
async fn the_settings_of_the_checklist_are_in_force() {
    let hub = server::hub().unwrap();
    let upgrade = server::upgrade(&hub, |request: Parts| query_id(request));
    let server = Server::start_at(hub.clone(), upgrade, "127.0.0.1:0").await;
    let client = client::edge_box(&server.url("box-7")).unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    round_trip(&client.connection().unwrap()).await;

    let ask = |target, headers| handshake::upgrade(target, headers);
    assert_eq!(answered(&server, &ask("/other", "")).await, 404);
    assert_eq!(answered(&server, &ask("/ws?id=box-8", "Origin: https://evil.example.com\r\n")).await, 403);
    assert_eq!(answered(&server, &ask("/ws", "")).await, 400, "`identify` rejects it");
    let mut peer = Peer::connect(&server.url("box-8")).await;
    peer.send(Message::text("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(peer.close().await.0, 1009);

    let check = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(answered(&server, check).await, 200);
    hub.drain();
    assert_eq!(answered(&server, check).await, 503);
    round_trip(&client.connection().unwrap()).await;
    assert_eq!(within(hub.shutdown(Duration::from_secs(15))).await, 0);
}
