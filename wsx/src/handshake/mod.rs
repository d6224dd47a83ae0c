//! The parts of the handshake that both ends use. This folder does not know the hub or the client.
pub(crate) mod authority;
pub(crate) mod head;
pub(crate) mod header_list;

/// The header with which both ends name what they speak: a
/// [`PeerVersion`](crate::protocol::PeerVersion). It is also the query parameter of web pages,
/// which cannot set headers.
pub(crate) const PROTOCOL: http::HeaderName = http::HeaderName::from_static("wsx-protocol");
