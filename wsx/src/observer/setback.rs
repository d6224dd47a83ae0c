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
    /// Whether the server rejected this client, so that a later attempt would fail too (row R2 of
    /// the specification).
    ///
    /// That is a status of 401, 403, 404 or 410, or a close with
    /// [`CloseCode::POLICY_VIOLATION`](crate::CloseCode::POLICY_VIOLATION) or
    /// [`CloseCode::REPLACED`](crate::CloseCode::REPLACED).
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
