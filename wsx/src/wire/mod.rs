//! Bytes to frames and back (RFC 6455 section 5). Knows no socket and no envelope.
pub(crate) mod frame;
pub(crate) mod reader;
