//! Numbered messages, both ways at once, and what became of them: how many were lost, doubled, or came in the wrong order.
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

/// No message within this is an end of it. Longer than any silence of a link that lives: at 20 % loss each way TCP doubles
/// its waits now and then to some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message with its number, short so that many of them pass a slow link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, wsx::Message)]
#[wsx(type = "n")]
pub struct Numbered(pub u64);

/// What arrived at one end, over all of its connections. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: AtomicU64,
    /// The connection that it came by, and its number.
    seen: Mutex<Vec<(u64, u64)>>,
    count: watch::Sender<usize>,
}

impl Arrivals {
    /// Notes what comes in by this connection; for `register`.
    pub fn note(&self, conn: &Connection) {
        let connection = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let arrivals = self.clone();
        conn.register_handler("n", move |Numbered(number), _| {
            arrivals.add(connection, number);
            std::future::ready(())
        });
    }

    /// Notes what came in by one connection, for a peer that is not wsx.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    pub fn add(&self, connection: u64, number: u64) {
        self.0.seen.lock().expect("nobody panics with it").push((connection, number));
        self.0.count.send_modify(|count| *count += 1);
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many have arrived, or nothing more comes.
    ///
    /// # Errors
    ///
    /// How many there were, when nothing more came for a minute.
    pub async fn reach(&self, expected: usize) -> Result<(), usize> {
        let mut count = self.0.count.subscribe();
        while *count.borrow_and_update() < expected {
            if timeout(PATIENCE, count.changed()).await.is_err() {
                return Err(*count.borrow());
            }
        }
        Ok(())
    }

    /// What became of the numbers from 0 to this one.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    #[must_use]
    pub fn verdict(&self, sent: u64) -> Verdict {
        let mut seen = self.0.seen.lock().expect("nobody panics with it").clone();
        // Order is promised on one connection; the last message of an old one may be handled beside the first of a new one.
        seen.sort_by_key(|(connection, _)| *connection);
        let (mut distinct, mut highest) = (HashSet::new(), None);
        let mut verdict = Verdict { sent, arrived: seen.len() as u64, ..Verdict::default() };
        for (_, number) in seen {
            if !distinct.insert(number) {
                verdict.doubled += 1;
            } else if highest.is_some_and(|highest| number < highest) {
                verdict.reordered += 1;
            }
            highest = highest.max(Some(number));
        }
        verdict.lost = (0..sent).filter(|number| !distinct.contains(number)).count() as u64;
        verdict
    }
}

/// What became of the messages of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the count of what it names")]
pub struct Verdict {
    pub sent: u64,
    pub arrived: u64,
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
}

impl Verdict {
    /// What a live connection promises.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        *self == Self { sent: self.sent, arrived: self.sent, ..Self::default() }
    }

    /// What is promised over connections that break.
    #[must_use]
    pub fn is_at_most_once(&self) -> bool {
        (self.doubled, self.reordered, self.arrived + self.lost) == (0, 0, self.sent)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, arrived, lost, doubled, reordered } = self;
        write!(f, "{sent} sent, {arrived} arrived, {lost} lost, {doubled} doubled, {reordered} reordered")
    }
}

/// Sends all of these numbers, each again until it was accepted, as `send` does with one of them.
///
/// # Panics
///
/// When none is accepted for a minute.
pub async fn send_all<F, Fut>(numbers: Range<u64>, send: F)
where
    F: Fn(Numbered) -> Fut,
    Fut: Future<Output = Result<(), SendError>>,
{
    for number in numbers {
        let accepted = async {
            // Between two connections nobody takes it.
            while send(Numbered(number)).await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, accepted).await.unwrap_or_else(|_| panic!("number {number} was accepted by nobody"));
        // The connection's turn, so that messages leave one by one as well as many together.
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
        let doubled = verdict(3, &[(0, 0), (0, 1), (1, 1), (1, 2)]);
        assert!(!doubled.is_perfect() && !doubled.is_at_most_once() && doubled.doubled == 1, "{doubled}");
        let reordered = verdict(3, &[(0, 0), (0, 2), (0, 1)]);
        assert!(!reordered.is_perfect() && !reordered.is_at_most_once() && reordered.reordered == 1, "{reordered}");
        let interleaved = verdict(3, &[(0, 0), (1, 2), (0, 1)]);
        assert!(interleaved.is_perfect(), "{interleaved}");
    }
}
