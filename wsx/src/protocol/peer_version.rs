//! The protocol that a peer speaks, as it names it in the handshake. It does not know HTTP.
use crate::protocol::description::as_digits;
use serde::Serialize;
use std::fmt;

/// Maximum length of the name of a protocol, in bytes. Others choose this name, and
/// each end keeps it.
pub(crate) const MAX_NAME: usize = 64;

/// The version of a protocol that a peer speaks (row U5 of the specification).
///
/// A client of wsx names it in the header `wsx-protocol`, and a page in the query parameter of that
/// name. A hub answers with its own, in the same header. The value is the name, the number and the
/// fingerprint in 16 hexadecimal digits, as in `Fleet.1.a892be0623a45602`.
///
/// A peer may name what it likes: this is what it says, and no proof.
///
/// Its `Display` is `Fleet v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct PeerVersion {
    /// The name of the protocol, at most 64 bytes.
    pub protocol: Box<str>,
    /// The version of the protocol.
    pub version: u32,
    /// The fingerprint of the protocol; see [`Description`](crate::protocol::Description). In JSON
    /// it has 16 hexadecimal digits.
    #[serde(serialize_with = "as_digits")]
    pub fingerprint: u64,
}

impl PeerVersion {
    pub(crate) fn new(protocol: &str, version: u32, fingerprint: u64) -> Self {
        Self { protocol: protocol.into(), version, fingerprint }
    }

    /// Returns name, number and fingerprint, for a store.
    pub(crate) fn key(&self) -> String {
        format!("{}.{}.{:016x}", self.protocol, self.version, self.fingerprint)
    }
}

impl fmt::Display for PeerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.protocol, self.version)
    }
}
