//! The requests of a connection that wait for their replies.
//!
//! The asking end gives each request an id, and the reader of the connection hands the reply over.
//! It does not know the content of a reply, the socket, or the deadline of a request.
use crate::{
    closed::Closed,
    connection::loom_or_std::{Mutex, MutexGuard, RandomState},
    wire::data_message::DataMessage,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

/// Maximum number of requests for which an empty table keeps memory, roughly.
const MAX_KEPT: usize = 256;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Wakers run code of the program or the runtime. They are not woken or dropped under this
    /// lock.
    table: Mutex<Table>,
    /// The number of requests in the table. The reader asks for it without the lock.
    outstanding: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    /// The number of requests that were made.
    made: u64,
    slots: HashMap<u64, Slot, RandomState>,
    /// How the connection has ended, and whether it still writes.
    ended: Option<(Closed, Writes)>,
}

/// The state of a request.
///
/// ```text
/// Waiting --the reply arrives--> Answered --polled--> removed
///     \---the connection ends, or the request is dropped---/
/// ```
#[derive(Debug)]
enum Slot {
    /// The waker is missing until the request is polled.
    Waiting(Option<Waker>),
    /// The reply, which the request has not taken.
    Answered(DataMessage),
}

/// The reason why a request was not added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAdded {
    /// The maximum number of requests wait.
    Full,
    /// The connection has ended.
    Ended,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Answered(DataMessage),
    /// The connection ended before the reply.
    Closed(Closed, Writes),
}

/// Whether queued frames are still written after the end of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Nothing is read any more, but a close frame is written, and all frames before it.
    GoOn,
    /// Not a single frame is written any more.
    Over,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("the application's code does not run under this lock")
    }

    /// Adds a request, and returns its id. The caller has to [`poll`](Self::poll) it to its end, or
    /// to [`forget`](Self::forget) it.
    pub(crate) fn add(&self, maximum: usize) -> Result<u64, NotAdded> {
        let mut table = self.lock();
        if table.ended.is_some() {
            return Err(NotAdded::Ended);
        }
        if table.slots.len() >= maximum {
            return Err(NotAdded::Full);
        }
        table.made += 1;
        let id = table.made;
        table.slots.insert(id, Slot::Waiting(None));
        self.count(&mut table);
        Ok(id)
    }

    /// Whether a request waits. So the reader looks for replies.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.outstanding.load(Ordering::Relaxed) > 0
    }

    /// Returns the number of requests in the table.
    #[cfg(feature = "__internals")]
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().slots.len()
    }

    /// Hands a reply over. Returns it if no request with this id waits.
    pub(crate) fn answer(&self, id: u64, reply: DataMessage) -> Result<(), DataMessage> {
        let mut table = self.lock();
        let waker = match table.slots.get_mut(&id) {
            Some(slot @ Slot::Waiting(_)) => match std::mem::replace(slot, Slot::Answered(reply)) {
                Slot::Waiting(waker) => waker,
                Slot::Answered(_) => unreachable!("matched above"),
            },
            _ => return Err(reply),
        };
        drop(table);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Ready when the reply is here, or the connection has ended. The request is then removed.
    pub(crate) fn poll(&self, id: u64, cx: &Context<'_>) -> Poll<Ended> {
        let mut waker = None;
        let mut table = self.lock();
        loop {
            let Table { slots, ended, .. } = &mut *table;
            let Entry::Occupied(mut entry) = slots.entry(id) else { unreachable!("a request is polled to its end") };
            match (entry.get_mut(), ended) {
                (Slot::Waiting(Some(known)), None) if known.will_wake(cx.waker()) => return Poll::Pending,
                (Slot::Waiting(known), None) => {
                    if let Some(waker) = waker.take() {
                        let replaced = known.replace(waker);
                        drop(table);
                        drop(replaced);
                        return Poll::Pending;
                    }
                    // The waker is cloned without the lock. The reply may come meanwhile.
                    drop(table);
                    waker = Some(cx.waker().clone());
                    table = self.lock();
                }
                (Slot::Waiting(_), Some((closed, writes))) => {
                    let (closed, writes) = (closed.clone(), *writes);
                    let slot = entry.remove();
                    self.count(&mut table);
                    drop(table);
                    drop(slot);
                    return Poll::Ready(Ended::Closed(closed, writes));
                }
                (Slot::Answered(_), _) => {
                    let Slot::Answered(reply) = entry.remove() else { unreachable!("matched above") };
                    self.count(&mut table);
                    return Poll::Ready(Ended::Answered(reply));
                }
            }
        }
    }

    /// Removes a request. Returns whether it still waited for its reply.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let mut table = self.lock();
        let slot = table.slots.remove(&id);
        self.count(&mut table);
        let waited = matches!(slot, Some(Slot::Waiting(_))) && table.ended.is_none();
        drop(table);
        drop(slot);
        waited
    }

    /// Ends all requests, because no reply can arrive any more. The first end counts.
    pub(crate) fn end(&self, closed: &Closed, writes: Writes) {
        let mut table = self.lock();
        if table.ended.is_some() {
            return;
        }
        table.ended = Some((closed.clone(), writes));
        let wakers: Vec<Waker> = table
            .slots
            .values_mut()
            .filter_map(|slot| match slot {
                Slot::Waiting(waker) => waker.take(),
                Slot::Answered(_) => None,
            })
            .collect();
        drop(table);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Notes the number of requests, and frees the memory of a table that was long. Called under
    /// the lock, so that the last number counts.
    fn count(&self, table: &mut Table) {
        self.outstanding.store(table.slots.len(), Ordering::Relaxed);
        if table.slots.is_empty() && table.slots.capacity() > MAX_KEPT {
            table.slots = HashMap::default();
        }
    }
}
