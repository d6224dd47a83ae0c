//! The third table: what a store does with a damaged file. A process of its own opens the files,
//! because some of them may end it.
use crate::{Amount, folder::Folder, grouped, queue::Queue, random::Random, stores::Kind};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    ops::Range,
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Messages that wait in the file.
const WAITING: u64 = 500;
/// Messages that were deleted, so that the file has free pages.
const DELETED: u64 = 500;
/// Maximum number of damaged bytes in a file.
const MAX_DAMAGED: usize = 16;
/// How long one file may take, before its process is ended.
const PATIENCE: Duration = Duration::from_secs(60);
const STORES: [Kind; 4] = [Kind::Disk, Kind::SqliteFull, Kind::Redb2, Kind::Redb4];

/// What a store did with the files.
#[derive(Default)]
struct Outcomes {
    error: u64,
    panic: u64,
    wrong: u64,
    right: u64,
    /// The process ended, or did not answer.
    lost: u64,
}

pub(crate) fn measure(amount: &Amount, folder: &Folder) {
    let files = grouped(amount.damaged as f64);
    println!("| store, of {files} damaged files | error | panic | wrong, without an error | right |");
    println!("|---|---|---|---|---|");
    for kind in STORES {
        let path = folder.empty("damage");
        build(kind, &path);
        let outcomes = outcomes(kind, &path, amount.damaged);
        let Outcomes { error, panic, wrong, right, lost } = outcomes;
        assert_eq!(error + panic + wrong + right + lost, amount.damaged, "each file has one outcome");
        assert!(right < amount.damaged, "some of the files were damaged");
        let name = if kind == Kind::SqliteFull { "SQLite, without checksums" } else { kind.name() };
        println!("| {name} | {error} | {panic} | {wrong} | {right} |");
        if lost > 0 {
            println!("{name}: {lost} more files ended the process, or it did not answer for {PATIENCE:?}");
        }
    }
}

fn waiting() -> Queue {
    let mut queue = Queue::default();
    queue.put(WAITING + DELETED);
    queue.delete(DELETED);
    queue
}

/// Writes the good file, and asserts that it is good.
fn build(kind: Kind, path: &Path) {
    let mut store = kind.open_good(path);
    let mut queue = Queue::default();
    for _ in 0..20 {
        store.commit(&queue.put((WAITING + DELETED) / 20)).expect("there is room");
    }
    for _ in 0..20 {
        store.commit(&queue.delete(DELETED / 20)).expect("there is room");
    }
    drop(store);
    fs::copy(kind.file(path), path.join("good")).expect("there is room");
    waiting().assert_is_in(&mut *kind.open_good(path), kind.name());
}

/// Starts the process until each file has its outcome.
fn outcomes(kind: Kind, path: &Path, files: u64) -> Outcomes {
    let (mut outcomes, mut next) = (Outcomes::default(), 0);
    while next < files {
        let program = env::current_exe().expect("the program has a file");
        let mut child = Command::new(program)
            .args(["open-damaged", kind.name()])
            .arg(path)
            .args([next.to_string(), files.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts again");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        while let Ok(line) = receiver.recv_timeout(PATIENCE) {
            let outcome = match &*line {
                "error" => &mut outcomes.error,
                "panic" => &mut outcomes.panic,
                "wrong" => &mut outcomes.wrong,
                "right" => &mut outcomes.right,
                other => panic!("{}: {other}", kind.name()),
            };
            *outcome += 1;
            next += 1;
        }
        let _ = child.kill();
        let _ = child.wait();
        drop(receiver);
        let _ = reader.join();
        if next < files {
            outcomes.lost += 1;
            next += 1;
        }
    }
    outcomes
}

/// Opens these damaged files, and prints a line about each.
pub(crate) fn open(kind: Kind, path: &Path, files: Range<u64>) {
    let good = fs::read(path.join("good")).expect("the good file exists");
    let queue = waiting();
    for file in files {
        let folder = path.join("damaged");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("the folder can be written");
        fs::write(kind.file(&folder), damaged(&good, file)).expect("there is room");
        let outcome = match panic::catch_unwind(AssertUnwindSafe(|| queue.is_in(&mut *kind.open(&folder)?))) {
            Err(_) => "panic",
            Ok(Err(_)) => "error",
            Ok(Ok(false)) => "wrong",
            Ok(Ok(true)) => "right",
        };
        println!("{outcome}");
        std::io::stdout().flush().expect("the first process reads");
    }
}

/// Returns the file with one to sixteen other bytes, at places that the number chooses.
fn damaged(good: &[u8], number: u64) -> Vec<u8> {
    let mut random = Random(number);
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(MAX_DAMAGED) {
        let at = random.below(bytes.len());
        bytes[at] = bytes[at].wrapping_add(1 + random.below(255) as u8);
    }
    bytes
}
