//! Measures the store of kept messages, `wsx::delivery::Disk`, beside plain SQLite and two versions
//! of redb. It prints the three tables of `docs/delivery.md`.
//!
//! Everything is in `target/bench-store-*` of the current folder, which has to be on a disk.
#![forbid(unsafe_code)]

mod damage;
mod folder;
mod million;
mod process;
mod queue;
mod random;
mod redb;
mod speed;
mod sqlite;
mod stores;

use self::{folder::Folder, stores::Kind};
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

/// How much is measured.
struct Amount {
    /// Rounds of the first table, in each of which every store has its turn.
    rounds: usize,
    /// How long one store is measured with one number of changes in a commit.
    turn: Duration,
    /// Rounds of the second table.
    long_rounds: usize,
    /// Messages of the second table.
    messages: u64,
    /// Damaged files of each store.
    damaged: u64,
    /// How long the syncs of the disk are counted.
    syncs: Duration,
}

const FULL: Amount = Amount {
    rounds: 5,
    turn: Duration::from_secs(2),
    long_rounds: 3,
    messages: 1_000_000,
    damaged: 1_000,
    syncs: Duration::from_secs(5),
};

/// Shows that the program works. Its figures are worth nothing.
const QUICK: Amount = Amount {
    rounds: 1,
    turn: Duration::from_millis(50),
    long_rounds: 1,
    messages: 10_000,
    damaged: 20,
    syncs: Duration::from_millis(500),
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => measure(&FULL),
        ["--quick"] => measure(&QUICK),
        // The process that opens damaged files, because some of them may end it.
        ["open-damaged", store, folder, from, to] => {
            let number = |text: &str| text.parse().expect("the number of a file");
            damage::open(Kind::named(store), Path::new(folder), number(from)..number(to));
        }
        _ => {
            eprintln!("usage: bench-store [--quick]");
            std::process::exit(2);
        }
    }
}

fn measure(amount: &Amount) {
    let start = Instant::now();
    let folder = Folder::new();
    for kind in Kind::ALL {
        stores::assert_keeps(kind, &folder);
    }
    let before = process::syncs(&folder, amount.syncs);
    println!("The disk makes {} syncs of 4 KiB in a second.\n", grouped(before));
    speed::measure(amount, &folder);
    println!();
    million::measure(amount, &folder);
    println!();
    damage::measure(amount, &folder);
    println!();
    let after = process::syncs(&folder, amount.syncs);
    println!(
        "store: {} stores; turns of {:?} in each of {} rounds, {} messages in each of {} rounds, {} damaged files of a \
         store; the disk made {} and {} syncs in a second, before and after; {} s in all",
        Kind::ALL.len(),
        amount.turn,
        amount.rounds,
        grouped(amount.messages as f64),
        amount.long_rounds,
        grouped(amount.damaged as f64),
        grouped(before),
        grouped(after),
        start.elapsed().as_secs()
    );
}

/// Returns the middle one, or the mean of both.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Returns a whole number with a comma after each three digits, as the tables have it.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
