//! The files and the records of a store. A damaged file is an error, or has its messages: never
//! other ones, and never fewer without an error. A damaged file is kept aside. Records that nobody
//! wrote are an error, or are read.
use crate::input::Input;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};
use wsx::{
    Hub,
    delivery::{Change, Disk, Mailbox, Store, StoreError, StoreErrorKind},
};

/// Input: a byte that chooses the files or the records, and the rest for it.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    if input.byte() & 1 == 0 { files(input) } else { records(input) }
}

type Records = BTreeMap<String, Vec<u8>>;

/// A store as a kill leaves it.
struct Files {
    folder: PathBuf,
    database: Vec<u8>,
    log: Vec<u8>,
    /// The content after each commit in the log. The first one is that without the log.
    states: Vec<Records>,
}

impl Files {
    fn get() -> &'static Self {
        static FILES: OnceLock<Files> = OnceLock::new();
        FILES.get_or_init(Self::make)
    }

    fn make() -> Self {
        // The system removes neither of them; each is used again.
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { env::temp_dir() };
        let folder = parent.join(format!("wsx-fuzz-store-{}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a new folder");
        let (path, mut state, mut states) = (folder.join("made.db"), Records::new(), Vec::new());
        let mut disk = Disk::open(&path).expect("a new store");
        for n in 0..24_u32 {
            if n == 12 {
                drop(disk);
                disk = Disk::open(&path).expect("a good store");
                states.push(state.clone());
            }
            let len = [10, 90, 400, 5_000][n as usize % 4];
            let (key, value) = (format!("out/box/seq/{n}"), n.to_string().into_bytes().repeat(len));
            let mut changes = vec![Change::Put { key: key.clone(), value: value.clone().into() }];
            state.insert(key, value);
            if n % 3 == 2 {
                let key = format!("out/box/seq/{}", n - 2);
                state.remove(&key);
                changes.push(Change::Delete { key });
            }
            disk.commit(&changes).expect("there is room");
            if n >= 12 {
                states.push(state.clone());
            }
        }
        let read = |end: &str| fs::read(folder.join(format!("made.db{end}"))).expect("the store is open");
        Self { database: read(""), log: read("-wal"), states, folder }
    }
}

/// Changes bytes of a store, and opens it.
fn files(mut input: Input<'_>) {
    let made = Files::get();
    let (mut database, mut log) = (made.database.clone(), made.log.clone());
    if input.byte() & 1 == 0 {
        log.clear();
    }
    let mut log_is_whole = log.len() == made.log.len();
    while !input.0.is_empty() {
        let (how, place, byte) =
            (input.byte(), usize::from(input.short()) << 8 | usize::from(input.byte()), input.byte());
        let file = if how & 1 == 0 { &mut database } else { &mut log };
        if file.is_empty() {
            continue;
        }
        let place = place % file.len();
        match how >> 1 & 7 {
            0 => file.truncate(place),
            1 => file[place] ^= 1 << (byte & 7),
            2 => file[place..].iter_mut().take(512).for_each(|at| *at = byte),
            _ => file[place] = byte,
        }
        log_is_whole = log == made.log;
    }
    let path = made.folder.join("damaged.db");
    let name = |end: &str| made.folder.join(format!("damaged.db{end}"));
    for end in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(name(end));
    }
    fs::write(&path, &database).expect("there is room");
    if !log.is_empty() {
        fs::write(name("-wal"), &log).expect("there is room");
    }
    match Disk::open(&path).and_then(|mut disk| content(&mut disk)) {
        Ok(found) if database.is_empty() => assert!(found.is_empty() || made.states.contains(&found)),
        // A damaged end of the log cannot be told from a write that was in progress.
        Ok(found) => {
            let states = if log_is_whole { &made.states[made.states.len() - 1..] } else { &made.states };
            assert!(states.contains(&found), "the store has other messages, without an error");
        }
        Err(error) if matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Foreign) => {
            assert!(fs::read(&path).expect("it is there") == database, "a damaged file was changed: {error}");
            let mut disk = Disk::open_or_replace(&path).expect("the damaged file is moved");
            assert!(content(&mut disk).expect("it is new").is_empty());
            let aside = disk.replaced().expect("it was damaged").to_owned();
            assert!(fs::read(&aside).expect("it is kept") == database, "another file was kept aside");
            for end in ["", "-wal", "-shm"] {
                let mut name = aside.clone().into_os_string();
                name.push(end);
                let _ = fs::remove_file(name);
            }
        }
        Err(error) => assert!(matches!(error.kind(), StoreErrorKind::Later | StoreErrorKind::Io), "{error:?}"),
    }
}

fn content(store: &mut impl Store) -> Result<Records, StoreError> {
    let mut records = Records::new();
    store.load(&mut |key, value| drop(records.insert(key.to_owned(), value.to_vec())))?;
    Ok(records)
}

/// A store in memory.
struct Memory(Records);

impl Store for Memory {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.0.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads records. Each is a line with its key, and a value that ends with a zero byte.
fn records(input: Input<'_>) {
    let mut records = Records::new();
    for record in input.0.split(|byte| *byte == 0) {
        let (key, value) = record.split_at(record.iter().position(|byte| *byte == b'\n').unwrap_or(record.len()));
        let Ok(key) = std::str::from_utf8(key) else { return };
        records.insert(key.to_owned(), value.get(1..).unwrap_or_default().to_vec());
    }
    let peers: Vec<String> = records.keys().filter_map(|key| key.split('/').nth(1)).map(str::to_owned).collect();
    let messages = records.keys().filter(|key| key.starts_with("out/") && !key.contains("/skip/")).count();
    let Ok(hub) = Hub::builder().without_handlers().mailbox(Mailbox::new().store(Memory(records))).build() else {
        return;
    };
    let waiting: usize = peers.iter().map(|peer| hub.waiting(peer).len()).sum();
    // A name may be there more than once.
    assert!(waiting <= messages * peers.len().max(1));
}
