//! Close codes (RFC 6455 section 7.4): the number in a close frame that gives the reason for the
//! close.
//!
//! It knows the codes and their names. It does not know connections.
use std::fmt;

/// The code of a WebSocket close, from a close frame or in place of one (RFC 6455 section 7.4).
///
/// The constants are the codes with a registered meaning. [`From<u16>`] makes every other code. The
/// RFC leaves 4000 to 4999 to applications (section 7.4.2).
///
/// ```
/// use wsx::CloseCode;
///
/// const UNPAID: u16 = 4002;
///
/// assert_eq!(u16::from(CloseCode::POLICY_VIOLATION), 1008);
/// assert_eq!(CloseCode::from(UNPAID).to_string(), "4002");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away. A server shuts down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer violated the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the endpoint does not accept this type of data, for example binary messages.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the close frame did not have a code. This code is never in a close frame.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection was lost without a close frame. This code is never in a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the data does not fit the type of the message, for example text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer violated a policy of the endpoint. It is the general code if no other fits.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: the message is too long for the endpoint.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client requires an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: an unexpected condition prevents the endpoint from continuing.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts; the client may reconnect after a random delay. The code is in the
    /// IANA registry, not in the RFC.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; the client should reconnect later. The code is in the IANA
    /// registry, not in the RFC.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received an invalid response from its upstream server. The code is in the
    /// IANA registry, not in the RFC.
    ///
    /// wsx accepts it from a peer, and answers with it. A program cannot close with it, because
    /// many peers know only the codes of the RFC. They answer 1014 with a protocol error.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 4000: another connection with the same id has replaced this one. It is a code of wsx, in the
    /// RFC's range for applications.
    ///
    /// Now and then this is normal: a peer reconnected before the server knew that its old link was
    /// dead. If it happens again and again, two programs use one id. Each reconnects when the other
    /// has replaced it; a [`Client`](crate::Client) waits for at least half of its longest wait
    /// before that. [`Observer::id_contested`](crate::Observer::id_contested) reports it.
    pub const REPLACED: Self = Self(4000);
    /// 4426: a web page speaks a version of the protocol that the hub does not accept any more; see
    /// [`HubBuilder::require`](crate::server::HubBuilder::require). It is a code of wsx, in the
    /// RFC's range for applications. Load the page again.
    pub const OUTDATED: Self = Self(4426);

    /// Whether a close frame of a peer may contain this code (RFC 6455 section 7.4): 1000 to 1003,
    /// 1007 to 1014, and 3000 to 4999.
    ///
    /// 1004 is reserved. 1005, 1006 and 1015 stand for a close without a code. All others are not
    /// defined.
    pub(crate) const fn is_receivable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether a program may close with this code: with every code that peers may send, except
    /// 1014.
    pub(crate) const fn is_sendable(self) -> bool {
        self.is_receivable() && self.0 != Self::BAD_GATEWAY.0
    }

    /// Returns the name of the constant, if there is one.
    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NORMAL => "NORMAL",
            Self::GOING_AWAY => "GOING_AWAY",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::UNSUPPORTED_DATA => "UNSUPPORTED_DATA",
            Self::NO_STATUS => "NO_STATUS",
            Self::ABNORMAL => "ABNORMAL",
            Self::INVALID_PAYLOAD => "INVALID_PAYLOAD",
            Self::POLICY_VIOLATION => "POLICY_VIOLATION",
            Self::MESSAGE_TOO_BIG => "MESSAGE_TOO_BIG",
            Self::MANDATORY_EXTENSION => "MANDATORY_EXTENSION",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::SERVICE_RESTART => "SERVICE_RESTART",
            Self::TRY_AGAIN_LATER => "TRY_AGAIN_LATER",
            Self::BAD_GATEWAY => "BAD_GATEWAY",
            Self::REPLACED => "REPLACED",
            Self::OUTDATED => "OUTDATED",
            _ => return None,
        })
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

/// Writes the number.
impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Writes the number, then the name of the constant if there is one.
impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "CloseCode({self} {name})"),
            None => write!(f, "CloseCode({self})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding;

    /// A peer that uses tungstenite answers any other code with a protocol error.
    #[test]
    fn every_code_that_tungstenite_allows_is_sendable_and_no_other() {
        for code in 0..=u16::MAX {
            let (code, allowed) = (CloseCode::from(code), coding::CloseCode::from(code).is_allowed());
            assert_eq!(code.is_sendable(), allowed, "{code}");
            assert_eq!(code.is_receivable(), allowed || code == CloseCode::BAD_GATEWAY, "{code}");
        }
    }

    #[test]
    fn a_code_is_displayed_as_its_number_and_debugged_with_its_name() {
        assert_eq!(format!("{0} {0:?}", CloseCode::NORMAL), "1000 CloseCode(1000 NORMAL)");
        assert_eq!(format!("{0} {0:?}", CloseCode::from(4321)), "4321 CloseCode(4321)");
        assert_eq!(format!("{:>6}", CloseCode::REPLACED), "  4000");
    }

    #[test]
    fn each_registered_code_is_debugged_with_its_name() {
        for (number, name) in [
            (1000, "NORMAL"),
            (1001, "GOING_AWAY"),
            (1002, "PROTOCOL_ERROR"),
            (1003, "UNSUPPORTED_DATA"),
            (1005, "NO_STATUS"),
            (1006, "ABNORMAL"),
            (1007, "INVALID_PAYLOAD"),
            (1008, "POLICY_VIOLATION"),
            (1009, "MESSAGE_TOO_BIG"),
            (1010, "MANDATORY_EXTENSION"),
            (1011, "INTERNAL_ERROR"),
            (1012, "SERVICE_RESTART"),
            (1013, "TRY_AGAIN_LATER"),
            (1014, "BAD_GATEWAY"),
            (4000, "REPLACED"),
        ] {
            assert_eq!(format!("{:?}", CloseCode::from(number)), format!("CloseCode({number} {name})"));
        }
    }

    #[test]
    fn a_code_is_its_number() {
        for (code, number) in [(CloseCode::NORMAL, 1000), (CloseCode::ABNORMAL, 1006), (CloseCode::REPLACED, 4000)] {
            assert_eq!((u16::from(code), CloseCode::from(number)), (number, code));
        }
    }
}
