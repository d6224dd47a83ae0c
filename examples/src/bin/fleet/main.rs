//! A fleet of edge boxes and the server that watches them: the main demo of wsx, in one process or
//! in several.
//!
//! `cargo run --release -p wsx-examples --bin fleet`, and `-- --help` for all that it can do
//!
//! The crate `fleet-protocol` has the messages, and `server` and `edge` are the two ends. `demo`
//! runs both in one process. `sample` reads the host for a box. `count` finds lost messages, and
//! `compression` counts the bytes that it saves. `board` and `screen` show the boxes, and `page`
//! shows them to browsers. `plug` kills programs and cuts links, and looks for what was lost.
//! `cluster` has several servers that behave as one.
mod arguments;
mod board;
mod clock;
#[cfg(feature = "nats")]
mod cluster;
mod compression;
mod count;
mod current;
mod demo;
mod edge;
mod notices;
mod page;
mod plug;
mod sample;
mod screen;
mod server;

use crate::arguments::{Arguments, Command, Program};
use crate::{board::Board, compression::Compressing, count::Count, edge::Outcome, edge::Setup};
use crate::{page::PageOption, server::Station};
use crate::{screen::Screen, screen::Shown};
use clap::Parser;
use fleet_protocol::PATH;
use std::io::{self, Write};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::timeout;
use wsx::{BoxError, CancellationToken};
use wsx_examples::MainError;

/// Time between two orders of a server without a limit.
const ORDERS: Duration = Duration::from_secs(5);

#[cfg(not(feature = "nats"))]
const WITHOUT_NATS: &str = "this program was built without the feature `nats`, which `fleet cluster` needs: \
                            cargo run --release -p wsx-examples --features nats --bin fleet -- cluster";

#[tokio::main]
async fn main() -> Result<ExitCode, MainError> {
    let Arguments { limit, compress, page, plug, command } = Arguments::parse();
    let asked_to_stop = async {
        let asked = timeout(limit.unwrap_or(Duration::MAX), wsx_examples::asked_to_stop()).await;
        asked.unwrap_or(Ok(()))
    };
    let compressing = Compressing::new(compress);
    let (summary, status) = match command {
        Some(Command::End(end)) => return Ok(plug::ends::run(end).await.map(|()| ExitCode::SUCCESS)?),
        #[cfg(feature = "nats")]
        Some(Command::Part(part)) => {
            return Ok(cluster::run_part(part, compressing).await.map(|()| ExitCode::SUCCESS)?);
        }
        #[cfg(feature = "nats")]
        Some(Command::Cluster(option)) => cluster::run(&option, compressing, asked_to_stop).await?,
        #[cfg(not(feature = "nats"))]
        Some(Command::Cluster(_)) => return Err(WITHOUT_NATS.into()),
        None if plug.pull_the_plug => plug::run(plug, asked_to_stop).await?,
        None => show(What::Demo(page), limit, compressing, asked_to_stop).await?,
        Some(Command::Program(program)) => show(What::Alone(program), limit, compressing, asked_to_stop).await?,
    };
    writeln!(io::stdout(), "{summary}")?;
    Ok(status)
}

/// What runs in this process.
enum What {
    Demo(PageOption),
    Alone(Program),
}

/// Runs the program until it is asked to stop, and shows it on the screen. Returns its last line
/// and its exit status.
async fn show(
    what: What,
    limit: Option<Duration>,
    compressing: Compressing,
    asked_to_stop: impl Future<Output = io::Result<()>>,
) -> Result<(String, ExitCode), BoxError> {
    let (board, counts) = (Arc::<Board>::default(), compressing.clone());
    let run = |screen, stop| {
        let station = Station::new(board.clone(), screen, counts.clone());
        async move { run(what, limit, station, &stop).await }
    };
    let (summary, status) = on_screen(board.clone(), compressing.clone(), asked_to_stop, run).await?;
    let ratio = compressing.ratio().map(|ratio| format!(", {ratio}"));
    Ok((summary + ratio.as_deref().unwrap_or_default(), status))
}

/// Runs something that ends after its token was cancelled, which is when it is asked to stop. The
/// screen shows `shown` meanwhile.
async fn on_screen<T, F: Future<Output = Result<T, BoxError>>>(
    shown: Arc<dyn Shown>,
    compressing: Compressing,
    asked_to_stop: impl Future<Output = io::Result<()>>,
    run: impl FnOnce(Screen, CancellationToken) -> F,
) -> Result<T, BoxError> {
    let stop = CancellationToken::new();
    let (screen, painter) = screen::start(shown, compressing, stop.clone());
    let mut ended = Box::pin(run(screen.clone(), stop.clone()));
    let ended = tokio::select! {
        ended = &mut ended => ended,
        asked = asked_to_stop => {
            stop.cancel();
            ended.await.and_then(|result| asked.map(|()| result).map_err(Into::into))
        }
    };
    // First, so that the table and the summary do not overwrite each other.
    screen.end();
    let painted = painter.join().map_err(|_| "the screen's thread panicked")?;
    painted.map_err(|error| format!("cannot write to standard output: {error}"))?;
    ended
}

async fn run(
    what: What,
    limit: Option<Duration>,
    station: Station,
    stop: &CancellationToken,
) -> Result<(String, ExitCode), BoxError> {
    match what {
        What::Demo(page) => demo::run(&station, &page, limit, stop).await?,
        What::Alone(Program::Server { listen, page }) => {
            let listener = wsx_examples::listen(&listen).await?;
            station.screen.say(format!("server: listening on ws://{}{PATH}", listener.local_addr()?));
            let page = page::start(&page, &station).await?;
            let interval = limit.map_or(ORDERS, |limit| limit / 3);
            server::serve(listener, &station, interval, stop.cancelled()).await?;
            page::close(page).await?;
        }
        What::Alone(Program::Box { url, id }) => {
            let Outcome { accepted, reconnected, .. } =
                edge::run(Setup::new(id, url, station.screen, station.compressing), stop.clone()).await?;
            return Ok((format!("accepted {accepted}, reconnected {reconnected}"), ExitCode::SUCCESS));
        }
    }
    let Count { received, lost, disordered, reconnected, asked, answered, .. } = station.board.total();
    let mut summary =
        format!("received {received}, lost {lost}, reconnected {reconnected}, asked {asked}, answered {answered}");
    if disordered > 0 {
        summary += &format!(", repeated or out of order {disordered}");
    }
    Ok((summary, status(lost == 0 && disordered == 0)))
}

/// Returns the exit status.
fn status(is_right: bool) -> ExitCode {
    ExitCode::from(if is_right { 0 } else { 3 })
}
