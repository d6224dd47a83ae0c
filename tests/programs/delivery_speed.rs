//! Measures kept messages: how many are accepted in a second in memory and on disk, and the CPU of
//! a message that is kept beside that of a plain one. `docs/delivery.md` has the figures.
use futures_util::{StreamExt, stream::FuturesUnordered};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use wsx::{
    CancellationToken, Client, Hub,
    delivery::{Disk, Outbox},
};
use wsx_tests::Server;

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u64,
    text: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Plain {
    n: u64,
    text: String,
}

/// Rounds of plain and kept messages.
const ROUNDS: usize = 9;
/// Messages of each kind in a round.
const MESSAGES: u64 = 100_000;
/// Maximum number of kept messages that wait during a round.
const MAX_WAITING: usize = 1024;

fn reading(n: u64) -> Reading {
    Reading { n, text: "x".repeat(100) }
}

fn outbox() -> Outbox {
    Outbox::new().messages(2_000_000).bytes(1 << 30)
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system counts");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).expect("it is positive"))
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// Sends this many messages, up to 1,024 at a time.
async fn send(client: &Client, messages: u64) -> f64 {
    let start = Instant::now();
    let (mut sends, mut next) = (FuturesUnordered::new(), 0);
    while next < messages || !sends.is_empty() {
        while next < messages && sends.len() < 1024 {
            sends.push(client.send(&reading(next)));
            next += 1;
        }
        sends.next().await.expect("one waits").expect("there is room");
    }
    messages as f64 / start.elapsed().as_secs_f64()
}

/// Returns how many syncs of 4 KiB the disk makes in a second.
fn syncs(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("sync")).expect("a new file");
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096]).expect("there is room");
        file.sync_data().expect("the disk works");
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let build = |outbox| Client::builder("ws://127.0.0.1:1/").outbox(outbox).build().expect("it is valid");
    let in_memory = send(&build(outbox()), 200_000).await;
    println!("accepted in memory: {in_memory:.0} a second");

    let folder = std::env::current_dir().expect("a folder").join(format!("target/delivery-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a new folder");
    let rate = syncs(&folder);
    let disk = Disk::open(folder.join("outbox.db")).expect("a new store");
    let durable = send(&build(outbox().store(disk)), 100_000).await;
    std::fs::remove_dir_all(&folder).expect("the folder exists");
    println!("durable: {durable:.0} a second; the disk syncs {rate:.0} times a second");

    let cost = costs().await;
    println!(
        "CPU of both ends, median of {ROUNDS} rounds: plain {:.2} µs, kept and acknowledged {:.2} µs; ratio {:.2}, {:.2} to {:.2}",
        cost.plain, cost.kept, cost.ratio, cost.lowest, cost.highest
    );
    println!(
        "delivery: {in_memory:.0} a second in memory, {durable:.0} on disk ({rate:.0} syncs), {:.2} of the CPU of a plain message",
        cost.ratio
    );
    assert!(cost.ratio <= 2.0, "a kept message costs {:.2} times a plain one", cost.ratio);
}

/// The CPU of a message, in microseconds, at both ends together.
struct Cost {
    plain: f64,
    kept: f64,
    ratio: f64,
    lowest: f64,
    highest: f64,
}

/// Measures both kinds of messages in turns: plain first in one round, kept first in the next.
async fn costs() -> Cost {
    let handled = Arc::new(AtomicU64::new(0));
    let count = |handled: &Arc<AtomicU64>| {
        let handled = handled.clone();
        move || {
            handled.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (kept, plain) = (count(&handled), count(&handled));
    let hub = Hub::builder()
        .on("reading", move |_: Reading, _| {
            kept();
            async {}
        })
        .on("plain", move |_: Plain, _| {
            plain();
            async {}
        })
        .build()
        .expect("the handlers fit");
    let server = Server::start(hub).await;
    let client = Client::builder(server.url("box-7")).outbox(outbox()).build().expect("it is valid");
    client.start(CancellationToken::new()).await.expect("the server is there");
    // The first round of each warms up.
    round(&client, &handled, false).await;
    round(&client, &handled, true).await;
    let (mut plains, mut kepts, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..ROUNDS {
        let is_kept_first = at % 2 == 1;
        let first = round(&client, &handled, is_kept_first).await;
        let second = round(&client, &handled, !is_kept_first).await;
        let (plain, kept) = if is_kept_first { (second, first) } else { (first, second) };
        plains.push(plain);
        kepts.push(kept);
        ratios.push(kept / plain);
    }
    let ratio = median(&mut ratios);
    Cost { plain: median(&mut plains), kept: median(&mut kepts), ratio, lowest: ratios[0], highest: ratios[ROUNDS - 1] }
}

/// Sends the messages of a round, of which a bounded number waits. Returns the CPU of each.
async fn round(client: &Client, handled: &AtomicU64, is_kept: bool) -> f64 {
    let (before, start) = (cpu(), handled.load(Ordering::Relaxed));
    for n in 0..MESSAGES {
        if is_kept {
            client.send(&reading(n)).await.expect("there is room");
            // A plain send waits for room in the queue by itself.
            while n % 64 == 0 && client.waiting() > MAX_WAITING {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } else {
            client.send(&Plain { n, text: "x".repeat(100) }).await.expect("there is room");
        }
    }
    while handled.load(Ordering::Relaxed) < start + MESSAGES || client.waiting() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (cpu() - before).as_secs_f64() * 1e6 / MESSAGES as f64
}

/// Sorts the figures, and returns the middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
