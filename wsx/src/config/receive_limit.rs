//! The types of [`Config::receive_limit`](super::Config::receive_limit()).
use std::time::Duration;

/// How much one connection may send, and what happens beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveLimit {
    /// Maximum number of messages, pings and pongs in a second.
    pub messages_per_second: u32,
    /// Maximum number of bytes in a second, with the headers of frames. A compressed message counts
    /// with its length before compression.
    pub bytes_per_second: u32,
    /// How much a connection may send at once after a quiet time, as the time in which it could
    /// send that at the rate.
    pub burst: Duration,
    /// What happens beyond it.
    pub over: OverLimit,
}

/// What happens to a connection that sends more than [`ReceiveLimit`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverLimit {
    /// wsx reads no faster than the limit. The rest waits in the buffers of the operating systems,
    /// and then the peer's sends wait. Nothing is lost.
    ///
    /// Frames are read in their order, so a ping is answered after the messages before it.
    /// Meanwhile wsx sends pongs that the peer did not ask for, so that a heartbeat of wsx at the
    /// other end does not take the link for dead; other libraries may. The heartbeat of this end
    /// does not count the silence of a peer that is held back. wsx also notices the peer's close
    /// and the end of the link later.
    /// [`Observer::connection_held_back`](crate::Observer::connection_held_back) reports the peer.
    Wait,
    /// The connection is closed with
    /// [`CloseCode::POLICY_VIOLATION`](crate::CloseCode::POLICY_VIOLATION) (1008). A client of wsx
    /// takes this for a rejection; see [`Setback::is_refusal`](crate::Setback::is_refusal).
    Close,
}
