//! Moves what comes from NATS on to the node, and to those who wait for an answer. It never waits
//! for them.
use super::{Shared, link::Link};
use crate::cluster::bus::{Answerer, AskError, Event};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Longer payloads stay in the buffer that was read from the socket. A shorter one would keep alive
/// the many others that are in it.
const COPIED: usize = 4096;

/// What was heard on a link.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Messages of any kind.
    pub(super) messages: AtomicU64,
    /// Probes of this node that came back.
    pub(super) probes: AtomicU64,
}

/// Reads the subject of all nodes.
pub(super) async fn all(mut messages: Subscriber, shared: Arc<Shared>, link: Arc<Link>, heard: Arc<Heard>) {
    while let Some(message) = messages.next().await {
        heard.messages.fetch_add(1, Relaxed);
        // With a reply, it is a node that proves its subscription.
        if message.reply.is_none() {
            shared.events.packet(link.number, Event::Published(payload(&message)));
        }
    }
}

/// Reads the subject of this node.
pub(super) async fn own(mut messages: Subscriber, shared: Arc<Shared>, link: Arc<Link>, heard: Arc<Heard>) {
    while let Some(message) = messages.next().await {
        heard.messages.fetch_add(1, Relaxed);
        let event = match &message.reply {
            None => Event::Told(payload(&message)),
            Some(reply) if *reply == link.subjects.probe => {
                heard.probes.fetch_add(1, Relaxed);
                continue;
            }
            Some(reply) if link.subjects.is_reply(reply) => {
                let (reply, shared) = (reply.clone(), Arc::downgrade(&shared));
                let answer = move |bytes: Bytes| {
                    // The link may be a new one, and the asker may still wait. An answer without
                    // room is lost, as one on its way could be.
                    let link = shared.upgrade().and_then(|shared| shared.link());
                    if let Some(link) = link.filter(|link| bytes.len() <= link.max_payload) {
                        link.answer(reply, bytes);
                    }
                };
                Event::Asked(payload(&message), Answerer(Box::new(answer)))
            }
            // Not from a node.
            Some(_) => continue,
        };
        shared.events.packet(link.number, event);
    }
}

/// Reads the answers to the questions of this node.
pub(super) async fn replies(mut messages: Subscriber, link: Arc<Link>, heard: Arc<Heard>) {
    while let Some(message) = messages.next().await {
        heard.messages.fetch_add(1, Relaxed);
        let Some(number) = link.subjects.number(&message.subject) else { continue };
        let answer = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Err(AskError::NoSuchNode),
            _ => Ok(payload(&message)),
        };
        link.answered(number, answer);
    }
}

fn payload(message: &Message) -> Bytes {
    if message.payload.len() <= COPIED { Bytes::copy_from_slice(&message.payload) } else { message.payload.clone() }
}
