//! What the lock of the kept messages protects: the peers, the epoch and the clock.
use crate::{
    connection::handle::Handle,
    delivery::{
        Change, Time, clock,
        failed::{self, Failures},
        incoming::Incoming,
        lane::Lane,
        outgoing::Outgoing,
        record,
    },
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{runtime, time::Instant};

pub(super) use crate::delivery::size::Size;

/// Maximum number of epochs that are remembered for a peer. A peer has a new one when its store is
/// new.
const MAX_EPOCHS: usize = 4;
/// Maximum number of peers of which only the handled numbers are remembered. Each takes about 400
/// bytes. Above it, one of them is forgotten, and what it sends again is handled again.
const MAX_REMEMBERED: usize = 100_000;

pub(super) struct State {
    /// Made with the store.
    pub(super) epoch: Box<str>,
    pub(super) clock: Clock,
    pub(super) peers: HashMap<Arc<str>, Peer>,
    /// What waits for all peers.
    pub(super) total: Size,
    /// When the messages of all peers were last searched for expired ones.
    pub(super) swept: Option<Time>,
    /// The bytes of the states that all peers have sent.
    pub(super) reported: usize,
}

/// A peer for which something is kept, or which has sent kept messages.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) outgoing: Outgoing,
    /// The connection on which messages are sent.
    pub(super) conn: Option<Handle>,
    /// What the peer has sent, for each of its epochs, the oldest first.
    pub(super) inboxes: Vec<Inbox>,
    /// The states that the peer has sent, by type.
    pub(super) reported: HashMap<Box<str>, Reported>,
}

/// A state that a peer has sent.
pub(super) struct Reported {
    pub(super) at: Time,
    /// The JSON of the payload.
    pub(super) data: Bytes,
}

/// What a peer has sent in one epoch.
pub(super) struct Inbox {
    pub(super) epoch: Arc<str>,
    pub(super) incoming: Incoming,
    /// The token of the connection on which the epoch began last. Its messages are handled, and
    /// those of older connections are not.
    pub(super) token: u64,
    /// That connection, while it lives.
    pub(super) conn: Option<Handle>,
    /// Where the delayed acknowledgement runs.
    pub(super) runtime: Option<runtime::Handle>,
    /// Whether the begin waits for handlers of an earlier connection.
    pub(super) begin_waits: bool,
    /// The last number that the peer has announced.
    pub(super) announced: u64,
    /// The handled numbers that the store has.
    pub(super) stored: [u64; 2],
    /// Whether the store writes handled numbers. Later ones wait until it has them, so that a slow
    /// store has one write of each inbox in its queue.
    pub(super) is_writing: bool,
    /// The types of the states that the store does not have yet.
    pub(super) unwritten: Vec<Box<str>>,
    /// How many messages were handled since the last acknowledgement.
    pub(super) unacknowledged: usize,
    /// When the last acknowledgement was sent.
    pub(super) acknowledged: Option<Time>,
    /// Whether an acknowledgement is scheduled.
    pub(super) is_scheduled: bool,
    /// The failures that the peer may not know.
    pub(super) failed: Failures,
}

impl State {
    pub(super) fn new(epoch: Box<str>, base: Time) -> Self {
        let clock = Clock { base, start: Instant::now(), recorded: None };
        Self { epoch, clock, peers: HashMap::new(), total: Size::default(), swept: None, reported: 0 }
    }

    pub(super) fn in_memory() -> Self {
        Self::new(Self::new_epoch(), Time::default())
    }

    pub(super) fn new_epoch() -> Box<str> {
        format!("{:016x}", rand::random::<u64>()).into()
    }

    /// Forgets a peer for which nothing is kept.
    pub(super) fn forget_if_empty(&mut self, name: &str) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        if peer.conn.is_none() && peer.outgoing.is_empty() {
            // Also the last numbers: later ones are higher, because they begin with the time.
            peer.outgoing = Outgoing::default();
            if peer.inboxes.is_empty() && peer.reported.is_empty() {
                self.peers.remove(name);
            }
        }
    }

    /// Forgets what one peer has sent, if too many are remembered. Returns the changes for the
    /// store.
    pub(super) fn forget_one(&mut self) -> Vec<Change> {
        if self.peers.len() <= MAX_REMEMBERED {
            return Vec::new();
        }
        let is_idle = |peer: &Peer| {
            peer.conn.is_none() && peer.outgoing.is_empty() && peer.inboxes.iter().all(|inbox| inbox.conn.is_none())
        };
        let Some(name) = self.peers.iter().find(|(_, peer)| is_idle(peer)).map(|(name, _)| name.clone()) else {
            return Vec::new();
        };
        let peer = self.peers.remove(&name).expect("it was found above");
        self.reported -= peer.reported_bytes();
        let inboxes = peer.inboxes.iter().map(|inbox| record::delete_handled(&name, &inbox.epoch));
        inboxes.chain(peer.reported.keys().map(|kind| record::delete_state(&name, kind))).collect()
    }
}

impl Peer {
    /// Whether messages are sent on this connection.
    pub(super) fn is_on(&self, conn: &Handle) -> bool {
        self.conn.as_ref().is_some_and(|own| own.is_same(conn))
    }

    /// Returns the inbox of the epoch, which is new or known. Returns the epoch that was forgotten
    /// for it.
    pub(super) fn inbox(&mut self, epoch: &str) -> (&mut Inbox, Option<Arc<str>>) {
        let mut forgotten = None;
        let at = match self.inboxes.iter().position(|inbox| *inbox.epoch == *epoch) {
            Some(at) => at,
            None => {
                let oldest = self.inboxes.iter().position(|inbox| !inbox.incoming.is_running());
                if let Some(oldest) = oldest.filter(|_| self.inboxes.len() >= MAX_EPOCHS) {
                    forgotten = Some(self.inboxes.remove(oldest).epoch);
                }
                self.inboxes.push(Inbox::new(epoch.into(), [0, 0]));
                self.inboxes.len() - 1
            }
        };
        (&mut self.inboxes[at], forgotten)
    }

    /// Returns the first and the last number that the peer has announced and cannot send any more,
    /// if it begins with an epoch that is new here: it has lost its store.
    pub(super) fn lost_by(&self, epoch: &str) -> Option<(u64, u64)> {
        if self.inboxes.iter().any(|inbox| *inbox.epoch == *epoch) {
            return None;
        }
        let last = self.inboxes.iter().max_by_key(|inbox| inbox.token)?;
        let from = last.incoming.handled(Lane::Seq) + 1;
        (from <= last.announced).then_some((from, last.announced))
    }

    pub(super) fn inbox_of(&mut self, epoch: &str) -> Option<&mut Inbox> {
        self.inboxes.iter_mut().find(|inbox| *inbox.epoch == *epoch)
    }

    /// Returns the bytes of the states that the peer has sent.
    pub(super) fn reported_bytes(&self) -> usize {
        self.reported.values().map(|reported| reported.data.len()).sum()
    }
}

impl Inbox {
    pub(super) fn new(epoch: Arc<str>, stored: [u64; 2]) -> Self {
        Self {
            epoch,
            incoming: Incoming::restored(stored[0], stored[1]),
            token: 0,
            conn: None,
            runtime: None,
            begin_waits: false,
            announced: 0,
            stored,
            is_writing: false,
            unwritten: Vec::new(),
            unacknowledged: 0,
            acknowledged: None,
            is_scheduled: false,
            failed: Failures::new(failed::MAX_RANGES),
        }
    }

    /// Returns the handled numbers.
    pub(super) fn handled(&self) -> [u64; 2] {
        [self.incoming.handled(Lane::Seq), self.incoming.handled(Lane::Latest)]
    }

    /// Whether its messages come on this connection.
    pub(super) fn is_on(&self, conn: &Handle) -> bool {
        self.conn.as_ref().is_some_and(|own| own.is_same(conn))
    }

    /// Notes that a connection has ended.
    pub(super) fn left(&mut self, conn: &Handle) {
        if self.is_on(conn) {
            self.conn = None;
        }
    }
}

/// The clock of the store.
pub(super) struct Clock {
    base: Time,
    start: Instant,
    /// When it was last written to the store.
    recorded: Option<Instant>,
}

impl Clock {
    pub(super) fn now(&self) -> Time {
        self.base.after(self.start.elapsed())
    }

    /// Returns the record of the clock, if the last one is too old.
    pub(super) fn record(&mut self) -> Option<Change> {
        let now = Instant::now();
        if self.recorded.is_some_and(|last| now - last < clock::RECORD_EVERY) {
            return None;
        }
        self.recorded = Some(now);
        Some(record::clock(self.now(), wall()))
    }
}

/// Returns the wall clock, in seconds since 1970.
pub(super) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
