//! Row X7 of the specification: a shutdown, as open connections, new connections and its callers
//! see it.
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::json;
use std::{
    future::pending,
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::Notify,
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use wsx::{Closed, ClosedBy, Connection, Hub, Observer, Rejection, SendError, http::request::Parts, server::WsHandler};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, recorder, within};

/// Longer than anything in this file takes.
const GRACE: Duration = Duration::from_secs(15);

#[derive(wsx::Endpoint, Default)]
struct Station {
    telemetry: Log<u64>,
    events: Log<&'static str>,
    handler_may_end: Arc<Notify>,
    close_handler_may_end: Arc<Notify>,
}

#[derive(Serialize, wsx::Message)]
struct Notice {
    n: u32,
}

#[wsx::handler("telemetry", on = Station)]
fn on_telemetry(station: &Station, n: u64) {
    station.telemetry.add(n);
}

#[wsx::handler("work", on = Station)]
async fn on_work(station: &Station, _n: serde::de::IgnoredAny) {
    station.events.add("working");
    station.handler_may_end.notified().await;
    station.events.add("worked");
}

#[wsx::handler("question", on = Station)]
async fn on_question(station: &Station, n: u32) -> Notice {
    station.events.add("thinking");
    station.handler_may_end.notified().await;
    Notice { n }
}

#[wsx::handler("__close__", on = Station)]
async fn on_close(station: &Station, conn: &Connection) {
    if conn.id() == "busy" {
        station.events.add("closing");
        station.close_handler_may_end.notified().await;
    }
    station.events.add("closed");
}

fn station() -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).build().unwrap()
}

/// Shuts the hub down in a task of its own, which returns the number of connections that were cut
/// off.
fn shut_down(hub: &Hub<Station>, deadline: Duration) -> tokio::task::JoinHandle<usize> {
    let hub = hub.clone();
    tokio::spawn(async move { hub.shutdown(deadline).await })
}

/// Lets the peer answer the close and hang up.
async fn finish(peer: &mut Peer) {
    while let Some(Ok(_)) = peer.next().await {}
}

/// Opens a connection over memory, so that the timing of the kernel does not matter.
async fn in_memory(handler: &WsHandler<Station>, id: &str) -> WebSocketStream<DuplexStream> {
    in_memory_through(1024, handler, id).await
}

/// The same over a pipe that holds `width` bytes.
async fn in_memory_through(width: usize, handler: &WsHandler<Station>, id: &str) -> WebSocketStream<DuplexStream> {
    let (near, far) = tokio::io::duplex(width);
    let handler = handler.clone();
    let opening = tokio::spawn(async move { handler.serve_connection(near, None).await });
    let (ws, _) = within(client_async(format!("ws://a/ws?id={id}"), far)).await.expect("the handshake succeeds");
    within(opening).await.expect("the handshake does not panic").expect("the handshake succeeds");
    ws
}

/// Queued messages leave, then 1001. Messages that were on their way are handled, and the port is
/// closed.
#[tokio::test]
async fn a_shutdown_sends_queued_messages_and_closes_with_1001() {
    let server = Server::start(station()).await;
    let mut peer = server.peer("a").await;
    for n in 0..500 {
        server.hub.send_to("a", &Notice { n }).await.unwrap();
        peer.send_envelope("telemetry", json!(n)).await;
    }
    let conn = server.hub.connection("a").unwrap();
    let ended = shut_down(&server.hub, GRACE);
    for n in 0..500 {
        assert_eq!(peer.receive_data().await.1, json!({"n": n}));
    }
    assert_eq!(peer.close().await, (1001, "the server is going away".into()));
    assert!(matches!(conn.send(&Notice { n: 0 }).await, Err(SendError::Closed)));
    finish(&mut peer).await;
    assert_eq!(within(ended).await.unwrap(), 0);
    for n in 0..500 {
        assert_eq!(server.hub.endpoint().telemetry.next().await, n);
    }
    assert!(server.hub.is_empty());
    let address = server.address.clone();
    within(server.stop()).await;
    assert!(TcpStream::connect(&address).await.is_err(), "the port is still open");
}

/// Running handlers, `__close__` handlers and observers have finished when the shutdown returns.
#[tokio::test]
async fn a_shutdown_waits_for_handlers_and_observers() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let station = server.hub.endpoint();
    let mut peer = server.peer("busy").await;
    peer.send_envelope("work", json!(1)).await;
    assert_eq!(station.events.next().await, "working");
    let ended = shut_down(&server.hub, GRACE);
    assert_eq!(peer.close().await.0, 1001);
    station.handler_may_end.notify_one();
    assert_eq!(station.events.next().await, "worked");
    finish(&mut peer).await;
    assert_eq!(station.events.next().await, "closing");
    assert!(!ended.is_finished());
    station.close_handler_may_end.notify_one();
    assert_eq!(within(ended).await.unwrap(), 0);
    assert_eq!(station.events.try_next(), Some("closed"));
    let (id, closed) = memory.connection_closed().await;
    assert_eq!((&*id, u16::from(closed.code), closed.by), ("busy", 1001, ClosedBy::Us));
}

/// The reply of a handler that started before the shutdown leaves before 1001. Later messages are
/// handled, and their replies are dropped.
#[tokio::test]
async fn a_shutdown_lets_out_the_reply_of_a_handler_in_flight() {
    let server = Server::start(station()).await;
    let station = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    peer.send_envelope("question", json!(1)).await;
    assert_eq!(station.events.next().await, "thinking");
    peer.send_envelope("question", json!(2)).await;
    let ended = shut_down(&server.hub, GRACE);
    let conn = server.hub.connection("a").unwrap();
    within(async {
        while !conn.is_closed() {
            yield_now().await;
        }
    })
    .await;
    station.handler_may_end.notify_one();
    assert_eq!(peer.receive_data().await.1, json!({"n": 1}));
    assert_eq!(peer.close().await.0, 1001);
    assert_eq!(station.events.next().await, "thinking");
    station.handler_may_end.notify_one();
    finish(&mut peer).await;
    assert_eq!(within(ended).await.unwrap(), 0);
}

/// A slow handler delays 1001 by at most a quarter of the close timeout, and not past the grace
/// period.
#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_long_does_not_keep_1001_from_its_peer() {
    for (deadline, expected) in [(60, 2500), (1, 1000)] {
        let hub = station();
        let mut ws = in_memory(&hub.ws_handler(query_id, |_| {}), "a").await;
        ws.send(r#"{"type":"question","data":1}"#.into()).await.unwrap();
        assert_eq!(hub.endpoint().events.next().await, "thinking");
        let start = Instant::now();
        let ended = shut_down(&hub, Duration::from_secs(deadline));
        let Some(Ok(Message::Close(Some(close)))) = ws.next().await else { panic!("no close frame") };
        assert_eq!(u16::from(close.code), 1001);
        let took = start.elapsed();
        assert!(took.abs_diff(Duration::from_millis(expected)) < Duration::from_millis(100), "{took:?}");
        ended.await.unwrap();
    }
}

/// A reply that is too late does not follow the close frame, even when that frame is only partly
/// written (RFC 6455 section 5.5.1).
#[tokio::test(start_paused = true)]
async fn a_reply_after_the_close_frame_is_dropped() {
    let hub = station();
    let mut ws = in_memory_through(16, &hub.ws_handler(query_id, |_| {}), "a").await;
    ws.send(r#"{"type":"question","data":1}"#.into()).await.unwrap();
    assert_eq!(hub.endpoint().events.next().await, "thinking");
    let ended = shut_down(&hub, Duration::from_secs(60));
    let far = ws.get_mut();
    assert_eq!(far.read_u8().await.unwrap(), 0x88, "a close frame");
    hub.endpoint().handler_may_end.notify_one();
    let length = far.read_u8().await.unwrap();
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), usize::from(length), "{rest:?}");
    ended.await.unwrap();
}

/// A peer that does not answer the close is cut off when the grace period expires. Its `__close__`
/// handler runs before the shutdown returns.
#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_deadline() {
    let server = Server::start(station()).await;
    let _silent = server.peer("silent").await;
    assert_eq!(within(server.hub.shutdown(Duration::from_millis(100))).await, 1);
    assert_eq!(server.hub.endpoint().events.try_next(), Some("closed"));
    assert_eq!(within(server.hub.shutdown(GRACE)).await, 0, "it is gone already");
}

/// A `__close__` handler that hangs gets one second after the grace period.
#[tokio::test(start_paused = true)]
async fn a_close_handler_that_hangs_does_not_hold_up_a_shutdown() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {});
    let _busy = in_memory(&handler, "busy").await;
    let start = Instant::now();
    assert_eq!(hub.shutdown(Duration::from_secs(3)).await, 1);
    let took = start.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_millis(4100)).contains(&took), "{took:?}");
}

/// Without a grace period every peer still receives what its socket takes at once: the queued
/// messages and 1001.
#[tokio::test]
async fn a_shutdown_without_a_grace_period_sends_every_peer_1001_and_drops_it() {
    let server = Server::start(station()).await;
    let mut peers = Vec::new();
    for id in 0..200_u32 {
        peers.push(server.peer(&id.to_string()).await);
        server.hub.send_to(&id.to_string(), &Notice { n: id }).await.unwrap();
    }
    let cut_off = within(server.hub.shutdown(Duration::ZERO)).await;
    assert_eq!(cut_off, 200);
    assert!(server.hub.is_empty());
    for _ in 0..200 {
        assert_eq!(server.hub.endpoint().events.try_next(), Some("closed"));
    }
    for (id, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.receive_data().await.1, json!({"n": id}));
        assert_eq!(peer.close().await.0, 1001);
    }
}

/// Both callers wait for the shutdown, and the shorter grace period applies to both.
#[tokio::test]
async fn two_shutdowns_at_once_are_one_with_the_earlier_deadline() {
    let server = Server::start(station()).await;
    let _silent = server.peer("silent").await;
    let long = shut_down(&server.hub, GRACE);
    let short = shut_down(&server.hub, Duration::from_millis(50));
    assert_eq!(within(short).await.unwrap(), 1);
    assert_eq!(within(long).await.unwrap(), 0, "the longer grace period cut off no connection");
    assert_eq!(within(server.hub.shutdown(Duration::ZERO)).await, 0);
}

/// A shutdown whose future is dropped still closes every connection, and keeps its grace period.
#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_keeps_its_grace_period() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {});
    let mut silent = Vec::new();
    for id in 0..300 {
        silent.push(in_memory(&handler, &id.to_string()).await);
    }
    let conns: Vec<_> = hub.ids().iter().map(|id| hub.connection(id).unwrap()).collect();
    let start = Instant::now();
    assert!(timeout(Duration::ZERO, hub.shutdown(Duration::from_secs(3))).await.is_err());
    for conn in &conns {
        let closed = within(conn.closed()).await;
        assert_eq!((u16::from(closed.code), closed.by), (1001, ClosedBy::Us));
    }
    let took = start.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3100)).contains(&took), "{took:?}");
}

/// Connections close in batches, and other tasks run between the batches.
#[tokio::test]
async fn other_tasks_run_while_a_thousand_connections_close() {
    const MANY: usize = 1000;
    #[derive(Default, Clone)]
    struct Closes(Arc<AtomicUsize>);
    impl Observer for Closes {
        fn connection_closed(&self, _: &Connection, _: &Closed) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let closes = Closes::default();
    let hub = Hub::builder().endpoint(Station::default()).observer(closes.clone()).build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    let mut peers = Vec::new();
    for id in 0..MANY {
        peers.push(in_memory(&handler, &id.to_string()).await);
    }
    let conns: Vec<_> = hub.ids().iter().map(|id| hub.connection(id).unwrap()).collect();
    let ended = shut_down(&hub, GRACE);
    let (mut before, mut most) = (0, 0);
    while before < MANY {
        // On a runtime of one thread, the shutdown's task runs here.
        yield_now().await;
        let now = conns.iter().filter(|conn| conn.is_closed()).count();
        most = most.max(now - before);
        before = now;
    }
    assert!(most <= 32, "{most} connections were closed in one turn");
    drop(peers);
    assert_eq!(within(ended).await.unwrap(), 0);
    assert_eq!(closes.0.load(Ordering::Relaxed), MANY);
}

/// Returns the first half of a request, and the whole request.
fn request(id: &str) -> (String, String) {
    let request = upgrade(&format!("/ws?id={id}"), "");
    (request[..request.len() / 2].to_owned(), request)
}

/// Reads everything up to the end of the stream, which must not be a reset.
async fn answer(tcp: &mut TcpStream) -> String {
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.expect("the stream ends without a reset");
    answer
}

/// A handshake in progress is answered with 503, whether its request is incomplete or `build_id`
/// has not returned. The shutdown waits until these answers are sent.
#[tokio::test]
async fn handshakes_in_progress_are_answered_with_503() {
    let (hub, deciding) = (station(), Log::default());
    let log = deciding.clone();
    let undecided = move |_: Parts| {
        log.add(());
        pending::<Result<String, Rejection>>()
    };
    let handler = hub.ws_handler(undecided, |_| {});
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let (half, whole) = request("a");
    let mut halfway = TcpStream::connect(&server.address).await.unwrap();
    halfway.write_all(half.as_bytes()).await.unwrap();
    let mut waiting = TcpStream::connect(&server.address).await.unwrap();
    waiting.write_all(whole.as_bytes()).await.unwrap();
    deciding.next().await;
    // Once the second one's `build_id` runs, the first one has been accepted as well.
    let reading = tokio::spawn(async move { (answer(&mut halfway).await, answer(&mut waiting).await) });
    assert_eq!(within(server.hub.shutdown(GRACE)).await, 0);
    let (halfway, waiting) = within(reading).await.unwrap();
    for answer in [halfway, waiting] {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
        assert!(answer.ends_with("the server is going away"), "{answer:?}");
    }
}

/// A shutdown of an empty hub still waits until a rejection has been sent.
#[tokio::test]
async fn a_shutdown_of_an_empty_hub_waits_until_a_rejection_is_sent() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {});
    // So narrow that the answer leaves in pieces, and only when the peer reads.
    let (near, mut far) = tokio::io::duplex(1);
    let opening = tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(b"G").await.unwrap();
    let ended = shut_down(&hub, GRACE);
    let mut answer = String::new();
    assert_eq!(within(far.read_u8()).await.unwrap(), b'H');
    assert!(!ended.is_finished(), "the answer is not complete");
    within(far.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("TTP/1.1 503 "), "{answer:?}");
    drop(far);
    assert_eq!(within(ended).await.unwrap(), 0);
    assert!(within(opening).await.unwrap().is_err());
}

/// A connection that is not accepted yet is answered with 503 instead of a reset.
#[tokio::test]
async fn those_in_the_systems_queue_are_answered_503() {
    let server = Server::start(station()).await;
    // The kernel opens the connections while this thread, the only one of the runtime, is here. The
    // server has not accepted them.
    let mut queued: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(&server.address).unwrap()).collect();
    for tcp in &mut queued {
        tcp.write_all(request("queued").1.as_bytes()).unwrap();
        tcp.set_read_timeout(Some(GRACE)).unwrap();
    }
    let reading = tokio::task::spawn_blocking(move || {
        let answers = queued.iter_mut().map(|tcp| {
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).map(|_| answer)
        });
        answers.collect::<Vec<_>>()
    });
    assert_eq!(within(server.hub.shutdown(GRACE)).await, 0);
    for answer in within(reading).await.unwrap() {
        let answer = answer.expect("the stream ends without a reset");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    }
}

/// A listener that its program does not poll does not delay the shutdown until the grace period
/// expires.
#[tokio::test(start_paused = true)]
async fn a_listener_that_is_not_polled_does_not_delay_a_shutdown() {
    let hub = station();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut listening = Box::pin(hub.ws_handler(query_id, |_| {}).serve(listener));
    assert!(timeout(Duration::ZERO, &mut listening).await.is_err());
    let start = Instant::now();
    assert_eq!(hub.shutdown(Duration::from_secs(60)).await, 0);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
