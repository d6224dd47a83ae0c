//! What boxes say was accepted, against what the handlers received.
//!
//! Both sides of the comparison are counted apart: a box counts the sends that returned `Ok`, the handlers count what
//! came. Messages of a session are numbered from 1 and travel on one connection, so each must have the number after the
//! last one's. What is missing at the end of a session shows in the first message of the next, which says how many were
//! accepted before it, or in the box's farewell.
use fleet_protocol::Stamp;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// An account for each box. Bounded by the boxes that the station admits, whatever the number of their sessions.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, Account>>);

#[derive(Debug, Default)]
struct Account {
    /// The newest one.
    session: Session,
    /// All sessions before it.
    settled: Totals,
}

#[derive(Debug, Default)]
struct Session {
    run: u64,
    session: u32,
    /// As the box says: accepted in this run before this session.
    earlier: u64,
    received: u64,
    /// Numbers that were skipped.
    skipped: u64,
    /// As the box says, once it has said so.
    accepted: u64,
}

/// What became of a box's messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Distinct, and in order.
    pub(crate) received: u64,
    /// Accepted by a connection and never received.
    pub(crate) lost: u64,
    /// Came twice or too late, which one connection must never do.
    pub(crate) disordered: u64,
    /// Connections on which something came.
    pub(crate) sessions: u64,
    /// Those of them that were not their box's first.
    pub(crate) reconnected: u64,
}

impl Ledger {
    /// A handler received this message.
    pub(crate) fn received(&self, id: &str, stamp: Stamp) {
        let mut accounts = self.lock();
        let Account { session, settled } = accounts.entry(id.to_owned()).or_default();
        if (stamp.run, stamp.session) < (session.run, session.session) {
            settled.disordered += 1;
            return;
        }
        if (stamp.run, stamp.session) > (session.run, session.session) {
            if stamp.run == session.run {
                session.accepted = stamp.earlier.saturating_sub(session.earlier);
            }
            settled.add(session.totals());
            *session = Session { run: stamp.run, session: stamp.session, earlier: stamp.earlier, ..Session::default() };
        }
        // Every number so far was either received or skipped. Saturating, here and below: a peer may claim any number.
        let expected = session.received.saturating_add(session.skipped).saturating_add(1);
        if stamp.number < expected {
            settled.disordered += 1;
        } else {
            session.received += 1;
            session.skipped += stamp.number - expected;
        }
    }

    /// The box says how many messages its connections have accepted in all of this run.
    pub(crate) fn accepted(&self, id: &str, run: u64, accepted: u64) {
        if let Some(Account { session, .. }) = self.lock().get_mut(id).filter(|account| account.session.run == run) {
            session.accepted = accepted.saturating_sub(session.earlier);
        }
    }

    /// For a box whose whole run this station has seen: nothing of it may be missing, in no session.
    pub(crate) fn settle(&self, id: &str, run: u64, accepted: u64) {
        self.accepted(id, run, accepted);
        let mut accounts = self.lock();
        let account = accounts.entry(id.to_owned()).or_default();
        let Totals { received, lost, .. } = account.totals();
        // What no session accounts for, such as one of which nothing at all has come.
        let missing = accepted.saturating_sub(received.saturating_add(lost));
        account.settled.lost = account.settled.lost.saturating_add(missing);
    }

    /// The account of each box.
    pub(crate) fn totals(&self) -> Vec<(String, Totals)> {
        self.lock().iter().map(|(id, account)| (id.clone(), account.totals())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn totals(&self) -> Totals {
        let mut totals = self.settled;
        totals.add(self.session.totals());
        totals
    }
}

impl Session {
    fn totals(&self) -> Totals {
        let begun = u64::from(self.received > 0);
        Totals {
            received: self.received,
            // A message that a closing connection refused may still have come, so there can be one more than accepted.
            lost: self.skipped.max(self.accepted.saturating_sub(self.received)),
            disordered: 0,
            sessions: begun,
            reconnected: if self.session > 1 { begun } else { 0 },
        }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.lost = self.lost.saturating_add(other.lost);
        self.disordered += other.disordered;
        self.sessions += other.sessions;
        self.reconnected += other.reconnected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a station counts that receives these messages of run 7, as (session, number, earlier).
    fn ledger(messages: &[(u32, u64, u64)]) -> Ledger {
        let ledger = Ledger::default();
        for &(session, number, earlier) in messages {
            ledger.received("box", Stamp { run: 7, session, number, earlier });
        }
        ledger
    }
    fn totals(ledger: &Ledger) -> Totals {
        ledger.totals()[0].1
    }

    #[test]
    fn two_whole_sessions_are_whole() {
        let ledger = ledger(&[(1, 1, 0), (1, 2, 0), (2, 1, 2)]);
        ledger.settle("box", 7, 3);
        assert_eq!(totals(&ledger), Totals { received: 3, lost: 0, disordered: 0, sessions: 2, reconnected: 1 });
    }

    #[test]
    fn a_skipped_number_is_lost() {
        assert_eq!(totals(&ledger(&[(1, 1, 0), (1, 4, 0)])).lost, 2);
    }

    #[test]
    fn the_end_of_a_session_is_missed_in_the_next() {
        assert_eq!(totals(&ledger(&[(1, 1, 0), (2, 1, 3)])).lost, 2);
    }

    #[test]
    fn a_skipped_number_is_not_counted_again_at_the_end_of_its_session() {
        assert_eq!(totals(&ledger(&[(1, 1, 0), (1, 3, 0), (2, 1, 3)])).lost, 1);
    }

    #[test]
    fn the_end_of_the_last_session_is_missed_in_the_farewell() {
        let ledger = ledger(&[(1, 1, 0), (2, 1, 1)]);
        ledger.accepted("box", 7, 5);
        assert_eq!(totals(&ledger).lost, 3);
        ledger.settle("box", 7, 5);
        assert_eq!(totals(&ledger).lost, 3, "the same word again changes nothing");
    }

    #[test]
    fn a_session_of_which_nothing_came_is_missed_at_the_end() {
        let first = ledger(&[(2, 1, 4)]);
        first.settle("box", 7, 5);
        assert_eq!(totals(&first).lost, 4);
        let none = Ledger::default();
        none.settle("box", 7, 5);
        assert_eq!(totals(&none).lost, 5);
    }

    #[test]
    fn a_station_that_came_later_misses_nothing_of_what_was_before() {
        let ledger = ledger(&[(3, 1, 40), (3, 2, 40)]);
        ledger.accepted("box", 7, 42);
        assert_eq!(totals(&ledger), Totals { received: 2, lost: 0, disordered: 0, sessions: 1, reconnected: 1 });
    }

    #[test]
    fn what_comes_twice_or_late_is_no_news() {
        let totals = totals(&ledger(&[(1, 1, 0), (1, 1, 0), (2, 1, 1), (1, 2, 0)]));
        assert_eq!((totals.received, totals.disordered), (2, 2));
    }

    #[test]
    fn a_refused_message_that_came_all_the_same_is_no_loss() {
        assert_eq!(totals(&ledger(&[(1, 1, 0), (1, 2, 0), (2, 1, 1)])).lost, 0);
    }

    #[test]
    fn a_box_that_was_started_again_begins_anew() {
        let ledger = ledger(&[(1, 1, 0), (2, 1, 1)]);
        ledger.received("box", Stamp { run: 8, session: 1, number: 1, earlier: 0 });
        ledger.accepted("box", 7, 100);
        assert_eq!(totals(&ledger), Totals { received: 3, lost: 0, disordered: 0, sessions: 3, reconnected: 1 });
    }
}
