//! The second table: a million messages that pass through a store, and a million that wait in one.
use crate::{
    Amount,
    folder::{Folder, lengths},
    grouped, median,
    queue::Queue,
    stores::Kind,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use wsx::delivery::{Change, Store};

/// Changes in a commit.
const SIZE: u64 = 1024;
/// Messages that wait while the million passes through.
const WAITING: u64 = 1000;
/// Not SQLite with `NORMAL`: its commits are not durable, and its files are those of `FULL`.
const STORES: [Kind; 4] = [Kind::Disk, Kind::SqliteFull, Kind::Redb2, Kind::Redb4];

struct Figures {
    passed: f64,
    longest: f64,
    start: f64,
    length: f64,
}

pub(crate) fn measure(amount: &Amount, folder: &Folder) {
    let messages = if amount.messages == 1_000_000 { "a million".to_owned() } else { grouped(amount.messages as f64) };
    println!("| store | {messages} put and deleted | longest file | start with {messages} | files of {messages} |");
    println!("|---|---|---|---|---|");
    let rounds: Vec<[Figures; 4]> = (0..amount.long_rounds)
        .map(|_| {
            STORES.map(|kind| {
                let (passed, longest) = pass(kind, amount.messages, &folder.empty("pass"));
                let (start, length) = wait(kind, amount.messages, &folder.empty("wait"));
                Figures { passed, longest, start, length }
            })
        })
        .collect();
    for (at, kind) in STORES.into_iter().enumerate() {
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(|round| figure(&round[at])).collect());
        println!(
            "| {} | {:.1} s | {:.1} MiB | {:.2} s | {:.0} MiB |",
            kind.name(),
            of(|of| of.passed),
            of(|of| of.longest) / 1024.0 / 1024.0,
            of(|of| of.start),
            of(|of| of.length) / 1024.0 / 1024.0
        );
    }
}

/// Commits the changes, and returns the time of that.
fn commit(store: &mut dyn Store, changes: &[Change]) -> Duration {
    let start = Instant::now();
    store.commit(changes).expect("there is room");
    start.elapsed()
}

/// Puts and deletes all messages, with few that wait at a time. Returns the seconds, and the length
/// of the longest file that the store had.
fn pass(kind: Kind, messages: u64, path: &Path) -> (f64, f64) {
    let mut store = kind.open_good(path);
    let mut queue = Queue::default();
    let mut busy = commit(&mut *store, &queue.put(WAITING.min(messages)));
    let mut longest = 0;
    while queue.len() > 0 {
        let changes = if queue.total() < messages {
            queue.changes(SIZE.min(2 * (messages - queue.total())))
        } else {
            queue.delete(SIZE.min(queue.len()))
        };
        busy += commit(&mut *store, &changes);
        longest = lengths(path).into_iter().fold(longest, u64::max);
    }
    assert_eq!(queue.total(), messages);
    queue.assert_is_in(&mut *store, kind.name());
    (busy.as_secs_f64(), longest as f64)
}

/// Fills a store with the messages, and starts with it again: opens it, has it check its file, and
/// reads all messages. The file is still in the memory of the system. Returns the seconds, and the
/// length of the files before the start.
fn wait(kind: Kind, messages: u64, path: &Path) -> (f64, f64) {
    let mut store = kind.open_good(path);
    let mut queue = Queue::default();
    while queue.total() < messages {
        commit(&mut *store, &queue.put(SIZE.min(messages - queue.total())));
    }
    drop(store);
    let length: u64 = lengths(path).into_iter().sum();
    let start = Instant::now();
    let mut store = kind.open_good(path);
    let (mut count, mut bytes) = (0, 0);
    store.load(&mut |key, value| (count, bytes) = (count + 1, bytes + key.len() + value.len())).expect("it is good");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(count, messages, "{}: {bytes} bytes", kind.name());
    queue.assert_is_in(&mut *store, kind.name());
    (seconds, length as f64)
}
