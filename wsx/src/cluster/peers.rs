//! The other nodes, as this one has heard them: which are alive, which of their changes are
//! missing, and which of their broadcasts.
//!
//! It knows numbers and times. It does not know boxes or the bus.
use crate::cluster::{
    bus::NodeId,
    packet::{Change, Join},
};
use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A node that was not heard for this long is lost. It says hello every second, so four of these
/// are missing. Too low: a node that is busy for a moment takes its boxes offline. Too high: boxes
/// that are gone stay online.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// A node whose subject nobody reads is lost if it was not heard for this long: two hellos.
const QUIET: Duration = Duration::from_secs(2);
/// Maximum number of other nodes. Hellos of further ones are ignored. Too low: a large cluster is
/// not whole. Too high: whoever may publish to the subjects fills the memory.
const MAX_NODES: usize = 1024;
/// A node is asked for its boxes again if they have not arrived after this time.
const RETRY: Duration = Duration::from_secs(2);
/// Maximum number of changes of a node that wait for its boxes. Above it they are dropped, and the
/// boxes are asked for again. A change takes about 150 bytes.
const MAX_WAITING: usize = 10_000;
/// Maximum number of parts in which the boxes of a node come. A part has 1,000 boxes.
const MAX_PARTS: u32 = 10_000;

/// Maximum number of lost nodes whose broadcasts are still counted. Each takes 16 bytes. More nodes
/// than that are rarely lost for a while and heard again.
const MAX_LOST: usize = 64;

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The nodes that are alive: those that have said hello. Anything before that is part of what
    /// the hello says.
    alive: HashMap<NodeId, Peer>,
    /// The nodes that were lost last, with the numbers of their broadcasts. One that is heard again
    /// has gone on counting.
    lost: VecDeque<(NodeId, u64)>,
}

/// Another node.
#[derive(Debug)]
struct Peer {
    name: Arc<str>,
    heard: Instant,
    /// The number of its broadcasts that have arrived, or are known to be missing.
    broadcasts: u64,
    /// The number of its changes that are applied. `None` before the first boxes.
    applied: Option<u64>,
    /// The boxes that this node waits for.
    fetching: Option<Fetching>,
}

/// The boxes of a node that have been asked for.
#[derive(Debug)]
struct Fetching {
    asked: Instant,
    /// The number of changes that the parts include.
    version: u64,
    parts: Vec<Option<Vec<Join>>>,
    /// The changes that have come meanwhile, each with its number.
    waiting: Vec<(u64, Change)>,
}

/// What a node does with the changes of another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// The node has said hello for the first time.
    pub(super) is_new: bool,
    /// Changes to apply, in this order, after `boxes`.
    pub(super) changes: Vec<Change>,
    /// All boxes of the node.
    pub(super) boxes: Option<Vec<Join>>,
    /// Ask the node for all of its boxes.
    pub(super) ask: bool,
    /// The number of broadcasts that are missing.
    pub(super) missed: u64,
}

impl Peers {
    /// Returns the name of a node, or its number if it is not known.
    pub(super) fn name(&self, node: NodeId) -> Arc<str> {
        self.alive.get(&node).map_or_else(|| node.to_string().into(), |peer| peer.name.clone())
    }

    /// Returns the names of the nodes.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.alive.values().map(|peer| peer.name.clone()).collect()
    }

    /// Removes a node that has left. Returns its name, unless the node is not known.
    pub(super) fn remove(&mut self, node: NodeId) -> Option<Arc<str>> {
        self.alive.remove(&node).map(|peer| peer.name)
    }

    /// Removes a node that may be heard again. Returns its name, unless the node is not known.
    pub(super) fn lose(&mut self, node: NodeId) -> Option<Arc<str>> {
        let Peer { name, broadcasts, .. } = self.alive.remove(&node)?;
        if self.lost.len() == MAX_LOST {
            self.lost.pop_front();
        }
        self.lost.push_back((node, broadcasts));
        Some(name)
    }

    /// Whether a node was not heard since two of its hellos. One whose subject nobody reads may
    /// only be about to connect to NATS again.
    pub(super) fn is_quiet(&self, node: NodeId, now: Instant) -> bool {
        self.alive.get(&node).is_some_and(|peer| now.saturating_duration_since(peer.heard) > QUIET)
    }

    /// Returns the nodes that are lost: those that were not heard since `now - SILENCE`.
    pub(super) fn silent(&self, now: Instant) -> Vec<NodeId> {
        let is_silent = |peer: &Peer| now.saturating_duration_since(peer.heard) > SILENCE;
        self.alive.iter().filter(|(_, peer)| is_silent(peer)).map(|(&node, _)| node).collect()
    }

    /// Begins to hear again. Nobody could be heard meanwhile: the bus was down, or this node did
    /// not read.
    pub(super) fn hear_again(&mut self, now: Instant) {
        self.alive.values_mut().for_each(|peer| peer.heard = now);
    }

    /// Returns a node that has just been heard.
    fn hear(&mut self, node: NodeId, now: Instant) -> Option<&mut Peer> {
        let peer = self.alive.get_mut(&node)?;
        peer.heard = now;
        Some(peer)
    }

    /// A node is alive, has made this many changes, and published this many broadcasts. `len_fits`
    /// is whether as many of its boxes are known as it has.
    pub(super) fn hello(
        &mut self,
        node: NodeId,
        name: &str,
        version: u64,
        broadcasts: u64,
        len_fits: bool,
        now: Instant,
    ) -> Next {
        if self.alive.len() >= MAX_NODES && !self.alive.contains_key(&node) {
            return Next::default();
        }
        let (is_new, peer) = match self.alive.entry(node) {
            Entry::Occupied(entry) => (false, entry.into_mut()),
            Entry::Vacant(entry) => {
                let before = self.lost.iter().position(|(lost, _)| *lost == node).and_then(|at| self.lost.remove(at));
                let broadcasts = before.map_or(broadcasts, |(_, broadcasts)| broadcasts);
                let new = Peer { name: name.into(), heard: now, broadcasts, applied: None, fetching: None };
                (true, entry.insert(new))
            }
        };
        peer.heard = now;
        let missed = broadcasts.saturating_sub(peer.broadcasts);
        peer.broadcasts = peer.broadcasts.max(broadcasts);
        // Boxes that were fetched may be newer than a hello that was on its way.
        let is_behind = peer.applied.is_none_or(|applied| applied < version || (applied == version && !len_fits));
        let ask = is_behind && peer.fetch(now);
        Next { is_new, ask, missed, ..Next::default() }
    }

    /// Changes of a node. `version` is the number of changes before them.
    pub(super) fn changes(&mut self, node: NodeId, version: u64, changes: Vec<Change>, now: Instant) -> Next {
        let mut next = Next::default();
        let Some(peer) = self.hear(node, now) else { return next };
        let numbered = (0..).zip(changes).map(|(place, change)| (version.saturating_add(place), change));
        if let Some(fetching) = &mut peer.fetching {
            fetching.waiting.extend(numbered);
            if fetching.waiting.len() > MAX_WAITING {
                peer.fetching = None;
                next.ask = peer.fetch(now);
            }
            return next;
        }
        match peer.applied {
            Some(applied) if version <= applied => {
                next.changes = numbered.filter(|(number, _)| *number >= applied).map(|(_, change)| change).collect();
                peer.applied = Some(applied.saturating_add(next.changes.len() as u64));
            }
            _ => {
                next.ask = peer.fetch(now);
                peer.fetching.as_mut().expect("it fetches now").waiting.extend(numbered);
            }
        }
        next
    }

    /// A part of the boxes of a node, which include `version` changes.
    pub(super) fn part(
        &mut self,
        node: NodeId,
        version: u64,
        part: u32,
        parts: u32,
        boxes: Vec<Join>,
        now: Instant,
    ) -> Next {
        let mut next = Next::default();
        let Some(peer) = self.hear(node, now) else { return next };
        // Boxes of an earlier request may be older than the map.
        if parts > MAX_PARTS || peer.applied.is_some_and(|applied| version < applied) {
            return next;
        }
        let Some(fetching) = &mut peer.fetching else { return next };
        // Boxes that were sent earlier than those that come now.
        if version < fetching.version {
            return next;
        }
        if fetching.version != version || fetching.parts.len() != parts as usize {
            (fetching.version, fetching.parts) = (version, vec![None; parts as usize]);
        }
        fetching.asked = now;
        let Some(place) = fetching.parts.get_mut(part as usize) else { return next };
        *place = Some(boxes);
        if fetching.parts.iter().any(Option::is_none) {
            return next;
        }
        let Fetching { parts, waiting, .. } = peer.fetching.take().expect("it is there");
        next.boxes = Some(parts.into_iter().flatten().flatten().collect());
        let mut applied = version;
        for (number, change) in waiting {
            if number == applied {
                applied = applied.saturating_add(1);
                next.changes.push(change);
            }
        }
        peer.applied = Some(applied);
        next
    }

    /// A broadcast of a node with this number. Returns how many before it are missing, or `None` if
    /// it was here already, or is known to be missing.
    pub(super) fn broadcast(&mut self, node: NodeId, number: u64, now: Instant) -> Option<u64> {
        let known = match self.alive.get_mut(&node) {
            Some(peer) => {
                peer.heard = now;
                &mut peer.broadcasts
            }
            None => match self.lost.iter_mut().find(|(lost, _)| *lost == node) {
                Some((_, broadcasts)) => broadcasts,
                None => return Some(0),
            },
        };
        let missed = number.checked_sub(*known)?.checked_sub(1)?;
        *known = number;
        Some(missed)
    }
}

impl Peer {
    /// Begins to fetch all boxes. Returns whether to ask for them now.
    fn fetch(&mut self, now: Instant) -> bool {
        match &mut self.fetching {
            Some(fetching) if now.saturating_duration_since(fetching.asked) < RETRY => false,
            Some(fetching) => {
                fetching.asked = now;
                true
            }
            None => {
                self.fetching = Some(Fetching { asked: now, version: 0, parts: Vec::new(), waiting: Vec::new() });
                true
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;
