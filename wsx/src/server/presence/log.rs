//! The changes that readers have not received yet. It has no lock and no clock.
use crate::server::presence::PeerStatus;
use std::collections::VecDeque;

/// Maximum number of changes that wait for the slowest reader. With 200 bytes each, they take
/// 200 KB, once for all readers.
///
/// A reader that is behind by more gets a snapshot instead, so it loses only the changes in
/// between. A fleet of 1,000 boxes that returns at once still fits.
pub(crate) const MAX_CHANGES: usize = 1024;

/// The newest changes, for readers that each have a place in them.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    changes: VecDeque<PeerStatus>,
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
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
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
            self.changes = VecDeque::new();
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
