//! What the compiler checks: the endpoint on which handlers register, and the sides of a protocol.
pub(crate) mod endpoint;
