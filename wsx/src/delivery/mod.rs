//! Delivery: keeps messages until their peer has handled them.
#[allow(dead_code, reason = "the outbox and the mailbox will use it")]
pub(crate) mod journal;
mod store;

pub use store::{Change, Store, StoreError, StoreErrorKind};
