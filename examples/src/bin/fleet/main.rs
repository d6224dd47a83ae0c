//! A fleet of edge boxes and the server that watches them: the main demo of wsx, in one process or
//! in several.
//!
//! `cargo run --release -p wsx-examples --bin fleet`, and `-- --help` for all that it can do
//!
//! The crate `fleet-protocol` has the messages, and `server` and `edge` are the two ends. `demo`
//! runs both in one process. `sample` reads the host for a box. `count` finds lost messages;
//! `board` and `screen` show the boxes.
mod arguments;
mod board;
mod count;
mod demo;
mod edge;
mod sample;
mod screen;
mod server;

use crate::arguments::{Arguments, Program};
use crate::{board::Board, count::Count, edge::Outcome, screen::Screen, server::Station};
use clap::Parser;
use fleet_protocol::PATH;
use std::io::{self, Write};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::timeout;
use wsx::{BoxError, CancellationToken};
use wsx_examples::MainError;

/// Time between two orders of a server without a limit.
const ORDERS: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<ExitCode, MainError> {
    let Arguments { limit, program } = Arguments::parse();
    let (board, stop) = (Arc::<Board>::default(), CancellationToken::new());
    let (screen, painter) = screen::start(board.clone(), stop.clone());
    let mut ended = Box::pin(run(program, limit, board, screen.clone(), &stop));
    let ended = tokio::select! {
        ended = &mut ended => ended,
        asked = timeout(limit.unwrap_or(Duration::MAX), wsx_examples::asked_to_stop()) => {
            stop.cancel();
            ended.await.and_then(|summary| asked.unwrap_or(Ok(())).map(|()| summary).map_err(Into::into))
        }
    };
    // First, so that the table and the summary do not overwrite each other.
    screen.end();
    let painted = painter.join().map_err(|_| "the screen's thread panicked")?;
    painted.map_err(|error| format!("cannot write to standard output: {error}"))?;
    let (summary, status) = ended?;
    writeln!(io::stdout(), "{summary}")?;
    Ok(status)
}

/// Runs the program until `stop`. Returns its last line and its exit status.
async fn run(
    program: Option<Program>,
    limit: Option<Duration>,
    board: Arc<Board>,
    screen: Screen,
    stop: &CancellationToken,
) -> Result<(String, ExitCode), BoxError> {
    let station = Station { board, screen };
    match program {
        None => demo::run(&station, limit, stop).await?,
        Some(Program::Server { listen }) => {
            let listener = wsx_examples::listen(&listen).await?;
            station.screen.say(format!("server: listening on ws://{}{PATH}", listener.local_addr()?));
            let interval = limit.map_or(ORDERS, |limit| limit / 3);
            server::serve(listener, &station, interval, stop.cancelled()).await?;
        }
        Some(Program::Box { url, id }) => {
            let Outcome { accepted, reconnected, .. } = edge::run(url, id, station.screen, stop.clone()).await?;
            return Ok((format!("accepted {accepted}, reconnected {reconnected}"), ExitCode::SUCCESS));
        }
    }
    let Count { received, lost, disordered, reconnected, asked, answered, .. } = station.board.total();
    let mut summary =
        format!("received {received}, lost {lost}, reconnected {reconnected}, asked {asked}, answered {answered}");
    if disordered > 0 {
        summary += &format!(", repeated or out of order {disordered}");
    }
    Ok((summary, ExitCode::from(if lost > 0 || disordered > 0 { 3 } else { 0 })))
}
