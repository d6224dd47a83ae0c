//! The first table: changes and commits in a second, and what the process writes for a change.
use crate::{Amount, folder::Folder, grouped, median, process::bytes_written, queue::Queue, stores::Kind};
use std::time::Duration;
use std::time::Instant;

/// Numbers of changes in a commit.
const SIZES: [u64; 4] = [1, 16, 256, 1024];
/// Messages that wait all the time.
const WAITING: u64 = 1000;

struct Figures {
    changes: f64,
    commits: f64,
    bytes: f64,
}

pub(crate) fn measure(amount: &Amount, folder: &Folder) {
    println!("| store | changes in a commit | changes/s | commits/s | bytes for a change |");
    println!("|---|---|---|---|---|");
    for size in SIZES {
        let rounds: Vec<Vec<Figures>> = (0..amount.rounds)
            .map(|_| Kind::ALL.map(|kind| turn(kind, size, amount.turn, folder)).into_iter().collect())
            .collect();
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            let of =
                |figure: fn(&Figures) -> f64| grouped(median(rounds.iter().map(|round| figure(&round[at])).collect()));
            let (changes, commits, bytes) = (of(|of| of.changes), of(|of| of.commits), of(|of| of.bytes));
            println!("| {} | {} | {changes} | {commits} | {bytes} |", kind.name(), grouped(size as f64));
        }
    }
}

/// Measures a new store for this long. Only the commits count.
fn turn(kind: Kind, size: u64, duration: Duration, folder: &Folder) -> Figures {
    let path = folder.empty("speed");
    let mut store = kind.open_good(&path);
    let mut queue = Queue::default();
    store.commit(&queue.put(WAITING)).expect("there is room");
    let (before, mut commits, mut busy) = (bytes_written(), 0u32, Duration::ZERO);
    while busy < duration {
        let changes = queue.changes(size);
        let start = Instant::now();
        store.commit(&changes).expect("there is room");
        busy += start.elapsed();
        commits += 1;
    }
    let bytes = bytes_written() - before;
    queue.assert_is_in(&mut *store, kind.name());
    let (commits, seconds) = (f64::from(commits), busy.as_secs_f64());
    let changes = commits * size as f64;
    Figures { changes: changes / seconds, commits: commits / seconds, bytes: bytes as f64 / changes }
}
