//! The arguments that a handler may take, and the values that it may return: row M1 of the
//! specification.
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    borrow::Cow,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{
    CloseCode, Closed, ClosedBy, Connection, Endpoint, Envelope, HandlerError, Hub, Meta, RawFrame, State,
    dispatch::{Context, FromContext},
};
use wsx_tests::{Log, Peer, Server, chain, recorder};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Ping {
    n: u32,
}
#[derive(Serialize, wsx::Message)]
struct Pong {
    n: u32,
}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(type = "note/v2")]
struct Note<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

// The untyped endpoint: handlers without `on`, state by type.

#[wsx::handler]
fn on_ping(ping: Ping) -> Pong {
    Pong { n: ping.n + 1 }
}

#[wsx::handler("async_ping")]
async fn on_async_ping(conn: Connection, State(base): State<u32>, n: u32) -> Pong {
    tokio::task::yield_now().await;
    assert!(!conn.is_closed());
    Pong { n: base + n }
}

#[wsx::handler("perhaps")]
async fn perhaps(n: u32) -> Option<Pong> {
    (n > 0).then_some(Pong { n })
}

#[wsx::handler("fallible")]
async fn fallible(n: u32) -> Result<Option<Pong>, std::num::TryFromIntError> {
    u8::try_from(n)?;
    Ok(Some(Pong { n }))
}

#[wsx::handler("text_error")]
fn text_error(_n: u32) -> Result<(), String> {
    Err("an error text".to_owned())
}

#[wsx::handler]
async fn on_note<'f>(note: Note<'f>, meta: Meta<'f>, hub: &Hub) -> Note<'f> {
    // The payload borrows from the frame across this await.
    tokio::task::yield_now().await;
    assert_eq!((&*meta.message_type, meta.ver, meta.ts), ("note/v2", 1, 1_732_969_200));
    assert_eq!(hub.len(), 1);
    note
}

#[wsx::handler("number")]
fn on_number(envelope: Envelope<u32>) -> Envelope<Pong> {
    let mut back = Envelope::from(Pong { n: envelope.data });
    back.ts = envelope.ts;
    back
}

#[wsx::handler("raw_envelope")]
fn raw_envelope(envelope: Envelope, conn: &Connection) -> Result<(), wsx::SendError> {
    conn.try_send(&Envelope::with_type("raw_back", envelope.data))
}

#[wsx::handler("__unknown__")]
async fn on_unknown(frame: RawFrame<'_>, meta: Meta<'_>, conn: &Connection) -> Result<(), wsx::SendError> {
    conn.send_bytes(format!("{} in {}", meta.message_type, frame.as_bytes().len())).await
}

/// An extractor of the user.
struct FirstLetter(char);
impl<'f, E: Endpoint> FromContext<'f, E> for FirstLetter {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        Ok(Self(context.connection().id().chars().next().unwrap_or('?')))
    }
}

#[wsx::handler("extractor")]
fn own_extractor(
    FirstLetter(letter): FirstLetter,
    conn: Connection,
    _data: serde::de::IgnoredAny,
) -> Result<(), wsx::SendError> {
    conn.try_send(&Envelope::with_type("letter", letter))
}

async fn untyped() -> (Server<wsx::Untyped>, Peer) {
    let server = Server::start(Hub::builder().state(100_u32).build().expect("the handlers do not conflict")).await;
    let peer = server.peer("abc").await;
    (server, peer)
}

/// Row M1: sync and async handlers, with arguments in any order. The returned message goes back to
/// the sender.
#[tokio::test]
async fn what_a_handler_returns_goes_back_to_the_sender() {
    let (_server, mut peer) = untyped().await;
    peer.send_envelope("ping", json!({"n": 1})).await;
    assert_eq!(peer.receive_data().await, ("pong".into(), json!({"n": 2})));
    peer.send_envelope("async_ping", json!(5)).await;
    assert_eq!(peer.receive_data().await, ("pong".into(), json!({"n": 105})));
    peer.send_envelope("perhaps", json!(0)).await;
    peer.send_envelope("perhaps", json!(7)).await;
    assert_eq!(peer.receive_data().await, ("pong".into(), json!({"n": 7})), "`None` sends nothing");
    peer.send_envelope("fallible", json!(8)).await;
    assert_eq!(peer.receive_data().await, ("pong".into(), json!({"n": 8})));
}

/// Rows M1, M2: a payload that borrows from the frame, metadata, the hub, typed and raw envelopes.
#[tokio::test]
async fn a_handler_takes_what_it_names() {
    let (_server, mut peer) = untyped().await;
    peer.send_envelope("note/v2", json!({"text": "ü\n"})).await;
    assert_eq!(peer.receive_data().await, ("note/v2".into(), json!({"text": "ü\n"})));
    peer.send_envelope("number", json!(3)).await;
    let back = peer.receive().await;
    assert_eq!((&back["type"], &back["ts"], &back["data"]["n"]), (&json!("pong"), &json!(1_732_969_200), &json!(3)));
    peer.send_envelope("raw_envelope", json!({"any": [1, 2]})).await;
    assert_eq!(peer.receive_data().await, ("raw_back".into(), json!({"any": [1, 2]})));
    peer.send_envelope("extractor", json!(null)).await;
    assert_eq!(peer.receive_data().await, ("letter".into(), json!("a")));
}

/// Beyond row E3: a program may handle unknown types.
#[tokio::test]
async fn an_unknown_type_goes_to_the_handler_for_unknown_ones() {
    let (server, mut peer) = untyped().await;
    peer.send(r#"{"type":"new"}"#).await;
    assert_eq!(peer.text().await, "new in 14");
    assert_eq!(server.hub.ignored(), 0);
}

/// Row M1: the function stays an ordinary function.
#[test]
fn a_handler_is_still_a_function() {
    assert_eq!(on_ping(Ping { n: 1 }).n, 2);
}

// An endpoint: its value is the handlers' state.

#[derive(Debug, PartialEq)]
enum Step {
    Open(String),
    Message(u32),
    Close(Closed),
}

#[derive(wsx::Endpoint, Default)]
struct Station {
    seen: AtomicU32,
    steps: Log<Step>,
}

#[wsx::handler("ping", on = Station)]
async fn station_ping(station: &Station, ping: Ping) -> Pong {
    station.steps.add(Step::Message(ping.n));
    Pong { n: station.seen.fetch_add(1, Ordering::Relaxed) }
}

#[wsx::handler("boom", on = Station)]
async fn station_boom(_n: serde::de::IgnoredAny) {
    tokio::task::yield_now().await;
    panic!("a panic on purpose");
}

#[wsx::handler("__open__", on = Station)]
async fn station_open(station: &Station, conn: &Connection) -> Envelope<&'static str> {
    station.steps.add(Step::Open(conn.id().to_owned()));
    Envelope::with_type("welcome", "before all others")
}

#[wsx::handler("__close__", on = Station)]
async fn station_close(closed: Closed, station: &Station) {
    station.steps.add(Step::Close(closed));
}

/// Row X4: the state is the endpoint. `__open__` and `__close__` are handlers like any other.
#[tokio::test]
async fn an_endpoint_sees_opening_messages_and_end_in_order() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let steps = server.hub.endpoint().steps.clone();
    let mut peer = server.peer("box-7").await;
    assert_eq!(peer.receive_data().await, ("welcome".into(), json!("before all others")));
    peer.send_envelope("ping", json!({"n": 9})).await;
    assert_eq!(peer.receive_data().await, ("pong".into(), json!({"n": 0})));
    peer.0
        .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1001.into(), reason: "bye".into() }))
        .await
        .unwrap();
    assert_eq!(steps.next().await, Step::Open("box-7".into()));
    assert_eq!(steps.next().await, Step::Message(9));
    let Step::Close(closed) = steps.next().await else { panic!("no close") };
    assert_eq!((closed.code, &*closed.reason, closed.by), (CloseCode::GOING_AWAY, "bye", ClosedBy::Peer));
    assert_eq!(server.hub.endpoint().seen.load(Ordering::Relaxed), 1);
}

/// Rows X3, X4: data that does not fit is reported to the observer with connection, type, path and
/// serde's message. The connection stays open.
#[tokio::test]
async fn data_that_does_not_fit_goes_to_the_observer() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    peer.receive().await;
    peer.send_envelope("ping", json!({"n": "many"})).await;
    let (id, message_type, error) = memory.handler_failed().await;
    assert_eq!((&*id, &*message_type), ("box-7", "ping"));
    let line = chain(&error);
    assert!(line.contains("Ping at `n`: invalid type: string \"many\", expected u32"), "{line}");
    // The column is counted in the whole message, not in its data.
    let text = r#"{"ver":1,"type":"ping","ts":0,"data":{"n":"few"}}"#;
    peer.send(text).await;
    let place = format!("line 1 column {}", text.find("}}").unwrap());
    let line = chain(&memory.handler_failed().await.2);
    assert!(line.ends_with(&place), "{line}");
    peer.send(r#"{"type":"ping"}"#).await;
    let line = chain(&memory.handler_failed().await.2);
    assert!(line.ends_with("Ping at `.`: the envelope has no `data`"), "{line}");
    peer.send_envelope("ping", json!({"n": 1})).await;
    assert_eq!(peer.receive_data().await.0, "pong", "the connection stays open");
}

/// Row X4: an error that a handler returns is reported to the observer. The connection stays open.
#[tokio::test]
async fn an_error_of_a_handler_goes_to_the_observer() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().state(0_u32).observer(recorder).build().unwrap()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("fallible", json!(1000)).await;
    let (_, message_type, error) = memory.handler_failed().await;
    assert_eq!(message_type, "fallible");
    assert!(chain(&error).contains("out of range"), "{error}");
    peer.send_envelope("text_error", json!(1)).await;
    assert!(chain(&memory.handler_failed().await.2).contains("an error text"));
    peer.send_envelope("ping", json!({"n": 1})).await;
    peer.receive().await;
}

/// Row X4: a panic closes its own connection with 1011, and not another one.
#[tokio::test]
async fn a_panic_closes_only_its_connection_with_1011() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let (mut bad, mut good) = (server.peer("bad").await, server.peer("good").await);
    good.receive().await;
    bad.send_envelope("boom", json!(null)).await;
    assert_eq!(bad.close().await.0, 1011);
    good.send_envelope("ping", json!({"n": 1})).await;
    assert_eq!(good.receive_data().await.0, "pong");
    let mut again = server.peer("bad").await;
    assert_eq!(again.receive_data().await.0, "welcome");
}

// Handlers that are added by hand.

/// Row C1: `register_handler` adds handlers to one connection. They take precedence over the
/// annotated ones.
#[tokio::test]
async fn a_handler_added_by_hand_serves_its_connection_alone() {
    let hub = Hub::builder().state(0_u32).build().unwrap();
    let closes = Log::default();
    let (theirs, seen) = (closes.clone(), closes.clone());
    let upgrade = hub.ws_handler(wsx_tests::query_id, move |conn: &Connection| {
        if conn.id() != "special" {
            return;
        }
        conn.register_handler("ping", |ping: Ping, conn: Connection| async move {
            assert_eq!(conn.id(), "special");
            Pong { n: ping.n * 1000 }
        });
        conn.register_handler("__raw__", |frame: RawFrame<'static>, conn: Connection| async move {
            conn.send_bytes(frame.as_bytes().to_ascii_uppercase()).await
        });
        conn.register_handler("any", |envelope: Envelope, _| async move { Envelope::with_type("echo", envelope.data) });
        let closes = theirs.clone();
        conn.register_handler("__close__", move |closed: Closed, _| {
            closes.add(closed);
            async {}
        });
    });
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let (mut special, mut plain) = (server.peer("special").await, server.peer("plain").await);
    special.send_envelope("ping", json!({"n": 2})).await;
    assert_eq!(special.receive_data().await.1, json!({"n": 2000}));
    special.send("shout").await;
    assert_eq!(special.text().await, "SHOUT");
    special.send_envelope("any", json!([1])).await;
    assert_eq!(special.receive_data().await, ("echo".into(), json!([1])));
    plain.send_envelope("ping", json!({"n": 2})).await;
    assert_eq!(plain.receive_data().await.1, json!({"n": 3}));
    special.0.close(None).await.unwrap();
    assert_eq!(seen.next().await.code, CloseCode::NO_STATUS);
}

/// Row C1: a builder adds a handler to all connections.
#[tokio::test]
async fn a_handler_added_to_the_builder_serves_all_connections() {
    let hub = Hub::builder()
        .state(0_u32)
        .on("double", |n: u32, conn: Connection| async move { conn.send(&Envelope::with_type("doubled", n * 2)).await })
        .build()
        .unwrap();
    let server = Server::start(hub).await;
    for id in ["a", "b"] {
        let mut peer = server.peer(id).await;
        peer.send_envelope("double", json!(21)).await;
        assert_eq!(peer.receive_data().await, ("doubled".into(), json!(42)));
    }
}

/// An argument of the program's own, which is available in even hours alone.
struct Hour(u64);

impl<'f, E: Endpoint> FromContext<'f, E> for Hour {
    fn from_context(context: &Context<'f, E>) -> Result<Self, HandlerError> {
        let id = context.connection().id();
        let hour: u64 = id.parse().expect("the test chooses the ids");
        if hour.is_multiple_of(2) {
            return Ok(Self(hour));
        }
        Err(HandlerError::Argument { argument: "Hour", why: format!("hour {hour} is odd").into() })
    }
}

#[derive(wsx::Endpoint)]
struct Clock;

#[wsx::handler("hour", on = Clock)]
fn on_hour(_n: u32, hour: Hour) -> Pong {
    Pong { n: u32::try_from(hour.0).unwrap() }
}

#[wsx::handler("__raw__", on = Clock)]
async fn echo(frame: RawFrame<'_>, conn: &Connection) -> Result<(), wsx::SendError> {
    conn.send_raw(&frame).await
}

/// Row X4: an argument of the program's own says in its own words why it is not available.
#[tokio::test]
async fn an_argument_says_why_it_is_not_available() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Clock).observer(recorder).build().unwrap()).await;
    let (mut even, mut odd) = (server.peer("4").await, server.peer("5").await);
    even.send_envelope("hour", json!(1)).await;
    assert_eq!(even.receive_data().await, ("pong".into(), json!({"n": 4})));
    odd.send_envelope("hour", json!(1)).await;
    let (id, message_type, error) = memory.handler_failed().await;
    assert_eq!((&*id, &*message_type), ("5", "hour"));
    assert!(chain(&error).ends_with("argument `Hour` is not available: hour 5 is odd"), "{}", chain(&error));
}

/// Row E2: one call sends a raw frame back unchanged, text as text and binary as binary.
#[tokio::test]
async fn a_raw_frame_is_sent_back_unchanged() {
    let server = Server::start(Hub::builder().endpoint(Clock).build().unwrap()).await;
    let mut peer = server.peer("4").await;
    for message in [Message::text("not {an} envelope: \u{fc}"), Message::binary(vec![0, 159, 146, 150])] {
        peer.send(message.clone()).await;
        assert_eq!(peer.next().await.unwrap().unwrap(), message);
    }
}
