//! What a node does with the map of the cluster. The hub implements it, because a change of the map
//! is a change of presence.
use crate::{
    cluster::{
        bus::NodeId,
        packet::{Change, Join},
    },
    observer::ClusterEvent,
};

/// Who has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This node.
    Here,
    /// Another node.
    At(NodeId),
    Nobody,
}

/// The boxes of this node and of the others.
pub(crate) trait Boxes: Send + Sync + 'static {
    /// Takes changes of this node that are not published yet, up to about this many bytes, with the
    /// number of changes before them.
    fn take_changes(&self, bytes: usize) -> Option<(u64, Vec<Change>)>;

    /// Returns the number of published changes, and the number of boxes then, if it is known.
    fn published(&self) -> (u64, Option<usize>);

    /// Returns the number of all changes, and all boxes of this node.
    fn all(&self) -> (u64, Vec<Join>);

    /// Returns who has this id.
    fn holder(&self, id: &str) -> Holder;

    /// Returns the number of boxes that another node claims.
    fn claimed_by(&self, node: NodeId) -> usize;

    /// Applies changes of another node.
    fn apply(&self, node: NodeId, changes: Vec<Change>);

    /// Sets the boxes of another node.
    fn replace(&self, node: NodeId, boxes: Vec<Join>);

    /// Notes that another node was heard.
    fn heard(&self, node: NodeId);

    /// Removes a node with all its boxes, for this reason.
    fn lost(&self, node: NodeId, why: &'static str);

    /// Notes whether the other nodes can be heard.
    fn set_up(&self, is_up: bool);

    /// Shows an event to the observer.
    fn report(&self, event: &ClusterEvent);
}
