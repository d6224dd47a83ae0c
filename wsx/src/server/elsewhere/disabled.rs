//! Without the feature `nats`, no other node has an id.
use crate::{
    closed::Closed,
    connection::{handle::Handle, wall_clock::Seconds},
    server::{elsewhere::Moved, presence::PeerStatus},
};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Elsewhere {}

impl Elsewhere {
    pub(crate) fn has(&self, _: &str) -> bool {
        false
    }

    pub(crate) fn has_surely(&self, _: &str) -> bool {
        false
    }

    pub(crate) fn since(&self, _: &str) -> Option<Seconds> {
        None
    }

    pub(crate) fn status(&self, _: &str) -> Option<PeerStatus> {
        None
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = PeerStatus> {
        std::iter::empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::empty()
    }

    pub(crate) fn len(&self) -> usize {
        0
    }

    pub(crate) fn came(&mut self, _: &Handle, _: Seconds) -> Option<Moved> {
        None
    }

    pub(crate) fn went(&mut self, _: &Handle, _: &Closed) -> bool {
        false
    }
}
