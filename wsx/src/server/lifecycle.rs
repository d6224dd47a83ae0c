//! The tasks of a hub, and the signals that end them.
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The signals of a shutdown, and the tasks that it waits for.
#[derive(Default)]
pub(crate) struct Lifecycle {
    /// The tasks of all connections, until each has ended.
    pub(crate) tasks: TaskTracker,
    /// The listeners, and the handshakes in progress.
    pub(crate) handshakes: TaskTracker,
    /// Set before a shutdown begins. Then health checks are answered with 503.
    pub(crate) draining: AtomicBool,
    /// Triggered when a shutdown begins. Then new connections are rejected.
    pub(crate) stop: CancellationToken,
    /// Triggered when the grace period of a shutdown has expired. Then open connections are
    /// dropped.
    pub(crate) kill: CancellationToken,
}

impl Lifecycle {
    /// Whether the hub does not want new connections, or rejects them already.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.stop.is_cancelled()
    }
}
