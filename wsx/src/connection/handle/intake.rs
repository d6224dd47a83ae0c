//! The use of the messages that arrive, from an open connection to a closed one.

/// The use of a message that arrives.
///
/// ```text
/// Open --shutdown, end--> Draining --close, panic--> Shut
///   \-----------------close, panic-----------------/
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Intake {
    /// The message is handled.
    Open,
    /// The message is handled, because the peer sent it before its own close, or before it learned
    /// of the shutdown.
    Draining,
    /// The message is dropped.
    Shut,
}

impl Intake {
    pub(super) fn from_stored(stored: u8) -> Self {
        match stored {
            0 => Self::Open,
            1 => Self::Draining,
            _ => Self::Shut,
        }
    }
}
