//! All nodes and all boxes, as this program sees them: what the nodes have said, and where the
//! boxes are. It does not start or kill anything.
use crate::cluster::facts::Facts;
use crate::cluster::words::{Asked, View};
use crate::edge::Watch;
use crate::screen::{Screen, Shown};
use fleet_protocol::Beat;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Title and width of each column. "known to" has the numbers of the nodes whose map has the box.
const COLUMNS: [(&str, u16); 8] = [
    ("box", 8),
    ("node", 8),
    ("state", 6),
    ("known to", 17),
    ("moves", 5),
    ("telemetry", 9),
    ("broadcasts", 10),
    ("missed", 6),
];

#[derive(Debug)]
pub(crate) struct Overview {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    boxes: BTreeMap<String, Seat>,
    pub(crate) facts: Facts,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) is_running: bool,
    /// Where it listens for boxes. It has the same address after each start.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) page: Option<SocketAddr>,
    /// What it has said last since its last start.
    view: Option<View>,
}

/// Where a box is.
#[derive(Debug, Default)]
struct Seat {
    /// The node to which it is connected.
    at: Option<usize>,
    /// The node before.
    before: Option<usize>,
    moves: u32,
    beats: u64,
    missed: u64,
    /// The newest run and number of each node, on this connection.
    newest: BTreeMap<String, (u64, u64)>,
}

impl Overview {
    pub(crate) fn new(nodes: impl Iterator<Item = String>, boxes: impl Iterator<Item = String>) -> Self {
        let node = |name| Node { name, is_running: false, address: None, page: None, view: None };
        let (nodes, boxes) = (nodes.map(node).collect(), boxes.map(|id| (id, Seat::default())).collect());
        let mut facts = Facts::default();
        facts.begin_unrest(Duration::ZERO);
        Self { start: Instant::now(), state: Mutex::new(State { nodes, boxes, facts }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Adds what a node sees.
    pub(crate) fn see(&self, node: usize, view: View) {
        let State { nodes, boxes, facts } = &mut *self.lock();
        let Node { name, view: before, .. } = &mut nodes[node];
        let (missed, dropped) = before.as_ref().map_or((0, 0), |before| (before.missed, before.dropped));
        facts.add_missed(name, view.missed.saturating_sub(missed) + view.dropped.saturating_sub(dropped));
        facts.add_map(problem(name, &view, boxes));
        *before = Some(view);
    }

    /// Adds requests of a node.
    pub(crate) fn asked(&self, node: usize, asked: Asked) {
        let now = self.now();
        let State { nodes, facts, .. } = &mut *self.lock();
        facts.add_asked(now, &nodes[node].name, asked);
    }

    /// Notes that a node starts.
    pub(crate) fn starts(&self, node: usize) {
        let now = self.now();
        let mut state = self.lock();
        state.facts.begin_unrest(now);
        state.nodes[node].is_running = true;
    }

    /// Notes that a node is killed, before it is. Returns the number of its boxes.
    pub(crate) fn kills(&self, node: usize) -> usize {
        let now = self.now();
        let mut state = self.lock();
        state.facts.begin_unrest(now);
        state.nodes[node].is_running = false;
        state.boxes.values().filter(|seat| seat.at == Some(node)).count()
    }

    /// Forgets what a node has said before it was killed.
    pub(crate) fn killed(&self, node: usize) {
        self.lock().nodes[node].view = None;
    }

    /// Returns a box that is not connected to a node that runs.
    pub(crate) fn absent(&self) -> Option<String> {
        let state = self.lock();
        let is_absent = |seat: &Seat| seat.at.is_none_or(|node| !state.nodes[node].is_running);
        state.boxes.iter().find(|(_, seat)| is_absent(seat)).map(|(id, _)| id.clone())
    }

    /// Returns what a whole cluster does not have. Each node that runs knows the others, each box
    /// is connected to one node, and each map has each box once.
    pub(crate) fn problem(&self) -> Option<String> {
        if let Some(id) = self.absent() {
            return Some(format!("{id} is away"));
        }
        let state = self.lock();
        let running: Vec<_> = state.nodes.iter().filter(|node| node.is_running).collect();
        let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
        for Node { name, view, .. } in &running {
            let Some(view) = view else { return Some(format!("{name} has not said what it sees")) };
            let is_known = |other: &&Node| other.name == *name || view.nodes.contains(&other.name);
            if let Some(other) = running.iter().copied().find(|other| !is_known(other)) {
                return Some(format!("{name} does not know {}", other.name));
            }
            if let Some(problem) = problem(name, view, &state.boxes) {
                return Some(problem);
            }
            view.own.keys().for_each(|id| *holders.entry(id).or_default() += 1);
        }
        let wrong = state.boxes.keys().map(|id| (id, holders.get(id.as_str()).copied().unwrap_or_default()));
        wrong.filter(|(_, holders)| *holders != 1).map(|(id, holders)| format!("{holders} nodes have {id}")).next()
    }
}

/// Returns what is wrong with the map of a node.
fn problem(name: &str, view: &View, boxes: &BTreeMap<String, Seat>) -> Option<String> {
    if !view.connected {
        return Some(format!("{name} does not reach NATS"));
    }
    for (list, ids) in [("map", &view.ids), ("list of online boxes", &view.online)] {
        let times = |id: &String| ids.iter().filter(|other| *other == id).count();
        if let Some((id, times)) = boxes.keys().map(|id| (id, times(id))).find(|(_, times)| *times != 1) {
            return Some(format!("the {list} of {name} has {id} {times} times"));
        }
        if ids.len() != boxes.len() {
            return Some(format!("the {list} of {name} has {} boxes", ids.len()));
        }
    }
    None
}

impl Shown for Overview {
    fn columns(&self) -> &[(&'static str, u16)] {
        &COLUMNS
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let State { nodes, boxes, .. } = &*self.lock();
        let views = || nodes.iter().filter_map(|node| Some((node, node.view.as_ref()?)));
        let cells = |(id, seat): (&String, &Seat)| {
            let at = seat.at.filter(|node| nodes[*node].is_running);
            let known = views().filter(|(_, view)| view.online.contains(id));
            let known: Vec<_> = known.filter_map(|(node, _)| node.name.strip_prefix("node-")).collect();
            let received: u64 = views().filter_map(|(_, view)| view.own.get(id)).sum();
            vec![
                id.clone(),
                at.map(|node| nodes[node].name.clone()).unwrap_or_default(),
                if known.is_empty() { "away" } else { "online" }.to_owned(),
                known.join(" "),
                seat.moves.to_string(),
                received.to_string(),
                seat.beats.to_string(),
                seat.missed.to_string(),
            ]
        };
        boxes.iter().map(cells).collect()
    }

    /// One line for each node.
    fn lines(&self) -> Vec<String> {
        let State { nodes, boxes, .. } = &*self.lock();
        let line = |Node { name, is_running, view, .. }: &Node| match (is_running, view) {
            (false, _) => format!("{name}: does not run"),
            (true, None) => format!("{name}: starts"),
            (true, Some(view)) => {
                let (own, online, all) = (view.own.len(), view.online.len(), boxes.len());
                let nats = if view.connected { "" } else { ", without NATS" };
                format!("{name}: has {own} boxes, and shows {online} of {all} online{nats}")
            }
        };
        nodes.iter().map(line).collect()
    }
}

/// A box, as this program sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) overview: Arc<Overview>,
    pub(crate) screen: Screen,
}

impl Watch for Seen {
    fn connected(&self, server: Option<SocketAddr>) {
        let State { nodes, boxes, .. } = &mut *self.overview.lock();
        let Some(seat) = boxes.get_mut(&self.id) else { return };
        seat.at = nodes.iter().position(|node| server.is_some() && node.address == server);
        seat.newest.clear();
        if let Some((before, at)) = seat.before.zip(seat.at).filter(|(before, at)| before != at) {
            seat.moves += 1;
            self.screen.say(format!("{} moved from {} to {}", self.id, nodes[before].name, nodes[at].name));
        }
        seat.before = seat.at;
    }

    fn disconnected(&self) {
        let State { boxes, facts, .. } = &mut *self.overview.lock();
        let Some(seat) = boxes.get_mut(&self.id) else { return };
        seat.at = None;
        if facts.is_calm() {
            facts.fault(format!("{} lost its connection in calm", self.id));
        }
    }

    fn beat(&self, Beat { server, run, number }: &Beat<'_>) {
        let State { boxes, facts, .. } = &mut *self.overview.lock();
        let Some(seat) = boxes.get_mut(&self.id) else { return };
        let before = seat.newest.insert(server.to_string(), (*run, *number));
        // The first one of a run, or of a connection, can have any number.
        let expected = before.filter(|(of, _)| of == run).map_or(*number, |(_, number)| number + 1);
        let missed = number.saturating_sub(expected);
        seat.beats += 1;
        seat.missed += missed;
        facts.add_beat(&self.id, missed);
        if *number < expected {
            facts.fault(format!("{} received broadcast {number} of {server} out of order", self.id));
        }
    }
}
