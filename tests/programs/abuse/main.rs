//! Hostile peers against a server in a process of its own, so that its memory can be measured: the
//! memory that they use, and the close codes that they receive. Rows R5, R13, R14 and Z5 of
//! the specification.
//!
//! ```text
//! cargo build --release -p wsx-examples --bin echo -p wsx-tests --bin subject
//! cargo run --release -p wsx-programs --bin abuse -- --echo target/release/echo --subject target/release/subject
//! ```
//!
//! `tests/run.sh` runs a short form, `tests/long.sh` the whole one, which is the default. The
//! program fails when memory grows beyond its bound, a close code is wrong, or a healthy client
//! misses a message. The delay of the well-behaved client is printed, and checked only in the whole
//! form, because machines differ and share their cores.

mod bombs;
mod churn;
mod codes;
mod floods;
mod json;
mod readers;
mod server;
mod wire;

use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str =
    "usage: abuse --echo PATH --subject PATH [--short] [--only floods|declared|json|codes|readers|churn|bombs]";

/// How much of each kind.
struct Size {
    /// Bytes of each flood.
    flood: usize,
    /// Whether the well-behaved client's p99 is checked.
    checked: bool,
    /// Tries of each close code.
    tries: usize,
    /// Peers that send JSON at the same time.
    senders: usize,
    /// Connections that open and close.
    connections: usize,
    readers: readers::Size,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let (echo, subject) = (value("--echo").ok_or(USAGE)?, value("--subject").ok_or(USAGE)?);
    let size = if arguments.iter().any(|argument| argument == "--short") {
        Size { flood: 20 << 20, checked: false, tries: 20, senders: 10, connections: 20_000, readers: readers::SHORT }
    } else {
        Size {
            flood: 200 << 20,
            checked: true,
            tries: 1000,
            senders: 50,
            connections: 1_000_000,
            readers: readers::WHOLE,
        }
    };
    let only = value("--only").map_or("", |name| name);
    server::raise_open_files()?;
    let (mut failures, mut campaigns) = (Vec::new(), 0);
    let mut run = |name: &str, campaign: &dyn Fn() -> Result<Vec<String>>| -> Result<()> {
        if only.is_empty() || only == name {
            campaigns += 1;
            failures.extend(campaign()?);
        }
        Ok(())
    };
    run("floods", &|| floods::floods(echo, subject, size.flood, size.checked))?;
    run("declared", &|| floods::declared(echo))?;
    run("json", &|| json::amplification(subject, size.senders))?;
    run("codes", &|| codes::codes(echo, subject, size.tries))?;
    run("readers", &|| readers::stopped(subject, &size.readers))?;
    run("churn", &|| churn::churn(subject, size.connections))?;
    run("bombs", &|| bombs::bombs(echo, size.flood, size.checked, size.tries))?;
    if campaigns == 0 {
        return Err(format!("there is no campaign with the name {only}").into());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}
