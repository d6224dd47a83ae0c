//! A frame's header (RFC 6455 section 5.2), and the rules that it can break by itself.
//!
//! Knows one header. It knows neither the payload after it nor, but for one flag, the frames before it.

use tokio_tungstenite::tungstenite::{
    error::ProtocolError,
    protocol::{Role, frame::coding::Data},
};

/// Longest payload of a control frame (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;
/// Longest header of a frame: 2 bytes, 8 of length, 4 of mask.
pub(super) const MAX_HEADER: usize = 14;

/// The bit of a header's first byte that says that the frame ends its message.
pub(super) const FIN: u8 = 0x80;

/// The opcodes that are sent (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
}

/// The first byte of a text message that is one frame.
pub(super) const WHOLE_TEXT: u8 = FIN | Opcode::Text as u8;
/// The first byte of a binary message that is one frame.
pub(super) const WHOLE_BINARY: u8 = FIN | Opcode::Binary as u8;

/// A frame's header (RFC 6455 section 5.2).
pub(super) struct Header {
    /// FIN, the reserved bits and the opcode.
    pub(super) first_byte: u8,
    pub(super) masked: bool,
    pub(super) mask_key: [u8; 4],
    /// Of the header itself, in bytes.
    pub(super) size: usize,
    /// Of the payload, in bytes.
    pub(super) payload_length: u64,
}

impl Header {
    /// `None` when there is more of it to come.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [first_byte, second_byte, rest @ ..] = bytes else { return None };
        let (payload_length, size) = match second_byte & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let masked = second_byte & 0x80 != 0;
        let mask_key = if masked { *bytes.get(size..)?.first_chunk()? } else { [0; 4] };
        let size = if masked { size + 4 } else { size };
        Some(Self { first_byte: *first_byte, masked, mask_key, size, payload_length })
    }

    /// Of data: a first fragment, a further one, or a whole message.
    pub(super) fn is_data(&self) -> bool {
        self.first_byte & 0x08 == 0
    }

    pub(super) fn is_final(&self) -> bool {
        self.first_byte & FIN != 0
    }

    /// The rule that the header breaks, whatever its payload is. `fragmented` is whether a message has begun and not ended.
    ///
    /// Found here, the frame is rejected at once. tungstenite would wait for its payload, which may never come, and set
    /// memory aside for it. The checks and their order are tungstenite's.
    pub(super) fn violation(&self, role: Role, fragmented: bool) -> Option<ProtocolError> {
        let opcode = self.first_byte & 0x0f;
        let (is_server, is_control) = (role == Role::Server, opcode >= 0x8);
        match opcode {
            0x3..=0x7 | 0xb..=0xf => Some(ProtocolError::InvalidOpcode(opcode)),
            _ if is_server && !self.masked => Some(ProtocolError::UnmaskedFrameFromClient),
            _ if self.first_byte & 0x70 != 0 => Some(ProtocolError::NonZeroReservedBits),
            _ if !is_server && self.masked => Some(ProtocolError::MaskedFrameFromServer),
            _ if is_control && !self.is_final() => Some(ProtocolError::FragmentedControlFrame),
            _ if is_control && self.payload_length > MAX_CONTROL as u64 => Some(ProtocolError::ControlFrameTooBig),
            0 if !fragmented => Some(ProtocolError::UnexpectedContinueFrame),
            1 if fragmented => Some(ProtocolError::ExpectedFragment(Data::Text)),
            2 if fragmented => Some(ProtocolError::ExpectedFragment(Data::Binary)),
            _ => None,
        }
    }
}
