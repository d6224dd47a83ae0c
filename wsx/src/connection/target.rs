//! What a send and a request have in common: their connection, what an observer counts, and the
//! error of a client between two connections. It does not know the queue.
use crate::{connection::handle::Handle, error::SendError, wire::write::Frame};
use tokio_util::sync::CancellationToken;

/// The connection of a send or a request.
#[derive(Debug)]
pub(super) enum Target<'c> {
    Borrowed(&'c Handle),
    Owned(Handle),
    /// It has already failed.
    Missing,
}

impl Target<'_> {
    pub(super) fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Borrowed(handle) => Some(handle),
            Self::Owned(handle) => Some(handle),
            Self::Missing => None,
        }
    }
}

/// What an observer counts of a message that was queued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// The type, if it is a constant of the program; otherwise empty.
    pub(crate) message_type: &'static str,
    /// The length without the header of the frame.
    pub(crate) bytes: usize,
}

impl Counted {
    #[inline]
    pub(crate) fn of(frame: &Frame) -> Self {
        Self { message_type: frame.message_type, bytes: frame.payload_len() }
    }

    /// Reports that the message was queued.
    #[inline]
    pub(crate) fn report(self, conn: &Handle) {
        conn.report_sent(self.message_type, self.bytes);
    }
}

/// Returns the error for the caller. `client` is the end of its client: before that, a closed
/// connection is not the end of the client.
pub(super) fn error_for(error: SendError, client: Option<&CancellationToken>) -> SendError {
    match (error, client) {
        (SendError::Closed, Some(stop)) if !stop.is_cancelled() => SendError::NotConnected,
        (error, _) => error,
    }
}
