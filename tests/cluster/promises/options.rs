//! Who is in a cluster, and over which connections.
use crate::{Node, node_of, status, until};
use serde_json::json;
use wsx::{Envelope, SendError, cluster::Nats};
use wsx_cluster_tests::NatsServer;
use wsx_tests::within;

/// Row J1: nodes need the same namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_need_the_same_namespace() {
    let server = NatsServer::start();
    let nats = |namespace: &str| Nats::connect(server.url()).unwrap().namespace(namespace).unwrap();
    let one = node_of(nats("plant-7"), "one").await;
    let other = node_of(nats("plant-8"), "other").await;
    let two = node_of(nats("plant-7"), "two").await;
    let names = |node: &Node| status(node).nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    until(|| names(&one) == ["two"] && names(&two) == ["one"]).await;
    until(|| status(&other).connected).await;
    assert!(names(&other).is_empty());
    let mut peer = one.peer("box").await;
    until(|| two.hub.is_connected("box")).await;
    let note = |n: u64| Envelope::with_type("note", n);
    let unknown = within(other.hub.send_to("box", &note(1))).await;
    assert!(matches!(unknown, Err(SendError::NoSuchConnection(_))), "{unknown:?}");
    within(other.hub.broadcast(&note(2))).await.unwrap();
    within(two.hub.broadcast(&note(3))).await.unwrap();
    assert_eq!(peer.receive_data().await.1, json!(3));
}

/// Row J12: nodes join with tls and a password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_join_with_tls_and_a_password() {
    let mut server = NatsServer::stopped();
    let authority = wsx_tls_tests::Authority::default();
    let issued = authority.issue(&[&server.address().ip().to_string()]);
    let tls = server.with_tls(&issued.pem, &issued.key_pem());
    server.restart_with(&(NatsServer::with_user("hub", "s3cret") + &tls));
    let roots = server.folder().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let nats = || {
        let url = format!("tls://hub:s3cret@{}", server.address());
        Nats::connect(url).unwrap().root_certificates(&roots).unwrap()
    };
    let (one, two): (Node, Node) = (node_of(nats(), "one").await, node_of(nats(), "two").await);
    until(|| status(&one).nodes.len() == 1).await;
    let mut peer = one.peer("box").await;
    until(|| two.hub.is_connected("box")).await;
    within(two.hub.send_to("box", &Envelope::with_type("note", 1))).await.unwrap();
    assert_eq!(peer.receive_data().await.1, json!(1));
}
