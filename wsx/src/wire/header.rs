//! The header of a frame (RFC 6455 section 5.2), and the rules that a header alone can violate.
//!
//! It knows a single header. It does not know the payload, and of earlier frames only whether a
//! message is incomplete.
use tokio_tungstenite::tungstenite::{
    error::ProtocolError,
    protocol::{Role, frame::coding::Data},
};

/// Maximum payload of a control frame, in bytes (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;
/// Maximum length of a header: 2 bytes, 8 bytes of length, and 4 bytes of mask.
pub(super) const MAX_HEADER: usize = 14;

/// The bit of the first byte that marks the last frame of a message.
const FIN: u8 = 0x80;
/// The bits of the first byte that only an extension may set. wsx does not negotiate extensions.
const RESERVED_BITS: u8 = 0x70;

/// The type of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opcode(u8);

impl Opcode {
    pub(crate) const CONTINUATION: Self = Self(0x0);
    pub(crate) const TEXT: Self = Self(0x1);
    pub(crate) const BINARY: Self = Self(0x2);
    pub(crate) const CLOSE: Self = Self(0x8);
    pub(crate) const PING: Self = Self(0x9);

    /// Returns the first byte of an unfragmented frame with this opcode.
    pub(super) const fn whole(self) -> u8 {
        FIN | self.0
    }

    /// Whether this is a close, a ping or a pong (section 5.5).
    fn is_control(self) -> bool {
        self.0 & 0x08 != 0
    }
}

/// The header of a frame (RFC 6455 section 5.2).
pub(crate) struct Header {
    /// FIN, the reserved bits and the opcode.
    first_byte: u8,
    pub(super) masked: bool,
    pub(super) mask_key: [u8; 4],
    /// The length of the header, in bytes.
    pub(crate) size: usize,
    /// The length of the payload, in bytes.
    pub(crate) payload_length: u64,
}

impl Header {
    /// Returns `None` if the header is not complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
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

    pub(crate) fn opcode(&self) -> Opcode {
        Opcode(self.first_byte & 0x0f)
    }

    /// Whether the frame is a complete message or a fragment of one.
    pub(super) fn is_data(&self) -> bool {
        !self.opcode().is_control()
    }

    /// Whether the frame ends its message.
    pub(super) fn is_final(&self) -> bool {
        self.first_byte & FIN != 0
    }

    /// Whether the frame is a complete message, according to its first byte.
    pub(super) fn is_whole_message(&self) -> bool {
        const TEXT: u8 = Opcode::TEXT.whole();
        const BINARY: u8 = Opcode::BINARY.whole();
        matches!(self.first_byte, TEXT | BINARY)
    }

    /// Returns the rule that the header violates, if any. `fragmented` is whether a message has
    /// begun but not ended.
    ///
    /// A frame with an invalid header is rejected before its payload is read. tungstenite would
    /// allocate memory for the payload and wait for it. The checks and their order are the same as
    /// in tungstenite.
    pub(super) fn violation(&self, role: Role, fragmented: bool) -> Option<ProtocolError> {
        let (opcode, is_server) = (self.opcode(), role == Role::Server);
        match opcode {
            Opcode(number @ (0x3..=0x7 | 0xb..=0xf)) => Some(ProtocolError::InvalidOpcode(number)),
            _ if is_server && !self.masked => Some(ProtocolError::UnmaskedFrameFromClient),
            _ if self.first_byte & RESERVED_BITS != 0 => Some(ProtocolError::NonZeroReservedBits),
            _ if !is_server && self.masked => Some(ProtocolError::MaskedFrameFromServer),
            _ if opcode.is_control() && !self.is_final() => Some(ProtocolError::FragmentedControlFrame),
            _ if opcode.is_control() && self.payload_length > MAX_CONTROL as u64 => {
                Some(ProtocolError::ControlFrameTooBig)
            }
            Opcode::CONTINUATION if !fragmented => Some(ProtocolError::UnexpectedContinueFrame),
            Opcode::TEXT if fragmented => Some(ProtocolError::ExpectedFragment(Data::Text)),
            Opcode::BINARY if fragmented => Some(ProtocolError::ExpectedFragment(Data::Binary)),
            _ => None,
        }
    }
}
