//! The payload of a received close frame (RFC 6455 section 5.5.1).
use crate::wire::close_code::CloseCode;

/// The code and the reason that a close frame gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CloseFrame {
    /// [`CloseCode::NO_STATUS`] if the frame is empty.
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}
