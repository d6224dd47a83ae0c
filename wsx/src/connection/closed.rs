//! How a connection ended: a value, since every connection ends.
use std::fmt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Close code of a connection whose id connected again (RFC 6455 section 7.4.2 leaves 4000 to 4999 to applications).
///
/// Once in a while that is a box that has come back before the server knew its old link to be dead. Again and again it is two
/// programs with one id: each connects again when the other has replaced it, for ever, unless `ClientBuilder::give_up` says
/// otherwise.
pub const CLOSE_REPLACED: u16 = 4000;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code, ours or the peer's; 1005 when the peer gave none, 1006 when the link broke (RFC 6455
    /// section 7.1.5).
    pub code: CloseCode,
    /// The reason that came with the code, or what the system said of the broken link. May be empty.
    pub reason: String,
    /// Who ended it.
    pub by: ClosedBy,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// This program, by closing or by refusing what the peer sent.
    Us,
    /// The peer, with a close frame.
    Peer,
    /// The link: it broke, or made no progress within the write timeout.
    Link,
}

impl Closed {
    pub(crate) fn new(code: u16, reason: impl Into<String>, by: ClosedBy) -> Self {
        Self { code: CloseCode::from(code), reason: reason.into(), by }
    }

    /// Whether the peer ended it for a reason that will hold the next time too: a policy (1008), or that this id has
    /// connected again elsewhere ([`CLOSE_REPLACED`]).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.by == ClosedBy::Peer && matches!(u16::from(self.code), 1008 | CLOSE_REPLACED)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            ClosedBy::Us => "us",
            ClosedBy::Peer => "the peer",
            ClosedBy::Link => "the link",
        };
        write!(f, "closed by {by} with {}", u16::from(self.code))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({:?})", self.reason) }
    }
}
