//! Numbered messages in both directions at once, with a count of those lost, duplicated and
//! reordered.
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fmt,
    future::Future,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{sleep, timeout},
};
use wsx::{Connection, SendError};

/// When no message arrives for this long, the rest is lost. Longer than any pause of a working
/// link: at 20 % loss in each direction, TCP sometimes backs off for about ten seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A message with its number. It is short, so that many of them pass a slow link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, wsx::Message)]
#[wsx(type = "n")]
pub struct Numbered(pub u64);

/// The messages that arrived at one end, over all of its connections. Cheap to clone; all clones
/// share one list.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: AtomicU64,
    /// The connection that a message arrived on, and its number.
    seen: Mutex<Vec<(u64, u64)>>,
    count: watch::Sender<usize>,
}

impl Arrivals {
    /// Records the messages of this connection; for `register`.
    pub fn record(&self, conn: &Connection) {
        let connection = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let arrivals = self.clone();
        conn.register_handler("n", move |Numbered(number), _| {
            arrivals.add(connection, number);
            std::future::ready(())
        });
    }

    /// Records one message, for a peer that is not wsx.
    ///
    /// # Panics
    ///
    /// When another thread panicked in here.
    pub fn add(&self, connection: u64, number: u64) {
        self.0.seen.lock().expect("no thread panics with the lock held").push((connection, number));
        self.0.count.send_modify(|count| *count += 1);
    }

    /// Returns how many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Waits until this many messages have arrived, or until no more arrive.
    ///
    /// # Errors
    ///
    /// How many messages arrived, when no more arrived for a minute.
    pub async fn wait_for(&self, expected: usize) -> Result<(), usize> {
        let mut count = self.0.count.subscribe();
        while *count.borrow_and_update() < expected {
            if timeout(TIME_LIMIT, count.changed()).await.is_err() {
                return Err(*count.borrow());
            }
        }
        Ok(())
    }

    /// Returns what happened to the numbers below `sent`.
    ///
    /// # Panics
    ///
    /// When another thread panicked in here.
    #[must_use]
    pub fn verdict(&self, sent: u64) -> Verdict {
        let mut seen = self.0.seen.lock().expect("no thread panics with the lock held").clone();
        // The order is promised within one connection. The last message of an old connection may be
        // handled at the same time as the first of a new one.
        seen.sort_by_key(|(connection, _)| *connection);
        let (mut distinct, mut highest) = (HashSet::new(), None);
        let mut verdict = Verdict { sent, arrived: seen.len() as u64, ..Verdict::default() };
        for (_, number) in seen {
            if !distinct.insert(number) {
                verdict.duplicated += 1;
            } else if highest.is_some_and(|highest| number < highest) {
                verdict.reordered += 1;
            }
            highest = highest.max(Some(number));
        }
        verdict.lost = (0..sent).filter(|number| !distinct.contains(number)).count() as u64;
        verdict
    }
}

/// What happened to the messages of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field counts what its name says")]
pub struct Verdict {
    pub sent: u64,
    pub arrived: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
}

impl Verdict {
    /// Whether a connection that never broke kept its promise.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        *self == Self { sent: self.sent, arrived: self.sent, ..Self::default() }
    }

    /// Whether connections that break kept their promise.
    #[must_use]
    pub fn is_at_most_once(&self) -> bool {
        (self.duplicated, self.reordered, self.arrived + self.lost) == (0, 0, self.sent)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, arrived, lost, duplicated, reordered } = self;
        write!(f, "{sent} sent, {arrived} arrived, {lost} lost, {duplicated} duplicated, {reordered} reordered")
    }
}

/// Sends all of these numbers with `send`. Each number is retried until it is accepted.
///
/// # Panics
///
/// When a number is not accepted for a minute.
pub async fn send_all<F, Fut>(numbers: Range<u64>, send: F)
where
    F: Fn(Numbered) -> Fut,
    Fut: Future<Output = Result<(), SendError>>,
{
    for number in numbers {
        let accepted = async {
            // Between two connections, sending fails.
            while send(Numbered(number)).await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(TIME_LIMIT, accepted)
            .await
            .unwrap_or_else(|_| panic!("number {number} was not accepted within {TIME_LIMIT:?}"));
        // Lets the connection's task run, so that some messages leave one by one and others in a
        // batch.
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(sent: u64, seen: &[(u64, u64)]) -> Verdict {
        let arrivals = Arrivals::default();
        for (connection, number) in seen {
            arrivals.add(*connection, *number);
        }
        arrivals.verdict(sent)
    }

    #[test]
    fn every_fault_is_seen() {
        let good = verdict(3, &[(0, 0), (0, 1), (0, 2)]);
        assert!(good.is_perfect() && good.is_at_most_once(), "{good}");
        let lost = verdict(3, &[(0, 0), (1, 2)]);
        assert!(!lost.is_perfect() && lost.is_at_most_once() && lost.lost == 1, "{lost}");
        let duplicated = verdict(3, &[(0, 0), (0, 1), (1, 1), (1, 2)]);
        assert!(
            !duplicated.is_perfect() && !duplicated.is_at_most_once() && duplicated.duplicated == 1,
            "{duplicated}"
        );
        let reordered = verdict(3, &[(0, 0), (0, 2), (0, 1)]);
        assert!(!reordered.is_perfect() && !reordered.is_at_most_once() && reordered.reordered == 1, "{reordered}");
        let interleaved = verdict(3, &[(0, 0), (1, 2), (0, 1)]);
        assert!(interleaved.is_perfect(), "{interleaved}");
    }
}
