//! The frame of a message: its envelope, written directly after the room for the frame's header.
use crate::{
    envelope::{Outbound, keys::Sent},
    error::SendError,
    wire::{
        header::Opcode,
        role::Role,
        write::{self, Draft, Frame},
    },
};

/// Encodes a message. [`Outbound`] itself does not know frames.
pub(crate) trait Encode: Outbound {
    /// Returns the finished frame of a message that is neither a request nor a reply.
    #[inline]
    fn encode(&self, role: Role) -> Result<Frame, SendError> {
        self.encode_with(role, Sent::Message)
    }

    /// Returns the finished frame, with these keys in its envelope.
    #[inline]
    fn encode_with(&self, role: Role, keys: Sent<'_>) -> Result<Frame, SendError> {
        let mut frame =
            write::encode(Opcode::TEXT, role, self.constant_type(), |buffer| self.write_envelope(buffer, keys))
                .map_err(SendError::Encode)?;
        frame.may_shrink = self.policy().compress.is_allowed();
        Ok(frame)
    }

    /// Returns the frame without its header; otherwise as [`encode_with`](Self::encode_with).
    fn draft(&self, keys: Sent<'_>) -> Result<Draft, SendError> {
        let mut draft = write::draft(self.constant_type(), |buffer| self.write_envelope(buffer, keys))
            .map_err(SendError::Encode)?;
        draft.set_may_shrink(self.policy().compress.is_allowed());
        Ok(draft)
    }
}

impl<M: Outbound + ?Sized> Encode for M {}
