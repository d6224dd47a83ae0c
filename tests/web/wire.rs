//! Kept messages on the wire, with a server that is not wsx and sends what no hub sends.
use crate::page::{Page, Runtime};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use wsx_tests::within;

/// A server that does what the test says.
struct Foreign {
    listener: TcpListener,
    link: WebSocketStream<TcpStream>,
}

impl Foreign {
    /// Starts a server, and a page whose client is connected to it.
    async fn start(runtime: Runtime, options: Value) -> (Self, Page) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let mut page = Page::start(runtime).await;
        page.connect(&url, json!({ "options": options })).await;
        let link = accept(&listener).await;
        (Self { listener, link }, page)
    }

    /// Ends the connection.
    async fn closes(&mut self) {
        self.link.close(None).await.unwrap();
        // A client waits until the server has closed the socket.
        self.link.get_mut().shutdown().await.unwrap();
    }

    /// Ends the connection, and takes the next one of the page.
    async fn again(&mut self) {
        self.closes().await;
        self.link = accept(&self.listener).await;
    }

    async fn sends(&mut self, envelope: Value) {
        within(self.link.send(Message::text(envelope.to_string()))).await.unwrap();
    }

    /// Begins, and returns the numbers in the answer.
    async fn begins(&mut self, epoch: &str, first: u64, last: u64) -> Value {
        self.sends(json!({"type": "delivery", "seq": {"epoch": epoch, "first": first, "last": last}})).await;
        let ack = self.receives("ack").await;
        assert_eq!(ack["epoch"], epoch);
        json!([ack["seq"], ack["latest"], ack["failed"]])
    }

    /// Returns the value of this key of the next envelope that has it.
    async fn receives(&mut self, key: &str) -> Value {
        let mut envelope = self.receives_any().await;
        while envelope[key].is_null() {
            envelope = self.receives_any().await;
        }
        envelope[key].take()
    }

    async fn receives_any(&mut self) -> Value {
        loop {
            match within(self.link.next()).await.expect("the page is connected").expect("the page sends frames") {
                Message::Text(text) => return serde_json::from_str(&text).expect("an envelope is JSON"),
                Message::Close(_) => panic!("the page has closed"),
                _ => {}
            }
        }
    }

    /// Receives acknowledgements up to this number of `seq`. Returns the failures in them.
    async fn acknowledged_to(&mut self, number: u64) -> Vec<Value> {
        let mut failed = Vec::new();
        loop {
            let ack = self.receives("ack").await;
            failed.extend(ack["failed"].as_array().cloned().unwrap_or_default());
            if ack["seq"] == number {
                return failed;
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = within(listener.accept()).await.unwrap();
    within(accept_async(stream)).await.unwrap()
}

/// The page handles each number once, over connections, and reports what is missing. A failure is
/// acknowledged, once on each connection until the server knows it.
pub(crate) async fn a_page_handles_each_number_once(runtime: Runtime) {
    let (mut server, mut page) = Foreign::start(runtime, json!({})).await;
    let order = |seq: u64, n: u64| json!({"type": "order", "seq": seq, "data": {"n": n}});
    server.sends(order(4, 4)).await;
    assert_eq!(server.begins("e", 5, 9).await, json!([0, 0, null]));
    for (seq, n) in [(5, 5), (5, 55), (7, 13), (6, 66)] {
        server.sends(order(seq, n)).await;
    }
    server.sends(json!({"type": "delivery", "seq": {"epoch": "e", "skip": [8, 9], "why": "expired"}})).await;
    let failed = json!({"seq": 7, "code": "failed", "message": "an unlucky number"});
    assert_eq!(server.acknowledged_to(9).await, std::slice::from_ref(&failed));
    for (from, to, why) in [(6, 6, "unknown"), (8, 9, "expired")] {
        let mut gap = page.sees("problem").await;
        if gap["is"] == "handler_failed" {
            gap = page.sees("problem").await;
        }
        assert_eq!(gap["is"], "delivery_gap");
        assert_eq!([&gap["from"], &gap["to"], &gap["why"]], [&json!(from), &json!(to), &json!(why)]);
    }
    assert_eq!(page.sees("order").await["n"], 5);

    server.again().await;
    server.sends(order(10, 100)).await;
    assert_eq!(server.begins("e", 6, 9).await, json!([9, 0, [failed]]), "the acknowledgement may be lost");
    server.sends(order(9, 99)).await;
    server.sends(order(10, 10)).await;
    assert_eq!(page.sees("order").await["n"], 10);
    server.acknowledged_to(10).await;
    server.again().await;
    assert_eq!(server.begins("e", 6, 10).await, json!([10, 0, null]), "the server knows the failure");

    // A new epoch has lost the numbers that were announced.
    server.again().await;
    assert_eq!(server.begins("e", 11, 12).await, json!([10, 0, null]));
    server.again().await;
    assert_eq!(server.begins("f", 1, 0).await, json!([0, 0, null]));
    let mut gap = page.sees("problem").await;
    while gap["is"] != "delivery_gap" {
        gap = page.sees("problem").await;
    }
    assert_eq!([&gap["from"], &gap["to"]], [&json!(11), &json!(12)]);
    server.again().await;
    assert_eq!(server.begins("e", 11, 12).await, json!([10, 0, null]), "the page remembers the epoch");
    assert!(!page.has_seen("order"));
}

/// The page sends at most a window without an acknowledgement, resumes where the server says, and
/// explains numbers that it does not have.
pub(crate) async fn a_page_resumes_where_the_server_says(runtime: Runtime) {
    let (mut server, mut page) = Foreign::start(runtime, json!({})).await;
    for n in 1..=50 {
        page.sends("reading", json!({ "n": n })).await;
    }
    let epoch = server.receives("seq").await["epoch"].take();
    let ack = |seq: u64| json!({"type": "delivery", "ack": {"epoch": epoch, "seq": seq, "latest": 0}});
    server.sends(json!({"type": "delivery", "ack": {"epoch": "other", "seq": 40, "latest": 0}})).await;
    server.sends(ack(0)).await;
    for n in 1..=32 {
        let envelope = server.receives_any().await;
        assert_eq!([&envelope["seq"], &envelope["data"]["n"]], [&json!(n), &json!(n)]);
    }
    // The window is full, so the answer to a request is next.
    server.sends(json!({"type": "ask", "id": 1, "data": {"how": "now"}})).await;
    assert_eq!(server.receives_any().await["re"], 1);
    server.sends(ack(20)).await;
    assert_eq!(server.receives("seq").await, 33);
    server.again().await;
    let begin = server.receives("seq").await;
    assert_eq!([&begin["epoch"], &begin["first"], &begin["last"]], [&epoch, &json!(21), &json!(50)]);
    // An older copy of the server's store.
    server.sends(ack(10)).await;
    let skip = server.receives("seq").await;
    assert_eq!([&skip["skip"], &skip["why"]], [&json!([11, 20]), &json!("void")]);
    assert_eq!(server.receives("seq").await, 21);
}

/// A request says how long it waits.
pub(crate) async fn a_request_carries_its_deadline(runtime: Runtime) {
    let (mut server, mut page) = Foreign::start(runtime, json!({})).await;
    for (id, keys, ttl) in [(1, json!({}), 10_000), (2, json!({"timeout": 20_000.5}), 20_001)] {
        let mut operation = json!({"type": "hold", "data": {}});
        operation["timeout"] = keys["timeout"].clone();
        let tag = page.begins("request", operation).await;
        let request = server.receives_any().await;
        assert_eq!([&request["id"], &request["ttl"], &request["data"]], [&json!(id), &json!(ttl), &json!({})]);
        server.sends(json!({"type": "held", "re": id, "data": {}})).await;
        assert_eq!(page.ends(tag).await["event"], "result");
    }
}

/// Messages that made room for newer ones leave a gap, which the server is told, also if it has
/// forgotten everything.
pub(crate) async fn a_page_explains_what_it_dropped(runtime: Runtime) {
    let (mut server, mut page) = Foreign::start(runtime, json!({"outboxMessages": 4})).await;
    server.closes().await;
    page.becomes("waiting").await;
    page.sends("reading", json!({"n": 1})).await;
    for n in 2..=6 {
        page.sends("alarm", json!({ "n": n })).await;
    }
    for _ in 2..=3 {
        let problem = page.sees("problem").await;
        assert_eq!([&problem["is"], &problem["type"], &problem["code"]], ["delivery_failed", "alarm", "dropped"]);
    }
    server.link = accept(&server.listener).await;
    let begin = server.receives("seq").await;
    assert_eq!([&begin["first"], &begin["last"]], [1, 6]);
    server.sends(json!({"type": "delivery", "ack": {"epoch": begin["epoch"], "seq": 0, "latest": 0}})).await;
    assert_eq!(server.receives("seq").await, 1);
    let skip = server.receives("seq").await;
    assert_eq!([&skip["skip"], &skip["why"]], [&json!([2, 3]), &json!("full")]);
    for n in 4..=6 {
        let envelope = server.receives_any().await;
        assert_eq!([&envelope["seq"], &envelope["data"]["n"]], [&json!(n), &json!(n)]);
    }
}
