//! The stores that are measured. Each one is a `Store` of wsx.
use crate::{
    folder::Folder,
    queue::Queue,
    redb::{redb_2, redb_4},
    sqlite::{Sqlite, Sync},
};
use std::path::Path;
use wsx::delivery::{Change, Disk, Store, StoreError};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// wsx's own store: SQLite with a checksum in each record.
    Disk,
    SqliteFull,
    SqliteNormal,
    Redb2,
    Redb4,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Disk, Self::SqliteFull, Self::SqliteNormal, Self::Redb2, Self::Redb4];

    /// Returns the name of the store in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disk => "`Disk`",
            Self::SqliteFull => "SQLite, `FULL`",
            Self::SqliteNormal => "SQLite, `NORMAL`, which is not durable",
            Self::Redb2 => "redb 2.6",
            Self::Redb4 => "redb 4.6",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).expect("the name of a store")
    }

    /// Opens a store, and has it check its whole file. It creates the file if it does not exist.
    pub(crate) fn open(self, folder: &Path) -> Result<Box<dyn Store>, StoreError> {
        let path = self.file(folder);
        Ok(match self {
            Self::Disk => Box::new(Disk::open(path)?),
            Self::SqliteFull => Box::new(Sqlite::open(&path, Sync::Full)?),
            Self::SqliteNormal => Box::new(Sqlite::open(&path, Sync::Normal)?),
            Self::Redb2 => Box::new(redb_2::Redb::open(&path)?),
            Self::Redb4 => Box::new(redb_4::Redb::open(&path)?),
        })
    }

    /// Opens a store that has to work.
    pub(crate) fn open_good(self, folder: &Path) -> Box<dyn Store> {
        self.open(folder).unwrap_or_else(|error| panic!("{}: {error:?}", self.name()))
    }

    /// Returns the path of the store's file. SQLite has other files beside it while it is open.
    pub(crate) fn file(self, folder: &Path) -> std::path::PathBuf {
        folder.join("store.db")
    }
}

/// Returns an error of a database.
pub(crate) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::other(error.to_string())
}

/// Panics unless the store has what was put and not deleted, also after it was opened again.
pub(crate) fn assert_keeps(kind: Kind, folder: &Folder) {
    let (name, path) = (kind.name(), folder.empty("keeps"));
    let commit = |store: &mut dyn Store, changes: &[Change]| {
        store.commit(changes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    };
    let mut queue = Queue::default();
    let mut store = kind.open_good(&path);
    commit(&mut *store, &queue.put(300));
    commit(&mut *store, &queue.delete(100));
    commit(&mut *store, &queue.changes(301));
    queue.assert_is_in(&mut *store, name);
    drop(store);
    let mut store = kind.open_good(&path);
    queue.assert_is_in(&mut *store, name);
    // A put takes the place of an earlier one, and the last change of a key counts.
    let put = |value: &'static str| Change::Put { key: "other".to_owned(), value: value.into() };
    let delete = || Change::Delete { key: "other".to_owned() };
    for (changes, expected) in [
        (vec![put("1")], Some("1")),
        (vec![put("2"), put("3")], Some("3")),
        (vec![put("4"), delete()], None),
        (vec![delete(), put("5")], Some("5")),
        (vec![delete(), delete()], None),
    ] {
        commit(&mut *store, &changes);
        let mut found = None;
        let loaded = store.load(&mut |key, value| {
            if key == "other" {
                found = Some(value.to_vec());
            }
        });
        loaded.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(found.as_deref() == expected.map(str::as_bytes), "{name}: {changes:?} was not kept");
    }
    queue.assert_is_in(&mut *store, name);
}
