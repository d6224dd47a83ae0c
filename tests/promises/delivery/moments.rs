//! The three moments of a kept message, and how it ends.
use crate::memory_store::MemoryStore;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{task::yield_now, time::advance};
use wsx::{
    CancellationToken, Client, Hub, Observer, SendError,
    delivery::{DeliveryError, Outbox, StoreErrorKind},
    testing::TestPeer,
};
use wsx_tests::{Log, Peer, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1h")]
struct Order {
    n: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest)]
struct Speed {
    n: u32,
}

fn client(url: &str, outbox: Outbox) -> Client {
    Client::builder(url).outbox(outbox).build().unwrap()
}

/// A hub that logs the orders.
fn hub(log: &Log<u32>) -> Hub {
    let log = log.clone();
    let on_order = move |order: Order, _| {
        log.add(order.n);
        async {}
    };
    Hub::builder().on("order", on_order).build().unwrap()
}

/// Answers the hub's begin: the peer has handled everything up to `handled`.
async fn resume(peer: &mut Peer, handled: u64) -> Value {
    let begin = peer.receive().await["seq"].clone();
    acknowledge(peer, &begin, handled).await;
    begin
}

async fn acknowledge(peer: &mut Peer, begin: &Value, handled: u64) {
    let ack = json!({"type": "delivery", "ack": {"epoch": begin["epoch"], "seq": handled, "latest": 0}});
    peer.send(ack.to_string()).await;
}

/// Row G16: an accepted message survives the end of the program with a store, and not without one.
#[tokio::test]
async fn an_accepted_message_survives_a_restart_if_there_is_a_store() {
    let log = Log::default();
    let server = Server::start(hub(&log)).await;
    let store = MemoryStore::default();
    for outbox in [Outbox::new(), Outbox::new().store(store.clone())] {
        let client = client(&server.url("box-7"), outbox);
        for n in 1..=3 {
            within(client.send(&Order { n })).await.unwrap();
        }
        assert_eq!(client.waiting(), 3);
    }
    assert_eq!(client(&server.url("box-7"), Outbox::new()).waiting(), 0);
    let client = client(&server.url("box-7"), Outbox::new().store(store));
    assert_eq!(client.waiting(), 3);
    within(client.start(CancellationToken::new())).await.unwrap();
    within(client.deliver(&Order { n: 4 })).await.unwrap();
    for n in 1..=4 {
        assert_eq!(log.next().await, n);
    }
    client.close();
}

/// Row G16: with a store, a message is accepted when it is durable, and it is not sent before.
#[tokio::test]
async fn a_message_is_accepted_when_it_is_durable() {
    let store = MemoryStore::default();
    let log = Log::default();
    let server = Server::start(hub(&log)).await;
    let client = client(&server.url("box-7"), Outbox::new().store(store.clone()));
    within(client.start(CancellationToken::new())).await.unwrap();
    within(client.deliver(&Order { n: 1 })).await.unwrap();
    let (began, go_on) = store.hold();
    let mut delivering = client.deliver(&Order { n: 2 });
    within(began).await.unwrap();
    assert!(delivering.accepted().now_or_never().is_none());
    assert!(delivering.sent().now_or_never().is_none());
    go_on.send(()).unwrap();
    within(delivering.accepted()).await.unwrap();
    within(delivering).await.unwrap();
    store.set_full(true);
    match within(client.send(&Order { n: 3 })).await {
        Err(SendError::Store(error)) => assert_eq!(error.kind(), StoreErrorKind::Full),
        other => panic!("{other:?}"),
    }
    store.set_full(false);
    within(client.deliver(&Order { n: 4 })).await.unwrap();
    for n in [1, 2, 4] {
        assert_eq!(log.next().await, n, "a message that was not accepted is not sent");
    }
    client.close();
}

/// Row G16: a sent message is not a handled one. It is sent again after a broken connection.
#[tokio::test]
async fn a_sent_message_is_sent_again_until_it_is_handled() {
    let server = Server::start(hub(&Log::default())).await;
    let mut delivering = server.hub.deliver("box-7", &Order { n: 1 });
    within(delivering.accepted()).await.unwrap();
    assert!(delivering.sent().now_or_never().is_none(), "the peer is not connected");
    let mut peer = server.peer("box-7").await;
    resume(&mut peer, 0).await;
    let first = peer.receive().await;
    within(delivering.sent()).await.unwrap();
    drop(peer);
    let mut peer = server.peer("box-7").await;
    let begin = resume(&mut peer, 0).await;
    let second = peer.receive().await;
    assert_eq!((&second["seq"], &second["data"]), (&first["seq"], &first["data"]));
    assert!((&mut delivering).now_or_never().is_none(), "the peer has not acknowledged it");
    acknowledge(&mut peer, &begin, second["seq"].as_u64().unwrap()).await;
    within(delivering).await.unwrap();
    assert!(server.hub.waiting("box-7").is_empty());
}

/// Row G16: a delivery that is dropped leaves its message where it is.
#[tokio::test]
async fn a_dropped_delivery_keeps_its_message() {
    let hub = hub(&Log::default());
    drop(hub.deliver("box-7", &Order { n: 1 }));
    assert!(hub.deliver("box-7", &Order { n: 2 }).now_or_never().is_none());
    assert_eq!(hub.waiting("box-7").len(), 2);
}

/// Row G16: a delivery says why its message was not handled.
#[tokio::test(start_paused = true)]
async fn a_delivery_says_why_its_message_was_not_handled() {
    let hub = hub(&Log::default());
    let expires = hub.deliver("box-7", &Order { n: 1 });
    advance(Duration::from_secs(3601)).await;
    assert!(matches!(expires.await, Err(DeliveryError::Expired)));

    let dropped = hub.deliver("box-7", &Order { n: 2 });
    assert_eq!(hub.drop_waiting("box-7"), 1);
    assert!(matches!(dropped.await, Err(DeliveryError::Dropped)));

    let older = hub.deliver("box-7", &Speed { n: 1 });
    let newer = hub.deliver("box-7", &Speed { n: 2 });
    assert!(matches!(older.await, Err(DeliveryError::Superseded)));
    drop(hub);
    assert!(matches!(newer.await, Err(DeliveryError::Ended)));

    let full = client("ws://127.0.0.1:1/", Outbox::new().messages(0)).deliver(&Order { n: 3 });
    assert!(matches!(full.await, Err(DeliveryError::NotAccepted(SendError::OutboxFull))));
}

/// Row G17: the reply of a handler is kept if its type is: it survives the end of the connection.
#[tokio::test]
async fn a_kept_reply_survives_its_connection() {
    let on_ask = |_: Value, _| async { Order { n: 1 } };
    let server = Server::start(Hub::builder().on("ask", on_ask).build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    peer.send_envelope("ask", json!(null)).await;
    let begin = peer.receive().await;
    assert_eq!(begin["type"], "delivery", "{begin}");
    drop(peer);
    let mut peer = server.peer("box-7").await;
    resume(&mut peer, 0).await;
    let order = peer.receive().await;
    assert_eq!((&order["type"], &order["data"]["n"]), (&json!("order"), &json!(1)));
    assert!(order["seq"].is_u64(), "{order}");
}

/// Row G16: a delivery ends with its client or its hub, although the program still holds them. Its
/// message stays.
#[tokio::test]
async fn a_delivery_ends_with_its_client_or_hub() {
    let server = Server::start(hub(&Log::default())).await;
    let client = client(&server.url("box-7"), Outbox::new());
    let waiting = client.deliver(&Order { n: 1 });
    client.close();
    assert!(matches!(within(waiting).await, Err(DeliveryError::Ended)));
    assert_eq!(client.waiting(), 1);

    let waiting = server.hub.deliver("box-7", &Order { n: 1 });
    within(server.hub.shutdown(Duration::from_secs(10))).await;
    assert!(matches!(within(waiting).await, Err(DeliveryError::Ended)));
    assert!(matches!(within(server.hub.deliver("box-7", &Order { n: 2 })).await, Err(DeliveryError::Ended)));
    assert_eq!(server.hub.waiting("box-7").len(), 2);
}

/// Row G16: a connection that a program holds does not hold its hub. When the hub is gone, nobody
/// keeps a message.
#[tokio::test]
async fn a_connection_does_not_hold_its_hub() {
    struct Counted(#[expect(dead_code, reason = "only its end counts")] Arc<()>);
    impl Observer for Counted {}
    let counted = Arc::new(());
    let hub = Hub::builder().without_handlers().observer(Counted(counted.clone())).build().unwrap();
    let peer = TestPeer::connect(&hub, "box-7").await.unwrap();
    let conn = hub.connection("box-7").unwrap();
    within(conn.send(&Order { n: 1 })).await.unwrap();
    drop((peer, hub));
    let error = within(conn.send(&Order { n: 2 })).await.unwrap_err();
    assert!(matches!(error, SendError::Closed), "{error}");
    within(async {
        while Arc::strong_count(&counted) > 1 {
            yield_now().await;
        }
    })
    .await;
}

/// Row G17: a broadcast of a kept type keeps the message for each connected peer, and for no other.
#[tokio::test]
async fn a_broadcast_is_kept_for_each_connected_peer() {
    let server = Server::start(hub(&Log::default())).await;
    within(server.hub.send_to("absent", &Order { n: 0 })).await.unwrap();
    let peers = [server.peer("a").await, server.peer("b").await];
    assert_eq!(within(server.hub.broadcast(&Order { n: 1 })).await.unwrap(), 2);
    drop(peers);
    for (id, expected) in [("a", 1), ("b", 1), ("absent", 1), ("unknown", 0)] {
        assert_eq!(server.hub.waiting(id).len(), expected, "{id}");
    }
    let mut peer = server.peer("b").await;
    resume(&mut peer, 0).await;
    assert_eq!(peer.receive().await["data"]["n"], 1);
}
