//! How a connection ended: a value and not an error, because every connection ends.
use crate::wire::close_code::CloseCode;
use std::fmt;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code, ours or the peer's. [`CloseCode::NO_STATUS`] when the peer gave none, [`CloseCode::ABNORMAL`] when
    /// the link broke (RFC 6455 section 7.1.5).
    pub code: CloseCode,
    /// The reason that came with the code, or the error of a broken link. May be empty.
    pub reason: String,
    /// Who ended it.
    pub by: ClosedBy,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// This program: it closed, or it rejected what the peer sent.
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

    /// Whether the peer ended it for a reason that a later attempt meets too: [`CloseCode::POLICY_VIOLATION`], or
    /// [`CloseCode::REPLACED`] because this id has connected elsewhere.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.by == ClosedBy::Peer && matches!(self.code, CloseCode::POLICY_VIOLATION | CloseCode::REPLACED)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            ClosedBy::Us => "us",
            ClosedBy::Peer => "the peer",
            ClosedBy::Link => "the link",
        };
        write!(f, "closed by {by} with {}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({:?})", self.reason) }
    }
}
