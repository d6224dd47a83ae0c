//! From bytes to frames and back (RFC 6455 section 5). This folder does not know sockets or
//! envelopes.
pub(crate) mod close_code;
pub(crate) mod close_frame;
pub(crate) mod data_message;
pub(crate) mod deflate;
mod fragments;
pub(crate) mod header;
mod long_memory;
mod mask;
mod payload;
pub(crate) mod read;
pub(crate) mod read_buffer;
pub(crate) mod role;
pub(crate) mod violation;
pub(crate) mod write;
