//! The server's end: the hub, and how upgrade requests become its connections.
#[cfg(feature = "server")]
mod accept;
pub(crate) mod admission;
#[cfg(feature = "server")]
mod admit;
#[cfg(feature = "server")]
pub(crate) mod builder;
#[cfg(feature = "server")]
pub(crate) mod handshake;
pub(crate) mod hub;
#[cfg(feature = "hyper")]
mod hyper;
mod registry;
mod shutdown;
#[cfg(all(feature = "server", feature = "rustls"))]
pub(crate) mod tls;
#[cfg(feature = "server")]
pub(crate) mod upgrade;

#[cfg(all(feature = "server", feature = "rustls"))]
pub use tls::PeerCertificates;
#[cfg(feature = "server")]
pub use {
    builder::HubBuilder,
    handshake::Subprotocol,
    upgrade::{HandshakeError, PeerAddr, WsHandler},
};
