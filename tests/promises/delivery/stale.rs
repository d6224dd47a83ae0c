//! Kept messages beside connections, runtimes and disks that are gone.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use tokio::runtime;
use wsx::{
    CancellationToken, Client, Hub, SendError,
    delivery::{DeliveryError, Mailbox},
};
use wsx_tests::{Log, Peer, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Order {
    n: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "50ms")]
struct Brief {
    n: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest)]
struct Speed {
    n: u32,
}

/// A hub that logs the orders.
fn hub(log: &Log<u32>, mailbox: Mailbox) -> Hub {
    let log = log.clone();
    let on_order = move |order: Order, _| {
        log.add(order.n);
        async {}
    };
    Hub::builder().on("order", on_order).mailbox(mailbox).build().unwrap()
}

/// Answers the hub's begin: the peer has handled nothing.
async fn resume(peer: &mut Peer) {
    let begin = peer.receive().await["seq"].clone();
    assert!(begin["first"].is_u64(), "{begin}");
    peer.send(json!({"type": "delivery", "ack": {"epoch": begin["epoch"], "seq": 0, "latest": 0}}).to_string()).await;
}

/// Row G17: what is kept through an old connection leaves on the present one.
#[tokio::test]
async fn a_send_on_an_old_connection_of_a_hub_leaves_on_the_present_one() {
    let log = Log::default();
    let server = Server::start(hub(&log, Mailbox::new())).await;
    let peer = server.peer("box-7").await;
    let old = server.hub.connection("box-7").unwrap();
    drop(peer);
    within(old.closed()).await;
    let mut peer = server.peer("box-7").await;
    peer.send_envelope("order", json!({"n": 1})).await;
    assert_eq!(log.next().await, 1, "the connection is open");
    within(old.send(&Order { n: 2 })).await.unwrap();
    resume(&mut peer).await;
    assert_eq!(peer.receive().await["data"]["n"], 2);
}

/// Row G17: the same for a client.
#[tokio::test]
async fn a_send_on_an_old_connection_of_a_client_leaves_on_the_present_one() {
    let log = Log::default();
    let server = Server::start(hub(&log, Mailbox::new())).await;
    let (opened, conns) = (Log::default(), Log::default());
    let client = Client::builder(server.url("box-7"));
    let on_speed = {
        let opened: Log<u32> = opened.clone();
        move |speed: Speed, _| {
            opened.add(speed.n);
            async {}
        }
    };
    let client = client.on("speed", on_speed).build().unwrap();
    let register = {
        let conns: Log<wsx::Connection> = conns.clone();
        move |conn: &wsx::Connection| conns.add(conn.clone())
    };
    within(client.connect(CancellationToken::new(), register)).await.unwrap();
    let old = conns.next().await;
    server.hub.connection("box-7").unwrap().close();
    within(old.closed()).await;
    conns.next().await;
    within(server.hub.send_to("box-7", &Speed { n: 1 })).await.unwrap();
    assert_eq!(opened.next().await, 1, "the connection is open");
    within(old.send(&Order { n: 2 })).await.unwrap();
    assert_eq!(log.next().await, 2);
    client.close();
}

/// Row G16: a message whose time to live ends while it is on its way has expired when its
/// connection ends, also if the peer never comes again.
#[tokio::test]
async fn a_message_on_its_way_expires_with_its_connection() {
    let server = Server::start(hub(&Log::default(), Mailbox::new())).await;
    let mut peer = server.peer("box-7").await;
    let delivering = server.hub.deliver("box-7", &Brief { n: 1 });
    resume(&mut peer).await;
    assert_eq!(peer.receive().await["data"]["n"], 1);
    let delivering = tokio::spawn(delivering);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!delivering.is_finished(), "the peer may still handle it");
    drop(peer);
    let expired = within(delivering).await.unwrap();
    assert!(matches!(expired, Err(DeliveryError::Expired)), "{expired:?}");
}

/// Row G15: messages that a full disk rejects leave nothing that waits for the disk.
#[tokio::test]
async fn rejected_messages_do_not_wait_for_the_disk() {
    let store = MemoryStore::default();
    let server = Server::start(hub(&Log::default(), Mailbox::new().store(store.clone()))).await;
    for id in ["absent", "box-7"] {
        within(server.hub.send_to(id, &Order { n: 0 })).await.unwrap();
    }
    let mut peer = server.peer("box-7").await;
    resume(&mut peer).await;
    peer.receive().await;
    store.set_full(true);
    for n in 1..=200 {
        for id in ["absent", "box-7"] {
            let sent = within(server.hub.send_to(id, &Order { n })).await;
            assert!(matches!(sent, Err(SendError::Store(_))), "{sent:?}");
            let sent = within(server.hub.send_to(id, &Speed { n })).await;
            assert!(matches!(sent, Err(SendError::Store(_))), "{sent:?}");
        }
    }
    let most = store.longest_commit();
    assert!(most < 20, "{most} changes wait for the disk");
}

/// Row G5: acknowledgements go on after the runtime of an earlier connection has ended.
#[test]
fn acknowledgements_go_on_after_the_end_of_a_runtime() {
    let log = Log::default();
    let hub = hub(&log, Mailbox::new());
    for round in 0..2_u64 {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let hub = hub.clone();
        runtime.block_on(async {
            let server = Server::start(hub).await;
            let mut peer = server.peer("box-7").await;
            peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": 1, "last": 9}}).to_string()).await;
            assert_eq!(peer.receive().await["ack"]["seq"], 3 * round);
            for n in 3 * round + 1..=3 * round + 3 {
                peer.send(json!({"type": "order", "seq": n, "data": {"n": n}}).to_string()).await;
                assert_eq!(u64::from(log.next().await), n);
            }
            if round == 1 {
                while peer.receive().await["ack"]["seq"] != 6 {}
            }
        });
        // Its tasks are dropped. A delayed acknowledgement may be one of them.
        drop(runtime);
    }
}

/// Row G26: handled numbers do not fill the memory while the disk is slow: the last ones wait for
/// the write before them.
#[tokio::test]
async fn handled_numbers_do_not_wait_for_the_disk() {
    let (log, store) = (Log::default(), MemoryStore::default());
    let (began, go_on) = store.hold();
    let server = Server::start(hub(&log, Mailbox::new().store(store.clone()))).await;
    // The first commit has the epoch.
    within(began).await.unwrap();
    let mut peer = server.peer("box-7").await;
    peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": 1, "last": 500}}).to_string()).await;
    assert_eq!(peer.receive().await["ack"]["seq"], 0);
    for n in 1..=500 {
        let order = json!({"ver": 1, "type": "order", "ts": 5, "seq": n, "data": {"n": n}});
        peer.send(order.to_string()).await;
        assert_eq!(log.next().await, n);
    }
    go_on.send(()).unwrap();
    while peer.receive().await["ack"]["seq"] != 500 {}
    assert!(store.longest_commit() < 10, "{} changes in a commit", store.longest_commit());
}
