//! The server: the hub, and the handshake that turns an upgrade request into one of its
//! connections.
#[cfg(feature = "server")]
mod accept_loop;
pub(crate) mod admission;
mod broadcast;
#[cfg(feature = "server")]
pub(crate) mod builder;
mod duplicates;
#[cfg(feature = "server")]
mod establish;
#[cfg(feature = "server")]
mod handshake;
#[cfg(feature = "server")]
mod http;
pub(crate) mod hub;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "server")]
pub(crate) mod identity;
mod ingress;
mod lifecycle;
#[cfg(feature = "server")]
mod options;
#[cfg(feature = "server")]
mod origin;
mod pace;
#[cfg(feature = "server")]
mod peer_address;
mod places;
mod registry;
#[cfg(feature = "server")]
pub(crate) mod rejection;
mod shutdown;
#[cfg(feature = "server")]
mod subprotocol;
#[cfg(all(feature = "server", feature = "rustls"))]
pub(crate) mod tls;
#[cfg(feature = "server")]
pub(crate) mod upgrade;

#[cfg(all(feature = "server", feature = "rustls"))]
pub use tls::PeerCertificates;
#[cfg(feature = "server")]
pub use {
    builder::HubBuilder,
    duplicates::OnDuplicate,
    upgrade::{HandshakeError, PeerAddr, WsHandler},
};

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
