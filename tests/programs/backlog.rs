//! Measures how old a live message is while a backlog of kept messages drains over a slow link, and
//! how long that takes. `docs/delivery.md` has the figures.
//!
//! ```text
//! backlog [MESSAGES] [BITS-PER-SECOND]
//! ```
//!
//! The link is a proxy that forwards so many bits in a second in each direction. Before it, the
//! buffers of the kernel are as long as on a fast link, which is the hard case: whatever fills them
//! delays all that comes later.
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep, sleep_until},
};
use wsx::{CancellationToken, Client, Hub, delivery::Outbox};
use wsx_tests::Server;

/// A reading of the outage.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u64,
    watt_hours: u64,
}

/// A live message, with its age in the eyes of the sender.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Live {
    sent_us: u64,
}

/// How often a live message is sent.
const LIVE: Duration = Duration::from_millis(200);
/// How many bytes the link takes at once: less than one packet.
const PIECE: usize = 256;

/// Forwards bytes at this rate.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bits: u64) {
    let mut piece = [0; PIECE];
    let mut next = Instant::now();
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        next = next.max(Instant::now()) + Duration::from_micros(length as u64 * 8 * 1_000_000 / bits);
        sleep_until(next).await;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// Starts the link, and returns its address.
async fn link(server: String, bits: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.expect("the hub listens");
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(forward(near_in, far_out, bits));
            tokio::spawn(forward(far_in, near_out, bits));
        }
    });
    address
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let messages = arguments.next().unwrap_or(18_000);
    let bits = arguments.next().unwrap_or(64_000);
    let (start, handled, oldest) = (Instant::now(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let ages = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hub = {
        let (handled, oldest, ages) = (handled.clone(), oldest.clone(), ages.clone());
        Hub::builder()
            .on("reading", move |_: Reading, _| {
                handled.fetch_add(1, Ordering::Relaxed);
                async {}
            })
            .on("live", move |live: Live, _| {
                let age = u64::try_from(start.elapsed().as_micros()).expect("it is short") - live.sent_us;
                oldest.fetch_max(age, Ordering::Relaxed);
                ages.lock().expect("no panic").push(age);
                async {}
            })
            .build()
            .expect("the handlers fit")
    };
    let server = Server::start(hub).await;
    let address = link(server.address.clone(), bits).await;
    let outbox = Outbox::new().messages(1_000_000).bytes(1 << 30);
    let client = Client::builder(format!("ws://{address}/ws?id=box")).outbox(outbox).build().expect("it is valid");
    for n in 0..messages {
        client.send(&Reading { n, watt_hours: 1_500_000 + n }).await.expect("there is room");
    }
    client.start(CancellationToken::new()).await.expect("the hub is there");
    let begin = Instant::now();
    while client.waiting() > 0 {
        let sent_us = u64::try_from(start.elapsed().as_micros()).expect("it is short");
        client.send(&Live { sent_us }).await.expect("it is connected");
        sleep(LIVE).await;
    }
    let drained = begin.elapsed();
    let mut ages = std::mem::take(&mut *ages.lock().expect("no panic"));
    ages.sort_unstable();
    let age = |part: usize| ages.get(ages.len() * part / 100).map_or(0, |age| age / 1000);
    let oldest = oldest.load(Ordering::Relaxed) / 1000;
    println!(
        "backlog: {messages} messages at {bits} bit/s in {:.1} s, {} handled; age of {} live messages: median {} ms, \
         95 % {} ms, oldest {oldest} ms",
        drained.as_secs_f64(),
        handled.load(Ordering::Relaxed),
        ages.len(),
        age(50),
        age(95),
    );
    assert!(handled.load(Ordering::Relaxed) == messages, "each message is handled once");
    assert!(oldest < 1000, "a live message was {oldest} ms old");
}
