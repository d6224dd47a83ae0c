//! Weak links: row R7 of the specification. While a connection is open, no message is lost,
//! duplicated or reordered. When it breaks, no message is duplicated or reordered, and a dead link
//! is detected.
//!
//! Both ends are wsx, with a proxy between them. `interop` runs peers of other libraries through
//! the proxy, and `tests/scripts/weak_networks.sh` loses packets.
use std::{io, sync::Mutex, time::Duration};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, pause, resume, sleep, timeout},
};
use wsx::{CancellationToken, Client, ClosedBy, Config, Connection, Envelope, Hub, client::Destination};
use wsx_tests::{
    Log, Server,
    exchange::Exchange,
    numbered::{Numbered, send_all},
    weak_link::Weakness,
    within,
};

/// 256 kbit/s.
const SLOW: u32 = 32_000;

/// Asserts that all of these messages arrived in both directions, over one connection.
async fn all_arrive(ends: &Exchange, messages: u64) {
    ends.arrive(messages).await;
    for verdict in ends.verdicts(messages) {
        assert!(verdict.is_perfect(), "{verdict}");
    }
    assert_eq!(ends.connections(), 1, "it reconnected");
}

/// Row R7: each byte arrives by itself, so every frame comes in pieces.
#[tokio::test]
async fn nothing_is_lost_where_each_byte_comes_alone() {
    let weakness = Weakness { byte_by_byte: true, ..Weakness::default() };
    let (ends, _link) = Exchange::over(weakness, Config::default()).await;
    ends.send(0..1_500).await;
    all_arrive(&ends, 1_500).await;
}

/// Row R7: the delay varies from 50 to 200 ms.
#[tokio::test]
async fn nothing_is_lost_on_a_long_way() {
    let weakness = Weakness { delay: Duration::from_millis(50)..Duration::from_millis(200), ..Weakness::default() };
    let (ends, _link) = Exchange::over(weakness, Config::default()).await;
    ends.send(0..5_000).await;
    all_arrive(&ends, 5_000).await;
}

/// Row R7: 256 kbit/s, with delay, byte by byte.
#[tokio::test]
async fn nothing_is_lost_where_all_is_wrong_at_once() {
    let weakness = Weakness {
        delay: Duration::from_millis(50)..Duration::from_millis(200),
        rate: Some(SLOW),
        byte_by_byte: true,
        ..Weakness::default()
    };
    let (ends, _link) = Exchange::over(weakness, Config::default()).await;
    ends.send(0..1_500).await;
    all_arrive(&ends, 1_500).await;
}

/// Row R7: after a pause shorter than the write timeout the link continues where it was.
#[tokio::test]
async fn nothing_is_lost_over_a_pause() {
    let (ends, link) = Exchange::over(Weakness::default(), Config::default()).await;
    let pauses = async {
        for _ in 0..10 {
            link.fall_silent();
            sleep(Duration::from_millis(100)).await;
            link.heal();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(ends.send(0..20_000), pauses);
    all_arrive(&ends, 20_000).await;
}

/// Row R7: long messages, more than the kernel takes at once, so that the writer stops in the
/// middle of one.
#[tokio::test]
async fn nothing_is_lost_of_long_messages() {
    const MESSAGES: u64 = 500;
    let (ends, link) = Exchange::over(Weakness::default(), Config::default()).await;
    // White space after an envelope changes nothing.
    let long = |Numbered(number)| format!("{{\"type\":\"n\",\"data\":{number}}}{:20000}", "");
    let [near, far] = ends.connection();
    let sent = |conn: Connection| async move {
        send_all(0..MESSAGES, |message| {
            let (conn, text) = (conn.clone(), long(message));
            async move { conn.send_bytes(text).await }
        })
        .await;
    };
    let pause = async {
        link.fall_silent();
        sleep(Duration::from_millis(100)).await;
        link.heal();
    };
    tokio::join!(sent(near), sent(far), pause);
    all_arrive(&ends, MESSAGES).await;
}

/// Row R7: resets in the middle of frames. The client reconnects each time, and no message arrives
/// twice or out of order.
#[tokio::test]
async fn after_a_reset_messages_stay_in_order_and_arrive_at_most_once() {
    const MESSAGES: u64 = 10_000;
    const BURST: u64 = 20;
    let weakness = Weakness { cut_after: Some(500..100_000), ..Weakness::default() };
    let (ends, _link) = Exchange::over(weakness, Config::default()).await;
    for first in (0..MESSAGES).step_by(BURST as usize) {
        ends.send(first..first + BURST).await;
        // Most of it arrives before the next reset, so that a duplicate is possible.
        sleep(Duration::from_millis(1)).await;
    }
    let cuts = ends.connections() - 1;
    within(ends.close()).await;
    for verdict in ends.verdicts(MESSAGES) {
        assert!(verdict.is_at_most_once() && verdict.arrived > MESSAGES / 2, "{verdict} over {cuts} cuts");
    }
    assert!(cuts >= 5, "only {cuts} cuts");
}

/// Rows R1, R7: both ends detect a silently dead link, and the client reconnects once the link
/// works again.
#[tokio::test]
async fn a_heartbeat_finds_a_black_hole_at_both_ends() {
    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(10);
    let (ends, link) = Exchange::over(Weakness::default(), Config::default().heartbeat(INTERVAL, TIMEOUT)).await;
    ends.send(0..100).await;
    all_arrive(&ends, 100).await;
    let [near, far] = ends.connection();
    link.fall_silent();
    // Nothing arrives any more, so the clock may advance at will.
    pause();
    let start = Instant::now();
    let time_to_close = |conn: Connection| async move { (conn.closed().await, start.elapsed()) };
    let both =
        timeout(Duration::from_secs(3600), async { tokio::join!(time_to_close(near), time_to_close(far)) }).await;
    resume();
    let (near, far) = both.expect("an end did not detect the dead link within an hour");
    for (closed, after) in [near, far] {
        assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link));
        assert!(closed.reason.contains("silent"), "{closed}");
        // A tenth of a second is for the last look, and timers have a resolution of a millisecond.
        assert!(after <= INTERVAL + TIMEOUT + Duration::from_millis(105), "{after:?}");
        assert!(after >= TIMEOUT, "{after:?}");
    }
    // Resets the handshakes that the client has started meanwhile.
    link.cut();
    link.heal();
    within(ends.client.connected()).await.unwrap();
    ends.send(100..200).await;
    ends.arrive(200).await;
    for verdict in ends.verdicts(200) {
        assert!(verdict.is_perfect(), "{verdict}");
    }
}

/// Row B2: with the bounds for real links, a box learns within 35 s that its link has died
/// silently. It makes no difference whether it sends meanwhile. The link is memory that takes every
/// byte, as a socket with a free buffer does.
#[tokio::test(start_paused = true)]
async fn with_the_bounds_for_real_links_a_box_learns_of_a_dead_link_within_35_seconds() {
    for sends in [true, false] {
        let (near, far) = tokio::io::duplex(1 << 20);
        let near = Mutex::new(Some(near));
        let connector = move |_: Destination| {
            let near = near.lock().expect("nothing panics under this lock").take();
            async move { near.ok_or(io::Error::other("the test has one link")) }
        };
        let builder = Client::builder("ws://station.invalid/ws").config(Config::edge()).connector(connector);
        let client = builder.build().unwrap();
        let accepting = tokio::spawn(tokio_tungstenite::accept_async(far));
        client.connect(CancellationToken::new(), |_| {}).await.unwrap();
        let _silent = within(accepting).await.unwrap().unwrap();
        let (conn, start) = (client.connection().unwrap(), Instant::now());
        let learned = async {
            while sends && client.send(&Numbered(10)).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            conn.closed().await
        };
        let closed = timeout(Duration::from_secs(3600), learned).await.expect("a dead link ends");
        assert!(closed.by == ClosedBy::Link && closed.reason.contains("silent"), "{closed}");
        // A tenth of a second is for the last look, a second for the next send, and timers have a
        // resolution of a millisecond.
        let late = Duration::from_millis(if sends { 1_105 } else { 105 });
        assert!(start.elapsed() <= Duration::from_secs(35) + late, "{:?}", start.elapsed());
        client.close();
    }
}

/// Row R1: pings and pongs keep an idle connection open, from both ends.
#[tokio::test]
async fn a_heartbeat_keeps_an_idle_connection() {
    let config = Config::default().heartbeat(Duration::from_millis(20), Duration::from_secs(10));
    let (ends, _link) = Exchange::over(Weakness::default(), config).await;
    for conn in ends.connection() {
        let pongs = Log::default();
        let log = pongs.clone();
        conn.on_pong(move |payload| log.add(payload.len()));
        for _ in 0..5 {
            assert_eq!(pongs.next().await, 0);
        }
        assert!(!conn.is_closed());
    }
}

/// Row R7: a peer that reads slowly but steadily is alive, however much the kernel could buffer for
/// it. A third of the default send buffer is more than this peer reads in a write timeout.
#[tokio::test]
async fn a_slow_peer_is_not_taken_for_a_dead_one() {
    const MESSAGES: usize = 64;
    let config = Config::default().write_timeout(Duration::from_secs(1)).queue_bytes(16 << 20);
    let server = Server::start(Hub::builder().config(config).without_handlers().build().unwrap()).await;
    let peer = server.peer("box-7").await;
    let conn = server.hub.connection("box-7").expect("the peer is in the hub");
    for _ in 0..MESSAGES {
        conn.try_send(&Envelope::with_type("load", "x".repeat(64 * 1024))).unwrap();
    }
    let mut socket = peer.0.into_inner();
    let mut buffer = vec![0; 25 * 1024];
    let mut taken = 0;
    while taken < MESSAGES * 64 * 1024 {
        sleep(Duration::from_millis(50)).await;
        let read = socket.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "ended after {taken} bytes: {}", conn.closed().await);
        taken += read;
    }
}
