//! How a cluster grows: many live connections on several nodes, a broadcast to all of them, sends
//! from one node to boxes of others, and the memory that the cluster adds.
//!
//! ```text
//! cargo run --release -p wsx-cluster-tests --bin cluster_scale -- --nodes 6 --connections 100000
//! ```
//!
//! Each node is a process, and so is each of the programs that hold the connections, one for each
//! node. The program fails when a broadcast does not reach all connections within 2 s, when a node
//! does not know all boxes, or when the cluster adds 1 KB or more for each connection.
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, stdin},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};
use wsx::{CancellationToken, Client, Envelope, Hub, Rejection, cluster::Nats, http::request::Parts};
use wsx_cluster_tests::{Failure, NatsServer, Told};
use wsx_tests::alone::resident_kib;

/// The longest time until a broadcast has reached all connections.
const BROADCAST: Duration = Duration::from_secs(2);
/// The memory that the cluster may add for each connection, in bytes, at all nodes together.
const MEMORY: f64 = 1024.0;
/// Handshakes at a time of each holder.
const HANDSHAKES: usize = 64;
/// Broadcasts, and sends, of which the cost is measured.
const BROADCASTS: usize = 20;
const SENDS: usize = 20_000;
/// Sends on their way at a time.
const IN_FLIGHT: usize = 64;
/// How long the processes may take for what they are told, without many connections.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: usize| value(name).map_or(Ok(default), |text| text.parse());
    match arguments.get(1).map(String::as_str) {
        Some("node") => node(value("--nats"), number("--number", 0)?).await,
        Some("holder") => {
            let url = value("--url").ok_or("--url is missing")?;
            holder(&url, number("--from", 0)?, number("--count", 0)?).await
        }
        _ => run(number("--nodes", 6)?, number("--connections", 100_000)?),
    }
}

// --- a node ---

/// Serves until its input ends, and does what its input says.
async fn node(nats: Option<String>, number: usize) -> Result<(), Failure> {
    let mut builder = Hub::builder().max_connections(usize::MAX).without_handlers();
    if let Some(url) = nats {
        builder = builder.cluster(Nats::connect(url)?);
    }
    let hub = builder.build()?;
    // A target of its own, because a source has 28,000 ports for each.
    let listener = TcpListener::bind(format!("127.0.1.{}:0", number + 1)).await?;
    println!("ws://{}/", listener.local_addr()?);
    let id = |request: Parts| async move { Ok::<_, Rejection>(request.uri.query().unwrap_or_default().to_owned()) };
    tokio::spawn(hub.ws_handler(id, |_| {}).serve(listener));
    let mut lines = tokio::io::BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["len"] => println!("{}", hub.len()),
            ["cost"] => {
                let cpu = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
                println!("{} {}", cpu.as_micros(), resident_kib());
            }
            ["broadcast", count] => {
                for n in 0..count.parse()? {
                    hub.broadcast(&Envelope::with_type("tick", n)).await?;
                    // Like a program that has something to say each 10 ms.
                    sleep(Duration::from_millis(10)).await;
                }
                println!("done");
            }
            ["send", count, from, boxes] => {
                let (from, boxes): (usize, usize) = (from.parse()?, boxes.parse()?);
                let start = Instant::now();
                let mut sends = JoinSet::new();
                for n in 0..count.parse()? {
                    if sends.len() == IN_FLIGHT {
                        sends.join_next().await.expect("there are sends")??;
                    }
                    let send = hub.send_to(&(from + n % boxes).to_string(), &Envelope::with_type("tick", n));
                    sends.spawn(async move { send.await.map(drop) });
                }
                while let Some(sent) = sends.join_next().await {
                    sent??;
                }
                println!("{}", start.elapsed().as_micros());
            }
            _ => return Err(format!("a node is not told {line:?}").into()),
        }
    }
    Ok(())
}

// --- what holds the connections ---

static RECEIVED: AtomicUsize = AtomicUsize::new(0);

#[wsx::handler("tick")]
fn on_tick(_n: usize) {
    RECEIVED.fetch_add(1, Relaxed);
}

/// Connects, and tells when as many messages have come as its input names.
async fn holder(url: &str, from: usize, count: usize) -> Result<(), Failure> {
    let (places, mut connecting) = (std::sync::Arc::new(Semaphore::new(HANDSHAKES)), JoinSet::new());
    for id in from..from + count {
        let (places, url) = (places.clone(), format!("{url}?{id}"));
        connecting.spawn(async move {
            let _place = places.acquire_owned().await?;
            let client = Client::builder(url).build()?.start(CancellationToken::new()).await?;
            Ok::<_, Failure>(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = connecting.join_next().await {
        clients.push(client??);
    }
    println!("{}", clients.len());
    let mut lines = tokio::io::BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (expected, deadline): (usize, _) = (line.parse()?, Instant::now() + PATIENCE);
        while RECEIVED.load(Relaxed) < expected && Instant::now() < deadline {
            sleep(Duration::from_millis(1)).await;
        }
        println!("{}", RECEIVED.load(Relaxed));
    }
    Ok(())
}

// --- the campaign ---

/// How long a process may take for an answer. Many connections take a while.
const ANSWER: Duration = Duration::from_secs(600);

fn start(arguments: &[&str]) -> Result<Told, Failure> {
    Told::start(Command::new(std::env::current_exe()?).args(arguments), ANSWER)
}

/// Returns CPU in microseconds and memory in KB.
fn cost(process: &mut Told) -> Result<(f64, f64), Failure> {
    let answer = process.ask("cost")?;
    let (cpu, memory) = answer.split_once(' ').ok_or("two numbers are missing")?;
    Ok((cpu.parse()?, memory.parse()?))
}

/// Nodes with their connections.
struct Fleet {
    nodes: Vec<Told>,
    holders: Vec<Told>,
    /// The number of messages that each holder has received.
    received: Vec<usize>,
    each: usize,
}

impl Fleet {
    fn start(nats: Option<&str>, count: usize, connections: usize) -> Result<Self, Failure> {
        let (mut nodes, mut holders, each) = (Vec::new(), Vec::new(), connections / count);
        for number in 0..count {
            let mut arguments = vec!["node".to_owned(), "--number".into(), number.to_string()];
            arguments.extend(nats.iter().flat_map(|url| ["--nats".to_owned(), (*url).to_owned()]));
            let mut node = start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
            let (url, from, each) = (node.answer()?, (number * each).to_string(), each.to_string());
            holders.push(start(&["holder", "--url", &url, "--from", &from, "--count", &each])?);
            nodes.push(node);
        }
        for holder in &mut holders {
            holder.answer()?;
        }
        Ok(Self { received: vec![0; count], nodes, holders, each })
    }

    /// Waits until every node knows every box.
    fn agree(&mut self) -> Result<Duration, Failure> {
        let (start, all) = (Instant::now(), (self.each * self.nodes.len()).to_string());
        for node in &mut self.nodes {
            loop {
                let known = node.ask("len")?;
                if known == all {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    return Err(format!("a node knows {known} of {all} boxes").into());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(start.elapsed())
    }

    fn costs(&mut self) -> Result<Vec<(f64, f64)>, Failure> {
        self.nodes.iter_mut().map(cost).collect()
    }

    /// Has every holder wait for this many more messages.
    fn expect(&mut self, more: &[usize]) -> Result<(), Failure> {
        for ((holder, received), more) in self.holders.iter_mut().zip(&mut self.received).zip(more) {
            *received += more;
            holder.tell(&received.to_string())?;
        }
        for (holder, expected) in self.holders.iter_mut().zip(&self.received) {
            let got = holder.answer()?;
            if got != expected.to_string() {
                return Err(format!("{got} messages have arrived, and not {expected}").into());
            }
        }
        Ok(())
    }

    /// Returns how long one broadcast needs to reach all connections.
    fn broadcast(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.nodes[0].tell("broadcast 1")?;
        self.expect(&vec![self.each; self.nodes.len()])?;
        let elapsed = start.elapsed();
        self.nodes[0].answer()?;
        Ok(elapsed)
    }

    /// Returns the CPU of the sending node and of the others for a broadcast, in microseconds.
    fn cost_of_broadcasts(&mut self) -> Result<(f64, f64), Failure> {
        let before = self.costs()?;
        self.nodes[0].ask(&format!("broadcast {BROADCASTS}"))?;
        self.expect(&vec![self.each * BROADCASTS; self.nodes.len()])?;
        Ok(difference(&before, &self.costs()?, BROADCASTS))
    }

    /// Returns the CPU of the sending node and of the others for a send to the boxes of the next
    /// node, in microseconds, and the number of sends in a second.
    fn cost_of_sends(&mut self) -> Result<(f64, f64, f64), Failure> {
        let (before, to) = (self.costs()?, 1 % self.nodes.len());
        let from = to * self.each;
        let elapsed: f64 = self.nodes[0].ask(&format!("send {SENDS} {from} {}", self.each))?.parse()?;
        let mut more = vec![0; self.nodes.len()];
        more[to] = SENDS;
        self.expect(&more)?;
        let (own, others) = difference(&before, &self.costs()?, SENDS);
        Ok((own, others, SENDS as f64 * 1e6 / elapsed))
    }
}

/// Returns the CPU of the first node, and of all others, for one of `count`.
fn difference(before: &[(f64, f64)], after: &[(f64, f64)], count: usize) -> (f64, f64) {
    let used: Vec<f64> = before.iter().zip(after).map(|(before, after)| (after.0 - before.0) / count as f64).collect();
    (used[0], used[1..].iter().sum())
}

fn run(nodes: usize, connections: usize) -> Result<(), Failure> {
    let alone: f64 = Fleet::start(None, nodes, connections)?.costs()?.iter().map(|(_, memory)| memory).sum();
    let nats = NatsServer::start();
    println!(
        "| nodes | connections | map | broadcast to all | CPU of a broadcast, sender / others | CPU of a send, sender / receiver | sends/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut slowest = Duration::ZERO;
    let mut added = 0.0;
    let sizes: Vec<usize> = [1, 2, 4, 6].into_iter().filter(|&size| size < nodes).chain([nodes]).collect();
    for size in sizes {
        // As many for each node, so that what grows is the cluster alone.
        let mut fleet = Fleet::start(Some(&nats.url()), size, connections / nodes * size)?;
        let map = fleet.agree()?;
        if size == nodes {
            let with: f64 = fleet.costs()?.iter().map(|(_, memory)| memory).sum();
            added = (with - alone) * 1024.0 / connections as f64;
        }
        let mut reached: Vec<Duration> = Vec::new();
        for _ in 0..5 {
            reached.push(fleet.broadcast()?);
        }
        reached.sort_unstable();
        slowest = slowest.max(reached[4]);
        let (own, others) = fleet.cost_of_broadcasts()?;
        let (sender, receiver, rate) = fleet.cost_of_sends()?;
        println!(
            "| {size} | {} | {map:.1?} | {:.0?} | {:.1} ms / {:.1} ms | {sender:.1} µs / {receiver:.1} µs | {rate:.0} |",
            fleet.each * size,
            reached[2],
            own / 1000.0,
            others / 1000.0
        );
    }
    println!("the cluster adds {added:.0} bytes for each connection at all {nodes} nodes together");
    println!(
        "{connections} connections at {nodes} nodes: the slowest broadcast has reached all of them after {slowest:.0?}"
    );
    if slowest > BROADCAST {
        return Err(format!("a broadcast took {slowest:?}").into());
    }
    if added >= MEMORY {
        return Err(format!("the cluster adds {added:.0} bytes for each connection").into());
    }
    Ok(())
}
