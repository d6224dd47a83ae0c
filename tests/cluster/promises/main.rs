//! The promises of a cluster, through a real NATS server.
mod one_hop;
mod options;
mod outages;

use std::{future::Future, time::Duration};
use wsx::{
    Hub, Identity, Rejection,
    cluster::{ClusterStatus, Nats},
    http::request::Parts,
};
use wsx_cluster_tests::NatsServer;
use wsx_tests::{Server, query_id, within};

/// A hub without handlers of its own.
type Node = Server<wsx::Untyped>;

/// Starts a hub on this NATS, with this name. An id that begins with `fan` has the label `fans`.
async fn node_of(nats: Nats, name: &str) -> Node {
    let nats = nats.name(name).expect("a name");
    let hub = Hub::builder().cluster(nats).without_handlers().build().expect("a hub");
    let identity = |request: Parts| async move {
        let id = query_id(request).await?;
        let is_fan = id.starts_with("fan");
        let identity = Identity::new(id);
        Ok::<_, Rejection>(if is_fan { identity.label("fans") } else { identity })
    };
    let upgrade = hub.ws_handler(identity, |_| {});
    Server::start_at(hub, upgrade, "127.0.0.1:0").await
}

async fn node(server: &NatsServer, name: &str) -> Node {
    node_of(Nats::connect(server.url()).expect("a URL"), name).await
}

/// Starts this number of hubs, and waits until each of them knows the others.
async fn nodes<const N: usize>(server: &NatsServer) -> [Node; N] {
    let mut nodes = Vec::new();
    for number in 0..N {
        nodes.push(node(server, &format!("node {number}")).await);
    }
    for node in &nodes {
        until(|| status(node).nodes.len() == N - 1).await;
    }
    nodes.try_into().expect("as many as were started")
}

fn status(node: &Node) -> ClusterStatus {
    node.hub.cluster().expect("it is a node")
}

/// Waits until this holds.
#[track_caller]
fn until(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(async move {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}
