//! The command line.
use crate::page::PageOption;
use crate::plug::{Plug, ends::End};
use clap::{Parser, Subcommand};
use fleet_protocol::box_id;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  fleet                                      everything in one process, until Ctrl-C
  fleet --for 6s                             the same, for six seconds
  fleet --page 127.0.0.1:9000                the same, with the web page at this address
  fleet --compress                           the same, with compressed messages
  fleet server --listen 127.0.0.1:9001       the server alone
  fleet box --url ws://127.0.0.1:9001/ws --id box-1
                                             one box; start as many boxes as you like
  fleet --pull-the-plug --for 30s            programs are killed and links are cut, and no message
                                             is lost
  fleet cluster --for 60s                    three nodes and thirty boxes; a node is killed and
                                             started again every 20 seconds

The last line on standard output is `received N, lost 0, reconnected R, asked M, answered M` for a
server, `accepted N, reconnected R` for a box, and `accepted N, handled N, lost 0, handled twice 0,
expired 0` for --pull-the-plug. For `cluster` it is `kills K, back within T s, answered N, failed 0,
missed 0, wrong maps 0`. With --compress, the first two end with
`, compressed P bytes to W (N %)`.

Exit status:
  0  every message that a connection accepted has arrived
  1  the program failed; a line on standard error says why. Or a check of `cluster` failed
  2  the command line is not valid
  3  messages were lost, repeated or out of order";

/// A fleet of edge boxes and the server that watches them, over real WebSocket connections.
///
/// Without a command, a server and three boxes run in this process and talk over loopback TCP. Each
/// box samples this host five times a second. The server sets the rates of the boxes, asks for
/// their health, and sends them notices. Half-way it stops and starts again, and the boxes
/// reconnect by themselves. The line `page: http://…` has the address of a web page that shows all
/// this.
#[derive(Debug, Parser)]
#[command(name = "fleet", verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Stop after this time, as in 6s; without it, at Ctrl-C
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, global = true)]
    pub(crate) limit: Option<Duration>,
    /// Compress messages, if the other end does so too, and show how much shorter they become
    #[arg(long, global = true)]
    pub(crate) compress: bool,
    #[command(flatten)]
    pub(crate) page: PageOption,
    #[command(flatten)]
    pub(crate) plug: Plug,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Program(Program),
    #[command(flatten)]
    End(End),
    /// Several nodes that behave as one server, joined by NATS, and the boxes of all of them
    ///
    /// Each node is a process. One after the other is killed and started again, and its boxes
    /// connect to the others. At the end the program says what was checked. The program nats-server
    /// must be installed.
    Cluster(ClusterOption),
    #[cfg(feature = "nats")]
    #[command(flatten)]
    Part(crate::cluster::Part),
}

/// The arguments of `fleet cluster`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterOption {
    /// Number of nodes
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    pub(crate) nodes: u8,
    /// Number of boxes
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=300))]
    pub(crate) boxes: u16,
    /// Time between two kills
    #[arg(long, value_name = "SECONDS", default_value = "20s", value_parser = seconds)]
    pub(crate) every: Duration,
    /// Time within which all boxes must be back after a kill
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    pub(crate) within: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Program {
    /// The server alone: shows the boxes that connect, and gives them orders
    Server {
        /// Address to listen on, as in 127.0.0.1:9001; with port 0 the system chooses a port
        #[arg(long, value_name = "ADDR")]
        listen: String,
        #[command(flatten)]
        page: PageOption,
    },
    /// One box: samples this host, and reconnects when a connection ends
    Box {
        /// The server's URL, as `fleet server` prints it
        #[arg(long)]
        url: String,
        /// Name of this box: at most 32 letters, digits, '.', '_' and '-'
        #[arg(long, value_name = "NAME", value_parser = box_id)]
        id: String,
    },
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds =
        text.strip_suffix('s').unwrap_or(text).parse().map_err(|_| "write the number of seconds, as in 6s")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        <super::Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
