//! The numbered messages of a peer: begin, handling, and acknowledgement.
use crate::{
    connection::handle::Handle,
    delivery::{
        Gap, Time, Why,
        deliveries::{
            Deliveries, Shared,
            events::Event,
            state::{Clock, Inbox, Peer, Reported, Size, State},
        },
        incoming::Arrival,
        journal::Fate,
        record,
        wire::{Acknowledgement, Announcement, FailedMessage, MAX_EPOCH},
    },
    envelope::{
        codes::FAILED,
        keys::{MAX_NUMBER, Number},
    },
    wire::{header::Opcode, write},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{runtime, time::sleep};

/// After this many handled messages, they are acknowledged.
const ACKNOWLEDGE_AFTER: usize = 16;
/// Shortest time between two acknowledgements of fewer messages. Each has about 100 bytes, so that
/// they take 1 KB in a second.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(100);

/// A numbered message whose handler runs. If this is dropped before its end, the peer sends the
/// message again, except after a panic.
pub(crate) struct Handling {
    deliveries: Deliveries,
    conn: Handle,
    epoch: Arc<str>,
    number: Number,
    has_ended: bool,
    /// Whether the handler's code runs at this moment. If it still does when this is dropped, it
    /// has panicked.
    is_in_handler: bool,
}

/// How a handler has ended.
pub(crate) enum End<'e> {
    /// With the type and the payload, of which the hub keeps a state.
    Handled(&'e str, &'e str),
    /// With a code and a text.
    Failed(&'e str, &'e str),
}

impl Deliveries {
    /// Takes a control envelope with the key `seq`: a begin or a skip.
    pub(crate) fn announced(&self, conn: &Handle, announcement: &str) {
        let Ok(announcement) = serde_json::from_str::<Announcement<'_>>(announcement) else { return };
        if announcement.epoch.is_empty() || announcement.epoch.len() > MAX_EPOCH || !conn.is_open_to_delivery() {
            return;
        }
        match announcement.skip {
            Some((from, to)) if 0 < from && from <= to && to <= MAX_NUMBER => {
                self.0.skipped(conn, &announcement.epoch, from, to, announcement.why);
            }
            Some(_) => {}
            None => {
                let Announcement { first, last, .. } = announcement;
                self.0.begun(conn, &announcement.epoch, first.unwrap_or(0), last.unwrap_or(0));
            }
        }
    }

    /// Begins to handle a numbered message. Returns `None` if it must not be handled now.
    pub(crate) fn start(&self, conn: &Handle, number: Number) -> Option<Handling> {
        let shared = &self.0;
        let mut events = Vec::new();
        let mut guard = shared.lock();
        let State { peers, clock, .. } = &mut *guard;
        let peer = peers.get_mut(conn.peer())?;
        let inbox = peer.inboxes.iter_mut().rev().find(|inbox| inbox.token == conn.delivery_token())?;
        let epoch = inbox.epoch.clone();
        inbox.failed.received();
        let starts = match inbox.incoming.start(number.lane(), number.value()) {
            Arrival::Handle { .. } if inbox.failed.is_full() => {
                // As if its handler was dropped: the peer has to send it again.
                inbox.incoming.dropped(number.lane(), number.value());
                false
            }
            Arrival::Handle { missing } => {
                if let Some((from, to)) = missing {
                    let gap = Gap { from, to, why: Why::Unknown, is_ours: false };
                    events.push(Event::Gap(conn.clone(), gap));
                }
                true
            }
            Arrival::Duplicate => {
                // The peer may not know that it was handled.
                inbox.unacknowledged += 1;
                let now = clock.now();
                shared.handled(peer, conn.peer_name(), clock, &epoch, now);
                false
            }
            Arrival::Later => false,
        };
        drop(guard);
        shared.report(events);
        starts.then(|| Handling {
            deliveries: self.clone(),
            conn: conn.clone(),
            epoch,
            number,
            has_ended: false,
            is_in_handler: false,
        })
    }
}

impl Handling {
    /// Returns the epoch of the message, and its number in its lane.
    pub(crate) fn identity(&self) -> (Arc<str>, u64) {
        (self.epoch.clone(), self.number.value())
    }

    /// Runs a part of the handler: its call, a poll, or the drop of its future.
    pub(crate) fn run<T>(&mut self, part: impl FnOnce() -> T) -> T {
        self.is_in_handler = true;
        let result = part();
        self.is_in_handler = false;
        result
    }

    /// Notes the end of the handler.
    pub(crate) fn end(mut self, end: &End<'_>) {
        self.has_ended = true;
        self.deliveries.0.ended(&self.conn, &self.epoch, self.number, Some(end));
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if !self.has_ended {
            // A handler that panics would do so again, on each connection. `thread::panicking` is
            // also true for the other handlers of its connection, which are dropped with it.
            let end = self.is_in_handler.then_some(End::Failed(FAILED, "the handler panicked"));
            self.deliveries.0.ended(&self.conn, &self.epoch, self.number, end.as_ref());
        }
    }
}

impl Shared {
    fn begun(&self, conn: &Handle, epoch: &str, first: u64, last: u64) {
        let mut events = Vec::new();
        let mut guard = self.lock();
        let State { peers, clock, remembered, .. } = &mut *guard;
        let name = conn.peer_name().clone();
        let peer = peers.entry(name.clone()).or_default();
        // A connection that was replaced may still have a begin to read.
        if peer.inbox_of(epoch).is_some_and(|inbox| conn.delivery_token() < inbox.token) {
            return;
        }
        if let Some((from, to)) = peer.lost_by(epoch) {
            events.push(Event::Gap(conn.clone(), Gap { from, to, why: Why::Unknown, is_ours: false }));
        }
        let mut changes = Vec::new();
        let inbox = peer.inbox(&name, epoch, remembered, &mut changes);
        inbox.failed.begin(first);
        inbox.announced = last.min(MAX_NUMBER);
        inbox.token = conn.delivery_token();
        inbox.conn = Some(conn.clone());
        inbox.runtime = runtime::Handle::try_current().ok();
        // An acknowledgement that an earlier runtime has dropped never comes.
        inbox.is_scheduled = false;
        inbox.begin_waits = true;
        self.begin_if_idle(inbox, &name, clock.now());
        changes.extend(guard.forget());
        if let (Some(journal), false) = (self.journal.get(), changes.is_empty()) {
            journal.submit(changes, Fate::Required, Box::new(|_| {}));
        }
        drop(guard);
        self.report(events);
    }

    /// Answers a begin, if the handlers of earlier connections have ended.
    fn begin_if_idle(&self, inbox: &mut Inbox, name: &Arc<str>, now: Time) {
        // Duplicates are found by what was handled. The peer must not go on from less than that.
        let is_durable = inbox.handled() == inbox.stored;
        if !inbox.begin_waits || inbox.incoming.is_running() || !is_durable {
            return;
        }
        if inbox.conn.as_ref().is_some_and(|conn| !conn.queue().has_reserve()) {
            return self.schedule(inbox, name, ACKNOWLEDGE_EVERY);
        }
        inbox.begin_waits = false;
        inbox.incoming.begin();
        acknowledge(inbox, now);
    }

    fn skipped(&self, conn: &Handle, epoch: &str, from: u64, to: u64, why: Option<Why>) {
        let mut events = Vec::new();
        let mut guard = self.lock();
        let State { peers, clock, .. } = &mut *guard;
        let Some(peer) = peers.get_mut(conn.peer()) else { return };
        let Some(inbox) = peer.inbox_of(epoch).filter(|inbox| inbox.token == conn.delivery_token()) else { return };
        let why = why.unwrap_or(Why::Unknown);
        inbox.failed.received();
        let (missing, _) = inbox.incoming.skip(from, to, why);
        events.extend(
            missing.into_iter().map(|(from, to, why)| Event::Gap(conn.clone(), Gap { from, to, why, is_ours: false })),
        );
        inbox.unacknowledged += 1;
        let now = clock.now();
        self.handled(peer, conn.peer_name(), clock, epoch, now);
        drop(guard);
        self.report(events);
    }

    /// Notes the end of a handler: with a result, or because it was dropped.
    fn ended(&self, conn: &Handle, epoch: &str, number: Number, end: Option<&End<'_>>) {
        let mut guard = self.lock();
        let State { peers, clock, reported: all_reported, .. } = &mut *guard;
        let now = clock.now();
        let name = conn.peer_name();
        let Some(peer) = peers.get_mut(name) else { return };
        let (mut state, mut no_room) = (None, None);
        if let (Some(End::Handled(message_type, data)), Number::State(_)) = (end, number) {
            let old = peer.reported.get(*message_type).map_or_else(Size::default, Reported::size);
            let data = Reported { at: now, data: Bytes::copy_from_slice(data.as_bytes()) };
            let (mut own, mut all) = (peer.reported_size(), *all_reported);
            own.change(old, data.size());
            all.change(old, data.size());
            if own.bytes > self.bounds.bytes_per_peer
                || all.bytes > self.bounds.bytes
                || all.messages > self.bounds.messages
            {
                no_room = Some(End::Failed("full", "the states take too much room"));
            } else {
                *all_reported = all;
                state = Some(*message_type);
                peer.reported.insert((*message_type).into(), data);
            }
        }
        let Some(inbox) = peer.inbox_of(epoch) else { return };
        let (lane, value) = (number.lane(), number.value());
        match no_room.as_ref().or(end) {
            Some(End::Handled(..)) => drop(inbox.incoming.end(lane, value)),
            Some(End::Failed(code, message)) => {
                inbox.failed.add(lane, value, code, message);
                inbox.incoming.end(lane, value);
            }
            None => drop(inbox.incoming.dropped(lane, value)),
        }
        inbox.unacknowledged += 1;
        if let Some(message_type) = state.filter(|new| !inbox.unwritten.iter().any(|own| **own == **new)) {
            inbox.unwritten.push(message_type.into());
        }
        self.handled(peer, name, clock, epoch, now);
    }

    /// Gives the handled numbers to the store, and acknowledges them when they are durable.
    fn handled(&self, peer: &mut Peer, name: &Arc<str>, clock: &mut Clock, epoch: &str, now: Time) {
        let Some(inbox) = peer.inbox_of(epoch) else { return };
        let (numbers, journal) = (inbox.handled(), self.journal.get());
        if journal.is_none() {
            inbox.stored = numbers;
            inbox.unwritten.clear();
        }
        if numbers == inbox.stored && inbox.unwritten.is_empty() {
            self.begin_if_idle(inbox, name, now);
            return self.acknowledge_if_due(inbox, name, now);
        }
        let Some(journal) = journal.filter(|_| !inbox.is_writing) else { return };
        inbox.is_writing = true;
        let unwritten = std::mem::take(&mut inbox.unwritten);
        let mut changes = vec![record::handled(name, epoch, numbers, inbox.failed.stored(numbers))];
        let (me, epoch) = (self.me.clone(), inbox.epoch.clone());
        changes.extend(unwritten.iter().filter_map(|message_type| peer.state_record(name, message_type)));
        changes.extend(clock.record());
        let name = name.clone();
        let then = Box::new(move |result: Result<_, _>| {
            if let (Some(shared), true) = (me.upgrade(), result.is_ok()) {
                shared.durable(&name, &epoch, numbers);
            }
        });
        journal.submit(changes, Fate::Required, then);
    }

    /// Notes that the store has the handled numbers, and gives it the later ones.
    fn durable(&self, name: &Arc<str>, epoch: &str, numbers: [u64; 2]) {
        let mut guard = self.lock();
        let State { peers, clock, .. } = &mut *guard;
        let now = clock.now();
        let Some(peer) = peers.get_mut(name) else { return };
        let Some(inbox) = peer.inbox_of(epoch) else { return };
        inbox.is_writing = false;
        let handled = inbox.handled();
        if numbers[0] > handled[0] || numbers[1] > handled[1] {
            // It was forgotten meanwhile, and has begun anew.
            return;
        }
        inbox.stored = [inbox.stored[0].max(numbers[0]), inbox.stored[1].max(numbers[1])];
        self.acknowledge_if_due(inbox, name, now);
        self.handled(peer, name, clock, epoch, now);
    }

    /// Acknowledges what was handled on a connection that closes.
    pub(super) fn conclude(&self, conn: &Handle) {
        let mut state = self.lock();
        let now = state.clock.now();
        let Some(peer) = state.peers.get_mut(conn.peer()) else { return };
        let is_due = |inbox: &&mut Inbox| inbox.is_on(conn) && inbox.unacknowledged > 0 && !inbox.begin_waits;
        peer.inboxes.iter_mut().filter(is_due).for_each(|inbox| acknowledge(inbox, now));
    }

    /// Acknowledges what was handled: at once, or later with what is handled until then.
    fn acknowledge_if_due(&self, inbox: &mut Inbox, name: &Arc<str>, now: Time) {
        // Before the answer to the begin, the peer would take it for that.
        if inbox.unacknowledged == 0 || inbox.conn.is_none() || inbox.begin_waits {
            return;
        }
        let next = inbox.acknowledged.map_or(now, |last| last.after(ACKNOWLEDGE_EVERY));
        let has_room = inbox.conn.as_ref().is_some_and(|conn| conn.queue().has_reserve());
        if has_room && (inbox.unacknowledged >= ACKNOWLEDGE_AFTER || next <= now) {
            acknowledge(inbox, now);
        } else {
            self.schedule(inbox, name, if has_room { now.age(next) } else { ACKNOWLEDGE_EVERY });
        }
    }

    /// Looks again later whether something is to be acknowledged.
    fn schedule(&self, inbox: &mut Inbox, name: &Arc<str>, wait: Duration) {
        let (false, Some(runtime)) = (inbox.is_scheduled, &inbox.runtime) else { return };
        let (me, name, epoch) = (self.me.clone(), name.clone(), inbox.epoch.clone());
        inbox.is_scheduled = true;
        runtime.spawn(async move {
            sleep(wait).await;
            let Some(shared) = me.upgrade() else { return };
            let mut state = shared.lock();
            let now = state.clock.now();
            let Some(inbox) = state.peers.get_mut(&name).and_then(|peer| peer.inbox_of(&epoch)) else { return };
            inbox.is_scheduled = false;
            shared.begin_if_idle(inbox, &name, now);
            shared.acknowledge_if_due(inbox, &name, now);
        });
    }
}

/// Sends an acknowledgement, if the peer is connected. The caller asks whether there is room.
fn acknowledge(inbox: &mut Inbox, now: Time) {
    let Some(conn) = inbox.conn.clone() else { return };
    let [seq, latest] = inbox.stored;
    let epoch = inbox.epoch.clone();
    let failed = inbox.failed.take([seq, latest]);
    let failed = failed.iter().map(FailedMessage::from).collect();
    let text = Acknowledgement { epoch: (&*epoch).into(), seq, latest, failed }.text();
    if conn.queue().push_acknowledgement(write::frame(Opcode::TEXT, conn.role(), text.as_bytes())).is_err() {
        inbox.conn = None;
        return;
    }
    // What the store does not have yet is acknowledged when it does.
    inbox.unacknowledged = usize::from(inbox.handled() != inbox.stored);
    inbox.acknowledged = Some(now);
}
