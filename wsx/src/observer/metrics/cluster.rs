//! The metrics of a cluster. A hub without one does not have them, so that no alert takes it for a
//! node that cannot reach NATS.
use super::names::{CLUSTER_CONNECTED, CLUSTER_DROPPED, CLUSTER_LOST, CLUSTER_MISSED, CLUSTER_NODES};
use crate::observer::ClusterEvent;
use metrics::{counter, gauge};
use std::sync::atomic::{AtomicBool, Ordering};

/// What one hub has counted.
#[derive(Debug, Default)]
pub(super) struct ClusterMetrics {
    /// Whether it is counted as connected. Each new reason is an event.
    connected: AtomicBool,
}

impl ClusterMetrics {
    pub(super) fn changed(&self, event: &ClusterEvent) {
        // All of them exist from the first event on. A rate needs a value from before it.
        let change = |name, by: f64| gauge!(name).increment(by);
        let count = |name, by: u64| counter!(name).increment(by);
        change(CLUSTER_CONNECTED, 0.0);
        change(CLUSTER_NODES, 0.0);
        [CLUSTER_MISSED, CLUSTER_DROPPED, CLUSTER_LOST].into_iter().for_each(|name| count(name, 0));
        match event {
            ClusterEvent::Connected => change(CLUSTER_CONNECTED, self.connect(true)),
            ClusterEvent::Disconnected { .. } => change(CLUSTER_CONNECTED, self.connect(false)),
            ClusterEvent::NodeJoined { .. } => change(CLUSTER_NODES, 1.0),
            ClusterEvent::NodeLeft { .. } => change(CLUSTER_NODES, -1.0),
            ClusterEvent::NodeLost { .. } => {
                change(CLUSTER_NODES, -1.0);
                count(CLUSTER_LOST, 1);
            }
            ClusterEvent::BroadcastsMissed { count: missed, .. } => count(CLUSTER_MISSED, *missed),
            ClusterEvent::BroadcastsDropped { count: dropped } => count(CLUSTER_DROPPED, *dropped),
            ClusterEvent::PacketIgnored { .. } => {}
        }
    }

    /// Notes whether NATS can be reached. Returns the difference for the gauge, to which several
    /// hubs of a process add.
    fn connect(&self, now: bool) -> f64 {
        let before = self.connected.swap(now, Ordering::Relaxed);
        f64::from(u8::from(now)) - f64::from(u8::from(before))
    }
}
