//! User code that panics, in every place where it can run. The panic ends only its own connection
//! or attempt. Row X4 of the specification.
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize, ser::Error as _};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_tungstenite::tungstenite;
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, Closed, ClosedBy, Config, ConnectError, Connection,
    Endpoint, Envelope, HandlerError, Hub, Observer, RawFrame, Rejection, RejectionKind, Setback,
    dispatch::{Context, FromContext},
    http::{HeaderMap, StatusCode, request::Parts},
    server::HandshakeError,
};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, recorder, within};

fn boom<T>() -> T {
    panic!("a panic on purpose")
}

/// Panics when it is dropped, unless its thread is already panicking.
struct PanicOnDrop;
impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            boom::<()>();
        }
    }
}

/// A payload that panics when it is decoded.
struct Undecodable;
impl<'de> Deserialize<'de> for Undecodable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        boom()
    }
}

/// A message that panics when it is encoded.
struct Unencodable;
impl Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        boom()
    }
}

/// A message that fails to encode. That is an error and not a panic.
struct NoJson;
impl Serialize for NoJson {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("no"))
    }
}

/// An argument that panics when it is extracted.
struct NotExtractable;
impl<'f, E: Endpoint> FromContext<'f, E> for NotExtractable {
    fn from_context(_: &Context<'f, E>) -> Result<Self, HandlerError> {
        boom()
    }
}

#[derive(wsx::Endpoint, Default)]
struct Fragile;

#[wsx::handler("add", on = Fragile)]
fn add(n: u32) -> Envelope<u32> {
    Envelope::with_type("sum", n + 1)
}

#[wsx::handler("sync", on = Fragile)]
fn sync(_n: u32) {
    boom::<()>();
}

#[wsx::handler("async, before it waits", on = Fragile)]
async fn before_it_waits(n: u32) {
    if n == 0 {
        boom::<()>();
    }
    tokio::task::yield_now().await;
}

#[wsx::handler("async, after it waited", on = Fragile)]
async fn after_it_waited(_n: u32) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    boom::<()>();
}

#[wsx::handler("decoding", on = Fragile)]
fn decoding(_payload: Undecodable) {}

#[wsx::handler("extracting", on = Fragile)]
fn extracting(_argument: NotExtractable, _n: u32) {}

#[wsx::handler("encoding", on = Fragile)]
fn encoding(_n: u32) -> Envelope<Unencodable> {
    Envelope::with_type("never", Unencodable)
}

#[wsx::handler("encoding, async", on = Fragile)]
async fn encoding_async(_n: u32) -> Envelope<Unencodable> {
    Envelope::with_type("never", Unencodable)
}

#[wsx::handler("no JSON", on = Fragile)]
fn no_json(_n: u32) -> Envelope<NoJson> {
    Envelope::with_type("never", NoJson)
}

#[wsx::handler("dropping", on = Fragile)]
async fn dropping(_n: u32) {
    let _panics = PanicOnDrop;
    tokio::task::yield_now().await;
}

#[wsx::handler("pending, panics on drop", on = Fragile)]
async fn pending_and_panics_on_drop(_n: u32, conn: &Connection) {
    let _panics = PanicOnDrop;
    conn.close();
    std::future::pending::<()>().await;
}

#[wsx::handler("closing, then sync", on = Fragile)]
fn closing_then_sync(_n: u32, conn: &Connection) {
    conn.close();
    boom::<()>();
}

#[wsx::handler("pong", on = Fragile)]
async fn pong(_n: u32, conn: &Connection) {
    conn.on_pong(|_| boom());
}

#[wsx::handler("__raw__", on = Fragile)]
fn raw(_frame: RawFrame<'_>) {
    boom::<()>();
}

#[wsx::handler("__unknown__", on = Fragile)]
async fn unknown(_frame: RawFrame<'_>) {
    boom::<()>();
}

#[wsx::handler("__open__", on = Fragile)]
async fn open(conn: &Connection) {
    if conn.id() == "open" {
        boom::<()>();
    }
}

#[wsx::handler("__close__", on = Fragile)]
async fn close(_closed: Closed, conn: &Connection) {
    if conn.id().starts_with("close") {
        boom::<()>();
    }
}

/// An observer that panics in every method, and counts the calls of each.
#[derive(Clone, Default)]
struct PanickingObserver(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl PanickingObserver {
    fn called(&self, method: &'static str) {
        *self.0.lock().unwrap().entry(method).or_default() += 1;
        boom::<()>();
    }

    /// Waits until this method has been called.
    async fn was_called(&self, method: &'static str) {
        within(async {
            while self.0.lock().unwrap().remove(method).is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Observer for PanickingObserver {
    fn connection_opened(&self, _: &Connection) {
        self.called("connection_opened");
    }
    fn connection_closed(&self, _: &Connection, _: &Closed) {
        self.called("connection_closed");
    }
    fn connection_held_back(&self, _: &Connection) {
        self.called("connection_held_back");
    }
    fn handler_failed(&self, _: &Connection, _: &str, _: &HandlerError) {
        self.called("handler_failed");
    }
    fn reply_dropped(&self, _: &Connection, _: &str) {
        self.called("reply_dropped");
    }
    fn handler_dropped(&self, _: &Connection, _: &str, _: usize) {
        self.called("handler_dropped");
    }
    fn message_ignored(&self, _: &Connection, _: &str) {
        self.called("message_ignored");
    }
    fn envelope_rejected(&self, _: &Connection, _: &RawFrame<'_>) {
        self.called("envelope_rejected");
    }
    fn handshake_rejected(&self, _: Option<SocketAddr>, _: RejectionKind, _: StatusCode, _: &str) {
        self.called("handshake_rejected");
    }
    fn tls_failed(&self, _: Option<SocketAddr>, _: &std::io::Error) {
        self.called("tls_failed");
    }
    fn id_contested(&self, _: &str, _: Option<SocketAddr>, _: Option<SocketAddr>, _: u32) {
        self.called("id_contested");
    }
    fn connect_failed(&self, _: u32, _: Duration, _: &ConnectError) {
        self.called("connect_failed");
    }
    fn client_gave_up(&self, _: &Setback) {
        self.called("client_gave_up");
    }
}

fn by_hand(conn: &Connection) {
    match conn.id() {
        "register" => boom(),
        "called-by-hand" => conn.register_handler("add", |_: u32, _| {
            boom::<()>();
            async {}
        }),
        "awaited-by-hand" => conn.register_handler("add", |_: u32, _| async { boom::<()>() }),
        "closed-by-hand" => conn.register_handler("__close__", |_: Closed, _| async { boom::<()>() }),
        _ => {}
    }
}

async fn fragile() -> Server<Fragile> {
    let config = Config::default().close_timeout(Duration::from_millis(200));
    let hub = Hub::builder().endpoint(Fragile).config(config).observer(PanickingObserver::default()).build().unwrap();
    let handler = hub.ws_handler(query_id, by_hand);
    Server::start_at(hub, handler, "127.0.0.1:0").await
}

/// Asserts that this connection and the hub still work.
async fn still_works(server: &Server<Fragile>, good: &mut Peer) {
    good.send_envelope("add", json!(1)).await;
    assert_eq!(good.receive_data().await, ("sum".into(), json!(2)));
    within(async {
        while server.hub.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.hub.ids(), ["good"]);
    assert_eq!(server.hub.broadcast(&Envelope::with_type("all", 1)).await.unwrap(), 1);
    assert_eq!(good.receive_data().await, ("all".into(), json!(1)));
    server.hub.send_to("good", &Envelope::with_type("one", 2)).await.unwrap();
    assert_eq!(good.receive_data().await, ("one".into(), json!(2)));
}

/// Row X4: a panic on an open connection closes it with 1011. The other connections work.
#[tokio::test]
async fn a_panic_anywhere_closes_its_connection_with_1011() {
    let server = fragile().await;
    let mut good = server.peer("good").await;
    let envelope = |kind: &str| format!(r#"{{"type":"{kind}","data":0}}"#);
    for (id, text) in [
        ("a", envelope("sync")),
        ("a", envelope("async, before it waits")),
        ("a", envelope("async, after it waited")),
        ("a", envelope("decoding")),
        ("a", envelope("extracting")),
        ("a", envelope("encoding")),
        ("a", envelope("encoding, async")),
        ("a", envelope("dropping")),
        ("a", envelope("unknown")),
        ("a", "no envelope".to_owned()),
        ("called-by-hand", envelope("add")),
        ("awaited-by-hand", envelope("add")),
        ("open", String::new()),
    ] {
        let mut bad = server.peer(id).await;
        if !text.is_empty() {
            bad.send(text.as_str()).await;
        }
        let (code, reason) = bad.close().await;
        assert_eq!((code, &*reason), (1011, "internal error"), "{id}: {text}");
        still_works(&server, &mut good).await;
    }
}

/// Row X4: a panic in a pong's callback closes the connection too.
#[tokio::test]
async fn a_panic_at_a_pong_ends_its_connection_with_1011() {
    let server = fragile().await;
    let (mut good, mut bad) = (server.peer("good").await, server.peer("bad").await);
    bad.send_envelope("pong", json!(0)).await;
    bad.send(tungstenite::Message::Pong("x".into())).await;
    assert_eq!(bad.close().await.0, 1011);
    still_works(&server, &mut good).await;
}

/// Row X4: after a panic during the close, the hub still removes the connection.
#[tokio::test]
async fn a_panic_at_the_end_of_a_connection_changes_nothing() {
    let server = fragile().await;
    let mut good = server.peer("good").await;
    for (id, text, code) in [
        ("close", "", 1000),
        ("closed-by-hand", "", 1000),
        ("closed", "", 1000),
        ("a", r#"{"type":"closing, then sync","data":0}"#, 1011),
        ("a", r#"{"type":"pending, panics on drop","data":0}"#, 1000),
    ] {
        let mut bad = server.peer(id).await;
        let conn = server.hub.connection(id).unwrap();
        if text.is_empty() {
            conn.close();
        } else {
            bad.send(text).await;
        }
        assert_eq!(bad.close().await.0, code, "{id}: {text}");
        while let Some(Ok(_)) = bad.next().await {}
        assert_eq!(u16::from(within(conn.closed()).await.code), code, "{id}: {text}");
        still_works(&server, &mut good).await;
    }
    // None of them delays a shutdown.
    let hub = server.hub.clone();
    let shutdown = tokio::spawn(async move { hub.shutdown(Duration::from_secs(15)).await });
    assert_eq!(good.close().await.0, 1001);
    while let Some(Ok(_)) = good.next().await {}
    assert_eq!(within(shutdown).await.unwrap(), 0);
}

/// Row X4: a panic in a drop during the close does not change the close that is reported.
#[tokio::test]
async fn a_panic_in_a_drop_does_not_change_the_reported_close() {
    let (recorder, mut memory) = recorder();
    let config = Config::default().close_timeout(Duration::from_millis(200));
    let hub = Hub::builder().endpoint(Fragile).config(config).observer(recorder).build().unwrap();
    let handler = hub.ws_handler(query_id, |conn| {
        if conn.id() == "hangs" {
            conn.register_handler("__close__", |_: Closed, _| async {
                let _panics = PanicOnDrop;
                std::future::pending::<()>().await;
            });
        }
    });
    let (narrow, server) = (handler.clone(), Server::start_at(hub, handler, "127.0.0.1:0").await);
    for (id, text) in [("handler", "pending, panics on drop"), ("hangs", "closing")] {
        let mut bad = server.peer(id).await;
        let conn = server.hub.connection(id).unwrap();
        if id == "handler" {
            bad.send_envelope(text, json!(0)).await;
        } else {
            conn.close();
        }
        assert_eq!(bad.close().await.0, 1000, "{id}");
        while let Some(Ok(_)) = bad.next().await {}
        let (reported, closed) = memory.connection_closed().await;
        assert_eq!((&*reported, closed.code), (id, CloseCode::NORMAL));
        assert_eq!(within(conn.closed()).await.code, CloseCode::NORMAL, "{id}");
    }

    // A stream that panics when it is dropped.
    let (near, far) = tokio::io::duplex(1024);
    let stream = PanickingStream { inner: near, at: Panics::Dropped, switch: Arc::new(AtomicBool::new(true)) };
    let opening = tokio::spawn(async move { narrow.serve_connection(stream, None).await.unwrap() });
    let (mut far, _) = within(tokio_tungstenite::client_async("ws://a/ws?id=stream", far)).await.unwrap();
    within(far.close(None)).await.unwrap();
    let conn = within(opening).await.unwrap();
    while let Some(Ok(_)) = within(far.next()).await {}
    let (reported, closed) = memory.connection_closed().await;
    assert_eq!((&*reported, closed.by), ("stream", ClosedBy::Peer));
    assert_eq!(within(conn.closed()).await.by, ClosedBy::Peer);
}

/// Row X4: a panic while a message is encoded goes to the caller of the send. The hub, its
/// connections and the thread's buffers still work.
#[tokio::test]
async fn a_message_that_panics_while_it_is_encoded_is_its_senders() {
    let server = fragile().await;
    let mut good = server.peer("good").await;
    let conn = server.hub.connection("good").unwrap();
    let hub = server.hub.clone();
    let never = || Envelope::with_type("never", Unencodable);
    let broadcast = tokio::spawn({
        let hub = hub.clone();
        async move { hub.broadcast(&never()).await }
    });
    let send_to = tokio::spawn({
        let hub = hub.clone();
        async move { hub.send_to("good", &never()).await }
    });
    let send = tokio::spawn({
        let conn = conn.clone();
        async move { conn.send(&never()).await }
    });
    let try_send = tokio::spawn(async move { conn.try_send(&never()) });
    assert!(within(broadcast).await.unwrap_err().is_panic());
    assert!(within(send_to).await.unwrap_err().is_panic());
    assert!(within(send).await.unwrap_err().is_panic());
    assert!(within(try_send).await.unwrap_err().is_panic());
    still_works(&server, &mut good).await;
}

/// Returns the status of the answer to a handshake with this id.
async fn status(address: &str, id: &str) -> u16 {
    match Peer::try_connect(&format!("ws://{address}/ws?id={id}")).await {
        Ok(_) => 101,
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{id}: no answer: {error}"),
    }
}

/// Reads the id from the query; `never` and `later` panic, `none` is rejected.
#[allow(clippy::needless_pass_by_value, reason = "a `WsHandler` passes the request by value")]
fn panicking_id(request: Parts) -> impl Future<Output = Result<String, Rejection>> + Send {
    let query = request.uri.query().unwrap_or_default().to_owned();
    if query == "id=never" {
        boom::<()>();
    }
    async move {
        tokio::task::yield_now().await;
        match query.strip_prefix("id=") {
            Some("later") => boom(),
            Some("none") | None => Err(Rejection::new(StatusCode::FORBIDDEN, "no")),
            Some(id) => Ok(id.to_owned()),
        }
    }
}

/// Row X4: a panic in a handshake is answered with 500. A panic of the observer changes no answer.
/// The next handshake is accepted.
#[tokio::test]
async fn a_panic_in_a_handshake_rejects_only_that_handshake() {
    // A handshake that panics must give its place back.
    let hub =
        Hub::builder().endpoint(Fragile).observer(PanickingObserver::default()).max_handshakes(1).build().unwrap();
    let handler = hub.ws_handler(panicking_id, by_hand);
    let (own, for_axum) = (handler.clone(), handler.clone());
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;

    // A loop of the program around `serve_connection`, which a panic would end.
    let by_program = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let by_program_at = by_program.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = by_program.accept().await.unwrap();
            let _ = own.serve_connection(stream, Some(peer)).await;
        }
    });

    let hyper = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hyper_at = hyper.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(hyper, axum::Router::new().route_service("/ws", for_axum)).await.unwrap() });

    for address in [&server.address, &by_program_at, &hyper_at] {
        for (id, expected) in [("never", 500), ("later", 500), ("register", 500), ("none", 403), ("good", 101)] {
            assert_eq!(status(address, id).await, expected, "{id}");
        }
    }
    let mut good = server.peer("good").await;
    still_works(&server, &mut good).await;
}

/// An endpoint whose handlers fail, for the reports to the observer.
#[derive(wsx::Endpoint, Default)]
struct Failing;

#[wsx::handler("fails", on = Failing)]
fn fails(_n: u32) -> Result<(), wsx::BoxError> {
    Err("on purpose".into())
}

#[wsx::handler("closes", on = Failing)]
fn closes(n: u32, conn: &Connection) -> Envelope<u32> {
    conn.close();
    Envelope::with_type("reply", n)
}

#[wsx::handler("hangs", on = Failing)]
async fn hangs(_n: u32) {
    std::future::pending::<()>().await;
}

/// Row X4: the reports about a closing connection may panic too.
#[tokio::test]
async fn a_panic_in_a_report_of_unfinished_work_changes_nothing() {
    let observer = PanickingObserver::default();
    let config = Config::default().close_timeout(Duration::from_millis(50));
    let hub = Hub::builder().endpoint(Failing).observer(observer.clone()).config(config).build().unwrap();
    let server = Server::start(hub).await;
    for (message_type, method) in [("closes", "reply_dropped"), ("hangs", "handler_dropped")] {
        let mut peer = server.peer(message_type).await;
        peer.send_envelope(message_type, json!(0)).await;
        peer.send(tungstenite::Message::Close(None)).await;
        observer.was_called(method).await;
        observer.was_called("connection_closed").await;
    }
    assert_eq!(status(&server.address, "again").await, 101);
}

/// Sends a message for each report about messages, and asserts that the connection stays open.
async fn reports_of_messages(peer: &Connection, observer: &PanickingObserver) {
    for (text, method) in [
        (r#"{"type":"fails","data":0}"#, "handler_failed"),
        (r#"{"type":"nothing","data":0}"#, "message_ignored"),
        ("no envelope", "envelope_rejected"),
    ] {
        peer.send_bytes(text).await.unwrap();
        observer.was_called(method).await;
    }
    wsx_tests::round_trip(peer).await;
}

/// Row X4: an observer that panics in every method loses its reports. The hub and its connections,
/// and a client, go on. `tls_failed` has its test with the other tests of TLS.
#[tokio::test]
async fn a_panic_in_any_report_changes_nothing() {
    let (hub_observer, client_observer) = (PanickingObserver::default(), PanickingObserver::default());
    let hub = Hub::builder().endpoint(Failing).observer(hub_observer.clone());
    let server = Server::start(hub.contested_after(0, Duration::MAX).build().unwrap()).await;
    assert_eq!(status(&server.address, "").await, 101, "an empty id is an id");
    hub_observer.was_called("connection_opened").await;
    let rejected = Peer::try_connect(&format!("ws://{}/ws", server.address)).await;
    assert!(matches!(rejected, Err(tungstenite::Error::Http(_))), "{rejected:?}");
    hub_observer.was_called("handshake_rejected").await;

    let (first, gives_up) = (AtomicBool::new(true), Arc::new(AtomicBool::new(false)));
    let decided = gives_up.clone();
    let client = Client::builder(server.url("box-7"))
        .endpoint(Failing)
        .observer(client_observer.clone())
        .backoff(quick())
        .headers(move || {
            let first = first.swap(false, Ordering::Relaxed);
            async move { if first { Err("not yet".into()) } else { Ok(HeaderMap::new()) } }
        })
        .give_up(move |_| decided.load(Ordering::Relaxed))
        .build()
        .unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client_observer.was_called("connect_failed").await;
    client_observer.was_called("connection_opened").await;
    let conn = server.hub.connection("box-7").unwrap();
    reports_of_messages(&client.connection().unwrap(), &hub_observer).await;
    reports_of_messages(&conn, &client_observer).await;

    hub_observer.0.lock().unwrap().clear();
    conn.close();
    client_observer.was_called("connection_closed").await;
    hub_observer.was_called("connection_closed").await;
    within(client.connected()).await.unwrap();
    gives_up.store(true, Ordering::Relaxed);
    within(async {
        loop {
            if let Some(conn) = server.hub.connection("box-7") {
                return conn.close();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    client_observer.was_called("client_gave_up").await;
    within(client.closed()).await;
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client.close();
    let _twice = [server.peer("twice").await, server.peer("twice").await];
    hub_observer.was_called("id_contested").await;
    assert_eq!(status(&server.address, "again").await, 101);
}

/// An observer of a client that counts its calls and panics in each.
#[derive(Clone, Default)]
struct PanickingCounter(Arc<AtomicU32>);
impl PanickingCounter {
    fn reported(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        boom::<()>();
    }
}
impl Observer for PanickingCounter {
    fn connection_closed(&self, _: &Connection, _: &Closed) {
        self.reported();
    }
    fn connect_failed(&self, _: u32, _: Duration, _: &ConnectError) {
        self.reported();
    }
    fn client_gave_up(&self, _: &Setback) {
        self.reported();
    }
}

fn quick() -> Backoff {
    Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20))
}

/// Row X4: a panic in a client's `headers` fails that attempt, and the client retries.
#[tokio::test]
async fn a_panic_in_a_clients_headers_fails_the_attempt_alone() {
    let server = fragile().await;
    for asynchronous in [false, true] {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let url = server.url("box-7");
        let builder = move |reconnect| {
            let calls = counted.clone();
            Client::builder(url.as_str()).backoff(quick()).reconnect(reconnect).headers(move || {
                let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
                if first && !asynchronous {
                    boom::<()>();
                }
                async move {
                    tokio::task::yield_now().await;
                    if first { boom() } else { Ok(HeaderMap::new()) }
                }
            })
        };
        let once = builder(false).build().unwrap();
        let error = within(once.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
        assert!(matches!(error, ConnectError::Headers(_)), "{error:?}");
        assert_eq!(*once.state().borrow(), ClientState::Disconnected);
        within(once.connect(CancellationToken::new(), |_| {})).await.unwrap();
        calls.store(0, Ordering::Relaxed);
        let again = builder(true).observer(PanickingCounter::default()).build().unwrap();
        within(again.connect(CancellationToken::new(), |_| {})).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}

/// Row X4: after a panic in `give_up` the client continues.
#[tokio::test]
async fn a_panic_in_give_up_does_not_give_up() {
    let server = fragile().await;
    let (asked, reported) = (Arc::new(AtomicU32::new(0)), PanickingCounter::default());
    let counted = asked.clone();
    let client = Client::builder(server.url("none-yet"))
        .backoff(quick())
        .observer(reported.clone())
        .headers({
            let first = AtomicBool::new(true);
            move || {
                let first = first.swap(false, Ordering::Relaxed);
                async move { if first { Err("not yet".into()) } else { Ok(HeaderMap::new()) } }
            }
        })
        .give_up(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            boom()
        })
        .build()
        .unwrap();
    let opened = Log::default();
    let log = opened.clone();
    // One attempt fails, and the observer gets the wait.
    within(client.connect(CancellationToken::new(), move |_| log.add(()))).await.unwrap();
    assert_eq!((asked.load(Ordering::Relaxed), reported.0.load(Ordering::Relaxed)), (1, 1));
    opened.next().await;
    // One connection closes.
    server.hub.connection("none-yet").unwrap().close();
    opened.next().await;
    assert_eq!((asked.load(Ordering::Relaxed), reported.0.load(Ordering::Relaxed)), (2, 2));
    client.close();
    within(client.closed()).await;
}

/// Row X4: after an observer panics at the last attempt, the client has still given up, in the
/// right state.
#[tokio::test]
async fn a_panic_of_the_observer_does_not_keep_a_client_from_giving_up() {
    let server = fragile().await;
    let reported = PanickingCounter::default();
    let client = Client::builder(server.url("box-7"))
        .backoff(quick())
        .observer(reported.clone())
        .give_up(|_| true)
        .build()
        .unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    server.hub.connection("box-7").unwrap().close();
    let mut state = client.state();
    within(state.wait_for(|state| *state == ClientState::Disconnected)).await.unwrap();
    assert_eq!(reported.0.load(Ordering::Relaxed), 2, "`connection_closed` and `client_gave_up`");
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client.close();

    // The same at the first attempt, where `connect` returns the error.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder(format!("ws://{free}/ws"))
        .observer(PanickingCounter::default())
        .give_up(|_| true)
        .build()
        .unwrap();
    let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error:?}");
}

/// Row X4: a panic in a client's code closes the connection with 1011, and the client reconnects.
#[tokio::test]
async fn a_client_reconnects_after_a_panic_of_its_own() {
    let server = fragile().await;
    let config = Config::default().close_timeout(Duration::from_millis(200));
    for kind in ["register", "sync", "async, after it waited", "dropping", "pending, panics on drop"] {
        let opened = Log::default();
        let (log, first) = (opened.clone(), AtomicBool::new(true));
        let client = Client::builder(server.url("box-7"))
            .endpoint(Fragile)
            .config(config.clone())
            .backoff(quick())
            .build()
            .unwrap();
        let connected = client.connect(CancellationToken::new(), move |_| {
            log.add(());
            if first.swap(false, Ordering::Relaxed) && kind == "register" {
                boom::<()>();
            }
        });
        within(connected).await.unwrap();
        let conn = server.hub.connection("box-7").unwrap();
        opened.next().await;
        if kind != "register" {
            conn.send(&Envelope::with_type(kind, 0)).await.unwrap();
        }
        let closed = within(conn.closed()).await;
        let expected = if kind == "pending, panics on drop" { CloseCode::NORMAL } else { CloseCode::INTERNAL_ERROR };
        assert_eq!(closed.code, expected, "{kind}");
        opened.next().await;
        within(client.connected()).await.unwrap();
        client.close();
        within(client.closed()).await;
    }
}

/// Row X4: a panic of the program's own stream ends only its connection.
#[tokio::test]
async fn a_stream_that_panics_ends_its_connection_alone() {
    let server = fragile().await;
    let mut good = server.peer("good").await;
    let handler = server.hub.ws_handler(query_id, |_| {});
    for at in [Panics::Reading, Panics::Writing] {
        let (near, mut far) = tokio::io::duplex(1024);
        let switch = Arc::new(AtomicBool::new(false));
        let stream = PanickingStream { inner: near, at, switch: switch.clone() };
        let request = upgrade("/ws?id=bad", "");
        far.write_all(request.as_bytes()).await.unwrap();
        let conn = within(handler.serve_connection(stream, None)).await.unwrap();
        switch.store(true, Ordering::Relaxed);
        far.write_all(b"\x89\x80\0\0\0\0").await.unwrap();
        within(conn.closed()).await;
        let mut rest = Vec::new();
        within(far.read_to_end(&mut rest)).await.unwrap();
        still_works(&server, &mut good).await;
    }
}

/// Row X4: a stream of the program that panics during its handshake ends that handshake only, and
/// its place is free.
#[tokio::test]
async fn a_stream_that_panics_in_its_handshake_is_an_error() {
    let hub = Hub::builder().endpoint(Fragile).max_handshakes(1).build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    for at in [Panics::Reading, Panics::Writing] {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(upgrade("/ws?id=bad", "").as_bytes()).await.unwrap();
        let stream = PanickingStream { inner: near, at, switch: Arc::new(AtomicBool::new(true)) };
        let error = within(handler.serve_connection(stream, None)).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Panicked), "{error:?}");
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let mut good = server.peer("good").await;
    still_works(&server, &mut good).await;
}

/// Row X4: the stream of a connector panics in a later attempt, before or after the handshake. The
/// attempt fails with its reason, and the client dials again.
#[tokio::test]
async fn a_client_dials_again_after_its_stream_panicked() {
    let server = fragile().await;
    for at in [Panics::Reading, Panics::Writing, Panics::Dropped] {
        let dials = Arc::new(AtomicU32::new(0));
        let (count, handler) = (dials.clone(), server.hub.ws_handler(query_id, |_| {}));
        let connector = move |_| {
            // The second and the third stream panic in their handshake.
            let switch = Arc::new(AtomicBool::new(matches!(count.fetch_add(1, Ordering::Relaxed), 1 | 2)));
            let (near, far) = tokio::io::duplex(1024);
            let handler = handler.clone();
            tokio::spawn(async move { handler.serve_connection(far, None).await.map(drop) });
            async move { Ok(PanickingStream { inner: near, at, switch }) }
        };
        let setbacks = Log::default();
        let log = setbacks.clone();
        let client = Client::builder("ws://box/ws?id=box-7")
            .connector(connector)
            .backoff(quick())
            .give_up(move |setback| {
                if matches!(setback, Setback::Attempt(_)) {
                    log.add(setback.to_string());
                }
                false
            })
            .build()
            .unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        server.hub.connection("box-7").unwrap().close();
        if at != Panics::Dropped {
            for _ in 0..2 {
                let why = setbacks.next().await;
                assert_eq!(why, "the handshake failed: the program's stream panicked");
            }
        }
        within(async {
            while dials.load(Ordering::Relaxed) < 4 {
                tokio::task::yield_now().await;
                if let Some(conn) = server.hub.connection("box-7") {
                    conn.close();
                }
            }
        })
        .await;
        within(client.connected()).await.unwrap();
        client.close();
        within(client.closed()).await;
        assert_eq!(*client.state().borrow(), ClientState::Closed);
    }
}

/// Row X4: a value of the program panics when its connection is dropped. The client dials again,
/// and the hub goes on.
#[tokio::test]
async fn a_value_that_panics_when_it_is_dropped_ends_nothing_else() {
    #[derive(Clone)]
    struct Value(#[allow(dead_code, reason = "dropped with the connection")] Arc<PanicOnDrop>);
    let hub = Hub::builder().endpoint(Fragile).build().unwrap();
    let attach = |conn: &Connection| {
        conn.set_extension(Value(Arc::new(PanicOnDrop)));
        let captured = PanicOnDrop;
        conn.on_pong(move |_| {
            let _ = &captured;
        });
        let captured = PanicOnDrop;
        conn.register_handler("never", move |_: u32, _| {
            let _ = &captured;
            async {}
        });
    };
    let handler = hub.ws_handler(query_id, attach);
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let opened = Log::default();
    let log = opened.clone();
    let client = Client::builder(server.url("box-7")).backoff(quick()).build().unwrap();
    let connected = client.connect(CancellationToken::new(), move |conn| {
        attach(conn);
        log.add(());
    });
    within(connected).await.unwrap();
    for _ in 0..3 {
        opened.next().await;
        within(async {
            while server.hub.connection("box-7").map(|conn| conn.close()).is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    opened.next().await;
    let mut good = server.peer("good").await;
    client.close();
    within(client.closed()).await;
    still_works(&server, &mut good).await;
    assert_eq!(within(server.hub.shutdown(Duration::ZERO)).await, 1);
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Panics {
    Reading,
    Writing,
    Dropped,
}

/// A stream that panics once its switch is on.
struct PanickingStream {
    inner: tokio::io::DuplexStream,
    at: Panics,
    switch: Arc<AtomicBool>,
}

impl PanickingStream {
    fn panic_at(&self, at: Panics) {
        if self.at == at && self.switch.load(Ordering::Relaxed) {
            boom::<()>();
        }
    }
}

impl Drop for PanickingStream {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.panic_at(Panics::Dropped);
        }
    }
}

impl tokio::io::AsyncRead for PanickingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        out: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.panic_at(Panics::Reading);
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl tokio::io::AsyncWrite for PanickingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.panic_at(Panics::Writing);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Row X4: a connector that panics, at once or later, fails the attempt. A panic in `jitter` still
/// delays the next attempt.
#[tokio::test]
async fn a_panic_while_a_client_dials_is_a_failed_attempt() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let connector = move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            boom::<()>();
        }
        async {
            tokio::task::yield_now().await;
            boom::<std::io::Result<tokio::net::TcpStream>>()
        }
    };
    let client = Client::builder("ws://box/ws")
        .connector(connector)
        .jitter(boom)
        .backoff(Backoff::default().initial(Duration::from_millis(1)).factor(1.0))
        .give_up(|setback| !matches!(setback, Setback::Attempt(ConnectError::Dial { .. })))
        .build()
        .unwrap();
    let connecting = client.clone();
    let connecting = tokio::spawn(async move { connecting.connect(CancellationToken::new(), |_| {}).await });
    within(async {
        while asked.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.close();
    assert!(matches!(within(connecting).await.unwrap(), Err(ConnectError::Closed)));
}
