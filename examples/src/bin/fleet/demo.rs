//! One station and three boxes in this process, and a station that stops half-way and comes back.
use crate::{
    arguments::Identity,
    edge::{self, Outcome},
    failure::Failure,
    server::{self, Orders, Station},
};
use fleet_protocol::PATH;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};
use wsx::CancellationToken;

const BOXES: u32 = 3;
/// When the station stops, unless the demo ends by itself: half-way then.
const HALF: Duration = Duration::from_secs(10);
/// How long the station stays away.
const AWAY: Duration = Duration::from_millis(300);
/// How long the station may try to get its port back.
const REBIND: Duration = Duration::from_secs(5);
/// How long each end may take to close. Its own deadlines are shorter, so this one is for what nobody thought of.
const GRACE: Duration = Duration::from_secs(15);

/// Runs until `stop`. `limit` is when that will be, if anybody knows.
pub(crate) async fn run(station: &Station, limit: Option<Duration>, stop: &CancellationToken) -> Result<(), Failure> {
    let half = limit.map_or(HALF, |limit| limit / 2);
    let listener = server::bind("127.0.0.1:0").await?;
    let address = listener.local_addr().map_err(|source| Failure::Listen { address: "127.0.0.1:0".into(), source })?;
    station.screen.event(format!("station: listens on ws://{address}{PATH}, for {BOXES} boxes in this process"));

    // The boxes close first, while the station is there to hear them.
    let (stop_boxes, stop_station) = (CancellationToken::new(), CancellationToken::new());
    let mut boxes = JoinSet::new();
    for number in 1..=BOXES {
        let identity = Identity { url: format!("ws://{address}{PATH}"), id: format!("box-{number}") };
        boxes.spawn(edge::run(identity, station.screen.clone(), stop_boxes.clone()));
    }
    let mut server = tokio::spawn(two_lives(listener, address, station.clone(), half, stop_station.clone()));

    tokio::select! {
        () = stop.cancelled() => {}
        ended = &mut server => return ended.unwrap_or(Err(Failure::Ended("the station"))),
        ended = boxes.join_next() => return outcome(ended).map(|_| ()),
    }
    stop_boxes.cancel();
    let outcomes = timeout(GRACE, async {
        let mut outcomes = Vec::new();
        while !boxes.is_empty() {
            outcomes.push(outcome(boxes.join_next().await)?);
        }
        Ok::<Vec<Outcome>, Failure>(outcomes)
    });
    let outcomes = outcomes.await.map_err(|_| Failure::Late("a box"))??;
    stop_station.cancel();
    let ended = timeout(GRACE, server).await.map_err(|_| Failure::Late("the station"))?;
    ended.map_err(|_| Failure::Ended("the station"))??;
    for Outcome { id, run, accepted, .. } in outcomes {
        station.ledger.settle(&id, run, accepted);
    }
    Ok(())
}

fn outcome(ended: Option<Result<Result<Outcome, Failure>, tokio::task::JoinError>>) -> Result<Outcome, Failure> {
    match ended {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) | None => Err(Failure::Ended("a box")),
    }
}

/// Serves for half of the time, goes away, and serves again on the same port with a new hub.
async fn two_lives(
    listener: TcpListener,
    address: SocketAddr,
    station: Station,
    half: Duration,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let mut orders = Orders::new(half / 3);
    let half_way = async {
        // Either will do.
        let _ = timeout(half, stop.cancelled()).await;
    };
    server::serve(listener, &station, &mut orders, half_way).await?;
    if stop.is_cancelled() {
        return Ok(());
    }
    station.screen.event(format!("station: gone, with its port and its hub; back in {AWAY:?}"));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = sleep(AWAY) => {}
    }
    let listener = bind_again(address).await?;
    station.screen.event(format!("station: listens on ws://{address}{PATH} again"));
    server::serve(listener, &station, &mut orders, stop.cancelled()).await
}

/// The port was chosen by the system, which may lend it out meanwhile: to a box, for one, that dials this very port.
async fn bind_again(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = timeout(REBIND, async {
        loop {
            match TcpListener::bind(address).await {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => sleep(AWAY).await,
                bound => return bound,
            }
        }
    });
    let bound = bound.await.unwrap_or_else(|_| Err(std::io::ErrorKind::AddrInUse.into()));
    bound.map_err(|source| Failure::Listen { address: address.to_string(), source })
}
