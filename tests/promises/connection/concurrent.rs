//! Concurrent handlers: several calls at a time for one connection.
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Mutex, time::Duration};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use wsx::{Config, Connection, Envelope, Hub};
use wsx_tests::{Log, Memory, Server, recorder, within};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default, wsx::Endpoint)]
struct Works {
    /// The number of each job, and the data of each note, when its handler begins.
    began: Log<String>,
    /// Ends the handler of a job.
    ends: Mutex<HashMap<u32, oneshot::Sender<()>>>,
}

impl Works {
    async fn work(&self, n: u32) {
        let (end, ended) = oneshot::channel();
        self.ends.lock().unwrap().insert(n, end);
        self.began.add(format!("job {n}"));
        // An error means that the test does not need this job any more.
        let _ = ended.await;
    }

    fn end(&self, n: u32) {
        let end = self.ends.lock().unwrap().remove(&n).expect("the job runs");
        end.send(()).expect("its handler waits");
    }
}

#[wsx::handler("job", on = Works, concurrent = 3)]
async fn on_job(works: &Works, n: u32) -> Envelope<u32> {
    works.work(n).await;
    Envelope::with_type("done", n)
}

#[wsx::handler("serial", on = Works)]
async fn on_serial(works: &Works, n: u32) -> Envelope<u32> {
    works.work(n).await;
    Envelope::with_type("done", n)
}

#[wsx::handler("note", on = Works)]
fn on_note(works: &Works, n: u32) {
    works.began.add(format!("note {n}"));
}

#[wsx::handler("panic", on = Works, concurrent = 3)]
async fn on_panic(_n: u32) {
    panic!("as a test wants it")
}

/// Asks the peer `question`, and replies with its answer.
#[wsx::handler("ask", on = Works, concurrent = 3)]
async fn on_ask(n: u32, conn: &Connection) -> Result<Envelope<u32>, wsx::RequestError> {
    let done = conn.request_as::<Answer>(&Envelope::with_type("question", n)).await?;
    Ok(Envelope::with_type("done", done.0))
}

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Answer(u32);

async fn server(config: Config) -> (Server<Works>, Memory) {
    let (observer, memory) = recorder();
    let hub = Hub::builder().endpoint(Works::default()).config(config).observer(observer).build().unwrap();
    (Server::start(hub).await, memory)
}

impl Works {
    async fn expect(&self, began: &[&str]) {
        for expected in began {
            assert_eq!(self.began.next().await, *expected);
        }
    }
}

/// Row Q9: a concurrent handler runs up to its maximum number of times at once. Replies leave as
/// they become ready. At the maximum, all later messages of the connection wait, in order.
#[tokio::test]
async fn up_to_the_maximum_runs_at_a_time() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for n in 1..=5 {
        peer.send(json!({"type": "job", "id": n, "data": n}).to_string()).await;
    }
    peer.send_envelope("note", json!(6)).await;
    works.expect(&["job 1", "job 2", "job 3"]).await;
    peer.read_so_far().await;
    assert_eq!(works.began.try_next(), None);
    works.end(2);
    let reply = peer.receive().await;
    assert_eq!((&reply["re"], &reply["data"]), (&json!(2), &json!(2)));
    works.expect(&["job 4"]).await;
    assert_eq!(works.began.try_next(), None);
    works.end(3);
    assert_eq!(peer.receive().await["re"], 3);
    works.expect(&["job 5", "note 6"]).await;
    for n in [5, 1, 4] {
        works.end(n);
        assert_eq!(peer.receive().await["re"], n);
    }
}

/// Rows Q1, Q6, Q9: a request that waits for a free call is not started after its deadline, or
/// after a cancellation.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_call_may_expire_or_be_cancelled() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for n in 1..=3 {
        peer.send_envelope("job", json!(n)).await;
    }
    works.expect(&["job 1", "job 2", "job 3"]).await;
    peer.send(json!({"type": "job", "id": 4, "ttl": 1000, "data": 4}).to_string()).await;
    peer.read_so_far().await;
    tokio::time::advance(SECOND).await;
    works.end(1);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(1)));
    let expired = peer.receive().await;
    assert_eq!((&expired["re"], &expired["err"]["code"]), (&json!(4), &json!("expired")));
    // One call is free, and is taken.
    peer.send_envelope("job", json!(5)).await;
    works.expect(&["job 5"]).await;
    peer.send(json!({"type": "job", "id": 6, "data": 6}).to_string()).await;
    peer.send(json!({"type": "cancel", "id": 6, "err": {"code": "cancelled"}}).to_string()).await;
    peer.send_envelope("note", json!(7)).await;
    peer.read_so_far().await;
    works.end(2);
    works.expect(&["note 7"]).await;
    assert_eq!(works.began.try_next(), None);
}

/// Row Q9: calls whose messages together have `backlog_bytes` are as many as may run.
#[tokio::test]
async fn the_bytes_of_running_calls_are_bounded() {
    let (server, _memory) = server(Config::default().backlog_bytes(1500)).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    let pad = " ".repeat(1000);
    for n in 1..=3 {
        peer.send(format!(r#"{{"type":"job",{pad}"data":{n}}}"#)).await;
    }
    works.expect(&["job 1", "job 2"]).await;
    peer.read_so_far().await;
    assert_eq!(works.began.try_next(), None);
    works.end(1);
    works.expect(&["job 3"]).await;
}

/// Row Q9: a connection of its own has its own calls.
#[tokio::test]
async fn each_connection_has_its_own_maximum() {
    let (server, _memory) = server(Config::default()).await;
    let (mut one, mut two) = (server.peer("a").await, server.peer("b").await);
    for (peer, first) in [(&mut one, 1), (&mut two, 11)] {
        for n in first..first + 3 {
            peer.send_envelope("job", json!(n)).await;
        }
        server.hub.endpoint().expect(&[0, 1, 2].map(|n| &*format!("job {}", first + n).leak())).await;
    }
}

/// Row Q9: a serial handler runs beside the calls of a concurrent one, and messages wait for the
/// serial one alone.
#[tokio::test]
async fn a_serial_handler_runs_beside_concurrent_ones() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for (message_type, n) in [("job", 1), ("note", 2), ("serial", 3), ("job", 4)] {
        peer.send_envelope(message_type, json!(n)).await;
    }
    works.expect(&["job 1", "note 2", "job 3"]).await;
    peer.read_so_far().await;
    assert_eq!(works.began.try_next(), None);
    works.end(1);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(1)));
    works.end(3);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(3)));
    works.expect(&["job 4"]).await;
}

/// Row Q9: the panic of a concurrent handler closes its connection with 1011, as that of a serial
/// one.
#[tokio::test]
async fn a_panic_closes_the_connection() {
    let (server, _memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("job", json!(1)).await;
    server.hub.endpoint().expect(&["job 1"]).await;
    peer.send_envelope("panic", json!(2)).await;
    assert_eq!(peer.close().await.0, 1011);
}

/// Row Q9: after a close of the peer, the replies of running calls are still sent.
#[tokio::test]
async fn replies_are_sent_after_a_close_of_the_peer() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for n in 1..=2 {
        peer.send_envelope("job", json!(n)).await;
    }
    works.expect(&["job 1", "job 2"]).await;
    peer.send(Message::Close(None)).await;
    let conn = server.hub.connection("a");
    if let Some(conn) = conn {
        within(async {
            while !conn.is_closed() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    works.end(2);
    works.end(1);
    for n in [2, 1] {
        assert_eq!(peer.receive_data().await, ("done".into(), json!(n)));
    }
    assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))));
}

/// Row Q9: calls that still run after the close timeout are dropped, and each is reported.
#[tokio::test(start_paused = true)]
async fn calls_are_dropped_after_the_close_timeout() {
    let (server, mut memory) = server(Config::default().close_timeout(2 * SECOND)).await;
    let mut peer = server.peer("a").await;
    for n in 1..=3 {
        peer.send_envelope("job", json!(n)).await;
    }
    server.hub.endpoint().expect(&["job 1", "job 2", "job 3"]).await;
    peer.send(Message::Close(None)).await;
    for _ in 0..3 {
        assert_eq!(memory.handler_dropped().await, ("job".into(), 0));
    }
    assert_eq!(memory.connection_closed().await.0, "a");
}

/// Row Q9: a shutdown waits for the calls that run.
#[tokio::test]
async fn a_shutdown_waits_for_running_calls() {
    let (server, _memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("job", json!(1)).await;
    server.hub.endpoint().expect(&["job 1"]).await;
    let shutdown = tokio::spawn({
        let hub = server.hub.clone();
        async move { hub.shutdown(10 * SECOND).await }
    });
    let conn = server.hub.connections();
    within(async {
        while conn.iter().any(|conn| !conn.is_closed()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.hub.endpoint().end(1);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(1)));
    assert_eq!(peer.close().await.0, 1001);
    // Sends the answer to the close.
    assert!(peer.next().await.is_none());
    assert_eq!(within(shutdown).await.unwrap(), 0);
}

/// Rows Q4, Q9: calls of a concurrent handler ask their peer. Its requests are handled meanwhile,
/// also when all calls run.
#[tokio::test]
async fn concurrent_handlers_ask_their_peer() {
    let (server, _memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    for n in 1..=4 {
        peer.send(json!({"type": "ask", "id": n, "data": n}).to_string()).await;
    }
    let mut questions: Vec<Value> = Vec::new();
    // The fourth request exceeds the maximum: all calls await replies, which may need it.
    for _ in 0..4 {
        questions.push(peer.receive().await);
    }
    for question in questions.into_iter().rev() {
        let n = question["data"].clone();
        peer.send(json!({"type": "answer", "re": question["id"], "data": n}).to_string()).await;
        let reply = peer.receive().await;
        assert_eq!((&reply["re"], &reply["data"]), (&n, &n));
    }
}

/// A serial handler that asks the peer `question`.
#[wsx::handler("ask_serial", on = Works)]
async fn on_ask_serial(n: u32, conn: &Connection) -> Result<Envelope<u32>, wsx::RequestError> {
    let done = conn.request_as::<Answer>(&Envelope::with_type("question", n)).await?;
    Ok(Envelope::with_type("done", done.0))
}

/// Row Q9: while a serial handler asks, requests of a concurrent type run up to their maximum, and
/// no further one does.
#[tokio::test]
async fn the_maximum_holds_beside_a_handler_that_asks() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    peer.send(json!({"type": "ask_serial", "id": 1, "data": 1}).to_string()).await;
    let question = peer.receive().await;
    for n in 2..=5 {
        peer.send(json!({"type": "job", "id": n, "data": n}).to_string()).await;
    }
    works.expect(&["job 2", "job 3", "job 4"]).await;
    peer.read_so_far().await;
    assert_eq!(works.began.try_next(), None);
    works.end(3);
    assert_eq!(peer.receive().await["re"], 3);
    works.expect(&["job 5"]).await;
    peer.send(json!({"type": "answer", "re": question["id"], "data": 1}).to_string()).await;
    assert_eq!(peer.receive().await["re"], 1);
}

/// Rows Q1, Q9: a request that has waited for a serial handler keeps its deadline when it waits for
/// a call.
#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_deadline_from_one_wait_to_the_next() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for n in 1..=3 {
        peer.send_envelope("job", json!(n)).await;
    }
    peer.send_envelope("serial", json!(4)).await;
    works.expect(&["job 1", "job 2", "job 3", "job 4"]).await;
    peer.send(json!({"type": "job", "id": 5, "ttl": 3000, "data": 5}).to_string()).await;
    peer.read_so_far().await;
    tokio::time::advance(2 * SECOND).await;
    works.end(4);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(4)));
    tokio::time::advance(SECOND).await;
    works.end(1);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(1)));
    let expired = peer.receive().await;
    assert_eq!((&expired["re"], &expired["err"]["code"]), (&json!(5), &json!("expired")));
}

/// Rows C5, Q9: after a close of the program, a message that waits for a call is not handled.
#[tokio::test]
async fn no_call_begins_after_a_close() {
    let (server, _memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    for n in 1..=4 {
        peer.send_envelope("job", json!(n)).await;
    }
    works.expect(&["job 1", "job 2", "job 3"]).await;
    peer.read_so_far().await;
    server.hub.connection("a").unwrap().close();
    for n in 1..=3 {
        works.end(n);
    }
    assert_eq!(peer.close().await.0, 1000);
    assert!(peer.next().await.is_none());
    while server.hub.is_connected("a") {
        tokio::task::yield_now().await;
    }
    assert_eq!(works.began.try_next(), None);
}

/// Rows C7, Q9: a call that begins after a shutdown has begun does not delay the close, and its
/// reply is dropped and reported.
#[tokio::test(start_paused = true)]
async fn a_call_after_a_shutdown_does_not_delay_the_close() {
    let (server, mut memory) = server(Config::default()).await;
    let works = server.hub.endpoint();
    let mut peer = server.peer("a").await;
    peer.send_envelope("job", json!(1)).await;
    works.expect(&["job 1"]).await;
    let conn = server.hub.connection("a").unwrap();
    let shutdown = tokio::spawn({
        let hub = server.hub.clone();
        async move { hub.shutdown(10 * SECOND).await }
    });
    within(async {
        while !conn.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    peer.send_envelope("job", json!(2)).await;
    works.expect(&["job 2"]).await;
    works.end(1);
    assert_eq!(peer.receive_data().await, ("done".into(), json!(1)));
    // The second call still runs. A call of before has a quarter of the close timeout.
    let start = tokio::time::Instant::now();
    assert_eq!(peer.close().await.0, 1001);
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    works.end(2);
    assert_eq!(memory.reply_dropped().await, "job");
    assert!(peer.next().await.is_none());
    assert_eq!(within(shutdown).await.unwrap(), 0);
}
