//! Weak links, with any number of messages: row R7 of the specification. Prints a line for each
//! fault, and fails when a connection breaks its promise.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin weak_links_campaign -- --messages 100000
//! tests/scripts/weak_networks.sh 100000
//! ```
//!
//! The first command puts a proxy between server and client. The second makes two networks, joined
//! by a cable that loses packets, and runs this program with `--networks SERVER CLIENT`. The
//! listener is bound in the first network, and the client dials in the second.
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
/// How much later than promised a dead link may be detected, because the machine has other work
/// too.
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

/// The faults that a proxy can cause.
async fn bad_links(messages: u64) -> Result<()> {
    let delay = Duration::from_millis(50)..Duration::from_millis(200);
    let delayed = Weakness { delay, ..Weakness::default() };
    let byte_by_byte = Weakness { byte_by_byte: true, ..Weakness::default() };
    let all_at_once = Weakness { rate: Some(SLOW), byte_by_byte: true, ..delayed.clone() };
    for (fault, weakness) in [
        ("50 to 200 ms delay", delayed),
        ("byte by byte", byte_by_byte),
        ("256 kbit/s, 50 to 200 ms delay, byte by byte", all_at_once),
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
        () = pausing => unreachable!("the pauses have no end"),
    }
    resets(messages).await
}

/// Sends in both directions at once over one connection, which must stay open and lose nothing.
async fn all_arrive(fault: &str, ends: &Exchange, messages: u64) -> Result<()> {
    let start = Instant::now();
    ends.send(0..messages).await;
    ends.arrive(messages).await;
    report(fault, ends, messages, start);
    let perfect = ends.verdicts(messages).iter().all(Verdict::is_perfect) && ends.connections() == 1;
    ends.close().await;
    if perfect {
        Ok(())
    } else {
        Err(format!("{fault}: messages were lost, duplicated or reordered, or the connection broke").into())
    }
}

/// Connections that are reset in the middle of frames.
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
        // Most of it arrives before the next reset, so that a duplicate is possible.
        sleep(Duration::from_millis(1)).await;
    }
    ends.close().await;
    report(fault, &ends, messages, start);
    let kept =
        ends.verdicts(messages).iter().all(|verdict| verdict.is_at_most_once() && verdict.arrived > messages / 2);
    if kept && ends.connections() > 1 {
        Ok(())
    } else {
        Err(format!("{fault}: a message was duplicated or reordered, or too many were lost").into())
    }
}

fn report(fault: &str, ends: &Exchange, messages: u64, start: Instant) {
    let [to_server, to_client] = ends.verdicts(messages);
    let (connections, seconds) = (ends.connections(), start.elapsed().as_secs_f64());
    println!(
        "{fault}: to the server {to_server}; to the client {to_client}; connections {connections}; {seconds:.1} s"
    );
}

/// Two network namespaces, by their names in `ip netns`.
struct Networks<'n> {
    server: &'n str,
    client: &'n str,
}

impl Networks<'_> {
    /// Returns a listener in the server's network, at its only address outside the loopback.
    fn listen(&self) -> Result<StdTcpListener> {
        let address =
            output(Command::new("ip").args(["-n", self.server, "-4", "-o", "address", "show", "scope", "global"]))?;
        let address =
            address.split_whitespace().find_map(|word| word.split_once('/')).ok_or("the network has no address")?.0;
        let server = self.server.to_owned();
        let bound = std::thread::scope(|scope| {
            // A thread of its own, because a network namespace belongs to a thread.
            scope
                .spawn(|| {
                    enter(&server).and_then(|()| Ok(StdTcpListener::bind((address, 0))?)).map_err(|e| e.to_string())
                })
                .join()
        });
        let listener = bound.map_err(|_| "the thread of the listener panicked")??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Adds or removes a rule for incoming packets in both networks.
    fn rule(&self, change: &str, rule: &[&str]) -> Result<()> {
        for network in [self.server, self.client] {
            output(
                Command::new("ip").args(["netns", "exec", network, "iptables", "--wait", change, "INPUT"]).args(rule),
            )?;
        }
        Ok(())
    }
}

/// New sockets of this thread are in this network from now on.
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

/// Drops every packet.
const BLACK_HOLE: &[&str] = &["-j", "DROP"];
/// Drops one packet in five, in each direction.
const LOSS: &[&str] = &["-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP"];

/// The faults that need a network: lost packets, and a black hole. The cable limits the rate.
async fn lossy_network(networks: &Networks<'_>, messages: u64) -> Result<()> {
    enter(networks.client)?;
    networks.rule("-A", LOSS)?;
    // At this loss TCP sometimes backs off for more than ten seconds. That is not a dead link.
    let config = Config::default().write_timeout(Duration::from_secs(60)).handshake_timeout(Duration::from_secs(30));
    let ends = Exchange::on(TcpListener::from_std(networks.listen()?)?, config).await;
    all_arrive("20 % loss, 256 kbit/s", &ends, messages).await?;
    networks.rule("-D", LOSS)?;

    let second = Duration::from_secs(1);
    let quick = Config::default().handshake_timeout(2 * second);
    let beating = quick.clone().heartbeat(second, 2 * second);
    black_hole(networks, "a heartbeat", "silent", beating, InFlight::Nothing, 3 * second).await?;
    // Linux counts from its next transmission, here after up to a second.
    let impatient = quick.clone().tcp_user_timeout(3 * second);
    black_hole(networks, "the user timeout", "timed out", impatient, InFlight::Messages, 4 * second).await?;
    // One second idle, then two probes one second apart without an answer.
    let probing = quick.tcp_keepalive(second, second, 2);
    black_hole(networks, "the keepalive", "timed out", probing, InFlight::Nothing, 3 * second).await
}

#[derive(PartialEq)]
enum InFlight {
    Nothing,
    /// One in each direction, sent into the black hole.
    Messages,
}

/// A silently dead link: both ends must detect it within `bound`, and exchange messages again once
/// it works.
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
    // Waits until both ends have acknowledged everything, which TCP delays by up to 200 ms. The
    // kernel sends no keepalive before that.
    sleep(Duration::from_millis(500)).await;
    let [near, far] = ends.connection();
    networks.rule("-I", BLACK_HOLE)?;
    let dead = Instant::now();
    if in_flight == InFlight::Messages {
        near.send(&Numbered(100)).await?;
        far.send(&Numbered(100)).await?;
    }
    let time_to_close = |conn: Connection| async move { (conn.closed().await, dead.elapsed()) };
    let both = timeout(10 * bound, async { tokio::join!(time_to_close(near), time_to_close(far)) }).await;
    let (near, far) = both.map_err(|_| format!("{what}: a dead link was not detected within {:?}", 10 * bound))?;
    networks.rule("-D", BLACK_HOLE)?;
    let healed = Instant::now();
    timeout(10 * bound, ends.client.connected()).await??;
    let back = healed.elapsed();
    ends.send(101..200).await;
    ends.close().await;
    let [to_server, to_client] = ends.verdicts(200);
    println!(
        "a black hole, by {what}: detected by the client after {:.1} s, by the server after {:.1} s; reconnected {:.1} s after it was \
         repaired; to the server {to_server}; to the client {to_client}",
        near.1.as_secs_f64(),
        far.1.as_secs_f64(),
        back.as_secs_f64(),
    );
    for (closed, after) in [near, far] {
        if closed.by != ClosedBy::Link || !closed.reason.contains(reason) || after > bound + SLACK {
            return Err(format!("{what}: {closed} after {after:?} instead of {reason:?} within {bound:?}").into());
        }
    }
    // The number 100 was sent into the black hole, or was not used.
    if [to_server, to_client].iter().all(|verdict| verdict.is_at_most_once() && verdict.lost == 1) {
        Ok(())
    } else {
        Err(format!("{what}: exactly the message in flight should be lost").into())
    }
}
