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
    let messages = 200_000;
    let mut costs = [0.0; 2];
    for (at, is_kept) in [false, true, false, true].into_iter().enumerate() {
        let (before, start) = (cpu(), handled.load(Ordering::Relaxed));
        for n in 0..messages {
            if is_kept {
                client.send(&reading(n)).await.expect("there is room");
            } else {
                client.send(&Plain { n, text: "x".repeat(100) }).await.expect("there is room");
            }
        }
        while handled.load(Ordering::Relaxed) < start + messages || client.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The first round warms up.
        costs[at % 2] = (cpu() - before).as_secs_f64() * 1e6 / messages as f64;
    }
    let [plain, kept] = costs;
    println!("CPU of both ends: plain {plain:.2} µs, kept and acknowledged {kept:.2} µs, ratio {:.2}", kept / plain);
    println!(
        "delivery: {in_memory:.0} a second in memory, {durable:.0} on disk ({rate:.0} syncs), {:.2} of the CPU of a plain message",
        kept / plain
    );
}
