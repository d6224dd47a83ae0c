//! Presence: which ids are online, and when and why the others left. It does not know sockets.
//!
//! An id is online from the end of its handshake until its last connection has ended and the grace
//! period is over. The state of the online ids is in the registry, and that of the absent ones in
//! `absent`. One lock orders all changes. So a snapshot and the changes after it fit together.
//!
//! A grace period does not need a task: it ends at the next call. A reader of the changes waits for
//! the end of the next one.
mod absent;
mod log;

pub(crate) use absent::{Absent, PresenceOptions};

use crate::{
    closed::Closed,
    connection::loom_or_std::{Mutex, MutexGuard},
    server::{
        elsewhere::Elsewhere,
        presence::{
            absent::AbsentIds,
            log::{ChangeLog, Found},
        },
        registry::{Entry, Registry},
    },
};
use std::{fmt, net::SocketAddr, pin::pin, sync::Arc, time::SystemTime};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// The ids that are or were connected to a hub. [`Hub::presence`](crate::Hub::presence) returns it.
///
/// An id is online while it has a connection whose handshake is done, and while another connection
/// replaces it. It stays online for
/// [`HubBuilder::presence_grace`](crate::server::HubBuilder::presence_grace) after that. The hub
/// remembers up to [`HubBuilder::max_absent`](crate::server::HubBuilder::max_absent) absent ids.
///
/// A clone is cheap, and does not keep the hub.
#[derive(Clone)]
pub struct Presence(Arc<Shared>);

struct Shared {
    registry: Arc<Registry>,
    /// Taken for each connection that opens, starts or ends, but not for a message.
    state: Mutex<State>,
    /// Notified after each change, and when a grace period begins.
    changed: Notify,
    /// When the hub was made.
    start: Instant,
}

/// The state under the lock of presence.
pub(crate) struct State {
    pub(crate) absent: AbsentIds,
    pub(crate) log: ChangeLog,
    pub(crate) elsewhere: Elsewhere,
}

/// The status of one id.
///
/// Times are those of the wall clock, in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The id that `build_id` gave the connection.
    pub id: Arc<str>,
    /// Whether the id is online.
    pub online: bool,
    /// Since when it is online. If it is offline, when its last connection ended.
    pub since: SystemTime,
    /// When the last bytes of the peer were received, pongs included.
    pub last_seen: SystemTime,
    /// The address of the peer, as [`Connection::peer_addr`](crate::Connection::peer_addr) returns
    /// it. If the id is offline, that of its last connection.
    pub address: Option<SocketAddr>,
    /// Why its last connection closed that has ended. It is `None` for the first connection of an
    /// id, and if the hub has forgotten the one before.
    pub closed: Option<Closed>,
}

/// What [`PresenceChanges::recv`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceChange {
    /// Every id that the hub knows, in any order. It replaces everything that the reader knew.
    ///
    /// It is the first item, and comes again after the reader was too slow.
    Snapshot {
        /// The ids, online and offline.
        peers: Vec<PeerStatus>,
        /// The number of changes that the reader missed. They are part of the snapshot.
        missed: u64,
    },
    /// The id came online.
    Online(PeerStatus),
    /// The id went offline; [`PeerStatus::closed`] has the reason.
    Offline(PeerStatus),
}

/// The changes of presence. [`Presence::changes`] returns it.
pub struct PresenceChanges {
    shared: Arc<Shared>,
    /// The number of the next change. `None` before the first snapshot.
    next: Option<u64>,
}

impl Presence {
    pub(super) fn new(registry: Arc<Registry>, options: PresenceOptions) -> Self {
        let state =
            State { absent: AbsentIds::new(options), log: ChangeLog::default(), elsewhere: Elsewhere::default() };
        Self(Arc::new(Shared { registry, state: Mutex::new(state), changed: Notify::new(), start: Instant::now() }))
    }

    /// Returns the status of one id, or `None` if the hub does not know it.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<PeerStatus> {
        let state = self.0.lock();
        let online = self.0.registry.change(id, |entry| entry.status()).flatten();
        online.or_else(|| state.elsewhere.status(id)).or_else(|| state.absent.status(id))
    }

    /// Returns every id that the hub knows, online and offline, in any order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<PeerStatus> {
        self.0.snapshot(&self.0.lock())
    }

    /// Returns a reader of the changes. Its first item is a snapshot.
    ///
    /// All readers share a buffer of 1,024 changes, which exists while there is a reader. It holds
    /// at most 256 KiB of ids, and so fewer changes of long ids. A reader that is behind by more
    /// gets a snapshot with the number of changes that it missed.
    ///
    /// ```
    /// use wsx::{Hub, server::PresenceChange};
    ///
    /// async fn watch(hub: Hub) {
    ///     let mut changes = hub.presence().changes();
    ///     while let Some(change) = changes.recv().await {
    ///         match change {
    ///             PresenceChange::Snapshot { peers, .. } => println!("{} ids are known", peers.len()),
    ///             PresenceChange::Online(peer) => println!("{} is online", peer.id),
    ///             PresenceChange::Offline(peer) => println!("{} is offline: {:?}", peer.id, peer.closed),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn changes(&self) -> PresenceChanges {
        self.0.lock().log.add_reader();
        PresenceChanges { shared: self.0.clone(), next: None }
    }

    /// Changes the state under its lock, at this time. Then notifies the readers.
    ///
    /// `change` must not run code of the application, nor drop the last handle of a connection.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let result = {
            let mut state = self.0.lock();
            let now = self.0.now(&state.absent);
            change(&mut state, now)
        };
        // After the lock, because it runs the wakers of the application.
        self.0.changed.notify_waiters();
        result
    }

    /// Uses the state under its lock, without a change that a reader receives.
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.0.lock())
    }

    /// As [`change`](Self::change), at the end of the hub. It ends every grace period, so the time
    /// does not matter.
    pub(super) fn end(&self, change: impl FnOnce(&mut State, Instant)) {
        change(&mut self.0.state(), self.0.start);
        self.0.changed.notify_waiters();
    }
}

impl PresenceChanges {
    /// Waits for the next change. The first call returns a snapshot at once.
    ///
    /// Returns `None` when the hub has shut down, or its last clone was dropped. Every change
    /// before that was returned.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this future is dropped, the next call returns the change.
    pub async fn recv(&mut self) -> Option<PresenceChange> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Before the look, so that a change after it is not missed.
            changed.as_mut().enable();
            let deadline = {
                let state = self.shared.lock();
                let end = state.log.end();
                let missed = match self.next.map(|next| (next, state.log.find(next))) {
                    Some((next, Found::Change(status))) => {
                        self.next = Some(next + 1);
                        let change = if status.online { PresenceChange::Online } else { PresenceChange::Offline };
                        return Some(change(status));
                    }
                    Some((next, Found::Missed)) => Some(end - next),
                    Some((_, Found::End)) => return None,
                    Some((_, Found::Nothing)) => None,
                    None => Some(0),
                };
                if let Some(missed) = missed {
                    self.next = Some(end);
                    return Some(PresenceChange::Snapshot { peers: self.shared.snapshot(&state), missed });
                }
                state.absent.deadline()
            };
            match deadline {
                Some(deadline) => {
                    let _ = timeout_at(deadline, changed).await;
                }
                None => changed.await,
            }
        }
    }
}

impl Drop for PresenceChanges {
    fn drop(&mut self) {
        self.shared.lock().log.remove_reader();
    }
}

impl Shared {
    /// Locks the state, after the grace periods that are over.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let State { absent, log, .. } = &mut *state;
        absent.expire(self.now(absent), |status| log.push(status));
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the application's code does not run under this lock")
    }

    /// Returns the time. Without grace periods every time is the same.
    ///
    /// A hub or a runtime may be dropped at the end of a thread. With the feature `test-util`, the
    /// clock of tokio does not exist any more then, and panics.
    fn now(&self, absent: &AbsentIds) -> Instant {
        if absent.have_grace() { Instant::now() } else { self.start }
    }

    /// Returns every known id. The lock of the state keeps the registry as it is.
    fn snapshot(&self, state: &State) -> Vec<PeerStatus> {
        let mut peers: Vec<_> = state.absent.all().collect();
        self.registry.for_each_entry(|entry| peers.extend(entry.status()));
        let is_here = |id: &str| self.registry.change(id, |entry| entry.online.is_some()) == Some(true);
        peers.extend(state.elsewhere.all().filter(|status| !is_here(&status.id)));
        peers
    }
}

impl Entry {
    /// Returns the status of the id, if it is online.
    pub(super) fn status(&self) -> Option<PeerStatus> {
        let since = self.online?;
        Some(PeerStatus {
            id: self.conn.id().clone(),
            online: true,
            since: since.into(),
            last_seen: self.conn.seen().max(since).into(),
            address: self.conn.peer_addr(),
            closed: self.before.as_ref().and_then(|before| before.closed.clone()),
        })
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

impl fmt::Debug for PresenceChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceChanges").field("next", &self.next).finish_non_exhaustive()
    }
}
