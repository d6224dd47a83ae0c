//! The parts of a hub, and how a connection enters and leaves it.
//!
//! It does not know sockets or HTTP.
use crate::{
    closed::Closed,
    config::Config,
    connection::{
        Asking, Sending,
        asking::Failed,
        handle::{Handle, OnConnect},
        keeper::Recipient,
    },
    dispatch::program::Program,
    envelope::{Outbound, keys::Sent},
    error::SendError,
    observer::GuardedObserver,
    protocol::{PeerVersion, endpoint::Endpoint},
    server::{
        admission::Admission,
        duplicates::{DuplicateOptions, Duplicates},
        hub::Hub,
        labels::LabelSet,
        lifecycle::Lifecycle,
        presence::PresenceOptions,
        registry::Registry,
        roster::Roster,
        sending_to::SendingTo,
    },
    wire::{close_code::CloseCode, role::Role, write::Draft},
};
#[cfg(feature = "nats")]
use std::sync::Weak;
use std::{fmt, net::SocketAddr, sync::Arc};
use tokio::time::Instant;

/// The reason in the close frame of a connection that was replaced.
const REPLACED: &str = "this id has connected again";

/// Everything that the clones of a hub share.
pub(super) struct Inner<E> {
    /// The endpoint, its handlers, the bounds and the observer, for all connections of this hub.
    pub(super) program: Program<E>,
    /// The open connections by id, their labels, and the ids that have gone.
    pub(super) roster: Roster,
    /// The limits on connections. An `Arc`, because each counted address holds it until its
    /// connection ends.
    pub(super) admission: Arc<Admission>,
    /// Decides about a second connection with an id, and counts the replacements.
    pub(super) duplicates: Duplicates,
    /// Given to the builder; runs for each new connection.
    pub(super) on_connect: Option<OnConnect>,
    /// The signals of a shutdown, and the tasks that it waits for.
    pub(super) lifecycle: Lifecycle,
    /// The other nodes, if the hub is a node of a cluster.
    #[cfg(feature = "nats")]
    pub(super) cluster: std::sync::OnceLock<crate::cluster::Cluster>,
}

/// The readers of the changes of presence learn of the end. The task of each connection holds the
/// hub, so all connections have ended.
impl<E> Drop for Inner<E> {
    fn drop(&mut self) {
        self.roster.end();
    }
}

impl<E> Hub<E> {
    /// Returns a hub without connections.
    pub(crate) fn from_parts(
        program: Program<E>,
        admission: Arc<Admission>,
        duplicates: DuplicateOptions,
        presence: PresenceOptions,
        on_connect: Option<OnConnect>,
    ) -> Self {
        Self(Arc::new(Inner {
            program,
            roster: Roster::new(presence),
            admission,
            duplicates: Duplicates::new(duplicates),
            on_connect,
            lifecycle: Lifecycle::default(),
            #[cfg(feature = "nats")]
            cluster: std::sync::OnceLock::new(),
        }))
    }

    /// Adds a connection with this id, if `admit` allows it; see [`Registry::insert`].
    ///
    /// An older connection with this id is closed with 4000. An edge box often reconnects before
    /// the server has noticed that the old link is dead. The observer learns of an id for which
    /// programs fight. `admit` also learns whether another node has the id.
    pub(crate) fn open<R>(
        &self,
        id: Arc<str>,
        labels: LabelSet,
        peer: Option<SocketAddr>,
        speaks: Option<PeerVersion>,
        admit: impl FnOnce(Option<&Handle>, bool) -> Result<(), R>,
    ) -> Result<Handle, R> {
        let conn = Handle::within(self.admission().budget.clone(), id, Role::Server, self.config());
        // Before the registry has it: its replacement sees the address, and no send passes by the
        // version.
        conn.set_peer_addr(peer);
        if let Some(version) = speaks {
            self.program().meet(&conn, version);
        }
        let replaced = self.0.roster.open(&conn, labels, admit)?;
        if let Some(old) = replaced.map(|replaced| replaced.older).filter(|old| !old.is_closed()) {
            old.close(CloseCode::REPLACED, REPLACED.into());
            self.count_replaced(conn.id(), old.peer_addr(), peer);
        }
        Ok(conn)
    }

    /// Counts a connection that was replaced by a newer one of this node.
    fn count_replaced(&self, id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>) {
        if let Some(replacements) = self.0.duplicates.replaced(id, Instant::now()) {
            self.observer().id_contested(id, older, newer, replacements);
        }
    }

    /// Notes that the handshake of this connection is done, before its task is spawned.
    pub(crate) fn start(&self, conn: &Handle) {
        if let Some(moved) = self.0.roster.start(conn) {
            self.count_replaced(conn.id(), moved.from, conn.peer_addr());
        }
    }

    /// Removes this connection, but not another one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle, closed: &Closed) {
        self.0.roster.remove(conn, closed);
    }

    pub(crate) fn program(&self) -> &Program<E> {
        &self.0.program
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.program.config
    }

    pub(crate) fn observer(&self) -> &GuardedObserver {
        &self.0.program.observer
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    /// Whether a connection is rejected if its id is connected already.
    #[cfg(feature = "server")]
    pub(crate) fn rejects_duplicates(&self) -> bool {
        self.0.duplicates.rejects_new()
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.0.roster.registry()
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.0.roster
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    #[cfg(feature = "nats")]
    pub(crate) fn joined(&self) -> Option<&crate::cluster::Cluster> {
        self.0.cluster.get()
    }

    #[cfg(feature = "nats")]
    pub(crate) fn set_cluster(&self, cluster: crate::cluster::Cluster) {
        let _ = self.0.cluster.set(cluster);
    }

    /// Whether the hub is a node of a cluster.
    #[cfg(feature = "nats")]
    pub(super) fn is_node(&self) -> bool {
        self.joined().is_some()
    }

    /// Whether the hub is a node of a cluster.
    #[cfg(not(feature = "nats"))]
    pub(super) fn is_node(&self) -> bool {
        false
    }

    /// Counts a replacement without a report: the node of the newer connection reports it.
    #[cfg(feature = "nats")]
    pub(crate) fn count_elsewhere(&self, id: &str) {
        let _ = self.0.duplicates.replaced(id, Instant::now());
    }

    pub(crate) fn on_connect(&self) -> Option<&OnConnect> {
        self.0.on_connect.as_ref()
    }
}

impl<E: Endpoint> Hub<E> {
    /// Lets the kept messages find the present connection of a peer.
    pub(crate) fn find_present(&self) {
        let weak = Arc::downgrade(&self.0);
        self.program().deliveries.set_present(move |id| weak.upgrade()?.roster.registry().get(id));
    }

    /// Returns a send to the peer with this id.
    #[inline]
    pub(super) fn send<M: Outbound + ?Sized>(&self, id: &str, message: &M) -> SendingTo {
        #[cfg(feature = "nats")]
        if self.is_elsewhere(id) && !message.policy().is_kept() {
            return self.send_elsewhere(id, message);
        }
        let conn = || self.registry().get(id).ok_or_else(|| SendError::NoSuchConnection(id.to_owned()));
        SendingTo::here(Sending::message_to(Role::Server, message, conn, || Ok(self.recipient(id))))
    }

    /// Whether this node has an open connection with this id.
    pub(super) fn is_connected_here(&self, id: &str) -> bool {
        self.registry().get(id).is_some_and(|conn| conn.is_started())
    }

    /// Closes the connection with this id, whichever node has it.
    #[cfg_attr(not(feature = "nats"), expect(clippy::unused_async, reason = "another node is asked"))]
    pub(super) async fn close_anywhere(&self, id: &str, code: CloseCode, reason: String) -> Result<(), SendError> {
        #[cfg(feature = "nats")]
        if self.is_elsewhere(id) {
            return self.close_elsewhere(id, code, &reason).await;
        }
        self.close_here(id, code, reason)
    }

    /// Closes the connection with this id.
    fn close_here(&self, id: &str, code: CloseCode, reason: String) -> Result<(), SendError> {
        let conn = self.registry().get(id).ok_or_else(|| SendError::NoSuchConnection(id.to_owned()))?;
        conn.close(code, reason);
        Ok(())
    }

    /// Returns a request on the connection with this id.
    pub(super) fn ask<R, F>(
        &self,
        id: &str,
        encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>,
    ) -> Asking<'static, R, F> {
        #[cfg(feature = "nats")]
        if self.is_elsewhere(id) {
            return self.ask_elsewhere(id, encode);
        }
        Asking::on_owned(self.registry().get(id).ok_or_else(|| Failed::NoSuchConnection(id.to_owned())), encode)
    }

    /// Returns the peer for which a send keeps a message.
    pub(crate) fn recipient(&self, id: &str) -> Recipient {
        let peer: Arc<str> = id.into();
        let (hub, name) = (self.clone(), peer.clone());
        Recipient { keeper: self.program().keeper(), peer, conn: Box::new(move || hub.registry().get(&name)) }
    }
}

/// A hub that this does not keep alive.
#[cfg(feature = "nats")]
pub(crate) struct WeakHub<E>(Weak<Inner<E>>);

#[cfg(feature = "nats")]
impl<E> WeakHub<E> {
    /// Returns the hub, unless all of its clones are gone.
    pub(crate) fn upgrade(&self) -> Option<Hub<E>> {
        self.0.upgrade().map(Hub)
    }
}

#[cfg(feature = "nats")]
impl<E> Hub<E> {
    pub(crate) fn downgrade(&self) -> WeakHub<E> {
        WeakHub(Arc::downgrade(&self.0))
    }
}

impl<E> Clone for Hub<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Hub<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &E::NAME).field("connections", &self.len()).finish_non_exhaustive()
    }
}
