//! The changes of other nodes, as presence and the connections of this node see them.
use crate::{
    closed::{Closed, ClosedBy},
    cluster::{Change, Directory, Effect, Join, Leave, NodeId},
    connection::{handle::Handle, wall_clock::Seconds},
    server::{
        elsewhere::Map,
        presence::{Absent, PeerStatus, State},
        roster::Roster,
    },
    wire::close_code::CloseCode,
};
use std::{collections::HashSet, sync::Arc};
use tokio::{sync::Notify, time::Instant};

/// What the hub does after the changes of another node.
#[derive(Default)]
pub(crate) struct Changed {
    /// Connections of this node whose ids have another connection, which stays.
    pub(crate) evicted: Vec<Handle>,
    /// The ids of which a newer connection has replaced an older one.
    pub(crate) replaced: Vec<Arc<str>>,
}

impl Roster {
    /// Makes the hub a node of a cluster, before it has connections.
    pub(crate) fn join_cluster(&self, directory: Directory, changed: Arc<Notify>) {
        self.presence().with(|state| state.elsewhere.join(directory, changed));
    }

    /// Uses the map of the cluster.
    pub(crate) fn with_map<T>(&self, use_it: impl FnOnce(&mut Map) -> T) -> Option<T> {
        self.presence().with(|state| state.elsewhere.map().map(use_it))
    }

    /// Returns the node that has this id, if it is another one.
    pub(crate) fn node_of(&self, id: &str) -> Option<NodeId> {
        self.presence().with(|state| state.elsewhere.claim(id).map(|claim| claim.node))
    }

    /// Applies the changes of another node, under one lock.
    pub(crate) fn apply(&self, node: NodeId, changes: Vec<Change>) -> Changed {
        self.presence().change(|state, now| {
            let mut changed = Changed::default();
            for change in changes {
                match change {
                    Change::Join(join) => self.joined(state, node, &join, &mut changed),
                    Change::Leave(Leave { id, stamp, seen, closed }) => {
                        let seen = Seconds::from_number(seen);
                        self.left(state, now, node, &id, Some(stamp), seen, closed.into());
                    }
                }
            }
            changed
        })
    }

    /// Sets the boxes of another node: all of them.
    pub(crate) fn replace(&self, node: NodeId, boxes: &[Join]) -> Changed {
        self.presence().change(|state, now| {
            let mut changed = Changed::default();
            let stay: HashSet<&str> = boxes.iter().map(|join| &*join.id).collect();
            let gone = state.elsewhere.map().map(|map| map.directory.ids_of(node)).unwrap_or_default();
            for id in gone.iter().filter(|id| !stay.contains(&***id)) {
                self.left(state, now, node, id, None, Seconds::now(), missed());
            }
            boxes.iter().for_each(|join| self.joined(state, node, join, &mut changed));
            changed
        })
    }

    /// Removes a node with all its boxes.
    pub(crate) fn lost(&self, node: NodeId, why: &'static str) {
        self.presence().change(|state, now| {
            let Some(map) = state.elsewhere.map() else { return };
            let (ids, seen) = (map.directory.ids_of(node), map.directory.heard(node));
            for id in ids {
                let closed = Closed::new(CloseCode::ABNORMAL, why, ClosedBy::Link);
                self.left(state, now, node, &id, None, seen, closed);
            }
            if let Some(map) = state.elsewhere.map() {
                map.directory.forget(node);
            }
        });
    }

    fn joined(&self, state: &mut State, node: NodeId, join: &Join, changed: &mut Changed) {
        let id: Arc<str> = join.id.as_str().into();
        let Some(map) = state.elsewhere.map() else { return };
        let Effect { was_elsewhere, replaced, evicts, insists } = map.directory.joined(node, &id, join);
        if insists {
            map.changed.notify_one();
        }
        if evicts {
            // One whose handshake is in progress is newer.
            changed.evicted.extend(self.registry().get(&id).filter(Handle::is_started));
        }
        if replaced {
            changed.replaced.push(id.clone());
        }
        if was_elsewhere || self.is_online_here(&id) {
            return;
        }
        let (stayed, _) = state.absent.take(&id).unzip();
        if stayed != Some(true) {
            let status = state.elsewhere.status(&id);
            status.into_iter().for_each(|status| state.log.push(status));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state and its time, whose box, and how it left")]
    fn left(
        &self,
        state: &mut State,
        now: Instant,
        node: NodeId,
        id: &str,
        stamp: Option<u64>,
        seen: Seconds,
        closed: Closed,
    ) {
        let claim = state.elsewhere.map().and_then(|map| map.directory.left(node, id, stamp));
        let Some((since, address)) = claim.map(|claim| (claim.since, claim.address())) else { return };
        if self.is_online_here(id) {
            return;
        }
        let left = Seconds::now();
        let absent = Absent { online: since, left, seen: seen.max(since), address, closed, labels: None };
        let State { absent: absents, log, .. } = state;
        absents.add(&id.into(), absent, now, |status: PeerStatus| log.push(status));
    }

    fn is_online_here(&self, id: &str) -> bool {
        self.registry().change(id, |entry| entry.online.is_some()) == Some(true)
    }
}

/// The end of a connection whose change did not arrive.
fn missed() -> Closed {
    Closed::new(CloseCode::ABNORMAL, "the node of this id has lost it meanwhile", ClosedBy::Link)
}
