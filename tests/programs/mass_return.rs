//! Thousands of clients whose server is killed and started again: how long they need to reconnect,
//! and how they are spread over that time. Rows K4, R16 of the specification.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin mass_return -- --clients 5000 --outage 10
//! cargo run --release -p wsx-programs --bin mass_return -- --clients 5000 --outage 10 --rate 200
//! ```
//!
//! The server is a process of its own, killed as by `kill -9` and started again at the same
//! address. `tests/run.sh` runs a short form, `tests/long.sh` the whole one. The program fails when
//! a client is not connected within a minute or gets no answer then, or when too many clients
//! reconnect at once. With the default intervals, 500 ms × 1.8 ± 50 %, the last client is
//! connected 14 s after an outage of 10 s, and the busiest second has a fifth of the clients.
//!
//! With `--rate`, the server accepts this many connections in a second, and as many more after a
//! quiet time. The program then also fails when more clients are connected in any second.
use futures_util::StreamExt;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use wsx::{CancellationToken, Client, ClientState, Envelope, Hub};

/// Time limit for all clients to reconnect.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// The number of parts into which the time from the first client to the last is divided.
const PARTS: usize = 10;
/// Maximum share of the clients in one part, in percent.
const CROWD: usize = 40;
/// How many percent more clients than the server accepted may be seen in a second, because the
/// answers take different times.
const BLUR: usize = 10;
/// Not the address of the clients: a port without a listener may be a client's own port, and that
/// client then connects to itself.
const ADDRESS: &str = "127.0.0.2:0";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// At the server.
#[wsx::handler("hello")]
fn on_hello(n: usize) -> Envelope<usize> {
    Envelope::with_type("welcome", n)
}

static WELCOMED: AtomicUsize = AtomicUsize::new(0);

/// At a client.
#[wsx::handler("welcome")]
fn on_welcome(_n: usize) {
    WELCOMED.fetch_add(1, Ordering::Relaxed);
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let rate = value("--rate").map_or(Ok(0), |text| text.parse())?;
    if let Some(address) = value("--serve") {
        return serve(address, rate).await;
    }
    let clients = value("--clients").map_or(Ok(5000), |text| text.parse())?;
    let outage = value("--outage").map_or(Ok(10), |text| text.parse())?;
    run(clients, Duration::from_secs(outage), rate).await
}

/// Prints its address, and serves until it is killed.
async fn serve(address: &str, rate: u32) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", listener.local_addr()?)?;
    output.flush()?;
    let builder = Hub::builder();
    let builder = if rate == 0 { builder } else { builder.max_connections_per_second(rate, rate) };
    builder.build()?.ws_handler(wsx::unique_id, |_| {}).serve(listener).await;
    Ok(())
}

/// The server's process. Dropping this value kills it.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(address: &str, rate: u32) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let arguments = ["--serve", address, "--rate", &rate.to_string()];
        let mut process = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut server = Self { process, address: String::new() };
        BufReader::new(output).read_line(&mut server.address)?;
        server.address.truncate(server.address.trim_end().len());
        if server.address.is_empty() { Err("the server does not listen".into()) } else { Ok(server) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn run(count: usize, outage: Duration, rate: u32) -> Result<(), Failure> {
    let server = Server::start(ADDRESS, rate)?;
    let address = server.address.clone();
    let opened = Arc::new(Mutex::new(Vec::new()));
    let connecting = (0..count).map(|_| {
        let (client, opened) = (Client::new(format!("ws://{address}/ws")), opened.clone());
        async move {
            let register = move |_: &_| opened.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            client.connect(CancellationToken::new(), register).await
        }
    });
    let connecting = futures_util::stream::iter(connecting).buffer_unordered(100).collect::<Vec<_>>();
    let clients = timeout(TIME_LIMIT, connecting).await?.into_iter().collect::<Result<Vec<_>, _>>()?;

    drop(server);
    let killed = Instant::now();
    sleep(outage).await;
    let still_connected = clients.iter().filter(|client| *client.state().borrow() == ClientState::Connected).count();
    let server = Server::start(&address, rate)?;
    let started = Instant::now();
    for client in &clients {
        timeout(TIME_LIMIT.saturating_sub(started.elapsed()), client.connected())
            .await
            .map_err(|_| "not all clients have reconnected")??;
    }
    // Each client must also get an answer over its new connection.
    for (n, client) in clients.iter().enumerate() {
        client.send(&Envelope::with_type("hello", n)).await?;
    }
    let welcomed = timeout(TIME_LIMIT, async {
        while WELCOMED.load(Ordering::Relaxed) < count {
            sleep(Duration::from_millis(10)).await;
        }
    });
    if welcomed.await.is_err() {
        return Err(format!("{} of {count} clients got an answer", WELCOMED.load(Ordering::Relaxed)).into());
    }
    drop(server);

    let opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
    let mut back: Vec<Duration> =
        opened.iter().filter(|at| **at > killed).map(|at| at.saturating_duration_since(started)).collect();
    let all_after = back.iter().max().copied().unwrap_or_default();
    let seconds = spread(&back, Duration::from_secs(1));
    let mean = count as f64 / all_after.as_secs_f64();
    let peak = seconds.iter().max().copied().unwrap_or_default();
    let fullest = spread(&back, all_after / PARTS as u32).into_iter().take(PARTS).max().unwrap_or_default();
    println!(
        "{count} clients, server away for {:.1} s: all connected {:.1} s after its restart; at most {peak} in a second, {:.1} times the \
        mean of {mean:.0}; by the second: {seconds:?}",
        (started - killed).as_secs_f64(),
        all_after.as_secs_f64(),
        peak as f64 / mean,
    );
    if still_connected > 0 || back.len() != count {
        return Err(format!(
            "{still_connected} connections outlived their server, and {} of {count} were opened again",
            back.len()
        )
        .into());
    }
    let (most, limit) = (most_in_a_second(&mut back), 2 * rate as usize);
    if rate > 0 && most * 100 > limit * (100 + BLUR) {
        return Err(format!("{most} were connected in one second, and the server accepts {limit}").into());
    }
    if fullest * 100 > count * CROWD {
        return Err(format!("{fullest} of {count} reconnected in a {PARTS}th of the time").into());
    }
    Ok(())
}

/// Returns the largest number in any second, wherever it begins.
fn most_in_a_second(back: &mut [Duration]) -> usize {
    back.sort_unstable();
    let mut first = 0;
    let counts = back.iter().enumerate().map(|(last, at)| {
        while *at - back[first] >= Duration::from_secs(1) {
            first += 1;
        }
        last + 1 - first
    });
    counts.max().unwrap_or_default()
}

/// Returns how many fall into each part of this length, from the server's restart to the last
/// client.
fn spread(back: &[Duration], length: Duration) -> Vec<usize> {
    let mut counts = Vec::new();
    for after in back {
        let at = (after.as_secs_f64() / length.as_secs_f64()) as usize;
        counts.resize(counts.len().max(at + 1), 0);
        counts[at] += 1;
    }
    counts
}
