//! What an observer may want to know of each message. It does not know observers.
use crate::{connection::handle::Handle, protocol::PeerVersion, wire::deflate::Compression};

/// Learns of each message that is sent. Only few observers want that, because it costs time for
/// each message.
pub(crate) trait Watch: Send + Sync {
    /// A message was queued. Its type is empty if it is not a constant of the program.
    fn sent(&self, conn: &Handle, message_type: &'static str, bytes: usize);

    /// The number of queued messages has changed. The differences of a connection add up to zero.
    fn queue_changed(&self, conn: &Handle, before: usize, now: usize);

    /// Messages were compressed or inflated.
    fn compressed(&self, conn: &Handle, work: &Compression);
}

/// Learns of each message that is withheld from a peer, because the peer would not understand it.
pub(crate) trait WatchWithheld: Send + Sync {
    fn withheld(&self, conn: &Handle, message_type: &str, peer: &PeerVersion);
}
