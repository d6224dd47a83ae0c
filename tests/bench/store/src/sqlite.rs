//! SQLite as `wsx::delivery::Disk` uses it, but without checksums.
use crate::stores::failed;
use rusqlite::{Connection, params};
use std::path::Path;
use wsx::delivery::{Change, Store, StoreError};

/// When SQLite syncs its write-ahead log.
#[derive(Clone, Copy)]
pub(crate) enum Sync {
    /// At each commit.
    Full,
    /// When the log becomes part of the file. A power loss takes the commits since then.
    Normal,
}

pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Self, StoreError> {
        open(path, sync).map_err(failed).and_then(|(database, check)| match &*check {
            "ok" => Ok(Self(database)),
            _ => Err(StoreError::other(check)),
        })
    }

    fn read(&self, each: &mut dyn FnMut(&str, &[u8])) -> rusqlite::Result<()> {
        let mut records = self.0.prepare("SELECT key, value FROM records")?;
        let mut rows = records.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM records WHERE key = ?1")?;
            for change in changes {
                match change {
                    Change::Put { key, value } => put.execute(params![key, &value[..]])?,
                    Change::Delete { key } => delete.execute(params![key])?,
                    change => unreachable!("{change:?}"),
                };
            }
        }
        transaction.commit()
    }
}

fn open(path: &Path, sync: Sync) -> rusqlite::Result<(Connection, String)> {
    let database = Connection::open(path)?;
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match sync {
        Sync::Full => 2,
        Sync::Normal => 1,
    };
    database.pragma_update(None, "synchronous", synchronous)?;
    database.pragma_update(None, "wal_autocheckpoint", 256)?;
    database.pragma_update(None, "journal_size_limit", 256 * 4096)?;
    let table = "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
    database.execute(table, [])?;
    // SQLite ignores what it does not know.
    let number: i32 = database.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let journal: String = database.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    assert_eq!((number, &*journal), (synchronous, "wal"), "SQLite is set up as `Disk` has it");
    let check = database.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    Ok((database, check))
}

impl Store for Sqlite {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.read(each).map_err(failed)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(changes).map_err(failed)
    }
}
