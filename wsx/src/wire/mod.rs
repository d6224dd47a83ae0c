//! From bytes to frames and back (RFC 6455 section 5). This folder does not know sockets or
//! envelopes.
pub(crate) mod close_code;
pub(crate) mod header;
pub(crate) mod input;
mod mask;
pub(crate) mod message;
pub(crate) mod read;
mod tungstenite;
pub(crate) mod write;
