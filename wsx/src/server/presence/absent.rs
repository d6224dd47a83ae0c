//! The ids whose last connection has ended: a bounded number, the newest ones.
//!
//! It knows ids and times. It has no lock and no clock, and it does not know the registry.
use crate::{
    closed::Closed,
    connection::{loom_or_std::RandomState, shrink::shrink, wall_clock::Seconds},
    server::{labels::LabelSet, presence::PeerStatus},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Maximum length of an id that is remembered, in bytes. With a longer id, a peer could choose how
/// much memory it takes after it has gone.
pub(crate) const MAX_ID: usize = 256;

/// The options of presence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresenceOptions {
    /// How long an id stays online without a connection.
    pub(crate) grace: Duration,
    /// Maximum number of absent ids that are remembered.
    pub(crate) max_absent: usize,
}

impl Default for PresenceOptions {
    fn default() -> Self {
        // Twice the largest fleet that one process is made for. They take about 7 MB.
        Self { grace: Duration::ZERO, max_absent: 10_000 }
    }
}

/// An id whose last connection has ended.
#[derive(Debug)]
pub(crate) struct Absent {
    /// When the id came online.
    pub(crate) online: Seconds,
    /// When its last connection ended.
    pub(crate) left: Seconds,
    /// When the last byte of it was received.
    pub(crate) seen: Seconds,
    pub(crate) address: Option<SocketAddr>,
    /// Why its last connection closed.
    pub(crate) closed: Closed,
    /// The labels that the program has changed, while the id stays online.
    pub(crate) labels: Option<LabelSet>,
}

/// The absent ids, in the order in which they left.
///
/// ```text
///         connection ends                 grace period is over
///   here ----------------> within grace -----------------------> offline ----> forgotten
///    ^                          |                                   |    too many
///    +--------------------------+-----------------------------------+
///                         connects again
/// ```
#[derive(Debug)]
pub(crate) struct AbsentIds {
    options: PresenceOptions,
    /// Peers choose their ids, so the hash has a random seed.
    by_id: HashMap<Arc<str>, Entry, RandomState>,
    /// The ids by the number of their absence, so that the oldest is found first.
    order: BTreeMap<u64, Arc<str>>,
    /// The number of the next absence.
    next: u64,
    /// Absences before this number are offline. Later ones are within their grace period.
    offline_before: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// When the last connection ended, on the clock that does not jump.
    left_at: Instant,
    absent: Absent,
}

impl AbsentIds {
    pub(crate) fn new(options: PresenceOptions) -> Self {
        let by_id = HashMap::with_hasher(RandomState::default());
        Self { options, by_id, order: BTreeMap::new(), next: 0, offline_before: 0 }
    }

    /// Adds an id. Calls `offline` for each id that is offline now: this one if it has no grace
    /// period, and one that is forgotten within its own.
    pub(crate) fn add(&mut self, id: &Arc<str>, absent: Absent, now: Instant, mut offline: impl FnMut(PeerStatus)) {
        let is_kept = self.options.max_absent > 0 && id.len() <= MAX_ID;
        if !is_kept {
            return offline(absent.status(id, false));
        }
        while self.by_id.len() >= self.options.max_absent {
            self.forget_oldest(&mut offline);
        }
        self.order.insert(self.next, id.clone());
        self.by_id.insert(id.clone(), Entry { number: self.next, left_at: now, absent });
        self.next += 1;
        self.expire(now, offline);
    }

    /// Calls `offline` for each id whose grace period is over.
    pub(crate) fn expire(&mut self, now: Instant, mut offline: impl FnMut(PeerStatus)) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.expire_next(&mut offline);
        }
    }

    /// Ends every grace period, because the hub has ended. An id that is added later has none.
    pub(crate) fn end(&mut self, mut offline: impl FnMut(PeerStatus)) {
        self.options.grace = Duration::ZERO;
        while self.expire_next(&mut offline) {}
    }

    /// Whether ids stay online for a time after their last connection has ended.
    pub(crate) fn have_grace(&self) -> bool {
        !self.options.grace.is_zero()
    }

    /// Returns when the next grace period ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (_, id) = self.order.range(self.offline_before..).next()?;
        self.by_id.get(id)?.left_at.checked_add(self.options.grace)
    }

    /// Removes an id that connects again. Returns whether it stayed online meanwhile.
    pub(crate) fn take(&mut self, id: &str) -> Option<(bool, Absent)> {
        let Entry { number, absent, .. } = self.by_id.remove(id)?;
        self.order.remove(&number);
        // After a fleet has come back.
        shrink(&mut self.by_id);
        Some((number >= self.offline_before, absent))
    }

    /// Returns the labels of an id within its grace period.
    pub(crate) fn labels(&mut self, id: &str) -> Option<&mut Option<LabelSet>> {
        let entry = self.by_id.get_mut(id).filter(|entry| entry.number >= self.offline_before)?;
        Some(&mut entry.absent.labels)
    }

    pub(crate) fn status(&self, id: &str) -> Option<PeerStatus> {
        let (id, entry) = self.by_id.get_key_value(id)?;
        Some(entry.absent.status(id, entry.number >= self.offline_before))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = PeerStatus> {
        self.by_id.iter().map(|(id, entry)| entry.absent.status(id, entry.number >= self.offline_before))
    }

    /// Makes the next id offline whose grace period is not over. Returns whether there was one.
    fn expire_next(&mut self, offline: &mut impl FnMut(PeerStatus)) -> bool {
        let Some((number, id)) = self.order.range(self.offline_before..).next() else { return false };
        self.offline_before = number + 1;
        if let Some(entry) = self.by_id.get_mut(id) {
            entry.absent.labels = None;
            offline(entry.absent.status(id, false));
        }
        true
    }

    fn forget_oldest(&mut self, offline: &mut impl FnMut(PeerStatus)) {
        let Some((number, id)) = self.order.pop_first() else { return };
        if let Some(Entry { absent, .. }) = self.by_id.remove(&id) {
            if number >= self.offline_before {
                offline(absent.status(&id, false));
            }
        }
    }
}

impl Absent {
    fn status(&self, id: &Arc<str>, online: bool) -> PeerStatus {
        let since = if online { self.online } else { self.left };
        PeerStatus {
            id: id.clone(),
            online,
            since: since.into(),
            last_seen: self.seen.max(self.online).into(),
            address: self.address,
            closed: Some(self.closed.clone()),
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{closed::ClosedBy, wire::close_code::CloseCode};

    const SECOND: Duration = Duration::from_secs(1);

    fn absent() -> Absent {
        Absent {
            online: Seconds::default(),
            left: Seconds::default(),
            seen: Seconds::default(),
            address: None,
            closed: Closed::new(CloseCode::NORMAL, "", ClosedBy::Peer),
            labels: Some(vec!["canary".into()]),
        }
    }

    /// The ids, and those that went offline.
    struct Rig {
        ids: AbsentIds,
        start: Instant,
        offline: Vec<String>,
    }

    impl Rig {
        fn new(grace: Duration, max_absent: usize) -> Self {
            let ids = AbsentIds::new(PresenceOptions { grace, max_absent });
            Self { ids, start: Instant::now(), offline: Vec::new() }
        }

        fn add(&mut self, id: &str, seconds: u32) {
            let offline = &mut self.offline;
            let now = self.start + seconds * SECOND;
            self.ids.add(&id.into(), absent(), now, |status| offline.push(status.id.to_string()));
        }

        fn expire(&mut self, seconds: u32) -> Vec<String> {
            let offline = &mut self.offline;
            self.ids.expire(self.start + seconds * SECOND, |status| {
                assert!(!status.online);
                offline.push(status.id.to_string());
            });
            std::mem::take(offline)
        }

        fn is_online(&self, id: &str) -> Option<bool> {
            self.ids.status(id).map(|status| status.online)
        }
    }

    /// Row S6: without a grace period, an id is offline at once.
    #[test]
    fn an_id_without_a_grace_period_is_offline_at_once() {
        let mut rig = Rig::new(Duration::ZERO, 10);
        rig.add("box", 0);
        assert_eq!((rig.expire(0), rig.is_online("box")), (vec!["box".to_owned()], Some(false)));
        assert!(rig.ids.labels("box").is_none());
        assert!(rig.ids.take("box").is_some_and(|(stayed, absent)| !stayed && absent.labels.is_none()));
        assert_eq!((rig.is_online("box"), rig.ids.all().count()), (None, 0));
    }

    /// Row S6: the grace periods end one after the other, each once, and keep the labels until
    /// then.
    #[test]
    fn an_id_is_offline_when_its_grace_period_is_over() {
        let mut rig = Rig::new(10 * SECOND, 10);
        rig.add("a", 0);
        rig.add("b", 5);
        rig.add("c", 6);
        assert_eq!((rig.expire(9), rig.is_online("a")), (vec![], Some(true)));
        assert_eq!(rig.ids.deadline(), Some(rig.start + 10 * SECOND));
        assert_eq!(
            (rig.expire(10), rig.is_online("a"), rig.is_online("b")),
            (vec!["a".into()], Some(false), Some(true))
        );
        assert!(rig.ids.labels("b").is_some_and(|labels| labels.is_some()));
        assert!(rig.ids.take("b").is_some_and(|(stayed, absent)| stayed && absent.labels.is_some()));
        assert_eq!(rig.ids.deadline(), Some(rig.start + 16 * SECOND));
        assert_eq!((rig.expire(100), rig.expire(200)), (vec!["c".into()], vec![]));
        assert_eq!(rig.ids.deadline(), None);
    }

    /// Row S6: the number of absent ids is bounded. The one that was absent longest is forgotten,
    /// and is offline before.
    #[test]
    fn the_longest_absent_id_is_forgotten_first() {
        let mut rig = Rig::new(10 * SECOND, 3);
        for (id, at) in [("a", 0), ("b", 1), ("c", 2)] {
            rig.add(id, at);
        }
        assert!(rig.ids.take("a").is_some());
        rig.add("a", 3);
        rig.add("d", 4);
        assert_eq!((rig.offline.clone(), rig.is_online("b")), (vec!["b".to_owned()], None));
        assert_eq!(rig.expire(12), ["b", "c"]);
        for n in 0..1000 {
            rig.add(&n.to_string(), 100 + n);
            assert_eq!((rig.ids.by_id.len(), rig.ids.order.len()), (3, 3));
        }
        let told = rig.expire(2000);
        assert_eq!(told.len(), 1002);
        assert!(["a", "d", "0", "999"].iter().all(|id| told.iter().filter(|told| told == id).count() == 1));
    }

    /// Row S6: an id that is too long takes no memory, and neither does any id if the program says
    /// so.
    #[test]
    fn an_id_that_is_not_remembered_is_offline_at_once() {
        let (mut rig, long) = (Rig::new(10 * SECOND, 3), "x".repeat(MAX_ID + 1));
        rig.add(&long, 0);
        rig.add(&long[1..], 0);
        assert_eq!((rig.expire(0), rig.ids.all().count()), (vec![long], 1));
        let mut rig = Rig::new(10 * SECOND, 0);
        rig.add("box", 0);
        assert_eq!((rig.expire(0), rig.ids.all().count()), (vec!["box".to_owned()], 0));
    }

    #[test]
    fn a_grace_period_without_end_ends_with_the_hub() {
        let mut rig = Rig::new(Duration::MAX, 10);
        rig.add("box", 0);
        assert_eq!((rig.ids.deadline(), rig.expire(1_000_000)), (None, vec![]));
        let offline = &mut rig.offline;
        rig.ids.end(|status| offline.push(status.id.to_string()));
        assert_eq!((rig.offline.clone(), rig.is_online("box")), (vec!["box".to_owned()], Some(false)));
        rig.add("late", 1_000_001);
        assert_eq!(rig.is_online("late"), Some(false));
    }

    #[test]
    fn the_memory_of_a_fleet_that_has_come_back_is_freed() {
        let mut rig = Rig::new(Duration::ZERO, 10_000);
        for n in 0..5000 {
            rig.add(&n.to_string(), 0);
        }
        let full = rig.ids.by_id.capacity();
        for n in 0..5000 {
            assert!(rig.ids.take(&n.to_string()).is_some());
        }
        assert!(rig.ids.by_id.capacity() < full / 8 && rig.ids.order.is_empty());
    }
}
