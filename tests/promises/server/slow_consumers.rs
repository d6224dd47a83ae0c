//! A connection that is too slow for the broadcasts of its hub does not delay the others, and is
//! closed.
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use wsx::{ClosedBy, Config, Envelope, Hub};
use wsx_tests::{Log, Memory, Peer, Seen, Server, recorder, within};

const MILLISECOND: Duration = Duration::from_millis(1);

#[derive(wsx::Endpoint, Default)]
struct Station {
    /// The number of connections that accepted each broadcast.
    accepted: Log<usize>,
}

#[wsx::handler("news", on = Station)]
async fn on_news(station: &Station, length: usize, hub: &Hub<Station>) {
    let news = Envelope::with_type("news", "x".repeat(length));
    station.accepted.add(hub.broadcast(&news).await.expect("it can be encoded"));
}

async fn server(config: Config) -> (Server<Station>, Memory) {
    let (recorder, memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(recorder).config(config).build().unwrap();
    (Server::start(hub).await, memory)
}

/// Returns a peer that reads nothing. The kernel buffers little for it.
async fn silent(server: &Server<Station>, id: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let tcp = socket.connect(server.address.parse().unwrap()).await.unwrap();
    let (ws, _) = within(tokio_tungstenite::client_async(server.url(id), tcp)).await.unwrap();
    ws.into_inner()
}

/// Returns the number of messages with the type `news` that this peer receives, until a message
/// with the type `last`.
async fn count(mut peer: Peer) -> usize {
    let mut news = 0;
    while peer.receive_data().await.0 == "news" {
        news += 1;
    }
    news
}

/// Row S3: the boxes of the guide send news, and a handler broadcasts it. One client never reads.
/// All broadcasts together wait for it for 200 ms, and it is closed.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_does_not_delay_a_broadcast() {
    const BOXES: usize = 5;
    const ROUNDS: usize = 40;
    let (server, mut memory) = server(Config::default()).await;
    let _silent = silent(&server, "silent").await;
    let mut boxes = Vec::new();
    for n in 0..BOXES {
        boxes.push(server.peer(&format!("box-{n}")).await);
    }
    let (mut most, mut waited, mut counts) = (Duration::ZERO, Duration::ZERO, Vec::new());
    for _ in 0..ROUNDS {
        sleep(100 * MILLISECOND).await;
        for sender in 0..BOXES {
            let start = Instant::now();
            boxes[sender].send_envelope("news", json!(60_000)).await;
            for peer in &mut boxes {
                assert_eq!(peer.receive_data().await.0, "news");
            }
            (most, waited) = (most.max(start.elapsed()), waited + start.elapsed());
            counts.push(server.hub.endpoint().accepted.next().await);
        }
    }
    assert!(most <= 111 * MILLISECOND && waited <= 220 * MILLISECOND, "{most:?} at most, {waited:?} in all");
    // The queue and its reserve take 8 MiB, which are 140 messages.
    let before = counts.iter().take_while(|count| **count == BOXES + 1).count();
    assert!((130..160).contains(&before), "{before}");
    assert!(counts[before..].iter().all(|count| *count == BOXES), "{counts:?}");
    let (id, closed) = memory.connection_closed().await;
    assert_eq!((&*id, u16::from(closed.code), closed.by), ("silent", 1013, ClosedBy::Us), "{closed}");
}

/// Row S3: a reader of 10 KB/s is closed within the lag timeout, and does not slow down the loop.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_closed_after_the_lag_timeout() {
    let (server, mut memory) = server(Config::default().lag_timeout(2000 * MILLISECOND).queue_messages(300)).await;
    let mut slow = silent(&server, "slow").await;
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while slow.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            sleep(100 * MILLISECOND).await;
        }
    });
    let healthy = tokio::spawn(count(server.peer("healthy").await));
    let conn = server.hub.connection("slow").unwrap();
    let start = Instant::now();
    let (mut sent, mut full) = (0, None);
    while !conn.is_closed() {
        let before = Instant::now();
        server.hub.broadcast(&Envelope::with_type("news", "x".repeat(10_000))).await.unwrap();
        sent += 1;
        if before.elapsed() >= 100 * MILLISECOND {
            assert!(full.is_none(), "a second broadcast waited, after {:?}", start.elapsed());
            full = Some(before);
        }
        sleep(10 * MILLISECOND).await;
    }
    let behind = full.expect("it was full").elapsed();
    assert!((2000 * MILLISECOND..2200 * MILLISECOND).contains(&behind), "{behind:?}");
    server.hub.broadcast(&Envelope::with_type("last", ())).await.unwrap();
    assert_eq!(within(healthy).await.unwrap(), sent);
    let closed = memory.find(|seen| match seen {
        Seen::ConnectionClosed(id, closed) if id == "slow" => Some(closed),
        _ => None,
    });
    assert_eq!(u16::from(closed.await.code), 1013);
    reading.abort();
}

/// Sends broadcasts in a loop that does not wait. Every reader receives all of them.
async fn burst(length: usize, messages: usize) {
    const READERS: usize = 20;
    let (server, _memory) = server(Config::default()).await;
    let mut readers = JoinSet::new();
    for n in 0..READERS {
        readers.spawn(count(server.peer(&format!("reader-{n}")).await));
    }
    let news = Envelope::with_type("news", "x".repeat(length));
    for n in 0..messages {
        assert_eq!(server.hub.broadcast(&news).await.unwrap(), READERS, "message {n}");
    }
    server.hub.broadcast(&Envelope::with_type("last", ())).await.unwrap();
    while let Some(count) = readers.join_next().await {
        assert_eq!(count.unwrap(), messages);
    }
}

/// Row S3: a loop of broadcasts that does not wait cuts no healthy reader, and loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_broadcasts_cuts_no_healthy_reader() {
    burst(20, 10_000).await;
    burst(5_000, 1_000).await;
}

/// Row S3: the same on a runtime with a single thread, where a loop that never waits would starve
/// the tasks of the connections.
#[tokio::test]
async fn a_burst_of_broadcasts_on_one_thread_cuts_no_healthy_reader() {
    burst(20, 10_000).await;
    burst(5_000, 1_000).await;
}

/// Row S3: a reader that paused, and reads again, may pause again.
#[tokio::test(start_paused = true)]
async fn a_connection_that_caught_up_starts_anew() {
    const LENGTH: usize = 1_000_000;
    let config = Config::default().lag_timeout(1000 * MILLISECOND);
    let (server, _memory) = server(config).await;
    let hub = server.hub.clone();
    let mut reader = silent(&server, "reader").await;
    let news = Arc::new(Envelope::with_type("news", "x".repeat(LENGTH)));
    for pause in 0..3 {
        // The sixth broadcast finds the queue full, and waits.
        for n in 0..7 {
            assert_eq!(hub.broadcast(&*news).await.unwrap(), 1, "message {n} of pause {pause}");
        }
        sleep(500 * MILLISECOND).await;
        assert_eq!(hub.broadcast(&*news).await.unwrap(), 1, "pause {pause}");
        let (mut taken, mut buffer) = (0, vec![0; 64 * 1024]);
        while taken < 8 * LENGTH {
            taken += within(reader.read(&mut buffer)).await.unwrap();
        }
        sleep(1000 * MILLISECOND).await;
    }
    assert_eq!(hub.broadcast(&*news).await.unwrap(), 1);
}

/// Row S3: when a queue has been full for too long, a loop of broadcasts does not wait for it.
/// Still the tasks of a runtime with one thread get their turns, so a reader that reads again
/// catches up.
#[tokio::test]
async fn a_loop_of_broadcasts_lets_a_reader_catch_up() {
    const MESSAGES: usize = 10_000;
    let (server, _memory) = server(Config::default()).await;
    let peer = server.peer("reader").await;
    let may_read = Arc::new(Notify::new());
    let reads = may_read.clone();
    let reading = tokio::spawn(async move {
        reads.notified().await;
        count(peer).await
    });
    let news = Envelope::with_type("news", "x".repeat(2000));
    for n in 0..MESSAGES {
        let start = Instant::now();
        assert_eq!(server.hub.broadcast(&news).await.unwrap(), 1, "message {n}");
        if start.elapsed() >= 100 * MILLISECOND {
            may_read.notify_one();
        }
    }
    server.hub.broadcast(&Envelope::with_type("last", ())).await.unwrap();
    assert_eq!(within(reading).await.unwrap(), MESSAGES);
}
