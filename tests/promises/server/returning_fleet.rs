//! The connections that a hub accepts in a second: row R16 of the specification.
//!
//! The clock is paused and the clients dial through memory, so that the counts of each second are
//! exact.
use crate::proxies::small;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{
    future::ready,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep},
};
use wsx::{
    CancellationToken, Client, Config, Rejection,
    client::Destination,
    http::{StatusCode, request::Parts},
    server::{OnDuplicate, WsHandler},
};
use wsx_tests::{
    Log, Server,
    handshake::{head, status, upgrade},
    query_id, within,
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends a handshake through memory. Returns the status and the `Retry-After` of the answer.
async fn ask(handler: &WsHandler, id: usize) -> (u16, Option<u64>) {
    let (near, mut far) = tokio::io::duplex(4096);
    let handler = handler.clone();
    tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade(&format!("/ws?id={id}"), "").as_bytes()).await.unwrap();
    let head = head(&mut far).await.to_ascii_lowercase();
    let after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    (status(&head), after.map(|seconds| seconds.parse().expect("whole seconds")))
}

/// Row R16: 5,000 clients of wsx come at the same moment. In no second are more accepted than the
/// rate and the burst. Each client is in at the end, within twice the time that the rate needs.
#[tokio::test(start_paused = true)]
async fn a_fleet_of_5000_is_let_in_at_the_rate() {
    const CLIENTS: usize = 5000;
    const RATE: u32 = 100;
    const BURST: u32 = 50;
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let log = accepted.clone();
    let hub = small().max_connections_per_second(RATE, BURST).build().unwrap();
    let handler = hub.ws_handler(query_id, move |_| log.lock().unwrap().push(Instant::now()));
    let random = Arc::new(Mutex::new(SmallRng::seed_from_u64(7)));
    let start = Instant::now();
    let mut connecting = JoinSet::new();
    for n in 0..CLIENTS {
        let (handler, random) = (handler.clone(), random.clone());
        let connector = move |_: Destination| {
            let (near, far) = tokio::io::duplex(1024);
            let handler = handler.clone();
            tokio::spawn(async move { handler.serve_connection(far, None).await.map(drop) });
            ready(Ok::<_, io::Error>(near))
        };
        let builder = Client::builder(format!("ws://station.invalid/ws?id={n}")).connector(connector);
        let client = builder.jitter(move || random.lock().unwrap().random()).build().unwrap();
        connecting.spawn(async move {
            client.connect(CancellationToken::new(), |_| {}).await.unwrap();
            client
        });
    }
    let clients = connecting.join_all().await;
    let all = start.elapsed();
    assert_eq!((hub.len(), clients.len()), (CLIENTS, CLIENTS));
    let accepted: Vec<Duration> = accepted.lock().unwrap().iter().map(|at| *at - start).collect();
    assert_eq!(accepted.len(), CLIENTS);
    // In any second, wherever it begins.
    let most = (RATE + BURST) as usize;
    for second in accepted.windows(most + 1) {
        let took = second[most] - second[0];
        assert!(took >= SECOND, "more than {most} in {took:?}, from {:?} on", second[0]);
    }
    let least = CLIENTS as u32 / RATE;
    assert!(all < 2 * least * SECOND, "all are in after {all:?}");
}

/// Row R16: each rejected peer is asked to come later than the one before, at the rate, and at most
/// in a minute. Who comes when asked is accepted.
#[tokio::test(start_paused = true)]
async fn rejected_peers_are_asked_to_come_one_after_the_other() {
    let hub = small().max_connections_per_second(10, 3).build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    for id in 0..3 {
        assert_eq!(ask(&handler, id).await, (101, None));
    }
    for n in 1..=700_u64 {
        assert_eq!(ask(&handler, 3).await, (503, Some(n.div_ceil(10).min(60))), "rejection {n}");
    }
    sleep(SECOND / 10).await;
    assert_eq!(ask(&handler, 4).await, (101, None));
}

/// Row R16: requests without a valid token use up nothing, so they do not keep others out.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_rejected_does_not_count() {
    async fn identify(request: Parts) -> Result<String, Rejection> {
        // It takes some time to decide.
        sleep(SECOND / 100).await;
        if request.uri.query() == Some("id=666") { Err(StatusCode::FORBIDDEN.into()) } else { query_id(request).await }
    }
    let hub = small().max_connections_per_second(1, 1).build().unwrap();
    let handler = hub.ws_handler(identify, |_| {});
    for _ in 0..20 {
        assert_eq!(ask(&handler, 666).await, (403, None));
    }
    // A peer that goes away while the program decides does not count either.
    let (near, mut far) = tokio::io::duplex(4096);
    let leaving = tokio::spawn({
        let handler = handler.clone();
        async move { handler.serve_connection(near, None).await.map(drop) }
    });
    far.write_all(upgrade("/ws?id=1", "").as_bytes()).await.unwrap();
    sleep(SECOND / 200).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(ask(&handler, 1).await, (101, None));
    assert_eq!(ask(&handler, 2).await, (503, Some(1)));
}

/// Row R16: neither does a request that the hub rejects after `build_id`.
#[tokio::test(start_paused = true)]
async fn a_duplicate_that_is_rejected_does_not_count() {
    let hub = small().config(Config::edge()).on_duplicate(OnDuplicate::RejectNew).max_connections_per_second(1, 1);
    let hub = hub.build().unwrap();
    let (near, mut far) = tokio::io::duplex(4096);
    let handler = hub.ws_handler(query_id, |_| {});
    let serving = handler.clone();
    tokio::spawn(async move { serving.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade("/ws?id=1", "").as_bytes()).await.unwrap();
    assert_eq!(status(&head(&mut far).await), 101);
    sleep(SECOND).await;
    for _ in 0..20 {
        assert_eq!(ask(&handler, 1).await, (409, None));
    }
    assert_eq!(ask(&handler, 2).await, (101, None));
    assert_eq!(ask(&handler, 3).await, (503, Some(1)));
}

/// Row R16: without a limit, the hub does not reject.
#[tokio::test]
async fn without_a_limit_all_are_accepted() {
    let log = Log::default();
    let hub = small().build().unwrap();
    let seen = log.clone();
    let handler = hub.ws_handler(query_id, move |conn| seen.add(conn.id().to_owned()));
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    for id in 0..200 {
        let _peer = within(server.peer(&id.to_string())).await;
        assert_eq!(log.next().await, id.to_string());
    }
}
