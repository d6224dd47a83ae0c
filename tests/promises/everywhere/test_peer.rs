//! `TestPeer` calls handlers as a connection does, and shows what they did: row D10 of the
//! specification.
use serde::{Deserialize, Serialize};
use std::{
    any::Any,
    borrow::Cow,
    fmt,
    future::{Future, pending},
    sync::Mutex,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};
use wsx::{
    BoxError, Client, ClientState, CloseCode, Closed, ClosedBy, Connection, Envelope, HandlerError, Hub, Identity,
    Meta, RawFrame, SendError, Untyped,
    testing::{Failure, TestPeer},
};
use wsx_tests::{recorder, within};

/// A measurement, which borrows its text.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
}

/// An order with a number, which says what its handler does.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Order {
    n: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Notice<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Telemetry<'_>, Order;
        Server -> Edge: Cmd, Notice<'_>;
    }
}

#[derive(Default, wsx::Endpoint)]
#[wsx(side = Server)]
struct Station {
    log: Mutex<Vec<String>>,
}

impl Station {
    fn note(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[derive(Clone)]
struct User(&'static str);

#[derive(Debug)]
struct SoldOut;

impl fmt::Display for SoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sold out")
    }
}

impl std::error::Error for SoldOut {}

fn notice(text: &str) -> Notice<'_> {
    Notice { text: text.into() }
}

#[wsx::handler("__open__", on = Station)]
async fn on_open(conn: &Connection<Server>) -> Result<(), BoxError> {
    if conn.id() == "stranger" {
        return Err("not known".into());
    }
    Ok(conn.send(&notice("welcome")).await?)
}

#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, hub: &Hub<Station>, conn: &Connection<Server>, closed: Closed) -> Result<(), BoxError> {
    station.note(format!(
        "{} closed {} by {:?}, connected: {}",
        conn.id(),
        closed.code,
        closed.by,
        hub.is_connected(conn.id())
    ));
    if closed.code == CloseCode::GOING_AWAY { Err(SoldOut.into()) } else { Ok(()) }
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(station: &Station, frame: RawFrame<'_>) {
    station.note(format!("raw {}", frame.as_bytes().len()));
}

#[wsx::handler(on = Station)]
async fn on_telemetry(
    station: &Station,
    hub: &Hub<Station>,
    conn: &Connection<Server>,
    meta: Meta<'_>,
    msg: Telemetry<'_>,
) -> Result<Option<Cmd>, SendError> {
    let user = conn.extension::<User>().map_or("nobody", |user| user.0);
    station.note(format!("{} {} of {user}: {} {}", meta.message_type, conn.id(), msg.device, msg.celsius));
    conn.send(&notice("first")).await?;
    hub.broadcast(&notice("hot")).await?;
    Ok((msg.celsius > 90.0).then_some(Cmd { reboot: true }))
}

#[wsx::handler(on = Station)]
async fn on_order(station: &Station, order: Order, conn: &Connection<Server>) -> Result<Option<Cmd>, BoxError> {
    match order.n {
        0 => {
            for n in 0..3000 {
                conn.send(&notice(&n.to_string())).await?;
            }
            conn.flush().await?;
        }
        1 => {
            conn.close_with(CloseCode::POLICY_VIOLATION, "no token");
            station.note(conn.closed().await.to_string());
            return Ok(Some(Cmd { reboot: false }));
        }
        2 => return Err(SoldOut.into()),
        3 => panic!("the handler's assertion"),
        4 => pending().await,
        _ => {
            let conn = conn.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(60)).await;
                conn.send(&notice("later")).await
            });
        }
    }
    Ok(None)
}

fn station() -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).build().unwrap()
}

/// Returns a peer that has taken its welcome.
async fn peer(hub: &Hub<Station>, id: &'static str) -> TestPeer<Station> {
    let mut peer = TestPeer::connect(hub, Identity::new(id).with(User("ada"))).await.unwrap();
    assert_eq!(peer.try_next::<Notice<'_>>(), Some(notice("welcome")));
    peer
}

fn hot(device: &str) -> Telemetry<'_> {
    Telemetry { device: device.into(), celsius: 95.0 }
}

/// Returns the text of the panic of a future.
async fn panic_of<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> String {
    let panicked = tokio::spawn(async move { drop(future.await) }).await.expect_err("it panics");
    text_of(&*panicked.into_panic())
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a panic has a text")
}

#[tokio::test]
async fn a_handler_gets_its_arguments_and_its_reply_and_sends_are_shown() {
    let hub = station();
    let (mut seven, mut eight) = (peer(&hub, "box-7").await, peer(&hub, "box-8").await);
    // A quote, which the text of the message has to escape.
    let handled = seven.deliver(&hot("p\"mp")).await.unwrap();
    assert_eq!(handled.reply::<Cmd>(), Some(Cmd { reboot: true }));
    assert_eq!(hub.endpoint().noted(), ["telemetry box-7 of ada: p\"mp 95"]);
    assert_eq!(seven.next::<Notice<'_>>().await.text, "first");
    assert_eq!(seven.next::<Notice<'_>>().await, notice("hot"));
    assert!(seven.try_next::<Cmd>().is_none(), "the reply is not among the messages");
    assert_eq!(eight.try_next(), Some(notice("hot")));
    assert!(eight.try_next::<Notice<'_>>().is_none());
    let cool = Envelope::from(Telemetry { device: "pump".into(), celsius: 20.0 });
    let handled = seven.deliver(&cool).await.unwrap();
    assert_eq!((handled.reply::<Cmd>(), handled.is_ignored()), (None, false));
    hub.send_to("box-8", &Cmd { reboot: false }).await.unwrap();
    assert_eq!(eight.next::<Notice<'_>>().await.text, "hot");
    assert_eq!(eight.next::<Cmd>().await, Cmd { reboot: false });
}

#[tokio::test]
async fn the_opening_and_the_end_run_their_handlers() {
    let hub = station();
    let error = TestPeer::connect(&hub, "stranger").await.unwrap_err();
    assert!(matches!(&error, HandlerError::Handler(why) if why.to_string() == "not known"), "{error:?}");
    assert!(hub.is_empty(), "a peer that was not returned is gone");
    for (code, by) in [(CloseCode::NORMAL, ClosedBy::Peer), (CloseCode::ABNORMAL, ClosedBy::Link)] {
        let peer = peer(&hub, "box-7").await;
        assert!(hub.is_connected("box-7"));
        let conn = hub.connection("box-7").unwrap();
        peer.close(code).await.unwrap();
        assert_eq!(hub.endpoint().noted(), [format!("box-7 closed {code} by {by:?}, connected: false")]);
        assert_eq!((conn.closed().await.by, hub.len()), (by, 0));
        assert!(matches!(conn.try_send(&notice("late")), Err(SendError::Closed)));
    }
    let error = peer(&hub, "box-7").await.close(CloseCode::GOING_AWAY).await.unwrap_err();
    assert!(matches!(error, HandlerError::Handler(why) if why.is::<SoldOut>()));
    // A peer that is dropped is gone, without the handler of the close.
    let dropped = peer(&hub, "box-7").await;
    let conn = hub.connection("box-7").unwrap();
    hub.endpoint().noted();
    drop(dropped);
    assert_eq!((conn.closed().await.by, hub.len(), hub.endpoint().noted().len()), (ClosedBy::Link, 0, 0));
}

#[tokio::test]
async fn an_id_that_connects_again_replaces_its_peer() {
    let hub = station();
    let old = peer(&hub, "box-7").await;
    let new = peer(&hub, "box-7").await;
    assert_eq!(old.closed().map(|closed| closed.code), Some(CloseCode::REPLACED));
    old.close(CloseCode::NORMAL).await.unwrap();
    assert_eq!(hub.endpoint().noted(), ["box-7 closed 4000 by Us, connected: true"]);
    assert!(new.closed().is_none());
}

#[tokio::test]
async fn messages_that_are_wrong_or_unknown_are_handled_as_on_the_wire() {
    let (observer, mut memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(observer).build().unwrap();
    let mut peer = peer(&hub, "box-7").await;
    let text = |text: &'static str| RawFrame::Text(text.into());
    for frame in [text("no envelope"), RawFrame::Binary(b"\xff"[..].into())] {
        let length = frame.as_bytes().len();
        let handled = peer.deliver_raw(frame).await.unwrap();
        assert!(handled.raw_reply().is_none() && !handled.is_ignored());
        assert_eq!(hub.endpoint().noted(), [format!("raw {length}")]);
    }
    let unknown = peer.deliver_raw(text(r#"{"type":"later"}"#)).await.unwrap();
    assert!(unknown.is_ignored());
    assert_eq!((hub.ignored(), memory.message_ignored().await.1), (1, "later".to_owned()));
    let error = peer.deliver_raw(text(r#"{"type":"order","data":{"n":"two"}}"#)).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Decode { path, .. } if path == "n"), "{error:?}");
    assert!(matches!(memory.handler_failed().await.2, HandlerError::Decode { .. }));
}

#[tokio::test]
async fn an_error_of_a_handler_is_returned_and_reported() {
    let (observer, mut memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(observer).build().unwrap();
    let mut peer = peer(&hub, "box-7").await;
    let error = peer.deliver(&Order { n: 2 }).await.unwrap_err();
    assert!(matches!(error, HandlerError::Handler(why) if why.is::<SoldOut>()));
    let (id, message_type, _) = memory.handler_failed().await;
    assert_eq!((&*id, &*message_type), ("box-7", "order"));
    assert!(peer.closed().is_none());
}

#[tokio::test]
async fn a_wrong_question_says_what_came_instead() {
    let hub = station();
    let mut peer = peer(&hub, "box-7").await;
    let handled = peer.deliver(&hot("pump")).await.unwrap();
    let text = panic_of(async move { handled.reply::<Notice<'_>>().is_some() }).await;
    assert!(text.starts_with(r#"the reply is not a "notice" but {"ver":1,"type":"cmd","ts":"#), "{text}");
    assert!(text.ends_with(r#""data":{"reboot":true}}"#), "{text}");
    hub.send_to("box-7", &notice("third")).await.unwrap();
    let text = panic_of(async move {
        peer.next::<Cmd>().await;
    })
    .await;
    assert!(text.contains("test_peer.rs:"), "it names the place of the test: {text}");
    assert!(text.contains(r#"the next message is not a "cmd" but {"ver":1,"type":"notice""#), "{text}");
    let mut peer = self::peer(&hub, "box-8").await;
    hub.connection("box-8").unwrap().untyped().send(&Envelope::with_type("cmd", 7)).await.unwrap();
    let text = panic_of(async move { peer.try_next::<Cmd>().is_some() }).await;
    assert!(text.starts_with("the next message does not fit: invalid type: integer `7`"), "{text}");
    let mut peer = self::peer(&hub, "box-9").await;
    hub.connection("box-9").unwrap().untyped().send_binary([1, 2, 3]).await.unwrap();
    let text = panic_of(async move { peer.try_next::<Cmd>().is_some() }).await;
    assert_eq!(text, r#"the next message is not a "cmd" but 3 bytes"#);
}

#[tokio::test]
async fn a_handler_that_panics_fails_the_test() {
    let hub = station();
    let mut peer = peer(&hub, "box-7").await;
    assert_eq!(panic_of(async move { peer.deliver(&Order { n: 3 }).await }).await, "the handler's assertion");
    assert!(hub.is_empty());
    self::peer(&hub, "box-7").await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_fails_the_test() {
    let hub = station();
    let mut peer = peer(&hub, "box-7").await;
    let start = Instant::now();
    let text = panic_of(async move { peer.deliver(&Order { n: 4 }).await }).await;
    assert_eq!(text, r#"the handler of "order" still runs after an hour"#);
    assert!(start.elapsed() >= Duration::from_secs(3600));
    let mut peer = self::peer(&hub, "box-7").await;
    assert_eq!(panic_of(async move { peer.next_raw().await }).await, "there is no next message, after an hour");
}

/// More messages than the queue holds, and a flush, do not stop the handler.
#[tokio::test(start_paused = true)]
async fn a_handler_that_sends_much_goes_on() {
    let hub = station();
    let mut peer = peer(&hub, "box-7").await;
    peer.deliver(&Order { n: 0 }).await.unwrap();
    for n in 0..3000 {
        assert_eq!(peer.next::<Notice<'_>>().await.text, n.to_string());
    }
    assert!(peer.try_next::<Notice<'_>>().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_task_sends_later_is_awaited() {
    let hub = station();
    let mut peer = peer(&hub, "box-7").await;
    let start = Instant::now();
    peer.deliver(&Order { n: 9 }).await.unwrap();
    assert!(peer.try_next::<Notice<'_>>().is_none());
    assert_eq!(peer.next::<Notice<'_>>().await, notice("later"));
    assert!(start.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_program_is_shown() {
    let (observer, mut memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(observer).build().unwrap();
    let mut peer = peer(&hub, "box-7").await;
    let handled = peer.deliver(&Order { n: 1 }).await.unwrap();
    assert!(handled.raw_reply().is_none(), "a reply after a close is dropped");
    assert_eq!(memory.reply_dropped().await, "order");
    let closed = peer.closed().unwrap();
    assert_eq!((closed.code, &*closed.reason, closed.by), (CloseCode::POLICY_VIOLATION, "no token", ClosedBy::Us));
    assert_eq!(hub.endpoint().noted(), [closed.to_string()]);
    let text = panic_of(async move { peer.deliver(&Order { n: 2 }).await }).await;
    assert!(text.starts_with("a message is not handled any more: the connection is"), "{text}");
    let mut peer = self::peer(&hub, "box-7").await;
    assert_eq!(hub.shutdown(Duration::ZERO).await, 0);
    assert_eq!(peer.closed().map(|closed| closed.code), Some(CloseCode::GOING_AWAY));
    let text = panic_of(async move { peer.next_raw().await }).await;
    assert_eq!(text, "there is no next message: the connection is closed");
    let text = panic_of(async move { TestPeer::connect(&hub, "box-8").await }).await;
    assert!(text.contains("503") && text.contains("the server is going away"), "{text}");
}

/// The endpoint of a box.
#[derive(Default, wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox {
    rebooted: Mutex<u32>,
}

#[wsx::handler("__open__", on = EdgeBox)]
async fn on_connected(conn: &Connection<Edge>) -> Result<(), SendError> {
    conn.send(&hot("opened")).await
}

#[wsx::handler("__close__", on = EdgeBox)]
fn on_disconnected(edge: &EdgeBox) {
    *edge.rebooted.lock().unwrap() += 100;
}

#[wsx::handler(on = EdgeBox)]
fn on_cmd(edge: &EdgeBox, cmd: Cmd) -> Telemetry<'static> {
    *edge.rebooted.lock().unwrap() += u32::from(cmd.reboot);
    hot("rebooted")
}

#[wsx::handler(on = EdgeBox)]
fn on_notice(_: Notice<'_>) {}

#[tokio::test]
async fn a_client_is_tested_from_its_server() {
    let client = Client::builder("ws://station/ws?id=box-7")
        .endpoint(EdgeBox::default())
        .on_connect(|conn| conn.set_extension(User("grace")))
        .build()
        .unwrap();
    let mut station = TestPeer::accept(&client).await.unwrap();
    assert_eq!(station.next::<Telemetry<'_>>().await.device, "opened");
    assert_eq!(*client.state().borrow(), ClientState::Connected);
    client.connected().await.unwrap();
    let conn = client.connection().unwrap();
    assert_eq!((conn.id(), conn.extension::<User>().unwrap().0), ("ws://station/ws", "grace"));
    client.send(&Order { n: 5 }).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(station.next::<Order>().await.n, 5);
    let handled = station.deliver(&Cmd { reboot: true }).await.unwrap();
    assert_eq!(handled.reply::<Telemetry<'_>>().unwrap().device, "rebooted");
    assert_eq!(*client.endpoint().rebooted.lock().unwrap(), 1);
    let text = panic_of({
        let client = client.clone();
        async move { TestPeer::accept(&client).await }
    });
    assert!(text.await.contains("already connected"));
    station.close(CloseCode::GOING_AWAY).await.unwrap();
    assert_eq!(*client.endpoint().rebooted.lock().unwrap(), 101);
    assert!(client.connection().is_none());
    assert!(matches!(client.send(&Order { n: 6 }).await, Err(SendError::NotConnected)));
    // As after a reconnect.
    let station = TestPeer::accept(&client).await.unwrap();
    client.close();
    // It does not wait for the peer.
    within(client.closed()).await;
    assert_eq!(*client.state().borrow(), ClientState::Closed);
    assert_eq!(station.closed().map(|closed| closed.code), Some(CloseCode::NORMAL));
    station.close(CloseCode::GOING_AWAY).await.unwrap();
    assert_eq!(*client.endpoint().rebooted.lock().unwrap(), 201);
    assert_eq!(*client.state().borrow(), ClientState::Closed);
}

/// Only the end of its peer disconnects a client that the program has not closed.
#[tokio::test]
async fn a_client_is_disconnected_by_the_end_of_its_peer() {
    let client = Client::builder("ws://station/ws").endpoint(EdgeBox::default()).build().unwrap();
    let station = TestPeer::accept(&client).await.unwrap();
    let conn = client.connection().unwrap();
    conn.close();
    within(conn.closed()).await;
    assert_eq!(*client.state().borrow(), ClientState::Connected);
    drop(station);
    assert_eq!(*client.state().borrow(), ClientState::Disconnected);
    let _station = TestPeer::accept(&client).await.unwrap();
    // The connection is closed before the client.
    let conn = client.connection().unwrap();
    conn.close();
    within(conn.closed()).await;
    client.close();
    within(client.closed()).await;
}

#[tokio::test]
async fn the_presence_of_a_peer_is_that_of_a_connection() {
    let hub = station();
    let seen = |hub: &Hub<Station>| hub.presence().get("box-7").unwrap().last_seen;
    let mut dropped = peer(&hub, "box-7").await;
    let first = seen(&hub);
    // Presence has whole seconds of the coarse clock, which is behind by 10 ms at most.
    while SystemTime::now() < first + Duration::from_millis(1010) {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen(&hub), first, "no message has arrived");
    dropped.deliver(&Order { n: 1 }).await.unwrap();
    assert!(seen(&hub) > first);
    // The program has closed the connection, so it is not a link that broke.
    drop(dropped);
    let closed = hub.presence().get("box-7").unwrap().closed.unwrap();
    assert_eq!((closed.code, &*closed.reason, closed.by), (CloseCode::POLICY_VIOLATION, "no token", ClosedBy::Us));
}

#[tokio::test]
async fn on_connect_adds_its_handlers() {
    let hub = Hub::builder()
        .on_connect(|conn| {
            conn.register_handler("added", |n: u32, _| async move { Envelope::with_type("twice", 2 * n) });
        })
        .without_handlers()
        .build()
        .unwrap();
    let mut peer: TestPeer<Untyped> = TestPeer::connect(&hub, "box-7").await.unwrap();
    let handled = peer.deliver(&Envelope::with_type("added", 7)).await.unwrap();
    let reply = handled.raw_reply().and_then(RawFrame::as_text).map(|text| Envelope::<u32>::parse(text).unwrap());
    assert_eq!(reply.map(|reply| (reply.message_type, reply.data)), Some(("twice".into(), 14)));
}

#[tokio::test]
async fn handlers_without_a_protocol_are_tested_too() {
    let hub = Hub::builder()
        .on("test_peer", |n: u32, conn: Connection| async move {
            conn.send(&Envelope::with_type("seen", n)).await?;
            Ok::<_, SendError>((n > 1).then(|| Envelope::with_type("twice", 2 * n)))
        })
        .build()
        .unwrap();
    let mut peer: TestPeer<Untyped> = TestPeer::connect(&hub, "box-7").await.unwrap();
    for n in [1, 2] {
        let handled = peer.deliver(&Envelope::with_type("test_peer", n)).await.unwrap();
        let reply = handled.raw_reply().and_then(RawFrame::as_text).map(|text| Envelope::<u32>::parse(text).unwrap());
        assert_eq!(reply.map(|reply| (reply.message_type, reply.data)), (n > 1).then_some(("twice".into(), 4)));
        let sent = peer.next_raw().await;
        assert_eq!(Envelope::<u32>::parse(sent.as_text().unwrap()).unwrap().data, n);
    }
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Reboot {
    delay_s: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Rebooted {
    uptime_s: u64,
}

/// Its handler asks the peer.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Trouble;

#[derive(wsx::Endpoint)]
struct Desk;

#[wsx::handler(on = Desk)]
async fn on_trouble(_: Trouble, conn: &Connection) -> Result<Rebooted, wsx::RequestError> {
    conn.request_as(&Reboot { delay_s: 1 }).await
}

/// Rows D10, Q3: a `TestPeer` answers the requests of the program, also while it delivers a
/// message.
#[tokio::test(start_paused = true)]
async fn requests_are_answered() {
    let hub = Hub::builder().endpoint(Desk).build().unwrap();
    let mut peer = TestPeer::connect(&hub, "box-7").await.unwrap();
    peer.answer(|Reboot { delay_s }| if delay_s > 9 { Err("too long") } else { Ok(Rebooted { uptime_s: 60 }) });
    let done: Rebooted = hub.request_as("box-7", &Reboot { delay_s: 5 }).await.unwrap();
    assert_eq!(done, Rebooted { uptime_s: 60 });
    let error = hub.request_as::<Rebooted>("box-7", &Reboot { delay_s: 10 }).await.unwrap_err();
    assert!(matches!(&error, wsx::RequestError::Failed(why) if why == "too long"), "{error:?}");
    let handled = peer.deliver(&Trouble).await.unwrap();
    assert_eq!(handled.reply::<Rebooted>(), Some(Rebooted { uptime_s: 60 }));
    assert!(peer.try_next::<Reboot>().is_none(), "an answered request is not a message");
    peer.answer(|_: Reboot| Err::<Rebooted, _>(Failure::code("busy")));
    let error = hub.request_as::<Rebooted>("box-7", &Reboot { delay_s: 1 }).await.unwrap_err();
    assert!(matches!(error, wsx::RequestError::Busy), "{error:?}");
    peer.answer(|_: Reboot| Err::<Rebooted, _>(Failure::refusal(&Cmd { reboot: false })));
    let error = hub.request_as::<Rebooted>("box-7", &Reboot { delay_s: 1 }).await.unwrap_err();
    let wsx::RequestError::Other(error) = error else { panic!("{error:?}") };
    assert_eq!((&*error.code, error.data.unwrap().get()), ("cmd", r#"{"reboot":false}"#));
    // A reply by hand.
    let asked = hub.request_as::<Rebooted>("box-7", &Order { n: 2 });
    let (asked, ()) = tokio::join!(asked, async {
        let RawFrame::Text(text) = peer.next_raw().await else { panic!("not a text") };
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        let reply = serde_json::json!({"type": "rebooted", "re": request["id"], "data": {"uptime_s": 7}});
        peer.deliver_raw(RawFrame::Text(reply.to_string().into())).await.unwrap();
    });
    assert_eq!(asked.unwrap().uptime_s, 7);
    // Without an answer, the request is a message and ends at its deadline.
    let asked = hub.request_as::<Rebooted>("box-7", &Order { n: 1 });
    let (asked, order) = tokio::join!(asked, peer.next::<Order>());
    assert!(matches!(asked, Err(wsx::RequestError::TimedOut)) && order.n == 1);
}
