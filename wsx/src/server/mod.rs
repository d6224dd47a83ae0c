//! The server's end: the hub, and how requests become its connections.
pub(crate) mod admission;
#[cfg(feature = "server")]
pub(crate) mod handshake;
pub(crate) mod hub;
#[cfg(feature = "hyper")]
pub(crate) mod hyper;
#[cfg(all(feature = "server", feature = "rustls"))]
pub(crate) mod tls;
#[cfg(feature = "server")]
pub(crate) mod upgrade;
