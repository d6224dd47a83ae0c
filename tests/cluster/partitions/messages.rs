//! What nodes and boxes say to each other.
use serde::{Deserialize, Serialize};

/// From a box. It counts.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
pub(crate) struct Reading {
    pub(crate) number: u64,
}

/// From a node to a box, or to all of them. The box notes it.
#[derive(Serialize, Deserialize, wsx::Message)]
pub(crate) struct Told {
    pub(crate) key: String,
}

/// From a node to a box of its own. The box does not note it.
#[derive(Serialize, Deserialize, wsx::Message)]
pub(crate) struct Tick {}

/// A question of a node.
#[derive(Serialize, Deserialize, wsx::Message)]
pub(crate) struct Question {
    pub(crate) key: String,
    /// How long the box waits before it replies, in milliseconds.
    pub(crate) wait: u64,
}

/// Its reply.
#[derive(Serialize, Deserialize, wsx::Message)]
pub(crate) struct Answer {
    pub(crate) key: String,
}
