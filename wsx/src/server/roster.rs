//! The ids that are or were connected to a hub, with their labels. It joins the registry, presence
//! and the labels, so that they change together.
//!
//! The locks have one order: presence, a shard of the registry, the labels. A send takes only the
//! lock of a shard or of the labels. Code of the application, such as its wakers, does not run
//! under a lock.
//!
//! ```text
//!          open                start                 remove
//!   nobody ----> in its handshake ----> online ---------------> absent (`presence::absent`)
//!     ^                |                 |   ^
//!     +----------------+                 +---+
//!           remove             open of a newer connection
//! ```
#[cfg(feature = "nats")]
pub(crate) mod cluster;

use crate::{
    closed::{Closed, ClosedBy},
    connection::{handle::Handle, wall_clock::Seconds},
    error::LabelError,
    server::{
        elsewhere::Moved,
        labels::{self, LabelSet, Labels},
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
    /// The ids that are or were online.
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

    /// Returns the ids of all connections, with those of other nodes if the hub is a node.
    pub(crate) fn ids(&self, is_node: bool) -> Vec<String> {
        let mut ids = self.registry.ids();
        if is_node {
            let elsewhere: Vec<_> = self.presence.with(|state| state.elsewhere.ids().cloned().collect());
            let is_not_here = |id: &Arc<str>| self.registry.get(id).is_none();
            ids.extend(elsewhere.into_iter().filter(is_not_here).map(|id| id.to_string()));
        }
        ids
    }

    /// Returns the number of connections, with those of other nodes if the hub is a node.
    pub(crate) fn len(&self, is_node: bool) -> usize {
        let elsewhere = if is_node { self.presence.with(|state| state.elsewhere.len()) } else { 0 };
        self.registry.len() + elsewhere
    }

    /// Whether another node has this id.
    pub(crate) fn is_elsewhere(&self, id: &str) -> bool {
        self.presence.with(|state| state.elsewhere.has(id))
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Adds a connection, if `admit` allows it; see [`Registry::insert`].
    ///
    /// `admit` also learns whether another node has the id.
    pub(crate) fn open<R>(
        &self,
        conn: &Handle,
        labels: LabelSet,
        admit: impl FnOnce(Option<&Handle>, bool) -> Result<(), R>,
    ) -> Result<Option<Replaced>, R> {
        // It was seen, because its request has arrived.
        conn.set_seen();
        self.presence.change(|state, _| {
            let is_elsewhere = state.elsewhere.has_surely(conn.id());
            let replaced = self.registry.insert(conn, |older| admit(older, is_elsewhere))?;
            let kept = state.absent.labels(conn.id()).and_then(Option::take);
            self.labels.open(conn, labels, kept);
            Ok(replaced)
        })
    }

    /// Notes that the handshake of this connection is done. Its id is online from now on. Returns
    /// the connection of another node that it replaces.
    pub(crate) fn start(&self, conn: &Handle) -> Option<Moved> {
        self.presence.change(|state, _| {
            conn.set_started();
            let (mut was_offline, mut moved) = (false, None);
            self.registry.change(conn.id(), |entry| {
                // A newer connection may have replaced this one during its handshake.
                if !entry.conn.is_same(conn) {
                    return;
                }
                // Otherwise an older one was online.
                if entry.online.is_none() {
                    was_offline = come_online(entry, state);
                }
                moved = entry.online.and_then(|since| state.elsewhere.came(conn, since));
            });
            self.labels.start(conn, was_offline);
            moved
        })
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
                    let closed = if conn.is_started() { closed.clone() } else { last_closed(&entry) };
                    if !state.elsewhere.went(conn, &closed) {
                        let absent = absent(conn, online, closed, labels);
                        let State { absent: absents, log, .. } = state;
                        absents.add(conn.id(), absent, now, |status| log.push(status));
                    }
                }
            }
            Some(entry)
        });
    }

    /// Takes every id offline, and ends the changes, because the hub has ended. A connection whose
    /// task does not end in time is still in the registry.
    pub(crate) fn end(&self) {
        self.presence.end(|State { absent: absents, log, elsewhere }, now| {
            absents.end(|status| log.push(status));
            self.registry.change_each(|entry| {
                let Some(online) = entry.online.take() else { return };
                let closed = if entry.conn.is_started() { entry.conn.closed_by_us() } else { None };
                let closed = closed.unwrap_or_else(|| last_closed(entry));
                elsewhere.went(&entry.conn, &closed);
                let absent = absent(&entry.conn, online, closed, None);
                absents.add(entry.conn.id(), absent, now, |status| log.push(status));
            });
            log.end_all();
        });
    }

    /// Adds a label to the connection with this id, or to the labels that the next one keeps.
    pub(crate) fn add_label(&self, id: &str, label: &str) -> Result<(), LabelError> {
        // The handle is dropped after the locks.
        let (result, _conn) = self.presence.with(|state| {
            // Under the lock of presence, so that the connection stays in the registry.
            let conn = self.registry.get(id);
            let result = match (&conn, state.absent.labels(id)) {
                (Some(conn), _) => self.labels.add(conn, label),
                (None, Some(Some(kept))) => labels::insert(kept, label),
                (None, _) => Err(LabelError::NoSuchConnection(id.to_owned())),
            };
            (result, conn)
        });
        result
    }

    /// Removes a label of the connection with this id, or of those that the next one keeps. Returns
    /// whether it was there.
    pub(crate) fn remove_label(&self, id: &str, label: &str) -> bool {
        self.presence.with(|state| {
            let kept = state.absent.labels(id).and_then(Option::as_mut);
            self.labels.take(id, label) || kept.is_some_and(|kept| labels::take(kept, label))
        })
    }

    /// Returns the labels of the connection with this id, or those that the next one keeps.
    pub(crate) fn labels_of(&self, id: &str) -> Vec<String> {
        self.presence.with(|state| match state.absent.labels(id) {
            Some(Some(kept)) => labels::texts(kept),
            _ => self.labels.of(id),
        })
    }
}

/// Sets that the id of this entry is online. Returns whether it was offline.
fn come_online(entry: &mut Entry, state: &mut State) -> bool {
    let (stayed, absent) = state.absent.take(entry.conn.id()).unzip();
    let since = absent.as_ref().filter(|_| stayed == Some(true)).map(|absent| absent.online);
    let since = since.or_else(|| state.elsewhere.since(entry.conn.id()));
    if let Some(absent) = absent {
        entry.set_closed(absent.closed);
    }
    entry.online = Some(since.unwrap_or_else(Seconds::now));
    if since.is_none() {
        entry.status().into_iter().for_each(|status| state.log.push(status));
    }
    since.is_none()
}

/// Returns an id whose last connection leaves now.
fn absent(conn: &Handle, online: Seconds, closed: Closed, labels: Option<LabelSet>) -> Absent {
    Absent { online, left: Seconds::now(), seen: conn.seen(), address: conn.peer_addr(), closed, labels }
}

/// Returns why the connection before this one closed. This one has not finished its handshake, and
/// the one before may not have left the hub yet.
fn last_closed(entry: &Entry) -> Closed {
    let before = entry.before.as_deref();
    let leaving = before.and_then(|before| before.leaving.as_ref());
    leaving
        .and_then(Handle::closed_by_us)
        .or_else(|| before.and_then(|before| before.closed.clone()))
        .unwrap_or_else(|| Closed::new(CloseCode::ABNORMAL, "the connection is ending", ClosedBy::Link))
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{config::Config, server::PresenceChange, wire::role::Role};
    use std::time::Duration;
    use tokio::time::advance;

    const MINUTE: Duration = Duration::from_secs(60);

    fn roster() -> Roster {
        Roster::new(PresenceOptions { grace: MINUTE, max_absent: 10 })
    }

    fn closed() -> Closed {
        Closed::new(CloseCode::NORMAL, "", ClosedBy::Peer)
    }

    /// Opens a connection whose `build_id` gives it this label. Its handshake is in progress.
    fn open(roster: &Roster, label: &str) -> Handle {
        let conn = Handle::new("box".into(), Role::Server, &Config::default());
        assert!(roster.open(&conn, vec![label.into()], |_, _| Ok::<_, ()>(())).is_ok());
        conn
    }

    fn labels_of(roster: &Roster) -> Vec<String> {
        let mut labels = roster.labels_of("box");
        labels.sort();
        labels
    }

    fn connect(roster: &Roster, label: &str) -> Handle {
        let conn = open(roster, label);
        roster.start(&conn);
        conn
    }

    /// Row S6: an id whose connection outlives the hub is offline, and stays so when the connection
    /// leaves.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_outlives_the_hub_is_offline() {
        let roster = roster();
        let conn = connect(&roster, "site-7");
        let mut changes = roster.presence().changes();
        assert!(matches!(changes.recv().await, Some(PresenceChange::Snapshot { .. })));
        conn.close(CloseCode::GOING_AWAY, "the server is going away".into());
        roster.end();
        match changes.recv().await {
            Some(PresenceChange::Offline(peer)) => {
                let closed = peer.closed.unwrap();
                assert_eq!((peer.online, closed.code, closed.by), (false, CloseCode::GOING_AWAY, ClosedBy::Us));
            }
            other => panic!("{other:?}"),
        }
        assert!(changes.recv().await.is_none());
        assert!(roster.registry().get("box").is_some());
        let offline = roster.presence().get("box").unwrap();
        roster.remove(&conn, &closed());
        assert_eq!(roster.presence().snapshot(), [offline]);
        // A handshake that was not polled until now.
        let late = connect(&roster, "site-7");
        roster.remove(&late, &closed());
        assert!(!roster.presence().get("box").unwrap().online);
    }

    /// Row S7: within its grace period, the program can change the labels of an id that it has
    /// changed before. The next connection has them.
    #[tokio::test(start_paused = true)]
    async fn kept_labels_can_change_within_the_grace_period() {
        let roster = roster();
        let conn = connect(&roster, "site-7");
        roster.add_label("box", "canary").unwrap();
        roster.remove(&conn, &closed());
        roster.add_label("box", "site-8").unwrap();
        assert!(roster.remove_label("box", "site-7") && !roster.remove_label("box", "site-7"));
        assert_eq!(roster.add_label("box", ""), Err(LabelError::Empty));
        assert_eq!(labels_of(&roster), ["canary", "site-8"]);
        assert!(roster.labels().ids("canary").is_empty(), "it has no connection");
        // A handshake that fails changes nothing.
        let failed = open(&roster, "site-7");
        assert_eq!(labels_of(&roster), ["canary", "site-8"]);
        roster.remove(&failed, &closed());
        let conn = connect(&roster, "site-7");
        assert_eq!(labels_of(&roster), ["canary", "site-8"]);
        assert_eq!((roster.labels().ids("site-7").len(), roster.labels().ids("site-8").len()), (0, 1));
        roster.remove(&conn, &closed());
        advance(MINUTE).await;
        assert_eq!(roster.add_label("box", "x"), Err(LabelError::NoSuchConnection("box".into())));
        assert!(!roster.remove_label("box", "canary") && roster.labels_of("box").is_empty());
    }

    /// Row S7: labels that the program did not change are those of the next `build_id`.
    #[tokio::test(start_paused = true)]
    async fn labels_that_did_not_change_are_not_kept() {
        let roster = roster();
        let conn = connect(&roster, "site-7");
        roster.remove(&conn, &closed());
        assert_eq!(roster.add_label("box", "x"), Err(LabelError::NoSuchConnection("box".into())));
        assert!(!roster.remove_label("box", "site-7") && roster.labels_of("box").is_empty());
        let _conn = connect(&roster, "site-8");
        assert_eq!(roster.labels_of("box"), ["site-8"]);
    }

    /// Row S7: an id whose grace period ends during its handshake was offline, so it has the labels
    /// of `build_id`.
    #[tokio::test(start_paused = true)]
    async fn a_grace_period_that_ends_during_a_handshake_ends_the_labels() {
        for (waits, expected) in [(MINUTE, "site-8"), (MINUTE / 2, "site-7")] {
            let roster = roster();
            let conn = connect(&roster, "a");
            roster.add_label("box", "site-7").unwrap();
            assert!(roster.remove_label("box", "a"));
            roster.remove(&conn, &closed());
            let conn = open(&roster, "site-8");
            advance(waits).await;
            roster.start(&conn);
            assert_eq!((roster.labels_of("box"), roster.labels().ids(expected).len()), (vec![expected.to_owned()], 1));
        }
    }
}
