//! The parts of a hub, and how a connection enters and leaves it.
//!
//! It does not know sockets or HTTP.
use crate::{
    config::Config,
    connection::handle::{Handle, OnConnect},
    dispatch::program::Program,
    observer::GuardedObserver,
    server::{admission::Admission, duplicates::Duplicates, hub::Hub, lifecycle::Lifecycle, registry::Registry},
    wire::{close_code::CloseCode, role::Role},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::time::Instant;

/// Everything that the clones of a hub share.
pub(super) struct Inner<E> {
    /// The endpoint, its handlers, the bounds and the observer, for all connections of this hub.
    pub(super) program: Program<E>,
    /// The open connections by id.
    pub(super) registry: Registry,
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

impl<E> Hub<E> {
    /// Returns a hub without connections.
    pub(crate) fn from_parts(
        program: Program<E>,
        admission: Arc<Admission>,
        duplicates: Duplicates,
        on_connect: Option<OnConnect>,
    ) -> Self {
        Self(Arc::new(Inner {
            program,
            registry: Registry::default(),
            admission,
            duplicates,
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
        peer: Option<SocketAddr>,
        admit: impl FnOnce(Option<&Handle>) -> Result<(), R>,
    ) -> Result<Handle, R> {
        let conn = Handle::within(self.admission().budget.clone(), id.clone(), Role::Server, self.config());
        // Before the registry has it, so that its replacement sees the address.
        conn.set_peer_addr(peer);
        let old = self.0.registry.insert(&conn, id, admit)?;
        if let Some(old) = old.filter(|old| !old.is_closed()) {
            old.close(CloseCode::REPLACED, "this id has connected again".into());
            if let Some(replacements) = self.0.duplicates.replaced(conn.id(), Instant::now()) {
                self.observer().id_contested(conn.id(), old.peer_addr(), peer, replacements);
            }
        }
        Ok(conn)
    }

    /// Removes this connection, but not another one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle) {
        self.0.registry.remove(conn);
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
        &self.0.registry
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    pub(crate) fn on_connect(&self) -> Option<&OnConnect> {
        self.0.on_connect.as_ref()
    }
}
