//! How many connections a hub accepts in a second, and when the others have to retry.
//!
//! It knows numbers and times. It does not know requests or connections.
//!
//! Each rejected peer is asked to come an interval later than the one before, so that a fleet comes
//! back at the rate. The rejected ones are the backlog. A peer that never comes back makes it too
//! long, and honest peers then wait for nothing. Three rules keep it right:
//!
//! - It is at most a minute long.
//! - A permission that is given back was for a connection that was not made. If a peer was rejected
//!   meanwhile, the next one may come an interval earlier. Otherwise requests that `build_id`
//!   rejects, many at the same time, would make everybody wait.
//! - If the bucket is full, and nobody was rejected for the time of a burst and for a second at
//!   least, the peers that the hub had asked to come have not come. The backlog is then empty.
//!
//! A flood that goes on cannot be told from a fleet that returns. While it empties the bucket,
//! rejected peers wait for up to a minute. Those that find a permission do not wait.
use crate::connection::token_bucket::TokenBucket;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The longest time after which a rejected peer is asked to retry.
///
/// A flood of requests must not send honest clients away for longer.
const LONGEST: Duration = Duration::from_secs(60);

/// The connections that a hub accepts in a second.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time between two connections at the rate.
    interval: Duration,
    /// After this time without a rejected peer, a full bucket empties the backlog.
    quiet: Duration,
    /// Not a lock of the model checker: nothing waits under it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A token for each connection.
    bucket: TokenBucket,
    /// The time that the last rejected peer was asked to come at. The next one comes an interval
    /// later, so that they come at the rate.
    last_asked: Instant,
    /// When the last peer was rejected.
    last_rejected: Instant,
    /// How many peers were rejected.
    rejected: u64,
}

/// The permission for one connection. It is given back if this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket<'p> {
    pace: &'p Pace,
    /// How many peers had been rejected before.
    rejected_before: u64,
}

impl Pace {
    /// Returns a limit of this many connections a second, and of `burst` more after a quiet time. 0
    /// counts as 1.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let (per_second, burst) = (per_second.max(1), burst.max(1));
        let bucket = TokenBucket::full(per_second.into(), burst.into(), now);
        let interval = Duration::from_secs(1) / per_second;
        Self {
            interval,
            quiet: interval.saturating_mul(burst).max(Duration::from_secs(1)),
            state: Mutex::new(State { bucket, last_asked: now, last_rejected: now, rejected: 0 }),
        }
    }

    /// Takes a permission, or returns the time after which the peer has to retry.
    pub(crate) fn take(&self, now: Instant) -> Result<Ticket<'_>, Duration> {
        let mut state = self.state();
        if state.bucket.wait(now).is_none() {
            if state.bucket.is_full() && now.saturating_duration_since(state.last_rejected) >= self.quiet {
                state.last_asked = now;
            }
            state.bucket.take(1.0);
            return Ok(Ticket { pace: self, rejected_before: state.rejected });
        }
        state.rejected = state.rejected.wrapping_add(1);
        state.last_rejected = now;
        state.last_asked = (state.last_asked.max(now) + self.interval).min(now + LONGEST);
        Err(state.last_asked - now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Uses the permission.
    pub(crate) fn spend(self) {
        std::mem::forget(self);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        state.bucket.take(-1.0);
        if state.rejected != self.rejected_before {
            state.last_asked = state.last_asked.checked_sub(self.pace.interval).unwrap_or(state.last_asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rows J11, R16: the n-th rejected peer is asked to come at the n-th interval, and never later
    /// than in a minute.
    #[test]
    fn each_rejected_peer_gets_a_later_time() {
        let start = Instant::now();
        let pace = Pace::new(10, 2, start);
        for _ in 0..2 {
            pace.take(start).unwrap().spend();
        }
        let after = |seconds: u32| pace.take(start + seconds * SECOND / 20).map(Ticket::spend);
        for n in 1..=600 {
            assert_eq!(after(0), Err(n * SECOND / 10));
        }
        assert_eq!(after(0), Err(LONGEST), "the backlog is bounded");
        assert_eq!(after(1), Err(LONGEST), "half an interval later");
        assert_eq!(after(2), Ok(()));
        // All have come.
        for _ in 0..2 {
            assert_eq!(after(2000), Ok(()));
        }
        assert_eq!(after(2000), Err(SECOND / 10), "a new backlog");
    }

    /// Row R16: peers that were asked to come and do not come keep others waiting only until the
    /// bucket is full.
    #[test]
    fn peers_that_do_not_come_back_are_forgotten() {
        let start = Instant::now();
        let pace = Pace::new(10, 20, start);
        let rejected_at = |now| {
            while let Ok(ticket) = pace.take(now) {
                ticket.spend();
            }
            pace.take(now).map(Ticket::spend).unwrap_err()
        };
        for _ in 0..5000 {
            rejected_at(start);
        }
        assert_eq!(rejected_at(start), LONGEST);
        let busy = rejected_at(start + SECOND);
        assert!(busy > LONGEST - 2 * SECOND, "the bucket was not full, {busy:?}");
        assert_eq!(rejected_at(start + 4 * SECOND), SECOND / 5, "two of a new backlog");
    }

    /// Row R16: with a burst of one the bucket is full whenever a peer is accepted, also while a
    /// fleet returns.
    #[test]
    fn a_backlog_outlasts_the_peers_that_are_accepted_meanwhile() {
        let start = Instant::now();
        let pace = Pace::new(10, 1, start);
        pace.take(start).unwrap().spend();
        for n in 1..=20 {
            assert_eq!(pace.take(start).map(Ticket::spend), Err(n * SECOND / 10));
        }
        pace.take(start + SECOND / 10).unwrap().spend();
        assert_eq!(pace.take(start + SECOND / 10).map(Ticket::spend), Err(2 * SECOND));
        pace.take(start + 3 * SECOND).unwrap().spend();
        assert_eq!(pace.take(start + 3 * SECOND).map(Ticket::spend), Err(SECOND / 10), "nobody was rejected for 2.9 s");
    }

    /// Row R16: requests that the program rejects, however many at the same time, leave no backlog.
    #[test]
    fn a_flood_that_is_rejected_later_leaves_no_backlog() {
        let start = Instant::now();
        let pace = Pace::new(10, 50, start);
        for _ in 0..20 {
            let held: Vec<_> = (0..50).map(|_| pace.take(start).unwrap()).collect();
            for _ in 0..50 {
                pace.take(start).map(Ticket::spend).unwrap_err();
            }
            drop(held);
        }
        for _ in 0..50 {
            pace.take(start).unwrap().spend();
        }
        for n in 1..=20 {
            assert_eq!(pace.take(start).map(Ticket::spend), Err(n * SECOND / 10));
        }
        // One after the other, they do not shorten the backlog of others.
        let later = start + SECOND / 10;
        for _ in 0..100 {
            drop(pace.take(later).unwrap());
        }
        pace.take(later).unwrap().spend();
        assert_eq!(pace.take(later).map(Ticket::spend), Err(2 * SECOND));
    }

    /// Row R16: a request that the program rejects leaves its permission to others.
    #[test]
    fn a_permission_that_is_not_used_is_given_back() {
        let start = Instant::now();
        let pace = Pace::new(1, 1, start);
        for _ in 0..10 {
            drop(pace.take(start).unwrap());
        }
        pace.take(start).unwrap().spend();
        assert_eq!(pace.take(start).map(Ticket::spend), Err(SECOND));
    }
}
