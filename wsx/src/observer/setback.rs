//! The reason why a client has no connection. It does not know the observer.
use crate::{
    closed::Closed,
    error::{ConnectError, Report},
};
use std::fmt;

/// The reason why a reconnecting client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Setback {
    /// An attempt to connect failed.
    Attempt(ConnectError),
    /// The connection ended.
    Ended(Closed),
}

impl Setback {
    /// Whether the server rejected this client, so that a later attempt would fail too, until
    /// somebody acts (row R2 of the specification).
    ///
    /// | refusal | who has to act |
    /// |---|---|
    /// | status 401, 403 | the owner of the token or the certificate; a fresh one may be enough |
    /// | status 404, 410 | the owner of the URL; 410 is permanent |
    /// | close 1008, `POLICY_VIOLATION` | the operator of the server |
    /// | close 1009, `MESSAGE_TOO_BIG` | the developer: the message is too long each time |
    /// | close 4000, `REPLACED` | the owner of the other program with this id |
    ///
    /// Only 410 and 1009 are permanent by their meaning. A program whose
    /// [`headers`](crate::client::ClientBuilder::headers) or [`Urls`](crate::client::Urls) fetch a
    /// fresh token should not give up on 401 and 403. Every other status, close code and error is
    /// temporary, and is not a refusal.
    ///
    /// A program that an operator watches should stop then. Otherwise two programs with the same id
    /// replace each other forever.
    ///
    /// ```standalone_crate
    /// # #[cfg(feature = "client")]
    /// # fn example() -> Result<(), wsx::BuildError> {
    /// let client = wsx::Client::builder("ws://127.0.0.1:9001/ws")
    ///     .give_up(wsx::Setback::is_refusal)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Attempt(error) => error.is_refusal(),
            Self::Ended(closed) => closed.is_refusal(),
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(error) => Report(error).fmt(f),
            Self::Ended(closed) => closed.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{closed::ClosedBy, wire::close_code::CloseCode};

    #[test]
    fn a_setback_says_what_its_cause_says() {
        for (code, is_refusal) in [(CloseCode::POLICY_VIOLATION, true), (CloseCode::GOING_AWAY, false)] {
            let closed = Closed::new(code, "why", ClosedBy::Peer);
            let setback = Setback::Ended(closed.clone());
            assert_eq!((setback.is_refusal(), setback.to_string()), (is_refusal, closed.to_string()));
        }
        let attempt = Setback::Attempt(ConnectError::Url("no URL".into()));
        assert!(!attempt.is_refusal() && attempt.to_string().ends_with("no URL"), "{attempt}");
    }
}
