//! The end of a connection whose id is connected again: row S4 of the specification.
use futures_util::StreamExt;
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinSet,
};
use wsx::{Connection, Hub};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, within};

#[derive(wsx::Endpoint, Default)]
struct Station {
    events: Log<&'static str>,
    gate: Notify,
    present: Mutex<HashSet<String>>,
}

impl Station {
    fn present(&self) -> MutexGuard<'_, HashSet<String>> {
        self.present.lock().expect("nothing panics under this lock")
    }
}

#[wsx::handler("__open__", on = Station)]
fn on_open(station: &Station, conn: &Connection) {
    station.present().insert(conn.id().to_owned());
    station.events.add("open");
}

/// As the documentation of `Hub::is_connected` shows it.
#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, hub: &Hub<Station>, conn: &Connection) {
    let mut present = station.present();
    let is_connected = hub.is_connected(conn.id());
    if !is_connected {
        present.remove(conn.id());
    }
    station.events.add(if is_connected { "closed, and connected again" } else { "closed" });
}

/// Delays the end of its connection.
#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station) {
    station.events.add("waiting");
    station.gate.notified().await;
}

fn station() -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).build().unwrap()
}

/// Row S4: the old connection ends after the new one has opened.
#[tokio::test]
async fn a_close_after_the_next_open_sees_that_the_id_is_connected() {
    let server = Server::start(station()).await;
    let station = server.hub.endpoint();
    let mut old = server.peer("box").await;
    assert_eq!(station.events.next().await, "open");
    old.send_envelope("wait", serde_json::Value::Null).await;
    assert_eq!(station.events.next().await, "waiting");
    let _new = server.peer("box").await;
    assert_eq!(station.events.next().await, "open");
    station.gate.notify_one();
    assert_eq!(old.close().await.0, 4000);
    drop(old);
    assert_eq!(station.events.next().await, "closed, and connected again");
    assert!(server.hub.is_connected("box") && station.present().contains("box"));
}

/// Row S4: the old connection ends before the new one opens.
#[tokio::test]
async fn a_close_before_the_next_open_sees_that_the_id_is_gone() {
    let server = Server::start(station()).await;
    let station = server.hub.endpoint();
    for _ in 0..2 {
        let peer = server.peer("box").await;
        assert_eq!(station.events.next().await, "open");
        assert!(server.hub.is_connected("box") && station.present().contains("box"));
        drop(peer);
        assert_eq!(station.events.next().await, "closed");
        assert!(!server.hub.is_connected("box") && station.present().is_empty());
    }
}

/// Row S4: a connection whose handshake is not finished does not count. If its handshake fails, the
/// program learns of neither its opening nor its end.
#[tokio::test]
async fn a_handshake_in_progress_does_not_count_as_connected() {
    let (shown, hub) = (Log::default(), station());
    let log = shown.clone();
    let handler = hub.ws_handler(query_id, move |conn| log.add(conn.id().to_owned()));
    // It takes the request byte by byte, and not the whole answer.
    let (near, mut far) = tokio::io::duplex(8);
    let serving = tokio::spawn(async move { handler.serve_connection(near, None).await });
    far.write_all(upgrade("/ws?id=box", "").as_bytes()).await.unwrap();
    assert_eq!(shown.next().await, "box");
    assert!(hub.connection("box").is_some() && !hub.is_connected("box"));
    far.read_exact(&mut [0; 8]).await.unwrap();
    drop(far);
    assert!(within(serving).await.unwrap().is_err());
    assert!(hub.connection("box").is_none() && !hub.is_connected("box"));
}

/// Row S4: whatever the order of openings and ends, the program knows in the end who is here.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_program_knows_who_is_here_whatever_the_order() {
    const IDS: usize = 4;
    const CONNECTIONS: usize = 4 * IDS;
    let server = Server::start(station()).await;
    let station = server.hub.endpoint();
    let ids: HashSet<_> = (0..IDS).map(|n| format!("box-{n}")).collect();
    for round in 0..50 {
        let mut peers = JoinSet::new();
        for n in 0..CONNECTIONS {
            let url = server.url(&format!("box-{}", n % IDS));
            // Reading answers the close of a connection that was replaced.
            peers.spawn(async move {
                let mut peer = Peer::connect(&url).await;
                while let Some(Ok(_)) = peer.0.next().await {}
            });
        }
        for _ in 0..CONNECTIONS + CONNECTIONS - IDS {
            station.events.next().await;
        }
        assert_eq!(*station.present(), ids, "round {round}");
        peers.shutdown().await;
        for _ in 0..IDS {
            station.events.next().await;
        }
        assert_eq!(*station.present(), HashSet::new(), "round {round}");
    }
}
