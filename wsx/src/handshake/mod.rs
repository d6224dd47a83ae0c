//! The parts of the handshake that both ends use. This folder does not know the hub or the client.
pub(crate) mod authority;
pub(crate) mod deflate;
pub(crate) mod head;
pub(crate) mod header_list;
pub(crate) mod percent;
pub(crate) mod protocol_header;
