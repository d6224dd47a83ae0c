//! The data is decoded in the same pass as the envelope if `type` comes before `data`, and in a
//! second pass otherwise. The result is the same: row E4 of the specification.
use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::{json, value::RawValue};
use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};
use wsx::{
    Connection, Endpoint, Envelope, HandlerError, Hub, Meta, RawFrame,
    dispatch::{Context, FromContext},
};
use wsx_tests::{Peer, Server, chain, recorder};

#[derive(wsx::Endpoint, Default)]
struct Station {
    /// How often the extractor ran.
    extracted: AtomicU32,
}

/// An extractor that always fails.
struct Never;
impl<'f, E: Endpoint> FromContext<'f, E> for Never {
    fn from_context(_: &Context<'f, E>) -> Result<Self, HandlerError> {
        Err(HandlerError::Handler("never".into()))
    }
}
/// An extractor that counts.
struct Counted;
impl<'f> FromContext<'f, Station> for Counted {
    fn from_context(context: &Context<'f, Station>) -> Result<Self, HandlerError> {
        context.endpoint().extracted.fetch_add(1, Ordering::Relaxed);
        Ok(Self)
    }
}

#[wsx::handler("number", on = Station)]
fn on_number(_counted: Counted, n: i64, meta: Meta<'_>) -> Envelope<(i64, u32, i64)> {
    Envelope::with_type("number", (n, meta.ver, meta.ts))
}
#[wsx::handler("text", on = Station)]
async fn on_text(text: &str) -> Envelope<String> {
    tokio::task::yield_now().await;
    Envelope::with_type("text", text.to_owned())
}
#[wsx::handler("any", on = Station)]
fn on_any(any: Envelope<&RawValue>) -> Envelope<String> {
    Envelope::with_type("any", any.data.get().to_owned())
}
#[wsx::handler("signal", on = Station)]
fn on_signal() -> Envelope<()> {
    Envelope::with_type("signal", ())
}
#[wsx::handler("failing", on = Station)]
fn on_failing(_never: Never, _n: i64) {}
#[wsx::handler("__raw__", on = Station)]
fn on_raw(frame: RawFrame<'_>) -> Envelope<usize> {
    Envelope::with_type("raw", frame.as_bytes().len())
}

#[wsx::handler("bytes", on = Station)]
fn on_bytes(bytes: Bytes) -> Envelope<usize> {
    Envelope::with_type("bytes", bytes.0)
}

/// The length of a payload that is read as bytes.
struct Bytes(usize);
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;
        impl Visitor<'_> for Length {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.len()))
            }
        }
        deserializer.deserialize_bytes(Length)
    }
}

async fn station() -> (Server<Station>, Peer, wsx_tests::Memory) {
    let (recorder, memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let peer = server.peer("box-7").await;
    (server, peer, memory)
}

/// Returns the answers to two envelopes with the same content, one with `data` last and one with
/// `data` first.
async fn both(peer: &mut Peer, message_type: &str, data: &str) -> [(String, serde_json::Value); 2] {
    peer.send(format!(r#"{{"ver":1,"type":"{message_type}","ts":5,"data":{data}}}"#)).await;
    let quick = peer.receive_data().await;
    peer.send(format!(r#"{{"data":{data},"ts":5,"ver":1,"type":"{message_type}"}}"#)).await;
    [quick, peer.receive_data().await]
}

#[tokio::test]
async fn the_order_of_the_keys_changes_nothing() {
    let (_server, mut peer, _memory) = station().await;
    for (message_type, data, expected) in [
        ("number", "-7", json!([-7, 1, 5])),
        ("number", " 7 ", json!([7, 1, 5])),
        ("text", r#""plain ü""#, json!("plain ü")),
        ("any", r#"{ "a": [1, 2.50] }"#, json!(r#"{ "a": [1, 2.50] }"#)),
        ("any", "null", json!("null")),
        ("signal", "{}", json!(null)),
    ] {
        let expected = (message_type.to_owned(), expected);
        assert_eq!(both(&mut peer, message_type, data).await, [expected.clone(), expected], "{message_type}: {data}");
    }
}

#[tokio::test]
async fn a_text_that_stops_being_an_envelope_goes_to_raw() {
    let (server, mut peer, _memory) = station().await;
    for message_type in ["number", "text", "any", "signal", "failing", "unknown"] {
        for rest in
            ["}", "x}", "7", "7}}", "7,}", "7} x", r#"7,"type":"b"}"#, r#"7,"data":8}"#, r#"7,"ts":1}"#, "\"\n\"}"]
        {
            let frame = format!(r#"{{"ver":1,"type":"{message_type}","ts":5,"data":{rest}"#);
            peer.send(frame.as_str()).await;
            assert_eq!(peer.receive_data().await, ("raw".into(), json!(frame.len())), "{frame}");
        }
    }
    assert_eq!(server.hub.ignored(), 0);
}

#[tokio::test]
async fn a_key_after_the_data_is_allowed() {
    let (server, mut peer, _memory) = station().await;
    peer.send(r#"{"ver":1,"type":"number","data":7,"ts":9,"more":{"a":1}}"#).await;
    assert_eq!(peer.receive_data().await, ("number".into(), json!([7, 1, 9])));
    assert_eq!(server.hub.endpoint().extracted.load(Ordering::Relaxed), 1, "extractors run once for each message");
}

#[tokio::test]
async fn a_payload_of_the_wrong_shape_is_reported_in_the_same_words() {
    let (_server, mut peer, mut memory) = station().await;
    for (message_type, expected) in
        [("number", "i64 at `.`: invalid type: string \"many\", expected i64"), ("failing", "never")]
    {
        peer.send(format!(r#"{{"ver":1,"type":"{message_type}","ts":5,"data":"many"}}"#)).await;
        let quick = memory.handler_failed().await;
        peer.send(format!(r#"{{"data":"many","type":"{message_type}"}}"#)).await;
        let slow = memory.handler_failed().await;
        assert!(chain(&quick.2).contains(expected), "{}", chain(&quick.2));
        // The data is at another place in the second text.
        let without_place = |line: String| line.split(" at line ").next().map(str::to_owned);
        assert_eq!(without_place(chain(&quick.2)), without_place(chain(&slow.2)));
        assert_eq!((quick.0, quick.1), (slow.0, slow.1));
    }
}

#[tokio::test]
async fn a_connections_own_handler_goes_first() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(wsx_tests::query_id, |conn: &Connection| {
        conn.register_handler("number", |n: i64, _| async move { Envelope::with_type("own", n) });
    });
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let mut peer = server.peer("box-7").await;
    let own = ("own".to_owned(), json!(7));
    assert_eq!(both(&mut peer, "number", "7").await, [own.clone(), own]);
}

#[tokio::test]
async fn ver_and_ts_count_wherever_they_stand() {
    let (_server, mut peer, _memory) = station().await;
    for (frame, ver, ts) in [
        (r#"{"type":"number","data":7}"#, 1, 0),
        (r#"{"type":"number","ts":3,"data":7}"#, 1, 3),
        (r#"{"type":"number","ts":3,"data":7,"ver":2}"#, 2, 3),
        (r#"{"type":"number","data":7,"ver":2,"ts":-4}"#, 2, -4),
    ] {
        peer.send(frame).await;
        assert_eq!(peer.receive_data().await, ("number".into(), json!([7, ver, ts])), "{frame}");
    }
}

/// A text with a raw line break in a string is not JSON, in either order of the keys and for a
/// payload of bytes too.
#[tokio::test]
async fn bytes_with_a_raw_line_break_are_no_envelope_in_either_order() {
    let (_server, mut peer, _memory) = station().await;
    for text in [r#"{"ver":1,"type":"bytes","ts":0,"data":"a_b"}"#, r#"{"data":"a_b","type":"bytes"}"#] {
        peer.send(text).await;
        assert_eq!(peer.receive_data().await, ("bytes".to_owned(), json!(3)));
        peer.send(text.replace('_', "\n")).await;
        assert_eq!(peer.receive_data().await, ("raw".to_owned(), json!(text.len())));
    }
}
