//! A node of the cluster: a server as every other, whose hub has joined those of the other nodes.
//!
//! It asks the boxes of all nodes, and tells its parent what it sees. It does not know when it is
//! killed.
use crate::board::Board;
use crate::clock;
use crate::cluster::words::{Asked, View, Word, parent, say};
use crate::compression::Compressing;
use crate::page;
use crate::screen::Screen;
use crate::server::{self, HEALTH_TIMEOUT, Station};
use fleet_protocol::{Beat, CheckHealth, Health, PATH, RELEASED, Server};
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use wsx::cluster::{ClusterEvent, Nats};
use wsx::{BoxError, Connection, HandlerError, Hub, Observer, Report};

/// Grace period for the connections when the node ends.
const GRACE: Duration = Duration::from_secs(2);
/// Time in which NATS must be reached at the start.
const NATS: Duration = Duration::from_secs(10);
/// Time in which a node that starts again must have its port.
const REBIND: Duration = Duration::from_secs(5);
/// Time between two looks at something that must come.
const LOOK: Duration = Duration::from_millis(20);
/// Time between two views for the parent.
const VIEW: Duration = Duration::from_millis(100);
/// Time between two broadcasts, and between two requests to each box.
const TURN: Duration = Duration::from_secs(1);

/// The arguments of a node.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeOption {
    name: String,
    nats: String,
    /// Where boxes connect, and where the page is. With port 0 the system chooses one.
    listen: SocketAddr,
    page: SocketAddr,
}

/// Runs a node until the parent ends it.
pub(crate) async fn run(option: NodeOption, compressing: Compressing) -> Result<(), BoxError> {
    let NodeOption { name, nats, listen, page } = option;
    let (sender, lines) = mpsc::channel();
    let ended = parent(sender);
    let station = Station::new(Arc::<Board>::default(), Screen::silent(), compressing.clone());
    let hub = Hub::builder()
        .endpoint(station.clone())
        .config(compressing.config())
        .contract(RELEASED)
        .observer((Events { station: station.clone() }, compressing))
        .cluster(Nats::connect(&nats)?.name(name.as_str())?)
        .build()?;
    station.current.set(Some(hub.clone()));
    let joined = timeout(NATS, async {
        while !hub.cluster().is_some_and(|status| status.connected) {
            sleep(LOOK).await;
        }
    });
    joined.await.map_err(|_| format!("{name} did not reach NATS at {nats} within {NATS:?}"))?;

    let page_listener = bind(page).await?;
    let page_address = page_listener.local_addr()?;
    let page = page::serve(page_listener, page_address, &station)?;
    let listener = bind(listen).await?;
    let address = listener.local_addr()?;
    let (start, rows, board) = (Instant::now(), station.board.clone(), station.board.clone());
    let register = move |conn: &Connection<Server>| server::show_latency(conn, rows.clone(), start);
    let upgrade = hub.ws_handler(move |request| ready(server::identify(&request, &board)), register).path(PATH);
    let serving = tokio::spawn(upgrade.serve(listener));
    say(&Word::Page(page_address))?;
    say(&Word::Listening(address))?;

    let mut tasks = JoinSet::new();
    tasks.spawn(server::watch(hub.presence().changes(), hub.clone()));
    tasks.spawn(server::measure(hub.clone(), start));
    tasks.spawn(view(hub.clone()));
    tasks.spawn(beat(hub.clone(), name));
    // The addresses of all nodes, as soon as the parent knows them. It can wait for long.
    let nodes = spawn_blocking(move || lines.recv().ok());
    tasks.spawn(async move {
        if let Ok(Some(line)) = nodes.await {
            ask(hub, serde_json::from_str(&line).unwrap_or_default()).await;
        }
    });
    ended.cancelled().await;
    tasks.shutdown().await;
    let hub = station.current.hub();
    station.current.set(None);
    if let Some(hub) = hub {
        hub.shutdown(GRACE).await;
    }
    page::close(Some(page)).await?;
    Ok(serving.await?)
}

/// Listens at this address. A port that another socket had for a moment is tried again.
async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, BoxError> {
    let start = Instant::now();
    loop {
        match wsx_examples::listen(&address.to_string()).await {
            Err(_) if start.elapsed() < REBIND => sleep(LOOK).await,
            listener => return Ok(listener?),
        }
    }
}

/// Tells the parent again and again what this node sees.
async fn view(hub: Hub<Station>) {
    let received = |id: &str| {
        let mut received = 0;
        hub.endpoint().board.change(id, |row| received = row.count.received);
        received
    };
    loop {
        let Some(status) = hub.cluster() else { return };
        let online = hub.presence().snapshot().into_iter().filter(|peer| peer.online).map(|peer| peer.id.to_string());
        let own = hub.connections().into_iter().map(|conn| (conn.id().to_owned(), received(conn.id())));
        let view = View {
            connected: status.connected,
            nodes: status.nodes.iter().map(ToString::to_string).collect(),
            ids: hub.ids(),
            online: online.collect(),
            own: own.collect(),
            missed: status.missed,
            dropped: status.dropped,
        };
        // Without a parent, the node ends soon.
        let _ = say(&Word::View(view));
        sleep(VIEW).await;
    }
}

/// Sends the boxes of all nodes a number, once a second.
async fn beat(hub: Hub<Station>, name: String) {
    let (run, mut turns) = (clock::now(), interval(TURN));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1.. {
        turns.tick().await;
        if let Err(error) = hub.broadcast(&Beat { server: name.as_str().into(), run, number }).await {
            let _ = say(&Word::Say(format!("cannot broadcast: {}", Report(&error))));
        }
    }
}

/// Asks the boxes of all nodes for their health, once a second, and notes where they are.
async fn ask(hub: Hub<Station>, nodes: Vec<(IpAddr, u16, String)>) {
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let start = Instant::now();
        let mut boxes = JoinSet::new();
        for id in hub.ids() {
            let is_own = hub.connection(&id).is_some();
            let asking = hub.request(&id, &CheckHealth {}).timeout(HEALTH_TIMEOUT);
            boxes.spawn(async move { (id, is_own, asking.await) });
        }
        let mut asked = Asked { took: 0, answered: 0, elsewhere: 0, failed: Vec::new() };
        for (id, is_own, health) in boxes.join_all().await {
            hub.endpoint().count(&id, &health);
            match health {
                Ok(Health { server, .. }) => {
                    asked.answered += 1;
                    asked.elsewhere += u64::from(!is_own);
                    let at = nodes.iter().find(|(ip, port, _)| server == Some(SocketAddr::new(*ip, *port)));
                    let Some((.., node)) = at else { continue };
                    // The page shows them. The map of the cluster does not have labels.
                    let labels = vec![server::site(&id).to_owned(), node.clone()];
                    hub.endpoint().board.change(&id, |row| row.labels = labels);
                }
                Err(error) => asked.failed.push(format!("{id}: {}", Report(&error))),
            }
        }
        asked.took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = say(&Word::Asked(asked));
    }
}

/// Tells the parent, and the page, what happens to the cluster.
struct Events {
    station: Station,
}

impl Observer for Events {
    fn cluster_changed(&self, event: &ClusterEvent) {
        self.station.tell(None, event.to_string());
        let _ = say(&Word::Say(event.to_string()));
    }

    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        let _ = say(&Word::Say(format!("{message_type:?} from {:?}: {}", conn.id(), Report(error))));
    }
}
