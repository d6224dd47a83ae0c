//! A message that waits until the peer has handled it. It does not know its number or its peer.
use crate::{
    delivery::{Moment, Outcome, Time},
    envelope::kept::KeptMessage,
    policy::Delivery,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// A message that waits.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Message {
    pub(super) kept: KeptMessage,
    /// When it was accepted.
    pub(super) at: Time,
    /// When it expires, if it does.
    pub(super) expires: Option<Time>,
    /// Whether the store has it as it is. Before that, it must not be sent: after a crash, its
    /// number would be given to another message.
    pub(super) is_stored: bool,
    /// Whether the store has it, or is to have it, as a message that the peer did not understand.
    pub(super) is_held: bool,
    /// What the program spoke that wrote the message, if that is not what it speaks now. It is
    /// empty if nobody knows.
    pub(super) by: Option<Arc<str>>,
    /// What a program that awaits the message learns.
    watch: Option<watch::Sender<Moment>>,
}

/// For the model, whose texts differ at their ends.
#[cfg(test)]
impl std::hash::Hash for Message {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let end = &self.kept.text[self.len().saturating_sub(8)..];
        (end, self.at, self.expires, self.is_stored, self.is_held).hash(state);
    }
}

impl Message {
    pub(super) fn new(kept: KeptMessage, now: Time, watch: Option<watch::Sender<Moment>>) -> Self {
        let expires = kept.policy.ttl.map(|ttl| now.after(ttl));
        Self { kept, at: now, expires, is_stored: false, is_held: false, by: None, watch }
    }

    /// Returns a message that the store had.
    pub(super) fn restored(
        kept: KeptMessage,
        at: Time,
        expires: Option<Time>,
        is_held: bool,
        by: Option<Arc<str>>,
    ) -> Self {
        Self { kept, at, expires, is_stored: true, is_held, by, watch: None }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.text.len()
    }

    pub(super) fn has_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(super) fn is_state(&self) -> bool {
        self.kept.policy.delivery == Delivery::State
    }

    /// Returns the JSON of the payload.
    pub(super) fn data(&self) -> Bytes {
        self.kept.data()
    }

    /// Reports a moment to the program, if it awaits one.
    pub(super) fn report(&self, moment: Moment) {
        if let Some(watch) = &self.watch {
            watch.send_replace(moment);
        }
    }

    /// Reports the end.
    pub(super) fn end(mut self, outcome: Outcome) -> Self {
        self.report(Moment::Ended(outcome));
        self.watch = None;
        self
    }
}
