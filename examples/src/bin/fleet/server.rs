//! The server: receives what the boxes send, and gives them orders.
use crate::board::{Board, MAX_BOXES};
use crate::screen::{Problems, Screen};
use fleet_protocol::{Notice, PATH, Server, SetRate, Telemetry, box_id};
use std::{convert::Infallible, future::ready, num::NonZero, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::sleep};
use wsx::Report;
use wsx::{
    BoxError, Config, Connection, Hub, Identity, Rejection, SendError,
    http::{StatusCode, request::Parts},
    server::{PeerStatus, PresenceChange, PresenceChanges},
};

/// Grace period for the connections when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// Sampling rates that the server sets one after another, in samples per second.
const RATES: [NonZero<u8>; 3] = [NonZero::new(10).unwrap(), NonZero::new(2).unwrap(), NonZero::new(5).unwrap()];

/// The server's endpoint. It outlives the hub, so its counts survive a restart of the server.
#[derive(Debug, Clone, wsx::Endpoint)]
#[wsx(side = Server)]
pub(crate) struct Station {
    pub(crate) board: Arc<Board>,
    pub(crate) screen: Screen,
}

#[wsx::handler(on = Station)]
fn on_telemetry(station: &Station, message: Telemetry<'_>, conn: &Connection<Server>) {
    station.board.change(conn.id(), |row| {
        row.count.receive(message.stamp);
        row.show(&message);
    });
}

/// Serves with a new hub until `end`, and gives an order at each `interval`. Then all is closed.
pub(crate) async fn serve(
    listener: TcpListener,
    station: &Station,
    interval: Duration,
    end: impl Future,
) -> Result<(), BoxError> {
    let observer = Problems { who: "server".to_owned(), screen: station.screen.clone() };
    // A box whose link has died silently is shown as away within 35 s.
    let hub = Hub::builder().endpoint(station.clone()).config(Config::edge()).observer(observer).build()?;
    let watching = tokio::spawn(watch(hub.presence().changes(), station.clone()));
    let board = station.board.clone();
    let upgrade = hub.ws_handler(move |request| ready(identify(&request, &board)), |_| {}).path(PATH);
    let serving = tokio::spawn(upgrade.serve(listener));
    tokio::select! {
        _ = end => {}
        never = give_orders(&hub, interval) => match never {},
    }
    hub.shutdown(GRACE).await;
    watching.await?;
    Ok(serving.await?)
}

/// Shows each box that comes or goes, until the hub has closed.
async fn watch(mut changes: PresenceChanges, station: Station) {
    while let Some(change) = changes.recv().await {
        let boxes = match change {
            PresenceChange::Snapshot { peers, .. } => peers,
            PresenceChange::Online(peer) | PresenceChange::Offline(peer) => vec![peer],
            _ => vec![],
        };
        for PeerStatus { id, online, address, closed, .. } in boxes {
            station.board.change(&id, |row| row.online = online);
            station.screen.say(match (online, address, closed) {
                (true, Some(address), _) => format!("server: {id} is online, from {address}"),
                (false, _, Some(closed)) => format!("server: {id} is away, {closed}"),
                _ => continue,
            });
        }
    }
}

/// Returns the name of the box, from the query of its request. The name is the connection's id, and
/// its site is the connection's label.
fn identify(request: &Parts, board: &Board) -> Result<Identity, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).unwrap_or_default();
    let invalid = |why| Rejection::new(StatusCode::BAD_REQUEST, format!("connect to /ws?id=NAME; {why}"));
    let id = box_id(id).map_err(invalid)?;
    let full =
        || Rejection::new(StatusCode::SERVICE_UNAVAILABLE, format!("this server watches at most {MAX_BOXES} boxes"));
    if board.has_room_for(&id) { Ok(Identity::new(&*id).label(site(&id))) } else { Err(full()) }
}

/// Returns the site of a box: `north` for `north-1`.
fn site(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(site, _)| site)
}

/// Gives orders without end.
async fn give_orders(hub: &Hub<Station>, interval: Duration) -> Infallible {
    let mut turn = 0;
    loop {
        sleep(interval).await;
        if let Err(error) = give_order(hub, turn).await {
            hub.endpoint().screen.say(format!("server: cannot give an order: {}", Report(&error)));
        }
        turn += 1;
    }
}

/// Sets the rate of one box, or sends a notice to all boxes of its site.
async fn give_order(hub: &Hub<Station>, turn: usize) -> Result<(), SendError> {
    let screen = &hub.endpoint().screen;
    let Some(id) = hub.ids().into_iter().cycle().nth(turn / 2) else { return Ok(()) };
    if turn % 2 == 1 {
        let text = format!("notice {turn}").into();
        let boxes = hub.broadcast_to(site(&id), &Notice { text }).await?;
        screen.say(format!("server: sent a notice to {boxes} boxes of the site {}", site(&id)));
    } else {
        let per_second = RATES[turn / 2 % RATES.len()];
        hub.send_to(&id, &SetRate { per_second }).await?;
        screen.say(format!("server: set the rate of {id} to {per_second} samples per second"));
    }
    Ok(())
}
