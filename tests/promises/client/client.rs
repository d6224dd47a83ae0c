//! Connecting, reconnecting, and the errors of both.
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use std::{
    io,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, ClosedBy, Config, ConnectError, Connection, Envelope,
    Hub, Rejection, SendError,
    client::Destination,
    http::{HeaderMap, HeaderValue, StatusCode, request::Parts},
};
use wsx_tests::{
    KillableServer, Log, Seen, Server, chain,
    handshake::{GOOD, completed},
    query_id, recorder, within,
};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    n: u32,
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Cmd {
    n: u32,
}

#[derive(wsx::Endpoint, Default)]
struct Station {
    telemetry: Log<u32>,
}
#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(station: &Station, msg: Telemetry) -> Cmd {
    station.telemetry.add(msg.n);
    Cmd { n: msg.n }
}

#[derive(wsx::Endpoint, Default)]
struct EdgeBox {
    commands: Log<u32>,
    raw: Log<String>,
}
#[wsx::handler("cmd", on = EdgeBox)]
async fn on_cmd(edge: &EdgeBox, cmd: Cmd) {
    edge.commands.add(cmd.n);
}
#[wsx::handler("__raw__", on = EdgeBox)]
fn on_raw(edge: &EdgeBox, frame: wsx::RawFrame<'_>) {
    edge.raw.add(frame.as_text().unwrap_or("binary").to_owned());
}

fn quick() -> Backoff {
    Backoff::default().initial(Duration::from_millis(20)).max(Duration::from_millis(100))
}

/// Row K1: connect, send, receive, close.
#[tokio::test]
async fn a_client_talks_to_a_hub() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let client = Client::builder(server.url("box-7")).endpoint(EdgeBox::default()).build().unwrap();
    assert_eq!(*client.state().borrow(), ClientState::Disconnected);
    let registered = Log::default();
    let log = registered.clone();
    let same =
        within(client.connect(CancellationToken::new(), move |conn| log.add(conn.id().to_owned()))).await.unwrap();
    assert_eq!(registered.next().await, format!("ws://{}/ws", server.address));
    assert_eq!(*client.state().borrow(), ClientState::Connected);
    same.send(&Telemetry { n: 1 }).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, 1);
    assert_eq!(client.endpoint().commands.next().await, 1);
    client.send(&Envelope::from(Telemetry { n: 2 })).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, 2);
    server.hub.connection("box-7").unwrap().send_bytes("no envelope").await.unwrap();
    assert_eq!(client.endpoint().raw.next().await, "no envelope");
    let conn = server.hub.connection("box-7").unwrap();
    client.close();
    client.close();
    assert!(client.is_closed());
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Peer));
    within(client.closed()).await;
    assert_eq!(client.send(&Telemetry { n: 3 }).await.unwrap_err().to_string(), "closed");
    assert!(matches!(client.connect(CancellationToken::new(), |_| {}).await, Err(ConnectError::Closed)));
}

/// Row K1: messages that are queued when the client closes still arrive.
#[tokio::test]
async fn closing_loses_nothing_that_was_accepted() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let client = Client::builder(server.url("a")).endpoint(EdgeBox::default()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    for n in 0..1000 {
        client.send(&Telemetry { n }).await.unwrap();
    }
    client.close();
    for n in 0..1000 {
        assert_eq!(server.hub.endpoint().telemetry.next().await, n);
    }
    within(client.closed()).await;
}

/// Row K1: messages of every length of the header are masked correctly.
#[tokio::test]
async fn messages_of_every_size_arrive_unchanged() {
    let hub = Hub::builder().on("__raw__", |frame: wsx::RawFrame<'static>, conn: Connection| async move {
        conn.send_bytes(frame.as_bytes()).await
    });
    let server = Server::start(hub.build().unwrap()).await;
    let client = Client::builder(server.url("a")).endpoint(EdgeBox::default()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    for length in [0, 1, 7, 125, 126, 1000, 65_535, 65_536, 1 << 20] {
        let text: String = ('a'..='z').cycle().take(length).collect();
        client.connection().unwrap().send_bytes(&text).await.unwrap();
        assert!(client.endpoint().raw.next().await == text, "{length} bytes");
    }
}

/// Row K3: without reconnecting, `connect` returns the first error.
#[tokio::test]
async fn without_reconnecting_a_failed_dial_is_returned() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder(format!("ws://{free}/ws")).reconnect(false).build().unwrap();
    let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Dial { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot reach {free}"));
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
    assert!(!error.is_final());
    assert_eq!(*client.state().borrow(), ClientState::Disconnected);
    assert!(matches!(client.send(&Telemetry { n: 1 }).await, Err(SendError::NotConnected)));
    // The program may try again itself.
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
}

/// Row K3: with reconnecting, `connect` retries until a server answers.
#[tokio::test]
async fn with_reconnecting_connect_keeps_trying() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (recorder, mut memory) = recorder();
    let client = Client::builder(format!("ws://{address}/ws?id=a"))
        .endpoint(EdgeBox::default())
        .backoff(quick())
        .observer(recorder)
        .build()
        .unwrap();
    let connecting = {
        let client = client.clone();
        tokio::spawn(async move { client.connect(CancellationToken::new(), |_| {}).await.map(drop) })
    };
    for expected in 1..=3 {
        let attempt =
            memory.find(|seen| if let Seen::ConnectFailed(attempt, _, _) = seen { Some(attempt) } else { None }).await;
        assert_eq!(attempt, expected);
    }
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let server = Server::start_at(hub, upgrade, &address).await;
    within(connecting).await.unwrap().unwrap();
    client.send(&Telemetry { n: 5 }).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, 5);
}

fn station_on(
    telemetry: Log<u32>,
) -> impl FnOnce(TcpListener) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send {
    move |listener| {
        Box::pin(async move {
            let hub = Hub::builder().endpoint(Station { telemetry }).build().unwrap();
            hub.ws_handler(query_id, |_| {}).serve(listener).await;
        })
    }
}

/// Rows K4, T5: the server is killed and started again. The client reconnects, its handlers work as
/// before, and `register` runs for the new connection.
#[tokio::test]
async fn a_client_reconnects_after_its_server_was_killed() {
    let telemetry = Log::default();
    let mut server = KillableServer::start("127.0.0.1:0", station_on(telemetry.clone())).await;
    let address = server.address.clone();
    let client = Client::builder(format!("ws://{address}/ws?id=box"))
        .endpoint(EdgeBox::default())
        .backoff(quick())
        .build()
        .unwrap();
    let registered = Arc::new(AtomicU32::new(0));
    let count = registered.clone();
    let register = move |conn: &Connection| {
        count.fetch_add(1, Ordering::Relaxed);
        // Handlers that are added by hand are added to each new connection.
        conn.register_handler("greeting", |_: String, _| async {});
    };
    within(client.connect(CancellationToken::new(), register)).await.unwrap();
    let mut state = client.state();
    for round in 0..3 {
        client.send(&Telemetry { n: round }).await.unwrap();
        assert_eq!(telemetry.next().await, round);
        assert_eq!(client.endpoint().commands.next().await, round);
        let conn = client.connection().unwrap();
        server.kill().await;
        let closed = within(conn.closed()).await;
        assert_eq!((closed.code, closed.by), (CloseCode::ABNORMAL, ClosedBy::Link));
        within(state.wait_for(|state| *state != ClientState::Connected)).await.unwrap();
        assert!(matches!(client.send(&Telemetry { n: 99 }).await, Err(SendError::NotConnected)));
        server = KillableServer::start(&address, station_on(telemetry.clone())).await;
        within(client.connected()).await.unwrap();
    }
    client.send(&Telemetry { n: 7 }).await.unwrap();
    assert_eq!(telemetry.next().await, 7);
    assert_eq!(client.endpoint().commands.next().await, 7);
    assert_eq!(registered.load(Ordering::Relaxed), 4);
    client.close();
    within(client.closed()).await;
}

/// Rows K4, X7: a server that shuts down closes with 1001, and the client connects to its
/// successor.
#[tokio::test]
async fn a_client_reconnects_after_a_clean_restart() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let address = server.address.clone();
    let client = Client::builder(server.url("a")).endpoint(EdgeBox::default()).backoff(quick()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    let first = client.connection().unwrap();
    within(server.stop()).await;
    let closed = within(first.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::GOING_AWAY, ClosedBy::Peer));
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let server = Server::start_at(hub, upgrade, &address).await;
    within(client.connected()).await.unwrap();
    client.send(&Telemetry { n: 1 }).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, 1);
}

/// Row K1: cancelling closes the connection with 1000, and closes the client.
#[tokio::test]
async fn cancelling_ends_the_client() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let client = Client::builder(server.url("a")).endpoint(EdgeBox::default()).build().unwrap();
    let cancel = CancellationToken::new();
    within(client.connect(cancel.clone(), |_| {})).await.unwrap();
    let conn = server.hub.connection("a").unwrap();
    client.send(&Telemetry { n: 1 }).await.unwrap();
    cancel.cancel();
    within(client.closed()).await;
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Peer));
    assert_eq!(server.hub.endpoint().telemetry.next().await, 1);
    assert!(matches!(client.send(&Telemetry { n: 2 }).await, Err(SendError::Closed)));
}

/// Row K1: `closed` also returns when a client without reconnecting loses its connection.
#[tokio::test]
async fn a_client_that_does_not_reconnect_is_closed() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
    let before = tokio::spawn({
        let client = client.clone();
        async move { client.closed().await }
    });
    tokio::task::yield_now().await;
    for _ in 0..2 {
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        within(client.connected()).await.unwrap();
        assert!(client.closed().now_or_never().is_none(), "it is connected");
        server.hub.connection("a").unwrap().close();
        within(client.closed()).await;
        assert_eq!(*client.state().borrow(), ClientState::Disconnected);
        assert!(matches!(within(client.connected()).await, Err(SendError::NotConnected)));
    }
    within(before).await.unwrap();
    client.close();
    within(client.closed()).await;
    assert_eq!(*client.state().borrow(), ClientState::Closed);
    assert!(matches!(within(client.connected()).await, Err(SendError::Closed)));
}

/// Row K1: before `connect`, `closed` and `connected` wait.
#[tokio::test]
async fn a_client_that_has_not_begun_is_not_over() {
    let client = Client::new("ws://127.0.0.1:1/ws");
    assert!(client.closed().now_or_never().is_none());
    assert!(client.connected().now_or_never().is_none());
    client.close();
    within(client.closed()).await;
}

/// Row X4: a rejected handshake is an error with the status. The error about an invalid URL says
/// why it is invalid.
#[tokio::test]
async fn a_rejected_handshake_is_an_error_with_its_status() {
    async fn reject_all(_: Parts) -> Result<String, Rejection> {
        Err(Rejection::new(StatusCode::FORBIDDEN, "access denied"))
    }
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(reject_all, |_| {});
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
    let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(matches!(error, ConnectError::Rejected { status: StatusCode::FORBIDDEN, .. }));
    assert_eq!(error.to_string(), "the server rejected the handshake with 403 Forbidden: access denied");
    for url in ["", "http://127.0.0.1/", "127.0.0.1:80/ws", "ws://"] {
        // At once, even with reconnecting: a retry could not succeed.
        let error = within(Client::new(url).connect(CancellationToken::new(), |_| {})).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Build(_)), "{url}: {error:?}");
        assert!(error.is_final());
    }
}

/// Row X4: a server that does not answer, or does not speak WebSocket, is an error within a bounded
/// time.
#[tokio::test]
async fn a_server_without_websocket_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (_silent, _) = listener.accept().await.unwrap();
        for answer in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
            "",
        ] {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = tcp.read(&mut request).await;
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
        let (mut endless, _) = listener.accept().await.unwrap();
        endless.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
        while endless.write_all(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    });
    let attempt = || async {
        let config = Config::default().handshake_timeout(Duration::from_millis(300));
        let client = Client::builder(&url).config(config).reconnect(false).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err()
    };
    let error = attempt().await;
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
    let errors = [attempt().await, attempt().await, attempt().await, attempt().await, attempt().await];
    assert!(matches!(&errors[0], ConnectError::Handshake(_)), "{:?}", errors[0]);
    assert!(matches!(&errors[1], ConnectError::Rejected { status: StatusCode::OK, .. }), "{:?}", errors[1]);
    assert!(matches!(&errors[2], ConnectError::Handshake(_)), "{:?}", errors[2]);
    assert!(matches!(&errors[3], ConnectError::Handshake(_)), "{:?}", errors[3]);
    assert!(matches!(&errors[4], ConnectError::Handshake(_)), "{:?}", errors[4]);
    for (error, line) in [
        (&errors[0], "the handshake failed: the answer is not HTTP/1.1: invalid HTTP version"),
        (
            &errors[2],
            "the handshake failed: the answer's `Sec-WebSocket-Accept` header does not match the request's key",
        ),
        (&errors[3], "the handshake failed: the server closed the connection before its answer was complete"),
        (&errors[4], "the handshake failed: the answer's head has more than 16384 bytes or 64 headers"),
    ] {
        assert_eq!(chain(error), line, "each cause adds something to the line");
    }
}

/// Row X4: a message in the same segment as the server's answer is not lost.
#[tokio::test]
async fn a_message_right_after_the_answer_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let first_was_read = Arc::new(Notify::new());
    let read = first_was_read.clone();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut answer = completed(&mut tcp, GOOD).await.unwrap().into_bytes();
        answer.extend_from_slice(b"\x81\x05early");
        answer.extend_from_slice(b"\x81\x04ha");
        tcp.write_all(&answer).await.unwrap();
        read.notified().await;
        tcp.write_all(b"lf").await.unwrap();
        let _ = tcp.read(&mut [0; 1024]).await;
    });
    let client = Client::builder(url).endpoint(EdgeBox::default()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    assert_eq!(client.endpoint().raw.next().await, "early");
    first_was_read.notify_one();
    assert_eq!(client.endpoint().raw.next().await, "half");
}

/// Row X4: a `register` that panics closes its connection with 1011, and the client reconnects.
#[tokio::test]
async fn a_panic_in_register_ends_that_connection_alone() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let client = Client::builder(server.url("a")).endpoint(EdgeBox::default()).backoff(quick()).build().unwrap();
    let calls = AtomicU32::new(0);
    let register = move |_: &Connection| assert_ne!(calls.fetch_add(1, Ordering::Relaxed), 0, "a panic on purpose");
    within(client.connect(CancellationToken::new(), register)).await.unwrap();
    let (_, closed) = memory.connection_closed().await;
    assert_eq!((closed.code, closed.by), (CloseCode::INTERNAL_ERROR, ClosedBy::Peer));
    let mut state = client.state();
    within(state.wait_for(|state| *state != ClientState::Connected)).await.unwrap();
    within(client.connected()).await.unwrap();
    client.send(&Telemetry { n: 1 }).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, 1);
}

/// Row X2: headers are sent, and those that expire are made again for each attempt.
#[tokio::test]
async fn headers_are_made_for_each_attempt() {
    let log = Log::default();
    let seen = log.clone();
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            let text = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            seen.add((text("x-fixed"), text("authorization")));
            async { Err::<String, _>(Rejection::new(StatusCode::UNAUTHORIZED, "no")) }
        },
        |_| {},
    );
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let token = Arc::new(AtomicU32::new(1));
    let client = Client::builder(server.url("a"))
        .header("x-fixed".parse().unwrap(), HeaderValue::from_static("yes"))
        .headers(move || {
            let token = token.fetch_add(1, Ordering::Relaxed);
            async move { Ok(HeaderMap::from_iter([("authorization".parse()?, HeaderValue::from(token))])) }
        })
        .backoff(quick())
        .build()
        .unwrap();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect(CancellationToken::new(), |_| {}).await.map(drop) });
    for expected in 1..=3 {
        assert_eq!(log.next().await, (Some("yes".into()), Some(expected.to_string())));
    }
    client.close();
    within(client.closed()).await;
}

/// Row K1: a client that is closed at the moment when its connection ends is closed, and `closed`
/// returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_closed_as_its_connection_ends_is_closed() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    for _ in 0..200 {
        let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        let conn = client.connection().unwrap();
        server.hub.connection("a").unwrap().close();
        within(conn.closed()).await;
        client.close();
        within(client.closed()).await;
        assert_eq!(*client.state().borrow(), ClientState::Closed);
    }
}

/// Row K5: every attempt uses the connector, including the attempts after a lost connection.
#[tokio::test]
async fn a_client_goes_through_the_connector_it_was_given() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let asked = Log::default();
    let log = asked.clone();
    let connector = move |destination: Destination| {
        log.add(destination.to_string());
        let (near, far) = tokio::io::duplex(64);
        let upgrade = upgrade.clone();
        tokio::spawn(async move { upgrade.serve_connection(far, None).await.map(drop) });
        async move { Ok(near) }
    };
    // The name has no listener.
    let client = Client::builder("ws://station.invalid:9001/ws?id=a")
        .endpoint(EdgeBox::default())
        .connector(connector)
        .backoff(quick())
        .build()
        .unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    for n in [1, 2] {
        assert_eq!(asked.next().await, "station.invalid:9001");
        within(client.connected()).await.unwrap();
        client.send(&Telemetry { n }).await.unwrap();
        assert_eq!(client.endpoint().commands.next().await, n);
        let conn = client.connection().unwrap();
        hub.connection("a").unwrap().close();
        within(conn.closed()).await;
        let mut state = client.state();
        within(state.wait_for(|state| *state != ClientState::Connected)).await.unwrap();
    }
}

/// Row K5: an error of the connector is a dial error, and a connector that never returns times out.
#[tokio::test]
async fn a_connector_that_fails_is_a_failed_dial() {
    let fail = |_| async { Err::<TcpStream, _>(io::Error::other("no tunnel")) };
    let client = Client::builder("ws://[::1]/ws").connector(fail).reconnect(false).build().unwrap();
    let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Dial { .. }), "{error:?}");
    assert_eq!(chain(&error), "cannot reach [::1]:80: no tunnel");
    let hang = |_| std::future::pending::<io::Result<TcpStream>>();
    let config = Config::default().handshake_timeout(Duration::from_millis(50));
    let client = Client::builder("ws://a/ws").connector(hang).config(config).reconnect(false).build().unwrap();
    let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
}

/// Row K1: `start` needs no closure, and `on_connect` sees each connection that `connect` would
/// show.
#[tokio::test]
async fn start_connects_and_shows_the_connection_to_on_connect() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let shown = Log::default();
    let seen = shown.clone();
    let client = Client::builder(server.url("box-7"))
        .endpoint(EdgeBox::default())
        .on_connect(move |conn| seen.add(conn.id().to_owned()))
        .build()
        .unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert_eq!(shown.next().await, format!("ws://{}/ws", server.address));
    assert_eq!(client.connection(), client.connection());
    client.send(&Telemetry { n: 8 }).await.unwrap();
    assert_eq!(client.endpoint().commands.next().await, 8);
    let again = within(client.start(CancellationToken::new())).await;
    assert!(matches!(again, Err(ConnectError::AlreadyConnected)));
}

/// Row K26: the id of a client's connection is its URL without the query, which can have a token.
#[tokio::test]
async fn the_token_in_a_url_is_not_in_the_id() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let (recorder, mut memory) = recorder();
    let url = format!("{}&token=secret#secret", server.url("box-7"));
    let builder = Client::builder(url).reconnect(false).observer(recorder);
    assert!(!format!("{builder:?}").contains("secret"));
    let client = builder.build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert!(!format!("{client:?} {:?}", client.connection()).contains("secret"));
    server.hub.connection("box-7").unwrap().close();
    assert_eq!(memory.connection_closed().await.0, format!("ws://{}/ws", server.address));
}

/// Row X4: an error is printed with all its causes.
#[tokio::test]
async fn a_report_names_every_cause() {
    let client = Client::builder("ws://127.0.0.1:1/").reconnect(false).build().unwrap();
    let error = within(client.start(CancellationToken::new())).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot reach 127.0.0.1:1");
    let report = wsx::Report(&error).to_string();
    assert!(report.starts_with("cannot reach 127.0.0.1:1: Connection refused"), "{report}");
    assert_eq!(report, chain(&error));
}
