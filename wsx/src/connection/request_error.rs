//! The error of a request, with a variant for each thing that a caller does differently.
use crate::{closed::Closed, error::SendError};
use serde_json::value::RawValue;
use std::{
    any::type_name,
    convert::Infallible,
    error::Error,
    fmt::{self, Write as _},
};

/// An error that a request returns in place of its reply.
///
/// `F` is the message with which the peer may refuse the request, if the protocol names one, as in
/// `Reboot -> Rebooted | RebootRefused`. Otherwise it is [`Infallible`].
///
/// Texts of the peer are at most 512 bytes long. `Display` escapes their control characters.
///
/// ```
/// use wsx::RequestError;
///
/// /// Whether the peer has certainly not begun, so that asking again does no harm.
/// fn has_not_begun(error: &RequestError) -> bool {
///     use RequestError::{BadData, Busy, Expired, NoSuchConnection, NotHandled, NotSent};
///     // After `Ended` and `TimedOut`, the peer may have done the work.
///     matches!(error, NoSuchConnection(_) | NotSent(_) | NotHandled(_) | BadData(_) | Busy | Expired)
/// }
/// assert!(has_not_begun(&RequestError::Busy));
/// assert!(!has_not_begun(&RequestError::TimedOut));
/// ```
#[non_exhaustive]
pub enum RequestError<F = Infallible> {
    /// The hub has no connection with this id.
    NoSuchConnection(String),
    /// The request was not sent:
    ///
    /// - [`SendError::Full`]: [`Config::max_requests`](crate::Config::max_requests) are
    ///   outstanding, or the send queue did not have room before the deadline.
    /// - [`SendError::Closed`]: the connection is closing or has ended.
    /// - [`SendError::NotConnected`]: the client is between two connections.
    /// - [`SendError::Encode`]: the request cannot be written as JSON.
    NotSent(SendError),
    /// The request left the queue, and the connection ended before the reply. The peer may have
    /// received and handled it.
    Ended(Closed),
    /// The deadline passed without a reply. The peer may have handled the request, or may still do
    /// so. A reply that comes later is dropped and counted.
    TimedOut,
    /// The peer does not have a handler for the request. The text is the peer's.
    NotHandled(String),
    /// The peer's handler has run, and does not reply.
    NoReply,
    /// The peer could not decode the request. The text is the peer's.
    BadData(String),
    /// The peer's handler failed. The text is the peer's.
    Failed(String),
    /// Too many requests wait at the peer, or requests that ask back are nested too deep. The peer
    /// did not start this one.
    Busy,
    /// The request waited at the peer until its deadline, so the peer did not start it.
    Expired,
    /// The peer refused, with the message that the protocol names for this.
    Refused(F),
    /// The peer answered with a code that wsx does not know. It may be a peer without wsx, or the
    /// refusal of another version of the protocol.
    Other(Box<PeerFailure>),
    /// The reply has another type than the protocol says, or its data does not fit.
    BadReply(serde_json::Error),
}

/// A failure with a code that wsx does not know.
#[derive(Debug)]
#[non_exhaustive]
pub struct PeerFailure {
    /// The key `code`, cut at 128 bytes. It is empty if the failure is not an object with a `code`.
    pub code: String,
    /// The key `message`, cut at 512 bytes. It is the JSON of the failure if there is no `code`.
    pub message: String,
    /// The key `data`.
    pub data: Option<Box<RawValue>>,
}

impl<F> fmt::Display for RequestError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchConnection(id) => write!(f, "no such connection: {id:?}"),
            Self::NotSent(_) => f.write_str("the request was not sent"),
            Self::Ended(closed) => write!(f, "the connection ended before the reply: {closed}"),
            Self::TimedOut => f.write_str("the peer did not reply in time"),
            Self::NotHandled(text) => write!(f, "the peer does not handle the request: {}", Escaped(text)),
            Self::NoReply => f.write_str("the peer's handler does not reply"),
            Self::BadData(text) => write!(f, "the peer could not decode the request: {}", Escaped(text)),
            Self::Failed(text) => write!(f, "the peer's handler failed: {}", Escaped(text)),
            Self::Busy => f.write_str("the peer is busy: too many requests wait there"),
            Self::Expired => f.write_str("the peer did not start the request in time"),
            Self::Refused(_) => f.write_str("the peer refused the request"),
            Self::Other(error) => {
                write!(f, "the peer failed with code {:?}: {}", error.code, Escaped(&error.message))
            }
            Self::BadReply(_) => f.write_str("the reply does not fit"),
        }
    }
}

/// A text of the peer, without characters that change what a terminal shows. Quotes stay as they
/// are, because the text may contain the error of a request that the peer made.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '"' | '\'' | '\\' => f.write_char(character),
            other => write!(f, "{}", other.escape_debug()),
        })
    }
}

/// Needs no `Debug` of the refusal, and shows its type alone. So every program can pass the error
/// on.
impl<F> fmt::Debug for RequestError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value): (_, Option<&dyn fmt::Debug>) = match self {
            Self::NoSuchConnection(id) => ("NoSuchConnection", Some(id)),
            Self::NotSent(error) => ("NotSent", Some(error)),
            Self::Ended(closed) => ("Ended", Some(closed)),
            Self::TimedOut => ("TimedOut", None),
            Self::NotHandled(text) => ("NotHandled", Some(text)),
            Self::NoReply => ("NoReply", None),
            Self::BadData(text) => ("BadData", Some(text)),
            Self::Failed(text) => ("Failed", Some(text)),
            Self::Busy => ("Busy", None),
            Self::Expired => ("Expired", None),
            Self::Refused(_) => return write!(f, "Refused({})", type_name::<F>()),
            Self::Other(error) => ("Other", Some(error)),
            Self::BadReply(error) => ("BadReply", Some(error)),
        };
        match value {
            Some(value) => f.debug_tuple(name).field(value).finish(),
            None => f.write_str(name),
        }
    }
}

impl<F> Error for RequestError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(error),
            Self::BadReply(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Row Q3: text of the peer is printed in one line. An error that passed several ends stays
    /// readable.
    #[test]
    fn text_of_the_peer_is_escaped_once() {
        let inner = RequestError::<Infallible>::Failed("no \"paper\"\n\u{1b}[2J".into()).to_string();
        assert_eq!(inner, "the peer's handler failed: no \"paper\"\\n\\u{1b}[2J");
        let outer = RequestError::<Infallible>::Failed(inner.clone()).to_string();
        assert_eq!(outer, format!("the peer's handler failed: {inner}"));
    }

    /// Row Q3: a refusal without `Debug` leaves the error an error.
    #[test]
    fn a_refusal_needs_no_debug() {
        struct Locked;
        let refused: Box<dyn Error> = Box::new(RequestError::Refused(Locked));
        assert_eq!(refused.to_string(), "the peer refused the request");
        assert!(format!("{refused:?}").starts_with("Refused(") && format!("{refused:?}").ends_with("Locked)"));
        assert_eq!(format!("{:?}", RequestError::<Infallible>::Failed("a".into())), "Failed(\"a\")");
        assert_eq!(format!("{:?}", RequestError::<Infallible>::TimedOut), "TimedOut");
    }
}
