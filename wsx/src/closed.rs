//! The end of a connection. It is a value and not an error, because every connection ends.
use crate::wire::close_code::CloseCode;
use std::fmt;

/// How a connection ended. A handler of `__close__` takes it, and
/// [`Connection::closed`](crate::Connection::closed) returns it.
///
/// A peer may already be connected again when the handler of `__close__` runs:
/// [`Hub::is_connected`](crate::Hub::is_connected) says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code of this end or of the peer. It is [`CloseCode::NO_STATUS`] if the peer sent a
    /// close frame without a code, and [`CloseCode::ABNORMAL`] if the link broke (RFC 6455 section
    /// 7.1.5).
    pub code: CloseCode,
    /// The reason in the close frame, or the error of a broken link. It may be empty.
    pub reason: String,
    /// Which end, or the link, ended the connection.
    pub by: ClosedBy,
}

/// Which end, or the link, ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// This program: it closed the connection, or rejected the peer's input.
    Us,
    /// The peer, with a close frame.
    Peer,
    /// The link: it broke, or made no progress within the write timeout.
    Link,
}

impl Closed {
    pub(crate) fn new(code: CloseCode, reason: impl Into<String>, by: ClosedBy) -> Self {
        Self { code, reason: reason.into(), by }
    }

    /// Whether the peer rejected this connection, so that a later one would be rejected too, until
    /// somebody acts (row R2 of the specification).
    ///
    /// That is a close by the peer with [`CloseCode::POLICY_VIOLATION`], with
    /// [`CloseCode::MESSAGE_TOO_BIG`], or with [`CloseCode::REPLACED`], because another connection
    /// has this id. [`Setback::is_refusal`](crate::Setback::is_refusal) says who has to act.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let is_refusal =
            matches!(self.code, CloseCode::POLICY_VIOLATION | CloseCode::MESSAGE_TOO_BIG | CloseCode::REPLACED);
        self.by == ClosedBy::Peer && is_refusal
    }
}

impl ClosedBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "the peer",
            Self::Link => "the link",
        }
    }
}

#[cfg(feature = "metrics")]
impl ClosedBy {
    /// Returns the name as the label of a metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "peer",
            Self::Link => "link",
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed by {} with {}", self.by.name(), self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({:?})", self.reason) }
    }
}
