//! Why a kept message was not handled, for a program that awaits it.
use crate::{connection::keeper::Outcome, error::SendError};

/// An error of [`Delivering`](crate::delivery::Delivering): the message was not handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The message was not accepted.
    #[error("the message was not accepted")]
    NotAccepted(#[source] SendError),
    /// The handler of the peer failed, or the peer does not have one. The message is not sent
    /// again. Both texts are the peer's; treat them as in
    /// [`Observer::message_ignored`](crate::Observer::message_ignored).
    #[error("the peer did not handle the message: {code:?}: {message:?}")]
    Failed {
        /// `"not_handled"`, `"bad_data"`, `"failed"`, or another text.
        code: String,
        /// A text for people.
        message: String,
    },
    /// Its time to live was over before the peer acknowledged it. The peer may have handled it if
    /// it was sent.
    #[error("the message expired before the peer acknowledged it")]
    Expired,
    /// The program dropped it, or it made room for a newer one, before the peer acknowledged it.
    /// The peer may have handled it if it was sent.
    #[error("the message was dropped before the peer acknowledged it")]
    Dropped,
    /// A newer message of the same type and key has replaced it before the peer acknowledged it.
    /// The peer may have handled it if it was sent.
    #[error("a newer message has replaced this one before the peer acknowledged it")]
    Superseded,
    /// The client or the hub was dropped. The store still has the message, if there is one.
    #[error("the sender has ended before the peer acknowledged the message")]
    Ended,
}

/// Returns the result of a message that is not kept any more.
pub(super) fn result_of(outcome: Outcome) -> Result<(), DeliveryError> {
    match outcome {
        Outcome::Handled => Ok(()),
        Outcome::Failed { code, message } => Err(DeliveryError::Failed { code: code.into(), message: message.into() }),
        Outcome::Expired => Err(DeliveryError::Expired),
        Outcome::Dropped => Err(DeliveryError::Dropped),
        Outcome::Superseded => Err(DeliveryError::Superseded),
    }
}
