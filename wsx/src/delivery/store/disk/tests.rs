//! Tests of the store in a file.
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

/// Row G22: a damaged file is not changed by what is in its write-ahead log, and neither is the
/// log.
#[test]
fn a_damaged_file_keeps_its_log() {
    let folder = Folder::new("log");
    let mut disk = Disk::open(folder.0.join("good.db")).unwrap();
    disk.commit(&[Change::Put { key: "a".to_owned(), value: Bytes::from("damage ".repeat(2000)) }]).unwrap();
    drop(disk);
    let mut disk = Disk::open(folder.0.join("good.db")).unwrap();
    disk.commit(&[put("b", "2")]).unwrap();
    let [mut database, log] = ["", "-wal"].map(|end| fs::read(with(&folder.0.join("good.db"), end)).unwrap());
    // The last page of the value is not in the log.
    let at = database.len() - database.iter().rev().position(|byte| *byte == b'm').unwrap();
    database[at] ^= 1;
    fs::write(folder.file(), &database).unwrap();
    fs::write(with(&folder.file(), "-wal"), &log).unwrap();
    assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Corrupt);
    let unchanged = |path: PathBuf| {
        assert!(fs::read(&path).unwrap() == database, "the file was changed");
        assert!(fs::read(with(&path, "-wal")).unwrap() == log, "the log was changed");
    };
    unchanged(folder.file());
    unchanged(Disk::open_or_replace(folder.file()).unwrap().replaced().unwrap().to_owned());
}

/// Row G22: a short file is not taken for a new store, whether it is a text or the rest of a store.
#[test]
fn a_short_file_is_not_overwritten() {
    let folder = Folder::new("short");
    drop(Disk::open(folder.file()).unwrap());
    let store = fs::read(folder.file()).unwrap();
    for length in [1, 15, 32, 99, 100, 511, 512, 2000] {
        let text = "a text of another program\n".repeat(100);
        for (bytes, expected) in
            [(&store[..length], StoreErrorKind::Corrupt), (&text.as_bytes()[..length], StoreErrorKind::Foreign)]
        {
            fs::write(folder.file(), bytes).unwrap();
            assert_eq!(kind(Disk::open(folder.file())), expected, "{length} bytes");
            assert_eq!(fs::read(folder.file()).unwrap(), bytes);
        }
    }
    fs::write(folder.file(), "").unwrap();
    fs::write(with(&folder.file(), "-wal"), &store).unwrap();
    assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Corrupt);
}

/// Row G22: a file of a later version is not changed.
#[test]
fn a_file_of_a_later_version_is_not_opened() {
    let folder = Folder::new("later");
    drop(Disk::open(folder.file()).unwrap());
    let database = Connection::open(folder.file()).unwrap();
    database.pragma_update(None, "user_version", user_version(FORMAT + 1)).unwrap();
    drop(database);
    assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Later);
    assert_eq!(kind(Disk::open_or_replace(folder.file())), StoreErrorKind::Later);
}

/// Row G22: a damaged version is not taken for a later one, whichever of its bytes is damaged.
#[test]
fn a_damaged_version_is_damage() {
    let folder = Folder::new("version");
    drop(Disk::open(folder.file()).unwrap());
    let good = fs::read(folder.file()).unwrap();
    // The place of `user_version` in the header of SQLite.
    for at in 60..64 {
        for byte in (0..=255).filter(|byte| *byte != good[at]) {
            let mut damaged = good.clone();
            damaged[at] = byte;
            fs::write(folder.file(), damaged).unwrap();
            assert_eq!(kind(Disk::open(folder.file())), StoreErrorKind::Corrupt, "byte {at} is {byte}");
        }
    }
}

/// Row G23: the file does not grow without end.
#[test]
fn pages_of_deleted_messages_are_used_again() {
    let folder = Folder::new("growth");
    let mut disk = Disk::open(folder.file()).unwrap();
    let value = Bytes::from("x".repeat(200));
    let round = |disk: &mut Disk, from: u32| {
        let puts: Vec<_> =
            (from..from + 500).map(|n| Change::Put { key: format!("out//seq/{n}"), value: value.clone() }).collect();
        let deletes: Vec<_> = (from..from + 500).map(|n| Change::Delete { key: format!("out//seq/{n}") }).collect();
        disk.commit(&puts).unwrap();
        disk.commit(&deletes).unwrap();
    };
    let length = || ["", "-wal"].map(|end| fs::metadata(with(&folder.file(), end)).unwrap().len()).iter().sum::<u64>();
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
    let expected = "outbox.db cannot be created: its folder does not exist: create it: No such file";
    assert!(shown.contains(expected), "{shown}");
}
