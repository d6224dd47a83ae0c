//! The map of a cluster: which node has which box. Each node tells the others about its own boxes,
//! and learns about theirs; nobody owns the map.
//!
//! It knows ids, nodes and stamps. It has no lock, no clock and no network.
//!
//! Two nodes may claim one id, when a box has connected again before its old link is known to be
//! dead. The claim with the higher stamp is the later connection. The node with the other claim
//! gives it up, so one is left also after a partition.
use crate::{
    cluster::{
        address::Address,
        bus::NodeId,
        packet::{self, Change, Join, Leave},
    },
    connection::{loom_or_std::RandomState, shrink::shrink, wall_clock::Seconds},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
};

/// Maximum number of changes that wait until they are published. Above it the others fetch all
/// boxes of this node instead. Each takes about 150 bytes.
const MAX_PENDING: usize = 16_384;

/// The map of a cluster, as one node knows it.
#[derive(Debug)]
pub(crate) struct Directory {
    me: NodeId,
    /// Whether an id that is connected already stays with its older connection.
    keeps_older: bool,
    /// The boxes of this node.
    own: HashMap<Arc<str>, Own, RandomState>,
    /// The boxes of the other nodes.
    others: HashMap<Arc<str>, Claims, RandomState>,
    /// How many ids are in both.
    in_both: usize,
    /// The highest stamp that was made or seen.
    stamp: u64,
    /// The number of changes of the boxes of this node.
    version: u64,
    /// The newest of them, which are not published yet.
    pending: Vec<Change>,
    /// The other nodes.
    nodes: HashMap<NodeId, Node>,
}

/// Another node.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// When it was heard last.
    heard: Seconds,
    /// The number of its claims.
    claims: usize,
}

/// A box of this node.
#[derive(Debug, Clone)]
struct Own {
    stamp: u64,
    since: Seconds,
    address: Address,
}

/// The claims of other nodes to an id. Small, because there is one for each box of the cluster.
#[derive(Debug)]
struct Claims {
    /// The one with the highest stamp.
    newest: Claim,
    /// The others, by their stamps. There are none but for the moment of a change.
    #[expect(clippy::box_collection, reason = "a pointer of 8 bytes that is rarely there")]
    older: Option<Box<Vec<Claim>>>,
}

/// The claim of another node to an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) node: NodeId,
    stamp: u64,
    pub(crate) since: Seconds,
    address: Address,
}

/// What another node's change means here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Another node had the id before, so it was online.
    pub(crate) was_elsewhere: bool,
    /// A newer connection has replaced an older one, here or elsewhere.
    pub(crate) replaced: bool,
    /// The connection of this node has to be closed: another one with its id stays.
    pub(crate) evicts: bool,
    /// This node has published its own, older connection once more, because it stays.
    pub(crate) insists: bool,
}

impl Claims {
    fn new(newest: Claim) -> Self {
        Self { newest, older: None }
    }

    fn all(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.newest).chain(self.older.iter().flat_map(|older| &**older))
    }

    fn of(&self, node: NodeId) -> Option<&Claim> {
        self.all().find(|claim| claim.node == node)
    }

    /// Adds a claim, in place of one of the same node.
    fn add(&mut self, claim: Claim) {
        let mut all: Vec<_> = self.all().filter(|known| known.node != claim.node).cloned().collect();
        all.push(claim);
        self.set(all);
    }

    /// Removes the claim of a node. Returns it, and whether none is left.
    fn remove(&mut self, node: NodeId) -> Option<(Claim, bool)> {
        let mut all: Vec<_> = self.all().cloned().collect();
        let at = all.iter().position(|claim| claim.node == node)?;
        let removed = all.swap_remove(at);
        Some((removed, !self.set(all)))
    }

    /// Sets the claims. Returns whether there is one.
    fn set(&mut self, mut all: Vec<Claim>) -> bool {
        all.sort_unstable_by_key(Claim::rank);
        let Some(newest) = all.pop() else { return false };
        self.newest = newest;
        all.shrink_to_fit();
        self.older = (!all.is_empty()).then(|| Box::new(all));
        true
    }
}

impl Claim {
    /// What decides between two claims. Of equal stamps the node does.
    fn rank(&self) -> (u64, NodeId) {
        (self.stamp, self.node)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        (&self.address).into()
    }
}

impl Directory {
    pub(crate) fn new(me: NodeId, keeps_older: bool) -> Self {
        Self {
            me,
            keeps_older,
            own: HashMap::default(),
            others: HashMap::default(),
            in_both: 0,
            stamp: 0,
            version: 0,
            pending: Vec::new(),
            nodes: HashMap::new(),
        }
    }

    /// Notes that a node was heard.
    pub(crate) fn set_heard(&mut self, node: NodeId, now: Seconds) {
        self.nodes.entry(node).or_default().heard = now;
    }

    /// Returns when a node was heard last.
    pub(crate) fn heard(&self, node: NodeId) -> Seconds {
        self.nodes.get(&node).map(|node| node.heard).unwrap_or_default()
    }

    /// Returns the number of claims of a node.
    pub(crate) fn claimed_by(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |node| node.claims)
    }

    /// Forgets a node that has no claims any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Returns the number of other nodes.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the newest claim of another node to this id.
    pub(crate) fn elsewhere(&self, id: &str) -> Option<&Claim> {
        self.others.get(id).map(|claims| &claims.newest)
    }

    /// Returns the number of ids that only other nodes have.
    pub(crate) fn len_elsewhere(&self) -> usize {
        self.others.len() - self.in_both
    }

    /// Returns the ids that other nodes have, each with the newest claim.
    pub(crate) fn all_elsewhere(&self) -> impl Iterator<Item = (&Arc<str>, &Claim)> {
        self.others.iter().map(|(id, claims)| (id, &claims.newest))
    }

    /// Notes that this node has a box. `now` is the wall clock in microseconds. Returns the claim
    /// that this one replaces, if the newer connection stays.
    ///
    /// The box is online since the older claim, or since `since`.
    pub(crate) fn came(
        &mut self,
        id: &Arc<str>,
        since: Seconds,
        address: Option<SocketAddr>,
        now: u64,
    ) -> Option<Claim> {
        self.stamp = now.max(self.stamp.saturating_add(1));
        let older = self.elsewhere(id).cloned();
        let since = older.as_ref().map_or(since, |older| older.since);
        let own = Own { stamp: self.stamp, since, address: address.into() };
        let change = Change::Join(join(id, &own));
        if self.own.insert(id.clone(), own).is_none() && older.is_some() {
            self.in_both += 1;
        }
        self.change(change);
        older.filter(|_| !self.keeps_older)
    }

    /// Notes that this node does not have a box any more. Returns whether another node has it.
    pub(crate) fn went(&mut self, id: &str, leave: impl FnOnce(u64) -> Leave) -> bool {
        let is_elsewhere = self.others.contains_key(id);
        if let Some(own) = self.own.remove(id) {
            self.in_both -= usize::from(is_elsewhere);
            self.change(Change::Leave(leave(own.stamp)));
            shrink(&mut self.own);
        }
        is_elsewhere
    }

    fn change(&mut self, change: Change) {
        self.version += 1;
        if self.pending.len() == MAX_PENDING {
            // The number of the next change tells the others that these are missing.
            self.pending = Vec::new();
        }
        self.pending.push(change);
    }

    /// Takes changes that are not published yet, up to about this many bytes, with the number of
    /// changes before them.
    pub(crate) fn take_changes(&mut self, bytes: usize) -> Option<(u64, Vec<Change>)> {
        if self.pending.is_empty() {
            return None;
        }
        let before = self.version - self.pending.len() as u64;
        let rest = self.pending.split_off(packet::fitting(&self.pending, Change::size, bytes));
        Some((before, std::mem::replace(&mut self.pending, rest)))
    }

    /// Returns the number of changes, and the boxes of this node. Changes that are not published
    /// are part of them.
    pub(crate) fn boxes(&self) -> (u64, Vec<Join>) {
        (self.version, self.own.iter().map(|(id, own)| join(id, own)).collect())
    }

    /// Returns the number of changes that are published, and the number of boxes then, if that is
    /// known: there is no change that is not published.
    pub(crate) fn published(&self) -> (u64, Option<usize>) {
        (self.version - self.pending.len() as u64, self.pending.is_empty().then_some(self.own.len()))
    }

    /// Notes that another node has a box.
    pub(crate) fn joined(&mut self, node: NodeId, id: &Arc<str>, join: &Join) -> Effect {
        self.stamp = self.stamp.max(join.stamp);
        let claim =
            Claim { node, stamp: join.stamp, since: Seconds::from_number(join.since), address: join.address.into() };
        let rank = claim.rank();
        let own = self.own.get(id);
        let own_rank = own.map(|own| (own.stamp, self.me));
        let mut known = None;
        let claims = match self.others.entry(id.clone()) {
            Entry::Occupied(entry) => {
                let claims = entry.into_mut();
                known = claims.of(node).map(|claim| claim.stamp);
                claims.add(claim);
                claims
            }
            Entry::Vacant(entry) => {
                self.in_both += usize::from(own.is_some());
                entry.insert(Claims::new(claim))
            }
        };
        let is_news = known != Some(join.stamp);
        let is_newest = claims.newest.rank() == rank && own_rank < Some(rank);
        let was_elsewhere = known.is_some() || claims.older.is_some();
        let had_another = was_elsewhere || own.is_some();
        self.nodes.entry(node).or_default().claims += usize::from(known.is_none());
        let evicts = own_rank.is_some_and(|own| (own < rank) != self.keeps_older);
        let again = own.filter(|_| self.keeps_older && is_news && !evicts).map(|own| self::join(id, own));
        let insists = again.is_some();
        // The other node may have known of it before, and taken it for one that has gone.
        again.into_iter().for_each(|again| self.change(Change::Join(again)));
        let replaced = is_news && is_newest && had_another && !self.keeps_older;
        Effect { was_elsewhere, replaced, evicts, insists }
    }

    /// Notes that another node does not have a box any more. Returns its claim if no other node has
    /// the box. A change that is older than the claim changes nothing.
    pub(crate) fn left(&mut self, node: NodeId, id: &str, stamp: Option<u64>) -> Option<Claim> {
        let claims = self.others.get_mut(id)?;
        if stamp.is_some_and(|stamp| claims.of(node).is_some_and(|claim| claim.stamp > stamp)) {
            return None;
        }
        let (claim, is_last) = claims.remove(node)?;
        if let Some(node) = self.nodes.get_mut(&node) {
            node.claims -= 1;
        }
        if !is_last {
            return None;
        }
        self.others.remove(id);
        self.in_both -= usize::from(self.own.contains_key(id));
        shrink(&mut self.others);
        Some(claim)
    }

    /// Returns the ids that a node has claimed.
    pub(crate) fn ids_of(&self, node: NodeId) -> Vec<Arc<str>> {
        let has = |claims: &Claims| claims.of(node).is_some();
        self.others.iter().filter(|(_, claims)| has(claims)).map(|(id, _)| id.clone()).collect()
    }
}

fn join(id: &Arc<str>, own: &Own) -> Join {
    Join { id: id.to_string(), stamp: own.stamp, since: own.since.number(), address: (&own.address).into() }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;
