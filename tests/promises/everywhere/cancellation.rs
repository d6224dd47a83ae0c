//! Futures that are dropped at each of their await points. No message is torn or duplicated,
//! messages whose send succeeded arrive in order, and the future's owner continues to work. Row X5
//! of the specification.
use futures_util::StreamExt;
use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpSocket,
    task::{JoinHandle, yield_now},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, Closed, ClosedBy, Config, ConnectError, Connection, Envelope, Hub,
    Rejection, SendError,
    http::{HeaderMap, Request, StatusCode, request::Parts},
    server::WsHandler,
};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, within};

/// At which moment a future is dropped after its last poll.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dropped {
    /// While it waits.
    Waiting,
    /// After it was woken, before the next poll.
    Woken,
}

/// Polls a future this many times, in a task of its own, so that only the future wakes it. Returns
/// `None` if the future was dropped.
fn polled<F>(times: usize, dropped: Dropped, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (mut future, mut polls) = (Box::pin(future), 0);
    tokio::spawn(poll_fn(move |cx| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == times && dropped == Dropped::Waiting => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }))
}

/// Returns each number of polls with both moments of the drop. The caller stops once the future has
/// finished in both.
fn each() -> impl Iterator<Item = (usize, Dropped)> {
    (0..1000).flat_map(|times| [(times, Dropped::Waiting), (times, Dropped::Woken)])
}

/// Lets every task run that can. The tests have one thread, so a few turns are enough.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn item(label: &str) -> Envelope<String> {
    Envelope::with_type("item", label.to_owned())
}

/// A connection whose peer has a pipe of a few bytes, and whose queue is soon full.
struct Narrow {
    hub: Hub,
    conn: Connection,
    peer: WebSocketStream<DuplexStream>,
    /// The accepted messages, in order.
    accepted: Vec<String>,
}

impl Narrow {
    async fn new() -> Self {
        let config = Config::default().queue_messages(2);
        Self::join(&Hub::builder().config(config).without_handlers().build().unwrap(), "narrow").await
    }

    async fn join(hub: &Hub, id: &'static str) -> Self {
        let (near, far) = tokio::io::duplex(64);
        let handler = hub.ws_handler(move |_| async move { Ok(id) }, |_: &Connection| {});
        let opening = tokio::spawn(async move { handler.serve_connection(near, None).await });
        let config = WebSocketConfig::default().max_write_buffer_size(1 << 20);
        let opened = tokio_tungstenite::client_async_with_config("ws://a/ws", far, Some(config));
        let (peer, _) = within(opened).await.unwrap();
        let conn = within(opening).await.unwrap().unwrap();
        Self { hub: hub.clone(), conn, peer, accepted: Vec::new() }
    }

    /// Queues messages until the queue stays full even after the task has run.
    async fn fill(&mut self) {
        loop {
            let label = format!("before {}", self.accepted.len());
            match self.conn.try_send(&item(&label)) {
                Ok(()) => self.accepted.push(label),
                Err(SendError::Full) => {
                    settle().await;
                    if matches!(self.conn.try_send(&item(&label)), Err(SendError::Full)) {
                        return;
                    }
                    self.accepted.push(label);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Receives messages up to `last`.
    async fn receive(&mut self) -> Vec<String> {
        let mut received = Vec::new();
        loop {
            let label = match within(self.peer.next()).await {
                Some(Ok(Message::Text(text))) => match Envelope::<String>::parse(&text) {
                    Ok(envelope) => envelope.data,
                    Err(_) => text.to_string(),
                },
                Some(Ok(Message::Binary(bytes) | Message::Ping(bytes))) => String::from_utf8(bytes.to_vec()).unwrap(),
                other => panic!("torn after {received:?}: {other:?}"),
            };
            if label == "last" {
                return received;
            }
            received.push(label);
        }
    }

    /// Sends one more message, and receives all up to it. The test compares them with what it sent.
    async fn receive_all(&mut self) -> Vec<String> {
        let conn = self.conn.clone();
        let last = tokio::spawn(async move { conn.send(&item("last")).await });
        let received = self.receive().await;
        within(last).await.unwrap().unwrap();
        received
    }
}

/// The ways to send to a connection whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Send,
    Bytes,
    Binary,
    Ping,
    SendTo,
    Broadcast,
}

async fn send(way: Way, conn: Connection, hub: Hub) -> Result<(), SendError> {
    match way {
        Way::Send => conn.send(&item("dropped")).await,
        Way::Bytes => conn.send_bytes("dropped").await,
        Way::Binary => conn.send_binary(b"dropped").await,
        Way::Ping => conn.ping(b"dropped").await,
        Way::SendTo => hub.send_to("narrow", &item("dropped")).await.map(drop),
        Way::Broadcast => hub.broadcast(&item("dropped")).await.map(|accepted| assert_eq!(accepted, 1)),
    }
}

/// Row X5: a send that is dropped while it waits for room has not sent its message. A send that
/// already has room has sent it once, in order. The next send works.
#[tokio::test]
async fn a_send_that_is_dropped_has_sent_its_message_whole_or_not_at_all() {
    for way in [Way::Send, Way::Bytes, Way::Binary, Way::Ping, Way::SendTo, Way::Broadcast] {
        let mut done = [false; 2];
        for (times, dropped) in each() {
            let mut narrow = Narrow::new().await;
            narrow.fill().await;
            let sending = polled(times, dropped, send(way, narrow.conn.clone(), narrow.hub.clone()));
            settle().await;
            let received = narrow.receive_all().await;
            let outcome = within(sending).await.unwrap();
            let mut expected = narrow.accepted.clone();
            match outcome {
                Some(sent) => {
                    sent.unwrap();
                    expected.push("dropped".to_owned());
                    done[dropped as usize] = true;
                }
                // It was woken because it got room, unless something else woke it.
                None if times > 0 && dropped == Dropped::Woken && received.len() > expected.len() => {
                    expected.push("dropped".to_owned());
                }
                None => {}
            }
            assert_eq!(received, expected, "{way:?}, {times} polls, {dropped:?}");
            if done == [true; 2] {
                assert!(times > 1, "{way:?} did not wait");
                break;
            }
        }
        assert_eq!(done, [true; 2], "{way:?} did not finish");
    }
}

/// Row X5: one of several waiting sends is dropped. The others keep their order.
#[tokio::test]
async fn a_dropped_send_keeps_the_order_of_the_others() {
    for dropped in 0..4 {
        let mut narrow = Narrow::new().await;
        narrow.fill().await;
        let mut sendings = Vec::new();
        for n in 0..4 {
            let conn = narrow.conn.clone();
            let times = if n == dropped { 1 } else { usize::MAX };
            sendings.push(polled(times, Dropped::Waiting, async move { conn.send(&item(&n.to_string())).await }));
            settle().await;
        }
        let received = narrow.receive_all().await;
        let mut expected = narrow.accepted.clone();
        expected.extend((0..4).filter(|n| *n != dropped).map(|n| n.to_string()));
        assert_eq!(received, expected);
        for (n, sending) in sendings.into_iter().enumerate() {
            assert_eq!(within(sending).await.unwrap().is_none(), n == dropped);
        }
    }
}

/// Row X5: a broadcast that is dropped while some queues are full has reached all others.
#[tokio::test]
async fn a_broadcast_that_is_dropped_has_reached_all_that_had_room() {
    for (times, dropped) in each() {
        let mut full = Narrow::new().await;
        let mut roomy = Narrow::join(&full.hub, "roomy").await;
        full.fill().await;
        let hub = full.hub.clone();
        let broadcast = polled(times, dropped, async move { hub.broadcast(&item("dropped")).await });
        settle().await;
        let at_once = roomy.receive_all().await;
        assert_eq!(at_once, vec!["dropped"; times.min(1)], "{times} polls, {dropped:?}");
        let received = full.receive_all().await;
        let outcome = within(broadcast).await.unwrap();
        let (before, after) = received.split_at(full.accepted.len());
        assert_eq!(before, full.accepted);
        match outcome {
            Some(_) => assert_eq!(after, ["dropped"]),
            None if times > 0 && dropped == Dropped::Woken => assert!(after.is_empty() || after == ["dropped"]),
            None => assert!(after.is_empty(), "{times} polls, {dropped:?}: {after:?}"),
        }
        if let Some(accepted) = outcome {
            assert_eq!(accepted.unwrap(), 2);
            assert!(times > 1, "it did not wait");
            return;
        }
    }
}

/// Row X5: a shutdown that has started continues when its future is dropped.
#[tokio::test]
async fn a_dropped_shutdown_continues() {
    let mut done = [false; 2];
    for (times, dropped) in each() {
        let mut narrow = Narrow::new().await;
        narrow.fill().await;
        let hub = narrow.hub.clone();
        let shutdown = polled(times, dropped, async move { hub.shutdown(Duration::from_secs(15)).await });
        settle().await;
        if times == 0 {
            // The shutdown has not started.
            assert!(!narrow.conn.is_closed());
            Narrow::join(&narrow.hub, "another").await;
            let hub = narrow.hub.clone();
            tokio::spawn(async move { hub.shutdown(Duration::from_secs(15)).await });
        }
        for label in &narrow.accepted {
            let Some(Ok(Message::Text(text))) = within(narrow.peer.next()).await else { panic!("{label} was lost") };
            assert_eq!(Envelope::<String>::parse(&text).unwrap().data, *label);
        }
        let Some(Ok(Message::Close(Some(close)))) = within(narrow.peer.next()).await else { panic!("no close frame") };
        assert_eq!(u16::from(close.code), 1001);
        while let Some(Ok(_)) = within(narrow.peer.next()).await {}
        drop(narrow.peer);
        if let Some(cut_off) = within(shutdown).await.unwrap() {
            assert_eq!(cut_off, 0);
            done[dropped as usize] = true;
        }
        assert_eq!(within(narrow.hub.shutdown(Duration::from_secs(15))).await, 0);
        assert!(narrow.hub.is_empty());
        if done == [true; 2] {
            assert!(times > 1, "it did not wait");
            return;
        }
    }
    panic!("it did not finish");
}

/// Returns a hub that allows one handshake at a time, and a `WsHandler` whose `build_id` awaits.
fn slow_handshakes() -> (Hub, WsHandler) {
    let hub = Hub::builder().max_handshakes(1).without_handlers().build().unwrap();
    let handler = hub.ws_handler(
        |request: Parts| async move {
            for _ in 0..3 {
                yield_now().await;
            }
            query_id(request).await
        },
        |_| {},
    );
    (hub, handler)
}

/// Sends an upgrade request, and reads until the stream ends or the answer is complete.
async fn ask(mut far: DuplexStream) -> (Vec<u8>, DuplexStream) {
    let mut answer = Vec::new();
    // A handshake that is dropped meanwhile breaks the pipe.
    if far.write_all(upgrade("/ws?id=a", "").as_bytes()).await.is_ok() {
        while !answer.ends_with(b"\r\n\r\n") && far.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    }
    (answer, far)
}

/// Row X5: a dropped handshake leaves nothing: no connection, no place in use, no task.
#[tokio::test]
async fn a_dropped_handshake_leaves_nothing() {
    let (hub, handler) = slow_handshakes();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (before, mut done, mut waits) = (tasks(), [false; 2], 0);
    for (times, dropped) in each() {
        // So narrow that reading the request and writing the answer take many polls.
        let (near, far) = tokio::io::duplex(16);
        let own = handler.clone();
        let serving = polled(times, dropped, async move { own.serve_connection(near, None).await });
        let asking = tokio::spawn(ask(far));
        let outcome = within(serving).await.unwrap();
        if let Some(conn) = outcome {
            let conn = conn.unwrap();
            let (_, far) = within(asking).await.unwrap();
            assert_eq!(hub.ids(), ["a"]);
            drop(far);
            within(conn.closed()).await;
            done[dropped as usize] = true;
        } else {
            assert!(hub.is_empty(), "{times} polls, {dropped:?}");
            let (answer, _) = within(asking).await.unwrap();
            assert!(!answer.ends_with(b"\r\n\r\n"), "{times} polls, {dropped:?}");
            waits = times;
        }
        settle().await;
        assert_eq!(tasks(), before, "{times} polls, {dropped:?}");
        if done == [true; 2] {
            assert!(waits > 20, "only {waits} await points");
            return;
        }
    }
    panic!("it did not finish");
}

/// Row X5: the same behind another HTTP server.
#[tokio::test]
async fn a_dropped_upgrade_leaves_nothing() {
    let (hub, handler) = slow_handshakes();
    for (times, dropped) in each() {
        let request = Request::get("/ws?id=a")
            .header("host", "a")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let own = handler.clone();
        let answer = within(polled(times, dropped, async move { own.upgrade(request).await })).await.unwrap();
        assert!(hub.is_empty());
        if let Some(answer) = answer {
            // The request does not come from a server, so its stream cannot be upgraded.
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(times > 3, "it did not wait");
            return;
        }
    }
}

/// Row X5: dropping the future of `serve` stops accepting. Open connections stay open.
#[tokio::test]
async fn a_listener_that_is_dropped_leaves_its_connections() {
    for times in 0..5 {
        let hub = Hub::builder()
            .on("item", |label: String, _| async move { Envelope::with_type("echo", label) })
            .build()
            .unwrap();
        let handler = hub.ws_handler(wsx::unique_id, |_| {});
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let listening = polled(times, Dropped::Waiting, handler.serve(listener));
        settle().await;
        let mut peers = Vec::new();
        // Each connection makes the listener wait once more.
        while !listening.is_finished() {
            peers.push(Peer::connect(&url).await);
        }
        assert!(within(listening).await.unwrap().is_none());
        assert_eq!(peers.len(), times.saturating_sub(1));
        for peer in &mut peers {
            peer.send_envelope("item", "still working".into()).await;
            assert_eq!(peer.receive_data().await, ("echo".into(), "still working".into()));
        }
        let address = url.trim_start_matches("ws://").trim_end_matches("/ws").to_owned();
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
        drop(peers);
        assert_eq!(within(hub.shutdown(Duration::from_secs(15))).await, 0);
    }
}

/// Starts a hub that logs its messages.
async fn logging_hub() -> (Server<wsx::Untyped>, Log<String>) {
    let received = Log::default();
    let log = received.clone();
    let hub = Hub::builder().on("item", move |label: String, _| {
        log.add(label);
        async {}
    });
    (Server::start(hub.build().unwrap()).await, received)
}

/// Row X5: a dropped `connect` has opened no connection, and can be called again.
#[tokio::test]
async fn a_connect_that_is_dropped_can_be_called_again() {
    let (server, received) = logging_hub().await;
    let (mut done, mut waits) = ([false; 2], 0);
    for (times, dropped) in each() {
        let client = Client::builder(server.url("a"))
            .headers(|| async {
                yield_now().await;
                Ok(HeaderMap::new())
            })
            .build()
            .unwrap();
        let registered = Log::default();
        let connect = || {
            let (client, log) = (client.clone(), registered.clone());
            async move { client.connect(CancellationToken::new(), move |_| log.add(())).await }
        };
        let outcome = within(polled(times, dropped, connect())).await.unwrap();
        if let Some(connected) = outcome {
            connected.unwrap();
            done[dropped as usize] = true;
        } else {
            assert_eq!(*client.state().borrow(), ClientState::Disconnected);
            assert!(client.connection().is_none() && registered.try_next().is_none());
            waits = times;
            within(connect()).await.unwrap();
        }
        assert_eq!((registered.try_next(), registered.try_next()), (Some(()), None));
        let label = format!("{times} polls, {dropped:?}");
        client.send(&item(&label)).await.unwrap();
        assert_eq!(received.next().await, label);
        client.close();
        within(client.closed()).await;
        assert_eq!(received.try_next(), None);
        if done == [true; 2] {
            assert!(waits >= 3, "only {waits} await points");
            return;
        }
    }
    panic!("it did not finish");
}

/// Row X5: the same between two attempts.
#[tokio::test]
async fn a_connect_that_is_dropped_between_attempts_can_be_called_again() {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let reject = |_| async { Err::<String, _>(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "later")) };
    let handler = hub.ws_handler(reject, |_: &Connection| {});
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let quick = Backoff::default().initial(Duration::from_millis(2)).max(Duration::from_millis(4));
    let client = Client::builder(server.url("a")).backoff(quick).build().unwrap();
    for (times, dropped) in (0..20).flat_map(|times| [(times, Dropped::Waiting), (times, Dropped::Woken)]) {
        let own = client.clone();
        let connect = polled(times, dropped, async move { own.connect(CancellationToken::new(), |_| {}).await });
        let outcome = within(connect).await.unwrap();
        assert!(outcome.is_none(), "{times} polls, {dropped:?}: {outcome:?}");
        assert_eq!(*client.state().borrow(), ClientState::Disconnected);
    }
    client.close();
    let closed = within(client.connect(CancellationToken::new(), |_| {})).await;
    assert!(matches!(closed, Err(ConnectError::Closed)));
}

/// Row X5: waiting for a state or for a close can be dropped and repeated.
#[tokio::test]
async fn waiting_that_is_dropped_can_be_done_again() {
    let (server, _) = logging_hub().await;
    for (times, dropped) in (0..4).flat_map(|times| [(times, Dropped::Waiting), (times, Dropped::Woken)]) {
        let client = Client::builder(server.url("a")).build().unwrap();
        let own = client.clone();
        // Woken by each state on the way.
        let connected = polled(times, dropped, async move { own.connected().await });
        settle().await;
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        assert_eq!(within(connected).await.unwrap().is_some(), times > 2);
        within(client.connected()).await.unwrap();

        let (near, far) = (client.connection().unwrap(), server.hub.connection("a").unwrap());
        let (own, other, ends) = (client.clone(), near.clone(), far.clone());
        let closed = polled(times, dropped, async move { own.closed().await });
        let (near_end, far_end) = (
            polled(times, dropped, async move { other.closed().await }),
            polled(times, dropped, async move { ends.closed().await }),
        );
        settle().await;
        client.close();
        assert_eq!(within(closed).await.unwrap().is_some(), times > 1);
        within(client.closed()).await;
        for (conn, end, by) in [(near, near_end, ClosedBy::Us), (far, far_end, ClosedBy::Peer)] {
            let again: Closed = within(conn.closed()).await;
            assert_eq!((u16::from(again.code), again.by), (1000, by));
            if let Some(first) = within(end).await.unwrap() {
                assert_eq!(first, again);
            }
        }
    }
}

/// Row X5: the send of a client waits for room, and for the close of its connection, like the send
/// of a connection.
#[tokio::test]
async fn a_clients_send_that_is_dropped_has_sent_its_message_whole_or_not_at_all() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let config = Config::default().queue_messages(2);
    let mut done = [false; 2];
    for (times, dropped) in each() {
        let client = Client::builder(url.as_str()).config(config.clone()).build().unwrap();
        let own = client.clone();
        let connecting = tokio::spawn(async move { own.connect(CancellationToken::new(), |_| {}).await });
        let (stream, _) = within(listener.accept()).await.unwrap();
        let mut peer = within(tokio_tungstenite::accept_async(stream)).await.unwrap();
        within(connecting).await.unwrap().unwrap();
        let conn = client.connection().unwrap();
        // Long, so that the kernel's buffers are soon full.
        let long = |label: &str| item(&format!("{label:<60000}"));
        let mut accepted = Vec::new();
        let mut full_queue = 0;
        while full_queue < 3 {
            let label = format!("before {}", accepted.len());
            match conn.try_send(&long(&label)) {
                Ok(()) => (full_queue, _) = (0, accepted.push(label)),
                Err(SendError::Full) => {
                    full_queue += 1;
                    // The kernel moves its buffered bytes from one socket to the other.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let own = client.clone();
        let sending = polled(times, dropped, async move { own.send(&item("dropped")).await });
        settle().await;
        let own = client.clone();
        let last = tokio::spawn(async move { own.send(&item("last")).await });
        let mut received = Vec::new();
        loop {
            let Some(Ok(Message::Text(text))) = within(peer.next()).await else { panic!("torn after {received:?}") };
            let label = Envelope::<String>::parse(&text).unwrap().data.trim_end().to_owned();
            if label == "last" {
                break;
            }
            received.push(label);
        }
        within(last).await.unwrap().unwrap();
        let outcome = within(sending).await.unwrap();
        // It was woken because it got room.
        if outcome.is_some() || (times > 0 && dropped == Dropped::Woken) {
            accepted.push("dropped".to_owned());
        }
        assert_eq!(received, accepted, "{times} polls, {dropped:?}");
        client.close();
        while let Some(Ok(_)) = within(peer.next()).await {}
        drop(peer);
        within(client.closed()).await;
        if let Some(sent) = outcome {
            sent.unwrap();
            done[dropped as usize] = true;
        }
        if done == [true; 2] {
            assert!(times > 1, "it did not wait");
            return;
        }
    }
    panic!("it did not finish");
}
