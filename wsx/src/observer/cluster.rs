//! What an observer learns of the cluster. It does not know NATS.
use crate::observer::shown::Shown;
use std::{fmt, sync::Arc};

/// Maximum length of the reason why NATS cannot be reached, in characters. It is longer than a
/// shown text, because it ends with what to do.
const LONGEST_REASON: usize = 600;

/// A change of the cluster, for [`Observer::cluster_changed`](crate::Observer::cluster_changed).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// NATS can be reached, for the first time or again.
    Connected,
    /// NATS cannot be reached. The boxes of this node are served as before. Sends to those of other
    /// nodes return `SendError::NodeUnreachable`.
    Disconnected {
        /// The reason, in one line.
        reason: String,
    },
    /// Another node was heard for the first time.
    NodeJoined {
        /// The name that its program gave it.
        name: Arc<str>,
    },
    /// Another node has shut down.
    NodeLeft {
        /// Its name.
        name: Arc<str>,
    },
    /// Another node was not heard for 5 s, or for 2 s and does not read its subject any more. Its
    /// boxes are offline until they connect to another node, or until it is heard again.
    NodeLost {
        /// Its name.
        name: Arc<str>,
    },
    /// Broadcasts of another node did not arrive here. They are not sent again.
    BroadcastsMissed {
        /// The name of the other node.
        name: Arc<str>,
        /// The number of broadcasts since the last event.
        count: u64,
    },
    /// Broadcasts of this node were not sent to the other nodes, because NATS could not be reached,
    /// or did not take them in time. The boxes of this node got them.
    BroadcastsDropped {
        /// The number of broadcasts since the last event.
        count: u64,
    },
    /// A packet cannot be read, and is ignored. Another program or another version of wsx has sent
    /// it. This is reported at most once in a minute.
    PacketIgnored {
        /// The reason, in one line.
        reason: String,
    },
}

/// One line, with the texts of others escaped and cut.
impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("NATS can be reached"),
            Self::Disconnected { reason } => {
                let shown: String = reason.chars().take(LONGEST_REASON).collect();
                write!(f, "NATS cannot be reached: {}", shown.escape_debug())
            }
            Self::NodeJoined { name } => write!(f, "node \"{}\" has joined", Shown(name)),
            Self::NodeLeft { name } => write!(f, "node \"{}\" has shut down", Shown(name)),
            Self::NodeLost { name } => write!(f, "node \"{}\" is lost", Shown(name)),
            Self::BroadcastsMissed { name, count } => {
                write!(f, "{count} broadcasts of node \"{}\" are missing here", Shown(name))
            }
            Self::BroadcastsDropped { count } => write!(f, "{count} broadcasts did not leave for the other nodes"),
            Self::PacketIgnored { reason } => write!(f, "a packet cannot be read: {}", Shown(reason)),
        }
    }
}
