//! `TestLink` joins a hub and its clients in memory, and breaks as a test wants it: row D11 of the
//! specification.
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wsx::{
    CancellationToken, Client, ClientState, Closed, Config, Connection, Hub, Rejection, SendError,
    http::{HeaderName, HeaderValue, StatusCode, request::Parts},
    server::PeerAddr,
    testing::TestLink,
};
use wsx_tests::{Seen, query_id, recorder};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize, wsx::Message)]
struct Report {
    n: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    n: u32,
}

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Report;
        Server -> Edge: Cmd;
    }
}

/// Both endpoints write what they see, with the time.
#[derive(Clone)]
struct Log(Instant, Arc<Mutex<Vec<String>>>);

impl Log {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    fn add(&self, line: impl std::fmt::Display) {
        self.1.lock().unwrap().push(format!("{} ms: {line}", self.0.elapsed().as_millis()));
    }

    fn lines(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station(Log);

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox(Log);

#[wsx::handler("__open__", on = Station)]
fn on_open(station: &Station, conn: &Connection<Server>) {
    station.0.add(format_args!("{} opened", conn.id()));
}

#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, conn: &Connection<Server>, closed: Closed) {
    station.0.add(format_args!("{} closed by {:?}", conn.id(), closed.by));
}

#[wsx::handler(on = Station)]
fn on_report(station: &Station, report: Report) -> Cmd {
    station.0.add(format_args!("report {}", report.n));
    Cmd { n: report.n + 1 }
}

#[wsx::handler(on = EdgeBox)]
fn on_cmd(edge: &EdgeBox, cmd: Cmd) {
    edge.0.add(format_args!("cmd {}", cmd.n));
}

/// A hub and a client that are joined by a link.
struct Both {
    hub: Hub<Station>,
    client: Client<EdgeBox>,
    link: TestLink,
    log: Log,
}

async fn both(config: Config) -> Both {
    let log = Log::new();
    let hub = Hub::builder().endpoint(Station(log.clone())).config(config).build().unwrap();
    let link = TestLink::to(hub.ws_handler(query_id, |_| {}).path("/ws"));
    let client = Client::builder("ws://station/ws?id=box-7")
        .endpoint(EdgeBox(log.clone()))
        .connector(link.connector())
        .jitter(|| 0.5)
        .build()
        .unwrap();
    client.start(CancellationToken::new()).await.unwrap();
    Both { hub, client, link, log }
}

#[tokio::test(start_paused = true)]
async fn messages_travel_both_ways_with_the_real_handshake() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let build_id = {
        let seen = seen.clone();
        move |request: Parts| {
            let peer = request.extensions.get::<PeerAddr>().expect("a listener adds the address").0;
            let token = request.headers.get("x-token").map(|token| token.to_str().unwrap().to_owned());
            seen.lock().unwrap().push((request.uri.to_string(), peer.ip().is_loopback(), token.clone()));
            async move { token.ok_or(Rejection::from(StatusCode::UNAUTHORIZED)) }
        }
    };
    let log = Log::new();
    let hub = Hub::builder().endpoint(Station(log.clone())).build().unwrap();
    let link = TestLink::to(hub.ws_handler(build_id, |_| {}));
    let builder = |url: &str| Client::builder(url).endpoint(EdgeBox(log.clone())).connector(link.connector());
    let token = (HeaderName::from_static("x-token"), HeaderValue::from_static("box-7"));
    let client = builder("ws://station/ws?a=1").header(token.0, token.1).build().unwrap();
    client.start(CancellationToken::new()).await.unwrap();
    client.send(&Report { n: 1 }).await.unwrap();
    // Returns when both programs have nothing left to do.
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.lines(), ["0 ms: box-7 opened", "0 ms: report 1", "0 ms: cmd 2"]);
    let stranger = builder("ws://station/").reconnect(false).build().unwrap();
    stranger.start(CancellationToken::new()).await.unwrap_err();
    assert_eq!(
        *seen.lock().unwrap(),
        [("/ws?a=1".to_owned(), true, Some("box-7".to_owned())), ("/".to_owned(), true, None)]
    );
    client.close();
    client.closed().await;
    sleep(Duration::from_millis(1)).await;
    assert!(hub.is_empty());
    assert!(log.lines().last().unwrap().ends_with("box-7 closed by Peer"));
}

#[tokio::test(start_paused = true)]
async fn a_long_message_passes() {
    let log = Log::new();
    let hub = Hub::builder()
        .on("test_link", |text: String, _: Connection| async move {
            wsx::Envelope::with_type("test_link_reply", text.len())
        })
        .build()
        .unwrap();
    let link = TestLink::to(hub.ws_handler(wsx::unique_id, |_| {}));
    let client = Client::builder("ws://station/")
        .connector(link.connector())
        .on("test_link_reply", {
            let log = log.clone();
            move |length: usize, _| {
                log.add(length);
                async {}
            }
        })
        .build()
        .unwrap();
    client.start(CancellationToken::new()).await.unwrap();
    client.send(&wsx::Envelope::with_type("test_link", "x".repeat(1_000_000))).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.lines(), ["0 ms: 1000000"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_is_dialled_again() {
    let Both { hub, client, link, log } = both(Config::default()).await;
    sleep(SECOND).await;
    link.cut();
    sleep(Duration::from_millis(1)).await;
    assert!(hub.is_empty() && client.connection().is_none());
    assert!(matches!(client.send(&Report { n: 1 }).await, Err(SendError::NotConnected)));
    client.connected().await.unwrap();
    client.send(&Report { n: 2 }).await.unwrap();
    sleep(SECOND).await;
    // The wait after a short connection is 500 ms.
    let lines = [
        "0 ms: box-7 opened",
        "1000 ms: box-7 closed by Link",
        "1500 ms: box-7 opened",
        "1500 ms: report 2",
        "1500 ms: cmd 3",
    ];
    assert_eq!(log.lines(), lines);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_refuses_until_it_is_up() {
    let (observer, mut memory) = recorder();
    let log = Log::new();
    let hub = Hub::builder().endpoint(Station(log.clone())).build().unwrap();
    let link = TestLink::to(hub.ws_handler(query_id, |_| {}));
    link.down();
    let client = Client::builder("ws://station/ws?id=box-7")
        .endpoint(EdgeBox(log.clone()))
        .connector(link.connector())
        .observer(observer)
        .build()
        .unwrap();
    let starting = tokio::spawn({
        let client = client.clone();
        async move { client.start(CancellationToken::new()).await.map(drop) }
    });
    let why = memory.find(|seen| match seen {
        Seen::ConnectFailed(_, _, error) => Some(error),
        _ => None,
    });
    assert_eq!(why.await, "cannot reach station:80");
    sleep(600 * SECOND).await;
    assert!(matches!(*client.state().borrow(), ClientState::Waiting { .. }));
    link.up();
    starting.await.unwrap().unwrap();
    sleep(Duration::from_millis(1)).await;
    assert!(hub.is_connected("box-7"));
    link.down();
    sleep(Duration::from_millis(1)).await;
    assert!(hub.is_empty());
    assert!(log.lines().last().unwrap().ends_with("box-7 closed by Link"));
}

/// Only a heartbeat notices a silent link. The bytes that were sent meanwhile arrive later, if the
/// link is up in time.
#[tokio::test(start_paused = true)]
async fn a_silent_link_carries_nothing() {
    let Both { client, link, log, .. } = both(Config::default().heartbeat(30 * SECOND, 10 * SECOND)).await;
    sleep(SECOND).await;
    link.silence();
    client.send(&Report { n: 1 }).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(log.lines(), ["0 ms: box-7 opened"]);
    link.up();
    sleep(SECOND).await;
    assert_eq!(log.lines()[1..], ["11000 ms: report 1", "11000 ms: cmd 2"]);
    link.silence();
    sleep(60 * SECOND).await;
    assert!(log.lines()[3].ends_with("box-7 closed by Link"), "{:?}", log.lines());
    assert!(client.connection().is_some(), "the client has no heartbeat");
}

#[tokio::test(start_paused = true)]
async fn a_test_runs_in_the_same_way_each_time() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let Both { client, link, log, .. } = both(Config::edge()).await;
        for n in 0..20 {
            let _ = client.send(&Report { n }).await;
            match n % 4 {
                0 => link.cut(),
                1 => link.silence(),
                2 => link.up(),
                _ => link.down(),
            }
            sleep(7 * SECOND).await;
            link.up();
        }
        runs.push(log.lines());
    }
    assert!(runs[0].len() > 20 && runs[0] == runs[1], "{runs:#?}");
}
