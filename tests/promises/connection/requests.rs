//! Requests and replies: their outcomes, and how the handlers of both ends go on meanwhile.
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::sleep};
use wsx::{CancellationToken, Client, CloseCode, Config, Connection, Hub, RequestError, SendError, connection::Asking};
use wsx_tests::{Log, Peer, Server, recorder, within};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize, wsx::Message)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, wsx::Message)]
struct Sum {
    sum: i64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct AskBack {
    depth: u32,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, wsx::Message)]
struct Asked {
    depth: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Note {
    n: u32,
}

/// A request that no end of these tests handles.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Nothing;

/// The endpoint of both ends.
#[derive(Clone, wsx::Endpoint)]
struct Both {
    /// The data of each `note`, and the start of each `wait`.
    seen: Log<String>,
    /// Each handler of `wait` takes a permit.
    permits: Arc<Semaphore>,
}

fn add(Add { a, b }: Add) -> Sum {
    Sum { sum: a + b }
}

async fn ask_back(AskBack { depth }: AskBack, conn: Connection) -> Result<Asked, RequestError> {
    if depth > 0 {
        let asked: Asked = conn.request_as(&AskBack { depth: depth - 1 }).await?;
        assert_eq!(asked.depth, depth - 1);
    }
    Ok(Asked { depth })
}

#[wsx::handler("add", on = Both)]
fn on_add(message: Add) -> Sum {
    add(message)
}

#[wsx::handler("ask_back", on = Both)]
async fn on_ask_back(message: AskBack, conn: Connection) -> Result<Asked, RequestError> {
    ask_back(message, conn).await
}

#[wsx::handler("note", on = Both)]
fn on_note(note: Note, shared: &Both) {
    shared.seen.add(format!("note {}", note.n));
}

#[wsx::handler("wait", on = Both)]
async fn on_wait(n: u32, shared: &Both) -> wsx::Envelope<u32> {
    shared.seen.add(format!("wait {n}"));
    shared.permits.acquire().await.expect("the semaphore is not closed").forget();
    wsx::Envelope::with_type("waited", n)
}

#[wsx::handler("read_log", on = Both)]
fn on_read_log(length: usize) -> LogPage {
    LogPage("x".repeat(length))
}

#[wsx::handler("fail", on = Both)]
fn on_fail() -> Result<Sum, &'static str> {
    Err("no paper")
}

#[wsx::handler("panic", on = Both)]
fn on_panic() -> Sum {
    panic!("as a test wants it")
}

/// The reply to `wait`.
#[derive(Debug, Serialize, Deserialize, PartialEq, wsx::Message)]
struct Waited(u32);

/// The reply to `read_log`.
#[derive(Serialize, Deserialize, wsx::Message)]
struct LogPage(String);

struct Ends {
    server: Server<Both>,
    client: Client<Both>,
    shared: Both,
}

/// A hub and a client with the handlers above.
async fn ends(config: Config) -> Ends {
    let shared = Both { seen: Log::default(), permits: Arc::new(Semaphore::new(0)) };
    let hub = Hub::builder().config(config.clone()).endpoint(shared.clone()).build().unwrap();
    let server = Server::start(hub).await;
    let client = Client::builder(server.url("box-7")).config(config).endpoint(shared.clone()).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    Ends { server, client, shared }
}

fn wait(conn: &Connection, n: u32) -> Asking<'_, Waited> {
    conn.request_as(&wsx::Envelope::with_type("wait", n))
}

/// Row Q3: each end asks the other. Many requests are outstanding at once, and each gets its own
/// reply.
#[tokio::test]
async fn each_end_asks_the_other() {
    let Ends { server, client, .. } = ends(Config::default()).await;
    let sum: Sum = within(client.request_as(&Add { a: 2, b: 3 })).await.unwrap();
    assert_eq!(sum, Sum { sum: 5 });
    let sum: Sum = within(server.hub.request_as("box-7", &Add { a: 3, b: 4 })).await.unwrap();
    assert_eq!(sum, Sum { sum: 7 });
    let asked = (0..100).map(|a| client.request_as::<Sum>(&Add { a, b: 1 }));
    for (a, sum) in within(join_all(asked)).await.into_iter().enumerate() {
        assert_eq!(sum.unwrap().sum, a as i64 + 1);
    }
}

/// Row Q3: each failure of the peer has its own error.
#[tokio::test]
async fn each_failure_has_its_own_error() {
    let Ends { server, client, .. } = ends(Config::default()).await;
    let error = within(client.request_as::<Sum>(&Nothing)).await.unwrap_err();
    assert!(matches!(&error, RequestError::NotHandled(_)), "{error:?}");
    let error = within(client.request_as::<Sum>(&wsx::Envelope::with_type("add", json!({"a": 1})))).await.unwrap_err();
    assert!(matches!(&error, RequestError::BadData(why) if why.contains("missing field `b`")), "{error:?}");
    let error = within(client.request_as::<Sum>(&wsx::Envelope::with_type("fail", ()))).await.unwrap_err();
    assert!(matches!(&error, RequestError::Failed(why) if why == "no paper"), "{error:?}");
    let error = within(client.request_as::<Sum>(&Note { n: 1 })).await.unwrap_err();
    assert!(matches!(&error, RequestError::NoReply), "{error:?}");
    let error = within(client.request_as::<Asked>(&Add { a: 1, b: 2 })).await.unwrap_err();
    assert!(matches!(&error, RequestError::BadReply(why) if why.to_string().contains("\"sum\"")), "{error:?}");
    let error = within(server.hub.request_as::<Sum>("box-8", &Nothing)).await.unwrap_err();
    assert!(matches!(&error, RequestError::NoSuchConnection(id) if id == "box-8"), "{error:?}");
    let error = within(client.request_as::<Sum>(&wsx::Envelope::with_type("number", f64::NAN))).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::Encode(_))), "{error:?}");
    let conn = client.connection().unwrap();
    client.close();
    let error = within(conn.request_as::<Sum>(&Nothing)).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::Closed)), "{error:?}");
}

/// Row Q3: if the connection ends before the reply, the error says so, with its reason. The panic
/// of a handler ends its connection.
#[tokio::test]
async fn a_request_ends_with_its_connection() {
    let Ends { server, client, .. } = ends(Config::default()).await;
    let conn = server.hub.connection("box-7").unwrap();
    let asked = client.request_as::<Sum>(&wsx::Envelope::with_type("panic", ()));
    let error = within(asked).await.unwrap_err();
    assert!(matches!(&error, RequestError::Ended(closed) if closed.code == CloseCode::INTERNAL_ERROR), "{error:?}");
    let error = within(conn.request_as::<Sum>(&Nothing)).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::Closed)), "{error:?}");
}

/// Row Q3: a request that the task never took from the queue was not sent, and the error says so.
#[tokio::test]
async fn a_request_that_stays_in_the_queue_was_not_sent() {
    let hub = Hub::builder().config(Config::default().write_timeout(SECOND)).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    // The socket takes none of the later frames.
    let text = "x".repeat(1 << 20);
    while conn.try_send(&wsx::Envelope::with_type("flood", &text)).is_ok() {
        tokio::task::yield_now().await;
    }
    let _ = tokio::time::timeout(SECOND / 4, async {
        loop {
            let _ = conn.send(&wsx::Envelope::with_type("flood", &text)).await;
        }
    })
    .await;
    let asked = conn.request_as::<Sum>(&Nothing).timeout(60 * SECOND);
    let (result, ()) = tokio::join!(within(asked), async {
        sleep(SECOND / 10).await;
        drop(peer);
    });
    let error = result.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(_)), "{error:?}");
}

/// Row Q3: between two connections, a client has not sent its request.
#[tokio::test]
async fn a_client_without_a_connection_has_not_sent_its_request() {
    let client = Client::new("ws://127.0.0.1:9/ws");
    let error = within(client.request_as::<Sum>(&Nothing)).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::NotConnected)), "{error:?}");
}

/// Rows Q3, Q5: a request that gets no reply ends at its deadline, which is 10 s by default. Its
/// late reply is counted, and reported once.
#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline() {
    let (observer, memory) = unexpected();
    let hub = Hub::builder().observer(observer).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("a").await;
    for (timeout, seconds) in [(None, 10), (Some(3 * SECOND), 3)] {
        let asked = server.hub.request_as::<Sum>("a", &Add { a: 1, b: 2 });
        let asked = match timeout {
            Some(timeout) => asked.timeout(timeout),
            None => asked,
        };
        let start = tokio::time::Instant::now();
        let (result, request) = tokio::join!(asked, peer.receive());
        assert!(matches!(result, Err(RequestError::TimedOut)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_eq!(request["ttl"], seconds * 1000);
        assert_eq!(request["data"], json!({"a": 1, "b": 2}));
        let reply = json!({"type": "sum", "re": request["id"], "data": {"sum": 3}});
        peer.send(reply.to_string()).await;
    }
    // In order behind the two replies.
    peer.send_envelope("other", json!(1)).await;
    while server.hub.ignored() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(memory.next().await, "sum");
    assert_eq!(memory.try_next(), None, "reported once");
}

/// An observer that remembers the replies that no request waits for.
fn unexpected() -> (impl wsx::Observer, Log<String>) {
    struct Unexpected(Log<String>);
    impl wsx::Observer for Unexpected {
        fn reply_unexpected(&self, _: &Connection, message_type: &str) {
            self.0.add(message_type.to_owned());
        }
    }
    let log = Log::default();
    (Unexpected(log.clone()), log)
}

/// Row Q1: a reply repeats the id unchanged, and a message without an id gets a reply without `re`.
#[tokio::test]
async fn a_reply_repeats_the_id_unchanged() {
    let Ends { server, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    for id in [json!(7), json!(-1), json!("a\"b\\u00e9"), json!(u64::MAX)] {
        for text in [
            format!(r#"{{"ver":1,"type":"add","ts":1,"id":{id},"data":{{"a":1,"b":2}}}}"#),
            format!(r#"{{"data":{{"a":1,"b":2}},"type":"add","id":{id}}}"#),
            format!(r#"{{"type":"add","data":{{"a":1,"b":2}},"ttl":60000,"id":{id}}}"#),
        ] {
            peer.send(text).await;
            let reply = peer.receive().await;
            assert_eq!((&reply["type"], &reply["re"], &reply["data"]), (&json!("sum"), &id, &json!({"sum": 3})));
        }
        peer.send(json!({"type": "fail", "id": id}).to_string()).await;
        let failure = peer.receive().await;
        assert_eq!((&failure["type"], &failure["re"]), (&json!("fail"), &id));
        assert_eq!(failure["err"], json!({"code": "failed", "message": "no paper"}));
        assert_eq!(failure.get("data"), None);
    }
    peer.send_envelope("add", json!({"a": 1, "b": 2})).await;
    assert_eq!(peer.receive().await.get("re"), None);
}

/// Row Q1: a request whose time is over when it arrives is answered at once, also while a handler
/// runs. So it asks for a sign of life.
#[tokio::test]
async fn an_expired_request_is_answered_while_a_handler_runs() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "wait", "id": 1, "data": 1}).to_string()).await;
    assert_eq!(shared.seen.next().await, "wait 1");
    peer.send(json!({"type": "nothing", "id": 2, "ttl": 0}).to_string()).await;
    let expired = peer.receive().await;
    assert_eq!((&expired["re"], &expired["err"]["code"]), (&json!(2), &json!("expired")));
    shared.permits.add_permits(1);
    assert_eq!(peer.receive().await["re"], 1);
    assert_eq!(server.hub.ignored(), 0);
}

/// Row Q1: a request that arrives after its deadline, or waits until then, is not started.
#[tokio::test]
async fn a_late_request_is_not_started() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "wait", "id": 1, "ttl": 0, "data": 1}).to_string()).await;
    let expired = peer.receive().await;
    assert_eq!((&expired["re"], &expired["err"]["code"]), (&json!(1), &json!("expired")));
    peer.send(json!({"type": "wait", "id": 2, "data": 2}).to_string()).await;
    assert_eq!(shared.seen.next().await, "wait 2");
    peer.send(json!({"type": "wait", "id": 3, "ttl": 20, "data": 3}).to_string()).await;
    peer.send(json!({"type": "add", "id": 4, "ttl": 60_000, "data": {"a": 1, "b": 2}}).to_string()).await;
    peer.read_so_far().await;
    sleep(Duration::from_millis(50)).await;
    shared.permits.add_permits(1);
    assert_eq!(peer.receive().await["re"], 2);
    let (expired, sum) = (peer.receive().await, peer.receive().await);
    assert_eq!((&sum["re"], &sum["data"]["sum"]), (&json!(4), &json!(3)), "{sum}");
    assert_eq!((&expired["re"], &expired["err"]["code"]), (&json!(3), &json!("expired")));
    assert_eq!(shared.seen.try_next(), None);
}

/// Row Q1: a time is rounded up to whole milliseconds, because 0 ms are over at once.
#[tokio::test(start_paused = true)]
async fn a_time_is_sent_in_milliseconds() {
    let Ends { server, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    for (micros, ttl) in [(1, 1), (1000, 1), (1001, 2), (86_400_000_000, 86_400_000)] {
        let mut asked = Box::pin(wait(&conn, 1).timeout(Duration::from_micros(micros)));
        assert!(futures_util::poll!(&mut asked).is_pending());
        assert_eq!(peer.receive().await["ttl"], ttl);
        drop(asked);
        // The cancellation, unless the time was over.
        conn.send(&Note { n: 1 }).await.unwrap();
        while peer.receive().await["type"] != "note" {}
    }
}

/// Row Q4: a handler awaits a request to its own peer, whose handler asks back, and so on,
/// whichever end begins, and both at once.
#[tokio::test]
async fn handlers_ask_back_to_any_depth() {
    let Ends { server, client, .. } = ends(Config::default()).await;
    for depth in [0, 1, 2, 5, 30] {
        let down = async { within(server.hub.request_as::<Asked>("box-7", &AskBack { depth })).await.unwrap() };
        let up = async { within(client.request_as::<Asked>(&AskBack { depth })).await.unwrap() };
        let (down, up) = tokio::join!(down, up);
        assert_eq!((down.depth, up.depth), (depth, depth));
    }
    let asked = (0..20).map(|depth| {
        let (hub, client) = (server.hub.clone(), client.clone());
        async move {
            let asked = AskBack { depth: depth % 6 };
            let (down, up) = tokio::join!(hub.request_as::<Asked>("box-7", &asked), client.request_as::<Asked>(&asked));
            assert_eq!((down.unwrap().depth, up.unwrap().depth), (depth % 6, depth % 6));
        }
    });
    within(join_all(asked)).await;
}

/// Row Q4: many requests whose handlers ask back can be outstanding, at both ends at once.
#[tokio::test]
async fn many_requests_ask_back_at_once() {
    let Ends { server, client, .. } = ends(Config::default()).await;
    let asked = (0..200).map(|_| async {
        let asked = AskBack { depth: 3 };
        let down = server.hub.request_as::<Asked>("box-7", &asked);
        let (down, up) = tokio::join!(down, client.request_as::<Asked>(&asked));
        assert_eq!((down.unwrap().depth, up.unwrap().depth), (3, 3));
    });
    within(join_all(asked)).await;
}

/// Row Q5: the messages of requests whose handlers ask back have a maximum in bytes. Beyond it, the
/// peer is busy.
#[tokio::test]
async fn long_requests_that_ask_back_are_bounded() {
    const LONG: usize = 10_000;
    let Ends { server, .. } = ends(Config::default().asking_backlog_bytes(3 * LONG)).await;
    let mut peer = server.peer("a").await;
    let mut questions = Vec::new();
    // The first one is not beside another.
    for id in 0..4 {
        let padding = "x".repeat(LONG);
        peer.send(json!({"type": "ask_back", "id": id, "data": {"depth": 1, "x": padding}}).to_string()).await;
        questions.push(peer.receive().await["id"].clone());
    }
    peer.send(json!({"type": "ask_back", "id": 4, "data": {"depth": 0}}).to_string()).await;
    let refused = peer.receive().await;
    assert_eq!([&refused["re"], &refused["err"]["code"]], [&json!(4), &json!("busy")]);
    for (id, question) in questions.into_iter().enumerate() {
        peer.send(json!({"type": "asked", "re": question, "data": {"depth": 0}}).to_string()).await;
        assert_eq!(peer.receive().await["re"], id);
    }
}

/// Row Q4: deeper than 1,024, the peer is busy, and every request on the way ends.
#[tokio::test]
async fn a_request_that_is_nested_too_deep_is_answered_busy() {
    let Ends { client, .. } = ends(Config::default()).await;
    let error = within(client.request_as::<Asked>(&AskBack { depth: 3000 })).await.unwrap_err();
    assert!(matches!(&error, RequestError::Failed(why) if why.contains("failed")), "{error:?}");
    // Both ends go on as before.
    assert_eq!(within(client.request_as::<Asked>(&AskBack { depth: 3 })).await.unwrap().depth, 3);
}

/// Row Q4: a reply is not queued behind messages that wait for the asking handler. They keep their
/// order, and are handled after it.
#[tokio::test]
async fn a_reply_overtakes_messages_that_wait() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "ask_back", "id": 1, "data": {"depth": 1}}).to_string()).await;
    let question = peer.receive().await;
    assert_eq!(question["type"], "ask_back");
    for n in 0..3 {
        peer.send_envelope("note", json!({"n": n})).await;
    }
    // A request of the peer is handled beside the handler that asks; the notes wait.
    peer.send(json!({"type": "add", "id": 2, "data": {"a": 1, "b": 2}}).to_string()).await;
    assert_eq!(peer.receive().await["re"], 2);
    assert_eq!(shared.seen.try_next(), None);
    peer.send(json!({"type": "asked", "re": question["id"], "data": {"depth": 0}}).to_string()).await;
    assert_eq!(peer.receive().await["re"], 1);
    for n in 0..3 {
        assert_eq!(shared.seen.next().await, format!("note {n}"));
    }
}

/// Row Q4: a handler that does not ask is not interrupted: requests of its peer wait for it, in
/// order with other messages.
#[tokio::test]
async fn requests_wait_for_a_handler_that_does_not_ask() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "wait", "id": 1, "data": 1}).to_string()).await;
    peer.send(json!({"type": "wait", "id": 2, "data": 2}).to_string()).await;
    peer.send_envelope("note", json!({"n": 3})).await;
    assert_eq!(shared.seen.next().await, "wait 1");
    // A request of this end does not change that.
    let conn = server.hub.connection("a").unwrap();
    let (sum, ()) = tokio::join!(within(conn.request_as::<Sum>(&Add { a: 1, b: 2 })), async {
        let request = peer.receive().await;
        peer.send(json!({"type": "sum", "re": request["id"], "data": {"sum": 3}}).to_string()).await;
    });
    assert_eq!(sum.unwrap().sum, 3);
    assert_eq!(shared.seen.try_next(), None);
    shared.permits.add_permits(2);
    assert_eq!((shared.seen.next().await, shared.seen.next().await), ("wait 2".into(), "note 3".into()));
}

/// Row Q4: a request that began beside a handler is serial when that handler has ended: the next
/// message waits for it.
#[tokio::test]
async fn a_request_beside_a_handler_stays_serial_after_it() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "ask_back", "id": 1, "data": {"depth": 1}}).to_string()).await;
    let question = peer.receive().await;
    peer.send(json!({"type": "wait", "id": 2, "data": 2}).to_string()).await;
    assert_eq!(shared.seen.next().await, "wait 2");
    peer.send(json!({"type": "asked", "re": question["id"], "data": {"depth": 0}}).to_string()).await;
    assert_eq!(peer.receive().await["re"], 1);
    peer.send_envelope("note", json!({"n": 3})).await;
    peer.read_so_far().await;
    assert_eq!(shared.seen.try_next(), None);
    shared.permits.add_permits(1);
    assert_eq!(peer.receive().await["re"], 2);
    assert_eq!(shared.seen.next().await, "note 3");
}

/// Row Q4: a reply to a task of the program does not wait for messages either, although a handler
/// that does not ask runs, and as many messages as may usually wait are before the reply.
#[tokio::test]
async fn the_reply_to_a_task_overtakes_messages_that_wait() {
    let Ends { server, shared, .. } = ends(Config::default().backlog_messages(2)).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("wait", json!(1)).await;
    assert_eq!(shared.seen.next().await, "wait 1");
    let conn = server.hub.connection("a").unwrap();
    let (sum, ()) = tokio::join!(within(conn.request_as::<Sum>(&Add { a: 1, b: 2 })), async {
        let request = peer.receive().await;
        for n in 0..10 {
            peer.send_envelope("note", json!({"n": n})).await;
        }
        peer.send(json!({"type": "sum", "re": request["id"], "data": {"sum": 3}}).to_string()).await;
    });
    assert_eq!(sum.unwrap().sum, 3);
    assert_eq!(shared.seen.try_next(), None);
}

/// Rows C5, Q4: after a close of the program, a request that waits is not handled, also beside a
/// handler that asks.
#[tokio::test]
async fn no_request_is_started_after_a_close() {
    let Ends { server, shared, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "ask_back", "id": 1, "data": {"depth": 1}}).to_string()).await;
    let question = peer.receive().await;
    assert_eq!(question["type"], "ask_back");
    for id in 2..4 {
        peer.send(json!({"type": "wait", "id": id, "data": id}).to_string()).await;
    }
    assert_eq!(shared.seen.next().await, "wait 2");
    peer.read_so_far().await;
    server.hub.connection("a").unwrap().close();
    shared.permits.add_permits(2);
    assert_eq!(peer.close().await.0, 1000);
    assert!(peer.next().await.is_none());
    while server.hub.is_connected("a") {
        tokio::task::yield_now().await;
    }
    assert_eq!(shared.seen.try_next(), None);
}

/// Row Q4: while the handler of `__open__` asks, no other message is handled: the program may still
/// decide about the peer.
#[tokio::test]
async fn nothing_is_handled_beside_the_handler_of_an_opening() {
    let server = Server::start(Hub::builder().endpoint(Door::default()).build().unwrap()).await;
    let mut peer = server.peer("a").await;
    let question = peer.receive().await;
    peer.send(json!({"type": "enter", "id": 1}).to_string()).await;
    peer.read_so_far().await;
    assert_eq!(server.hub.endpoint().0.try_next(), None);
    peer.send(json!({"type": "sum", "re": question["id"], "data": {"sum": 3}}).to_string()).await;
    assert_eq!(server.hub.endpoint().0.next().await, "opened");
    assert_eq!(server.hub.endpoint().0.next().await, "entered");
}

/// Its handler of `__open__` asks the peer.
#[derive(Default, wsx::Endpoint)]
struct Door(Log<&'static str>);

#[wsx::handler("__open__", on = Door)]
async fn on_open(door: &Door, conn: &Connection) -> Result<(), RequestError> {
    let _: Sum = conn.request_as(&Add { a: 1, b: 2 }).await?;
    door.0.add("opened");
    Ok(())
}

#[wsx::handler("enter", on = Door)]
fn on_enter(door: &Door) {
    door.0.add("entered");
}

/// Row Q4: all of it works while both ends flood each other and their queues are full.
#[tokio::test]
async fn requests_are_answered_while_both_ends_flood() {
    let config = Config::default().queue_messages(64).backlog_messages(64).request_timeout(60 * SECOND);
    let Ends { server, client, shared } = ends(config).await;
    let stop = CancellationToken::new();
    // Long messages, so that few of them fill the buffers of the operating system.
    let flood = |conn: Connection| {
        let (stop, pad) = (stop.clone(), "x".repeat(4096));
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.is_cancelled() {
                conn.send(&wsx::Envelope::with_type("note", json!({"n": n, "pad": pad}))).await.unwrap();
                n += 1;
            }
        })
    };
    let floods = [flood(client.connection().unwrap()), flood(server.hub.connection("box-7").unwrap())];
    for depth in 0..4 {
        let down = server.hub.request_as::<Asked>("box-7", &AskBack { depth });
        let up = client.request_as::<Asked>(&AskBack { depth });
        let (down, up) = tokio::join!(within(down), within(up));
        assert_eq!((down.unwrap().depth, up.unwrap().depth), (depth, depth));
    }
    stop.cancel();
    for flood in floods {
        within(flood).await.unwrap();
    }
    assert!(shared.seen.try_next().is_some_and(|first| first == "note 0"));
}

/// Row Q4: two ends ask each other for replies that fill the queues and reserves of both. An end
/// whose reply waits for room goes on to read.
#[tokio::test]
async fn long_replies_do_not_stop_two_ends_that_ask() {
    let Ends { server, client, .. } = ends(Config::default().queue_bytes(64 * 1024)).await;
    let conn = server.hub.connection("box-7").unwrap();
    let length = 100_000;
    let ask = |conn: Connection| async move {
        let asked = (0..150).map(|_| conn.request_as::<LogPage>(&wsx::Envelope::with_type("read_log", length)));
        for page in join_all(asked).await {
            assert_eq!(page.unwrap().0.len(), length);
        }
    };
    let ends = [conn, client.connection().unwrap()].map(|conn| tokio::spawn(ask(conn)));
    for end in ends {
        within(end).await.unwrap();
    }
}

/// Row Q5: at most 1,024 requests of a connection wait, or as many as `Config` says. More fail at
/// once.
#[tokio::test]
async fn outstanding_requests_are_bounded() {
    assert_eq!(Config::default().max_requests, 1024);
    let Ends { server, .. } = ends(Config::default().max_requests(3)).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    let mut asked: Vec<_> = (0..3).map(|n| Box::pin(wait(&conn, n))).collect();
    for asked in &mut asked {
        assert!(futures_util::poll!(asked).is_pending());
    }
    let error = within(wait(&conn, 3)).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::Full)), "{error:?}");
    let first = peer.receive().await;
    peer.send(json!({"type": "waited", "re": first["id"], "data": 0}).to_string()).await;
    assert_eq!(within(asked.remove(0)).await.unwrap(), Waited(0));
    // A request that is dropped before its first poll frees its place too.
    drop(wait(&conn, 4));
    let mut again = Box::pin(wait(&conn, 5));
    assert!(futures_util::poll!(&mut again).is_pending());
}

/// Row Q5: more requests of a peer than may wait are answered at once with `busy`.
#[tokio::test]
async fn a_peer_with_too_many_requests_is_told_busy() {
    let Ends { server, client, shared } = ends(Config::default().max_requests(4)).await;
    let conn = client.connection().unwrap();
    let mut peer = server.peer("a").await;
    for id in 0..7 {
        peer.send(json!({"type": "wait", "id": id, "data": id}).to_string()).await;
    }
    // One runs, and four wait.
    for id in 5..7 {
        let busy = peer.receive().await;
        assert_eq!((&busy["re"], &busy["err"]["code"]), (&json!(id), &json!("busy")));
    }
    shared.permits.add_permits(5);
    for id in 0..5 {
        assert_eq!(peer.receive().await["re"], id);
    }
    drop(conn);
}

/// Row Q5: a reply counts only on the connection that was asked.
#[tokio::test]
async fn a_third_party_cannot_reply() {
    let Ends { server, .. } = ends(Config::default()).await;
    let (mut asked, mut other) = (server.peer("a").await, server.peer("b").await);
    let conn = server.hub.connection("a").unwrap();
    let result = async { within(conn.request_as::<Sum>(&Add { a: 1, b: 2 })).await.unwrap() };
    let (sum, ()) = tokio::join!(result, async {
        let request = asked.receive().await;
        other.send(json!({"type": "sum", "re": request["id"], "data": {"sum": 666}}).to_string()).await;
        while server.hub.ignored() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        asked.send(json!({"type": "sum", "re": request["id"], "data": {"sum": 3}}).to_string()).await;
    });
    assert_eq!(sum.sum, 3);
}

/// Row Q6: a dropped request frees its entry at once. The peer gets a cancellation, and does not
/// start a request that still waits.
#[tokio::test]
async fn a_dropped_request_is_cancelled() {
    let Ends { server, client, shared } = ends(Config::default().max_requests(2)).await;
    let conn = client.connection().unwrap();
    let first = tokio::spawn({
        let conn = conn.clone();
        async move { wait(&conn, 1).await }
    });
    assert_eq!(shared.seen.next().await, "wait 1");
    let mut second = Box::pin(wait(&conn, 2));
    assert!(futures_util::poll!(&mut second).is_pending());
    wsx_tests::round_trip(&conn).await;
    drop(second);
    // The entry is free.
    let mut third = Box::pin(wait(&conn, 3));
    assert!(futures_util::poll!(&mut third).is_pending());
    wsx_tests::round_trip(&conn).await;
    shared.permits.add_permits(3);
    assert_eq!(within(first).await.unwrap().unwrap(), Waited(1));
    assert_eq!(within(third).await.unwrap(), Waited(3));
    assert_eq!(shared.seen.next().await, "wait 3");
    drop(server);
}

/// Row Q6: a cancellation has a type that a peer without requests does not handle.
#[tokio::test]
async fn a_cancellation_has_a_type_of_its_own() {
    let Ends { server, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    let mut asked = Box::pin(wait(&conn, 1));
    assert!(futures_util::poll!(&mut asked).is_pending());
    let request = peer.receive().await;
    drop(asked);
    let cancel = peer.receive().await;
    assert_eq!((&cancel["type"], &cancel["id"]), (&json!("cancel"), &request["id"]));
    assert_eq!(cancel["err"], json!({"code": "cancelled"}));
    // Dropped before its first poll, a request is not sent at all.
    drop(wait(&conn, 2));
    conn.send(&Note { n: 9 }).await.unwrap();
    assert_eq!(peer.receive().await["type"], "note");
}

/// Remembers the failures that a peer reports.
struct Failures(Log<(String, String, String)>);
impl wsx::Observer for Failures {
    fn peer_failed(&self, _: &Connection, message_type: &str, code: &str, message: &str) {
        self.0.add((message_type.to_owned(), code.to_owned(), message.to_owned()));
    }
}

/// Row Q7: with `report_failures`, the sender of a plain message learns that it could not be
/// handled. It is off by default, and on in `Config::edge`.
#[tokio::test]
async fn the_failure_of_a_plain_message_is_reported_to_its_sender() {
    assert!(!Config::default().report_failures && Config::edge().report_failures);
    let shared = Both { seen: Log::default(), permits: Arc::new(Semaphore::new(0)) };
    let config = Config::default().report_failures(true);
    let server = Server::start(Hub::builder().config(config).endpoint(shared.clone()).build().unwrap()).await;
    let failures = Log::default();
    let client =
        Client::builder(server.url("a")).observer(Failures(failures.clone())).endpoint(shared).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    client.send(&Nothing).await.unwrap();
    assert_eq!(failures.next().await.1, "not_handled");
    client.send(&wsx::Envelope::with_type("fail", ())).await.unwrap();
    assert_eq!(failures.next().await, ("fail".into(), "failed".into(), "no paper".into()));
    client.send(&wsx::Envelope::with_type("add", "text")).await.unwrap();
    let (message_type, code, _) = failures.next().await;
    assert_eq!((&*message_type, &*code), ("add", "bad_data"));
    // Not for a frame that is no envelope, for a reply, or for a report.
    let conn = client.connection().unwrap();
    for text in ["no envelope", r#"{"type":"a","re":5}"#, r#"{"type":"a","err":{"code":"x"}}"#] {
        conn.send_bytes(text).await.unwrap();
    }
    let sum: Sum = within(client.request_as(&Add { a: 1, b: 1 })).await.unwrap();
    assert_eq!((sum.sum, failures.try_next()), (2, None));
}

/// Row Q7: at most 10 failures are reported in a second.
#[tokio::test(start_paused = true)]
async fn reports_of_failures_are_limited() {
    let config = Config::default().report_failures(true);
    let server = Server::start(Hub::builder().config(config).without_handlers().build().unwrap()).await;
    let mut peer = server.peer("a").await;
    for seconds in [0, 1] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        for _ in 0..50 {
            peer.send_envelope("nothing", json!(1)).await;
        }
        // A failed request is always answered, behind the reports.
        peer.send(json!({"type": "nothing", "id": 1}).to_string()).await;
        let mut reports = 0;
        while peer.receive().await.get("re").is_none() {
            reports += 1;
        }
        assert_eq!(reports, 10);
    }
}

/// Row Q7: a hub does not report failures by default.
#[tokio::test]
async fn failures_are_not_reported_by_default() {
    let Ends { server, .. } = ends(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("nothing", json!(1)).await;
    peer.send_envelope("fail", Value::Null).await;
    peer.send(json!({"type": "add", "id": 1, "data": {"a": 1, "b": 2}}).to_string()).await;
    assert_eq!(peer.receive().await["re"], 1);
}

/// Row Q3: an observer does not see a request that the peer fails as a failure of its own; it sees
/// the failure of its own handler.
#[tokio::test]
async fn the_failure_of_a_handler_goes_to_its_observer_too() {
    let (observer, mut memory) = recorder();
    let shared = Both { seen: Log::default(), permits: Arc::new(Semaphore::new(0)) };
    let server = Server::start(Hub::builder().observer(observer).endpoint(shared).build().unwrap()).await;
    let mut peer: Peer = server.peer("a").await;
    peer.send(json!({"type": "fail", "id": 1}).to_string()).await;
    assert_eq!(peer.receive().await["err"]["code"], "failed");
    let (_, message_type, error) = memory.handler_failed().await;
    assert_eq!((&*message_type, &*error.to_string()), ("fail", "the handler failed"));
}
