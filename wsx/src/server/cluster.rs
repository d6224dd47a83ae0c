//! A hub as a node of a cluster: the map of the boxes, and what the program sends to the boxes of
//! other nodes. It does not know NATS.
use crate::{
    cluster::{self, Boxes, Bus, CONFIRMED, Change, Cluster, Directory, Events, Forwarded, Holder, Join, Nats, NodeId},
    connection::{
        Asking, asking::raw::Unanswered, handle::Handle, keeper::Accepted, remote::Call, wall_clock::Seconds,
    },
    envelope::{Outbound, keys::Sent},
    error::SendError,
    observer::ClusterEvent,
    protocol::endpoint::Endpoint,
    server::{
        elsewhere,
        hub::{Hub, inner::WeakHub},
        local::LocalBoxes,
        roster::{Roster, cluster::Changed},
        sending_to::SendingTo,
    },
    wire::{
        close_code::CloseCode,
        write::{Draft, Frame},
    },
};
use std::{future::Future, sync::Arc};
use tokio::sync::Notify;

/// The boxes of a hub, as its node sees them. The hub ends when the program has dropped it.
struct Map<E>(WeakHub<E>);

impl<E: Endpoint> Hub<E> {
    /// Makes this hub a node.
    pub(in crate::server) fn join(&self, nats: Nats) {
        let me = NodeId(rand::random());
        self.join_by(me, nats.node_name(me), || {
            let (bus, events, running) = cluster::start(nats, me);
            (bus, events, Box::new(running))
        });
    }

    /// Makes this hub a node of what `start` joins it to.
    fn join_by(&self, me: NodeId, name: Arc<str>, start: impl FnOnce() -> (Arc<dyn Bus>, Events, Box<dyn Send>)) {
        let changed = Arc::new(Notify::new());
        self.roster().join_cluster(Directory::new(me, self.rejects_duplicates()), changed.clone());
        let (local, boxes) = (Arc::new(LocalBoxes::of(self)), Arc::new(Map(self.downgrade())));
        self.set_cluster(Cluster::begin(me, name, start(), local, boxes, changed));
    }
}

/// What the program sends to an id that this node does not have.
impl<E: Endpoint> Hub<E> {
    /// Whether another node may have this id.
    #[inline]
    pub(in crate::server) fn is_elsewhere(&self, id: &str) -> bool {
        self.joined().is_some() && self.registry().get(id).is_none_or(|conn| self.has_moved(id, &conn))
    }

    /// Whether this connection ends while another node has its id.
    pub(in crate::server) fn has_moved(&self, id: &str, conn: &Handle) -> bool {
        conn.is_closed() && self.roster().is_elsewhere(id)
    }

    /// Returns a send to the peer with this id, by the node that has it.
    pub(in crate::server) fn send_elsewhere<M: Outbound + ?Sized>(&self, id: &str, message: &M) -> SendingTo {
        let (hub, id, ttl) = (self.clone(), id.to_owned(), message.policy().ttl);
        let forwarded = Forwarded::of(message);
        SendingTo::remote(Box::pin(async move {
            let verdict = hub.node().send(&id, forwarded?, ttl).await?;
            // A longer time to live is not over yet.
            let is_own_ttl = ttl.is_some_and(|ttl| ttl < CONFIRMED);
            verdict.into_sent(&id, is_own_ttl).map(|()| Accepted::Sent)
        }))
    }

    /// Returns a request to the peer with this id, by the node that has it.
    pub(in crate::server) fn ask_elsewhere<R, F>(
        &self,
        id: &str,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
    ) -> Asking<'static, R, F> {
        let (hub, id) = (self.clone(), id.to_owned());
        let call = Call::new(move |request, timeout| {
            let forwarded = Forwarded::of_draft(&request);
            Box::pin(async move {
                match hub.node().ask(&id, forwarded, timeout).await {
                    Ok((verdict, reply)) => verdict.into_reply(&id, &reply),
                    Err(SendError::Unconfirmed) => Err(Unanswered::TimedOut),
                    Err(error) => Err(Unanswered::NotSent(error)),
                }
            })
        });
        Asking::remote(self.config().request_timeout, encode, call)
    }

    /// Closes the connection with this id, by the node that has it.
    pub(in crate::server) async fn close_elsewhere(
        &self,
        id: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), SendError> {
        self.node().close(id, code.into(), reason).await?.into_sent(id, false)
    }

    /// Publishes a broadcast for the other nodes, if there is room. Returns what is published
    /// later.
    pub(in crate::server) fn publish<'f>(
        &'f self,
        frame: &Frame,
        label: Option<&'f str>,
    ) -> Result<Option<impl Future<Output = ()> + Send + 'f>, SendError> {
        let Some(cluster) = self.joined() else { return Ok(None) };
        cluster.broadcast(Forwarded::of_frame(frame), label)
    }

    fn node(&self) -> &Cluster {
        self.joined().expect("only a node sends to others")
    }
}

impl<E: Endpoint> Map<E> {
    /// Uses the map of the cluster.
    fn with<T: Default>(&self, use_it: impl FnOnce(&mut elsewhere::Map) -> T) -> T {
        self.0.upgrade().and_then(|hub| hub.roster().with_map(use_it)).unwrap_or_default()
    }

    /// Closes the connections of this node that another one has replaced.
    fn follow(&self, change: impl FnOnce(&Roster) -> Changed) {
        let Some(hub) = self.0.upgrade() else { return };
        let Changed { evicted, replaced } = change(hub.roster());
        for id in replaced {
            hub.count_elsewhere(&id);
        }
        // One that is closing already finishes its handlers, as in `Hub::open`.
        for conn in evicted.into_iter().filter(|conn| !conn.is_closed()) {
            conn.close(CloseCode::REPLACED, "this id has connected to another node".into());
        }
    }
}

impl<E: Endpoint> Boxes for Map<E> {
    fn take_changes(&self, bytes: usize) -> Option<(u64, Vec<Change>)> {
        self.with(|map| map.directory.take_changes(bytes))
    }

    fn published(&self) -> (u64, Option<usize>) {
        self.with(|map| map.directory.published())
    }

    fn all(&self) -> (u64, Vec<Join>) {
        self.with(|map| map.directory.boxes())
    }

    fn holder(&self, id: &str) -> Holder {
        let Some(hub) = self.0.upgrade() else { return Holder::Nobody };
        if hub.registry().get(id).is_some_and(|conn| !hub.has_moved(id, &conn)) {
            return Holder::Here;
        }
        hub.roster().node_of(id).map_or(Holder::Nobody, Holder::At)
    }

    fn claimed_by(&self, node: NodeId) -> usize {
        self.with(|map| map.directory.claimed_by(node))
    }

    fn apply(&self, node: NodeId, changes: Vec<Change>) {
        self.follow(|roster| roster.apply(node, changes));
    }

    fn replace(&self, node: NodeId, boxes: Vec<Join>) {
        self.follow(|roster| roster.replace(node, &boxes));
    }

    fn heard(&self, node: NodeId) {
        self.with(|map| map.directory.set_heard(node, Seconds::now()));
    }

    fn lost(&self, node: NodeId, why: &'static str) {
        if let Some(hub) = self.0.upgrade() {
            hub.roster().lost(node, why);
        }
    }

    fn set_up(&self, is_up: bool) {
        self.with(|map| map.is_up = is_up);
    }

    fn report(&self, event: &ClusterEvent) {
        if let Some(hub) = self.0.upgrade() {
            hub.observer().cluster_changed(event);
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests;
