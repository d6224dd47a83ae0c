//! The bytes that wait in all queues of a hub, and their maximum. It does not know the queues.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The budget of one queue: that of its hub, or no limit. It is a pointer, because most hubs do not
/// limit their queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Some(Arc::new(Shared { max, used: AtomicUsize::new(0) })))
    }

    /// Whether this many more bytes fit. Two threads may both see the last bytes, so the sum may
    /// exceed the maximum by one message of each thread.
    #[inline]
    pub(super) fn has_room(&self, length: usize) -> bool {
        match &self.0 {
            None => true,
            Some(shared) => shared.used.load(Ordering::Relaxed).saturating_add(length) <= shared.max,
        }
    }

    #[inline]
    pub(super) fn add(&self, length: usize) {
        if let Some(shared) = &self.0 {
            shared.used.fetch_add(length, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn remove(&self, length: usize) {
        if let Some(shared) = &self.0 {
            shared.used.fetch_sub(length, Ordering::Relaxed);
        }
    }
}
