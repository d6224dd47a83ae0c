//! The engine reads on while a handler runs.
use serde::de::IgnoredAny;
use serde_json::json;
use socket2::SockRef;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use wsx::{CancellationToken, Client, CloseCode, ClosedBy, Config, Connection, Envelope, Hub};
use wsx_tests::{Log, Peer, Server, round_trip, within};

const SECOND: Duration = Duration::from_secs(1);

#[derive(wsx::Endpoint)]
struct Station {
    /// The data of each message whose handler began.
    began: Log<u32>,
    /// The results of handlers that ended.
    ended: Log<String>,
    /// Each handler of `wait` takes a permit.
    permits: Arc<Semaphore>,
}

impl Default for Station {
    fn default() -> Self {
        Self { began: Log::default(), ended: Log::default(), permits: Arc::new(Semaphore::new(0)) }
    }
}

#[wsx::handler("note", on = Station)]
fn on_note(station: &Station, n: u32) {
    station.began.add(n);
}

#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station, n: u32) -> Envelope<u32> {
    station.began.add(n);
    station.permits.acquire().await.expect("the semaphore is not closed").forget();
    Envelope::with_type("waited", n)
}

#[wsx::handler("sleep", on = Station)]
async fn on_sleep(seconds: u64) -> Envelope<u64> {
    sleep(Duration::from_secs(seconds)).await;
    Envelope::with_type("slept", seconds)
}

#[wsx::handler("tick", on = Station)]
async fn on_tick(station: &Station, _n: IgnoredAny, conn: &Connection) {
    while !conn.is_closed() && conn.send(&Envelope::with_type("ticked", ())).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    station.ended.add("the ticks ended".into());
}

#[wsx::handler("watch", on = Station)]
async fn on_watch(station: &Station, _n: IgnoredAny, conn: &Connection) {
    station.began.add(0);
    station.ended.add(conn.closed().await.to_string());
}

#[wsx::handler("reject", on = Station)]
async fn on_reject(station: &Station, n: u32, conn: &Connection) {
    station.began.add(n);
    station.permits.acquire().await.expect("the semaphore is not closed").forget();
    conn.close_with(CloseCode::POLICY_VIOLATION, "rejected");
}

async fn server() -> Server<Station> {
    Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await
}

async fn send_close(peer: &mut Peer, code: u16) {
    peer.send(Message::Close(Some(CloseFrame { code: code.into(), reason: "bye".into() }))).await;
}

/// Ends the link of a peer without a close frame: with a FIN, or with a reset.
async fn hang_up(peer: Peer, reset: bool) -> Option<tokio::net::TcpStream> {
    let mut tcp = peer.0.into_inner();
    if reset {
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        return None;
    }
    tcp.shutdown().await.unwrap();
    Some(tcp)
}

/// Row C2: a ping is answered while a handler waits. The reply arrives when the handler is done.
#[tokio::test]
async fn a_ping_is_answered_while_a_handler_waits() {
    let server = server().await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("wait", json!(7)).await;
    assert_eq!(server.hub.endpoint().began.next().await, 7);
    for payload in ["one", "two"] {
        peer.send(Message::Ping(payload.into())).await;
        let Some(Ok(Message::Pong(pong))) = peer.next().await else { panic!("not a pong") };
        assert_eq!(pong, payload);
    }
    server.hub.endpoint().permits.add_permits(1);
    assert_eq!(peer.receive_data().await, ("waited".into(), json!(7)));
}

/// Row C2: the same at a client. The pong of the other end reaches it as well.
#[tokio::test]
async fn a_client_reads_on_while_its_handler_waits() {
    let server = server().await;
    let (began, permits) = (Log::default(), Arc::new(Semaphore::new(0)));
    let (log, turns) = (began.clone(), permits.clone());
    let on_ask = move |n: u32, _| {
        let (log, turns) = (log.clone(), turns.clone());
        async move {
            log.add(());
            turns.acquire().await.expect("the semaphore is not closed").forget();
            Envelope::with_type("note", n)
        }
    };
    let client = Client::builder(server.url("a")).on("ask", on_ask).reconnect(false).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    server.hub.send_to("a", &Envelope::with_type("ask", 3)).await.unwrap();
    began.next().await;
    round_trip(&server.hub.connection("a").unwrap()).await;
    round_trip(&client.connection().unwrap()).await;
    permits.add_permits(1);
    assert_eq!(server.hub.endpoint().began.next().await, 3);
}

/// Rows C2, R1: a handler may take several times the heartbeat of the other end.
#[tokio::test(start_paused = true)]
async fn a_long_handler_is_not_cut_by_the_heartbeat_of_the_other_end() {
    let server = server().await;
    let answers = Log::default();
    let log = answers.clone();
    let client = Client::builder(server.url("a"))
        .config(Config::default().heartbeat(SECOND, SECOND))
        .on("slept", move |seconds: u64, _| {
            log.add(seconds);
            async {}
        })
        .reconnect(false)
        .build()
        .unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client.send(&Envelope::with_type("sleep", 5)).await.unwrap();
    assert_eq!(answers.next().await, 5);
}

/// Row C2: a handler learns of the peer's close while it runs, and the close is answered at once.
#[tokio::test(start_paused = true)]
async fn a_handler_that_sends_until_the_close_ends_with_it() {
    let server = server().await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("tick", json!(null)).await;
    assert_eq!(peer.receive_data().await.0, "ticked");
    let start = Instant::now();
    send_close(&mut peer, 4003).await;
    assert_eq!(within(peer.close()).await, (4003, "bye".into()));
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert_eq!(server.hub.endpoint().ended.next().await, "the ticks ended");
}

/// Row C2: `closed` returns in a handler of the connection, for each kind of end.
#[tokio::test(start_paused = true)]
async fn closed_returns_within_a_handler() {
    let server = server().await;
    let start = Instant::now();
    for (end, expected) in [
        ("close", "closed by the peer with 4003 (\"bye\")"),
        ("fin", "closed by the link with 1006 (\"the peer ended the stream without a close frame\")"),
        ("reset", "closed by the link with 1006"),
    ] {
        let mut peer = server.peer("a").await;
        peer.send_envelope("watch", json!(null)).await;
        server.hub.endpoint().began.next().await;
        let _open = if end == "close" {
            send_close(&mut peer, 4003).await;
            assert_eq!(peer.close().await, (4003, "bye".into()));
            None
        } else {
            hang_up(peer, end == "reset").await
        };
        let closed = server.hub.endpoint().ended.next().await;
        assert!(closed.starts_with(expected), "{end}: {closed}");
    }
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

/// Row C2: a connection whose handler waits for ever leaves the hub as soon as its peer has gone.
#[tokio::test(start_paused = true)]
async fn a_hanging_handler_does_not_keep_its_connection_in_the_hub() {
    let server = server().await;
    for end in ["close", "fin", "reset"] {
        let mut peer = server.peer("a").await;
        let conn = server.hub.connection("a").unwrap();
        peer.send_envelope("wait", json!(1)).await;
        peer.send_envelope("note", json!(2)).await;
        assert_eq!(server.hub.endpoint().began.next().await, 1);
        let start = Instant::now();
        let _open = if end == "close" {
            send_close(&mut peer, 4003).await;
            None
        } else {
            hang_up(peer, end == "reset").await
        };
        let closed = within(conn.closed()).await;
        assert_eq!(closed.by, if end == "close" { ClosedBy::Peer } else { ClosedBy::Link }, "{end}");
        assert!(server.hub.is_empty() && conn.is_closed(), "{end}");
        assert!(start.elapsed() < SECOND, "{end}: {:?}", start.elapsed());
    }
}

/// Row C2: messages wait in order while a handler runs. Those before the peer's close are handled,
/// and their replies leave before the close frame.
#[tokio::test(start_paused = true)]
async fn messages_before_the_peers_close_are_answered_in_order() {
    let server = server().await;
    let mut peer = server.peer("a").await;
    for n in 0..100 {
        peer.send_envelope("wait", json!(n)).await;
    }
    send_close(&mut peer, 4003).await;
    let conn = server.hub.connection("a").unwrap();
    assert_eq!(within(conn.closed()).await.code, 4003.into());
    assert_eq!(server.hub.endpoint().began.next().await, 0);
    assert_eq!(server.hub.endpoint().began.try_next(), None);
    server.hub.endpoint().permits.add_permits(100);
    for n in 0..100 {
        assert_eq!(peer.receive_data().await, ("waited".into(), json!(n)));
    }
    assert_eq!(peer.close().await, (4003, "bye".into()));
}

/// Row C2: the messages before the end of a broken link are handled, too.
#[tokio::test(start_paused = true)]
async fn messages_before_a_broken_link_are_handled() {
    let server = server().await;
    for reset in [false, true] {
        let mut peer = server.peer("a").await;
        let conn = server.hub.connection("a").unwrap();
        for n in 0..100 {
            peer.send_envelope("wait", json!(n)).await;
        }
        // The reset must not overtake the messages.
        peer.read_so_far().await;
        let _open = hang_up(peer, reset).await;
        assert_eq!(within(conn.closed()).await.by, ClosedBy::Link);
        server.hub.endpoint().permits.add_permits(100);
        for n in 0..100 {
            assert_eq!(server.hub.endpoint().began.next().await, n);
        }
    }
}

/// Rows C5, X7: a close during a shutdown stops the handling at once.
#[tokio::test]
async fn a_close_after_a_shutdown_has_begun_stops_the_handling() {
    let server = server().await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    peer.send_envelope("reject", json!(0)).await;
    for n in 1..4 {
        peer.send_envelope("note", json!(n)).await;
    }
    assert_eq!(server.hub.endpoint().began.next().await, 0);
    let hub = server.hub.clone();
    let shutdown = tokio::spawn(async move { hub.shutdown(10 * SECOND).await });
    while !conn.is_closed() {
        tokio::task::yield_now().await;
    }
    server.hub.endpoint().permits.add_permits(1);
    assert_eq!(peer.close().await.0, 1001);
    while let Some(Ok(_)) = peer.next().await {}
    assert_eq!(within(shutdown).await.unwrap(), 0);
    assert_eq!(server.hub.endpoint().began.try_next(), None);
}
