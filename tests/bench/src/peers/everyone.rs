//! Who is connected to a raw peer: the queues that a broadcast goes to.
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Messages that wait for one connection: what wsx has by default, and what people give gorilla's channel.
const QUEUE: usize = 1024;

static EVERYONE: Mutex<Option<HashMap<u64, mpsc::Sender<Outgoing>>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Text on its way out. Its memory is shared by all who get it.
pub(super) type Outgoing = bytes::Bytes;

/// A place among everyone, given up when it is dropped.
pub(super) struct Place {
    id: u64,
    queue: mpsc::Sender<Outgoing>,
}

/// Enters a connection; its writer takes from the receiver until everyone has forgotten it.
pub(super) fn enter() -> (Place, mpsc::Receiver<Outgoing>) {
    let (queue, receiver) = mpsc::channel(QUEUE);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut everyone = EVERYONE.lock().unwrap_or_else(PoisonError::into_inner);
    everyone.get_or_insert_default().insert(id, queue.clone());
    (Place { id, queue }, receiver)
}

impl Place {
    /// Handles a message that came from this connection. Returns whether it goes on.
    pub(super) async fn handle(&self, text: &[u8]) -> bool {
        match super::work::handle(text) {
            // Waits for room: a peer that does not read its replies is not read either.
            Ok(super::work::Answer::Reply(text)) => self.queue.send(text.into()).await.is_ok(),
            Ok(super::work::Answer::Publish(text)) => {
                publish(&text.into());
                true
            }
            Err(_) => false,
        }
    }
}

/// A connection whose queue is full loses its place, and ends with that: the others do not wait for it.
fn publish(text: &Outgoing) {
    let mut everyone = EVERYONE.lock().unwrap_or_else(PoisonError::into_inner);
    everyone.get_or_insert_default().retain(|_, queue| queue.try_send(text.clone()).is_ok());
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut everyone = EVERYONE.lock().unwrap_or_else(PoisonError::into_inner);
        everyone.get_or_insert_default().remove(&self.id);
    }
}
