//! NATS is not there, or is gone for a time.
use crate::{node, node_of, nodes, status, until};
use serde_json::json;
use std::time::{Duration, Instant};
use wsx::{CancellationToken, Client, Envelope, SendError, cluster::Nats};
use wsx_cluster_tests::NatsServer;
use wsx_tests::{
    Peer,
    weak_link::{WeakLink, Weakness},
    within,
};

fn note(n: u64) -> Envelope<u64> {
    Envelope::with_type("note", n)
}

/// Sends until it arrives, and returns how long this took. A send that failed may have arrived.
async fn until_sent(node: &crate::Node, id: &str, peer: &mut Peer, n: u64) -> Duration {
    let start = Instant::now();
    within(async {
        while node.hub.send_to(id, &note(n)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while peer.receive_data().await.1 != json!(n) {}
    })
    .await;
    start.elapsed()
}

/// Row J8: hubs serve their boxes without nats and join when it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_serve_their_boxes_without_nats_and_join_when_it_comes() {
    let mut server = NatsServer::stopped();
    let (one, two) = (node(&server, "one").await, node(&server, "two").await);
    let mut peer = one.peer("box").await;
    within(one.hub.send_to("box", &note(1))).await.unwrap();
    within(one.hub.broadcast(&note(2))).await.unwrap();
    assert_eq!([peer.receive_data().await.1, peer.receive_data().await.1], [json!(1), json!(2)]);
    assert!(!status(&one).connected && !status(&two).connected);
    assert!(within(two.hub.send_to("box", &note(3))).await.is_err());
    server.restart();
    until(|| two.hub.is_connected("box")).await;
    println!("{:?}", until_sent(&two, "box", &mut peer, 4).await);
}

/// Row J8: nats is killed twenty times and the nodes come back each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_killed_twenty_times_and_the_nodes_come_back_each_time() {
    let mut server = NatsServer::start();
    let [one, two] = nodes(&server).await;
    let (mut near, mut far) = (two.peer("near").await, one.peer("far").await);
    until(|| two.hub.is_connected("far")).await;
    let mut longest = Duration::ZERO;
    for n in 0..20 {
        server.kill();
        until(|| !status(&one).connected && !status(&two).connected).await;
        let start = Instant::now();
        within(two.hub.send_to("near", &note(n))).await.expect("the own boxes are served");
        assert_eq!(near.receive_data().await.1, json!(n));
        let unreachable = within(two.hub.send_to("far", &note(n))).await;
        assert!(matches!(unreachable, Err(SendError::NodeUnreachable)), "{unreachable:?}");
        println!("without NATS: {:?}", start.elapsed());
        server.restart();
        longest = longest.max(until_sent(&two, "far", &mut far, 1000 + n).await);
    }
    println!("back after {longest:?} at most");
    until(|| one.hub.len() == 2 && two.hub.len() == 2).await;
}

/// Row J8: a node that is cut off from nats comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_nats_comes_back() {
    let server = NatsServer::start();
    let link = WeakLink::start(&server.address().to_string(), Weakness::default());
    let one = node_of(Nats::connect(&link.address).unwrap(), "one").await;
    let two = node(&server, "two").await;
    until(|| status(&one).nodes.len() == 1 && status(&two).nodes.len() == 1).await;
    let mut peer = one.peer("box").await;
    until(|| two.hub.is_connected("box")).await;
    // A cable is pulled, which nobody says.
    link.fall_silent();
    let start = Instant::now();
    until(|| !status(&one).connected).await;
    println!("noticed after {:?}", start.elapsed());
    within(one.hub.send_to("box", &note(1))).await.expect("the own boxes are served");
    assert_eq!(peer.receive_data().await.1, json!(1));
    link.heal();
    println!("back after {:?}", until_sent(&two, "box", &mut peer, 2).await);
}

/// Row J10: a client of a node that shuts down is back at another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_node_that_shuts_down_is_back_at_another_one() {
    let server = NatsServer::start();
    let [one, two] = nodes(&server).await;
    let mut raw = one.peer("raw").await;
    let client = Client::builder([one.url("box"), two.url("box")]).build().unwrap();
    let _running = within(client.start(CancellationToken::new())).await.unwrap();
    until(|| two.hub.is_connected("box") && two.hub.is_connected("raw")).await;
    let at_two = two.hub.clone();
    let stopping = tokio::spawn(one.stop());
    assert_eq!(raw.close().await.0, 1012);
    until(|| at_two.connection("box").is_some()).await;
    until(|| status(&two).nodes.is_empty()).await;
    within(stopping).await.unwrap();
}
