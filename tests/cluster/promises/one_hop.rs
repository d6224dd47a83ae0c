//! What one node does for the boxes of another.
use crate::{nodes, until};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use wsx::{CancellationToken, Client, CloseCode, Envelope, RequestError, SendError};
use wsx_cluster_tests::NatsServer;
use wsx_tests::within;

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Double {
    n: u64,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Doubled {
    n: u64,
}

#[wsx::handler("double")]
fn on_double(double: Double) -> Doubled {
    Doubled { n: 2 * double.n }
}

/// Rows J2, J4, J6: a node reaches the boxes of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reaches_the_boxes_of_the_others() {
    let server = NatsServer::start();
    let [one, two] = nodes(&server).await;
    let (mut box_one, mut fan) = (one.peer("box").await, two.peer("fan").await);
    for node in [&one, &two] {
        until(|| node.hub.len() == 2).await;
        let mut ids = node.hub.ids();
        ids.sort();
        assert_eq!(ids, ["box", "fan"]);
        assert!(node.hub.is_connected("box") && node.hub.is_connected("fan"));
        let presence = node.hub.presence();
        until(|| presence.get("box").is_some_and(|status| status.online)).await;
    }
    let note = |n: u64| Envelope::with_type("note", n);
    within(two.hub.send_to("box", &note(1))).await.unwrap();
    assert_eq!(box_one.receive_data().await, ("note".to_owned(), json!(1)));
    within(one.hub.send_to("fan", &note(2))).await.unwrap();
    assert_eq!(fan.receive_data().await, ("note".to_owned(), json!(2)));
    within(one.hub.broadcast(&note(3))).await.unwrap();
    within(one.hub.broadcast_to("fans", &note(4))).await.unwrap();
    within(one.hub.broadcast(&note(5))).await.unwrap();
    for n in [3, 4, 5] {
        assert_eq!(fan.receive_data().await.1, json!(n));
    }
    for n in [3, 5] {
        assert_eq!(box_one.receive_data().await.1, json!(n));
    }
    within(two.hub.close("box", CloseCode::from(4321), "from afar")).await.unwrap();
    assert_eq!(box_one.close().await, (4321, "from afar".to_owned()));
    until(|| two.hub.len() == 1).await;
    let gone = within(two.hub.send_to("box", &note(6))).await;
    assert!(matches!(gone, Err(SendError::NoSuchConnection(id)) if id == "box"));
}

/// Row J2: a request reaches a box of another node and its reply comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_a_box_of_another_node_and_its_reply_comes_back() {
    let server = NatsServer::start();
    let [one, two] = nodes(&server).await;
    let client = Client::builder(one.url("box")).build().unwrap();
    let _running = within(client.start(CancellationToken::new())).await.unwrap();
    until(|| two.hub.is_connected("box")).await;
    for n in 0..100 {
        let doubled = within(two.hub.request_as::<Doubled>("box", &Double { n })).await.unwrap();
        assert_eq!(doubled.n, 2 * n);
    }
    let unknown = within(two.hub.request_as::<Doubled>("nobody", &Double { n: 1 })).await;
    assert!(matches!(unknown, Err(RequestError::NoSuchConnection(_))), "{unknown:?}");
    let _silent = one.peer("silent").await;
    until(|| two.hub.is_connected("silent")).await;
    let late = two.hub.request_as::<Doubled>("silent", &Double { n: 1 }).timeout(Duration::from_millis(100));
    assert!(matches!(within(late).await, Err(RequestError::TimedOut)));
}

/// Row J5: an id that connects at another node replaces the older connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_connects_at_another_node_replaces_the_older_connection() {
    let server = NatsServer::start();
    let [one, two] = nodes(&server).await;
    let mut older = one.peer("box").await;
    until(|| two.hub.is_connected("box")).await;
    let mut newer = two.peer("box").await;
    assert_eq!(older.close().await.0, u16::from(CloseCode::REPLACED));
    until(|| one.hub.len() == 1 && two.hub.len() == 1).await;
    within(one.hub.send_to("box", &Envelope::with_type("note", 1))).await.unwrap();
    assert_eq!(newer.receive_data().await.1, json!(1));
}

/// Row J11: a message that nats does not carry is too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nats_does_not_carry_is_too_long() {
    let server = NatsServer::start_with("max_payload: 4096");
    let [one, two] = nodes(&server).await;
    let mut peer = one.peer("box").await;
    until(|| two.hub.is_connected("box")).await;
    let long = Envelope::with_type("note", "a".repeat(5000));
    let sent = within(two.hub.send_to("box", &long)).await;
    assert!(matches!(sent, Err(SendError::TooLong { .. })), "{sent:?}");
    within(one.hub.send_to("box", &long)).await.expect("the own boxes receive it");
    assert_eq!(peer.receive_data().await.0, "note");
}
