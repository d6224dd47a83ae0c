//! The parts of a hub, and how a connection enters and leaves it.
//!
//! It does not know sockets or HTTP.
use crate::{
    closed::Closed,
    config::Config,
    connection::{
        handle::{Handle, OnConnect},
        keeper::Recipient,
    },
    dispatch::program::Program,
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
    },
    wire::{close_code::CloseCode, role::Role},
};
use std::{fmt, net::SocketAddr, sync::Arc};
use tokio::time::Instant;

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
        }))
    }

    /// Adds a connection with this id, if `admit` allows it; see [`Registry::insert`].
    ///
    /// An older connection with this id is closed with 4000. An edge box often reconnects before
    /// the server has noticed that the old link is dead. The observer learns of an id for which
    /// programs fight.
    pub(crate) fn open<R>(
        &self,
        id: Arc<str>,
        labels: LabelSet,
        peer: Option<SocketAddr>,
        speaks: Option<PeerVersion>,
        admit: impl FnOnce(Option<&Handle>) -> Result<(), R>,
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
            old.close(CloseCode::REPLACED, "this id has connected again".into());
            if let Some(replacements) = self.0.duplicates.replaced(conn.id(), Instant::now()) {
                self.observer().id_contested(conn.id(), old.peer_addr(), peer, replacements);
            }
        }
        Ok(conn)
    }

    /// Notes that the handshake of this connection is done, before its task is spawned.
    pub(crate) fn start(&self, conn: &Handle) {
        self.0.roster.start(conn);
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

    /// Returns the peer for which a send keeps a message.
    pub(crate) fn recipient(&self, id: &str) -> Recipient {
        let peer: Arc<str> = id.into();
        let (hub, name) = (self.clone(), peer.clone());
        Recipient { keeper: self.program().keeper(), peer, conn: Box::new(move || hub.registry().get(&name)) }
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
