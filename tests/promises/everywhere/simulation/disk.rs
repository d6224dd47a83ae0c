//! A simulated disk for kept messages: it outlives its program, loses what was not synced at a
//! crash, and can be slow, full, uncertain or empty. It reads the records of wsx, and so knows
//! which message is durable, and with which number.
use rand::{RngExt, rngs::SmallRng};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::runtime::Handle;
use wsx::delivery::{Change, Store, StoreError, StoreErrorKind};

/// A numbering of messages, as in the keys of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Seq,
    Latest,
}

/// The epoch of the sender, its peer, the numbering and the number.
pub(crate) type Place = (String, String, Lane, u64);

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// Each commit takes this many milliseconds of the simulated time.
    Slow(u64),
    /// Each commit fails.
    Full,
    /// Each commit is written, and fails.
    Uncertain,
}

/// The disk. Clones are the same.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    map: BTreeMap<String, Vec<u8>>,
    /// The epochs of the programs by their lives, also those that never were durable. Empty before
    /// the first commit.
    epochs: BTreeMap<u64, String>,
    trouble: Option<Trouble>,
    /// The number of starts of programs and of crashes. A program writes while it is its own.
    life: u64,
    /// The commits that wait for the simulated time, and when they end.
    waiting: BTreeMap<u64, Waiting>,
    commits: u64,
    /// The messages that were committed, or were there at a start, with their ids.
    known: BTreeMap<Place, u64>,
    durable: BTreeSet<u64>,
    /// The ids of messages whose commit failed, although it was written.
    uncertain: BTreeSet<u64>,
    /// At the start of the program: the handled numbers, by the peer and its epoch.
    handled: BTreeMap<(String, String), [u64; 2]>,
    /// Whether required changes may wait for another attempt.
    has_failed: bool,
    refused: u64,
}

struct Waiting {
    changes: Vec<Change>,
    end: Option<u64>,
    is_over: bool,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { inner: Mutex::default(), changed: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the store of a program that starts. Earlier programs cannot write any more.
    pub(crate) fn open(&self) -> Opened {
        let mut inner = self.lock();
        inner.life += 1;
        inner.handled.clear();
        let (life, epoch) = (inner.life, inner.map.get("epoch").map(|epoch| text(epoch)));
        inner.epochs.insert(life, epoch.unwrap_or_default());
        let map = inner.map.clone();
        for (key, value) in &map {
            inner.note(key, value);
            if let ["in", peer, epoch] = key.split('/').collect::<Vec<_>>()[..] {
                let numbers: Value = serde_json::from_slice(value).expect("a record of wsx");
                let numbers = ["seq", "latest"].map(|lane| numbers[lane].as_u64().expect("a number"));
                inner.handled.insert((peer.to_owned(), epoch.to_owned()), numbers);
            }
        }
        Opened { disk: self.clone(), life: inner.life, runtime: Some(Handle::current()) }
    }

    /// Ends the program, whose commit in progress is written or not.
    pub(crate) fn crash(&self, dice: &mut SmallRng) {
        let mut inner = self.lock();
        inner.life += 1;
        for (_, waiting) in std::mem::take(&mut inner.waiting) {
            if !waiting.is_over && dice.random_bool(0.5) {
                inner.apply(&waiting.changes);
            }
        }
        inner.has_failed = false;
        drop(inner);
        self.0.changed.notify_all();
    }

    pub(crate) fn wipe(&self) {
        self.lock().map.clear();
    }

    /// Moves the wall clock of the last record by this many seconds.
    pub(crate) fn move_clock(&self, seconds: i64) {
        let mut inner = self.lock();
        let Some(record) = inner.map.get_mut("clock") else { return };
        let mut clock: Value = serde_json::from_slice(record).expect("a record of wsx");
        clock["wall"] = (clock["wall"].as_i64().expect("a number") + seconds).max(0).into();
        *record = clock.to_string().into_bytes();
    }

    pub(crate) fn set_trouble(&self, trouble: Trouble) {
        let mut inner = self.lock();
        inner.trouble = Some(trouble);
        if !matches!(trouble, Trouble::Slow(_)) {
            inner.waiting.values_mut().for_each(|waiting| waiting.is_over = true);
        }
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Ends the commits whose time has come. Then waits for those that the time does not hold up,
    /// so that the simulated time does not run away from the threads of the stores.
    pub(crate) fn tick(&self, now: u64) {
        let mut inner = self.lock();
        let latency = match inner.trouble {
            Some(Trouble::Slow(latency)) => latency,
            _ => 0,
        };
        for waiting in inner.waiting.values_mut() {
            let end = *waiting.end.get_or_insert(now + latency);
            waiting.is_over |= end <= now;
        }
        self.0.changed.notify_all();
        let is_busy = |inner: &mut Inner| inner.waiting.values().any(|waiting| waiting.is_over);
        // Not for long: the thread may wait for a lock of the engine.
        drop(self.0.changed.wait_timeout_while(inner, Duration::from_millis(20), is_busy));
    }

    pub(crate) fn is_durable(&self, id: u64) -> bool {
        self.lock().durable.contains(&id)
    }

    pub(crate) fn is_uncertain(&self, id: u64) -> bool {
        self.lock().uncertain.contains(&id)
    }

    /// Whether changes wait for another attempt.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    pub(crate) fn epoch(&self) -> Option<String> {
        self.lock().map.get("epoch").map(|epoch| text(epoch))
    }

    /// Returns the epoch of the last program, also while it is not durable.
    pub(crate) fn present_epoch(&self) -> String {
        self.lock().epochs.values().next_back().cloned().unwrap_or_default()
    }

    /// Returns the epochs of all programs, also those that never were durable.
    pub(crate) fn epochs(&self) -> BTreeSet<String> {
        self.lock().epochs.values().cloned().collect()
    }

    /// Calls `with` with the numbers and ids of the messages of an epoch for a peer.
    pub(crate) fn known<T>(
        &self,
        epoch: &str,
        peer: &str,
        lane: Lane,
        numbers: RangeInclusive<u64>,
        with: impl FnOnce(&mut dyn Iterator<Item = (u64, u64)>) -> T,
    ) -> T {
        let inner = self.lock();
        let place = |number| (epoch.to_owned(), peer.to_owned(), lane, number);
        let (from, to) = numbers.into_inner();
        with(&mut inner.known.range(place(from)..place(to.max(from - 1) + 1)).map(|((.., number), id)| (*number, *id)))
    }

    /// Returns all messages of all epochs.
    pub(crate) fn all(&self) -> Vec<(Place, u64)> {
        self.lock().known.iter().map(|(place, id)| (place.clone(), *id)).collect()
    }

    /// Returns the numbers that this program had handled when it started.
    pub(crate) fn handled(&self, peer: &str, epoch: &str) -> [u64; 2] {
        self.lock().handled.get(&(peer.to_owned(), epoch.to_owned())).copied().unwrap_or_default()
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).expect("a record of wsx")
}

/// Returns the peer, the numbering, the number and the id of a message's record.
fn message(key: &str, value: &[u8]) -> Option<(String, Lane, u64, u64)> {
    let ["out", peer, lane, number] = key.split('/').collect::<Vec<_>>()[..] else { return None };
    let lane = match lane {
        "seq" => Lane::Seq,
        "latest" => Lane::Latest,
        _ => return None,
    };
    let head = value.iter().position(|byte| *byte == b'\n').expect("a record of wsx has two lines");
    let envelope: Value = serde_json::from_slice(&value[head + 1..]).expect("an envelope");
    let id = envelope["data"]["id"].as_u64().expect("a message of the simulation");
    Some((peer.to_owned(), lane, number.parse().expect("a number"), id))
}

impl Inner {
    /// Notes that a record is durable.
    fn note(&mut self, key: &str, value: &[u8]) {
        let Some((peer, lane, number, id)) = message(key, value) else { return };
        let epoch = self.map.get("epoch").map(|epoch| text(epoch));
        self.known.insert((epoch.unwrap_or_default(), peer, lane, number), id);
        self.durable.insert(id);
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put { key, value } => drop(self.map.insert(key.clone(), value.to_vec())),
                Change::Delete { key } => drop(self.map.remove(key)),
                _ => unreachable!("there are two kinds of changes"),
            }
        }
    }

    fn fail(&mut self, what: &str) -> Result<(), StoreError> {
        self.has_failed = true;
        self.refused += 1;
        Err(StoreError::new(StoreErrorKind::Full, what))
    }
}

/// The store of one run of a program.
pub(crate) struct Opened {
    disk: Disk,
    life: u64,
    /// The runtime whose clock the thread of the store has to read.
    runtime: Option<Handle>,
}

impl Store for Opened {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.disk.lock().map.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if let Some(runtime) = self.runtime.take() {
            // The thread belongs to this store, and reads the simulated clock until it ends.
            std::mem::forget(Box::leak(Box::new(runtime)).enter());
        }
        let mut inner = self.disk.lock();
        let epoch = changes.iter().find_map(|change| match change {
            Change::Put { key, value } if key == "epoch" => Some(text(value)),
            _ => None,
        });
        if let Some(epoch) = epoch.filter(|_| inner.life == self.life) {
            inner.epochs.insert(self.life, epoch);
        }
        if let (Some(Trouble::Slow(_)), true) = (inner.trouble, inner.life == self.life) {
            inner.commits += 1;
            let number = inner.commits;
            inner.waiting.insert(number, Waiting { changes: changes.to_vec(), end: None, is_over: false });
            let waits = |inner: &mut Inner| inner.waiting.get(&number).is_some_and(|waiting| !waiting.is_over);
            inner = self.disk.0.changed.wait_while(inner, waits).unwrap_or_else(PoisonError::into_inner);
            inner.waiting.remove(&number);
            self.disk.0.changed.notify_all();
        }
        if inner.life != self.life {
            return Err(StoreError::other("the program was killed"));
        }
        match inner.trouble {
            Some(Trouble::Full) => return inner.fail("the disk is full"),
            Some(Trouble::Uncertain) => {
                inner.apply(changes);
                for change in changes {
                    if let Change::Put { key, value } = change {
                        inner.uncertain.extend(message(key, value).map(|(.., id)| id));
                    }
                }
                return inner.fail("the disk does not know");
            }
            Some(Trouble::Nothing | Trouble::Slow(_)) | None => {}
        }
        inner.apply(changes);
        for change in changes {
            if let Change::Put { key, value } = change {
                inner.note(key, value);
            }
        }
        inner.has_failed = false;
        Ok(())
    }
}
