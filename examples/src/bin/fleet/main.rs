//! A fleet of edge boxes and the station that watches them: wsx's main demo, in one process or in several.
//!
//! `cargo run --release -p wsx-examples --bin fleet`, and `-- --help` for all that it can do
//!
//! # Layout
//!
//! What the two ends say to each other is in the crate `fleet-protocol`; `server` and `edge` are the ends. `sample` reads
//! the host for a box; `board`, `table` and `screen` show it at the station. `ledger` compares what boxes sent with what
//! the station received, and `summary` says so. `demo` runs both ends in one process.
mod arguments;
mod board;
mod demo;
mod edge;
mod failure;
mod ledger;
mod sample;
mod screen;
mod server;
mod summary;
mod table;

use crate::{
    arguments::{Arguments, Role},
    board::Board,
    failure::Failure,
    ledger::Ledger,
    server::{Orders, Station},
    summary::Summary,
};
use clap::Parser;
use fleet_protocol::PATH;
use std::{
    future::pending,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime, time::sleep};
use wsx::CancellationToken;
use wsx_examples::Report;

/// Between two orders of a station on its own.
const ORDERS: Duration = Duration::from_secs(5);
/// How long the runtime may take to end. All tasks that matter have ended before.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    match run(arguments) {
        Ok(status) => status,
        Err(failure) => complain(&Report(&failure).to_string()),
    }
}

/// Help goes to standard output as it is; a mistake is told in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(source) => complain(&Report(&Failure::Output(source)).to_string()),
        };
    }
    let text = error.to_string();
    let mistake = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let mistake: Vec<_> = mistake.split_whitespace().collect();
    complain(&format!("{}; see --help", mistake.join(" ")))
}

fn complain(problem: &str) -> ExitCode {
    // Nobody is left to be told if this fails too.
    let _ = writeln!(io::stderr(), "fleet: {problem}");
    ExitCode::FAILURE
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    let stop = CancellationToken::new();
    let board = Arc::<Board>::default();
    let painter = screen::start(board.clone(), stop.clone())?;
    let station = Station { board, ledger: Arc::<Ledger>::default(), screen: painter.screen() };
    let limit = arguments.limit();
    let ended = runtime.block_on(async {
        let watching = tokio::spawn(stop_when_asked(limit, stop.clone()));
        let ended = play(arguments.role, limit, station, &stop).await;
        watching.abort();
        // There is no answer where it was still waiting.
        if let Ok(asked) = watching.await {
            asked?;
        }
        ended
    });
    runtime.shutdown_timeout(GRACE);
    // First, so that the table and the summary do not write over each other; a failure of either kind ends here.
    let painted = painter.finish();
    let summary = ended?;
    painted?;
    let mut output = io::stdout().lock();
    write!(output, "{summary}").and_then(|()| output.flush()).map_err(Failure::Output)?;
    Ok(summary.status())
}

/// Triggers `stop` after the limit, at Ctrl-C, or when nobody can wait for Ctrl-C.
async fn stop_when_asked(limit: Option<Duration>, stop: CancellationToken) -> Result<(), Failure> {
    let _stop = stop.drop_guard();
    let over = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => pending().await,
        }
    };
    tokio::select! {
        asked = wsx_examples::asked_to_stop() => asked.map_err(Failure::Signals),
        () = over => Ok(()),
    }
}

async fn play(
    role: Option<Role>,
    limit: Option<Duration>,
    station: Station,
    stop: &CancellationToken,
) -> Result<Summary, Failure> {
    match role {
        None => {
            demo::run(&station, limit, stop).await?;
            Ok(Summary::of_station(&station.ledger))
        }
        Some(Role::Server { listen, .. }) => {
            let listener = server::bind(&listen).await?;
            let address = listener.local_addr().map_err(|source| Failure::Listen { address: listen, source })?;
            station.screen.event(format!("station: listens on ws://{address}{PATH}"));
            server::serve(listener, &station, &mut Orders::new(ORDERS), stop.cancelled()).await?;
            Ok(Summary::of_station(&station.ledger))
        }
        Some(Role::Box { identity, .. }) => {
            let outcome = edge::run(identity, station.screen, stop.clone()).await?;
            Ok(Summary::Box(outcome))
        }
    }
}
