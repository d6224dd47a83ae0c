//! A second connection with an id: row S5 of the specification.
use crate::proxies::small;
use std::{future::ready, io, time::Duration};
use tokio::{io::AsyncWriteExt, time::sleep};
use tokio_tungstenite::tungstenite;
use wsx::{CancellationToken, Client, Config, Untyped, client::Destination, server::OnDuplicate};
use wsx_tests::{Log, Peer, Seen, Server, handshake::upgrade, query_id, recorder, within};

const SECOND: Duration = Duration::from_secs(1);

/// Row S5: the observer learns of an id that is replaced too often, with both addresses, and once
/// in a window.
#[tokio::test]
async fn programs_that_fight_for_an_id_are_reported() {
    let (recorder, mut memory) = recorder();
    let hub = small().observer(recorder).contested_after(2, 3600 * SECOND).build().unwrap();
    let server = Server::start(hub).await;
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(server.peer("box").await);
        // An id that nobody fights for.
        peers.push(server.peer(&peers.len().to_string()).await);
    }
    let address = |peer: &Peer| Some(peer.0.get_ref().local_addr().unwrap());
    let addresses = [address(&peers[4]), address(&peers[6])];
    let mut reports = Vec::new();
    server.hub.shutdown(Duration::ZERO).await;
    for _ in 0..peers.len() {
        let closed = |seen| match seen {
            Seen::IdContested(id, addresses, replacements) => {
                reports.push((id, addresses, replacements));
                None
            }
            Seen::ConnectionClosed(..) => Some(()),
            _ => None,
        };
        memory.find(closed).await;
    }
    assert_eq!(reports, [("box".to_owned(), addresses, 3)]);
}

/// Returns the status and the text of the answer to a handshake, or 101.
async fn answer(server: &Server<Untyped>, id: &str) -> (u16, String) {
    match Peer::try_connect(&server.url(id)).await {
        Ok(_) => (101, String::new()),
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            (answer.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(error) => panic!("{error}"),
    }
}

/// Repeats the handshake until it is accepted.
async fn connects_eventually(server: &Server<Untyped>, id: &str) {
    within(async {
        while answer(server, id).await.0 != 101 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Row S5: if the program says so, the older connection stays, and the newer one gets 409 with the
/// reason, and the observer the id. When the older one has ended, the id is free.
#[tokio::test]
async fn a_hub_can_reject_the_newer_connection() {
    let (recorder, mut memory) = recorder();
    let hub = small().observer(recorder).config(Config::edge()).on_duplicate(OnDuplicate::RejectNew).build().unwrap();
    let server = Server::start(hub).await;
    let older = server.peer("box").await;
    let taken = "a connection with this id is open, and this server does not replace it";
    assert_eq!(answer(&server, "box").await, (409, taken.to_owned()));
    // The peer does not receive the id.
    let rejected = |seen| if let Seen::HandshakeRejected(_, text) = seen { Some(text) } else { None };
    assert_eq!(memory.find(rejected).await, format!("{taken}: the id is \"box\""));
    assert_eq!(answer(&server, "another").await.0, 101);
    assert!(!server.hub.connection("box").unwrap().is_closed());
    drop(older);
    connects_eventually(&server, "box").await;
}

/// Row S5: an older connection that is closing does not keep its id, not even while its peer does
/// not take the answer to its handshake.
#[tokio::test]
async fn a_closing_connection_does_not_keep_its_id() {
    let hub = small().config(Config::edge()).on_duplicate(OnDuplicate::RejectNew).build().unwrap();
    let server = Server::start(hub).await;
    let shown = Log::default();
    let log = shown.clone();
    let handler = server.hub.ws_handler(query_id, move |conn| log.add(conn.id().to_owned()));
    let (near, mut far) = tokio::io::duplex(8);
    tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade("/ws?id=box", "").as_bytes()).await.unwrap();
    assert_eq!(shown.next().await, "box");
    assert_eq!(answer(&server, "box").await.0, 409);
    server.hub.connection("box").unwrap().close();
    assert_eq!(answer(&server, "box").await.0, 101);
}

/// Row S5: a dead link does not keep an id for ever. The heartbeat ends it.
#[tokio::test]
async fn a_dead_connection_does_not_keep_its_id() {
    let config = Config::default().heartbeat(SECOND / 10, SECOND / 10);
    let server = Server::start(small().config(config).on_duplicate(OnDuplicate::RejectNew).build().unwrap()).await;
    // Never reads, so it does not answer the pings.
    let _dead = server.peer("box").await;
    connects_eventually(&server, "box").await;
}

/// Row S5: without a heartbeat, the dead connection would keep its id.
#[test]
fn a_hub_that_rejects_duplicates_needs_a_heartbeat() {
    let error = small().on_duplicate(OnDuplicate::RejectNew).build().unwrap_err().to_string();
    assert!(error.contains("RejectNew") && error.contains("Config::edge()"), "{error}");
}

/// Rows S5, K2: two clients with one id do not replace each other more often than once in half of
/// their longest wait, and the observer of the hub learns of them. The clock is paused, and they
/// dial through memory.
#[tokio::test(start_paused = true)]
async fn two_clients_with_one_id_are_slow_and_are_reported() {
    let (recorder, mut memory) = recorder();
    let hub = small().observer(recorder).build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    let clients = [(); 2].map(|()| {
        let handler = handler.clone();
        let connector = move |_: Destination| {
            let (near, far) = tokio::io::duplex(4096);
            let handler = handler.clone();
            tokio::spawn(async move { handler.serve_connection(far, None).await.map(drop) });
            ready(Ok::<_, io::Error>(near))
        };
        Client::builder("ws://station.invalid/ws?id=box").connector(connector).build().unwrap()
    });
    for client in &clients {
        client.connect(CancellationToken::new(), |_| {}).await.unwrap();
    }
    sleep(300 * SECOND).await;
    hub.shutdown(SECOND).await;
    let (mut opened, mut contested) = (0, 0);
    for client in &clients {
        client.close();
    }
    let mut closed = 0;
    while closed < opened.max(1) {
        let seen = memory.find(Some).await;
        match seen {
            Seen::ConnectionOpened(_) => opened += 1,
            Seen::ConnectionClosed(..) => closed += 1,
            Seen::IdContested(id, addresses, replacements) => {
                assert_eq!((&*id, addresses, replacements), ("box", [None, None], 6));
                contested += 1;
            }
            _ => {}
        }
    }
    assert!((10..=300 / 15 + 2).contains(&opened), "{opened} connections in five minutes");
    assert_eq!(contested, 1);
}
