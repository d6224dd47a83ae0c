//! The reasons why a peer's bytes cannot be read further. It does not know frames or sockets.
use crate::wire::close_code::CloseCode;
use std::io;

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
    #[error("opcode {0} is not defined")]
    UndefinedOpcode(u8),
    #[error("a frame of a client is not masked")]
    NotMasked,
    #[error("a frame of a server is masked")]
    Masked,
    #[error("a reserved bit is set, but the handshake agreed on no extension with this bit")]
    ReservedBit,
    #[error("the bit of compressed messages is set on a control frame or on a later fragment")]
    CompressedPart,
    #[error("a control frame is fragmented")]
    FragmentedControlFrame,
    #[error("a control frame has {0} bytes, and the maximum is 125")]
    LongControlFrame(u64),
    #[error("the length of a frame has its top bit set")]
    TopBitOfLength,
    #[error("the length of a frame is not written in its shortest form")]
    LongFormOfLength,
    #[error("a continuation frame does not continue a message")]
    NothingToContinue,
    #[error("a message begins before the last fragment of the previous one")]
    MessageWithinMessage,
    #[error("a close frame has half a code")]
    HalfCloseCode,
    #[error("a close frame has code {0}, which it must not have")]
    InvalidCloseCode(CloseCode),
    #[error("the reason in a close frame is not UTF-8")]
    ReasonNotUtf8,
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    #[error("a compressed message cannot be inflated: {0}")]
    #[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "only an inflater finds it"))]
    NotInflated(&'static str),
    #[error("the message is too long: it has at least {length} bytes, and the limit is {limit}")]
    MessageTooLong { length: u64, limit: usize },
    #[error("the peer sends more than {messages} messages or {bytes} bytes in a second")]
    TooFast { messages: u32, bytes: u32 },
    /// A violation that a stream of the application found, in the words of its library.
    #[error("{0}")]
    FoundByStream(String),
}

impl Violation {
    /// Returns the code that answers the violation (RFC 6455 section 7.4.1).
    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::MessageTooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooFast { .. } => CloseCode::POLICY_VIOLATION,
            Self::TextNotUtf8 | Self::ReasonNotUtf8 | Self::NotInflated(_) => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_has_the_code_of_its_kind() {
        for (violation, code) in [
            (Violation::MessageTooLong { length: 2, limit: 1 }, 1009),
            (Violation::TextNotUtf8, 1007),
            (Violation::ReasonNotUtf8, 1007),
            (Violation::NotInflated("why"), 1007),
            (Violation::CompressedPart, 1002),
            (Violation::NotMasked, 1002),
            (Violation::HalfCloseCode, 1002),
            (Violation::FoundByStream("unknown".into()), 1002),
        ] {
            assert_eq!(violation.close_code(), CloseCode::from(code), "{violation}");
        }
    }
}
