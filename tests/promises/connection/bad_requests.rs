//! Requests and replies that are wrong: each has a defined outcome, and none of them harms the
//! connection.
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::sleep};
use tokio_tungstenite::tungstenite::Message;
use wsx::{Connection, Envelope, Hub, RawFrame, RequestError, connection::Asking};
use wsx_tests::{
    Log, Peer, Server,
    alone::{alone, resident_kib},
    within,
};

#[derive(Debug, Serialize, Deserialize, PartialEq, wsx::Message)]
struct Sum(i64);

#[derive(Clone, wsx::Endpoint)]
struct Station {
    /// Why each message for `__raw__` is not an envelope.
    raw: Log<String>,
    /// Each handler of `wait` takes a permit.
    permits: Arc<Semaphore>,
}

#[wsx::handler("double", on = Station)]
fn on_double(n: i64) -> Sum {
    Sum(2 * n)
}

#[wsx::handler("note", on = Station)]
fn on_note(_note: Value) {}

#[wsx::handler("wait", on = Station)]
async fn on_wait(n: i64, station: &Station) -> Sum {
    station.permits.acquire().await.expect("the semaphore is not closed").forget();
    Sum(n)
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(frame: RawFrame<'_>, station: &Station) {
    station.raw.add(frame.envelope_error().expect("it is not an envelope"));
}

/// Remembers the type of each reply that is reported as unexpected.
struct Unexpected(Log<String>);

impl wsx::Observer for Unexpected {
    fn reply_unexpected(&self, _: &Connection, message_type: &str) {
        self.0.add(message_type.to_owned());
    }
}

/// A hub with one peer.
struct Ends {
    server: Server<Station>,
    peer: Peer,
    conn: Connection,
    unexpected: Log<String>,
}

async fn ends() -> Ends {
    let unexpected = Log::default();
    let station = Station { raw: Log::default(), permits: Arc::new(Semaphore::new(0)) };
    let hub = Hub::builder().endpoint(station).observer(Unexpected(unexpected.clone())).build().unwrap();
    let server = Server::start(hub).await;
    let peer = server.peer("a").await;
    let conn = server.hub.connection("a").expect("the peer is connected");
    Ends { server, peer, conn, unexpected }
}

impl Ends {
    /// Asks the peer, which sends `answers` of the id. Returns the result.
    async fn ask(&mut self, answers: impl FnOnce(&Value) -> Vec<String>) -> Result<Sum, RequestError> {
        let asking: Asking<'_, Sum> = self.conn.request_as(&Envelope::with_type("double", 4));
        let (result, ()) = tokio::join!(within(asking), async {
            let request = self.peer.receive().await;
            for answer in answers(&request["id"]) {
                self.peer.send(answer).await;
            }
        });
        result
    }

    /// Waits until this many messages were ignored.
    async fn ignored(&self, count: u64) {
        within(async {
            while self.server.hub.ignored() < count {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!(self.server.hub.ignored(), count);
    }

    /// Asserts that the connection works.
    async fn works(&mut self) {
        self.peer.send(json!({"type": "double", "id": "last", "data": 5}).to_string()).await;
        let reply = self.peer.receive().await;
        assert_eq!((&reply["type"], &reply["re"], &reply["data"]), (&json!("sum"), &json!("last"), &json!(10)));
    }
}

/// Rows Q1 and Q5: a reply that no request waits for is counted, and reported once, whatever its id
/// is and whether another request waits.
#[tokio::test]
async fn a_reply_to_an_unknown_request_is_counted_and_reported_once() {
    let mut ends = ends().await;
    let long = format!("\"{}\"", "x".repeat(128));
    let ids = ["0", "2", "-1", "\"1\"", "18446744073709551616", "\"\"", &long];
    for id in ids {
        ends.peer.send(format!(r#"{{"type":"sum","re":{id},"data":1}}"#)).await;
        ends.peer.send(format!(r#"{{"type":"sum","data":1,"err":"any","re":{id}}}"#)).await;
    }
    ends.ignored(2 * ids.len() as u64).await;
    // The same ids while the request 1 waits.
    let result = ends
        .ask(|id| {
            assert_eq!(id, 1);
            let unknown = ids.iter().map(|id| format!(r#"{{"type":"sum","re":{id},"data":1}}"#));
            unknown.chain([format!(r#"{{"type":"sum","re":{id},"data":8}}"#)]).collect()
        })
        .await;
    assert_eq!(result.unwrap(), Sum(8));
    ends.ignored(3 * ids.len() as u64).await;
    assert_eq!(ends.unexpected.next().await, "sum");
    assert_eq!(ends.unexpected.try_next(), None, "reported once");
    ends.works().await;
}

/// Rows Q1 and Q5: the first reply counts.
#[tokio::test]
async fn a_second_reply_to_the_same_request_is_counted() {
    let mut ends = ends().await;
    let result = ends.ask(|id| (8..11).map(|n| format!(r#"{{"type":"sum","re":{id},"data":{n}}}"#)).collect()).await;
    assert_eq!(result.unwrap(), Sum(8));
    ends.ignored(2).await;
    // A failure after the reply, and a reply after the failure.
    let result = ends
        .ask(|id| {
            let failure = format!(r#"{{"type":"double","re":{id},"err":{{"code":"failed","message":"no"}}}}"#);
            vec![failure.clone(), format!(r#"{{"type":"sum","re":{id},"data":8}}"#), failure]
        })
        .await;
    assert!(matches!(&result, Err(RequestError::Failed(text)) if text == "no"), "{result:?}");
    ends.ignored(4).await;
    ends.works().await;
}

/// Row Q1: an envelope with a wrong key is no envelope. No handler but that of `__raw__` gets it,
/// and nobody answers it.
#[tokio::test]
async fn a_key_with_a_wrong_value_makes_a_text_raw() {
    let mut ends = ends().await;
    let raw = ends.server.hub.endpoint().raw.clone();
    let (long, digits) = (format!("\"{}\"", "x".repeat(129)), "1".repeat(129));
    let wrong_ids = ["null", "true", "1.5", "1e3", "[]", "[7]", "{}", &long, &digits];
    let wrong = wrong_ids.iter().flat_map(|id| [("id", *id), ("re", *id)]);
    let wrong = wrong.chain(["null", "-1", "1.5", "\"5\"", "18446744073709551616"].map(|ttl| ("ttl", ttl)));
    for (key, value) in wrong {
        for text in [
            format!(r#"{{"type":"double","{key}":{value},"data":4}}"#),
            format!(r#"{{"type":"double","data":4,"{key}":{value}}}"#),
        ] {
            ends.peer.send(text.clone()).await;
            let why = raw.next().await;
            assert!(why.contains(&format!("`{key}`")), "{text}: {why}");
        }
    }
    for twice in ["\"id\":1,\"id\":1", "\"re\":1,\"re\":1", "\"ttl\":1,\"ttl\":1", "\"err\":1,\"err\":1"] {
        ends.peer.send(format!(r#"{{"type":"double",{twice},"data":4}}"#)).await;
        let why = raw.next().await;
        assert!(why.contains("duplicate field"), "{twice}: {why}");
    }
    ends.works().await;
    assert_eq!(ends.server.hub.ignored(), 0);
}

/// Row Q1: a failure may have any shape.
#[tokio::test]
async fn a_failure_of_any_shape_ends_the_request() {
    let mut ends = ends().await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let wide = format!("\"{}\"", "ü".repeat(100_000));
    for err in ["5", "false", "\"\"", "[]", r#"["busy"]"#, "{}", r#"{"code":7}"#, r#"{"code":null}"#, &deep, &wide] {
        for place in ["re_first", "err_first"] {
            let result = ends
                .ask(|id| {
                    let keys = match place {
                        "re_first" => format!(r#""re":{id},"err":{err}"#),
                        _ => format!(r#""err":{err},"data":1,"re":{id}"#),
                    };
                    vec![format!(r#"{{"type":"sum",{keys}}}"#)]
                })
                .await;
            let Err(RequestError::Other(failure)) = result else { panic!("{err}: {result:?}") };
            assert_eq!(failure.code, "", "{err}");
            assert!(err.starts_with(&failure.message) && failure.message.len() >= err.len().min(511), "{failure:?}");
        }
    }
    let coded = format!(r#"{{"code":"{}","message":"{}","data":[1]}}"#, "c".repeat(1000), "m".repeat(1000));
    let result = ends.ask(|id| vec![format!(r#"{{"type":"sum","re":{id},"err":{coded}}}"#)]).await;
    let Err(RequestError::Other(failure)) = result else { panic!("{result:?}") };
    assert_eq!((failure.code.len(), failure.message.len()), (128, 512));
    assert_eq!(failure.data.map(|data| data.get().to_owned()), Some("[1]".to_owned()));
    // `null` is no failure.
    let result = ends.ask(|id| vec![format!(r#"{{"type":"sum","re":{id},"err":null,"data":8}}"#)]).await;
    assert_eq!(result.unwrap(), Sum(8));
    ends.works().await;
}

/// Row Q1: a reply of another type, or with other data, or that is no envelope, is an error that
/// says so.
#[tokio::test]
async fn a_reply_that_does_not_fit_is_an_error() {
    let mut ends = ends().await;
    for (rest, why) in [
        (r#""type":"total","data":8}"#, "the reply has the type \"total\", and \"sum\" was expected"),
        (r#""type":"sum","data":"eight"}"#, "invalid type: string \"eight\", expected i64"),
        (r#""type":"sum"}"#, "the envelope has no `data`"),
        (r#""type":"sum","data":8"#, "EOF while parsing an object"),
        (r#""type":"sum","data":"#, "EOF while parsing a value"),
        (r#""type":"sum","data":8,"type":"sum"}"#, "duplicate field `type`"),
    ] {
        // With `re` before `data`, the reply reaches its request, whatever follows.
        let result = ends.ask(|id| vec![format!(r#"{{"re":{id},{rest}"#)]).await;
        let Err(RequestError::BadReply(error)) = &result else { panic!("{rest}: {result:?}") };
        assert!(error.to_string().starts_with(why), "{error}");
    }
    ends.works().await;
}

/// Row Q1: a request of a type whose handler does not reply, or that has no handler, is answered.
#[tokio::test]
async fn a_request_of_a_type_that_is_no_request_is_answered() {
    let mut ends = ends().await;
    for (message_type, code) in [("note", "no_reply"), ("nothing", "not_handled"), ("double", "bad_data")] {
        ends.peer.send(json!({"type": message_type, "data": {}, "id": 7}).to_string()).await;
        let answer = ends.peer.receive().await;
        assert_eq!((&answer["type"], &answer["re"]), (&json!(message_type), &json!(7)));
        assert_eq!(answer["err"]["code"], code);
        assert!(answer["err"]["message"].is_string() && answer.get("data").is_none(), "{answer}");
    }
    // The peer's own text is cut, so an answer is short.
    let long = "t".repeat(10_000);
    ends.peer.send(json!({"type": long, "id": 8}).to_string()).await;
    let answer = ends.peer.text().await;
    assert!(answer.len() < 400 && answer.contains("\"re\":8"), "{answer}");
    ends.works().await;
}

/// Row Q6: a cancellation of a request that is unknown, runs, or was answered has no effect.
#[tokio::test]
async fn a_cancellation_without_a_waiting_request_has_no_effect() {
    let mut ends = ends().await;
    let cancel = |id: u32| json!({"type": "cancel", "id": id, "err": {"code": "cancelled"}}).to_string();
    ends.peer.send(cancel(1)).await;
    ends.peer.send(json!({"type": "wait", "id": 1, "data": 4}).to_string()).await;
    for id in [1, 1, 2] {
        ends.peer.send(cancel(id)).await;
    }
    // Everything before the pong was read.
    ends.peer.read_so_far().await;
    ends.server.hub.endpoint().permits.add_permits(1);
    assert_eq!(ends.peer.receive().await["re"], 1);
    ends.peer.send(cancel(1)).await;
    ends.works().await;
    assert_eq!(ends.server.hub.ignored(), 0);
}

/// Row Q5: of a flood of requests to a slow handler, 1,024 wait, and each of the others is answered
/// `busy` at once. Memory stays bounded, and each request has one answer.
#[test]
fn a_flood_of_requests_is_bounded() {
    const FLOOD: usize = 100_000;
    alone(async {
        let Ends { server, peer, conn: _conn, .. } = ends().await;
        let (mut sink, mut stream) = peer.0.split();
        // 0: no answer, 1: a reply, 2: busy.
        let mut answers = vec![0_u8; FLOOD];
        let before = resident_kib();
        let sending = tokio::spawn(async move {
            for id in 0..FLOOD {
                sink.feed(Message::text(format!(r#"{{"type":"wait","id":{id},"data":1}}"#))).await.unwrap();
            }
            sink.flush().await.unwrap();
            sink
        });
        let mut most = before;
        // One runs, and 1,024 wait.
        for n in 0..FLOOD {
            if n == FLOOD - 1025 {
                most = most.max(resident_kib());
                server.hub.endpoint().permits.add_permits(1025);
            }
            let Some(Ok(Message::Text(text))) = within(stream.next()).await else { panic!("an answer") };
            let answer: Value = serde_json::from_str(&text).unwrap();
            let outcome = match answer["err"]["code"].as_str() {
                None => 1,
                Some(code) => {
                    assert_eq!(code, "busy");
                    2
                }
            };
            let previous = std::mem::replace(&mut answers[answer["re"].as_u64().unwrap() as usize], outcome);
            assert_eq!(previous, 0, "{text} is the second answer");
            if n % 1000 == 0 {
                most = most.max(resident_kib());
            }
        }
        let _sink = sending.await.unwrap();
        assert!(answers[..1025].iter().all(|answer| *answer == 1), "the first ones were accepted");
        assert!(answers[1025..].iter().all(|answer| *answer == 2), "the others were not");
        assert!(most - before < 24 * 1024, "{before} KiB before, {most} KiB at most");
    });
}
