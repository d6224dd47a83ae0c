//! A frame's header (RFC 6455 section 5.2), and the rules that it can break by itself.
//!
//! Knows one header. It does not know the frames before it, or the payload behind it.

/// Longest payload of a control frame (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;
/// Longest header of a frame: 2 bytes, 8 of length, 4 of mask.
pub(super) const MAX_HEADER: usize = 14;

/// A frame's header (RFC 6455 section 5.2).
pub(super) struct Header {
    /// FIN, the reserved bits and the opcode.
    pub(super) first: u8,
    pub(super) masked: bool,
    pub(super) key: [u8; 4],
    /// Of the header itself, in bytes.
    pub(super) size: usize,
    /// Of the payload, in bytes.
    pub(super) length: u64,
}

impl Header {
    /// `None` when there is more of it to come.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let masked = second & 0x80 != 0;
        let key = if masked { *bytes.get(size..)?.first_chunk()? } else { [0; 4] };
        Some(Self { first: *first, masked, key, size: if masked { size + 4 } else { size }, length })
    }

    /// Of data: a first fragment, a further one, or a whole message.
    pub(super) fn is_data(&self) -> bool {
        self.first & 0x08 == 0
    }

    pub(super) fn is_final(&self) -> bool {
        self.first & 0x80 != 0
    }
}
