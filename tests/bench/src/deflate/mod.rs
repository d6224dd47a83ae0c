//! Compressed messages: what compression costs in CPU time and memory, and what it saves on the
//! wire, with the messages that the example `fleet` sends.
//!
//! ```text
//! cargo run --release -p wsx-bench -- deflate
//! ```
//!
//! `samples` has the messages. `settings` runs both ends of wsx in this process, and compares the
//! options. `servers` compares hubs with servers of other libraries, each in a process of its own:
//! `serve` is the hub, and `link` is the load.
mod link;
mod samples;
mod serve;
mod servers;
mod settings;
mod states;

pub(crate) use serve::{Mode, serve};
pub(crate) use states::{State, measure as measure_state};

use crate::{environment, load::Fault};
use clap::{Args, ValueEnum};
use servers::Server;
use std::io::{self, Write};

#[derive(Args)]
pub(crate) struct Deflate {
    /// Short measurements: one round, and few idle connections
    #[arg(long)]
    quick: bool,
    /// Number of rounds, 7 by default or 1 with --quick; the figures are medians
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Prints only these tables
    #[arg(long, value_name = "NAME", num_args = 1..)]
    table: Vec<Table>,
    /// Measures only these servers
    #[arg(long, value_name = "NAME", num_args = 1..)]
    server: Vec<Server>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Windows, contexts and levels of wsx
    Settings,
    /// Short messages
    Short,
    /// The states of zlib that a thread has
    States,
    /// Servers, by the CPU time and the bytes of a message
    Servers,
    /// Servers, by the memory of an idle connection
    Memory,
}

/// Measures, and prints the tables.
pub(crate) fn run(arguments: &Deflate) -> Result<(), Fault> {
    let rounds = usize::from(arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 7 }));
    let connections = if arguments.quick { 500 } else { 10_000 };
    let all = |chosen: &[Table]| if chosen.is_empty() { Table::value_variants().to_vec() } else { chosen.to_vec() };
    let servers = if arguments.server.is_empty() { Server::value_variants() } else { &arguments.server };
    let (ready, missing) = servers::prepare(servers);
    let mut out = io::stdout().lock();
    write!(out, "{}", environment::describe_deflate(rounds))?;
    for why in missing {
        writeln!(out, "- Missing: {why}")?;
    }
    for table in all(&arguments.table) {
        let text = match table {
            Table::Settings => settings::windows(rounds)?,
            Table::Short => settings::short(rounds)?,
            Table::States => states::table()?,
            Table::Servers => servers::work(&ready, rounds)?,
            Table::Memory => servers::memory(&ready, connections)?,
        };
        write!(out, "\n{text}")?;
        out.flush()?;
    }
    Ok(())
}
