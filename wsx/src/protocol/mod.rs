//! The side of a program in a protocol, which the compiler checks. It does not know the wire or the
//! handlers.
pub(crate) mod answer;
pub(crate) mod description;
#[cfg(feature = "__engine")]
pub(crate) mod endpoint;
pub(crate) mod handled;
pub(crate) mod message_type;
#[cfg(feature = "__engine")]
pub(crate) mod peer_version;
pub(crate) mod side;
#[cfg(feature = "__engine")]
pub(crate) mod verdict;

pub use description::{Answer, Description, Travel};
#[cfg(feature = "__engine")]
pub use endpoint::IntoEndpoint;
pub use message_type::MessageType;
#[cfg(feature = "__engine")]
pub use peer_version::PeerVersion;
pub use side::{AnyPeer, AnySide, Receives, Side};
