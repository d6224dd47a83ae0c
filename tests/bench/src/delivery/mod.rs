//! Messages that are kept until they are handled, beside MQTT with `QoS` 1. Each peer sends the
//! same messages from one process to another, directly or through a third one, and each round runs
//! every peer.
//!
//! ```text
//! cargo run --release -p wsx-bench -- deliver
//! ```
mod mqtt;
mod wsx;

use crate::{
    environment,
    peers::CommandLine,
    process::Process,
    report::number,
    statistics::{median, percentiles},
};
use clap::{Args, ValueEnum};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{
    env,
    error::Error,
    future::Future,
    io::{self, Write},
    time::{Duration, Instant},
};

type Fault = Box<dyn Error + Send + Sync>;

/// Time limit for the start of a process, and for each phase beyond its duration.
const SLACK: Duration = Duration::from_secs(60);
/// Maximum number of messages that are sent and not acknowledged. The largest window of wsx.
const WINDOW: u16 = 1024;
/// Maximum number of messages that wait for the window at the sender.
const WAITING: usize = 1024;
/// Messages in a second of the paced phase.
const PACE: u64 = 1000;
/// A text, so that a payload has about 150 bytes.
const TEXT: &str =
    "the quick brown fox jumps over the lazy dog, and the five boxing wizards jump quickly over it too..";

/// How a message goes from the sender to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// From a wsx client to the handler of a hub
    WsxHub,
    /// From a wsx client through a hub and its mailbox to the handler of another client
    WsxForward,
    /// From a rumqttc client through mosquitto to another rumqttc client
    Mosquitto,
}

/// The part of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Stands between the other two
    Middle,
    Receiver,
    Sender,
}

#[derive(Args)]
pub(crate) struct Deliver {
    /// One short round
    #[arg(long)]
    quick: bool,
    /// Number of rounds, 7 by default or 1 with --quick; the figures are medians
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Runs only these ways
    #[arg(long, value_name = "NAME", num_args = 1..)]
    way: Vec<Way>,
}

/// The work of a process: the last arguments of its command line.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Work {
    way: Way,
    part: Part,
    /// The port of the server, for those that connect to one.
    port: u16,
    /// Messages without a pace.
    messages: u64,
    /// Messages with a pace, after the others.
    paced: u64,
}

/// The message.
#[derive(Debug, Clone, Serialize, Deserialize, ::wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u64,
    /// The clock of the machine, which all of its processes share.
    sent_ns: i64,
    text: String,
}

impl Reading {
    fn new(n: u64) -> io::Result<Self> {
        Ok(Self { n, sent_ns: clock()?, text: TEXT.to_owned() })
    }
}

/// Returns the monotonic clock of the machine, in nanoseconds.
fn clock() -> io::Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

/// What a receiver has handled in a phase.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Handled {
    p50_us: f64,
    p99_us: f64,
}

/// Counts the messages of the receiver. Prints a line when all of a phase are handled.
#[derive(Debug)]
struct Receiving {
    phases: Vec<u64>,
    next: u64,
    latencies: Vec<(f64, u32)>,
}

impl Receiving {
    fn new(work: &Work) -> Self {
        Self { phases: vec![work.paced, work.messages], next: 0, latencies: Vec::new() }
    }

    /// Takes a message. Each must be the next one.
    fn handle(&mut self, reading: &Reading) -> Result<(), Fault> {
        if reading.n != self.next || reading.text != TEXT {
            return Err(format!("the message {} came in place of {}", reading.n, self.next).into());
        }
        self.next += 1;
        self.latencies.push(((clock()? - reading.sent_ns) as f64 / 1000.0, 1));
        if self.phases.last().is_some_and(|messages| self.latencies.len() as u64 == *messages) {
            self.phases.pop();
            let [p50_us, p99_us] = percentiles(&mut self.latencies, [0.50, 0.99]).ok_or("a phase has messages")?;
            self.latencies.clear();
            say(&serde_json::to_string(&Handled { p50_us, p99_us })?)?;
        }
        Ok(())
    }
}

/// Prints a line.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// A sender that is connected.
trait Sender: Send + Sync {
    /// Sends a message, and waits while too many wait.
    fn send(&self, reading: Reading) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Waits until all messages are acknowledged.
    fn acknowledged(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Runs the phases of a sender. Prints a line when all messages of one are acknowledged.
async fn send(sender: impl Sender, work: Work) -> Result<(), Fault> {
    let mut n = 0;
    for (messages, is_paced) in [(work.messages, false), (work.paced, true)] {
        say("ready")?;
        if tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await?? == 0 {
            return Ok(());
        }
        let start = Instant::now();
        for sent in 0..messages {
            if is_paced {
                let due = start + Duration::from_micros(sent * 1_000_000 / PACE);
                tokio::time::sleep_until(due.into()).await;
            }
            sender.send(Reading::new(n)?).await?;
            n += 1;
        }
        sender.acknowledged().await?;
        say("done")?;
    }
    // Its end is not part of the measurement.
    std::future::pending().await
}

/// Runs a process until its standard input ends.
pub(crate) fn run_part(work: Work) -> Result<(), Fault> {
    if work.part != Part::Sender {
        // So that it does not outlive the comparison. The sender reads its input itself.
        std::thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            std::process::exit(0);
        });
    }
    let runtime = tokio::runtime::Runtime::new()?;
    match (work.way, work.part) {
        (Way::Mosquitto, Part::Middle) => Err("mosquitto is a program of its own".into()),
        (Way::Mosquitto, Part::Receiver) => on_worker(&runtime, mqtt::receive(work)),
        (Way::Mosquitto, Part::Sender) => {
            on_worker(&runtime, async move { send(mqtt::connect(work).await?, work).await })
        }
        (Way::WsxHub, Part::Middle) => Err("there is nothing between a client and its hub".into()),
        (Way::WsxHub, Part::Receiver) => on_worker(&runtime, wsx::serve(work)),
        (Way::WsxForward, Part::Middle) => on_worker(&runtime, wsx::forward()),
        (Way::WsxForward, Part::Receiver) => on_worker(&runtime, wsx::receive(work)),
        (Way::WsxHub | Way::WsxForward, Part::Sender) => {
            on_worker(&runtime, async move { send(wsx::connect(work).await?, work).await })
        }
    }
}

/// Runs a future on a worker of the runtime, as the connections are.
fn on_worker(
    runtime: &tokio::runtime::Runtime,
    future: impl Future<Output = Result<(), Fault>> + Send + 'static,
) -> Result<(), Fault> {
    runtime.block_on(runtime.spawn(future))?
}

/// The figures of a phase.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    /// CPU time of a message, in all processes.
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One run of a way: without a pace, and with one.
fn measure(way: Way, messages: u64, paced: u64) -> Result<[Figures; 2], Fault> {
    let program = env::current_exe()?;
    let start = |part: Part, port: u16| {
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let command = CommandLine {
            program: program.clone(),
            arguments: vec![
                "deliver-part".into(),
                name(&|| way.to_possible_value()),
                name(&|| part.to_possible_value()),
                port.to_string(),
                messages.to_string(),
                paced.to_string(),
            ],
        };
        Process::start_anywhere(&command)
    };
    let port_of = |process: &Process| Ok::<_, Fault>(process.line(SLACK)?.parse::<u16>()?);
    // The broker, or the hub between two clients.
    let (middle, mut port) = match way {
        Way::Mosquitto => {
            let (broker, port) = mqtt::broker()?;
            (Some(broker), port)
        }
        Way::WsxForward => {
            let hub = start(Part::Middle, 0)?;
            let port = port_of(&hub)?;
            (Some(hub), port)
        }
        Way::WsxHub => (None, 0),
    };
    let receiver = start(Part::Receiver, port)?;
    match way {
        Way::WsxHub => port = port_of(&receiver)?,
        Way::WsxForward | Way::Mosquitto => drop(receiver.line(SLACK)?),
    }
    let mut sender = start(Part::Sender, port)?;
    let cpu = |sender: &Process| {
        let all = [Some(sender), Some(&receiver), middle.as_ref()].into_iter().flatten();
        all.map(Process::cpu_time).try_fold(Duration::ZERO, |sum, time| Ok::<_, io::Error>(sum + time?.total))
    };
    let mut phase = |messages: u64, longest: Duration| {
        sender.line(SLACK)?;
        let (before, start) = (cpu(&sender)?, Instant::now());
        sender.say("go")?;
        let Handled { p50_us, p99_us } = serde_json::from_str(&receiver.line(longest)?)?;
        let took = start.elapsed();
        sender.line(SLACK)?;
        let cpu_us = (cpu(&sender)? - before).as_secs_f64() * 1e6 / messages as f64;
        Ok::<_, Fault>(Figures { per_second: messages as f64 / took.as_secs_f64(), cpu_us, p50_us, p99_us })
    };
    Ok([phase(messages, 2 * SLACK)?, phase(paced, SLACK + Duration::from_millis(paced * 1000 / PACE))?])
}

/// Runs the comparison, and prints its tables.
pub(crate) fn run(arguments: &Deliver) -> Result<(), Fault> {
    let mut ways: Vec<Way> =
        if arguments.way.is_empty() { Way::value_variants().into() } else { arguments.way.clone() };
    if !mqtt::is_installed() && ways.contains(&Way::Mosquitto) {
        ways.retain(|way| *way != Way::Mosquitto);
        writeln!(
            io::stderr(),
            "mosquitto is missing: there is no mosquitto (Debian package mosquitto; tests/bench/install.sh installs it)"
        )?;
    }
    let rounds = usize::from(arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 7 }));
    let (messages, paced) = if arguments.quick { (20_000, 500) } else { (200_000, 5_000) };
    let mut all = vec![Vec::new(); ways.len()];
    for round in 0..rounds {
        for at in 0..ways.len() {
            let at = if round % 2 == 0 { at } else { ways.len() - 1 - at };
            let figures = measure(ways[at], messages, paced).map_err(|fault| format!("{:?}: {fault}", ways[at]))?;
            writeln!(
                io::stderr(),
                "round {}/{rounds} {:?}: {:.0} a second",
                round + 1,
                ways[at],
                figures[0].per_second
            )?;
            all[at].push(figures);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", environment::describe_delivery(rounds, mqtt::version().as_deref()))?;
    for (at, title) in ["As many as possible", "1,000 in a second"].into_iter().enumerate() {
        writeln!(out, "| {title} | messages/s | CPU µs | p50 µs | p99 µs |\n|---|---:|---:|---:|---:|")?;
        for (way, rounds) in ways.iter().zip(&all) {
            let figure = |value: fn(&Figures) -> f64| {
                median(rounds.iter().map(|round: &[Figures; 2]| value(&round[at]))).map_or_else(String::new, number)
            };
            writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                way.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
                figure(|figures| figures.per_second),
                figure(|figures| figures.cpu_us),
                figure(|figures| figures.p50_us),
                figure(|figures| figures.p99_us),
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
