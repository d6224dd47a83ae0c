//! A server and three boxes in this process. The server restarts under them half-way.
use crate::{
    edge::{self, Outcome},
    server::{self, Station},
};
use fleet_protocol::PATH;
use std::time::Duration;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use wsx::{BoxError, CancellationToken};

const BOXES: u32 = 3;
/// Time until the server restarts, in a demo without a limit.
const HALF: Duration = Duration::from_secs(10);
/// Time for which the server is away.
const AWAY: Duration = Duration::from_millis(300);
/// Time in which the server must have its port again.
const REBIND: Duration = Duration::from_secs(5);

/// Runs until `stop`, which comes after `limit` if there is one.
pub(crate) async fn run(station: &Station, limit: Option<Duration>, stop: &CancellationToken) -> Result<(), BoxError> {
    let listener = wsx_examples::listen("127.0.0.1:0").await?;
    let url = format!("ws://{}{PATH}", listener.local_addr()?);
    let mut boxes = JoinSet::new();
    for number in 1..=BOXES {
        boxes.spawn(edge::run(url.clone(), format!("box-{number}"), station.screen.clone(), stop.clone()));
    }
    // The boxes close first, so that the server receives their farewells.
    let boxes_closed = CancellationToken::new();
    let mut server = Box::pin(serve_twice(listener, station, limit.map_or(HALF, |limit| limit / 2), &boxes_closed));
    let outcomes: Vec<Outcome> = tokio::select! {
        ended = &mut server => return ended.and(Err("the server ended before the boxes".into())),
        outcomes = all(boxes) => outcomes?,
    };
    boxes_closed.cancel();
    server.await?;
    for Outcome { id, accepted, .. } in outcomes {
        station.board.change(&id, |row| row.count.settle(accepted));
    }
    Ok(())
}

async fn all(mut boxes: JoinSet<Result<Outcome, BoxError>>) -> Result<Vec<Outcome>, BoxError> {
    let mut outcomes = Vec::new();
    while let Some(ended) = boxes.join_next().await {
        outcomes.push(ended??);
    }
    Ok(outcomes)
}

/// Serves for `half`, is away, and serves again with a new hub on the same port.
async fn serve_twice(
    listener: TcpListener,
    station: &Station,
    half: Duration,
    end: &CancellationToken,
) -> Result<(), BoxError> {
    let address = listener.local_addr()?.to_string();
    let serves = |word| station.screen.say(format!("server: listening on ws://{address}{PATH}{word}"));
    serves("");
    server::serve(listener, station, half / 3, timeout(half, end.cancelled())).await?;
    if end.is_cancelled() {
        return Ok(());
    }
    station.screen.say(format!("server: stopped; starts again in {AWAY:?}"));
    let deadline = Instant::now() + REBIND;
    let listener = loop {
        sleep(AWAY).await;
        match wsx_examples::listen(&address).await {
            // Another socket can have the port for a moment, as the socket of a box that dials this port.
            Err(_) if Instant::now() < deadline => {}
            bound => break bound?,
        }
    };
    serves(" again");
    server::serve(listener, station, half / 3, end.cancelled()).await
}
