//! The map of the cluster, if this hub is a node of one. It does not know the network.
use crate::{
    closed::Closed,
    cluster::{Claim, Directory, Leave},
    connection::{handle::Handle, wall_clock::Seconds},
    server::{elsewhere::Moved, presence::PeerStatus},
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

/// The map of the cluster. A hub by itself does not have one.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(Option<Box<Map>>);

/// The map, with what wakes the node that publishes its changes.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) directory: Directory,
    /// Notified when a change of this node can be published.
    pub(crate) changed: Arc<Notify>,
    /// Whether the other nodes can be heard.
    pub(crate) is_up: bool,
}

impl Elsewhere {
    /// Makes the hub a node.
    pub(crate) fn join(&mut self, directory: Directory, changed: Arc<Notify>) {
        self.0 = Some(Box::new(Map { directory, changed, is_up: false }));
    }

    pub(crate) fn map(&mut self) -> Option<&mut Map> {
        self.0.as_deref_mut()
    }

    fn directory(&self) -> Option<&Directory> {
        self.0.as_ref().map(|map| &map.directory)
    }

    /// Returns the newest claim of another node to this id.
    pub(crate) fn claim(&self, id: &str) -> Option<&Claim> {
        self.directory()?.elsewhere(id)
    }

    /// Whether another node has this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.claim(id).is_some()
    }

    /// Whether another node has this id, and can be heard. Otherwise its claim may be out of date.
    pub(crate) fn has_surely(&self, id: &str) -> bool {
        self.has(id) && self.0.as_ref().is_some_and(|map| map.is_up)
    }

    /// Returns since when this id is online at another node.
    pub(crate) fn since(&self, id: &str) -> Option<Seconds> {
        Some(self.claim(id)?.since)
    }

    /// Returns the status of an id that another node has.
    pub(crate) fn status(&self, id: &str) -> Option<PeerStatus> {
        let directory = self.directory()?;
        Some(status(directory, &id.into(), directory.elsewhere(id)?))
    }

    /// Returns the status of each id that other nodes have, also if this node has it too.
    pub(crate) fn all(&self) -> impl Iterator<Item = PeerStatus> {
        let of = |directory| Directory::all_elsewhere(directory).map(|(id, claim)| status(directory, id, claim));
        self.directory().into_iter().flat_map(of)
    }

    /// Returns the ids that other nodes have, also if this node has them too.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.directory().into_iter().flat_map(|directory| directory.all_elsewhere().map(|(id, _)| id))
    }

    /// Returns the number of ids that only other nodes have.
    pub(crate) fn len(&self) -> usize {
        self.directory().map_or(0, Directory::len_elsewhere)
    }

    /// Notes that this connection is the one of its id now. Returns the one of another node that it
    /// replaces.
    pub(crate) fn came(&mut self, conn: &Handle, since: Seconds) -> Option<Moved> {
        let Map { directory, changed, .. } = self.map()?;
        let replaced = directory.came(conn.id(), since, conn.peer_addr(), microseconds());
        changed.notify_one();
        replaced.map(|claim| Moved { from: claim.address() })
    }

    /// Notes that the last connection of this id has left this node. Returns whether another node
    /// has the id.
    pub(crate) fn went(&mut self, conn: &Handle, closed: &Closed) -> bool {
        let Some(Map { directory, changed, .. }) = self.map() else { return false };
        let leave =
            |stamp| Leave { id: conn.id().to_string(), stamp, seen: conn.seen().number(), closed: closed.into() };
        let is_elsewhere = directory.went(conn.id(), leave);
        changed.notify_one();
        is_elsewhere
    }
}

fn status(directory: &Directory, id: &Arc<str>, claim: &Claim) -> PeerStatus {
    PeerStatus {
        id: id.clone(),
        online: true,
        since: claim.since.into(),
        last_seen: directory.heard(claim.node).max(claim.since).into(),
        address: claim.address(),
        closed: None,
    }
}

/// Returns the wall clock in microseconds since 1970. A clock before 1970 counts as 1970.
fn microseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
