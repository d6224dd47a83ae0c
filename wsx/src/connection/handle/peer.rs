//! What a handle knows of the version that its peer speaks.
use crate::{
    connection::{handle::Handle, watch::WatchWithheld},
    error::SendError,
    protocol::PeerVersion,
};
use std::{fmt, sync::Arc};

/// What a peer speaks, and what it does not understand of this end. All connections with the same
/// version share one.
pub(crate) struct PeerProtocol {
    pub(crate) version: PeerVersion,
    /// Type strings, in order.
    pub(crate) withheld: Vec<Box<str>>,
    /// The same for kept messages, with those of other versions of this program, each as
    /// [`written_by`] names it.
    pub(crate) unread: Arc<[Box<str>]>,
    /// Learns of each message that is withheld.
    pub(crate) watch: Arc<dyn WatchWithheld>,
}

/// Returns the name of a message that another version has written. Both parts are without a `/` at
/// this place: a version has none.
pub(crate) fn written_by(version: &str, message_type: &str) -> String {
    format!("{version}/{message_type}")
}

impl PeerProtocol {
    /// Whether the peer understands messages of this type, as far as this end knows.
    pub(crate) fn reads(&self, message_type: &str) -> bool {
        self.withheld.binary_search_by(|own| (**own).cmp(message_type)).is_err()
    }
}

impl fmt::Debug for PeerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, withheld, .. } = self;
        f.debug_struct("PeerProtocol").field("version", version).field("withheld", withheld).finish_non_exhaustive()
    }
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

    /// Returns the kept messages that the peer does not understand, in order.
    pub(crate) fn withheld_types(&self) -> Arc<[Box<str>]> {
        self.peer_protocol().map_or_else(Arc::default, |peer| peer.unread.clone())
    }

    /// Whether the peer understands messages of this type, as far as this end knows. A type that
    /// the program does not declare is empty, and is understood.
    #[inline]
    pub(crate) fn peer_reads(&self, message_type: &str) -> bool {
        self.peer_protocol().is_none_or(|peer| peer.withheld.is_empty() || peer.reads(message_type))
    }

    /// Reports a message that the peer does not understand. Returns the error.
    #[cold]
    pub(crate) fn withhold(&self, message_type: &str) -> SendError {
        let peer = self.peer_protocol().expect("the peer has named what it speaks");
        peer.watch.withheld(self, message_type, &peer.version);
        SendError::PeerTooOld { message_type: message_type.into(), peer: Box::new(peer.version.clone()) }
    }
}
