//! The two roles of RFC 6455.

/// The role of an end of a connection. It decides which end masks its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that accepted the connection. Its frames are not masked.
    Server,
    /// The end that opened the connection. Its frames are masked.
    Client,
}
