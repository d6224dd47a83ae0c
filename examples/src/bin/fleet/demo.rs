//! A server and three boxes in this process. The server restarts under them half-way.
use crate::edge::{self, Outcome};
use crate::page::{self, PageOption};
use crate::server::{self, Station};
use fleet_protocol::PATH;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wsx::{BoxError, CancellationToken};

const BOXES: [&str; 3] = ["north-1", "north-2", "south-1"];
/// Time until the server restarts, in a demo without a limit.
const HALF: Duration = Duration::from_secs(10);
/// Time for which the server is away.
const AWAY: Duration = Duration::from_millis(300);
/// Time in which the server must have its port again.
const REBIND: Duration = Duration::from_secs(5);

/// Runs until `stop`, which comes after `limit` if there is one.
pub(crate) async fn run(
    station: &Station,
    page: &PageOption,
    limit: Option<Duration>,
    stop: &CancellationToken,
) -> Result<(), BoxError> {
    let listener = wsx_examples::listen("127.0.0.1:0").await?;
    let url = format!("ws://{}{PATH}", listener.local_addr()?);
    station.screen.say(format!("server: listening on {url}"));
    let page = page::start(page, station).await?;
    let mut boxes = JoinSet::new();
    for id in BOXES {
        let compressing = station.compressing.uncounted();
        let setup = edge::Setup::new(id.to_owned(), url.clone(), station.screen.clone(), compressing);
        boxes.spawn(edge::run(setup, stop.clone()));
    }
    // The boxes close first, so that the server receives everything.
    let boxes_closed = CancellationToken::new();
    let mut server = Box::pin(serve_twice(listener, station, limit.map_or(HALF, |limit| limit / 2), &boxes_closed));
    let outcomes = tokio::select! {
        ended = &mut server => return ended.and(Err("the server ended before the boxes".into())),
        outcomes = boxes.join_all() => outcomes,
    };
    boxes_closed.cancel();
    server.await?;
    page::close(page).await?;
    for outcome in outcomes {
        let Outcome { id, accepted, .. } = outcome?;
        station.board.change(&id, |row| row.count.settle(accepted));
    }
    Ok(())
}

/// Serves for `half`, is away, and serves again with a new hub on the same port.
async fn serve_twice(
    listener: TcpListener,
    station: &Station,
    half: Duration,
    end: &CancellationToken,
) -> Result<(), BoxError> {
    let address = listener.local_addr()?.to_string();
    server::serve(listener, station, half / 3, timeout(half, end.cancelled())).await?;
    if end.is_cancelled() {
        return Ok(());
    }
    station.tell(None, format!("stopped; starts again in {AWAY:?}"));
    let again = timeout(REBIND, async {
        loop {
            sleep(AWAY).await;
            // Fails while another socket has the port, as the socket of a box that dials the port.
            if let Ok(listener) = wsx_examples::listen(&address).await {
                return listener;
            }
        }
    });
    let listener = again.await.map_err(|_| format!("cannot listen on {address} again"))?;
    station.tell(None, format!("listening on ws://{address}{PATH} again"));
    server::serve(listener, station, half / 3, end.cancelled()).await
}
