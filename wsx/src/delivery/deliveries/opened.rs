//! Reads the store when a program starts.
use crate::{
    delivery::{
        Store, StoreError, StoreErrorKind, Time, clock,
        deliveries::{
            Deliveries,
            state::{Inbox, Reported, Size, State, wall},
        },
        journal::{Fate, Journal},
        message::Message,
        options::Bounds,
        record::{self, Read},
    },
    observer::GuardedObserver,
};
use std::sync::Arc;

/// Returns the kept messages of the store, if there is one.
pub(super) fn open(
    bounds: Bounds,
    store: Option<Box<dyn Store>>,
    observer: GuardedObserver,
    own: Option<Box<str>>,
) -> Result<Deliveries, StoreError> {
    let Some(store) = store else { return Ok(Deliveries::new(State::in_memory(), bounds, observer, own)) };
    let mut records = Vec::new();
    let mut unknown = 0;
    let errors = observer.clone();
    let journal = Journal::start(
        store,
        |key, value| match record::read(key, value) {
            Some(read) => records.push(read),
            None => unknown += 1,
        },
        Box::new(move |error| errors.store_failed(error)),
    )?;
    if unknown > 0 {
        return Err(StoreError::new(
            StoreErrorKind::Corrupt,
            format!(
                "{unknown} records of the store are not of this version of wsx: another program has changed them, or a \
                 later wsx wrote them; start with another store, and keep this one to look at it"
            ),
        ));
    }
    let (mut state, is_new) = restored(records, own.as_deref());
    // A program that starts again and again, and does nothing else, gets older too.
    let mut changes = vec![if is_new { record::epoch(&state.epoch) } else { record::clock(state.clock.now(), wall()) }];
    changes.extend(state.forget());
    let deliveries = Deliveries::new(state, bounds, observer, own);
    journal.submit(changes, Fate::Required, Box::new(|_| {}));
    let _ = deliveries.0.journal.set(journal);
    Ok(deliveries)
}

/// Returns the state of these records for a program that speaks `own`, and whether its epoch is
/// new.
fn restored(records: Vec<Read>, own: Option<&str>) -> (State, bool) {
    let (mut epoch, mut last, mut then) = (None, Time::default(), 0);
    for read in &records {
        match read {
            Read::Epoch(own) => epoch = Some(own.clone()),
            Read::Clock { last: own, wall } => (last, then) = (*own, *wall),
            _ => {}
        }
    }
    let is_new = epoch.is_none();
    let now = clock::resumed(last, then, wall());
    let mut state = State::new(epoch.unwrap_or_else(State::new_epoch), now);
    for read in records {
        match read {
            Read::Epoch(_) | Read::Clock { .. } => {}
            Read::Message { peer, lane, number, message } => {
                let peer = state.peers.entry(Arc::from(peer)).or_default();
                let before = peer.outgoing.size();
                let ttl = message.kept.policy.ttl;
                let expires = message.expires.zip(ttl);
                let expires = expires.map(|(at, ttl)| clock::expires_after_start(at, ttl, last, now));
                let by = message.by.unwrap_or_default();
                let by = (own != Some(&*by) && own.is_some()).then(|| Arc::from(by));
                let restored = Message::restored(message.kept, message.at, expires, message.is_held, by);
                peer.outgoing.restore(lane, number, restored, message.is_settled);
                state.total.change(before, peer.outgoing.size());
            }
            Read::Skip { peer, from, to, why } => {
                state.peers.entry(Arc::from(peer)).or_default().outgoing.restore_skip(from, to, why);
            }
            Read::Handled { peer, epoch, numbers, failed } => {
                let peer = state.peers.entry(Arc::from(peer)).or_default();
                let mut inbox = Inbox::new(epoch.into(), numbers);
                inbox.failed.restore(failed);
                peer.add_inbox(inbox);
            }
            Read::State { peer, message_type, at, data } => {
                let peer = state.peers.entry(Arc::from(peer)).or_default();
                let reported = Reported { at, data };
                state.reported.change(Size::default(), reported.size());
                peer.reported.insert(message_type, reported);
            }
        }
    }
    let names: Vec<Arc<str>> = state.peers.keys().cloned().collect();
    for name in &names {
        state.forget_if_empty(name);
        state.note_gap(name);
    }
    (state, is_new)
}
