//! A node of wsx: a hub that NATS joins with the other hubs. All settings are the defaults.
use super::{
    node::{self, Fault, Node},
    servers::NODES,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, net::Ipv4Addr, sync::Arc, time::Duration};
use wsx::{Hub, Rejection, cluster::Nats, http::request::Parts};

/// The arguments of a node.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    broker: String,
    address: Ipv4Addr,
    text: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct News<'a> {
    n: u64,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Clone)]
struct Server {
    hub: Hub,
    text: Arc<str>,
}

impl Server {
    fn news(&self, n: u64) -> News<'_> {
        News { n, text: Cow::Borrowed(&self.text) }
    }
}

impl Node for Server {
    async fn broadcast(&self, n: u64) -> Result<(), Fault> {
        Ok(self.hub.broadcast(&self.news(n)).await.map(drop)?)
    }

    async fn send(&self, n: u64, id: &str) -> Result<(), Fault> {
        Ok(self.hub.send_to(id, &self.news(n)).await.map(drop)?)
    }
}

/// Takes the id from the query.
async fn id(request: Parts) -> Result<String, Rejection> {
    let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
    Ok(id.unwrap_or_default().to_owned())
}

/// Runs a node until its standard input ends.
#[tokio::main]
pub(crate) async fn serve(arguments: Arguments) -> Result<(), Fault> {
    // On a worker, like the connections.
    tokio::spawn(run(arguments)).await?
}

async fn run(Arguments { broker, address, text }: Arguments) -> Result<(), Fault> {
    let (listener, lines) = node::listen(address).await?;
    let hub = Hub::builder().cluster(Nats::connect(&broker)?).without_handlers().build()?;
    // The comparison waits for this for some time only.
    while hub.cluster().is_none_or(|cluster| cluster.nodes.len() < NODES - 1) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node::announce(&listener, &lines)?;
    tokio::spawn(node::obey(lines, Server { hub: hub.clone(), text: text.into() }));
    hub.ws_handler(id, |_| {}).serve(listener).await;
    Err("the hub stopped by itself".into())
}
