//! A message that counts as handled, although its handler failed. It does not know who reports it.
use crate::delivery::lane::Lane;

/// What an acknowledgement says of one message that was not handled.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) lane: Lane,
    pub(super) number: u64,
    pub(super) code: Box<str>,
    pub(super) message: Box<str>,
}
