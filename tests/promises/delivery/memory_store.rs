//! A store in memory, for tests that end a program and start it again.
use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, mpsc},
};
use tokio::sync::oneshot;
use wsx::delivery::{Change, Store, StoreError, StoreErrorKind};

/// A store in memory. Clones are the same, so one of them outlives its program.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    map: BTreeMap<String, Vec<u8>>,
    is_full: bool,
    longest_commit: usize,
    held: Option<Held>,
}

/// A commit that waits.
#[derive(Debug)]
struct Held {
    began: oneshot::Sender<()>,
    release: mpsc::Receiver<()>,
}

impl MemoryStore {
    /// Whether commits fail from now on, as those of a full disk do.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.lock().unwrap().is_full = is_full;
    }

    /// Returns the maximum number of changes that came at once.
    pub(crate) fn longest_commit(&self) -> usize {
        self.0.lock().unwrap().longest_commit
    }

    /// Returns the number of keys with this part.
    pub(crate) fn keys(&self, part: &str) -> usize {
        self.0.lock().unwrap().map.keys().filter(|key| key.contains(part)).count()
    }

    /// Holds the next commit. Returns what resolves when it has begun, and what lets it go on.
    pub(crate) fn hold(&self) -> (oneshot::Receiver<()>, mpsc::Sender<()>) {
        let (began, has_begun) = oneshot::channel();
        let (go_on, release) = mpsc::channel();
        self.0.lock().unwrap().held = Some(Held { began, release });
        (has_begun, go_on)
    }

    /// Changes the wall clock of the last record, as if it had been `ago` seconds earlier, and
    /// in 1970 at the earliest.
    pub(crate) fn move_clock(&self, ago: i64) {
        let map = &mut self.0.lock().unwrap().map;
        let record = map.get_mut("clock").expect("the clock is recorded with each message");
        let mut clock: serde_json::Value = serde_json::from_slice(record).unwrap();
        clock["wall"] = (clock["wall"].as_i64().unwrap() - ago).max(0).into();
        *record = clock.to_string().into_bytes();
    }
}

impl Store for MemoryStore {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.0.lock().unwrap().map.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let held = mem::take(&mut self.0.lock().unwrap().held);
        if let Some(Held { began, release }) = held {
            let _ = began.send(());
            let _ = release.recv();
        }
        let mut inner = self.0.lock().unwrap();
        inner.longest_commit = inner.longest_commit.max(changes.len());
        if inner.is_full {
            return Err(StoreError::new(StoreErrorKind::Full, "the test's disk is full"));
        }
        for change in changes {
            match change {
                Change::Put { key, value } => drop(inner.map.insert(key.clone(), value.to_vec())),
                Change::Delete { key } => drop(inner.map.remove(key)),
                change => return Err(StoreError::other(format!("{change:?} is not known"))),
            }
        }
        Ok(())
    }
}
