//! The station: takes what the boxes send, and tells them what to do.
use crate::{
    board::{self, Board},
    failure::{Failure, one_line},
    ledger::Ledger,
    screen::{Problems, Screen},
};
use fleet_protocol::{Farewell, Notice, PATH, RateChanged, Server, SetRate, Telemetry, is_box_id};
use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use wsx::{
    Closed, Connection, Hub, Rejection,
    http::{StatusCode, request::Parts},
};

/// How long the boxes may take to close when the station stops.
const GRACE: Duration = Duration::from_secs(5);
/// What boxes are told, one after the other, in samples a second.
const RATES: [u32; 3] = [10, 2, 5];

/// The server's end of the conversation. What it knows outlives each of its hubs.
#[derive(Debug, Clone, wsx::Endpoint)]
#[wsx(side = Server)]
pub(crate) struct Station {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) screen: Screen,
}

#[wsx::handler("__open__", on = Station)]
fn on_open(station: &Station, conn: &Connection<Server>) {
    station.board.opened(conn.id());
    station.screen.event(format!("station: {} is here", conn.id()));
}

#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, conn: &Connection<Server>, closed: Closed) {
    station.board.closed(conn.id());
    station.screen.event(format!("station: {} has left, {closed}", conn.id()));
}

#[wsx::handler(on = Station)]
fn on_telemetry(station: &Station, message: Telemetry<'_>, conn: &Connection<Server>) {
    station.ledger.received(conn.id(), message.stamp);
    station.board.update(conn.id(), message);
}

#[wsx::handler(on = Station)]
fn on_rate_changed(station: &Station, message: RateChanged, conn: &Connection<Server>) {
    station.ledger.received(conn.id(), message.stamp);
    station.screen.event(format!("station: {} now takes {} samples a second", conn.id(), message.per_second));
}

#[wsx::handler(on = Station)]
fn on_farewell(station: &Station, message: Farewell, conn: &Connection<Server>) {
    station.ledger.received(conn.id(), message.stamp);
    // The farewell was accepted too, or it would not be here.
    station.ledger.accepted(conn.id(), message.stamp.run, message.accepted.saturating_add(1));
}

/// Takes the port.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|source| Failure::Listen { address: address.to_owned(), source })
}

/// Listens until then, with a hub of its own. Then nothing listens any more, and every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    station: &Station,
    orders: &mut Orders,
    until: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let problems = Problems { who: "station".to_owned(), screen: station.screen.clone() };
    let hub = Hub::builder().endpoint(station.clone()).observer(problems).build()?;
    let board = station.board.clone();
    let door = hub.ws_handler(move |request| ready(identify(&request, &board)), |_| {}).path(PATH);
    let listening = tokio::spawn(door.serve(listener));
    tokio::select! {
        () = until => {}
        never = orders.give(&hub) => match never {},
    }
    let cut_off = hub.shutdown(GRACE).await;
    if cut_off > 0 {
        station.screen.problem(format!("station: {cut_off} connections did not close within {GRACE:?}"));
    }
    // The listener's end frees the port.
    match timeout(GRACE, listening).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Failure::Ended("the listener")),
        Err(_) => Err(Failure::Late("the listener")),
    }
}

/// A connection's id is its box's name, from the query of the request.
fn identify(request: &Parts, board: &Board) -> Result<String, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).filter(|id| is_box_id(id));
    let Some(id) = id else {
        let why = "who is it? Connect to /ws?id=NAME, with letters, digits, '.', '_' and '-', at most 32";
        return Err(Rejection::new(StatusCode::BAD_REQUEST, why));
    };
    if !board.admit(id) {
        let why = format!("this station watches {} boxes, and takes no more", board::MOST);
        return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    Ok(id.to_owned())
}

/// What the station tells its boxes, in turn: one of them another rate, then all of them something to read.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Between two of them.
    every: Duration,
    /// How many there were.
    given: usize,
}

impl Orders {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, given: 0 }
    }

    /// Gives orders for ever.
    async fn give(&mut self, hub: &Hub<Station>) -> Infallible {
        let screen = &hub.endpoint().screen;
        loop {
            sleep(self.every).await;
            if self.given.is_multiple_of(2) {
                set_rate(hub, screen, self.given / 2).await;
            } else {
                notify(hub, screen, self.given / 2 + 1).await;
            }
            self.given += 1;
        }
    }
}

async fn set_rate(hub: &Hub<Station>, screen: &Screen, turn: usize) {
    let mut ids = hub.ids();
    ids.sort();
    let Some(id) = ids.get(turn % ids.len().max(1)) else { return };
    let per_second = RATES[turn % RATES.len()];
    match hub.send_to(id, &SetRate { per_second }).await {
        Ok(()) => screen.event(format!("station: tells {id} to take {per_second} samples a second")),
        // It may have left since it was chosen.
        Err(error) => screen.problem(format!("station: cannot tell {id} its rate: {}", one_line(&error))),
    }
}

async fn notify(hub: &Hub<Station>, screen: &Screen, number: usize) {
    let text = format!("notice {number} to all");
    match hub.broadcast(&Notice { text: text.into() }).await {
        Ok(0) => {}
        Ok(accepted) => screen.event(format!("station: notice {number} goes to {accepted} boxes")),
        Err(error) => screen.problem(format!("station: notice {number} was not sent: {}", one_line(&error))),
    }
}
