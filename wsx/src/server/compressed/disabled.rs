//! Without the feature `deflate`, a broadcast has one frame.
use crate::{config::Config, connection::handle::Handle, wire::write::Frame};
use bytes::Bytes;

pub(super) enum Variants {}

impl Variants {
    pub(super) fn of(_: &Frame, _: &Config) -> Option<Self> {
        None
    }

    pub(super) fn is_missing(&self, _: &Handle) -> bool {
        match *self {}
    }

    pub(super) fn frame(&self, _: &Bytes, _: &Handle) -> Option<Bytes> {
        match *self {}
    }

    pub(super) fn report(&self, _: usize, _: &Handle) {
        match *self {}
    }
}
