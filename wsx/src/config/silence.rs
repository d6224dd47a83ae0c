//! When a silent peer is asked for a sign of life. It does not know what asks.
use std::time::Duration;

/// When to ping a silent peer, and how long to wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// The peer is pinged after this time without a sign of life.
    pub interval: Duration,
    /// The connection ends after this time without a sign of life since the ping has left.
    pub timeout: Duration,
}

/// When the operating system probes an idle connection, and how many unanswered probes end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// The first probe is sent after this time without a byte in either direction.
    pub idle: Duration,
    /// The time between two probes.
    pub interval: Duration,
    /// The connection ends after this many probes without an answer.
    pub probes: u32,
}
