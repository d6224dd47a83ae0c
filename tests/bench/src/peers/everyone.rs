//! The connections of a raw peer: the queues that a broadcast goes to.
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Maximum number of messages in the queue of a connection: wsx's default, and a usual size of
/// gorilla's channel.
const QUEUE: usize = 1024;

static EVERYONE: Mutex<Option<HashMap<u64, mpsc::Sender<Outgoing>>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Text to send. All recipients share its memory.
pub(super) type Outgoing = bytes::Bytes;

/// A registered connection. Dropping it removes the connection.
pub(super) struct Place {
    id: u64,
    queue: mpsc::Sender<Outgoing>,
}

/// Registers a connection. Its writer takes from the receiver until the connection is removed.
pub(super) fn enter() -> (Place, mpsc::Receiver<Outgoing>) {
    let (queue, receiver) = mpsc::channel(QUEUE);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut everyone = EVERYONE.lock().unwrap_or_else(PoisonError::into_inner);
    everyone.get_or_insert_default().insert(id, queue.clone());
    (Place { id, queue }, receiver)
}

impl Place {
    /// Handles a message of this connection. Returns whether the connection continues.
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

/// Removes a connection whose queue is full, which closes it, so that the others do not wait for
/// it.
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
