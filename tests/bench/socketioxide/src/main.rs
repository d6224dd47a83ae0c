//! A node of a cluster: socketioxide with its Redis adapter, as its documentation shows.
//! `tests/bench/install.sh` builds it, and `wsx-bench cluster` runs it.
#[path = "../../src/cluster/node.rs"]
mod node;

use axum::{Router, serve::ListenerExt};
use node::{Fault, Node};
use serde::Serialize;
use socketioxide::{SocketIo, adapter::Emitter, extract::SocketRef};
use socketioxide_redis::{
    CustomRedisAdapter, RedisAdapter, RedisAdapterCtr,
    drivers::redis::{RedisDriver, redis_client::Client},
};
use std::{env, net::Ipv4Addr, sync::Arc};

type Adapter = CustomRedisAdapter<Emitter, RedisDriver>;

#[derive(Serialize)]
struct News<'a> {
    n: u64,
    text: &'a str,
}

#[derive(Clone)]
struct Server {
    io: SocketIo<Adapter>,
    text: Arc<str>,
}

impl Node for Server {
    async fn broadcast(&self, n: u64) -> Result<(), Fault> {
        // Its error cannot go to another thread.
        Ok(self.io.emit("news", &News { n, text: &self.text }).await.map_err(|error| error.to_string())?)
    }

    async fn send(&self, n: u64, id: &str) -> Result<(), Fault> {
        let room = self.io.to(id.to_owned());
        Ok(room.emit("news", &News { n, text: &self.text }).await.map_err(|error| error.to_string())?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let [broker, address, text]: [String; 3] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "usage: BROKER ADDRESS TEXT")?;
    // On a worker, like the connections.
    tokio::spawn(run(broker, address.parse()?, text.into())).await?
}

async fn run(broker: String, address: Ipv4Addr, text: Arc<str>) -> Result<(), Fault> {
    let (listener, lines) = node::listen(address).await?;
    let client = Client::open(format!("{broker}?protocol=resp3"))?;
    let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
    let (layer, io) = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    // Unlike npm's socket.io, this does not do so by itself.
    io.ns("/", async |socket: SocketRef<Adapter>| socket.join(socket.id)).await?;
    node::announce(&listener, &lines)?;
    tokio::spawn(node::obey(lines, Server { io, text }));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().layer(layer)).await?)
}
