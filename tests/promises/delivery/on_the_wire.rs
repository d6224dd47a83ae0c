//! A hub of wsx and a raw peer.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use wsx::{
    Connection, Delivered, Hub, Observer, Report,
    delivery::{Gap, Mailbox, Why},
};
use wsx_tests::{Log, Peer, Server, recorder, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Order {
    n: u32,
}

fn hub(log: &Log<Value>) -> Hub {
    let log = log.clone();
    Hub::builder()
        .on("meter", move |data: Value, _| {
            log.add(data);
            async {}
        })
        .build()
        .unwrap()
}

async fn send(peer: &mut Peer, key: &str, value: Value, data: Value) {
    let mut envelope = json!({"ver": 1, "type": "meter", "ts": 5, "data": data});
    envelope[key] = value;
    peer.send(envelope.to_string()).await;
}

async fn begin(peer: &mut Peer, epoch: &str) -> Value {
    peer.send(json!({"type": "delivery", "seq": {"epoch": epoch, "first": 1, "last": 9}}).to_string()).await;
    peer.receive().await["ack"].clone()
}

/// Rows G3, G4, G5 and G7: a peer resumes after its last handled number.
#[tokio::test]
async fn a_peer_resumes_after_its_last_handled_number() {
    let log = Log::default();
    let server = Server::start(hub(&log)).await;
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, "e").await, json!({"epoch": "e", "seq": 0, "latest": 0}));
    for n in 1..=3 {
        send(&mut peer, "seq", json!(n), json!(n)).await;
        assert_eq!(log.next().await, json!(n));
    }
    drop(peer);
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, "e").await["seq"], 3);
    send(&mut peer, "seq", json!(3), json!(3)).await;
    send(&mut peer, "seq", json!(4), json!(4)).await;
    assert_eq!(log.next().await, json!(4), "a duplicate is not handled");
    while peer.receive().await["ack"]["seq"] != 4 {}
    assert_eq!(begin(&mut peer, "other").await["seq"], 0, "another epoch has its own numbers");
}

/// Row G4: the answer to a begin waits until the store has the handled numbers. With less than
/// them, the peer would send messages that count as duplicates.
#[tokio::test]
async fn a_begin_is_answered_when_the_handled_numbers_are_durable() {
    let (log, store) = (Log::default(), MemoryStore::default());
    let (began, go_on) = store.hold();
    let hub = {
        let log = log.clone();
        let on_meter = move |data: Value, _| {
            log.add(data);
            async {}
        };
        Hub::builder().on("meter", on_meter).mailbox(Mailbox::new().store(store.clone())).build().unwrap()
    };
    // The first commit has the epoch.
    within(began).await.unwrap();
    let (began, go_on_again) = store.hold();
    go_on.send(()).unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, "e").await["seq"], 0);
    send(&mut peer, "seq", json!(1), json!("first")).await;
    assert_eq!(log.next().await, "first");
    within(began).await.unwrap();
    let mut peer = server.peer("box-7").await;
    peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": 1, "last": 9}}).to_string()).await;
    peer.send_envelope("meter", json!("after the begin")).await;
    assert_eq!(log.next().await, "after the begin");
    go_on_again.send(()).unwrap();
    assert_eq!(peer.receive().await["ack"]["seq"], 1);
}

/// Row G6: a failure is in one acknowledgement of a connection. After a reconnect it comes again,
/// unless the peer does not keep the message any more.
#[tokio::test]
async fn a_failure_is_acknowledged_once_on_a_connection() {
    let on_meter = |n: u32, _| async move { if n == 1 { Err("no space") } else { Ok(()) } };
    let server = Server::start(Hub::builder().on("meter", on_meter).build().unwrap()).await;
    let failed = json!([{"seq": 1, "code": "failed", "message": "no space"}]);
    let mut peer = server.peer("box-7").await;
    begin(&mut peer, "e").await;
    for (n, expected) in [(1, &failed), (2, &Value::Null)] {
        send(&mut peer, "seq", json!(n), json!(n)).await;
        let ack = peer.receive().await["ack"].clone();
        assert_eq!((&ack["seq"], &ack["failed"]), (&json!(n), expected));
    }
    for (first, expected) in [(1, &failed), (2, &Value::Null)] {
        let mut peer = server.peer("box-7").await;
        peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": first, "last": 9}}).to_string()).await;
        assert_eq!(peer.receive().await["ack"]["failed"], *expected);
    }
}

/// Rows G3 and G4: the hub sends what waits, from the first number that the peer has not handled.
#[tokio::test]
async fn the_hub_sends_what_waits() {
    let server = Server::start(hub(&Log::default())).await;
    for n in 0..3 {
        within(server.hub.send_to("box-7", &Order { n })).await.unwrap();
    }
    let mut handled = 0;
    for round in 0..3 {
        let mut peer = server.peer("box-7").await;
        let begin = peer.receive().await;
        let (epoch, first) = (begin["seq"]["epoch"].clone(), begin["seq"]["first"].as_u64().unwrap());
        peer.send(json!({"type": "delivery", "ack": {"epoch": epoch, "seq": handled, "latest": 0}}).to_string()).await;
        let order = peer.receive().await;
        assert_eq!((&order["type"], &order["data"]["n"]), (&json!("order"), &json!(round)));
        assert_eq!(order["seq"], first + u64::from(round > 0 && handled >= first), "{order}");
        handled = order["seq"].as_u64().unwrap();
    }
}

/// Rows G8 and G18: a peer that begins anew has lost its store, and with it the messages that it
/// had announced.
#[tokio::test]
async fn a_peer_that_has_lost_its_store_leaves_a_gap() {
    #[derive(Clone, Default)]
    struct Gaps(Log<Gap>);
    impl Observer for Gaps {
        fn delivery_gap(&self, _: &Connection, gap: &Gap) {
            self.0.add(gap.clone());
        }
    }
    let (log, gaps) = (Log::default(), Gaps::default());
    let on_meter = {
        let log: Log<Value> = log.clone();
        move |data: Value, _| {
            log.add(data);
            async {}
        }
    };
    let server = Server::start(Hub::builder().on("meter", on_meter).observer(gaps.clone()).build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    begin(&mut peer, "first").await;
    for n in 1..=2 {
        send(&mut peer, "seq", json!(n), json!(n)).await;
        log.next().await;
    }
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, "first").await["seq"], 2);
    assert_eq!(begin(&mut peer, "second").await["seq"], 0);
    let gap = gaps.0.next().await;
    assert_eq!((gap.from, gap.to, gap.why, gap.is_ours), (3, 9, Why::Unknown, false));
    assert_eq!(begin(&mut peer, "second").await["seq"], 0);
    // Everything that it has announced now is handled, so nothing is known to be lost.
    for n in 1..=9 {
        send(&mut peer, "seq", json!(n), json!(n)).await;
        log.next().await;
    }
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, "third").await["seq"], 0);
    assert_eq!(gaps.0.try_next(), None);
}

/// Row G8: a second program with the same id looks like a lost store. The gap is reported, and the
/// messages of the first one are handled when it comes back.
#[tokio::test]
async fn a_program_that_comes_back_after_another_one_loses_nothing() {
    let log = Log::default();
    let server = Server::start(hub(&log)).await;
    for (epoch, resumed, n) in [("first", 0, 1), ("second", 0, 1), ("first", 1, 2), ("second", 1, 2)] {
        let mut peer = server.peer("box-7").await;
        assert_eq!(begin(&mut peer, epoch).await["seq"], resumed);
        send(&mut peer, "seq", json!(n), json!([epoch, n])).await;
        assert_eq!(log.next().await, json!([epoch, n]));
    }
}

/// Row G5: before its close frame, an end acknowledges what it has handled: in a shutdown, and when
/// the program closes the connection. So a station that is replaced handles no message twice.
#[tokio::test]
async fn what_was_handled_is_acknowledged_before_a_close() {
    for shuts_down in [true, false] {
        let log = Log::default();
        let server = Server::start(hub(&log)).await;
        let mut peer = server.peer("box-7").await;
        begin(&mut peer, "e").await;
        // An acknowledgement comes every 100 ms, or after 16 messages.
        for n in 1..=5 {
            send(&mut peer, "seq", json!(n), json!(n)).await;
            log.next().await;
        }
        let hub = server.hub.clone();
        if shuts_down {
            tokio::spawn(async move { hub.shutdown(Duration::from_secs(10)).await });
        } else {
            hub.connection("box-7").unwrap().close();
        }
        let mut acknowledged = json!(0);
        while let Some(Ok(Message::Text(text))) = peer.next().await {
            acknowledged = serde_json::from_str::<Value>(&text).unwrap()["ack"]["seq"].clone();
        }
        assert_eq!(acknowledged, 5, "shuts down: {shuts_down}");
    }
}

/// Row G5: an end that closes takes the acknowledgements that arrive before the peer's close frame.
#[tokio::test]
async fn an_acknowledgement_counts_until_the_peer_closes() {
    let server = Server::start(hub(&Log::default())).await;
    within(server.hub.send_to("box-7", &Order { n: 1 })).await.unwrap();
    let mut peer = server.peer("box-7").await;
    let begin = peer.receive().await["seq"].clone();
    let acknowledge = |seq: u64| json!({"type": "delivery", "ack": {"epoch": begin["epoch"], "seq": seq}}).to_string();
    peer.send(acknowledge(0)).await;
    let order = peer.receive().await;
    server.hub.connection("box-7").unwrap().close();
    peer.send(acknowledge(order["seq"].as_u64().unwrap())).await;
    peer.close().await;
    within(async {
        while !server.hub.waiting("box-7").is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Takes payments, and remembers their numbers.
#[derive(Default, wsx::Endpoint)]
struct Bank(Log<Option<(String, u64)>>);

#[wsx::handler("payment", on = Bank)]
fn on_payment(bank: &Bank, _cents: u32, delivered: Option<Delivered>) {
    bank.0.add(delivered.map(|delivered| (delivered.epoch.to_string(), delivered.number)));
}

#[wsx::handler("transfer", on = Bank)]
fn on_transfer(bank: &Bank, _cents: u32, delivered: Delivered) {
    bank.0.add(Some((delivered.epoch.to_string(), delivered.number)));
}

/// Row G7: a handler learns the epoch and the number of a kept message, and that another message
/// has none.
#[tokio::test]
async fn a_handler_learns_the_number_of_a_kept_message() {
    let (log, (recorder, mut seen)) = (Log::default(), recorder());
    let hub = Hub::builder().endpoint(Bank(log.clone())).observer(recorder).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    begin(&mut peer, "e").await;
    for (message_type, key, number) in [("payment", "seq", 7), ("transfer", "seq", 8), ("transfer", "latest", 3)] {
        peer.send(json!({"type": message_type, key: number, "data": 5}).to_string()).await;
        assert_eq!(log.next().await, Some(("e".to_owned(), number)));
    }
    peer.send_envelope("transfer", json!(5)).await;
    let (_, message_type, error) = seen.handler_failed().await;
    let expected = "argument `Delivered` is not available: the sender does not keep this message; \
                    take `Option<Delivered>`";
    assert_eq!(
        (&*message_type, &*Report(&error).to_string()),
        ("transfer", &*format!("the handler failed: {expected}"))
    );
    peer.send_envelope("payment", json!(5)).await;
    assert_eq!(log.next().await, None);
}
