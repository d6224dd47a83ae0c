//! The open connections of a hub, by id. It does not know sockets or HTTP.
use crate::connection::{
    handle::Handle,
    loom_or_std::{Mutex, MutexGuard, RandomState},
};
use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

/// The number of locks. Connections that open and close at the same time rarely need the same one.
const SHARDS: usize = 16;

/// The connections under one lock.
type Shard = HashMap<Arc<str>, Handle, RandomState>;

/// The connections of a hub, by id.
#[derive(Default)]
pub(crate) struct Registry {
    /// Selects the shard of an id. It has a random seed, because peers choose their ids.
    hash: RandomState,
    /// The connections, each in the shard of its id.
    shards: [Mutex<Shard>; SHARDS],
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Handle> {
        self.shard(id).get(id).cloned()
    }

    /// Adds a connection. Returns the older one with its id.
    ///
    /// `admit` is called under the lock, with the older one. So a shutdown either sees this
    /// connection in the registry, or `admit` sees the shutdown.
    pub(crate) fn insert<R>(
        &self,
        conn: &Handle,
        id: Arc<str>,
        admit: impl FnOnce(Option<&Handle>) -> Result<(), R>,
    ) -> Result<Option<Handle>, R> {
        let mut shard = self.shard(&id);
        admit(shard.get(&id))?;
        Ok(shard.insert(id, conn.clone()))
    }

    /// Removes this connection, but not another one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle) {
        let mut shard = self.shard(conn.id());
        if shard.get(conn.id()).is_some_and(|entry| entry.is_same(conn)) {
            shard.remove(conn.id());
            // After many connections have ended, their memory is freed.
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

    /// Calls `visit` for each connection, under the lock of its shard. `visit` must not run code of
    /// the application.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Handle)) {
        for shard in &self.shards {
            lock(shard).values().for_each(&mut visit);
        }
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        // The cast may cut off bits, which is harmless: any bits of the hash are good.
        lock(&self.shards[self.hash.hash_one(id) as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("the application's code does not run under this lock")
}
