//! The connections of a hub, by id. Knows neither sockets nor HTTP.
use crate::connection::handle::Handle;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard},
};

/// Locks over which connections that come and go are spread.
const SHARDS: usize = 16;

type Shard = HashMap<Arc<str>, Handle>;

#[derive(Default)]
pub(crate) struct Registry {
    /// Seeded, because peers choose their ids.
    hash: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Handle> {
        self.shard(id).get(id).cloned()
    }

    /// Adds a connection, and returns the one that had its id. `is_open` is asked under the lock: a shutdown that sets it
    /// to false either sees this connection or is seen by it.
    pub(crate) fn insert(
        &self,
        conn: &Handle,
        id: Arc<str>,
        is_open: impl FnOnce() -> bool,
    ) -> Result<Option<Handle>, Closing> {
        let mut shard = self.shard(&id);
        if is_open() { Ok(shard.insert(id, conn.clone())) } else { Err(Closing) }
    }

    /// Removes this very connection, never one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle) {
        let mut shard = self.shard(conn.id());
        if shard.get(conn.id()).is_some_and(|entry| entry.is_same(conn)) {
            shard.remove(conn.id());
            // A wave of connections that has gone leaves no memory behind.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.collect(|conn| conn.id().to_owned())
    }

    pub(crate) fn connections(&self) -> Vec<Handle> {
        self.collect(Handle::clone)
    }

    fn collect<T>(&self, mut one: impl FnMut(&Handle) -> T) -> Vec<T> {
        let mut all = Vec::new();
        self.for_each(|conn| all.push(one(conn)));
        all
    }

    /// Calls `visit` for each connection, under its shard's lock: it must not run code of the program.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Handle)) {
        for shard in &self.shards {
            lock(shard).values().for_each(&mut visit);
        }
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        // No truncation that matters: any bits of the hash serve.
        lock(&self.shards[self.hash.hash_one(id) as usize % SHARDS])
    }
}

/// The hub is shutting down, so no connection is added.
#[derive(Debug)]
pub(crate) struct Closing;

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("no code of the program runs under this lock")
}
