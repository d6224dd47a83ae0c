//! The engine between the nodes on NATS' core. Everything else about NATS is below this module.
//!
//! One task looks after the connection. It dials, subscribes, and proves with packets to itself
//! that what is sent to this node arrives. Only then is the bus up, with a new [`Link`]. For each
//! link it runs five tasks:
//!
//! ```text
//! publish ── queue ── writer, paced ─┐             ┌─ reader of NS.all ──────────┐
//! tell ─┐                            ├─ NATS ──────┼─ reader of NS.node.ME ──────┼─ events
//! ask ──┼─── queue ── writer ────────┘             └─ reader of NS.reply.ME.* ─── answers
//! answer ┘
//! ```
//!
//! async-nats could reconnect by itself, and has requests. Neither is used:
//!
//! - Between two connections, it keeps up to 2,048 packets of any size, and sends them late. Its
//!   task cannot be ended while it dials. It does not say why it cannot connect.
//! - It keeps an entry for each request that was not answered in time, for ever.
//!
//! So each link has a client of its own, and nothing survives a link. A packet is handed to
//! async-nats only when the ones before are in the socket, so the queues here are the only ones.
mod budget;
mod dial;
mod error;
mod link;
mod options;
mod pace;
mod read;
mod run;
mod subjects;
#[cfg(test)]
mod tests;
mod write;

pub use error::NatsError;
pub use options::Nats;

use self::{link::Link, subjects::Subjects};
use crate::cluster::{
    bus::{AskError, Bus, NodeId, NotPublished},
    events::{EventSender, Events, queue},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{task::AbortHandle, time::Instant};

/// The longest payload before the first connection: what a NATS server allows by default.
const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;

/// Connects this node, on the current runtime, until [`Running`] is dropped.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub(crate) fn start(options: Nats, node: NodeId) -> (Arc<dyn Bus>, Events, Running) {
    let (sender, events) = queue();
    let shared = Arc::new(Shared {
        link: RwLock::default(),
        max_payload: RwLock::new(DEFAULT_MAX_PAYLOAD),
        subjects: Arc::new(Subjects::new(&options.namespace, node)),
        events: sender,
    });
    let task = tokio::spawn(run::run(options, node, Arc::clone(&shared)));
    (Arc::new(NatsBus(shared)), events, Running(task.abort_handle()))
}

/// The tasks of a bus. They end when this is dropped, and the bus is down.
#[derive(Debug)]
pub(crate) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the bus and its tasks share.
#[derive(Debug)]
struct Shared {
    /// The link that is up.
    link: RwLock<Option<Arc<Link>>>,
    /// That of the last link.
    max_payload: RwLock<usize>,
    subjects: Arc<Subjects>,
    events: EventSender,
}

impl Shared {
    fn link(&self) -> Option<Arc<Link>> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_link(&self, link: Option<Arc<Link>>) -> Option<Arc<Link>> {
        if let Some(link) = &link {
            *self.max_payload.write().unwrap_or_else(PoisonError::into_inner) = link.max_payload;
        }
        std::mem::replace(&mut *self.link.write().unwrap_or_else(PoisonError::into_inner), link)
    }
}

struct NatsBus(Arc<Shared>);

impl NatsBus {
    /// Whether a packet can be sent at all. The node does not make longer ones. If it does so
    /// between two servers with different bounds, they are lost.
    fn fits(&self, payload: &Bytes) -> bool {
        payload.len() <= self.max_payload()
    }
}

impl Bus for NatsBus {
    fn up_since(&self) -> Option<Instant> {
        Some(self.0.link()?.up_since)
    }

    fn max_payload(&self) -> usize {
        *self.0.max_payload.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, payload: Bytes) -> Result<(), NotPublished> {
        let link = self.0.link().ok_or(NotPublished::Down)?;
        if self.fits(&payload) { link.publish(payload) } else { Ok(()) }
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        async {
            if let Some(link) = self.0.link() {
                link.room().await;
            }
        }
        .boxed()
    }

    fn flushed(&self) -> BoxFuture<'_, ()> {
        async {
            if let Some(link) = self.0.link() {
                link.flushed().await;
            }
        }
        .boxed()
    }

    fn ask(&self, node: NodeId, payload: Bytes, timeout: Duration) -> BoxFuture<'_, Result<Bytes, AskError>> {
        async move {
            let link = self.0.link().ok_or(AskError::Down)?;
            if self.fits(&payload) { link.ask(node, payload, timeout).await } else { Err(AskError::TimedOut) }
        }
        .boxed()
    }

    fn tell(&self, node: NodeId, payload: Bytes) {
        if let Some(link) = self.0.link().filter(|_| self.fits(&payload)) {
            // It is lost if there is no room, as the trait says.
            link.tell(node, payload);
        }
    }

    fn lost(&self) -> u64 {
        self.0.events.lost()
    }
}
