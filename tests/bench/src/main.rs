//! Measures wsx against other WebSocket libraries. Every peer does the same work, in a process and
//! on a core of its own, and each round runs every peer.
//!
//! ```text
//! cargo run --release -p wsx-bench -- compare --quick
//! ```
//!
//! # Layout
//!
//! `peers` has the servers. `message` has the messages and the expected replies, `load` sends them,
//! `workload` defines how many and when. The peers of the requests send these with a `client` of
//! their own. `delivery` is a comparison of its own, with MQTT, `deflate` one of compressed
//! messages, and `cluster` one of servers on several nodes. `process` runs a server or a client,
//! and `machine` measures it. `measure` is one measurement, `compare` all of them. `statistics`,
//! `report`, `plot` and `document` evaluate them, and `environment` describes the machine.
mod client;
mod cluster;
mod compare;
mod deflate;
mod delivery;
mod document;
mod environment;
mod load;
mod machine;
mod measure;
mod message;
mod peers;
mod plot;
mod process;
mod report;
#[expect(unreachable_pub, reason = "this file is shared with the tests")]
#[path = "../../harness/request.rs"]
mod request;
mod server;
mod statistics;
mod workload;

use clap::{Args, Parser, Subcommand};
use client::Requests;
use compare::Plan;
use load::Fault;
use machine::Cores;
use measure::Pace;
use peers::Peer;
use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use workload::Workload;

/// Measures wsx against other WebSocket libraries.
#[derive(Parser)]
#[command(name = "wsx-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures every peer at every workload, and prints a table for each workload
    Compare(Compare),
    /// Measures kept messages beside MQTT, and prints a table
    Deliver(delivery::Deliver),
    /// Runs a process of that
    #[command(hide = true)]
    DeliverPart(delivery::Work),
    /// Measures compression with recorded messages, and prints tables
    Deflate(deflate::Deflate),
    /// Runs the hub of that
    #[command(hide = true)]
    DeflateServe { mode: deflate::Mode },
    /// Measures the memory of a state of that
    #[command(hide = true)]
    DeflateState(deflate::State),
    /// Measures servers on three nodes with a broker between them, and prints tables
    Cluster(cluster::Clustered),
    /// Runs a node of wsx of that
    #[command(hide = true)]
    ClusterNode(cluster::Arguments),
    /// Runs the server of a Rust peer
    #[command(hide = true)]
    Serve { peer: Peer },
    /// Runs the client of a Rust peer, which sends requests
    #[command(hide = true)]
    Ask {
        peer: Peer,
        #[command(flatten)]
        work: Requests,
    },
}

#[derive(Args)]
struct Compare {
    /// Takes less than a minute: one round, short measurements, no idle-19k, the growth only up to
    /// 1,000 connections
    #[arg(long)]
    quick: bool,
    /// Prints one JSON object for each peer and workload instead of the tables
    #[arg(long)]
    json: bool,
    /// Number of rounds, 5 by default or 1 with --quick; the figures are medians
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Runs only these workloads
    #[arg(long, value_name = "NAME", num_args = 1..)]
    workload: Vec<workload::Name>,
    /// Runs only these peers
    #[arg(long, value_name = "NAME", num_args = 1..)]
    peer: Vec<Peer>,
    /// Draws the charts into this directory, by default docs, and puts the tables into its
    /// benchmarks.md
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "docs")]
    plot: Option<PathBuf>,
}

/// File descriptors that a process needs in addition to its connections.
const OTHER_FILES: u64 = 64;
/// When `--quick` stops starting measurements.
const QUICK: Duration = Duration::from_secs(55);

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Compare(arguments) => run(&arguments),
        Command::Deliver(arguments) => {
            delivery::run(&arguments).map_err(|error| error as _).map(|()| ExitCode::SUCCESS)
        }
        Command::DeliverPart(work) => delivery::run_part(work).map_err(|error| error as _).map(|()| ExitCode::SUCCESS),
        Command::Deflate(arguments) => {
            deflate::run(&arguments).map_err(|Fault(why)| why.into()).map(|()| ExitCode::SUCCESS)
        }
        Command::ClusterNode(node) => cluster::serve(node).map_err(|error| error as _).map(|()| ExitCode::SUCCESS),
        Command::Cluster(arguments) => {
            cluster::run(&arguments).map_err(|Fault(why)| why.into()).map(|()| ExitCode::SUCCESS)
        }
        Command::DeflateState(state) => {
            deflate::measure_state(state).map_err(|Fault(why)| why.into()).map(|()| ExitCode::SUCCESS)
        }
        Command::DeflateServe { mode } => deflate::serve(mode).map_err(Into::into).map(|()| ExitCode::SUCCESS),
        Command::Ask { peer, work } => peers::ask(peer, work).map_err(|error| error as _).map(|()| ExitCode::SUCCESS),
        Command::Serve { peer } => peers::serve(peer).map_err(Into::into).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // If standard error is closed, the message is lost.
        let _ = writeln!(io::stderr(), "wsx-bench: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Compare) -> Result<ExitCode, Box<dyn Error>> {
    let files = machine::raise_open_files()?;
    let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    let cores = Cores::choose()?;
    machine::pin(cores.load)?;
    let mut plan = Plan {
        peers: arguments.peer.clone(),
        workloads: arguments.workload.iter().map(|name| name.0).collect(),
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 }).into(),
        pace: Pace::thorough(most),
        end: None,
        left_out: Vec::new(),
    };
    if plan.peers.is_empty() {
        plan.peers = Peer::ALL.into();
    }
    if plan.workloads.is_empty() {
        let fits = |workload: &&Workload| !arguments.quick || workload.is_quick();
        (plan.workloads, plan.left_out) = workload::ALL.iter().partition(fits);
    }
    plan.peers.retain(|peer| plan.workloads.iter().any(|workload| peer.runs(workload)));
    if plan.peers.is_empty() {
        return Err("none of these peers runs any of these workloads".into());
    }
    if arguments.quick {
        plan.pace = Pace::quick(most);
        plan.end = Some(Instant::now() + QUICK);
    }
    let results = compare::compare(&plan, cores);
    let header = environment::describe(&plan, cores, results.took);
    let tables = report::tables(&results);
    let mut stdout = io::stdout().lock();
    if arguments.json {
        // Standard output has only JSON.
        write!(io::stderr(), "\n{header}")?;
        stdout.write_all(report::json(&results).as_bytes())?;
    } else {
        write!(stdout, "{header}\n{tables}")?;
    }
    stdout.flush()?;
    if let Some(directory) = &arguments.plot {
        plot::draw(&results, directory)?;
        document::refresh(&directory.join("benchmarks.md"), &format!("{header}\n{tables}"))?;
    }
    Ok(if results.has_faults() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
