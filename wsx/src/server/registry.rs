//! The open connections of a hub, by id. It does not know sockets or HTTP.
use crate::{
    closed::Closed,
    connection::{
        handle::Handle,
        loom_or_std::{Mutex, MutexGuard, RandomState},
        shrink::shrink,
        wall_clock::Seconds,
    },
    protocol::PeerVersion,
};
use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    sync::Arc,
};

/// The number of locks. Connections that open and close at the same time rarely need the same one.
const SHARDS: usize = 16;

/// The connections under one lock.
type Shard = HashMap<Arc<str>, Entry, RandomState>;

/// The connections of a hub, by id.
#[derive(Default)]
pub(crate) struct Registry {
    /// Selects the shard of an id. It has a random seed, because peers choose their ids.
    hash: RandomState,
    /// The connections, each in the shard of its id.
    shards: [Mutex<Shard>; SHARDS],
}

/// The newest connection of an id.
pub(crate) struct Entry {
    pub(crate) conn: Handle,
    /// When the id came online. It is `None` while the first connection of the id is still in its
    /// handshake.
    pub(crate) online: Option<Seconds>,
    /// The connection before this one. Boxed, because most ids connect once.
    pub(crate) before: Option<Box<Before>>,
}

/// The connection before the newest one of an id.
#[derive(Default)]
pub(crate) struct Before {
    /// Why it closed, or the one before it if it has not closed yet.
    pub(crate) closed: Option<Closed>,
    /// The connection itself, until it leaves the hub.
    pub(crate) leaving: Option<Handle>,
}

/// The connections that a newer one has replaced.
pub(crate) struct Replaced {
    pub(crate) older: Handle,
    /// One that was replaced before, and that the registry has forgotten now. It is here to be
    /// dropped after the locks, because that may run code of the application.
    #[expect(dead_code, reason = "it is only dropped")]
    oldest: Option<Handle>,
}

impl Entry {
    fn new(conn: Handle) -> Self {
        Self { conn, online: None, before: None }
    }

    /// Puts a newer connection in the place of this one.
    fn replace(&mut self, newer: Handle) -> Replaced {
        let older = std::mem::replace(&mut self.conn, newer);
        let mut oldest = None;
        if older.is_started() {
            oldest = self.before.get_or_insert_default().leaving.replace(older.clone());
        }
        Replaced { older, oldest }
    }

    /// Sets why the connection before this one closed.
    pub(crate) fn set_closed(&mut self, closed: Closed) {
        self.before.get_or_insert_default().closed = Some(closed);
    }

    /// Notes why the connection before this one closed. Ignores an even older one.
    pub(crate) fn note_closed(&mut self, conn: &Handle, closed: &Closed) {
        let before = self.before.as_deref_mut();
        if let Some(before) = before.filter(|before| before.leaving.as_ref().is_some_and(|left| left.is_same(conn))) {
            *before = Before { closed: Some(closed.clone()), leaving: None };
        }
    }
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Handle> {
        self.shard(id).get(id).map(|entry| entry.conn.clone())
    }

    /// Adds a connection. Returns the older ones with its id.
    ///
    /// `admit` is called under the lock, with the older one. So a shutdown either sees this
    /// connection in the registry, or `admit` sees the shutdown.
    pub(crate) fn insert<R>(
        &self,
        conn: &Handle,
        admit: impl FnOnce(Option<&Handle>) -> Result<(), R>,
    ) -> Result<Option<Replaced>, R> {
        let mut shard = self.shard(conn.id());
        let entry = shard.get_mut(conn.id());
        admit(entry.as_ref().map(|entry| &entry.conn))?;
        match entry {
            Some(entry) => Ok(Some(entry.replace(conn.clone()))),
            None => {
                shard.insert(conn.id().clone(), Entry::new(conn.clone()));
                Ok(None)
            }
        }
    }

    /// Calls `change` with the entry of this id, if there is one.
    ///
    /// `change` must not run code of the application.
    pub(crate) fn change<T>(&self, id: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.shard(id).get_mut(id).map(change)
    }

    /// Removes this connection, but not another one that has replaced it. Returns its entry.
    pub(crate) fn remove(&self, conn: &Handle) -> Option<Entry> {
        let mut shard = self.shard(conn.id());
        if !shard.get(conn.id()).is_some_and(|entry| entry.conn.is_same(conn)) {
            return None;
        }
        let removed = shard.remove(conn.id());
        // After many connections have ended, their memory is freed.
        shrink(&mut shard);
        removed
    }

    /// Returns the number of connections for each version that their peers speak.
    pub(crate) fn versions(&self) -> BTreeMap<Option<PeerVersion>, usize> {
        let mut counted = BTreeMap::new();
        self.for_each(|conn| {
            let version = conn.peer_protocol().map(|peer| peer.version.clone());
            *counted.entry(version).or_default() += 1;
        });
        counted
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.collect(|conn| conn.id().to_string())
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
        self.for_each_entry(|entry| visit(&entry.conn));
    }

    /// As [`for_each`](Self::for_each), with the whole entry.
    pub(crate) fn for_each_entry(&self, mut visit: impl FnMut(&Entry)) {
        for shard in &self.shards {
            lock(shard).values().for_each(&mut visit);
        }
    }

    /// Calls `change` for each entry, under the lock of its shard. `change` must not run code of
    /// the application.
    pub(crate) fn change_each(&self, mut change: impl FnMut(&mut Entry)) {
        for shard in &self.shards {
            lock(shard).values_mut().for_each(&mut change);
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
