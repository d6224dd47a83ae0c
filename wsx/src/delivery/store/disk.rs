//! The store in a file: a database of SQLite with one table. It does not know messages.
//!
//! SQLite is chosen by measurement; `docs/delivery.md` has the figures.
mod problem;

use self::problem::{Problem, system_error};
use super::checksum::checksum;
use crate::{
    delivery::{Change, Store},
    error::{StoreError, StoreErrorKind},
};
use rusqlite::{Connection, OpenFlags, config::DbConfig, params};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Marks a database as one of wsx, for the program `file` and for SQLite's `PRAGMA application_id`:
/// the letters `wsxo`.
const APPLICATION: i32 = 0x7773_786f;
/// The version of the table.
const FORMAT: i32 = 1;
/// Versions are below this number. In the file, a version is in the upper half of SQLite's
/// `user_version`, and its complement in the lower half: SQLite has no checksum for it.
const FORMATS: i32 = 0x8000;
/// A value has a checksum, because SQLite finds damage to its pages alone.
const TABLE: &str =
    "CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID";
/// How long an open waits for another process that has the file.
const BUSY: Duration = Duration::from_millis(200);
/// The write-ahead log becomes part of the file at this length, in pages of 4 KiB. It keeps about
/// twice this length.
const CHECKPOINT_PAGES: u32 = 256;

/// A [`Store`] in a file, for [`Outbox::store`](crate::delivery::Outbox::store) and
/// [`Mailbox::store`](crate::delivery::Mailbox::store).
///
/// A commit is durable when it returns, also if the power fails, as far as the disk keeps what it
/// acknowledged. On Unix, only the user of the process may read and write the file.
///
/// # The file
///
/// It is a database of SQLite. While it is open, files with `-wal` and `-shm` after its name belong
/// to it. Copy all of them or none. The bounds of the outbox or mailbox also bound the file: pages
/// of deleted messages are used again. The file keeps its greatest length.
///
/// One process uses a file at a time; a second one gets [`StoreErrorKind::Locked`]. Network file
/// systems may not lock it: use a local one.
///
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("wsx-disk-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// use wsx::{Client, delivery::{Disk, Outbox}};
///
/// let disk = Disk::open_or_replace(folder.join("outbox.db"))?;
/// if let Some(damaged) = disk.replaced() {
///     eprintln!("the messages in {} are not sent", damaged.display());
/// }
/// let outbox = Outbox::new().store(disk);
/// let client = Client::builder("ws://127.0.0.1:9001/ws?id=box-7").outbox(outbox).build()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub struct Disk {
    path: PathBuf,
    database: Connection,
    replaced: Option<PathBuf>,
}

impl Disk {
    /// Opens the file, and creates it if it does not exist. It reads the whole file to find damage.
    ///
    /// # Errors
    ///
    /// [`StoreError::kind`] says what is wrong: damage ([`StoreErrorKind::Corrupt`]), another kind
    /// of file ([`StoreErrorKind::Foreign`]), a later version ([`StoreErrorKind::Later`]), another
    /// process ([`StoreErrorKind::Locked`]), a full disk ([`StoreErrorKind::Full`]), a read-only
    /// file system ([`StoreErrorKind::ReadOnly`]), a missing permission
    /// ([`StoreErrorKind::Denied`]), or the system ([`StoreErrorKind::Io`]). The file is not
    /// changed then.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        restrict(&path)?;
        let opened = open(&path).and_then(|database| {
            let disk = Self { path: path.clone(), database, replaced: None };
            disk.read(true, &mut |_, _| {})?;
            disk.database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            Ok(disk)
        });
        opened.map_err(|problem| problem.explained(&path, false).into_error(&path, "opened"))
    }

    /// Opens the file as [`open`](Self::open). A file that is damaged or of another kind is moved
    /// aside, to a name with `.corrupt-` and the time in seconds since 1970; the store is then
    /// empty, and [`replaced`](Self::replaced) returns that name.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), except for these two kinds.
    pub fn open_or_replace(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        match Self::open(&path) {
            Err(error) if matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Foreign) => {
                let aside = aside(&path);
                for end in ["", "-wal", "-shm"] {
                    match fs::rename(with(&path, end), with(&aside, end)) {
                        Err(error) if end.is_empty() || error.kind() != io::ErrorKind::NotFound => {
                            let what = format!("the damaged store {} cannot be moved aside", path.display());
                            return Err(system_error(&what, error));
                        }
                        _ => {}
                    }
                }
                Ok(Self { replaced: Some(aside), ..Self::open(path)? })
            }
            opened => opened,
        }
    }

    /// Returns where the damaged file is now, if [`open_or_replace`](Self::open_or_replace) moved
    /// one aside.
    #[must_use]
    pub fn replaced(&self) -> Option<&Path> {
        self.replaced.as_deref()
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), Problem> {
        let transaction = self.database.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM records WHERE key = ?1")?;
            for change in changes {
                match change {
                    Change::Put { key, value } => put.execute(params![key, &value[..], checksum_of(key, value)])?,
                    Change::Delete { key } => delete.execute(params![key])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }

    /// Calls `each` with every key and its value. `compare` says whether to compare the checksums.
    fn read(&self, compare: bool, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), Problem> {
        let mut records = self.database.prepare("SELECT key, value, checksum FROM records")?;
        let mut rows = records.query([])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_str().map_err(|_| Problem::Corrupt("a key is not a text".into()))?;
            let value = row.get_ref(1)?.as_blob().map_err(|_| Problem::Corrupt("a value is not bytes".into()))?;
            if compare && row.get_ref(2)?.as_i64() != Ok(checksum_of(key, value)) {
                return Err(Problem::Corrupt("the checksum of a record is wrong".into()));
            }
            each(key, value);
        }
        Ok(())
    }
}

impl Store for Disk {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        // The open has compared the checksums, and nobody else may write the file since.
        let read = self.read(false, each);
        read.map_err(|problem| problem.explained(&self.path, true).into_error(&self.path, "read"))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(changes).map_err(|problem| problem.explained(&self.path, true).into_error(&self.path, "written"))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

/// Returns the checksum of a record, as SQLite keeps it.
fn checksum_of(key: &str, value: &[u8]) -> i64 {
    // The zero byte is where the key ends.
    i64::from_le_bytes(checksum(key.as_bytes().iter().chain(&[0]).chain(value)).to_le_bytes())
}

fn open(path: &Path) -> Result<Connection, Problem> {
    reject_remains(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Until the file is checked, a close leaves it and its write-ahead log as they are.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // The lock of the process lasts as long as the file is open. So it is set before the first
    // read.
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let pragma =
        |database: &Connection, name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, format) = (pragma(&database, "application_id")?, pragma(&database, "user_version")?);
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    match (application, format_of(format)) {
        (0, _) if (format, tables) == (0, 0) => {}
        (APPLICATION, Some(FORMAT)) => {}
        (APPLICATION, Some(later)) => return Err(Problem::Later(later)),
        (APPLICATION, None) => return Err(Problem::Corrupt("its version is not one of wsx".into())),
        _ => return Err(Problem::Foreign),
    }
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    database.pragma_update(None, "journal_size_limit", i64::from(CHECKPOINT_PAGES) * 4096)?;
    if application == 0 {
        let transaction = database.transaction()?;
        transaction.execute(TABLE, [])?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", user_version(FORMAT))?;
        transaction.commit()?;
    }
    // SQLite opens a file for reading if it cannot write it. A write says so.
    database.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
    let check: String = database.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check == "ok" {
        Ok(database)
    } else {
        Err(Problem::Corrupt(check.lines().next().unwrap_or_default().to_owned()))
    }
}

/// Rejects what SQLite takes for a new file, and overwrites: a file that is shorter than a sector,
/// and an empty one with a write-ahead log, whose file was not empty.
fn reject_remains(path: &Path) -> Result<(), Problem> {
    let length = |end| fs::metadata(with(path, end)).map_or(0, |file| file.len());
    match length("") {
        // SQLite restores the file from its journal.
        _ if length("-journal") > 0 => Ok(()),
        0 if length("-wal") > 0 => Err(Problem::Corrupt("it is empty, and its write-ahead log is not".into())),
        1..512 => match fs::read(path) {
            Err(error) => Err(Problem::System(error)),
            Ok(bytes) if bytes.iter().zip(b"SQLite format 3\0").all(|(one, other)| one == other) => {
                Err(Problem::Corrupt("most of it is missing".into()))
            }
            Ok(_) => Err(Problem::Foreign),
        },
        _ => Ok(()),
    }
}

/// Returns what a version is in the file.
fn user_version(format: i32) -> i32 {
    format << 16 | (!format & 0xffff)
}

/// Returns the version, if the number in the file is one.
fn format_of(user_version_of_file: i32) -> Option<i32> {
    let format = user_version_of_file >> 16;
    ((1..FORMATS).contains(&format) && user_version(format) == user_version_of_file).then_some(format)
}

/// Creates the file for its user alone. SQLite gives its other files the same permissions.
fn restrict(path: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(system_error(&format!("the store {} cannot be created", path.display()), error)),
    }
}

/// Returns a name for a damaged file, which is not in use.
fn aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let names = (now..).map(|seconds| with(path, &format!(".corrupt-{seconds}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| with(path, ".corrupt"))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;
