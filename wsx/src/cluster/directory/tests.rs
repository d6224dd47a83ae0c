use super::*;
use crate::cluster::{
    packet::{By, End},
    peers::{Next, Peers},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);

fn id(text: &str) -> Arc<str> {
    text.into()
}

fn a_join(id: &str, stamp: u64) -> Join {
    Join { id: id.to_owned(), stamp, since: 7, address: None }
}

fn a_leave(id: &str, stamp: u64) -> Leave {
    Leave { id: id.to_owned(), stamp, seen: 0, closed: End { code: 1000, reason: String::new(), by: By::Peer } }
}

impl Directory {
    fn connects(&mut self, name: &str, now: u64) -> Option<Claim> {
        self.came(&id(name), Seconds::from_number(9), None, now)
    }

    fn leaves(&mut self, name: &str) -> bool {
        self.went(name, |stamp| a_leave(name, stamp))
    }

    /// Returns the numbers of each count, from the maps.
    fn check(&self) {
        let in_both = self.own.keys().filter(|id| self.others.contains_key(*id)).count();
        assert_eq!(self.in_both, in_both);
        for (node, known) in &self.nodes {
            assert_eq!(known.claims, self.ids_of(*node).len(), "{node}");
        }
        for claims in self.others.values() {
            let ranks: Vec<_> = claims.older.iter().flat_map(|older| older.iter().map(Claim::rank)).collect();
            assert!(ranks.is_sorted() && ranks.iter().all(|rank| *rank < claims.newest.rank()));
            assert!(claims.older.as_ref().is_none_or(|older| !older.is_empty()), "memory is kept");
        }
    }
}

/// Row J5: the clock of a node may go back, or be that of another time than those of the others.
#[test]
fn a_later_connection_has_a_higher_stamp_whatever_the_clocks_say() {
    let mut map = Directory::new(ME, false);
    assert!(map.connects("a", 100).is_none());
    assert!(map.connects("b", 50).is_none());
    map.joined(OTHER, &id("c"), &a_join("c", 500));
    assert!(map.connects("c", 60).is_some_and(|older| older.node == OTHER));
    let (_, mut boxes) = map.boxes();
    boxes.sort_by_key(|join| join.stamp);
    let stamps: Vec<_> = boxes.iter().map(|join| (&*join.id, join.stamp, join.since)).collect();
    assert_eq!(stamps, [("a", 100, 9), ("b", 101, 9), ("c", 501, 7)], "`c` is online since it came to the other node");
    map.joined(OTHER, &id("d"), &a_join("d", u64::MAX));
    map.connects("d", 0);
    map.check();
}

/// Row J5: of two connections the later one stays or the older one on request.
#[test]
fn of_two_connections_the_later_one_stays_or_the_older_one_on_request() {
    for keeps_older in [false, true] {
        let mut map = Directory::new(ME, keeps_older);
        map.connects("a", 100);
        let older = map.joined(OTHER, &id("a"), &a_join("a", 99));
        assert_eq!((older.evicts, older.insists), (keeps_older, false));
        let later = map.joined(OTHER, &id("a"), &a_join("a", 101));
        assert_eq!((later.evicts, later.insists), (!keeps_older, keeps_older));
        let again = map.joined(OTHER, &id("a"), &a_join("a", 101));
        assert_eq!((again.evicts, again.insists, again.replaced), (!keeps_older, false, false));
        let tie = map.joined(THIRD, &id("a"), &a_join("a", 100));
        assert_eq!(tie.evicts, !keeps_older, "the higher node counts as later");
        map.check();
        assert_eq!((map.len_elsewhere(), map.leaves("a"), map.len_elsewhere()), (0, true, 1));
        map.check();
    }
}

/// Row J5: all nodes count the same replacements.
#[test]
fn a_replacement_counts_once_if_the_newer_connection_stays() {
    let mut map = Directory::new(ME, false);
    let mut replaced = |node, stamp| map.joined(node, &id("a"), &a_join("a", stamp)).replaced;
    assert!(!replaced(OTHER, 10));
    assert!(replaced(OTHER, 11), "at the same node");
    assert!(!replaced(OTHER, 11), "known");
    assert!(replaced(THIRD, 12));
    assert!(!replaced(OTHER, 11), "known");
    map.left(OTHER, "a", None);
    assert!(!map.joined(OTHER, &id("a"), &a_join("a", 9)).replaced, "older than the one that is there");
    assert!(map.connects("a", 20).is_some());
    assert!(map.joined(OTHER, &id("a"), &a_join("a", 21)).replaced);
    let mut keeps_older = Directory::new(ME, true);
    keeps_older.connects("a", 20);
    assert!(!keeps_older.joined(OTHER, &id("a"), &a_join("a", 21)).replaced);
    assert!(keeps_older.connects("a", 22).is_none());
}

/// Row J4: a leave of an older connection changes nothing.
#[test]
fn a_leave_of_an_older_connection_changes_nothing() {
    let mut map = Directory::new(ME, false);
    map.joined(OTHER, &id("a"), &a_join("a", 10));
    map.joined(OTHER, &id("a"), &a_join("a", 12));
    assert_eq!(map.left(OTHER, "a", Some(10)), None);
    assert_eq!((map.left(THIRD, "a", None), map.left(OTHER, "b", None)), (None, None));
    map.joined(THIRD, &id("a"), &a_join("a", 11));
    assert_eq!(map.left(OTHER, "a", Some(12)), None, "the third node has it");
    assert_eq!(map.elsewhere("a").map(|claim| claim.node), Some(THIRD));
    assert_eq!(map.left(THIRD, "a", Some(11)).map(|claim| claim.stamp), Some(11));
    assert_eq!((map.len_elsewhere(), map.claimed_by(OTHER), map.claimed_by(THIRD)), (0, 0, 0));
    map.check();
}

/// Row J4: changes are published in order and in pieces.
#[test]
fn changes_are_published_in_order_and_in_pieces() {
    let mut map = Directory::new(ME, false);
    for n in 0..10 {
        map.connects(&n.to_string(), n);
    }
    let size = Change::Join(a_join("0", 0)).size();
    assert_eq!((map.published(), map.boxes().0), ((0, None), 10));
    let mut all = Vec::new();
    while let Some((before, changes)) = map.take_changes(3 * size) {
        assert_eq!((before, changes.len() <= 3), (all.len() as u64, true));
        all.extend(changes);
    }
    let ids: Vec<_> = all.iter().map(|change| matches!(change, Change::Join(_))).collect();
    assert_eq!((ids, map.published()), (vec![true; 10], (10, Some(10))));
    map.leaves("3");
    assert_eq!(map.take_changes(0).map(|(before, changes)| (before, changes.len())), Some((10, 1)), "at least one");
    assert_eq!((map.published(), map.leaves("3"), map.take_changes(100)), ((11, Some(9)), false, None));
}

/// Row J11: the others notice the gap, and fetch all boxes.
#[test]
fn changes_that_cannot_be_published_are_bounded() {
    let mut map = Directory::new(ME, false);
    for n in 0..u64::try_from(MAX_PENDING).unwrap() + 5 {
        map.connects("a", n);
        assert!(map.pending.len() <= MAX_PENDING);
    }
    let (before, changes) = map.take_changes(usize::MAX).unwrap();
    assert_eq!((before, changes.len()), (MAX_PENDING as u64, 5));
}

/// There is one for each box of the cluster, at every node.
#[test]
fn the_claims_to_an_id_are_small() {
    assert!(size_of::<Claims>() <= 48 && size_of::<Own>() <= 32);
}

/// Row J11: the memory of boxes that have gone is given back.
#[test]
fn the_memory_of_boxes_that_have_gone_is_given_back() {
    let mut map = Directory::new(ME, false);
    for n in 0..5000_u64 {
        let text = n.to_string();
        map.joined(OTHER, &id(&text), &a_join(&text, n));
        map.joined(THIRD, &id(&text), &a_join(&text, n + 1));
        map.left(OTHER, &text, Some(n));
        map.connects(&text, n + 2);
    }
    map.check();
    let full = map.others.capacity();
    for n in 0..5000 {
        assert!(map.left(THIRD, &n.to_string(), None).is_some());
        assert!(!map.leaves(&n.to_string()));
    }
    assert!(map.others.capacity() < full / 8 && map.own.capacity() < full / 8);
    map.forget(OTHER);
    map.forget(THIRD);
    assert!(map.nodes.is_empty());
}

/// What a node says.
#[derive(Clone)]
enum Said {
    Hello { version: u64, len: Option<usize> },
    Changes(u64, Vec<Change>),
    Boxes,
    Part(u64, u32, u32, Vec<Join>),
}

struct Side {
    me: NodeId,
    map: Directory,
    peers: Peers,
    /// Connections that another one has replaced, and that have not ended.
    evicted: Vec<(Arc<str>, u64)>,
}

/// Nodes whose packets are lost, and come late. Those to all stay in order, and those to one node
/// do not.
struct World {
    random: StdRng,
    now: Instant,
    nodes: Vec<Side>,
    published: BTreeMap<(usize, usize), VecDeque<Said>>,
    direct: BTreeMap<(usize, usize), Vec<Said>>,
    loses: bool,
    asked: usize,
}

impl World {
    fn new(seed: u64, nodes: u64, keeps_older: bool) -> Self {
        let side = |me| Side {
            me: NodeId(me),
            map: Directory::new(NodeId(me), keeps_older),
            peers: Peers::default(),
            evicted: Vec::new(),
        };
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            nodes: (0..nodes).map(side).collect(),
            published: BTreeMap::new(),
            direct: BTreeMap::new(),
            loses: true,
            asked: 0,
        }
    }

    fn is_lost(&mut self) -> bool {
        self.loses && self.random.random_ratio(1, 10)
    }

    fn publish(&mut self, from: usize, said: &Said) {
        for to in (0..self.nodes.len()).filter(|&to| to != from) {
            if !self.is_lost() {
                self.published.entry((from, to)).or_default().push_back(said.clone());
            }
        }
    }

    fn tell(&mut self, from: usize, to: usize, said: Said) {
        if !self.is_lost() {
            if self.loses && self.random.random_ratio(1, 20) {
                self.direct.entry((from, to)).or_default().push(said.clone());
            }
            self.direct.entry((from, to)).or_default().push(said);
        }
    }

    fn publish_changes(&mut self, from: usize) {
        let bytes = self.random.random_range(0..2000);
        while let Some((before, changes)) = self.nodes[from].map.take_changes(bytes) {
            self.publish(from, &Said::Changes(before, changes));
        }
    }

    fn say_hello(&mut self, from: usize) {
        let (version, len) = self.nodes[from].map.published();
        self.publish(from, &Said::Hello { version, len });
    }

    fn hear(&mut self, from: usize, to: usize, said: Said) {
        let (now, node) = (self.now, self.nodes[from].me);
        let Side { map, peers, .. } = &mut self.nodes[to];
        let next = match said {
            Said::Hello { version, len } => {
                map.set_heard(node, Seconds::default());
                let fits = len.is_none_or(|len| len == map.claimed_by(node));
                peers.hello(node, "it", version, 0, fits, now)
            }
            Said::Changes(before, changes) => peers.changes(node, before, changes, now),
            Said::Part(version, part, parts, boxes) => peers.part(node, version, part, parts, boxes, now),
            Said::Boxes => {
                let (version, mut boxes) = self.nodes[to].map.boxes();
                let mut parts: Vec<_> =
                    (0..self.random.random_range(0..2)).map(|_| boxes.split_off(boxes.len() / 2)).collect();
                parts.push(boxes);
                let count = u32::try_from(parts.len()).unwrap();
                for (part, boxes) in (0..).zip(parts) {
                    self.tell(to, from, Said::Part(version, part, count, boxes));
                }
                return;
            }
        };
        self.follow(from, to, next);
    }

    fn follow(&mut self, from: usize, to: usize, next: Next) {
        let node = self.nodes[from].me;
        let Side { map, evicted, .. } = &mut self.nodes[to];
        let mut joins = |map: &mut Directory, join: &Join| {
            let name = id(&join.id);
            let own = map.own.get(&name).map(|own| own.stamp);
            if map.joined(node, &name, join).evicts {
                evicted.push((name, own.expect("only its own can be evicted")));
            }
        };
        if let Some(boxes) = next.boxes {
            for gone in map.ids_of(node).iter().filter(|id| boxes.iter().all(|join| *join.id != ***id)) {
                map.left(node, gone, None);
            }
            boxes.iter().for_each(|join| joins(map, join));
        }
        for change in next.changes {
            match change {
                Change::Join(join) => joins(map, &join),
                Change::Leave(leave) => drop(map.left(node, &leave.id, Some(leave.stamp))),
            }
        }
        if next.ask {
            self.asked += 1;
            self.tell(to, from, Said::Boxes);
        }
        self.nodes[to].map.check();
    }

    /// Ends connections that another one has replaced.
    fn end_evicted(&mut self, at: usize) {
        let Side { map, evicted, .. } = &mut self.nodes[at];
        for (name, stamp) in std::mem::take(evicted) {
            // The same node may have a newer one.
            if map.own.get(&name).is_some_and(|own| own.stamp == stamp) {
                map.leaves(&name);
            }
        }
    }

    fn lose(&mut self, at: usize, other: usize) {
        let node = self.nodes[other].me;
        let Side { map, peers, .. } = &mut self.nodes[at];
        if peers.lose(node).is_some() {
            for id in map.ids_of(node) {
                map.left(node, &id, None);
            }
            map.forget(node);
        }
    }

    fn step(&mut self) {
        let nodes = self.nodes.len();
        let (at, other) = (self.random.random_range(0..nodes), self.random.random_range(0..nodes));
        let name = self.random.random_range(0..6_u8).to_string();
        let clock = self.random.random_range(0..1000);
        match self.random.random_range(0..20) {
            0..4 => drop(self.nodes[at].map.connects(&name, clock)),
            4..6 => drop(self.nodes[at].map.leaves(&name)),
            6..9 => self.publish_changes(at),
            9..11 => self.say_hello(at),
            11 => self.end_evicted(at),
            12 if self.random.random_ratio(1, 5) && at != other => self.lose(at, other),
            12 | 13 => self.now += Duration::from_millis(700),
            14..18 => {
                if let Some(said) = self.published.get_mut(&(at, other)).and_then(VecDeque::pop_front) {
                    self.hear(at, other, said);
                }
            }
            _ => {
                let waiting = self.direct.entry((at, other)).or_default();
                if !waiting.is_empty() {
                    let place = self.random.random_range(0..waiting.len());
                    let said = waiting.swap_remove(place);
                    self.hear(at, other, said);
                }
            }
        }
    }

    /// Nothing is lost any more.
    fn calm_down(&mut self) {
        self.loses = false;
        for _ in 0..4 {
            self.now += Duration::from_secs(3);
            for at in 0..self.nodes.len() {
                self.end_evicted(at);
                self.publish_changes(at);
                self.say_hello(at);
            }
            for _ in 0..10 {
                for ((from, to), all) in std::mem::take(&mut self.published) {
                    all.into_iter().for_each(|said| self.hear(from, to, said));
                }
                for ((from, to), all) in std::mem::take(&mut self.direct) {
                    all.into_iter().for_each(|said| self.hear(from, to, said));
                }
            }
        }
    }

    /// Returns who has each id, as the nodes themselves say.
    fn holders(&self) -> BTreeMap<Arc<str>, Vec<(u64, NodeId)>> {
        let mut holders: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for side in &self.nodes {
            for (id, own) in &side.map.own {
                holders.entry(id.clone()).or_default().push((own.stamp, side.me));
            }
        }
        holders
    }
}

/// Rows J4, J5: all maps agree after losses and each id has one connection.
#[test]
fn all_maps_agree_after_losses_and_each_id_has_one_connection() {
    for seed in 0..400 {
        let keeps_older = seed % 2 == 1;
        let mut world = World::new(seed, 3 + seed % 2, keeps_older);
        for _ in 0..300 {
            world.step();
        }
        // What is on its way may replace a connection, and then end itself.
        let is_exact = seed % 4 < 2;
        if is_exact {
            (0..world.nodes.len()).for_each(|at| world.end_evicted(at));
            (world.published, world.direct) = (BTreeMap::new(), BTreeMap::new());
        }
        let mut expected = world.holders();
        for all in expected.values_mut() {
            all.sort_unstable();
            *all = vec![if keeps_older { all[0] } else { all[all.len() - 1] }];
        }
        world.calm_down();
        let holders = world.holders();
        if is_exact {
            assert_eq!(holders, expected, "seed {seed}");
        }
        assert!(holders.values().all(|all| all.len() == 1), "seed {seed}: {holders:?}");
        for Side { me, map, evicted, .. } in &world.nodes {
            let elsewhere = |all: &Vec<(u64, NodeId)>| all[0].1 != *me;
            let known: BTreeMap<_, _> =
                map.others.iter().map(|(id, claims)| (id.clone(), vec![claims.newest.rank()])).collect();
            let others = holders.iter().filter(|(_, all)| elsewhere(all)).map(|(id, all)| (id.clone(), all.clone()));
            assert_eq!(known, others.collect(), "seed {seed}: the map of {me}");
            assert!(map.others.values().all(|claims| claims.older.is_none()), "seed {seed}");
            assert_eq!((map.pending.len(), map.len_elsewhere(), evicted.len()), (0, known.len(), 0), "seed {seed}");
            map.check();
        }
        let asked = world.asked;
        world.calm_down();
        assert_eq!(world.asked, asked, "seed {seed}: nobody asks while nothing changes");
    }
}
