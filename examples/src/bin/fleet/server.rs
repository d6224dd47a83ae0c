//! The server: receives what the boxes send, and gives them orders.
use crate::board::{Board, MAX_BOXES};
use crate::clock;
use crate::compression::Compressing;
use crate::current::Current;
use crate::notices::Notices;
use crate::screen::{Problems, Screen};
use fleet_protocol::{
    CheckHealth, Health, Incident, Notice, PATH, RELEASED, RateSet, Server, SetRate, Telemetry, box_id, dashboard,
};
use std::{future::ready, num::NonZero, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use wsx::Report;
use wsx::{
    BoxError, Connection, Hub, Identity, Rejection, RequestError,
    http::{StatusCode, request::Parts},
    server::{PeerStatus, PresenceChange, PresenceChanges},
};

/// Grace period for the connections when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// Time in which a box must report its health.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum length of a box's own text on the screen, in characters.
const MAX_TEXT: usize = 120;
/// Time between two pings of a box, which measure the link.
const PING: Duration = Duration::from_secs(2);
/// Sampling rates that the server sets one after another, in samples per second.
const RATES: [NonZero<u8>; 3] = [NonZero::new(10).unwrap(), NonZero::new(2).unwrap(), NonZero::new(5).unwrap()];

/// The server's endpoint. It outlives the hub, so its counts survive a restart of the server.
#[derive(Debug, Clone, wsx::Endpoint)]
#[wsx(side = Server)]
pub(crate) struct Station {
    pub(crate) board: Arc<Board>,
    pub(crate) screen: Screen,
    pub(crate) notices: Arc<Notices>,
    pub(crate) current: Current,
    pub(crate) compressing: Compressing,
}

impl Station {
    pub(crate) fn new(board: Arc<Board>, screen: Screen, compressing: Compressing) -> Self {
        Self { board, screen, notices: Arc::default(), current: Current::default(), compressing }
    }

    /// Shows a notice on the screen and on the page. `id` is the box that it is about.
    pub(crate) fn tell(&self, id: Option<&str>, text: String) {
        self.screen.say(format!("server: {text}"));
        self.notices.add(dashboard::Notice { at: clock::now(), id: id.map(str::to_owned), text });
    }

    /// Counts a request, unless the box has left. Then it is shown as away.
    pub(crate) fn count<T>(&self, id: &str, result: &Result<T, RequestError>) {
        use RequestError::{Ended, NoSuchConnection, NotSent};
        if !matches!(result, Err(NoSuchConnection(_) | NotSent(_) | Ended(_))) {
            self.board.change(id, |row| row.count.ask(result.is_ok()));
        }
    }
}

#[wsx::handler(on = Station)]
fn on_telemetry(station: &Station, message: Telemetry<'_>, conn: &Connection<Server>) {
    station.board.change(conn.id(), |row| {
        row.count.receive(message.stamp);
        row.show(&message, conn.peer_version().map(|peer| peer.version));
    });
}

#[wsx::handler(on = Station)]
fn on_incident(station: &Station, Incident { text }: Incident<'_>, conn: &Connection<Server>) {
    // Escaped, because a control character of the peer could change the terminal.
    let text: String = text.escape_debug().take(MAX_TEXT).collect();
    station.tell(Some(conn.id()), format!("{} reports: it {text}", conn.id()));
}

/// Serves with a new hub until `end`. At each `interval` it asks for the health of all boxes, and
/// gives an order. Then all is closed.
pub(crate) async fn serve(
    listener: TcpListener,
    station: &Station,
    interval: Duration,
    end: impl Future,
) -> Result<(), BoxError> {
    let observer = Problems { who: "server".to_owned(), screen: station.screen.clone() };
    // A box whose link has died silently is shown as away within 35 s.
    let hub = Hub::builder()
        .endpoint(station.clone())
        .config(station.compressing.config())
        .contract(RELEASED)
        .observer((observer, station.compressing.clone()))
        .build()?;
    station.current.set(Some(hub.clone()));
    let watching = tokio::spawn(watch(hub.presence().changes(), hub.clone()));
    let start = Instant::now();
    let measuring = tokio::spawn(measure(hub.clone(), start));
    let (board, rows) = (station.board.clone(), station.board.clone());
    let register = move |conn: &Connection<Server>| show_latency(conn, rows.clone(), start);
    let upgrade = hub.ws_handler(move |request| ready(identify(&request, &board)), register).path(PATH);
    let serving = tokio::spawn(upgrade.serve(listener));
    let mut end = pin!(end);
    let mut turn = 0;
    // Between two turns, so that each request has its reply.
    while timeout(interval, &mut end).await.is_err() {
        check_health(&hub).await;
        if let Err(error) = give_order(&hub, turn).await {
            station.screen.say(format!("server: cannot give an order: {}", Report(&*error)));
        }
        turn += 1;
    }
    station.current.set(None);
    measuring.abort();
    hub.shutdown(GRACE).await;
    watching.await?;
    Ok(serving.await?)
}

/// Shows each box that comes or goes, until the hub has closed.
pub(crate) async fn watch(mut changes: PresenceChanges, hub: Hub<Station>) {
    let station = hub.endpoint();
    while let Some(change) = changes.recv().await {
        let boxes = match change {
            PresenceChange::Snapshot { peers, .. } => peers,
            PresenceChange::Online(peer) | PresenceChange::Offline(peer) => vec![peer],
            _ => vec![],
        };
        for PeerStatus { id, online, since, address, closed, .. } in boxes {
            let reason = closed.filter(|_| !online).map(|closed| closed.to_string());
            station.board.change(&id, |row| {
                row.online = online;
                row.since = Some(since);
                row.reason.clone_from(&reason);
                row.latency = None;
                if online {
                    row.labels = hub.labels_of(&id);
                }
            });
            let text = match (online, address, reason) {
                (true, Some(address), _) => format!("{id} is online, from {address}"),
                (false, _, Some(reason)) => format!("{id} is away, {reason}"),
                _ => continue,
            };
            station.tell(Some(&*id), text);
        }
    }
}

/// Pings each box again and again. The payload is the time of the ping, which the pong repeats.
pub(crate) async fn measure(hub: Hub<Station>, start: Instant) {
    loop {
        for conn in hub.connections() {
            // A full queue says enough about the link: its last latency stays.
            let _ = timeout(Duration::ZERO, conn.ping(&start.elapsed().as_nanos().to_be_bytes())).await;
        }
        sleep(PING).await;
    }
}

/// Shows the time between each ping of [`measure`] and its pong.
pub(crate) fn show_latency(conn: &Connection<Server>, board: Arc<Board>, start: Instant) {
    let id = conn.id().to_owned();
    conn.on_pong(move |payload| {
        // The pongs of a heartbeat are empty.
        let Ok(sent) = payload.try_into().map(u128::from_be_bytes) else { return };
        // Saturates, because a peer can send any pong.
        let latency = start.elapsed().as_nanos().saturating_sub(sent);
        let latency = Duration::from_nanos(u64::try_from(latency).unwrap_or(u64::MAX));
        board.change(&id, |row| row.latency = Some(latency));
    });
}

/// Returns the name of the box, from the query of its request. The name is the connection's id, and
/// its site is the connection's label.
pub(crate) fn identify(request: &Parts, board: &Board) -> Result<Identity, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).unwrap_or_default();
    let invalid = |why| Rejection::new(StatusCode::BAD_REQUEST, format!("connect to /ws?id=NAME; {why}"));
    let id = box_id(id).map_err(invalid)?;
    let full =
        || Rejection::new(StatusCode::SERVICE_UNAVAILABLE, format!("this server watches at most {MAX_BOXES} boxes"));
    if board.admit(&id) { Ok(Identity::new(&*id).label(site(&id))) } else { Err(full()) }
}

/// Returns the site of a box: `north` for `north-1`.
pub(crate) fn site(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(site, _)| site)
}

/// Asks all boxes for their health at once, and shows which of them did not reply.
async fn check_health(hub: &Hub<Station>) {
    let station = hub.endpoint();
    let mut boxes = JoinSet::new();
    for id in hub.ids() {
        let asking = hub.request(&id, &CheckHealth {}).timeout(HEALTH_TIMEOUT);
        boxes.spawn(async { (id, asking.await) });
    }
    for (id, health) in boxes.join_all().await {
        station.count(&id, &health);
        station.screen.say(match health {
            Ok(Health { uptime_s, load, .. }) => {
                format!("server: {id} has been up for {uptime_s} s, with load {load:.1}")
            }
            Err(error) => format!("server: {id} did not report its health: {}", Report(&error)),
        });
    }
}

/// Sets the rate of one box, or sends a notice to all boxes of its site.
async fn give_order(hub: &Hub<Station>, turn: usize) -> Result<(), BoxError> {
    let station = hub.endpoint();
    let Some(id) = hub.ids().into_iter().cycle().nth(turn / 2) else { return Ok(()) };
    if turn % 2 == 1 {
        let text = format!("notice {turn}").into();
        let boxes = hub.broadcast_to(site(&id), &Notice { text }).await?;
        station.tell(None, format!("sent a notice to the site {}, boxes there: {boxes}", site(&id)));
    } else {
        let per_second = RATES[turn / 2 % RATES.len()];
        let set = hub.request(&id, &SetRate { per_second }).await;
        station.count(&id, &set);
        let RateSet { before } = set?;
        let text = format!("changed the rate of {id} from {before} to {per_second} samples per second");
        station.tell(Some(&id), text);
    }
    Ok(())
}
