//! What a handle knows of the version that its peer speaks.
use crate::{
    connection::{handle::Handle, watch::WatchWithheld},
    error::SendError,
    protocol::{PeerVersion, verdict::Verdict},
};
use std::sync::Arc;

/// What a peer speaks. All connections with the same version share one.
pub(crate) struct PeerProtocol {
    pub(crate) version: PeerVersion,
    /// What the ends do not understand of each other, if this end knows.
    pub(crate) verdict: Option<Arc<Verdict>>,
    /// Learns of each message that is withheld.
    pub(crate) watch: Arc<dyn WatchWithheld>,
}

impl Handle {
    /// Sets what the peer speaks. Only the first call counts: it comes before the task starts.
    pub(crate) fn set_peer_protocol(&self, peer: Arc<PeerProtocol>) {
        let _ = self.0.peer_protocol.set(peer);
    }

    /// Returns what the peer speaks, if it has named that.
    pub(crate) fn peer_protocol(&self) -> Option<&Arc<PeerProtocol>> {
        self.0.peer_protocol.get()
    }

    /// Returns what the ends do not understand of each other, if this end knows.
    pub(crate) fn verdict(&self) -> Option<&Arc<Verdict>> {
        self.peer_protocol()?.verdict.as_ref()
    }

    /// Whether the peer understands messages of this type, as far as this end knows. A type that
    /// the program does not declare is empty, and is understood.
    #[inline]
    pub(crate) fn peer_reads(&self, message_type: &str) -> bool {
        self.verdict().is_none_or(|verdict| verdict.reads(message_type))
    }

    /// Reports a message that the peer does not understand. Returns the error.
    #[cold]
    pub(crate) fn withhold(&self, message_type: &str) -> SendError {
        let peer = self.peer_protocol().expect("the peer has named what it speaks");
        peer.watch.withheld(self, message_type, &peer.version);
        SendError::PeerTooOld { message_type: message_type.into(), peer: Box::new(peer.version.clone()) }
    }
}
