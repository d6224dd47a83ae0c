//! The changes that readers have not received yet. It has no lock and no clock.
use crate::server::presence::{PeerStatus, absent::MAX_ID};
use std::collections::VecDeque;

/// Maximum number of changes that wait for the slowest reader. They usually take 200 bytes each,
/// once for all readers.
///
/// A reader that is behind by more gets a snapshot instead, so it loses only the changes in
/// between. A fleet of 1,000 boxes that returns at once still fits.
pub(crate) const MAX_CHANGES: usize = 1024;
/// Maximum number of bytes of their ids, of which the newest is always kept. Enough for
/// [`MAX_CHANGES`] ids that are remembered. Longer ids push older changes out, so that a peer with
/// such ids does not fill the memory.
const MAX_ID_BYTES: usize = MAX_CHANGES * MAX_ID;

/// The newest changes, for readers that each have a place in them.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    changes: VecDeque<PeerStatus>,
    /// The number of bytes of the ids in `changes`.
    id_bytes: usize,
    /// The number of the first one in `changes`.
    first: u64,
    /// Without readers, changes are not kept.
    readers: usize,
    /// Whether the hub has ended. Then there are no more changes.
    ended: bool,
}

/// What a reader finds at its place.
#[derive(Debug)]
pub(crate) enum Found {
    Change(PeerStatus),
    /// The change is not kept any more, because the reader was too slow.
    Missed,
    Nothing,
    /// There will not be another change.
    End,
}

impl ChangeLog {
    pub(crate) fn push(&mut self, status: PeerStatus) {
        if self.ended {
            return;
        }
        if self.readers == 0 {
            self.first += 1;
            return;
        }
        self.id_bytes += status.id.len();
        while self.changes.len() == MAX_CHANGES || self.id_bytes > MAX_ID_BYTES {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.id_bytes -= oldest.id.len();
            self.first += 1;
        }
        self.changes.push_back(status);
    }

    /// Returns the number of the next change.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    pub(crate) fn add_reader(&mut self) {
        self.readers += 1;
    }

    pub(crate) fn remove_reader(&mut self) {
        self.readers -= 1;
        if self.readers == 0 {
            self.first = self.end();
            (self.changes, self.id_bytes) = (VecDeque::new(), 0);
        }
    }

    pub(crate) fn find(&self, number: u64) -> Found {
        match number.checked_sub(self.first) {
            None => Found::Missed,
            Some(place) => match self.changes.get(usize::try_from(place).unwrap_or(usize::MAX)) {
                Some(status) => Found::Change(status.clone()),
                None if self.ended => Found::End,
                None => Found::Nothing,
            },
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.ended = true;
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn change(n: usize) -> PeerStatus {
        let (since, last_seen) = (UNIX_EPOCH, UNIX_EPOCH);
        PeerStatus { id: n.to_string().into(), online: true, since, last_seen, address: None, closed: None }
    }

    fn found(log: &ChangeLog, number: u64) -> String {
        match log.find(number) {
            Found::Change(status) => status.id.to_string(),
            Found::Missed => "missed".to_owned(),
            Found::Nothing => "nothing".to_owned(),
            Found::End => "end".to_owned(),
        }
    }

    /// Row S6: the newest changes are kept, and a reader notices that others are not.
    #[test]
    fn a_bounded_number_of_changes_is_kept() {
        let mut log = ChangeLog::default();
        log.add_reader();
        let first = log.end();
        for n in 0..MAX_CHANGES {
            log.push(change(n));
        }
        assert_eq!((found(&log, first), found(&log, log.end())), ("0".to_owned(), "nothing".to_owned()));
        log.push(change(MAX_CHANGES));
        assert_eq!((found(&log, first), found(&log, first + 1)), ("missed".to_owned(), "1".to_owned()));
        assert_eq!(log.changes.len(), MAX_CHANGES);
        log.end_all();
        log.push(change(0));
        assert_eq!((found(&log, log.end() - 1), found(&log, log.end())), (MAX_CHANGES.to_string(), "end".to_owned()));
    }

    /// Row S6: long ids take the place of several changes.
    #[test]
    fn the_bytes_of_the_ids_are_bounded() {
        let with_id = |length: usize| PeerStatus { id: "x".repeat(length).into(), ..change(0) };
        let mut log = ChangeLog::default();
        log.add_reader();
        for _ in 0..MAX_CHANGES {
            log.push(with_id(MAX_ID));
        }
        assert_eq!((log.changes.len(), log.id_bytes), (MAX_CHANGES, MAX_ID_BYTES));
        for _ in 0..MAX_CHANGES {
            log.push(with_id(64 * MAX_ID));
        }
        assert_eq!((log.changes.len(), log.id_bytes), (MAX_CHANGES / 64, MAX_ID_BYTES));
        assert_eq!((log.end(), found(&log, log.end() - 17)), (2 * MAX_CHANGES as u64, "missed".to_owned()));
        log.push(with_id(2 * MAX_ID_BYTES));
        assert_eq!(log.changes.len(), 1, "the newest is kept");
        log.push(with_id(1));
        assert_eq!((log.changes.len(), log.id_bytes), (1, 1));
    }

    /// Row S6: a hub that nobody watches keeps no changes.
    #[test]
    fn changes_are_kept_for_readers_alone() {
        let mut log = ChangeLog::default();
        log.push(change(0));
        assert_eq!((log.changes.len(), log.end()), (0, 1));
        log.add_reader();
        log.add_reader();
        log.push(change(1));
        log.remove_reader();
        assert_eq!(found(&log, 1), "1");
        log.remove_reader();
        assert_eq!((log.changes.capacity(), log.end()), (0, 2));
    }
}
