//! Weak links, with as many messages as one likes: row R7 of the specification. Prints a line for each fault, and fails when
//! one does not keep its promise.
//!
//! ```text
//! cargo run --release -p wsx-tests --bin weak_links_campaign -- --messages 100000
//! tests/scripts/weak_networks.sh 100000
//! ```
//!
//! The first has a proxy between server and client. The second makes two networks, joined by a cable that loses packets, and
//! runs this program with `--networks SERVER CLIENT`: the listener is bound in the one, and the client dials in the other.
use nix::sched::{CloneFlags, setns};
use std::{
    error::Error,
    fs::File,
    net::TcpListener as StdTcpListener,
    process::Command,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use wsx::{ClosedBy, Config, Connection};
use wsx_tests::{
    exchange::Exchange,
    numbered::{Numbered, Verdict},
    weak_link::Weakness,
};

/// 256 kbit/s.
const SLOW: u32 = 32_000;
/// How much later than promised a dead link may be found, since the machine does other things too.
const SLACK: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| &arguments[at + 1..]);
    let usage = "usage: weak_links_campaign [--messages N] [--networks SERVER CLIENT]";
    let messages = match after("--messages") {
        Some(values) => values.first().ok_or(usage)?.parse()?,
        None => 100_000,
    };
    match after("--networks") {
        Some([server, client, ..]) => lossy_network(&Networks { server, client }, messages).await,
        Some(_) => Err(usage.into()),
        None => bad_links(messages).await,
    }
}

/// What a proxy can do to a connection.
async fn bad_links(messages: u64) -> Result<()> {
    let delay = Duration::from_millis(50)..Duration::from_millis(200);
    let late = Weakness { delay, ..Weakness::default() };
    let byte_by_byte = Weakness { byte_by_byte: true, ..Weakness::default() };
    let all_at_once = Weakness { rate: Some(SLOW), byte_by_byte: true, ..late.clone() };
    for (fault, weakness) in [
        ("50 to 200 ms late", late),
        ("byte by byte", byte_by_byte),
        ("256 kbit/s, 50 to 200 ms late, byte by byte", all_at_once),
    ] {
        let (ends, _link) = Exchange::over(weakness, Config::default()).await;
        all_arrive(fault, &ends, messages).await?;
    }
    let (ends, link) = Exchange::over(Weakness::default(), Config::default()).await;
    let pausing = async {
        loop {
            link.fall_silent();
            sleep(Duration::from_millis(200)).await;
            link.heal();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        arrived = all_arrive("pauses of 200 ms", &ends, messages) => arrived?,
        () = pausing => unreachable!("it goes on for ever"),
    }
    resets(messages).await
}

/// Sends both ways at once by one connection, which must live and lose nothing.
async fn all_arrive(fault: &str, ends: &Exchange, messages: u64) -> Result<()> {
    let start = Instant::now();
    ends.send(0..messages).await;
    ends.arrive(messages).await;
    report(fault, ends, messages, start);
    let perfect = ends.verdicts(messages).iter().all(Verdict::is_perfect) && ends.connections() == 1;
    ends.close().await;
    if perfect { Ok(()) } else { Err(format!("{fault}: this should have been one connection without a fault").into()) }
}

/// Connections that are reset in the middle of whatever they carry.
async fn resets(messages: u64) -> Result<()> {
    const BURST: u64 = 20;
    let (start, fault) = (Instant::now(), "resets");
    let weakness = Weakness { cut_after: Some(500..200_000), ..Weakness::default() };
    let (ends, _link) = Exchange::over(weakness, Config::default()).await;
    let mut first = 0;
    while first < messages {
        let end = messages.min(first + BURST);
        ends.send(first..end).await;
        first = end;
        // So that most of it arrives before the next reset, and there is something to be doubled.
        sleep(Duration::from_millis(1)).await;
    }
    ends.close().await;
    report(fault, &ends, messages, start);
    let kept =
        ends.verdicts(messages).iter().all(|verdict| verdict.is_at_most_once() && verdict.arrived > messages / 2);
    if kept && ends.connections() > 1 { Ok(()) } else { Err(format!("{fault}: this is not at most once").into()) }
}

fn report(fault: &str, ends: &Exchange, messages: u64, start: Instant) {
    let [to_server, to_client] = ends.verdicts(messages);
    let (connections, seconds) = (ends.connections(), start.elapsed().as_secs_f64());
    println!(
        "{fault}: to the server {to_server}; to the client {to_client}; connections {connections}; {seconds:.1} s"
    );
}

/// Two network namespaces, by the names that `ip netns` gave them.
struct Networks<'n> {
    server: &'n str,
    client: &'n str,
}

impl Networks<'_> {
    /// A listener in the server's network, at its only address that is not the loopback's.
    fn listen(&self) -> Result<StdTcpListener> {
        let address =
            output(Command::new("ip").args(["-n", self.server, "-4", "-o", "address", "show", "scope", "global"]))?;
        let address = address.split_whitespace().find_map(|word| word.split_once('/')).ok_or("it has no address")?.0;
        let server = self.server.to_owned();
        let bound = std::thread::scope(|scope| {
            // A thread of its own, as a thread is in one network.
            scope
                .spawn(|| {
                    enter(&server).and_then(|()| Ok(StdTcpListener::bind((address, 0))?)).map_err(|e| e.to_string())
                })
                .join()
        });
        let listener = bound.map_err(|_| "the thread that listens panicked")??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Changes what both networks do with the packets that they receive.
    fn rule(&self, change: &str, rule: &[&str]) -> Result<()> {
        for network in [self.server, self.client] {
            output(
                Command::new("ip").args(["netns", "exec", network, "iptables", "--wait", change, "INPUT"]).args(rule),
            )?;
        }
        Ok(())
    }
}

/// Sockets that this thread makes from now on are in this network.
fn enter(network: &str) -> Result<()> {
    Ok(setns(File::open(format!("/run/netns/{network}"))?, CloneFlags::CLONE_NEWNET)?)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// Every packet is lost.
const BLACK_HOLE: &[&str] = &["-j", "DROP"];
/// One packet in five is lost, in each direction.
const LOSS: &[&str] = &["-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP"];

/// What only a network can do: lose packets, and take them for ever. The rate is the cable's.
async fn lossy_network(networks: &Networks<'_>, messages: u64) -> Result<()> {
    enter(networks.client)?;
    networks.rule("-A", LOSS)?;
    // At this loss TCP doubles its waits to ten seconds and more now and then: that is no dead link.
    let patient = Config::default().write_timeout(Duration::from_secs(60)).handshake_timeout(Duration::from_secs(30));
    let ends = Exchange::on(TcpListener::from_std(networks.listen()?)?, patient).await;
    all_arrive("20 % loss, 256 kbit/s", &ends, messages).await?;
    networks.rule("-D", LOSS)?;

    let second = Duration::from_secs(1);
    let quick = Config::default().handshake_timeout(2 * second);
    let beating = quick.clone().heartbeat(second, 2 * second);
    black_hole(networks, "a heartbeat", "silent", beating, InFlight::Nothing, 3 * second).await?;
    // Linux counts from when it first sends something again, here after up to a second.
    let impatient = quick.clone().tcp_user_timeout(3 * second);
    black_hole(networks, "the user timeout", "timed out", impatient, InFlight::Messages, 4 * second).await?;
    // Idle for a second, then two probes a second apart without an answer.
    let probing = quick.tcp_keepalive(second, second, 2);
    black_hole(networks, "the keepalive", "timed out", probing, InFlight::Nothing, 3 * second).await
}

#[derive(PartialEq)]
enum InFlight {
    Nothing,
    /// One each way, sent into the black hole.
    Messages,
}

/// A link that dies without a word: both ends must find it within `bound`, and talk again once it lives.
async fn black_hole(
    networks: &Networks<'_>,
    what: &str,
    reason: &str,
    config: Config,
    in_flight: InFlight,
    bound: Duration,
) -> Result<()> {
    let ends = Exchange::on(TcpListener::from_std(networks.listen()?)?, config).await;
    ends.send(0..100).await;
    ends.arrive(100).await;
    // Until both have acknowledged the last of it, which TCP delays by up to 200 ms: the system sends no keepalive while
    // something is in flight.
    sleep(Duration::from_millis(500)).await;
    let [near, far] = ends.connection();
    networks.rule("-I", BLACK_HOLE)?;
    let dead = Instant::now();
    if in_flight == InFlight::Messages {
        near.send(&Numbered(100)).await?;
        far.send(&Numbered(100)).await?;
    }
    let ended = |conn: Connection| async move { (conn.closed().await, dead.elapsed()) };
    let both = timeout(10 * bound, async { tokio::join!(ended(near), ended(far)) }).await;
    let (near, far) = both.map_err(|_| format!("{what}: a dead link was not found within {:?}", 10 * bound))?;
    networks.rule("-D", BLACK_HOLE)?;
    let healed = Instant::now();
    timeout(10 * bound, ends.client.connected()).await??;
    let back = healed.elapsed();
    ends.send(101..200).await;
    ends.close().await;
    let [to_server, to_client] = ends.verdicts(200);
    println!(
        "a black hole, by {what}: found by the client after {:.1} s, by the server after {:.1} s; back {:.1} s after it was \
         mended; to the server {to_server}; to the client {to_client}",
        near.1.as_secs_f64(),
        far.1.as_secs_f64(),
        back.as_secs_f64(),
    );
    for (closed, after) in [near, far] {
        if closed.by != ClosedBy::Link || !closed.reason.contains(reason) || after > bound + SLACK {
            return Err(format!("{what}: {closed} after {after:?}, and not within {bound:?} as {reason:?}").into());
        }
    }
    // The number 100 went into the black hole, or was not used.
    if [to_server, to_client].iter().all(|verdict| verdict.is_at_most_once() && verdict.lost == 1) {
        Ok(())
    } else {
        Err(format!("{what}: exactly the message in flight should be lost").into())
    }
}
