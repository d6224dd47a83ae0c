//! The payload of a received close frame (RFC 6455 section 5.5.1).
use crate::wire::{close_code::CloseCode, violation::Violation};

/// The code and the reason that a close frame gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CloseFrame {
    /// [`CloseCode::NO_STATUS`] if the frame is empty.
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

impl CloseFrame {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => (CloseCode::NO_STATUS, &[][..]),
            [_] => return Err(Violation::HalfCloseCode),
            [high, low, reason @ ..] => {
                let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
                if !code.is_receivable() {
                    return Err(Violation::InvalidCloseCode(code));
                }
                (code, reason)
            }
        };
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Self { code, reason: reason.to_owned() }),
            Err(_) => Err(Violation::ReasonNotUtf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_has_both_a_valid_code_and_text_or_nothing() {
        let parsed = |code: u16, reason: &str| Ok(CloseFrame { code: code.into(), reason: reason.into() });
        for (payload, expected) in [
            (&b""[..], parsed(1005, "")),
            (b"\x03\xe8", parsed(1000, "")),
            (b"\x0f\xa0\xc3\xbc", parsed(4000, "ü")),
            (b"\x03\xf6", parsed(1014, "")),
            (b"\x03", Err(Violation::HalfCloseCode)),
            (b"\x03\xed", Err(Violation::InvalidCloseCode(CloseCode::NO_STATUS))),
            (b"\x03\xedtext", Err(Violation::InvalidCloseCode(CloseCode::NO_STATUS))),
            (b"\x03\xe8\xc3", Err(Violation::ReasonNotUtf8)),
        ] {
            assert_eq!(CloseFrame::parse(payload), expected, "{payload:?}");
        }
    }
}
