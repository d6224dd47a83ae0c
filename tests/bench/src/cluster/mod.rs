//! Servers on three nodes, joined by a broker: what a broadcast to the connections of all nodes
//! costs, and a message from one node to a connection of another one.
//!
//! ```text
//! cargo run --release -p wsx-bench -- cluster
//! ```
//!
//! `servers` starts a broker and its nodes. `node` is what the nodes have in common. `load` has the
//! connections, and speaks the `dialect` of the server.
mod dialect;
mod load;
mod node;
mod servers;
mod wsx;

pub(crate) use servers::Server;
pub(crate) use wsx::{Arguments, serve};

use crate::{
    environment,
    load::Fault,
    machine::{self, Cores},
    peers::{CommandLine, Missing},
    report::number,
    statistics::{median, percentiles, ratio},
};
use clap::{Args, ValueEnum};
use load::{Load, Phase, SILENCE};
use servers::{Cluster, Cpu, NODES};
use std::{
    fmt::Write as _,
    io::{self, Write},
};

#[derive(Args)]
pub(crate) struct Clustered {
    /// One short round
    #[arg(long)]
    quick: bool,
    /// Number of rounds, 5 by default or 1 with --quick; the figures are medians
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Number of connections of each node, 1,000 by default
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    connections: u16,
    /// Runs only these servers
    #[arg(long, value_name = "NAME", num_args = 1..)]
    server: Vec<Server>,
}

/// What the first node does, over and over.
#[derive(Debug, Clone, Copy)]
enum Work {
    Broadcast,
    /// To a connection of the second node.
    Send,
}

/// A table: its title, the work, and how many messages are in progress at once.
const TABLES: [(&str, Work, usize); 4] = [
    ("Broadcasts, 1 in progress", Work::Broadcast, 1),
    ("Broadcasts, 16 in progress", Work::Broadcast, 16),
    ("Messages to another node, 1 in progress", Work::Send, 1),
    ("Messages to another node, 64 in progress", Work::Send, 64),
];
/// The servers with which all are compared.
const REFERENCES: [Server; 2] = [Server::SocketIo, Server::Socketioxide];
/// Deliveries of a measurement of broadcasts, about.
const DELIVERIES: u64 = 300_000;
/// Messages of a measurement to another node: one after the other, and many in progress.
const SENDS: [u64; 2] = [2_000, 20_000];

/// The figures of a server in one round, for one table.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Deliveries of a second of CPU time: of the nodes and the broker, and of the nodes alone.
    of_all: f64,
    of_nodes: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Figures {
    fn new(phase: &mut Phase, cpu: Cpu) -> Result<Self, Fault> {
        let [p50_us, p99_us] =
            percentiles(&mut phase.latencies, [0.50, 0.99]).ok_or_else(|| Fault("a phase has no message".into()))?;
        let deliveries = phase.deliveries as f64;
        Ok(Self {
            of_all: deliveries / cpu.all().as_secs_f64(),
            of_nodes: deliveries / cpu.nodes.as_secs_f64(),
            per_second: deliveries / phase.took.as_secs_f64(),
            p50_us,
            p99_us,
        })
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Amount {
    connections: usize,
    /// What the numbers of messages are divided by.
    part: u64,
}

impl Amount {
    fn messages(self, work: Work, in_flight: usize) -> u64 {
        match work {
            // Not too few for the percentiles.
            Work::Broadcast => (DELIVERIES / self.part / (NODES * self.connections) as u64).max(20),
            Work::Send => SENDS[usize::from(in_flight > 1)] / self.part,
        }
    }
}

/// One run of a server: the figures for each table.
fn measure(server: Server, node: &CommandLine, amount: Amount, cores: Cores) -> Result<Vec<Figures>, Fault> {
    let cluster = Cluster::start(server, node, dialect::TEXT, cores)?;
    let mut load = Load::open(server.dialect(), &cluster.addresses, amount.connections, cluster.lines, SILENCE)?;
    let run = |load: &mut Load, work: Work, in_flight: usize, messages: u64| match work {
        Work::Broadcast => load.broadcast(in_flight, messages),
        Work::Send => load.send(in_flight, messages),
    };
    for (_, work, in_flight) in TABLES {
        // A program of JavaScript is slow at first.
        run(&mut load, work, in_flight, amount.messages(work, in_flight).div_ceil(4))?;
    }
    let mut all = Vec::new();
    for (_, work, in_flight) in TABLES {
        let before = cluster.cpu_time()?;
        let mut phase = run(&mut load, work, in_flight, amount.messages(work, in_flight))?;
        all.push(Figures::new(&mut phase, cluster.cpu_time()?.since(before))?);
    }
    Ok(all)
}

/// Runs the comparison, and prints its tables.
pub(crate) fn run(arguments: &Clustered) -> Result<(), Fault> {
    machine::raise_open_files().map_err(io::Error::from)?;
    let cores = Cores::choose().map_err(io::Error::from)?;
    machine::pin(cores.load).map_err(io::Error::from)?;
    let chosen = if arguments.server.is_empty() { Server::value_variants() } else { &arguments.server };
    let mut servers = Vec::new();
    for server in chosen {
        match server.prepare() {
            Ok(node) => servers.push((*server, node)),
            Err(Missing(why)) => writeln!(io::stderr(), "{} is missing: {why}", server.name())?,
        }
    }
    if servers.is_empty() {
        return Err(Fault("none of these servers can run".into()));
    }
    let rounds = usize::from(arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 }));
    let amount = Amount { connections: arguments.connections.into(), part: if arguments.quick { 10 } else { 1 } };
    let mut results = vec![Vec::new(); servers.len()];
    for round in 0..rounds {
        for ((server, node), results) in servers.iter().zip(&mut results) {
            let figures = measure(*server, node, amount, cores)
                .map_err(|Fault(why)| Fault(format!("{}: {why}", server.name())))?;
            let first = figures[0].of_all;
            writeln!(
                io::stderr(),
                "round {}/{rounds} {}: {first:.0} deliveries of a CPU second",
                round + 1,
                server.name()
            )?;
            results.push(figures);
        }
    }
    let servers: Vec<Server> = servers.iter().map(|(server, _)| *server).collect();
    let mut out = environment::describe_cluster(rounds, &servers, cores);
    for (at, table) in TABLES.iter().enumerate() {
        write_table(&mut out, table, at, &servers, &results, amount).map_err(|error| Fault(error.to_string()))?;
    }
    Ok(io::stdout().write_all(out.as_bytes())?)
}

/// Writes a table. `results` has each server's rounds.
fn write_table(
    out: &mut String,
    &(title, work, in_flight): &(&str, Work, usize),
    at: usize,
    servers: &[Server],
    results: &[Vec<Vec<Figures>>],
    amount: Amount,
) -> std::fmt::Result {
    let messages = amount.messages(work, in_flight);
    let unit = match work {
        Work::Broadcast => "deliveries",
        Work::Send => "messages",
    };
    writeln!(out, "\n### {title}\n")?;
    let [messages, connections] = [messages as f64, amount.connections as f64].map(number);
    writeln!(out, "{messages} messages in each round, {NODES} nodes with {connections} connections each.\n")?;
    let ratios: String = REFERENCES.iter().map(|server| format!(" ÷ {} |", server.name())).collect();
    writeln!(
        out,
        "| server | {unit} per CPU s |{ratios} without the broker | {unit}/s | p50 µs | p99 µs |\n\
         |---|---:|{}---:|---:|---:|---:|",
        "---:|".repeat(REFERENCES.len())
    )?;
    let each = |rounds: &[Vec<Figures>], value: fn(&Figures) -> f64| -> Vec<Option<f64>> {
        rounds.iter().map(|round| Some(value(&round[at]))).collect()
    };
    for (server, rounds) in servers.iter().zip(results) {
        let figure = |value: fn(&Figures) -> f64| {
            median(each(rounds, value).into_iter().flatten()).map_or_else(String::new, number)
        };
        let of_all = |rounds| each(rounds, |figures| figures.of_all);
        let ratio = |reference: &Server| {
            let theirs = servers.iter().position(|server| server == reference)?;
            ratio(&of_all(rounds), &of_all(&results[theirs]))
        };
        let cell = |reference| ratio(reference).map_or_else(|| " – |".into(), |ratio| format!(" {ratio:.2} |"));
        let ratios: String = REFERENCES.iter().map(cell).collect();
        writeln!(
            out,
            "| `{}` | {} |{} {} | {} | {} | {} |",
            server.name(),
            figure(|figures| figures.of_all),
            ratios,
            figure(|figures| figures.of_nodes),
            figure(|figures| figures.per_second),
            figure(|figures| figures.p50_us),
            figure(|figures| figures.p99_us),
        )?;
    }
    Ok(())
}
