//! Peers that send wrong numbers, or too much: row G15 of the specification.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::mpsc;
use wsx::{
    CancellationToken, Client, Hub,
    delivery::{Change, DeliveryError, Mailbox, Store, StoreError},
};
use wsx_tests::{Log, Peer, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Order {
    n: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Shown {
    text: String,
}

async fn begin(peer: &mut Peer) {
    peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": 1, "last": 9}}).to_string()).await;
    while peer.receive().await["ack"].is_null() {}
}

/// Row G15: numbers above 2⁵³ − 1 are ignored, in acknowledgements, in skips and at messages.
#[tokio::test]
async fn numbers_that_are_too_high_have_no_effect() {
    let log = Log::default();
    let on_meter = {
        let log: Log<Value> = log.clone();
        move |data: Value, _| {
            log.add(data);
            async {}
        }
    };
    let server = Server::start(Hub::builder().on("meter", on_meter).build().unwrap()).await;
    let delivering = server.hub.deliver("box-7", &Order { n: 1 });
    let mut peer = server.peer("box-7").await;
    let epoch = peer.receive().await["seq"]["epoch"].clone();
    begin(&mut peer).await;
    for number in [json!(u64::MAX), json!(1_u64 << 53), json!(-1), json!(1.5), json!("1")] {
        for key in ["seq", "latest"] {
            let mut ack = json!({"epoch": epoch});
            ack[key] = number.clone();
            peer.send(json!({"type": "delivery", "ack": ack}).to_string()).await;
        }
        for skip in [json!([1, number]), json!([number, number]), json!([5, 4]), json!([0, 3])] {
            peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "skip": skip}}).to_string()).await;
        }
        peer.send(json!({"type": "meter", "seq": number, "data": number}).to_string()).await;
        assert_eq!(log.next().await, number, "it is a message without a number");
    }
    // The delivery of both directions goes on.
    peer.send(json!({"type": "delivery", "ack": {"epoch": epoch, "seq": 0, "latest": 0}}).to_string()).await;
    let order = peer.receive().await;
    assert_eq!(order["data"]["n"], 1, "{order}");
    peer.send(json!({"type": "delivery", "ack": {"epoch": epoch, "seq": order["seq"]}}).to_string()).await;
    within(delivering).await.unwrap();
    let highest = (1_u64 << 53) - 1;
    for number in [1, highest, highest] {
        peer.send(json!({"type": "meter", "seq": number, "data": number}).to_string()).await;
    }
    assert_eq!((log.next().await, log.next().await), (json!(1), json!(highest)));
    while peer.receive().await["ack"]["seq"] != json!(highest) {}
    assert_eq!(log.try_next(), None, "the second one was a duplicate");
}

/// Row G15: the states that all peers send are bounded together, in bytes and in number.
#[tokio::test]
async fn the_states_of_all_peers_are_bounded() {
    let hub = Hub::builder().on("shown", |_: Shown, _| async {}).mailbox(Mailbox::new().bytes(100)).build().unwrap();
    let server = Server::start(hub).await;
    let mut results = Vec::new();
    for id in ["a", "b", "b", "a"] {
        let client = Client::builder(server.url(id)).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap();
        let text = "x".repeat(if results.len() < 2 { 50 } else { 10 });
        results.push(match within(client.deliver(&Shown { text })).await {
            Ok(()) => "handled".to_owned(),
            Err(DeliveryError::Failed { code, .. }) => code,
            Err(error) => panic!("{error}"),
        });
        client.close();
        client.closed().await;
    }
    assert_eq!(results, ["handled", "full", "handled", "handled"]);
    let hub = Hub::builder().on("shown", |_: Shown, _| async {}).mailbox(Mailbox::new().messages(2)).build().unwrap();
    let server = Server::start(hub).await;
    for (id, is_handled) in [("a", true), ("b", true), ("c", false), ("a", true)] {
        let client = Client::builder(server.url(id)).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap();
        let result = within(client.deliver(&Shown { text: id.to_owned() })).await;
        assert_eq!(result.is_ok(), is_handled, "{id}: {result:?}");
        client.close();
        client.closed().await;
    }
    assert_eq!(server.hub.state::<Shown>("b").unwrap().value.text, "b");
}

/// Row G15: the four epochs of a peer that were used last are remembered, and an epoch has at most
/// 64 bytes.
#[tokio::test]
async fn four_epochs_of_a_peer_are_remembered() {
    let server = Server::start(Hub::builder().on("meter", |_: Value, _| async {}).build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    let mut resumed = Vec::new();
    let long = "e".repeat(64);
    for epoch in ["1", "2", "3", &long, "1", "5", "1", "2"] {
        for epoch in [&format!("{long}e"), epoch] {
            let begin = json!({"type": "delivery", "seq": {"epoch": epoch, "first": 1, "last": 1}});
            peer.send(begin.to_string()).await;
        }
        let ack = peer.receive().await["ack"].clone();
        assert_eq!(ack["epoch"], epoch, "the one that is too long is not answered");
        resumed.push(ack["seq"].as_u64().unwrap());
        if ack["seq"] == 0 {
            peer.send(json!({"type": "meter", "seq": 1, "data": null}).to_string()).await;
            while peer.receive().await["ack"]["seq"] != 1 {}
        }
    }
    assert_eq!(resumed, [0, 0, 0, 0, 1, 0, 1, 0]);
}

/// A store with the numbers of so many peers. It sends the keys that are deleted.
#[derive(Debug)]
struct Crowded(usize, mpsc::Sender<String>);

impl Store for Crowded {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        (0..self.0).for_each(|n| each(&format!("in/box-{n}/e"), br#"{"seq":1,"latest":0}"#));
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            if let Change::Delete { key } = change {
                let _ = self.1.send(key.clone());
            }
        }
        Ok(())
    }
}

/// Row G15: the numbers of 100,000 absent peers are remembered. A store with more of them shrinks
/// at the start.
#[test]
fn a_store_with_too_many_peers_shrinks() {
    let (deleted, keys) = mpsc::channel();
    let hub = Hub::builder().without_handlers().mailbox(Mailbox::new().store(Crowded(100_003, deleted))).build();
    drop(hub.unwrap());
    let keys: Vec<String> = keys.iter().collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("in/box-")), "{keys:?}");
}
