//! What goes over the wire, and what happens to a frame that is not an envelope.
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use wsx::{Connection, Envelope, Hub, Meta, RawFrame, SendError};
use wsx_tests::{Log, Server, chain, recorder};

#[derive(Debug, PartialEq)]
enum Got {
    Telemetry(String, f64, i64),
    Raw(Vec<u8>, bool),
    Any(String),
}

#[derive(wsx::Endpoint, Default)]
struct Station {
    log: Log<Got>,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
}

#[derive(Serialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(station: &Station, meta: Meta<'_>, msg: Telemetry<'_>) {
    station.log.add(Got::Telemetry(msg.device.into_owned(), msg.celsius, meta.ts));
}

#[wsx::handler("raw_json", on = Station)]
fn on_raw_json(station: &Station, data: &RawValue) {
    station.log.add(Got::Any(data.get().to_owned()));
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(station: &Station, frame: RawFrame<'_>, _conn: &Connection) {
    station.log.add(Got::Raw(frame.as_bytes().to_vec(), frame.as_text().is_some()));
}

/// Row E1: the envelope of the specification. `type` is required; the other keys have defaults.
#[tokio::test]
async fn an_envelope_reaches_the_handler_of_its_type() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let log = &server.hub.endpoint().log;
    let mut peer = server.peer("a").await;
    peer.send(r#"{"ver":1,"type":"telemetry","ts":1732969200,"data":{"device":"b-ü","celsius":21.5}}"#).await;
    assert_eq!(log.next().await, Got::Telemetry("b-ü".into(), 21.5, 1_732_969_200));
    peer.send(r#"{"data":{"celsius":1,"device":"b\u0037\n"},"later":[null],"type":"telemetry"}"#).await;
    assert_eq!(log.next().await, Got::Telemetry("b7\n".into(), 1.0, 0));
}

/// Row E1: data passes through unchanged, including numbers and spaces.
#[tokio::test]
async fn data_passes_through_untouched() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let mut peer = server.peer("a").await;
    let data = r#"{ "n": 1.10000000000000000001e400, "s":"\u00fc" , "a":[ ] }"#;
    peer.send(format!(r#"{{"type":"raw_json","data":{data}}}"#)).await;
    assert_eq!(server.hub.endpoint().log.next().await, Got::Any(data.into()));

    let raw = RawValue::from_string(data.into()).unwrap();
    server.hub.send_to("a", &Envelope::with_type("back", raw)).await.unwrap();
    let text = peer.text().await;
    assert!(text.ends_with(&format!(r#","data":{data}}}"#)), "{text}");
}

/// Rows E1 and M2: a derived message on the wire, time stamp included.
#[tokio::test]
async fn a_message_is_written_in_an_envelope() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let mut peer = server.peer("a").await;
    // The clock of an envelope is behind by 10 ms at most.
    let before = (SystemTime::UNIX_EPOCH.elapsed().unwrap() - Duration::from_millis(10)).as_secs();
    server.hub.send_to("a", &Cmd { reboot: true }).await.unwrap();
    let text = peer.text().await;
    let ts: u64 = serde_json::from_str::<serde_json::Value>(&text).unwrap()["ts"].as_u64().unwrap();
    assert_eq!(text, format!(r#"{{"ver":1,"type":"cmd","ts":{ts},"data":{{"reboot":true}}}}"#));
    let after = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((before..=after).contains(&ts));
    // An envelope of the derived type looks the same.
    server.hub.send_to("a", &Envelope::from(Cmd { reboot: true })).await.unwrap();
    assert_eq!(peer.receive_data().await, ("cmd".into(), json!({"reboot": true})));
}

/// Row E2: a frame that is not an envelope goes to `__raw__` unchanged, binary frames too. The
/// connection stays open.
#[tokio::test]
async fn a_text_that_is_not_an_envelope_goes_whole_to_raw() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let log = &server.hub.endpoint().log;
    let mut peer = server.peer("a").await;
    for text in [
        "",
        "not JSON",
        "\u{0}",
        "42",
        r#"["an","array"]"#,
        r#"[1,"telemetry",5,{}]"#,
        "{}",
        r#"{"data":{"device":"x","celsius":1}}"#,
        r#"{"type":7,"data":{}}"#,
        r#"{"type":"telemetry","type":"telemetry","data":{"device":"x","celsius":1}}"#,
        r#"{"type":"__raw__","data":1}"#,
        r#"{"type":"__open__"}"#,
        r#"{"type":"__close__"}"#,
        r#"{"type":"__mine__"}"#,
        r#"{"type":"telemetry","data":{"device":"x","celsius":1}"#,
        r#"{"type":"telemetry","ts":"yesterday","data":{"device":"x","celsius":1}}"#,
    ] {
        peer.send(text).await;
        assert_eq!(log.next().await, Got::Raw(text.into(), true), "{text}");
    }
    let envelope = br#"{"type":"telemetry","data":{"device":"x","celsius":1}}"#;
    for bytes in [&b""[..], b"\xff\xfe", envelope] {
        peer.send(Message::Binary(Bytes::copy_from_slice(bytes))).await;
        assert_eq!(log.next().await, Got::Raw(bytes.into(), false));
    }
    peer.send_envelope("telemetry", json!({"device": "still working", "celsius": 2})).await;
    assert_eq!(log.next().await, Got::Telemetry("still working".into(), 2.0, 1_732_969_200));
}

/// Row E3: a message without a handler is ignored and counted. It is not an error, and the
/// connection stays open.
#[tokio::test]
async fn an_unknown_type_is_ignored_and_counted() {
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("unknown", json!({})).await;
    assert_eq!(memory.message_ignored().await, ("a".into(), "unknown".into()));
    peer.send_envelope("telemetry", json!({"device": "x", "celsius": 1})).await;
    assert_eq!(server.hub.endpoint().log.next().await, Got::Telemetry("x".into(), 1.0, 1_732_969_200));
    assert_eq!(server.hub.ignored(), 1);
}

/// Row E2: an observer can report why a frame is not an envelope.
#[tokio::test]
async fn the_observer_gets_the_reason_why_a_message_is_not_an_envelope() {
    struct Reasons(Log<String>);
    impl wsx::Observer for Reasons {
        fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
            self.0.add(format!("{}: {}", conn.id(), frame.envelope_error().unwrap_or_default()));
        }
    }
    let log = Log::default();
    let hub = Hub::builder().observer(Reasons(log.clone())).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("a").await;
    peer.send(r#"{"ver":1.0,"type":"telemetry","data":1}"#).await;
    let why = log.next().await;
    assert_eq!(why, "a: `ver`: invalid type: floating point `1.0`, expected u32 at line 1 column 10");
    peer.send(Message::Binary(Bytes::from_static(b"{}"))).await;
    assert_eq!(log.next().await, "a: it is a binary message: an envelope is a text message");
    assert_eq!(server.hub.ignored(), 2);
}

/// Row E2: without a `__raw__` handler such a frame is ignored and counted too.
#[tokio::test]
async fn a_raw_frame_without_a_handler_is_ignored_and_counted() {
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().observer(recorder).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("a").await;
    peer.send("nonsense").await;
    assert_eq!(memory.message_ignored().await, ("a".into(), "__raw__".into()));
    peer.send("more").await;
    memory.message_ignored().await;
    assert_eq!(server.hub.ignored(), 2);
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Reading {
    celsius: f64,
    volts: Option<f32>,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Readings {
    readings: Vec<Reading>,
}

/// Answers with two readings, of which the second has NaN.
#[wsx::handler("reading", on = Station)]
fn on_reading(reading: Reading) -> Readings {
    let nan = Reading { celsius: f64::NAN, volts: reading.volts };
    Readings { readings: vec![reading, nan] }
}

/// Row E5: NaN and infinity are an error of each kind of send, and of a reply. The error names the
/// field. Nothing arrives, and a value that is missing still arrives as `null`.
#[tokio::test]
async fn a_number_that_json_cannot_carry_is_an_error_at_send() {
    let (observer, mut seen) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).observer(observer).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("a").await;
    let hub = &server.hub;
    let reading = |celsius, volts| Reading { celsius, volts };
    let nan = Readings { readings: vec![reading(1.0, None), reading(f64::NAN, None)] };
    let advice = ", which JSON cannot carry: send an `Option` that is `None` if there is no value";
    let failed = |sent: Result<(), SendError>, expected: &str| {
        let error = sent.unwrap_err();
        assert!(matches!(error, SendError::Encode(_)), "{error:?}");
        assert_eq!(chain(&error), format!("the message cannot be written as JSON: {expected}{advice}"));
    };
    failed(hub.send_to("a", &nan).await.map(drop), "`readings[1].celsius` is NaN");
    failed(hub.broadcast(&reading(f64::INFINITY, None)).await.map(drop), "`celsius` is infinite");
    let conn = hub.connection("a").unwrap();
    failed(conn.send(&reading(1.0, Some(f32::NEG_INFINITY))).await, "`volts` is infinite");
    failed(conn.try_send(&Envelope::with_type("loose", f64::NAN)), "the data is NaN");

    peer.send_envelope("reading", json!({"celsius": 1.5, "volts": null})).await;
    let (id, message_type, error) = seen.handler_failed().await;
    assert_eq!((&*id, &*message_type), ("a", "reading"));
    let expected = "the handler failed: the reply was not sent: the message cannot be written as JSON: `readings[1].celsius` is NaN";
    assert_eq!(chain(&error), format!("{expected}{advice}"));

    conn.send(&reading(1.5, None)).await.unwrap();
    assert_eq!(peer.receive_data().await, ("reading".into(), json!({"celsius": 1.5, "volts": null})));
}
