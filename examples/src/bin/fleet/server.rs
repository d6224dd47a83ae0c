//! The server: receives what the boxes send, and gives them orders.
use crate::{
    board::{Board, MAX_BOXES},
    screen::{Problems, Screen},
};
use fleet_protocol::{Farewell, Notice, PATH, Server, SetRate, Telemetry, is_box_id};
use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::sleep};
use wsx::{
    BoxError, Closed, Connection, Hub, Rejection,
    http::{StatusCode, request::Parts},
};
use wsx_examples::Report;

/// Grace period for the connections when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// Sampling rates that the server sets one after another, in samples per second.
const RATES: [u32; 3] = [10, 2, 5];

/// The server's endpoint. It outlives the hub, so its counts survive a restart of the server.
#[derive(Debug, Clone, wsx::Endpoint)]
#[wsx(side = Server)]
pub(crate) struct Station {
    pub(crate) board: Arc<Board>,
    pub(crate) screen: Screen,
}

#[wsx::handler("__open__", on = Station)]
fn on_open(station: &Station, conn: &Connection<Server>) {
    station.board.change(conn.id(), |row| row.open += 1);
    station.screen.say(format!("server: {} has connected", conn.id()));
}

#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, conn: &Connection<Server>, closed: Closed) {
    station.board.change(conn.id(), |row| row.open = row.open.saturating_sub(1));
    station.screen.say(format!("server: {} has disconnected, {closed}", conn.id()));
}

#[wsx::handler(on = Station)]
fn on_telemetry(station: &Station, message: Telemetry<'_>, conn: &Connection<Server>) {
    station.board.change(conn.id(), |row| {
        row.count.receive(message.stamp);
        row.show(&message);
    });
}

#[wsx::handler(on = Station)]
fn on_farewell(station: &Station, message: Farewell, conn: &Connection<Server>) {
    station.board.change(conn.id(), |row| row.count.receive(message.stamp));
}

/// Serves with a new hub until `end`, and gives an order at each `interval`. Afterwards every connection is closed, and the
/// port is free.
pub(crate) async fn serve(
    listener: TcpListener,
    station: &Station,
    interval: Duration,
    end: impl Future,
) -> Result<(), BoxError> {
    let observer = Problems { who: "server".to_owned(), screen: station.screen.clone() };
    let hub = Hub::builder().endpoint(station.clone()).observer(observer).build()?;
    let board = station.board.clone();
    let upgrade = hub.ws_handler(move |request| ready(identify(&request, &board)), |_| {}).path(PATH);
    let serving = tokio::spawn(upgrade.serve(listener));
    tokio::select! {
        _ = end => {}
        never = give_orders(&hub, interval) => match never {},
    }
    let open = hub.shutdown(GRACE).await;
    if open > 0 {
        station.screen.say(format!("server: {open} connections were still open after {GRACE:?}"));
    }
    Ok(serving.await?)
}

/// Returns the name of the box, from the query of its request. The name is the connection's id.
fn identify(request: &Parts, board: &Board) -> Result<String, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).filter(|id| is_box_id(id));
    let Some(id) = id else {
        let why = "connect to /ws?id=NAME; a name has at most 32 letters, digits, '.', '_' and '-'";
        return Err(Rejection::new(StatusCode::BAD_REQUEST, why));
    };
    if !board.admit(id) {
        let why = format!("this server watches at most {MAX_BOXES} boxes");
        return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    Ok(id.to_owned())
}

/// Gives orders without end: sets the rate of one box, and then sends a notice to all boxes.
async fn give_orders(hub: &Hub<Station>, interval: Duration) -> Infallible {
    let screen = &hub.endpoint().screen;
    for turn in 0.. {
        sleep(interval).await;
        let mut ids = hub.ids();
        ids.sort();
        if let Some(id) = ids.get(turn % ids.len().max(1)) {
            let per_second = RATES[turn % RATES.len()];
            screen.say(format!("server: sets the rate of {id} to {per_second} samples per second"));
            if let Err(error) = hub.send_to(id, &SetRate { per_second }).await {
                screen.say(format!("server: cannot set the rate of {id}: {}", Report(&error)));
            }
        }
        sleep(interval).await;
        let text = format!("notice {}", turn + 1);
        match hub.broadcast(&Notice { text: text.as_str().into() }).await {
            Ok(boxes) => screen.say(format!("server: sent {text} to {boxes} boxes")),
            Err(error) => screen.say(format!("server: cannot send {text}: {}", Report(&error))),
        }
    }
    unreachable!("the range has no end")
}
