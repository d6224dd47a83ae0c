//! Who is connected to a hub, who was, and with which labels. It joins the registry, presence and
//! the labels, so that they change together.
//!
//! The locks have one order: presence, a shard of the registry, the labels. A send takes only the
//! lock of a shard or of the labels. Code of the application, such as its wakers, runs under none
//! of them.
//!
//! ```text
//!          open                start                 remove
//!   nobody ----> in its handshake ----> online ---------------> absent (`presence::absent`)
//!     ^                |                 |   ^
//!     +----------------+                 +---+
//!           remove             open of a newer connection
//! ```
use crate::{
    closed::{Closed, ClosedBy},
    connection::{handle::Handle, wall_clock::Seconds},
    error::LabelError,
    server::{
        labels::{LabelSet, Labels},
        presence::{Absent, Presence, PresenceOptions, State},
        registry::{Entry, Registry, Replaced},
    },
    wire::close_code::CloseCode,
};
use std::sync::Arc;

/// The connections of a hub, the ids that have gone, and the labels.
pub(crate) struct Roster {
    /// The open connections by id.
    registry: Arc<Registry>,
    /// Who is online, and who was.
    presence: Presence,
    /// The labels of the open connections.
    labels: Labels,
}

impl Roster {
    pub(crate) fn new(options: PresenceOptions) -> Self {
        let registry = Arc::new(Registry::default());
        Self { presence: Presence::new(registry.clone(), options), registry, labels: Labels::default() }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Adds a connection, if `admit` allows it; see [`Registry::insert`].
    pub(crate) fn open<R>(
        &self,
        conn: &Handle,
        labels: LabelSet,
        admit: impl FnOnce(Option<&Handle>) -> Result<(), R>,
    ) -> Result<Option<Replaced>, R> {
        // It was seen, because its request has arrived.
        conn.set_seen();
        self.presence.change(|state, _| {
            let replaced = self.registry.insert(conn, admit)?;
            let kept = state.absent.labels(conn.id()).and_then(Option::take);
            self.labels.open(conn, labels, kept);
            Ok(replaced)
        })
    }

    /// Notes that the handshake of this connection is done. Its id is online from now on.
    pub(crate) fn start(&self, conn: &Handle) {
        self.presence.change(|state, _| {
            conn.set_started();
            self.registry.change(conn.id(), |entry| {
                // A newer connection may have replaced this one during its handshake, or an older
                // one was online.
                if !entry.conn.is_same(conn) || entry.online.is_some() {
                    return;
                }
                let (stayed, absent) = state.absent.take(conn.id()).unzip();
                let since = absent.as_ref().filter(|_| stayed == Some(true)).map(|absent| absent.online);
                if let Some(absent) = absent {
                    entry.set_closed(absent.closed);
                }
                entry.online = Some(since.unwrap_or_else(Seconds::now));
                if since.is_none() {
                    entry.status().into_iter().for_each(|status| state.log.push(status));
                }
            });
        });
    }

    /// Removes this connection, but not another one that has replaced it.
    pub(crate) fn remove(&self, conn: &Handle, closed: &Closed) {
        // It is dropped after the locks.
        let _removed = self.presence.change(|state, now| {
            let Some(entry) = self.registry.remove(conn) else {
                self.registry.change(conn.id(), |entry| entry.note_closed(conn, closed));
                return None;
            };
            let labels = self.labels.remove(conn);
            match entry.online {
                None => {
                    if let Some(kept) = state.absent.labels(conn.id()) {
                        *kept = labels;
                    }
                }
                Some(online) => {
                    let absent = Absent {
                        online,
                        left: Seconds::now(),
                        seen: conn.seen(),
                        address: conn.peer_addr(),
                        closed: if conn.is_started() { closed.clone() } else { last_closed(&entry) },
                        labels,
                    };
                    let State { absent: absents, log } = state;
                    absents.add(conn.id(), absent, now, |status| log.push(status));
                }
            }
            Some(entry)
        });
    }

    /// Adds a label to the connection with this id.
    pub(crate) fn add_label(&self, id: &str, label: &str) -> Result<(), LabelError> {
        let added = self.presence.change(|_, _| {
            // Under the lock of presence, so that the connection stays in the registry.
            let conn = self.registry.get(id)?;
            Some((self.labels.add(&conn, label), conn))
        });
        let (result, _conn) = added.ok_or_else(|| LabelError::NoSuchConnection(id.to_owned()))?;
        result
    }
}

/// Returns why the connection before this one closed. This one has not finished its handshake, and
/// the one before may not have left the hub yet.
fn last_closed(entry: &Entry) -> Closed {
    let before = entry.before.as_deref();
    let leaving = before.and_then(|before| before.leaving.as_ref()).and_then(Handle::closing);
    let leaving = leaving.map(|closing| Closed::new(closing.code, &*closing.reason, ClosedBy::Us));
    leaving
        .or_else(|| before.and_then(|before| before.closed.clone()))
        .unwrap_or_else(|| Closed::new(CloseCode::ABNORMAL, "the connection is ending", ClosedBy::Link))
}
