//! The reasons why a peer's bytes cannot be read further. It does not know frames or sockets.
use crate::wire::close_code::CloseCode;
use std::io;
use tokio_tungstenite::tungstenite::{
    Error,
    error::{CapacityError, ProtocolError},
};

/// The reason why reading ended without a close frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection is closed with [`Violation::close_code`].
    #[error(transparent)]
    Rejected(#[from] Violation),
    /// The peer's FIN came first.
    #[error("the peer ended the stream without a close frame")]
    Ended,
    #[error(transparent)]
    Lost(#[from] io::Error),
}

/// The rule of RFC 6455, or the limit, that received bytes violate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    #[error("the message is too long: it has at least {length} bytes, and the limit is {limit}")]
    MessageTooLong { length: u64, limit: usize },
    /// Another rule of the RFC, in the words of tungstenite.
    #[error("{0}")]
    Protocol(String),
}

impl Violation {
    /// Returns the code that answers the violation (RFC 6455 section 7.4.1).
    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::MessageTooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TextNotUtf8 => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                // The cast does not cut off anything: a length in memory has at most 64 bits.
                Violation::MessageTooLong { length: size as u64, limit: max_size }.into()
            }
            Error::Utf8(_) => Violation::TextNotUtf8.into(),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Ended,
            Error::Protocol(error) => Violation::Protocol(error.to_string()).into(),
            Error::Io(error) => Self::Lost(error),
            error => Self::Lost(io::Error::other(error)),
        }
    }
}
