//! The limit on what one connection may send: row R17 of the specification.
use futures_util::SinkExt;
use std::{future::ready, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{
    CancellationToken, Client, CloseCode, ClosedBy, Config, Connection, Envelope, Hub, Observer, OverLimit,
    client::Destination,
};
use wsx_tests::{
    Log, Server,
    frame::masked_frame,
    handshake::{head, upgrade},
    recorder, within,
};

const SECOND: Duration = Duration::from_secs(1);
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;

#[derive(wsx::Endpoint, Default)]
struct Station {
    numbers: Log<(usize, Instant)>,
    lengths: Log<usize>,
}

#[wsx::handler("n", on = Station)]
fn on_n(station: &Station, n: usize) {
    station.numbers.add((n, Instant::now()));
}

#[wsx::handler("blob", on = Station)]
fn on_blob(station: &Station, text: std::borrow::Cow<'_, str>) {
    station.lengths.add(text.len());
}

fn hub(config: Config) -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).config(config).build().unwrap()
}

/// Returns the hub's end of a connection over memory, and the peer's end of its stream.
async fn connected(hub: &Hub<Station>) -> (Connection, DuplexStream) {
    let upgrading = hub.ws_handler(wsx::unique_id, |_| {});
    let (near, mut far) = tokio::io::duplex(256 * 1024);
    let serving = tokio::spawn(async move { upgrading.serve_connection(near, None).await });
    far.write_all(upgrade("/ws", "").as_bytes()).await.unwrap();
    head(&mut far).await;
    (serving.await.unwrap().unwrap(), far)
}

fn number(n: usize) -> Vec<u8> {
    masked_frame(TEXT, format!(r#"{{"type":"n","data":{n}}}"#).as_bytes())
}

fn blob(length: usize) -> Vec<u8> {
    masked_frame(TEXT, format!(r#"{{"type":"blob","data":"{}"}}"#, "x".repeat(length)).as_bytes())
}

/// Row R17: with `Wait`, messages are handled at the rate after the burst, all of them and in
/// order. A ping is answered after the messages before it. Meanwhile the peer gets other pongs.
#[tokio::test(start_paused = true)]
async fn messages_over_the_limit_wait() {
    const MESSAGES: usize = 100;
    const RATE: usize = 10;
    let hub = hub(Config::default().receive_limit(10, 1 << 20, SECOND, OverLimit::Wait));
    let (_conn, mut far) = connected(&hub).await;
    let start = Instant::now();
    let mut sent: Vec<u8> = (0..MESSAGES).flat_map(number).collect();
    sent.extend(masked_frame(PING, b"!"));
    far.write_all(&sent).await.unwrap();
    let mut times = Vec::new();
    for n in 0..MESSAGES {
        let (number, at) = within(hub.endpoint().numbers.next()).await;
        assert_eq!(number, n);
        times.push(at);
    }
    assert_eq!(times[RATE - 1], start, "the burst passes at once");
    for second in times.windows(2 * RATE + 1) {
        assert!(second[2 * RATE] - second[0] >= SECOND);
    }
    let took = times[MESSAGES - 1] - start;
    assert!((9 * SECOND..10 * SECOND).contains(&took), "{took:?}");
    let (mut pongs, mut frame) = (0, [0; 2]);
    loop {
        within(far.read_exact(&mut frame)).await.unwrap();
        match frame {
            [0x8a, 0] => pongs += 1,
            [0x8a, 1] => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=4).contains(&pongs), "{pongs} pongs in ten seconds");
    // After a quiet time a burst passes again.
    sleep(5 * SECOND).await;
    let start = Instant::now();
    far.write_all(&(0..RATE).flat_map(number).collect::<Vec<_>>()).await.unwrap();
    for _ in 0..RATE {
        assert_eq!(within(hub.endpoint().numbers.next()).await.1, start);
    }
}

/// Row R17: a peer gets a sign of life every few seconds, however long it is held back.
#[tokio::test(start_paused = true)]
async fn a_long_wait_has_several_signs_of_life() {
    let config = Config::default().max_message_size(64 * 1024);
    let hub = hub(config.receive_limit(1 << 30, 1024, SECOND, OverLimit::Wait));
    let (_conn, mut far) = connected(&hub).await;
    // Twice the bytes that pass at once. The others need a minute.
    let start = Instant::now();
    for _ in 0..2 {
        far.write_all(&blob(60_000)).await.unwrap();
    }
    far.write_all(&blob(1)).await.unwrap();
    let mut frame = [0; 2];
    for n in 1..=10 {
        within(far.read_exact(&mut frame)).await.unwrap();
        assert_eq!(frame, [0x8a, 0]);
        assert!(start.elapsed() <= n * 5 * SECOND, "sign {n} after {:?}", start.elapsed());
    }
}

/// Row R17: the same for bytes. The peer's writes go on all the time, so it does not take the link
/// for dead.
#[tokio::test(start_paused = true)]
async fn bytes_over_the_limit_wait() {
    const MESSAGES: usize = 60;
    const LENGTH: usize = 16_000;
    let config = Config::default().max_message_size(64 * 1024);
    let hub = hub(config.receive_limit(1 << 30, 64 * 1024, SECOND, OverLimit::Wait));
    let (_conn, mut far) = connected(&hub).await;
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..MESSAGES {
        let begin = Instant::now();
        within(far.write_all(&blob(LENGTH))).await.unwrap();
        longest = longest.max(begin.elapsed());
    }
    for _ in 0..MESSAGES {
        assert_eq!(within(hub.endpoint().lengths.next()).await, LENGTH);
    }
    // 960,000 bytes, less the burst and one read.
    let took = start.elapsed();
    assert!((12 * SECOND..15 * SECOND).contains(&took), "{took:?}");
    assert!(longest <= 2 * SECOND, "a write waited for {longest:?}");
}

/// Row R17: with `Close`, the burst passes, and one message more is answered with 1008.
#[tokio::test]
async fn a_peer_over_the_limit_can_be_closed() {
    let (recorder, mut memory) = recorder();
    // It refills so slowly that the speed of the machine does not matter.
    let config = Config::default().receive_limit(1, 1 << 20, 5 * SECOND, OverLimit::Close);
    let hub = Hub::builder().endpoint(Station::default()).config(config).observer(recorder).build().unwrap();
    let server = Server::start(hub).await;
    for as_pings in [false, true] {
        let mut peer = server.peer("box").await;
        for n in 0..5 {
            peer.send_envelope("n", n.into()).await;
        }
        for n in 0..5 {
            assert_eq!(server.hub.endpoint().numbers.next().await.0, n);
        }
        // The peer learns of the close while it still sends.
        for _ in 0..100 {
            let message = if as_pings { Message::Ping("x".into()) } else { Message::text("x") };
            if within(peer.0.send(message)).await.is_err() {
                break;
            }
        }
        let (code, reason) = peer.close().await;
        assert_eq!((code, &*reason), (1008, "the peer sends more than 1 messages or 1048576 bytes in a second"));
        let (_, closed) = memory.connection_closed().await;
        assert_eq!((closed.code, closed.by), (CloseCode::POLICY_VIOLATION, ClosedBy::Us));
    }
}

/// Row R17: bytes count before a message is complete. The longest message passes, whatever the
/// burst is.
#[tokio::test]
async fn fragments_without_an_end_count() {
    const LONGEST: usize = 64 * 1024;
    let config = Config::default().max_message_size(LONGEST);
    let server = Server::start(hub(config.receive_limit(1 << 30, 1, SECOND, OverLimit::Close))).await;
    let envelope = r#"{"type":"blob","data":""}"#.len();
    let mut peer = server.peer("box").await;
    within(peer.0.get_mut().write_all(&blob(LONGEST - envelope))).await.unwrap();
    assert_eq!(server.hub.endpoint().lengths.next().await, LONGEST - envelope);
    assert!(!server.hub.connection("box").unwrap().is_closed());

    let mut peer = server.peer("another").await;
    let mut fragments = masked_frame(0x01, b"");
    fragments.extend(masked_frame(0x00, b"").repeat(LONGEST / 3));
    // The rest may not be taken.
    let _ = within(peer.0.get_mut().write_all(&fragments)).await;
    assert_eq!(peer.close().await.0, 1008);
}

/// Row R17: the heartbeat does not take a peer for dead while the limit holds it back. When the
/// peer is really silent, it does.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_held_back_does_not_count_as_silent() {
    const MESSAGES: usize = 16;
    let config = Config::default().max_message_size(8 * 1024 + 100).heartbeat(SECOND, SECOND);
    let hub = hub(config.receive_limit(1 << 30, 16 * 1024, SECOND, OverLimit::Wait));
    let (conn, mut far) = connected(&hub).await;
    let start = Instant::now();
    within(far.write_all(&blob(8 * 1024).repeat(MESSAGES))).await.unwrap();
    for _ in 0..MESSAGES {
        assert_eq!(within(hub.endpoint().lengths.next()).await, 8 * 1024);
    }
    // It was read in parts, with more than the two seconds of the heartbeat between them.
    assert!(start.elapsed() > 3 * SECOND && !conn.is_closed(), "{:?}", start.elapsed());
    let closed = timeout(20 * SECOND, conn.closed()).await.expect("it is silent now");
    assert!(closed.by == ClosedBy::Link && closed.reason.contains("silent"), "{closed}");
}

/// Row R17: a client with a heartbeat does not take the link for dead while its messages wait for a
/// minute. Its ping waits behind them.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_held_back_does_not_take_the_link_for_dead() {
    const MESSAGES: usize = 600;
    let hub = hub(Config::default().receive_limit(10, 1 << 20, SECOND, OverLimit::Wait));
    let handler = hub.ws_handler(wsx::unique_id, |_| {});
    let connector = move |_: Destination| {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let handler = handler.clone();
        tokio::spawn(async move { handler.serve_connection(far, None).await.map(drop) });
        ready(Ok::<_, io::Error>(near))
    };
    let builder = Client::builder("ws://station.invalid/ws").connector(connector).config(Config::edge());
    let client = builder.build().unwrap();
    client.connect(CancellationToken::new(), |_| {}).await.unwrap();
    let (conn, start) = (client.connection().unwrap(), Instant::now());
    for n in 0..MESSAGES {
        conn.send(&Envelope::with_type("n", n)).await.unwrap();
    }
    for n in 0..MESSAGES {
        assert_eq!(timeout(SECOND, hub.endpoint().numbers.next()).await.expect("the next message").0, n);
    }
    assert!(start.elapsed() > 58 * SECOND && !conn.is_closed(), "{:?}", start.elapsed());
}

/// Counts the reports of connections that are held back.
#[derive(Clone, Default)]
struct HeldBack(Log<Instant>);
impl Observer for HeldBack {
    fn connection_held_back(&self, _: &Connection) {
        self.0.add(Instant::now());
    }
}

/// Row R17: the observer learns of a peer that is held back when that begins, and then once in a
/// minute. Another peer is not reported.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_held_back_is_reported() {
    const MESSAGES: usize = 1500;
    let held_back = HeldBack::default();
    let config = Config::default().receive_limit(10, 1 << 20, SECOND, OverLimit::Wait);
    let builder = Hub::builder().endpoint(Station::default()).config(config).observer(held_back.clone());
    let hub = builder.build().unwrap();
    let (_quiet, mut quiet) = connected(&hub).await;
    quiet.write_all(&(0..10).flat_map(number).collect::<Vec<_>>()).await.unwrap();
    for n in 0..10 {
        assert_eq!(hub.endpoint().numbers.next().await.0, n);
    }
    sleep(SECOND).await;
    assert_eq!(held_back.0.try_next(), None, "the burst is allowed");
    let (_conn, mut far) = connected(&hub).await;
    let start = Instant::now();
    within(far.write_all(&(0..MESSAGES).flat_map(number).collect::<Vec<_>>())).await.unwrap();
    for n in 0..MESSAGES {
        assert_eq!(within(hub.endpoint().numbers.next()).await.0, n);
    }
    for minute in 0..=2 {
        let after = held_back.0.next().await - start;
        assert!((60 * minute * SECOND..(60 * minute + 5) * SECOND).contains(&after), "{after:?}");
    }
    assert_eq!(held_back.0.try_next(), None);
}

/// Row R17: a peer that is held back while a handler runs is reported too.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_held_back_during_a_handler_is_reported() {
    let held_back = HeldBack::default();
    let config = Config::default().receive_limit(10, 1 << 20, SECOND, OverLimit::Wait);
    let hub =
        Hub::builder().observer(held_back.clone()).config(config).on("n", |_: usize, conn: Connection| async move {
            let _ = conn.closed().await;
        });
    let server = Server::start(hub.build().unwrap()).await;
    let mut peer = server.peer("box").await;
    within(peer.0.get_mut().write_all(&(0..20).flat_map(number).collect::<Vec<_>>())).await.unwrap();
    held_back.0.next().await;
}

/// Row R17: by default nothing is limited.
#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_waits() {
    let hub = hub(Config::default());
    let (_conn, mut far) = connected(&hub).await;
    let start = Instant::now();
    within(far.write_all(&(0..5000).flat_map(number).collect::<Vec<_>>())).await.unwrap();
    for n in 0..5000 {
        assert_eq!(within(hub.endpoint().numbers.next()).await.0, n);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}
