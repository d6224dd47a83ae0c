//! What a handle knows of requests: those of this program, and what the peer may be told of its own
//! messages.
use crate::{
    closed::Closed,
    connection::{
        handle::{Handle, lock},
        requests::{Requests, Writes},
        token_bucket::TokenBucket,
    },
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

/// How many failures are reported to the peer in a second, and at once after a quiet second. A
/// person reads them, and the first ones say what is wrong.
const REPORTS: f64 = 10.0;

impl Handle {
    /// Returns how long a request waits for its reply, by default.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// Returns the maximum number of requests that wait at once.
    pub(crate) fn max_requests(&self) -> usize {
        self.0.max_requests
    }

    /// Returns the requests of this program, and creates their table if necessary.
    pub(crate) fn requests(&self) -> &Requests {
        self.0.requests.get_or_init(Box::default)
    }

    /// Ends the requests of this program, because no reply can arrive any more. The caller has
    /// closed the queue before, so a later request fails when it is queued.
    pub(crate) fn end_requests(&self, closed: &Closed, writes: Writes) {
        if let Some(requests) = self.0.requests.get() {
            requests.end(closed, writes);
        }
    }

    /// Whether a request of this program waits for its reply.
    #[inline]
    pub(crate) fn awaits_reply(&self) -> bool {
        self.0.requests.get().is_some_and(|requests| requests.is_waiting())
    }

    /// Returns how many requests of this program are in the table.
    #[cfg(feature = "__internals")]
    pub(crate) fn outstanding_requests(&self) -> usize {
        self.0.requests.get().map_or(0, |requests| requests.outstanding())
    }

    /// Whether this is the first reply that nobody waits for.
    pub(crate) fn is_first_unexpected(&self) -> bool {
        !self.0.unexpected.swap(true, Ordering::Relaxed)
    }

    /// Whether the failure of another message may be reported to the peer now.
    pub(crate) fn may_report(&self) -> bool {
        let now = Instant::now();
        let mut reports = lock(&self.extra().reports);
        let reports = reports.get_or_insert_with(|| TokenBucket::full(REPORTS, REPORTS, now));
        let may = reports.wait(now).is_none();
        if may {
            reports.take(1.0);
        }
        may
    }
}
