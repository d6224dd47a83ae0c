//! One connection, with the same API at both ends.
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::{Notify, oneshot},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, WebSocketConfig},
    },
};
use wsx::{CancellationToken, Client, CloseCode, Closed, ClosedBy, Config, Connection, Envelope, Hub, SendError};
use wsx_tests::{Log, Peer, Server, within};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Item {
    from: u32,
    n: u32,
}

#[derive(wsx::Endpoint, Default)]
struct Station {
    got: Log<String>,
    resume: Arc<Notify>,
}

#[wsx::handler("note", on = Station)]
fn on_note(station: &Station, text: String) {
    station.got.add(text);
}

#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station, _n: serde::de::IgnoredAny) -> Envelope<&'static str> {
    station.resume.notified().await;
    Envelope::with_type("waited", "at last")
}

#[wsx::handler("flood", on = Station)]
async fn on_flood(count: u32, conn: &Connection) -> Result<(), SendError> {
    for n in 0..count {
        conn.send(&Item { from: 0, n }).await?;
    }
    Ok(())
}

/// Opens a connection over a pipe that holds `bytes` bytes, so that a peer that does not read
/// blocks the writer at once.
async fn narrow(hub: &Hub<Station>, bytes: usize) -> (WebSocketStream<DuplexStream>, Connection) {
    let (near, far) = tokio::io::duplex(bytes);
    let upgrade = hub.ws_handler(wsx::unique_id, |_| {});
    let opening = tokio::spawn(async move { upgrade.serve_connection(near, None).await });
    let config = WebSocketConfig::default().max_write_buffer_size(1 << 20);
    let (ws, _) = within(tokio_tungstenite::client_async_with_config("ws://a/ws", far, Some(config))).await.unwrap();
    (ws, opening.await.unwrap().unwrap())
}

fn hub(config: Config) -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).config(config).build().unwrap()
}

async fn item(ws: &mut WebSocketStream<DuplexStream>) -> Item {
    match within(ws.next()).await {
        Some(Ok(Message::Text(text))) => Envelope::<Item>::parse(&text).unwrap().data,
        other => panic!("expected an item, got {other:?}"),
    }
}

/// Row C2: queued messages leave while a handler is running.
#[tokio::test]
async fn queued_messages_leave_while_a_handler_is_pending() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("wait", json!(null)).await;
    for n in 0..1000 {
        server.hub.send_to("a", &Item { from: 1, n }).await.unwrap();
    }
    for n in 0..1000 {
        assert_eq!(peer.receive_data().await.1["n"], n);
    }
    server.hub.endpoint().resume.notify_one();
    assert_eq!(peer.receive_data().await.0, "waited");
}

/// Row C2: the messages of a peer that does not read are still handled.
#[tokio::test]
async fn messages_of_a_peer_that_does_not_read_are_still_handled() {
    let hub = hub(Config::default());
    let (mut ws, conn) = narrow(&hub, 1024).await;
    for n in 0..100 {
        conn.try_send(&Item { from: 0, n }).unwrap();
    }
    use futures_util::SinkExt;
    within(ws.send(Message::text(r#"{"type":"note","data":"heard"}"#))).await.unwrap();
    assert_eq!(hub.endpoint().got.next().await, "heard");
    for n in 0..100 {
        assert_eq!(item(&mut ws).await.n, n);
    }
}

/// Row C2: a handler that waits for room in its own connection's queue gets it.
#[tokio::test]
async fn a_handler_that_fills_its_own_queue_does_not_deadlock() {
    let hub = hub(Config::default().queue_messages(4));
    let (mut ws, _) = narrow(&hub, 256).await;
    use futures_util::SinkExt;
    within(ws.send(Message::text(r#"{"type":"flood","data":2000}"#))).await.unwrap();
    for n in 0..2000 {
        assert_eq!(item(&mut ws).await.n, n);
    }
}

/// Rows C2, C3, T3: many concurrent senders, one writer. No message is lost or torn, and each
/// sender's order is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_senders_keep_their_order_and_lose_nothing() {
    let hub = hub(Config::default().queue_messages(16));
    let (mut ws, conn) = narrow(&hub, 1024).await;
    for from in 0..8 {
        let conn = conn.clone();
        tokio::spawn(async move {
            for n in 0..2000 {
                conn.send(&Item { from, n }).await.unwrap();
            }
        });
    }
    let mut next = [0; 8];
    for _ in 0..16_000 {
        let item = item(&mut ws).await;
        assert_eq!(item.n, next[item.from as usize]);
        next[item.from as usize] += 1;
    }
}

/// Row C3: each message is a frame of its own, in the order of the sends, whatever its size.
#[tokio::test]
async fn each_message_is_a_frame_of_its_own() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    let lengths = [0, 1, 125, 126, 65_535, 65_536, 300_000, 3];
    for (at, length) in lengths.into_iter().enumerate() {
        conn.send_bytes("x".repeat(length)).await.unwrap();
        conn.send_binary(vec![u8::try_from(at).unwrap(); length]).await.unwrap();
    }
    for (at, length) in lengths.into_iter().enumerate() {
        assert_eq!(peer.text().await, "x".repeat(length));
        let Some(Ok(Message::Binary(bytes))) = peer.next().await else { panic!("no binary message") };
        assert_eq!(bytes, vec![u8::try_from(at).unwrap(); length]);
    }
}

/// Rows C4, V1: 1,024 messages fit by default. The next send waits until there is room.
#[tokio::test]
async fn a_full_queue_makes_the_sender_wait() {
    let hub = hub(Config::default());
    let (mut ws, conn) = narrow(&hub, 64).await;
    let mut sent = 0;
    // The connection's task does not run between these sends, so all of them stay in the queue.
    while sent < 2000 && conn.try_send(&Item { from: 0, n: sent }).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 1024);
    // Then the task takes one write of 64 KB from the queue, and the queue fills again. A message
    // has 65 bytes or more.
    let mut stays = false;
    while !stays {
        tokio::task::yield_now().await;
        stays = conn.try_send(&Item { from: 0, n: sent }).is_err();
        sent += u32::from(!stays);
        assert!(sent < 2 * 1024 + 64, "the queue is not bounded");
    }
    assert!(matches!(conn.try_send(&Item { from: 0, n: 0 }), Err(SendError::Full)));
    let waiting = {
        let conn = conn.clone();
        tokio::spawn(async move { conn.send(&Item { from: 0, n: sent }).await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    for n in 0..=sent {
        assert_eq!(item(&mut ws).await.n, n);
    }
    within(waiting).await.unwrap().unwrap();
}

/// Row C4: a sender that waits gets an error when the connection closes.
#[tokio::test]
async fn a_waiting_sender_learns_of_the_close() {
    let hub = hub(Config::default().queue_messages(1).close_timeout(Duration::from_millis(50)));
    let (_ws, conn) = narrow(&hub, 64).await;
    while conn.try_send(&Item { from: 0, n: 0 }).is_ok() {
        tokio::task::yield_now().await;
    }
    let waiting = {
        let conn = conn.clone();
        tokio::spawn(async move { conn.send(&Item { from: 0, n: 1 }).await })
    };
    tokio::task::yield_now().await;
    conn.close();
    assert!(matches!(within(waiting).await.unwrap(), Err(SendError::Closed)));
}

/// Row C4: a dropped send has not sent its message, and has not torn another one.
#[tokio::test]
async fn a_dropped_send_takes_its_message_back() {
    let hub = hub(Config::default().queue_messages(1));
    let (mut ws, conn) = narrow(&hub, 64).await;
    let mut n = 0;
    while tokio::time::timeout(Duration::from_millis(20), conn.send(&Item { from: 0, n })).await.is_ok() {
        n += 1;
    }
    for expected in 0..n {
        assert_eq!(item(&mut ws).await.n, expected);
    }
    conn.send(&Item { from: 0, n: 777 }).await.unwrap();
    assert_eq!(item(&mut ws).await.n, 777);
}

/// Row V1: without progress for the write timeout the connection is dropped. The default is 10 s.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut_after_the_write_timeout() {
    let hub = hub(Config::default().queue_messages(4));
    let (_ws, conn) = narrow(&hub, 64).await;
    let start = tokio::time::Instant::now();
    while conn.send(&Item { from: 0, n: 0 }).await.is_ok() {}
    let took = start.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&took), "{took:?}");
    let closed = conn.closed().await;
    assert_eq!((closed.code, closed.by), (CloseCode::ABNORMAL, ClosedBy::Link));
    assert!(closed.reason.contains("taken nothing for 10s"), "{closed}");
    assert!(hub.is_empty());
}

/// Row V1: beyond the budget of the hub each queue takes one message, and a peer that reads gets
/// everything.
#[tokio::test]
async fn the_queues_of_a_hub_share_its_budget() {
    const BUDGET: usize = 10_000;
    let hub = Hub::builder().endpoint(Station::default()).max_queued_bytes(BUDGET).build().unwrap();
    // Each of them takes 64 bytes, and then nothing.
    let (_first, silent) = narrow(&hub, 64).await;
    let (_second, other) = narrow(&hub, 64).await;
    let (mut ws, healthy) = narrow(&hub, 1 << 20).await;
    let text = "x".repeat(1000);
    let fill =
        |conn: &Connection| (0..100).take_while(|_| conn.try_send(&Envelope::with_type("text", &text)).is_ok()).count();
    let queued = fill(&silent);
    assert!((5..10).contains(&queued), "{queued}");
    assert_eq!(fill(&other), 1, "an empty queue takes one message");
    let receiving = tokio::spawn(async move {
        for _ in 0..100 {
            ws.next().await.unwrap().unwrap();
        }
    });
    for _ in 0..100 {
        within(healthy.send(&Envelope::with_type("text", &text))).await.unwrap();
    }
    within(receiving).await.unwrap();
}

/// Row X7: a shutdown's grace period also applies to a peer that reads nothing.
#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_off_a_peer_that_takes_nothing() {
    let hub = hub(Config::default());
    let (_ws, conn) = narrow(&hub, 64).await;
    for n in 0..100 {
        conn.try_send(&Item { from: 0, n }).unwrap();
    }
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    assert_eq!(hub.shutdown(Duration::from_millis(500)).await, 1);
    conn.closed().await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// Rows C5, T4: a close sends 1000; a second one does nothing; a send after it fails as `closed`.
#[tokio::test]
async fn closing_twice_is_harmless_and_sends_fail_as_closed() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    conn.send_bytes("last words").await.unwrap();
    conn.close();
    conn.close();
    conn.close_with(CloseCode::POLICY_VIOLATION, "too late");
    for error in [
        conn.send(&Item { from: 0, n: 0 }).await.unwrap_err(),
        conn.send_bytes("x").await.unwrap_err(),
        conn.send_binary("x").await.unwrap_err(),
        conn.try_send(&Item { from: 0, n: 0 }).unwrap_err(),
        conn.ping(b"x").await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "closed");
    }
    assert_eq!(peer.text().await, "last words", "queued messages leave before the close frame");
    assert_eq!(peer.close().await, (1000, String::new()));
    assert!(peer.next().await.is_none(), "the socket is closed");
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Us));
    conn.close();
}

/// Row C5: the program may choose code and reason. A code that must not be sent becomes 1000.
#[tokio::test]
async fn a_close_carries_its_code_and_reason() {
    let server = Server::start(hub(Config::default())).await;
    for (code, sent) in [(4001, 4001), (1008, 1008), (1006, 1000), (999, 1000), (1005, 1000)] {
        let mut peer = server.peer("a").await;
        server.hub.connection("a").unwrap().close_with(code.into(), "because");
        assert_eq!(peer.close().await, (sent, "because".into()));
        assert!(peer.next().await.is_none());
    }
}

/// Row C5: after the close no message is handled.
#[tokio::test]
async fn nothing_is_handled_after_close() {
    let server = Server::start(hub(Config::default())).await;
    let got = server.hub.endpoint().got.clone();
    let mut peer = server.peer("a").await;
    peer.send_envelope("note", json!("before")).await;
    assert_eq!(got.next().await, "before");
    let conn = server.hub.connection("a").unwrap();
    conn.close();
    peer.send_envelope("note", json!("after")).await;
    peer.close().await;
    while let Some(Ok(_)) = peer.next().await {}
    within(conn.closed()).await;
    assert!(got.try_next().is_none());
}

/// Row C5: the peer's close is answered with its code, after the queued messages.
#[tokio::test]
async fn the_peers_close_is_answered_after_what_is_queued() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    for n in 0..50 {
        conn.send(&Item { from: 0, n }).await.unwrap();
    }
    peer.0
        .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4003.into(), reason: "done".into() }))
        .await
        .unwrap();
    for n in 0..50 {
        assert_eq!(peer.receive_data().await.1["n"], n);
    }
    assert_eq!(peer.close().await, (4003, "done".into()));
    let closed = within(conn.closed()).await;
    assert_eq!(closed.to_string(), "closed by the peer with 4003 (\"done\")");
}

/// Row C5: our own close also follows the queued messages, even when the socket is full in the
/// middle of one.
#[tokio::test]
async fn a_close_waits_for_what_a_blocked_socket_has_not_taken() {
    const MESSAGES: usize = 64;
    let server = Server::start(hub(Config::default().queue_bytes(16 << 20))).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    for n in 0..MESSAGES {
        conn.try_send(&Envelope::with_type("load", (n, "x".repeat(64 * 1024)))).unwrap();
    }
    // The kernel takes less than that, so the task stops in the middle of a write.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    conn.close();
    for n in 0..MESSAGES {
        assert_eq!(peer.receive_data().await.1[0], n);
    }
    assert_eq!(peer.close().await, (1000, String::new()));
}

/// Row B1: there are no pings by default. The program can ping and gets the pong, and a peer's ping
/// is answered.
#[tokio::test]
async fn pings_are_the_programs_own() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    let (pong, seen) = oneshot::channel();
    let pong = std::sync::Mutex::new(Some(pong));
    conn.on_pong(move |payload| {
        if let Some(pong) = pong.lock().unwrap().take() {
            pong.send(payload.to_vec()).unwrap();
        }
    });
    conn.ping(b"are you there?").await.unwrap();
    let Some(Ok(Message::Ping(payload))) = peer.next().await else { panic!("the first message is not a ping") };
    assert_eq!(payload, &b"are you there?"[..]);
    // The peer's own pong leaves with its next read or write.
    peer.send(Message::Ping("and you?".into())).await;
    let Some(Ok(Message::Pong(payload))) = peer.next().await else { panic!("expected a pong") };
    assert_eq!(payload, "and you?");
    assert_eq!(within(seen).await.unwrap(), b"are you there?");
    assert!(matches!(conn.ping(&[0; 126]).await, Err(SendError::PingTooLong(126))));
}

/// Row C1: `send_bytes` sends text unchanged, and rejects bytes that a text frame must not carry.
#[tokio::test]
async fn bytes_are_sent_as_text_if_they_are_text() {
    let server = Server::start(hub(Config::default())).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    conn.send_bytes(br#"{"type":"by hand"}"#).await.unwrap();
    assert_eq!(peer.text().await, r#"{"type":"by hand"}"#);
    assert!(matches!(conn.send_bytes(b"\xff").await, Err(SendError::NotUtf8(_))));
}

/// Returns the two ends of a pipe, each over a WebSocket that tokio-tungstenite has opened.
async fn brought() -> (Connection, Connection) {
    let (near, far) = tokio::io::duplex(4096);
    let (near, far) = tokio::join!(
        WebSocketStream::from_raw_socket(near, Role::Server, None),
        WebSocketStream::from_raw_socket(far, Role::Client, None)
    );
    (Connection::new(near), Connection::new(far))
}

/// Row C1: both ends have the same type, over a WebSocket that the program opened. Messages go both
/// ways, then a close.
#[tokio::test]
async fn a_connection_works_on_both_sides_of_a_stream() {
    let (server, client) = brought().await;
    server.register_handler("item", |item: Item, _: Connection| async move { Item { from: item.from + 1, n: item.n } });
    let log = Log::default();
    let got = log.clone();
    client.register_handler("item", move |item: Item, _| {
        got.add((item.from, item.n));
        async {}
    });
    // Sent before `start`: it waits in the queue.
    client.send(&Item { from: 1, n: 0 }).await.unwrap();
    server.start(CancellationToken::new());
    client.start(CancellationToken::new());
    client.start(CancellationToken::new());
    for n in 1..2000 {
        client.send(&Item { from: 1, n }).await.unwrap();
    }
    for n in 0..2000 {
        assert_eq!(log.next().await, (2, n));
    }
    client.close();
    let (ours, theirs) = within(async { tokio::join!(client.closed(), server.closed()) }).await;
    assert_eq!((ours.code, ours.by), (CloseCode::NORMAL, ClosedBy::Us));
    assert_eq!((theirs.code, theirs.by), (CloseCode::NORMAL, ClosedBy::Peer));
}

/// Row C1: bytes that the stream has already read are not lost, in either role.
#[tokio::test]
async fn a_message_read_ahead_with_the_handshake_arrives() {
    let (near, far) = tokio::io::duplex(4096);
    let server = tokio::spawn(async move {
        let ws = tokio_tungstenite::accept_async(near).await.unwrap();
        let conn = Connection::new(ws);
        conn.send_bytes("right behind the answer").await.unwrap();
        conn.start(CancellationToken::new());
        conn
    });
    let (ws, _) = within(tokio_tungstenite::client_async("ws://a/", far)).await.unwrap();
    let log = Log::default();
    let got = log.clone();
    let client = Connection::new(ws);
    client.register_handler("__raw__", move |frame: wsx::RawFrame<'static>, _| {
        got.add(frame.as_text().unwrap_or_default().to_owned());
        async {}
    });
    client.start(CancellationToken::new());
    assert_eq!(log.next().await, "right behind the answer");
    drop(server.await.unwrap());
}

/// Row C1: the peer's close has arrived before `start`. Everything that was sent before still
/// leaves, and so do the replies to the messages before that close.
#[tokio::test]
async fn a_close_that_arrived_before_the_start_loses_nothing() {
    for (width, items) in [(64 * 1024, 5), (64, 0)] {
        let (near, far) = tokio::io::duplex(width);
        let (near, mut far) = tokio::join!(
            WebSocketStream::from_raw_socket(near, Role::Server, None),
            WebSocketStream::from_raw_socket(far, Role::Client, None)
        );
        let conn = Connection::new(near);
        conn.register_handler("item", |item: Item, _| async move {
            // The close has arrived meanwhile.
            tokio::time::sleep(Duration::from_millis(2)).await;
            Item { from: 2, n: item.n }
        });
        for n in 0..5 {
            conn.send(&Item { from: 1, n }).await.unwrap();
        }
        let peer = async {
            use futures_util::SinkExt;
            for n in 0..items {
                let item = Envelope::with_type("item", Item { from: 0, n });
                far.feed(Message::text(serde_json::to_string(&item).unwrap())).await.unwrap();
            }
            far.feed(Message::Close(None)).await.unwrap();
            far.flush().await.unwrap();
            conn.start(CancellationToken::new());
            let mut got = Vec::new();
            while let Some(Ok(Message::Text(text))) = far.next().await {
                let Item { from, n } = Envelope::<Item>::parse(&text).unwrap().data;
                got.push((from, n));
            }
            got
        };
        let expected: Vec<_> = (0..5).map(|n| (1, n)).chain((0..items).map(|n| (2, n))).collect();
        assert_eq!(within(peer).await, expected, "width {width}");
    }
}

/// Row C6: the cancellation token given to `start` closes the connection, after the queued
/// messages.
#[tokio::test]
async fn cancelling_closes_cleanly() {
    let (server, client) = brought().await;
    let cancel = CancellationToken::new();
    let log: Log<Closed> = Log::default();
    let closes = log.clone();
    client.register_handler("__close__", move |closed: Closed, _| {
        closes.add(closed);
        async {}
    });
    server.start(cancel.clone());
    client.start(CancellationToken::new());
    server.send_bytes("queued").await.unwrap();
    cancel.cancel();
    let closed = within(client.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Peer));
    assert_eq!(log.next().await, closed);
    assert_eq!(within(server.closed()).await.by, ClosedBy::Us);
    assert!(matches!(server.send_bytes("x").await, Err(SendError::Closed)));
}

/// Row C2: a slow handler delays only its own connection.
#[tokio::test]
async fn a_slow_handler_delays_no_other_connection() {
    let server = Server::start(hub(Config::default())).await;
    let (mut slow, mut quick) = (server.peer("slow").await, server.peer("quick").await);
    slow.send_envelope("wait", json!(null)).await;
    for _ in 0..100 {
        quick.send_envelope("note", json!("quick")).await;
        assert_eq!(server.hub.endpoint().got.next().await, "quick");
    }
    server.hub.endpoint().resume.notify_one();
    assert_eq!(slow.receive_data().await.0, "waited");
}

/// Row C2: a close lets a running handler finish, but not longer than the close timeout.
#[tokio::test]
async fn a_handler_that_never_ends_does_not_keep_a_closed_connection() {
    let server = Server::start(hub(Config::default().close_timeout(Duration::from_millis(100)))).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    peer.send_envelope("wait", json!(null)).await;
    let start = Instant::now();
    conn.close();
    assert_eq!(peer.close().await.0, 1000);
    within(conn.closed()).await;
    assert!(start.elapsed() >= Duration::from_millis(100), "the handler got the whole close timeout");
}

/// Peers that vanish leave nothing in the hub.
#[tokio::test]
async fn a_hub_outlives_its_peers() {
    let server = Server::start(hub(Config::default())).await;
    for _ in 0..50 {
        let peer: Peer = server.peer("a").await;
        let conn = server.hub.connection("a").unwrap();
        drop(peer);
        within(conn.closed()).await;
    }
    assert!(server.hub.is_empty());
}

/// A stream that holds written bytes back until a flush or a shutdown, as TLS may.
struct HoldsBack<S> {
    stream: S,
    kept: Vec<u8>,
}

impl<S> HoldsBack<S> {
    fn new(stream: S) -> Self {
        Self { stream, kept: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HoldsBack<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HoldsBack<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, kept } = self.get_mut();
        while !kept.is_empty() {
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, kept))?;
            kept.drain(..n);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Row L7: a message is flushed at once, at the server's end and at the client's.
#[tokio::test]
async fn what_is_written_is_flushed_at_both_ends() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(wsx_tests::query_id, |_| {});
    let connector = move |_| {
        // So narrow that one flush does not write everything.
        let (near, far) = tokio::io::duplex(16);
        let upgrade = upgrade.clone();
        tokio::spawn(async move { upgrade.serve_connection(HoldsBack::new(far), None).await.map(drop) });
        std::future::ready(Ok(HoldsBack::new(near)))
    };
    let got = Log::default();
    let log = got.clone();
    let on_note = move |text: String, _| {
        log.add(text);
        std::future::ready(())
    };
    let client = Client::builder("ws://a/ws?id=a").connector(connector).on("note", on_note).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    let conn = hub.connection("a").unwrap();
    let long = "x".repeat(10_000);
    for text in ["up", &long, "and up"] {
        client.send(&Envelope::with_type("note", text)).await.unwrap();
        assert_eq!(hub.endpoint().got.next().await, text);
    }
    for text in ["down", &long, "and down"] {
        conn.send(&Envelope::with_type("note", text)).await.unwrap();
        assert_eq!(got.next().await, text);
    }
    client.close();
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Peer));
}
