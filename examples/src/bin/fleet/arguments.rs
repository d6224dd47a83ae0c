//! The command line: which of its three forms `fleet` takes, and for how long.
use clap::{Args, Parser, Subcommand};
use fleet_protocol::{MAX_ID, is_box_id};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  fleet                                      all in one process, until Ctrl-C
  fleet --for 6s                             the same, for six seconds
  fleet server --listen 127.0.0.1:9001       the station alone
  fleet box --url ws://127.0.0.1:9001/ws --id box-1
                                             one box; start as many as you like

The last line on standard output is `received N, lost 0, reconnected R` for a station, and
`accepted N, reconnected R` for a box.

Exit status:
  0  everything that a live connection accepted has arrived
  1  the program could not do its work; one line on standard error says why
  2  messages were lost, repeated or out of order";

/// A fleet of edge boxes and the station that watches them, over real WebSocket connections.
///
/// Without a command, one station and three boxes run in this process. They talk over a loopback TCP socket; each box
/// samples this host five times a second. The station tells boxes to change their rate, sends notices to all, and
/// half-way stops and comes back; the boxes reconnect by themselves.
#[derive(Debug, Parser)]
#[command(name = "fleet", verbatim_doc_comment, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    limit: Limit,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limit {
    /// End after this long: 90 (seconds), 500ms, 6s, 2m or 1h; without it, at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The station alone: shows the boxes that connect, and tells them what to do
    #[command(after_help = "Example:\n  fleet server --listen 127.0.0.1:9001 --for 2m")]
    Server {
        /// Where to listen, as in 127.0.0.1:9001; with port 0 the system chooses a port, which the station prints
        #[arg(long, value_name = "ADDR")]
        listen: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// One box: samples this host, and reconnects to its station whenever that has gone
    #[command(after_help = "Example:\n  fleet box --url ws://127.0.0.1:9001/ws --id box-1")]
    Box {
        #[command(flatten)]
        identity: Identity,
        #[command(flatten)]
        limit: Limit,
    },
}

impl Arguments {
    /// When the program ends by itself, whichever form it takes.
    pub(crate) fn limit(&self) -> Option<Duration> {
        match &self.role {
            None => self.limit.duration,
            Some(Role::Server { limit, .. } | Role::Box { limit, .. }) => limit.duration,
        }
    }
}

/// Which box this is, and where its station.
#[derive(Debug, Clone, Args)]
pub(crate) struct Identity {
    /// The station's address, as `fleet server` prints it
    #[arg(long)]
    pub(crate) url: String,
    /// The name of this box: letters, digits, '.', '_' and '-', at most 32
    #[arg(long, value_name = "NAME", value_parser = box_id)]
    pub(crate) id: String,
}

fn box_id(text: &str) -> Result<String, String> {
    if is_box_id(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("a name has letters, digits, '.', '_' and '-', and at most {MAX_ID} of them"))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (amount, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let total = milliseconds.zip(amount.parse::<u64>().ok()).and_then(|(unit, amount)| amount.checked_mul(unit));
    match total {
        Some(0) => Err("it is over before it has begun".to_owned()),
        Some(total) => Ok(Duration::from_millis(total)),
        None => Err("write it as 90 (seconds), 500ms, 6s, 2m or 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        for (text, milliseconds) in
            [("90", 90_000), ("500ms", 500), ("6s", 6_000), ("2m", 120_000), ("1h", 3_600_000), ("007s", 7_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "0", "0ms", "-1s", "1.5s", "6 s", "6S", "1d", "18446744073709551615h", "٣s"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
