//! Two connections with one id: which of them stays, and whether programs fight for the id.
//!
//! It knows ids and times. It does not know connections.
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Maximum number of ids whose replacements are counted. Their table takes up to 66 KiB.
///
/// Few boxes of a fleet reconnect within a window before their old link is known to be dead. Above
/// the maximum, the oldest count is forgotten.
const MAX_IDS: usize = 1024;

/// What a hub does with a connection whose id is connected already (row S5 of the specification).
///
/// ```standalone_crate
/// use wsx::{Config, Hub, server::OnDuplicate};
///
/// let hub = Hub::builder()
///     .config(Config::edge())
///     .on_duplicate(OnDuplicate::RejectNew)
///     .without_handlers()
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDuplicate {
    /// The new connection replaces the older one, which is closed with
    /// [`CloseCode::REPLACED`](crate::CloseCode::REPLACED). This is the default.
    ///
    /// An edge box often reconnects before the server has noticed that its old link is dead, and
    /// has to get in then.
    #[default]
    Replace,
    /// The new connection is rejected with 409 (Conflict), and the older one stays.
    ///
    /// A box whose link died silently is rejected until the server has noticed that: with
    /// [`Config::edge`](crate::Config::edge) for at most 35 s. So a hub that rejects duplicates
    /// needs a heartbeat, and [`HubBuilder::build`](crate::server::HubBuilder::build) reports one
    /// without it as a problem. An older connection that is closing does not count.
    RejectNew,
}

/// The options for duplicates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DuplicateOptions {
    /// Whether the newer connection is rejected.
    pub(crate) rejects_new: bool,
    /// An id that is replaced more often within the window is contested.
    pub(crate) replacements: u32,
    pub(crate) window: Duration,
}

impl Default for DuplicateOptions {
    fn default() -> Self {
        Self {
            rejects_new: false,
            // Two clients of wsx with one id replace each other every 15 to 30 s, so at least ten
            // times in the window. A box on a bad link rarely returns that often before the server
            // knows its old link to be dead.
            replacements: 5,
            window: Duration::from_secs(300),
        }
    }
}

/// The duplicates of a hub.
#[derive(Debug)]
pub(crate) struct Duplicates {
    options: DuplicateOptions,
    /// Makes the keys of `counts`, with a random seed, because peers choose their ids.
    hash: RandomState,
    /// The replacements of each id, by the hash of the id. So a long id takes no memory. Not a lock
    /// of the model checker: nothing waits under it.
    counts: Mutex<HashMap<u64, Count>>,
}

/// The replacements of one id within a window.
#[derive(Debug)]
struct Count {
    /// The first replacement, which began the window.
    since: Instant,
    replacements: u32,
}

impl Duplicates {
    pub(crate) fn new(options: DuplicateOptions) -> Self {
        Self { options, hash: RandomState::new(), counts: Mutex::default() }
    }

    /// Whether a connection is rejected if its id is connected already.
    pub(crate) fn rejects_new(&self) -> bool {
        self.options.rejects_new
    }

    /// Counts a replacement. Returns the number of those in this window if this one makes it a
    /// contest; that is at most once in a window.
    pub(crate) fn replaced(&self, id: &str, now: Instant) -> Option<u32> {
        let DuplicateOptions { replacements: limit, window, .. } = self.options;
        let has_ended = |count: &Count| now.saturating_duration_since(count.since) >= window;
        let key = self.hash.hash_one(id);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_IDS && !counts.contains_key(&key) {
            counts.retain(|_, count| !has_ended(count));
            let oldest = counts.iter().min_by_key(|(_, count)| count.since).map(|(key, _)| *key);
            if let Some(oldest) = oldest.filter(|_| counts.len() >= MAX_IDS) {
                counts.remove(&oldest);
            }
        }
        let count = counts.entry(key).or_insert(Count { since: now, replacements: 0 });
        if has_ended(count) {
            (count.since, count.replacements) = (now, 0);
        }
        count.replacements = count.replacements.saturating_add(1);
        let is_new_contest = count.replacements == limit.saturating_add(1);
        is_new_contest.then_some(count.replacements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn duplicates(replacements: u32) -> Duplicates {
        Duplicates::new(DuplicateOptions { replacements, window: 60 * SECOND, ..DuplicateOptions::default() })
    }

    /// Row S5: more than the limit within the window, once.
    #[test]
    fn an_id_is_contested_once_in_a_window() {
        let (duplicates, start) = (duplicates(2), Instant::now());
        let replaced = |seconds: u32| duplicates.replaced("box", start + seconds * SECOND);
        assert_eq!((replaced(0), replaced(1)), (None, None));
        assert_eq!(duplicates.replaced("another", start), None);
        assert_eq!(replaced(59), Some(3));
        assert_eq!(replaced(59), None, "reported already");
        assert_eq!((replaced(60), replaced(61)), (None, None), "a new window");
        assert_eq!(replaced(62), Some(3));
    }

    #[test]
    fn the_newer_connection_is_rejected_only_on_request() {
        for rejects_new in [false, true] {
            let options = DuplicateOptions { rejects_new, ..DuplicateOptions::default() };
            assert_eq!(Duplicates::new(options).rejects_new(), rejects_new);
        }
    }

    #[test]
    fn a_known_id_does_not_push_out_another_one() {
        let (duplicates, start) = (duplicates(1), Instant::now());
        for n in 0..u32::try_from(MAX_IDS).unwrap() {
            duplicates.replaced(&n.to_string(), start + n * Duration::from_millis(1));
        }
        for id in ["1", "0"] {
            assert!(duplicates.replaced(id, start + 2 * SECOND).is_some(), "{id} is remembered");
        }
    }

    /// Row S5: a slow change of programs is not a contest.
    #[test]
    fn rare_replacements_are_not_a_contest() {
        let (duplicates, start) = (duplicates(2), Instant::now());
        for n in 0..100 {
            assert_eq!(duplicates.replaced("box", start + n * 31 * SECOND), None);
        }
    }

    /// Row S5: the memory is bounded, and ended windows leave it first.
    #[test]
    fn a_bounded_number_of_ids_is_remembered() {
        let (duplicates, start) = (duplicates(1), Instant::now());
        assert_eq!(duplicates.replaced("fought for", start + SECOND), None);
        for n in 0..5 * MAX_IDS {
            duplicates.replaced(&n.to_string(), start);
            let held = duplicates.counts.lock().unwrap().len();
            assert!(held <= MAX_IDS, "{held} ids");
        }
        assert!(duplicates.replaced("fought for", start + SECOND).is_some(), "the oldest leaves first");
        duplicates.replaced("later", start + 61 * SECOND);
        assert_eq!(duplicates.counts.lock().unwrap().len(), 1);
    }
}
