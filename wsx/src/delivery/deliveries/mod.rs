//! The kept messages of a hub or a client: what waits for each peer, and what each peer has sent.
//!
//! It knows the connections to which it writes. It does not know handlers, the hub or the client.
//! Programs' code does not run under its lock: events are reported after it.
mod advance;
mod events;
mod expiry;
mod gaps;
mod opened;
mod pump;
mod receiving;
mod state;
#[cfg(test)]
mod tests;
mod writing;

pub(crate) use receiving::End;

use crate::{
    connection::{
        handle::Handle,
        keeper::{Accepting, Keeper, Kept},
    },
    delivery::{
        Moment, Outbox, Resumed, StateOf, StoreError, Waiting,
        deliveries::{
            events::Event,
            expiry::expire,
            state::{Peer, State},
        },
        failed::Failed,
        journal::{Fate, Journal},
        lane::Lane,
        message::Message,
        options::{Bounds, Mailbox},
        record,
        window::MAX_MESSAGES,
        wire::{Acknowledgement, FailedMessage},
    },
    envelope::{kept::KeptMessage, keys::MAX_NUMBER},
    error::SendError,
    observer::GuardedObserver,
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The kept messages of a hub or a client. Clones are the same.
#[derive(Clone)]
pub(crate) struct Deliveries(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    bounds: Bounds,
    observer: GuardedObserver,
    /// What the program speaks.
    own: Option<Box<str>>,
    /// Writes to the store, if there is one.
    journal: OnceLock<Journal>,
    /// Returns the present connection of a peer. A message may be kept through an older one.
    present: OnceLock<Present>,
    /// Whether the client was closed, or the hub was shut down.
    ended: CancellationToken,
    /// This value, for the calls of the journal.
    me: Weak<Self>,
}

type Present = Box<dyn Fn(&str) -> Option<Handle> + Send + Sync>;

impl Deliveries {
    /// Returns the engine of a client.
    pub(crate) fn of_outbox(
        outbox: Outbox,
        observer: GuardedObserver,
        own: Option<Box<str>>,
    ) -> Result<Self, StoreError> {
        opened::open(outbox.bounds, outbox.store, observer, own)
    }

    /// Returns the engine of a hub.
    pub(crate) fn of_mailbox(
        mailbox: Mailbox,
        observer: GuardedObserver,
        own: Option<Box<str>>,
    ) -> Result<Self, StoreError> {
        opened::open(mailbox.bounds, mailbox.store, observer, own)
    }

    /// Returns one without a store.
    pub(crate) fn in_memory(observer: GuardedObserver) -> Self {
        Self::new(State::in_memory(), Outbox::default().bounds, observer, None)
    }

    fn new(state: State, bounds: Bounds, observer: GuardedObserver, own: Option<Box<str>>) -> Self {
        Self(Arc::new_cyclic(|me| Shared {
            state: Mutex::new(state),
            bounds,
            observer,
            own,
            journal: OnceLock::new(),
            present: OnceLock::new(),
            ended: CancellationToken::new(),
            me: me.clone(),
        }))
    }

    /// Sets what returns the present connection of a peer.
    pub(crate) fn set_present(&self, present: impl Fn(&str) -> Option<Handle> + Send + Sync + 'static) {
        let _ = self.0.present.set(Box::new(present));
    }

    /// Ends the waits for peers: the client was closed, or the hub was shut down. The messages
    /// stay.
    pub(crate) fn end(&self) {
        self.0.ended.cancel();
    }

    /// Begins the delivery on a new connection, after its handler of `__open__`. Nothing is done
    /// for a peer for which nothing is kept.
    pub(crate) fn attach(&self, conn: &Handle) {
        conn.set_open_to_delivery();
        self.0.attach(conn);
    }

    /// Sends nothing more on a connection that closes. Acknowledgements still go both ways.
    pub(crate) fn stop(&self, conn: &Handle) {
        let mut state = self.0.lock();
        if let Some(peer) = state.peers.get_mut(conn.peer()).filter(|peer| peer.is_on(conn)) {
            peer.outgoing.stop();
        }
    }

    /// Ends the delivery on a connection. What was in progress is sent again on the next one.
    pub(crate) fn detach(&self, conn: &Handle) {
        let mut events = Vec::new();
        let mut state = self.0.lock();
        let Some(peer) = state.peers.get_mut(conn.peer()) else { return };
        peer.inboxes.iter_mut().for_each(|inbox| inbox.left(conn));
        if peer.is_on(conn) {
            peer.conn = None;
            peer.outgoing.detach();
            // What was on its way has waited for this.
            self.0.expire_locked(&mut state, conn.peer(), &mut events);
        }
        self.0.forget_if_empty(&mut state, conn.peer());
        drop(state);
        self.0.report(events);
    }

    /// Takes a control envelope with the key `ack`.
    pub(crate) fn acknowledged(&self, conn: &Handle, ack: &str) {
        let Ok(ack) = serde_json::from_str::<Acknowledgement<'_>>(ack) else { return };
        let mut events = Vec::new();
        let mut guard = self.0.lock();
        let State { peers, epoch, clock, total, .. } = &mut *guard;
        let now = clock.now();
        let Some(peer) = peers.get_mut(conn.peer()) else { return };
        if *ack.epoch != **epoch || ack.seq.max(ack.latest) > MAX_NUMBER || !peer.is_on(conn) {
            return;
        }
        let before = peer.outgoing.size();
        let resumes = peer.outgoing.awaits_resume();
        // A window has as many messages, and each is looked up.
        let failed: Vec<Failed> = ack.failed.iter().take(MAX_MESSAGES).filter_map(FailedMessage::failed).collect();
        let failures = peer.outgoing.acknowledged(ack.seq, ack.latest, &failed, now);
        total.change(before, peer.outgoing.size());
        if resumes {
            let resumed = Resumed { handled: ack.seq, waiting: peer.outgoing.messages() };
            events.push(Event::Resumed(conn.clone(), resumed));
        }
        events.extend(failures.into_iter().map(|(failed, kind)| Event::Failed(conn.clone(), failed, kind)));
        // First the store: a message that has a new number is sent when the store has it.
        self.0.write_records(peer, conn.peer(), clock, total);
        self.0.advance_peer(peer, conn.peer(), epoch, clock, total, &mut events);
        drop(guard);
        self.0.report(events);
    }

    /// Returns the messages that wait for a peer, in the order in which they are sent.
    pub(crate) fn waiting(&self, peer: &str) -> Vec<Waiting> {
        self.0.expire(peer);
        let state = self.0.lock();
        let now = state.clock.now();
        let Some(peer) = state.peers.get(peer) else { return Vec::new() };
        peer.outgoing.waiting().map(|(number, message)| Waiting::of(number, message, now)).collect()
    }

    /// Returns the number of messages that wait for a peer.
    pub(crate) fn messages(&self, peer: &str) -> usize {
        self.0.lock().peers.get(peer).map_or(0, |peer| peer.outgoing.messages())
    }

    /// Drops the messages that wait for a peer, and returns how many they were.
    pub(crate) fn drop_waiting(&self, name: &str) -> usize {
        let mut events = Vec::new();
        let mut state = self.0.lock();
        let lowest = state.clock.now().lowest_number();
        let Some(peer) = state.peers.get_mut(name) else { return 0 };
        let before = peer.outgoing.size();
        let types = peer.outgoing.drop_waiting(lowest);
        let dropped = types.len();
        events.push(Event::Dropped(name.into(), types));
        let after = peer.outgoing.size();
        state.total.change(before, after);
        self.0.advance(&mut state, name, &mut events);
        self.0.forget_if_empty(&mut state, name);
        drop(state);
        self.0.report(events);
        dropped
    }

    /// Returns the newest state of this type: the one that the peer sent, or else the one for it.
    pub(crate) fn state(&self, peer: &str, message_type: &str) -> Option<StateOf<Bytes>> {
        let state = self.0.lock();
        let now = state.clock.now();
        let peer = state.peers.get(peer)?;
        if let Some(reported) = peer.reported.get(message_type) {
            return Some(StateOf { value: reported.data.clone(), age: reported.at.age(now), is_handled: true });
        }
        let (message, is_handled) = peer.outgoing.state(message_type)?;
        Some(StateOf { value: message.data(), age: message.at.age(now), is_handled })
    }

    /// Returns the messages and bytes that count for the bounds, and those that are kept.
    #[cfg(feature = "__internals")]
    pub(crate) fn sizes(&self) -> [[usize; 2]; 2] {
        let state = self.0.lock();
        let mut counted = state::Size::default();
        state.peers.values().for_each(|peer| counted.change(state::Size::default(), peer.outgoing.counted()));
        [state.total, counted].map(|state::Size { messages, bytes }| [messages, bytes])
    }
}

impl Keeper for Deliveries {
    fn keep(
        &self,
        name: &Arc<str>,
        conn: &mut dyn FnMut() -> Option<Handle>,
        kept: KeptMessage,
        watch: Option<watch::Sender<Moment>>,
    ) -> Result<Kept, SendError> {
        let message_type = kept.message_type.clone();
        let (accepting, attached) = self.0.keep(name, kept, watch)?;
        if let Some(conn) = attached {
            return Ok(Kept { accepting, may_leave: conn.peer_reads(&message_type) });
        }
        // After the message is there: a connection that comes at the same time has either seen it,
        // or is seen here.
        let conn = conn().filter(|conn| !conn.is_closed()).or_else(|| self.0.present(name));
        if let Some(conn) = conn.as_ref().filter(|conn| conn.is_open_to_delivery()) {
            self.0.attach(conn);
        }
        Ok(Kept { accepting, may_leave: conn.is_some_and(|conn| conn.peer_reads(&message_type)) })
    }

    fn expire(&self, peer: &str) {
        self.0.expire(peer);
    }

    fn conclude(&self, conn: &Handle) {
        self.0.conclude(conn);
    }

    fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self, name: &str) -> Option<Handle> {
        self.present.get().and_then(|present| present(name)).filter(|conn| !conn.is_closed())
    }

    fn attach(&self, conn: &Handle) {
        let mut events = Vec::new();
        let mut state = self.lock();
        let State { peers, gaps, .. } = &mut *state;
        let Some(peer) = peers.get_mut(conn.peer()) else { return };
        if conn.is_closed() || peer.is_on(conn) {
            return;
        }
        gaps.remove(&mut peer.gap_place);
        peer.conn = Some(conn.clone());
        peer.outgoing.attach(conn.verdict().cloned());
        conn.set_delivering();
        self.advance(&mut state, conn.peer(), &mut events);
        drop(state);
        self.report(events);
    }

    /// Keeps a message. Also returns the open connection on which messages are sent to the peer.
    fn keep(
        &self,
        name: &Arc<str>,
        kept: KeptMessage,
        watch: Option<watch::Sender<Moment>>,
    ) -> Result<(Accepting, Option<Handle>), SendError> {
        let mut events = Vec::new();
        let mut guard = self.lock();
        if !self.bounds.has_room(guard.total, kept.text.len()) {
            self.expire_all(&mut guard, &mut events);
        }
        let State { peers, epoch, clock, total, gaps, .. } = &mut *guard;
        let now = clock.now();
        let peer = peers.entry(name.clone()).or_default();
        gaps.remove(&mut peer.gap_place);
        let message = Message::new(kept, now, watch);
        if !peer.outgoing.has_room(&message, self.bounds.room(peer.outgoing.size(), *total)) {
            // What has expired makes room before anything else does.
            expire(peer, name, total, now, &mut events);
        }
        let before = peer.outgoing.size();
        let accepted = peer.outgoing.accept(message, now.lowest_number(), self.bounds.room(before, *total));
        total.change(before, peer.outgoing.size());
        let accepted = accepted.map(|accepted| {
            if !accepted.dropped.is_empty() {
                events.push(Event::Dropped(name.clone(), accepted.dropped));
            }
            accepted.place
        });
        let result = match (accepted, self.journal.get()) {
            (Err(_), _) => Err(SendError::OutboxFull),
            (Ok((lane, number)), None) => {
                let own = peer.outgoing.size();
                peer.outgoing.stored(lane, number);
                total.change(own, peer.outgoing.size());
                Ok(Accepting::Done)
            }
            (Ok((lane, number)), Some(journal)) => Ok(self.store(peer, journal, name, lane, number)),
        };
        self.advance_peer(peer, name, epoch, clock, total, &mut events);
        let attached = peer.conn.clone().filter(|conn| !conn.is_closed());
        if result.is_err() {
            self.forget_if_empty(&mut guard, name);
        }
        drop(guard);
        self.report(events);
        Ok((result?, attached))
    }

    /// Gives a message to the store. It is sent when the store has it.
    fn store(&self, of: &Peer, journal: &Journal, name: &Arc<str>, lane: Lane, number: u64) -> Accepting {
        let (sender, receiver) = oneshot::channel();
        let (me, peer) = (self.me.clone(), name.clone());
        let (message, is_settled) = of.outgoing.stored_form(lane, number).expect("it was accepted just now");
        let changes = vec![record::message(name, lane, number, message, is_settled, self.own.as_deref())];
        let then = Box::new(move |result: Result<(), Arc<StoreError>>| {
            if let Some(shared) = me.upgrade() {
                shared.stored(&peer, lane, number, result.is_ok());
            }
            let _ = sender.send(result.map_err(SendError::Store));
        });
        journal.submit(changes, Fate::Optional, then);
        Accepting::Durable(receiver)
    }

    /// Notes whether the store has taken a message.
    fn stored(&self, name: &Arc<str>, lane: Lane, number: u64, is_stored: bool) {
        let mut events = Vec::new();
        let mut state = self.lock();
        let Some(peer) = state.peers.get_mut(name) else { return };
        let before = peer.outgoing.size();
        if is_stored {
            peer.outgoing.stored(lane, number);
        } else {
            peer.outgoing.refused(lane, number);
        }
        let after = peer.outgoing.size();
        state.total.change(before, after);
        self.advance(&mut state, name, &mut events);
        if !is_stored {
            self.forget_if_empty(&mut state, name);
        }
        drop(state);
        self.report(events);
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("bounds", &self.0.bounds).finish_non_exhaustive()
    }
}
