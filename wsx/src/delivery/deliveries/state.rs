//! What the lock of the kept messages protects: the peers, the epoch and the clock.
pub(super) mod absent;
#[cfg(test)]
mod tests;

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
use absent::Absent;

/// Maximum number of epochs that are remembered for a peer. A peer has a new one when its store is
/// new.
const MAX_EPOCHS: usize = 4;
/// Maximum number of absent peers whose handled numbers are remembered. Each takes about 1.4 KB.
/// Too low: what a peer sends again after an outage is handled again. Too high: peers that invent
/// ids fill the memory.
const MAX_REMEMBERED: usize = 100_000;
/// The bytes of a peer that counts once. One with many failures counts more often.
const REMEMBERED_BYTES: usize = 1400;
/// Maximum number of absent peers for which only a gap is kept. Too low: a peer that was away for
/// long does not learn which messages it has missed. Too high: each one takes about 1 KB, and a
/// record of the store.
const MAX_GAPS: usize = 10_000;

pub(super) struct State {
    /// Made with the store.
    pub(super) epoch: Box<str>,
    pub(super) clock: Clock,
    pub(super) peers: HashMap<Arc<str>, Peer>,
    /// What waits for all peers.
    pub(super) total: Size,
    /// When the messages of all peers were last searched for expired ones.
    pub(super) swept: Option<Time>,
    /// The states that all peers have sent.
    pub(super) reported: Size,
    /// The absent peers whose numbers are remembered.
    pub(super) remembered: Absent,
    /// The absent peers for which only a gap is kept.
    pub(super) gaps: Absent,
}

/// A peer for which something is kept, or which has sent kept messages.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) outgoing: Outgoing,
    /// The connection on which messages are sent.
    pub(super) conn: Option<Handle>,
    /// What the peer has sent, for each of its epochs. The one that was used last is the last.
    pub(super) inboxes: Vec<Inbox>,
    /// Its place among the absent peers whose numbers are remembered.
    place: Option<u64>,
    /// The states that the peer has sent, by type.
    pub(super) reported: HashMap<Box<str>, Reported>,
    /// Its place among the absent peers for which only a gap is kept.
    pub(super) gap_place: Option<u64>,
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
        let (total, reported) = (Size::default(), Size::default());
        let (remembered, gaps) = (Absent::new(MAX_REMEMBERED), Absent::new(MAX_GAPS));
        Self { epoch, clock, peers: HashMap::new(), total, swept: None, reported, remembered, gaps }
    }

    pub(super) fn in_memory() -> Self {
        Self::new(Self::new_epoch(), Time::default())
    }

    pub(super) fn new_epoch() -> Box<str> {
        format!("{:016x}", rand::random::<u64>()).into()
    }

    /// Forgets a peer for which nothing is kept. If only its numbers are remembered, it may be
    /// forgotten later.
    pub(super) fn forget_if_empty(&mut self, name: &str) {
        let Some((name, _)) = self.peers.get_key_value(name) else { return };
        let name = name.clone();
        let peer = self.peers.get_mut(&name).expect("it was found above");
        if peer.conn.is_none() && peer.outgoing.is_empty() {
            // Also the last numbers: later ones are higher, because they begin with the time.
            peer.outgoing = Outgoing::default();
            if peer.inboxes.is_empty() && peer.reported.is_empty() {
                self.peers.remove(&name);
                return;
            }
        }
        let is_absent = !peer.inboxes.is_empty() && peer.inboxes.iter().all(|inbox| inbox.conn.is_none());
        if is_absent && peer.place.is_none() {
            let bytes: usize = peer.inboxes.iter().map(|inbox| inbox.failed.memory()).sum();
            peer.place = Some(self.remembered.add(name, 1 + bytes / REMEMBERED_BYTES));
        }
    }

    /// Forgets the numbers of the peers that have left first, if too many are remembered. The
    /// states that they sent stay. Returns the changes for the store.
    pub(super) fn forget(&mut self) -> Vec<Change> {
        let (mut changes, mut busy) = (Vec::new(), Vec::new());
        while let Some(name) = self.remembered.pop() {
            let Some(peer) = self.peers.get_mut(&name) else { continue };
            peer.place = None;
            if peer.inboxes.iter().any(|inbox| inbox.incoming.is_running()) {
                busy.push(name);
                continue;
            }
            let inboxes = std::mem::take(&mut peer.inboxes);
            inboxes.iter().for_each(|inbox| peer.forgotten(&name, inbox, &mut changes));
            self.forget_if_empty(&name);
        }
        busy.iter().for_each(|name| self.forget_if_empty(name));
        changes
    }
}

impl Peer {
    /// Whether messages are sent on this connection.
    pub(super) fn is_on(&self, conn: &Handle) -> bool {
        self.conn.as_ref().is_some_and(|own| own.is_same(conn))
    }

    /// Uses the inbox of the epoch, which is new or known. Adds the changes for the store.
    pub(super) fn inbox(
        &mut self,
        name: &str,
        epoch: &str,
        remembered: &mut Absent,
        changes: &mut Vec<Change>,
    ) -> &mut Inbox {
        remembered.remove(&mut self.place);
        if let Some(at) = self.inboxes.iter().position(|inbox| *inbox.epoch == *epoch) {
            self.inboxes[at..].rotate_left(1);
        } else {
            let unused = self.inboxes.iter().position(|inbox| !inbox.incoming.is_running());
            if let Some(unused) = unused.filter(|_| self.inboxes.len() >= MAX_EPOCHS) {
                let inbox = self.inboxes.remove(unused);
                self.forgotten(name, &inbox, changes);
            }
            self.add_inbox(Inbox::new(epoch.into(), [0, 0]));
        }
        self.inboxes.last_mut().expect("it was moved or added above")
    }

    /// Adds an inbox. Most peers have one, so there is no room for others.
    pub(super) fn add_inbox(&mut self, inbox: Inbox) {
        self.inboxes.reserve_exact(1);
        self.inboxes.push(inbox);
    }

    /// Adds the changes for the store that forget an inbox, and those that it has not written.
    fn forgotten(&self, name: &str, inbox: &Inbox, changes: &mut Vec<Change>) {
        changes.extend(inbox.unwritten.iter().filter_map(|message_type| self.state_record(name, message_type)));
        changes.push(record::delete_handled(name, &inbox.epoch));
    }

    /// Returns the record of a state that the peer has sent.
    pub(super) fn state_record(&self, name: &str, message_type: &str) -> Option<Change> {
        self.reported.get(message_type).map(|Reported { at, data }| record::state(name, message_type, *at, data))
    }

    /// Returns the first and the last number that the peer has announced and does not send, if it
    /// begins with an epoch that is new here: it has lost its store. Another program with the same
    /// id looks like that too, and the numbers may come after all when the first one returns. A gap
    /// that was reported in vain is better than one that is silent.
    pub(super) fn lost_by(&self, epoch: &str) -> Option<(u64, u64)> {
        if self.inboxes.iter().any(|inbox| *inbox.epoch == *epoch) {
            return None;
        }
        let last = self.inboxes.last()?;
        let from = last.incoming.handled(Lane::Seq) + 1;
        (from <= last.announced).then_some((from, last.announced))
    }

    pub(super) fn inbox_of(&mut self, epoch: &str) -> Option<&mut Inbox> {
        self.inboxes.iter_mut().find(|inbox| *inbox.epoch == *epoch)
    }

    /// Returns the size of the states that the peer has sent.
    pub(super) fn reported_size(&self) -> Size {
        let mut size = Size::default();
        self.reported.values().for_each(|reported| size.change(Size::default(), reported.size()));
        size
    }
}

impl Reported {
    pub(super) fn size(&self) -> Size {
        Size { messages: 1, bytes: self.data.len() }
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
