//! The newest notices. Each has a number, so a reader finds those that it has not read.
use fleet_protocol::dashboard::Notice;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Maximum number of notices. A page shows them all at its start.
pub(crate) const MAX_NOTICES: usize = 50;

/// The notices, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    newest: VecDeque<Notice>,
    /// Number of all notices, also of those that are gone.
    added: u64,
}

impl Notices {
    /// Adds a notice. The oldest one goes if there are too many.
    pub(crate) fn add(&self, notice: Notice) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.newest.len() == MAX_NOTICES {
            ring.newest.pop_front();
        }
        ring.newest.push_back(notice);
        ring.added += 1;
    }

    /// Returns the notices after the first `read`, and the number of all.
    pub(crate) fn after(&self, read: u64) -> (Vec<Notice>, u64) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = usize::try_from(ring.added.saturating_sub(read)).unwrap_or(usize::MAX);
        let skipped = ring.newest.len().saturating_sub(unread);
        (ring.newest.iter().skip(skipped).cloned().collect(), ring.added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_each_notice_once_and_the_oldest_are_dropped() {
        let notices = Notices::default();
        let add = |at| notices.add(Notice { at, id: None, text: String::new() });
        let times = |read| notices.after(read).0.iter().map(|notice| notice.at).collect::<Vec<_>>();
        (1..=3).for_each(add);
        assert_eq!((times(0), times(2), times(3)), (vec![1, 2, 3], vec![3], vec![]));
        (4..=60).for_each(add);
        assert_eq!((times(0).len(), times(0)[0], times(58)), (MAX_NOTICES, 11, vec![59, 60]));
        assert_eq!(notices.after(0).1, 60);
    }
}
