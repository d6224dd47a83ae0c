//! Handlers that fail: their messages never count as handled at the sender. Row G6 of the
//! specification.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::Semaphore;
use wsx::{
    CancellationToken, Client, Hub,
    delivery::{DeliveryError, Mailbox},
};
use wsx_tests::{Log, Peer, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Order {
    n: u32,
}

/// Fails for each order but the first one, whose handler waits.
#[derive(wsx::Endpoint)]
struct Desk {
    log: Log<u32>,
    first: Semaphore,
}

#[wsx::handler(on = Desk, concurrent = 400)]
async fn on_order(desk: &Desk, order: Order) -> Result<(), &'static str> {
    if order.n == 1 {
        let _ = desk.first.acquire().await;
        return Ok(());
    }
    desk.log.add(order.n);
    Err("no space")
}

fn hub(mailbox: Mailbox) -> Hub<Desk> {
    let desk = Desk { log: Log::default(), first: Semaphore::new(0) };
    Hub::builder().endpoint(desk).mailbox(mailbox).build().unwrap()
}

fn assert_no_space(result: &Result<(), DeliveryError>) {
    assert!(
        matches!(result, Err(DeliveryError::Failed { code, message }) if code == "failed" && message == "no space"),
        "{result:?}"
    );
}

/// Row G6: while the disk of the receiver is slow, hundreds of failures wait for it, and each of
/// them reaches its sender.
#[tokio::test]
async fn each_failure_of_a_slow_receiver_reaches_its_sender() {
    let store = MemoryStore::default();
    let (began, go_on) = store.hold();
    let server = Server::start(hub(Mailbox::new().store(store.clone()))).await;
    // The first commit has the epoch.
    within(began).await.unwrap();
    let client = Client::builder(server.url("box-7")).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let warm: Vec<_> = (0..100).map(|_| client.deliver(&Order { n: 2 })).collect();
    go_on.send(()).unwrap();
    for delivering in warm {
        assert_no_space(&within(delivering).await);
    }
    let (began, go_on) = store.hold();
    let deliveries: Vec<_> = (0..300).map(|n| client.deliver(&Order { n: 1000 + n })).collect();
    within(began).await.unwrap();
    go_on.send(()).unwrap();
    for delivering in deliveries {
        assert_no_space(&within(delivering).await);
    }
    client.close();
}

/// Row G6: failures wait for an earlier message whose handler still runs, and for the next
/// connection.
#[tokio::test]
async fn failures_wait_for_an_earlier_message() {
    let server = Server::start(hub(Mailbox::new())).await;
    let desk = server.hub.endpoint();
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer, 1).await["seq"], 0);
    for n in 1..=300 {
        send(&mut peer, n).await;
    }
    for _ in 2..=300 {
        within(desk.log.next()).await;
    }
    desk.first.add_permits(1);
    let failed = failed_until(&mut peer, 300).await;
    assert_eq!(failed, (2..=300).collect::<Vec<_>>());
    // The acknowledgements may have been lost.
    let mut peer = server.peer("box-7").await;
    let ack = begin(&mut peer, 101).await;
    assert_eq!(numbers(&ack), (101..=300).collect::<Vec<_>>());
    // The peer has the answer.
    send(&mut peer, 301).await;
    assert_eq!(failed_until(&mut peer, 301).await, [301]);
    let mut peer = server.peer("box-7").await;
    assert_eq!(numbers(&begin(&mut peer, 1).await), [301]);
}

/// Row G6: a restart of the receiver forgets no failure, if it has a store.
#[tokio::test]
async fn failures_survive_a_restart_of_the_receiver() {
    let store = MemoryStore::default();
    {
        let hub = hub(Mailbox::new().store(store.clone()));
        let server = Server::start(hub.clone()).await;
        let mut peer = server.peer("box-7").await;
        begin(&mut peer, 1).await;
        for n in 2..=100 {
            send(&mut peer, n).await;
        }
        assert_eq!(failed_until(&mut peer, 100).await.len(), 99);
        within(hub.shutdown(Duration::from_secs(10))).await;
    }
    let server = Server::start(hub(Mailbox::new().store(store))).await;
    let mut peer = server.peer("box-7").await;
    let ack = begin(&mut peer, 51).await;
    assert_eq!(ack["seq"], 100);
    assert_eq!(ack["failed"][0], json!({"seq": 51, "code": "failed"}), "without the text");
    assert_eq!(numbers(&ack), (51..=100).collect::<Vec<_>>());
}

async fn begin(peer: &mut Peer, first: u64) -> Value {
    peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": first, "last": 999}}).to_string()).await;
    within(async {
        loop {
            let ack = peer.receive().await["ack"].take();
            if !ack.is_null() {
                return ack;
            }
        }
    })
    .await
}

async fn send(peer: &mut Peer, n: u64) {
    peer.send(json!({"type": "order", "seq": n, "data": {"n": n}}).to_string()).await;
}

/// Returns the numbers of the failures in the acknowledgements up to this one.
async fn failed_until(peer: &mut Peer, seq: u64) -> Vec<u64> {
    let mut failed = Vec::new();
    loop {
        let ack = within(peer.receive()).await["ack"].take();
        failed.extend(numbers(&ack));
        if ack["seq"] == seq {
            return failed;
        }
    }
}

/// Returns the numbers of the failures in an acknowledgement.
fn numbers(ack: &Value) -> Vec<u64> {
    let failed = ack["failed"].as_array().map_or(&[][..], |failed| failed);
    failed.iter().map(|failed| failed["seq"].as_u64().unwrap()).collect()
}
