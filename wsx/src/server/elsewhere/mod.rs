//! The ids that other nodes of the cluster have, as presence needs them. Without the feature
//! `nats`, there are none.
#[cfg_attr(feature = "nats", path = "enabled.rs")]
#[cfg_attr(not(feature = "nats"), path = "disabled.rs")]
mod by_feature;

pub(crate) use by_feature::Elsewhere;
#[cfg(feature = "nats")]
pub(crate) use by_feature::Map;

use std::net::SocketAddr;

/// A connection of another node that a newer one of this node replaces.
#[derive(Debug)]
pub(crate) struct Moved {
    /// The address of its peer.
    pub(crate) from: Option<SocketAddr>,
}
