//! The frame of a message: its envelope, written directly after the room for the frame's header.
use crate::{
    envelope::Outbound,
    error::SendError,
    wire::{
        header::Opcode,
        role::Role,
        write::{self, Frame},
    },
};

/// Encodes a message. [`Outbound`] itself does not know frames.
pub(crate) trait Encode: Outbound {
    /// Returns the finished frame.
    #[inline]
    fn encode(&self, role: Role) -> Result<Frame, SendError> {
        write::encode(Opcode::TEXT, role, self.constant_type(), |buffer| self.write_envelope(buffer))
            .map_err(SendError::Encode)
    }
}

impl<M: Outbound + ?Sized> Encode for M {}
