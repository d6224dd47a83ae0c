//! Messages and requests in both directions: row U10 of the specification.
use crate::{
    hub_of,
    page::{Page, Runtime},
    protocol::{Ask, Desk, Mode, Notice, Place, Sample, Shy, Signal, Step, Told},
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use wsx::{Hub, RequestError};
use wsx_tests::{Server, within};

/// A hub and a page, connected.
pub(crate) struct Talk {
    pub(crate) server: Server<Desk>,
    pub(crate) desk: Desk,
    pub(crate) page: Page,
}

impl Talk {
    pub(crate) async fn open(runtime: Runtime) -> Self {
        let desk = Desk::default();
        let server = Server::start(hub_of(&desk).build().unwrap()).await;
        let page = Page::connected(runtime, &server.url("page")).await;
        Self { server, desk, page }
    }

    pub(crate) fn hub(&self) -> &Hub<Desk> {
        &self.server.hub
    }
}

pub(crate) fn sample() -> Sample {
    Sample {
        big: u64::MAX,
        debt: i64::MIN,
        note: None,
        limit: None,
        mode: Mode::Timed { seconds: (1 << 53) + 1 },
        step: Step::Wait(9_007_199_254_740_993),
        signal: Signal::High(-9_007_199_254_740_993),
        counts: BTreeMap::from([("a \"b\" \\".to_owned(), u64::MAX - 1), ("1234567890123456789".to_owned(), 7)]),
        places: vec![Place { name: "ü 🦀".to_owned(), inner: vec![Place { name: String::new(), inner: vec![] }] }],
        pair: (255, "18446744073709551615".to_owned()),
        at: "2026-11-30T15:59:33.000000001Z".to_owned(),
        ratio: 0.1,
    }
}

/// Integers beyond 2^53, optional fields, tagged enums, maps, nested types and dates pass through
/// the page unchanged, in both directions.
pub(crate) async fn every_shape_comes_back_as_it_was(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    let small = Sample {
        big: (1 << 53) - 1,
        debt: -5,
        note: Some("there".to_owned()),
        limit: Some(0),
        mode: Mode::Off,
        step: Step::Move { x: 1e300, y: -0.5 },
        signal: Signal::Low,
        ..sample()
    };
    let begin = Sample { step: Step::Begin, counts: BTreeMap::new(), ..small.clone() };
    for (sent, kind) in [(sample(), "bigint"), (small, "number"), (begin, "number")] {
        talk.hub().send_to("page", &sent).await.unwrap();
        let seen = talk.page.sees("sample").await;
        assert_eq!([&seen["big"], &seen["debt"]], [kind, kind]);
        let has_note = seen["keys"].as_array().unwrap().contains(&json!("note"));
        assert_eq!(has_note, sent.note.is_some());
        assert_eq!(talk.desk.samples.next().await, sent);
    }
    // A program writes a bigint.
    let data = serde_json::to_value(Sample { big: 0, debt: 0, counts: BTreeMap::new(), ..sample() }).unwrap();
    let data = json!({"data": {"mode": {"kind": "off"}, "step": "Begin", "signal": {"t": "Low"}, "limit": null,
        "counts": data["counts"], "places": data["places"], "pair": data["pair"], "at": data["at"], "ratio": 0.1}});
    talk.page.does("send_big", data).await;
    let read = talk.desk.samples.next().await;
    assert_eq!((read.big, read.debt, read.mode), (u64::MAX, i64::MIN, Mode::Off));
}

/// A request of the page gets its reply, the refusal with its data, or the failure with its code.
pub(crate) async fn a_request_gets_its_reply_or_the_reason(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    // JSON.parse of this operation rounds the number to 2^64, which the server cannot read.
    let error = talk.page.fails("request", json!({"type": "enter", "data": {"code": u64::MAX}})).await;
    assert_eq!([&error["name"], &error["code"]], ["RequestError", "bad_data"]);
    let error = talk.page.fails("request", json!({"type": "enter", "data": {"code": 7}})).await;
    assert_eq!(error["code"], "denied");
    assert_eq!(error["refusal"], json!({"because": "7 is wrong"}));
    let error = talk.page.fails("request", json!({"type": "fail", "data": {}})).await;
    assert_eq!(error["code"], "failed");
    assert_eq!(error["message"], "the request \"fail\" failed with failed: asked to fail");
    assert!(error["refusal"].is_null());
    let hold = talk.page.begins("request", json!({"type": "hold", "data": {}})).await;
    talk.desk.held.next().await;
    talk.desk.released.notify_one();
    assert_eq!(talk.page.ends(hold).await["value"], json!({}));
}

/// Without a reply, a request ends at its deadline. A late reply goes to no request. A cancelled
/// one ends at once.
pub(crate) async fn a_request_ends_at_its_deadline_or_by_its_signal(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    let error = talk.page.fails("request", json!({"type": "hold", "data": {}, "timeout": 20})).await;
    assert_eq!(error["code"], "timed_out");
    talk.desk.held.next().await;
    talk.desk.released.notify_one();
    let problem = talk.page.sees("problem").await;
    assert_eq!([&problem["is"], &problem["type"]], ["reply_unexpected", "held"]);

    let running = talk.page.begins("request", json!({"type": "hold", "data": {}})).await;
    talk.desk.held.next().await;
    let waiting = talk.page.begins("request", json!({"type": "hold", "data": {}})).await;
    for tag in [waiting, running] {
        talk.page.does("cancel", json!({"of": tag})).await;
        assert_eq!(talk.page.ends(tag).await["code"], "cancelled");
    }
    // The one that waited is not started, so the next permit is for the next request.
    talk.desk.released.notify_one();
    let next = talk.page.begins("request", json!({"type": "hold", "data": {}})).await;
    talk.desk.held.next().await;
    talk.desk.released.notify_one();
    assert_eq!(talk.page.ends(next).await["event"], "result");
    assert!(talk.desk.held.try_next().is_none());
}

/// The hub asks the page: it replies, refuses, fails, is cancelled, and replaces its handler.
pub(crate) async fn a_handler_of_the_page_answers(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    let hub = talk.hub().clone();
    let ask = |how: &str| hub.request("page", &Ask { how: how.to_owned() });
    assert_eq!(within(ask("tell")).await.unwrap(), Told { said: "tell".to_owned() });
    assert!(matches!(within(ask("refuse")).await, Err(RequestError::Refused(Shy { until: 90 }))));
    assert!(matches!(within(ask("fail")).await, Err(RequestError::Failed(text)) if text == "asked to fail"));
    assert_eq!(talk.page.sees("problem").await["is"], "handler_failed");
    let held = tokio::spawn(ask("hold").timeout(Duration::from_secs(60)));
    talk.page.sees("held").await;
    // Others go on beside it.
    assert_eq!(within(ask("tell")).await.unwrap(), Told { said: "tell".to_owned() });
    talk.page.does("release", json!({})).await;
    assert_eq!(within(held).await.unwrap().unwrap(), Told { said: "hold".to_owned() });
    let dropped = tokio::spawn(ask("hold"));
    talk.page.sees("held").await;
    dropped.abort();
    talk.page.sees("aborted").await;
    talk.page.does("replace", json!({})).await;
    assert_eq!(within(ask("now")).await.unwrap(), Told { said: "replaced now".to_owned() });
}

/// A handler of the page that fails is shown to the program, and reported to the server. So is a
/// message of the page that fails at the server.
pub(crate) async fn a_handler_that_fails_is_reported(runtime: Runtime) {
    let desk = Desk::default();
    let hub = hub_of(&desk).config(wsx::Config::edge()).build().unwrap();
    let server = Server::start(hub).await;
    let mut page = Page::connected(runtime, &server.url("page")).await;
    server.hub.send_to("page", &Notice { text: "fail".to_owned() }).await.unwrap();
    let problem = page.sees("problem").await;
    assert_eq!(
        [&problem["is"], &problem["type"], &problem["error"]],
        ["handler_failed", "notice", "Error: asked to fail"]
    );
    assert_eq!(desk.seen.next().await, "notice failed: asked to fail");
    page.sends("sample", json!({"big": "many"})).await;
    let problem = page.sees("problem").await;
    assert_eq!([&problem["is"], &problem["type"], &problem["code"]], ["peer_failed", "sample", "bad_data"]);
}

/// A message that is not an envelope, or has a type that is not in the protocol, goes to the
/// program. The connection stays open.
pub(crate) async fn what_is_not_of_the_protocol_is_shown(runtime: Runtime) {
    let server = Server::start(Hub::new()).await;
    let mut page = Page::connected(runtime, &server.url("page")).await;
    let conn = server.hub.connection("page").unwrap();
    let texts = [
        "garbage",
        "[]",
        "null",
        "7",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":""}"#,
        r#"{"type":"__open__"}"#,
        r#"{"type":"notice","ts":"now"}"#,
        r#"{"type":"notice","id":null}"#,
        r#"{"type":"notice","ttl":1.5,"id":1}"#,
    ];
    for text in texts {
        conn.send_bytes(text.as_bytes()).await.unwrap();
        assert_eq!(page.sees("raw").await["data"], text);
    }
    conn.send_binary([0xff, 0, 1]).await.unwrap();
    let raw = page.sees("raw").await;
    assert_eq!((&raw["data"], &raw["why"]), (&json!(3), &json!("it is binary")));
    for message_type in ["later", "toString", "constructor", "__proto__x"] {
        let envelope = json!({"type": message_type, "data": [1]});
        conn.send_bytes(envelope.to_string()).await.unwrap();
        let seen = if message_type.starts_with("__") { "raw" } else { "unknown" };
        assert_eq!(page.sees(seen).await["event"], seen);
    }
    for odd in [
        r#"{"type":"delivery","seq":{"epoch":7}}"#,
        r#"{"type":"delivery","seq":{"epoch":"e","skip":7}}"#,
        r#"{"type":"delivery","ack":{"epoch":"e","failed":7}}"#,
        r#"{"type":"delivery","seq":[]}"#,
        r#"{"type":"x","re":"nothing"}"#,
        r#"{"type":"x","err":7}"#,
        r#"{"type":"cancel","id":3,"err":{}}"#,
        r#"{"type":"order","seq":1,"data":{"n":1}}"#,
    ] {
        conn.send_bytes(odd.as_bytes()).await.unwrap();
    }
    conn.send(&Notice { text: "still here".to_owned() }).await.unwrap();
    assert_eq!(page.sees("notice").await["text"], "still here");
    assert!(!page.has_seen("order"), "a numbered message before a begin is ignored");
}

/// A listener gets the message too, also if the handler fails.
pub(crate) async fn a_listener_beside_the_handler(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    talk.page.does("listen", json!({})).await;
    talk.hub().send_to("page", &Notice { text: "fail".to_owned() }).await.unwrap();
    assert_eq!(talk.page.sees("heard").await["text"], "fail");
}

/// The bounds: requests of the page and of the hub, and bytes that wait for the network.
pub(crate) async fn a_request_too_many_is_an_error(runtime: Runtime) {
    let desk = Desk::default();
    let server = Server::start(hub_of(&desk).build().unwrap()).await;
    let mut page = Page::start(runtime).await;
    page.connect(&server.url("page"), json!({"options": {"maxRequests": 1, "maxBufferedBytes": 1000}})).await;
    page.does("connected", json!({})).await;
    let first = page.begins("request", json!({"type": "hold", "data": {}})).await;
    let error = page.fails("request", json!({"type": "hold", "data": {}})).await;
    assert_eq!(error["code"], "full");
    desk.held.next().await;
    desk.released.notify_one();
    page.ends(first).await;
    let error = page.fails("send", json!({"type": "sample", "data": {"note": "x".repeat(1000)}})).await;
    assert_eq!([&error["name"], &error["code"]], ["SendError", "full"]);

    let hub = server.hub.clone();
    let held = tokio::spawn(hub.request("page", &Ask { how: "hold".to_owned() }));
    page.sees("held").await;
    assert!(matches!(within(hub.request("page", &Ask { how: "tell".to_owned() })).await, Err(RequestError::Busy)));
    hub.send_to("page", &Notice { text: "too many".to_owned() }).await.unwrap();
    let state = page.becomes("waiting").await;
    assert_eq!(state["why"], "too many pending handlers");
    assert!(matches!(within(held).await.unwrap(), Err(RequestError::Ended(closed)) if u16::from(closed.code) == 4013));
}
