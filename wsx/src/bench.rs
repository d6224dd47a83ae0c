//! The engine without a socket, for tests that count allocations and benchmarks that count instructions.
use crate::{
    config::Config,
    connection::Connection,
    connection::queue::{self, Taken},
    dispatch::incoming::RawFrame,
    dispatch::router::{Router, Scope},
    envelope::Outbound,
    envelope::head::Head,
    protocol::endpoint::Endpoint,
    server::hub::Hub,
    wire::reader::{self, Link, Reader, Received},
};
use serde::Deserialize;
use std::{io, sync::Arc, task::Poll};
use tokio_tungstenite::tungstenite::protocol::Role;

/// A hub with one connection that nothing drives. Not for users, and not stable.
#[derive(Debug)]
pub struct Bench<E: Endpoint> {
    hub: Hub<E>,
    router: Arc<Router<E>>,
    conn: Connection,
}

impl<E: Endpoint> Bench<E> {
    /// The connection is not in the hub.
    #[must_use]
    pub fn new(hub: Hub<E>) -> Self {
        let router = hub.table();
        Self { hub, router, conn: Connection::unopened("".into(), Role::Server, &Config::default()) }
    }

    /// Parses, routes, decodes, and runs the handler to its end. Whether it replied.
    pub async fn dispatch(&self, text: &str) -> bool {
        let scope = Scope {
            endpoint: self.hub.endpoint(),
            hub: Some(&self.hub),
            router: &self.router,
            config: self.hub.config(),
            observer: self.hub.observer(),
            ignored: self.hub.ignored_counter(),
        };
        let frame = RawFrame::Text(text.into());
        self.router.message(&scope, &self.conn, &frame).await.is_some()
    }

    /// Reads all messages out of what a peer sent; their number.
    #[must_use]
    pub fn read(&self, sent: Vec<u8>) -> usize {
        let mut reader = Reader::new(Role::Server, sent, self.hub.config());
        let mut messages = 0;
        while let Poll::Ready(Ok(Received::Data(message))) = reader.poll(&mut Silence) {
            messages += 1;
            reader::recycle(message);
        }
        reader.settle();
        messages
    }

    /// The payload of an envelope, as a handler gets it, and nothing else.
    #[must_use]
    pub fn decode<'f, T: Deserialize<'f>>(text: &'f str) -> Option<T> {
        Head::quick(text)?.data.decode()
    }

    /// Encodes the message and queues it, if there is room.
    pub fn queue<M: Outbound>(&self, message: &M) -> bool {
        self.conn.try_send(message).is_ok()
    }

    /// Encodes the message and queues it as a handler's reply, if there is room.
    pub fn reply<M: Outbound>(&self, message: &M) -> bool {
        message.encode(Role::Server).is_ok_and(|reply| self.conn.queue().try_append(reply.as_bytes()).is_ok())
    }

    /// Takes what is queued, as the task does before a write; the number of bytes.
    pub fn take(&self) -> usize {
        let mut bytes = 0;
        loop {
            match self.conn.queue().take() {
                Taken::Nothing => return bytes,
                Taken::One(frame) => bytes += frame.len(),
                Taken::Many(batch) => {
                    bytes += batch.len();
                    queue::recycle(batch);
                }
            }
        }
    }

    /// Enters so many connections into the hub.
    #[must_use]
    pub fn join(&self, connections: usize) -> Vec<Connection> {
        (0..connections).filter_map(|n| self.hub.open(n.to_string().into())).collect()
    }

    /// The hub, to broadcast through.
    pub fn hub(&self) -> &Hub<E> {
        &self.hub
    }
}

/// A peer that says no more.
struct Silence;

impl Link for Silence {
    fn poll_read(&mut self, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn answer(&mut self, _: &[u8]) -> bool {
        true
    }
}
