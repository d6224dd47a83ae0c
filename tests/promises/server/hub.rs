//! Which connections enter the hub, and which receive a message.
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::HashSet,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest, http::HeaderValue};
use wsx::{
    CloseCode, ClosedBy, Connection, Envelope, Hub, Identity, Rejection, SendError,
    http::{StatusCode, request::Parts},
    server::PeerAddr,
};
use wsx_tests::{
    Log, Peer, Seen, Server,
    handshake::{head, status, upgrade},
    query_id, recorder, within,
};

#[derive(wsx::Endpoint, Default)]
struct Station {
    telemetry: Log<(String, f64)>,
}

#[derive(Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, wsx::Message)]
struct Notice {
    n: u32,
}

#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(station: &Station, msg: Telemetry, conn: &Connection) {
    station.telemetry.add((conn.id().to_owned(), msg.celsius));
}

fn station() -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).build().unwrap()
}

/// Row T1: a client connects, the server receives telemetry, and the handler runs.
#[tokio::test]
async fn telemetry_of_a_new_client_reaches_its_handler() {
    let server = Server::start(station()).await;
    let mut peer = server.peer("box-7").await;
    peer.send_envelope("telemetry", json!({"celsius": 21.5})).await;
    assert_eq!(server.hub.endpoint().telemetry.next().await, ("box-7".into(), 21.5));
}

/// Rows S2, T2: one connection receives the message, and the others do not.
#[tokio::test]
async fn send_to_reaches_that_connection_alone() {
    let server = Server::start(station()).await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    server.hub.send_to("a", &Notice { n: 1 }).await.unwrap();
    server.hub.send_to("b", &Notice { n: 2 }).await.unwrap();
    assert_eq!(a.receive_data().await, ("notice".into(), json!({"n": 1})));
    assert_eq!(b.receive_data().await, ("notice".into(), json!({"n": 2})), "b did not receive the message to a");
}

/// Row S2: an unknown id is an error variant of its own, with the id.
#[tokio::test]
async fn send_to_an_unknown_id_is_an_error() {
    let hub = station();
    let error = hub.send_to("absent", &Notice { n: 1 }).await.unwrap_err();
    assert!(matches!(&error, SendError::NoSuchConnection(id) if id == "absent"));
    assert_eq!(error.to_string(), "no such connection: \"absent\"");
}

/// Rows S3, T2: every connection receives the message once, and the number is right.
#[tokio::test]
async fn a_broadcast_reaches_every_connection_once() {
    let server = Server::start(station()).await;
    assert_eq!(server.hub.broadcast(&Notice { n: 0 }).await.unwrap(), 0);
    let mut peers = Vec::new();
    for id in 0..20 {
        peers.push(server.peer(&id.to_string()).await);
    }
    assert_eq!(server.hub.broadcast(&Notice { n: 1 }).await.unwrap(), 20);
    assert_eq!(server.hub.broadcast(&Envelope::with_type("last", 2)).await.unwrap(), 20);
    for peer in &mut peers {
        assert_eq!(peer.receive_data().await, ("notice".into(), json!({"n": 1})));
        assert_eq!(peer.receive_data().await, ("last".into(), json!(2)));
    }
}

/// Row S1: ids and number follow the connections that open and close.
#[tokio::test]
async fn the_hub_lists_its_connections() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    assert!(server.hub.is_empty());
    let a = server.peer("a").await;
    let _b = server.peer("b").await;
    assert_eq!(server.hub.ids().into_iter().collect::<HashSet<_>>(), HashSet::from(["a".into(), "b".into()]));
    assert_eq!(server.hub.connection("a").map(|conn| conn.id().to_owned()), Some("a".into()));
    drop(a);
    let (id, closed) = memory.connection_closed().await;
    assert_eq!((&*id, closed.code, closed.by), ("a", CloseCode::ABNORMAL, ClosedBy::Link));
    assert_eq!((server.hub.len(), server.hub.ids()), (1, vec!["b".to_owned()]));
    assert!(server.hub.connection("a").is_none());
}

/// Row S1: `register` runs for each connection before its first message, and may send.
#[tokio::test]
async fn register_sees_each_new_connection() {
    let (hub, log) = (station(), Log::default());
    let seen = log.clone();
    let handler = hub.ws_handler(query_id, move |conn| {
        conn.try_send(&Notice { n: 7 }).unwrap();
        seen.add(conn.id().to_owned());
    });
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let mut peer = server.peer("x").await;
    assert_eq!(log.next().await, "x");
    assert_eq!(peer.receive_data().await, ("notice".into(), json!({"n": 7})));
}

/// Row X4: a `register` that panics rejects its own connection, and the hub keeps nothing of it.
#[tokio::test]
async fn a_panic_in_register_rejects_only_its_connection() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |conn| assert_ne!(conn.id(), "bad"));
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&server.url("bad")).await else {
        panic!("it connected")
    };
    assert_eq!(answer.status(), 500);
    assert!(server.hub.is_empty());
    server.peer("good").await;
}

/// Row S1: a new connection with the same id replaces the old one. Closing the old one does not
/// remove the new one.
#[tokio::test]
async fn an_id_that_returns_replaces_its_old_connection() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let mut old = server.peer("box").await;
    let mut new = server.peer("box").await;
    assert_eq!(old.close().await, (4000, "this id has connected again".into()));
    drop(old);
    let (_, closed) = memory.connection_closed().await;
    assert_eq!((closed.code, closed.by), (CloseCode::REPLACED, ClosedBy::Us));
    assert_eq!(server.hub.len(), 1);
    server.hub.send_to("box", &Notice { n: 1 }).await.unwrap();
    new.receive().await;
}

/// A hub closes one connection by its id, with a code and a reason.
#[tokio::test]
async fn a_hub_closes_the_connection_with_an_id() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let (mut a, mut b) = (server.peer("a").await, server.peer("b").await);
    drop(server.hub.close("a", CloseCode::GOING_AWAY, "this was not polled"));
    server.hub.send_to("a", &Notice { n: 1 }).await.unwrap();
    server.hub.close("a", CloseCode::POLICY_VIOLATION, "enough").await.unwrap();
    assert_eq!(a.receive_data().await, ("notice".into(), json!({"n": 1})), "queued messages are sent first");
    assert_eq!(a.close().await, (1008, "enough".into()));
    drop(a);
    let (id, closed) = memory.connection_closed().await;
    assert_eq!((&*id, closed.code, closed.by), ("a", CloseCode::POLICY_VIOLATION, ClosedBy::Us));
    let error = server.hub.close("a", CloseCode::NORMAL, "").await.unwrap_err();
    assert!(matches!(&error, SendError::NoSuchConnection(id) if id == "a"));
    // As `close_with`: a peer does not get a code that must not be in a close frame.
    server.hub.close("b", CloseCode::ABNORMAL, String::new()).await.unwrap();
    assert_eq!(b.close().await, (1000, String::new()));
}

/// Row X2: `build_id` gets the request and the address, may await, and rejects with a status. The
/// values that it attaches stay with the connection.
#[tokio::test]
async fn build_id_rejects_with_a_status_and_attaches_values() {
    #[derive(Clone, Debug, PartialEq)]
    struct User(&'static str);

    async fn identify(request: Parts) -> Result<Identity, Rejection> {
        let token = request.headers.get("authorization").ok_or(Rejection::new(StatusCode::UNAUTHORIZED, "no token"))?;
        assert!(request.extensions.get::<PeerAddr>().is_some());
        tokio::task::yield_now().await;
        match token.as_bytes() {
            b"good" => Ok(Identity::new("box-1").with(User("ada"))),
            b"busy" => Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "later")
                .header("retry-after".parse().unwrap(), HeaderValue::from_static("7"))),
            _ => Err(Rejection::new(StatusCode::FORBIDDEN, "wrong token")),
        }
    }
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap();
    let handler = hub.ws_handler(identify, |_| {});
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let status = |token: Option<&'static str>| {
        let mut request = server.url("ignored").into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", HeaderValue::from_static(token));
        }
        let address = server.address.clone();
        async move {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            within(tokio_tungstenite::client_async(request, tcp)).await
        }
    };
    for (token, expected) in [(None, 401), (Some("bad"), 403), (Some("busy"), 503)] {
        let Err(tungstenite::Error::Http(answer)) = status(token).await else { panic!("{token:?} was accepted") };
        assert_eq!(answer.status(), expected);
        if expected == 503 {
            assert_eq!(answer.headers()["retry-after"], "7");
        }
        let rejected =
            memory.find(|seen| if let Seen::HandshakeRejected(status, _) = seen { Some(status) } else { None }).await;
        assert_eq!(rejected, expected);
    }
    let (_ws, _) = status(Some("good")).await.unwrap();
    let conn = server.hub.connection("box-1").unwrap();
    assert_eq!(conn.extension::<User>(), Some(User("ada")));
    assert_eq!(conn.extension::<u32>(), None);
}

async fn status_for(server: &Server<Station>, header: &str) -> u16 {
    let mut tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(upgrade("/ws?id=x", header).as_bytes()).await.unwrap();
    status(&head(&mut tcp).await)
}

/// Row X1: any origin is accepted by default. With a list, which is one line, only the listed
/// origins are.
#[tokio::test]
async fn an_origin_list_turns_other_web_pages_away() {
    let open = Server::start(station()).await;
    assert_eq!(status_for(&open, "Origin: https://evil.example\r\n").await, 101);
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {}).allow_origins(["https://ops.example.com"]);
    let strict = Server::start_at(hub, handler, "127.0.0.1:0").await;
    assert_eq!(status_for(&strict, "Origin: https://evil.example\r\n").await, 403);
    assert_eq!(status_for(&strict, "Origin: https://ops.example.com\r\n").await, 101);
    assert_eq!(status_for(&strict, "").await, 101);
}

/// Row S1: the `WsHandler` may have a path.
#[tokio::test]
async fn another_path_is_not_found() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {}).path("/ws");
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let wrong = format!("ws://{}/other?id=a", server.address);
    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&wrong).await else { panic!("it connected") };
    assert_eq!(answer.status(), 404);
    server.peer("a").await;
}

/// Row X4: frames in the same segment as the request are not lost.
#[tokio::test]
async fn a_message_right_after_the_request_arrives() {
    let server = Server::start(station()).await;
    let mut tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let mut bytes = upgrade("/ws?id=early", "").into_bytes();
    let text = br#"{"type":"telemetry","data":{"celsius":1.5}}"#;
    // Masked with a key of zeros.
    bytes.extend_from_slice(&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend_from_slice(text);
    tcp.write_all(&bytes).await.unwrap();
    assert_eq!(server.hub.endpoint().telemetry.next().await, ("early".into(), 1.5));
}

/// Row S3: with many concurrent senders no message is lost or duplicated, and each sender's order
/// is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_broadcasts_arrive_complete() {
    let server = Server::start(station()).await;
    let mut peer = server.peer("a").await;
    let hub = Arc::new(server.hub.clone());
    for sender in 0..4_u32 {
        let hub = hub.clone();
        tokio::spawn(async move {
            for n in 0..250 {
                hub.broadcast(&Notice { n: sender * 1000 + n }).await.unwrap();
            }
        });
    }
    let mut next = [0; 4];
    for _ in 0..1000 {
        let n = u32::try_from(peer.receive_data().await.1["n"].as_u64().unwrap()).unwrap();
        let sender = (n / 1000) as usize;
        assert_eq!(n % 1000, next[sender]);
        next[sender] += 1;
    }
}

/// A stream that counts its reads.
struct Counted<S>(S, Arc<AtomicUsize>);

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A broadcast touches only the sending half of each connection.
#[tokio::test]
async fn sending_does_not_read() {
    let hub = station();
    let handler = hub.ws_handler(query_id, |_| {});
    let (near, far) = tokio::io::duplex(4096);
    let reads = Arc::new(AtomicUsize::new(0));
    let stream = Counted(near, reads.clone());
    let served = tokio::spawn(async move { handler.serve_connection(stream, None).await });
    let (mut peer, _) = within(tokio_tungstenite::client_async("ws://hub/ws?id=box-7", far)).await.unwrap();
    within(served).await.unwrap().unwrap();
    // Once its handler has run, the connection waits for more bytes.
    peer.send(tungstenite::Message::text(r#"{"type":"telemetry","data":{"celsius":1}}"#)).await.unwrap();
    within(hub.endpoint().telemetry.next()).await;
    hub.broadcast(&Notice { n: 0 }).await.unwrap();
    within(peer.next()).await.unwrap().unwrap();
    let before = reads.load(Ordering::Relaxed);
    for n in 1..=20 {
        hub.broadcast(&Notice { n }).await.unwrap();
        let text = within(peer.next()).await.unwrap().unwrap().into_text().unwrap();
        assert!(text.contains(&format!(r#"{{"n":{n}}}"#)), "{text}");
    }
    assert_eq!(reads.load(Ordering::Relaxed), before);
    peer.send(tungstenite::Message::text(r#"{"type":"telemetry","data":{"celsius":2}}"#)).await.unwrap();
    assert_eq!(within(hub.endpoint().telemetry.next()).await.1, 2.0);
}

/// Row S1: the builder's `on_connect` sees each connection, and before the handler's own
/// `register`.
#[tokio::test]
async fn on_connect_sees_each_connection_before_register() {
    let (seen, first, second) = (Log::default(), Log::default(), Log::default());
    let (at_hub, at_handler): (Log<String>, Log<String>) = (first.clone(), second.clone());
    let both = seen.clone();
    let hub = Hub::builder()
        .endpoint(Station::default())
        .on_connect(move |conn| {
            at_hub.add(conn.id().to_owned());
            conn.set_extension("shown to the hub");
        })
        .build()
        .unwrap();
    let upgrade = hub.ws_handler(query_id, move |conn| {
        at_handler.add(conn.id().to_owned());
        both.add(conn.extension::<&'static str>());
    });
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let _peers = (server.peer("a").await, server.peer("b").await);
    assert_eq!([first.next().await, first.next().await], ["a", "b"]);
    assert_eq!([second.next().await, second.next().await], ["a", "b"]);
    assert_eq!(seen.next().await, Some("shown to the hub"));
}

/// Row S1: `hub.serve` alone gives each connection an id of its own.
#[tokio::test]
async fn a_hub_serves_a_listener_with_unique_ids() {
    let hub = station();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move { hub.serve(listener).await }
    });
    let mut peers = (Peer::connect(&url).await, Peer::connect(&url).await);
    assert_eq!(hub.ids().into_iter().collect::<HashSet<_>>().len(), 2);
    for id in hub.ids() {
        let conn = hub.connection(&id).unwrap();
        assert_eq!(conn, hub.connection(&id).unwrap());
        conn.send(&Notice { n: 3 }).await.unwrap();
    }
    assert_eq!(
        [peers.0.receive_data().await, peers.1.receive_data().await],
        [("notice".into(), json!({"n": 3})), ("notice".into(), json!({"n": 3}))]
    );
    // At once, since these peers end their streams only after the test.
    let shutdown = hub.shutdown(std::time::Duration::ZERO);
    let (_, first, second) = within(async { tokio::join!(shutdown, peers.0.close(), peers.1.close()) }).await;
    assert_eq!((first.0, second.0), (1001, 1001));
    within(serving).await.unwrap();
}

/// Row X2: a status, or a status with a text, is a rejection.
#[tokio::test]
async fn a_status_alone_rejects() {
    async fn by_path(request: Parts) -> Result<String, Rejection> {
        match request.uri.path() {
            "/status" => Err(StatusCode::FORBIDDEN.into()),
            _ => Err((StatusCode::CONFLICT, "another version".to_owned()).into()),
        }
    }
    let hub = station();
    let upgrade = hub.ws_handler(by_path, |_| {});
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    for (path, status, text) in [("status", 403, ""), ("text", 409, "another version")] {
        let error = Peer::try_connect(&format!("ws://{}/{path}", server.address)).await.unwrap_err();
        let tungstenite::Error::Http(answer) = error else { panic!("{error}") };
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.body().as_deref().unwrap_or_default(), text.as_bytes());
    }
}
