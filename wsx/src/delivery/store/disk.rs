//! The store in a file: a database of SQLite with one table. It does not know messages.
//!
//! SQLite is chosen by measurement; `docs/delivery.md` has the figures.
use super::checksum::checksum;
use crate::{
    delivery::{Change, Store},
    error::{StoreError, StoreErrorKind},
};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, params};
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
    /// process ([`StoreErrorKind::Locked`]), a full disk ([`StoreErrorKind::Full`]), or the system
    /// ([`StoreErrorKind::Io`]). The file is not changed then.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        restrict(&path)?;
        let opened = open(&path).map_err(|problem| problem.explained(&path));
        let disk = opened.map(|database| Self { path: path.clone(), database, replaced: None });
        let checked = disk.and_then(|disk| disk.read(&mut |_, _| {}).map(|()| disk));
        checked.map_err(|problem| problem.into_error(&path, "opened"))
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
                            return Err(StoreError::io(what, error));
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
                    Change::Put { key, value } => put.execute(params![key, &value[..], sum(key, value)])?,
                    Change::Delete { key } => delete.execute(params![key])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), Problem> {
        let mut records = self.database.prepare("SELECT key, value, checksum FROM records")?;
        let mut rows = records.query([])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_str().map_err(|_| Problem::Corrupt("a key is not a text".into()))?;
            let value = row.get_ref(1)?.as_blob().map_err(|_| Problem::Corrupt("a value is not bytes".into()))?;
            if row.get_ref(2)?.as_i64() != Ok(sum(key, value)) {
                return Err(Problem::Corrupt("the checksum of a record is wrong".into()));
            }
            each(key, value);
        }
        Ok(())
    }
}

impl Store for Disk {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.read(each).map_err(|problem| problem.into_error(&self.path, "read"))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(changes).map_err(|problem| problem.into_error(&self.path, "written"))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

/// Why a file cannot be used.
enum Problem {
    Sqlite(rusqlite::Error),
    System(io::Error),
    Corrupt(String),
    Foreign,
    Later(i32),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Problem {
    /// Adds the reason of the system, which SQLite does not give.
    fn explained(self, path: &Path) -> Self {
        let Self::Sqlite(error) = &self else { return self };
        let is_refused = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure)
        );
        if !is_refused {
            return self;
        }
        match fs::OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) => self,
            Err(error) => Self::System(error),
        }
    }

    fn into_error(self, path: &Path, what: &str) -> StoreError {
        let store = format!("the store {}", path.display());
        let kind = match &self {
            Self::System(_) => StoreErrorKind::Io,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt) => StoreErrorKind::Corrupt,
                Some(ErrorCode::NotADatabase) => StoreErrorKind::Foreign,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Locked,
                Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
                _ => StoreErrorKind::Io,
            },
            Self::Corrupt(_) => StoreErrorKind::Corrupt,
            Self::Foreign => StoreErrorKind::Foreign,
            Self::Later(_) => StoreErrorKind::Later,
        };
        let message = match (&self, kind) {
            (Self::Corrupt(why), _) => format!("{store} is damaged: {why}"),
            (Self::Later(format), _) => {
                format!("{store} has format {format}, which a later version of wsx has written")
            }
            (_, StoreErrorKind::Foreign) => format!("{store} is not a store of wsx: choose another path"),
            (_, StoreErrorKind::Locked) => format!("{store} is in use: one process uses it at a time"),
            (_, StoreErrorKind::Corrupt) => format!("{store} is damaged"),
            _ => format!("{store} cannot be {what}"),
        };
        let error = StoreError::new(kind, message);
        match self {
            Self::Sqlite(cause) => error.with_source(cause),
            Self::System(cause) => error.with_source(cause),
            _ => error,
        }
    }
}

/// Returns the checksum of a record, as SQLite keeps it.
fn sum(key: &str, value: &[u8]) -> i64 {
    // The zero byte is where the key ends.
    i64::from_le_bytes(checksum(key.as_bytes().iter().chain(&[0]).chain(value)).to_le_bytes())
}

fn open(path: &Path) -> Result<Connection, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // The lock of the process lasts as long as the file is open. So it is set before the first
    // read.
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let pragma =
        |database: &Connection, name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, format) = (pragma(&database, "application_id")?, pragma(&database, "user_version")?);
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    match (application, format) {
        (0, 0) if tables == 0 => {}
        (APPLICATION, FORMAT) => {}
        (APPLICATION, later) if later > FORMAT => return Err(Problem::Later(later)),
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
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    }
    let check: String = database.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check == "ok" {
        Ok(database)
    } else {
        Err(Problem::Corrupt(check.lines().next().unwrap_or_default().to_owned()))
    }
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
        Err(error) => Err(StoreError::io(format!("the store {} cannot be created", path.display()), error)),
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
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::collections::BTreeMap;

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wsx-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("outbox.db")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(key: &str, value: &'static str) -> Change {
        Change::Put { key: key.to_owned(), value: Bytes::from_static(value.as_bytes()) }
    }

    fn content(disk: &mut Disk) -> BTreeMap<String, Vec<u8>> {
        let mut content = BTreeMap::new();
        disk.load(&mut |key, value| drop(content.insert(key.to_owned(), value.to_vec()))).unwrap();
        content
    }

    fn kind(opened: Result<Disk, StoreError>) -> StoreErrorKind {
        opened.expect_err("the file is not a store").kind()
    }

    /// Row G20: what was committed is there when the file is opened again.
    #[test]
    fn a_commit_is_there_after_the_next_open() {
        let folder = Folder::new("commit");
        let mut disk = Disk::open(folder.file()).unwrap();
        disk.commit(&[put("a", "1"), put("b", "2"), put("a", "3")]).unwrap();
        disk.commit(&[Change::Delete { key: "b".to_owned() }, put("c", "")]).unwrap();
        drop(disk);
        let mut disk = Disk::open(folder.file()).unwrap();
        let expected = BTreeMap::from([("a".to_owned(), b"3".to_vec()), ("c".to_owned(), Vec::new())]);
        assert_eq!((content(&mut disk), disk.replaced()), (expected, None));
    }

    /// Row G21: one process has a store, and only its user reads the file.
    #[test]
    fn a_store_has_one_owner() {
        let folder = Folder::new("owner");
        let disk = Disk::open(folder.file()).unwrap();
        let second = Disk::open(folder.file()).unwrap_err();
        assert_eq!(second.kind(), StoreErrorKind::Locked);
        assert!(second.to_string().contains("is in use"), "{second}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            for end in ["", "-wal"] {
                let mode = fs::metadata(with(&folder.file(), end)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{end:?}");
            }
        }
        drop(disk);
        Disk::open(folder.file()).unwrap();
    }

    /// Row G22: a file that is not a store is an error, and stays.
    #[test]
    fn a_foreign_or_damaged_file_is_kept_aside() {
        let folder = Folder::new("foreign");
        let text = "this is a text, and not a database".repeat(100);
        fs::write(folder.file(), &text).unwrap();
        assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Foreign);
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
        let mut disk = Disk::open_or_replace(folder.file()).unwrap();
        assert_eq!(fs::read_to_string(disk.replaced().unwrap()).unwrap(), text);
        assert!(content(&mut disk).is_empty());
        drop(disk);

        let database = Connection::open(folder.0.join("other.db")).unwrap();
        database.execute("CREATE TABLE other (a)", []).unwrap();
        drop(database);
        assert_eq!(kind(Disk::open(folder.0.join("other.db"))), StoreErrorKind::Foreign);

        let mut disk = Disk::open(folder.0.join("damaged.db")).unwrap();
        let long = "x".repeat(10_000);
        for n in 0..100 {
            disk.commit(&[Change::Put { key: format!("{n:01000}"), value: Bytes::from(long.clone()) }]).unwrap();
        }
        drop(disk);
        let mut bytes = fs::read(folder.0.join("damaged.db")).unwrap();
        for page in bytes.chunks_mut(4096).skip(1).step_by(2) {
            page[..100].fill(0xa5);
        }
        fs::write(folder.0.join("damaged.db"), bytes).unwrap();
        assert_eq!(kind(Disk::open(folder.0.join("damaged.db"))), StoreErrorKind::Corrupt);
        assert!(Disk::open_or_replace(folder.0.join("damaged.db")).unwrap().replaced().is_some());
    }

    /// Row G22: a file of a later version is not changed.
    #[test]
    fn a_file_of_a_later_version_is_not_opened() {
        let folder = Folder::new("later");
        drop(Disk::open(folder.file()).unwrap());
        let database = Connection::open(folder.file()).unwrap();
        database.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        drop(database);
        assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Later);
        assert_eq!(kind(Disk::open_or_replace(folder.file())), StoreErrorKind::Later);
    }

    /// Row G23: the file does not grow without end.
    #[test]
    fn pages_of_deleted_messages_are_used_again() {
        let folder = Folder::new("growth");
        let mut disk = Disk::open(folder.file()).unwrap();
        let value = Bytes::from("x".repeat(200));
        let round = |disk: &mut Disk, from: u32| {
            let puts: Vec<_> = (from..from + 500)
                .map(|n| Change::Put { key: format!("out//seq/{n}"), value: value.clone() })
                .collect();
            let deletes: Vec<_> = (from..from + 500).map(|n| Change::Delete { key: format!("out//seq/{n}") }).collect();
            disk.commit(&puts).unwrap();
            disk.commit(&deletes).unwrap();
        };
        let length =
            || ["", "-wal"].map(|end| fs::metadata(with(&folder.file(), end)).unwrap().len()).iter().sum::<u64>();
        (0..10).for_each(|n| round(&mut disk, n * 500));
        let before = length();
        (10..100).for_each(|n| round(&mut disk, n * 500));
        assert!(length() <= before + 1024 * 1024, "{before} bytes, then {} bytes", length());
    }

    /// Row G24: an error names the file and the reason.
    #[test]
    fn an_error_names_the_file() {
        let missing = std::env::temp_dir().join("wsx-no-such-folder").join("outbox.db");
        let error = Disk::open(&missing).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Io);
        let shown = crate::Report(&error).to_string();
        assert!(shown.contains("outbox.db cannot be created") && shown.contains("No such file"), "{shown}");
    }
}
