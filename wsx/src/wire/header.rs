//! The header of a frame (RFC 6455 section 5.2), and the rules that a header alone can violate.
//!
//! It knows a single header. It does not know the payload, and of earlier frames only whether a
//! message is incomplete.
use crate::wire::{role::Role, violation::Violation};

/// Maximum payload of a control frame, in bytes (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;
/// Maximum length of a header: 2 bytes, 8 bytes of length, and 4 bytes of mask.
pub(crate) const MAX_HEADER: usize = 14;

/// Maximum length of a payload, in bytes: the top bit of a length must be 0 (section 5.2).
const MAX_LENGTH: u64 = u64::MAX >> 1;
/// The bit of the first byte that marks the last frame of a message.
const FIN: u8 = 0x80;
/// The bits of the first byte that only an extension may set.
const RESERVED_BITS: u8 = 0x70;
/// RSV1, the bit of compressed messages (RFC 7692 section 6). It is in their first frame.
const COMPRESSED: u8 = 0x40;
/// RSV2, as a mark on a queued frame: its message may be compressed. It is set only on connections
/// that compress, and the writer takes it off.
pub(crate) const MARK: u8 = 0x20;

/// The type of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opcode(u8);

impl Opcode {
    pub(crate) const CONTINUATION: Self = Self(0x0);
    pub(crate) const TEXT: Self = Self(0x1);
    pub(crate) const BINARY: Self = Self(0x2);
    pub(crate) const CLOSE: Self = Self(0x8);
    pub(crate) const PING: Self = Self(0x9);
    pub(crate) const PONG: Self = Self(0xa);

    /// Returns the first byte of an unfragmented frame with this opcode.
    pub(super) const fn whole(self) -> u8 {
        FIN | self.0
    }

    /// Returns the opcode together with the bit of compressed messages.
    #[cfg(feature = "deflate")]
    pub(super) const fn compressed(self) -> Self {
        Self(COMPRESSED | self.0)
    }

    /// Whether this is a close, a ping or a pong (section 5.5).
    pub(super) fn is_control(self) -> bool {
        self.0 & 0x08 != 0
    }
}

/// The header of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy)]
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

    /// Whether the frame ends its message.
    pub(super) fn is_final(&self) -> bool {
        self.first_byte & FIN != 0
    }

    /// Whether the message is compressed. It is known from its first frame.
    pub(super) fn is_compressed(&self) -> bool {
        self.first_byte & COMPRESSED != 0
    }

    /// Whether the frame is a complete message that is not compressed, according to its first byte.
    fn is_whole_message(&self) -> bool {
        const TEXT: u8 = Opcode::TEXT.whole();
        const BINARY: u8 = Opcode::BINARY.whole();
        matches!(self.first_byte, TEXT | BINARY)
    }

    /// Whether the length is written in its shortest form, as section 5.2 demands.
    fn has_shortest_form(&self) -> bool {
        let mask = if self.masked { 4 } else { 0 };
        match self.size - mask {
            2 => true,
            4 => self.payload_length >= 126,
            _ => self.payload_length >= 1 << 16,
        }
    }

    /// Returns an error if the header violates a rule. `fragmented` is whether a message has begun
    /// but not ended. `inflates` is whether the peer may compress.
    ///
    /// A frame with an invalid header is rejected before its payload is read, because the payload
    /// may never arrive.
    #[inline]
    pub(super) fn check(&self, role: Role, fragmented: bool, inflates: bool) -> Result<(), Violation> {
        // Nearly all frames.
        let usual = self.is_whole_message() && !fragmented && self.masked == (role == Role::Server);
        if usual && self.has_shortest_form() && self.payload_length <= MAX_LENGTH {
            return Ok(());
        }
        self.violation(role, fragmented, inflates).map_or(Ok(()), Err)
    }

    fn violation(&self, role: Role, fragmented: bool, inflates: bool) -> Option<Violation> {
        let (opcode, is_server) = (self.opcode(), role == Role::Server);
        let reserved = self.first_byte & RESERVED_BITS;
        match opcode {
            Opcode(number @ (0x3..=0x7 | 0xb..=0xf)) => Some(Violation::UndefinedOpcode(number)),
            _ if is_server && !self.masked => Some(Violation::NotMasked),
            _ if reserved != 0 && !(inflates && reserved == COMPRESSED) => Some(Violation::ReservedBit),
            _ if reserved != 0 && !matches!(opcode, Opcode::TEXT | Opcode::BINARY) => Some(Violation::CompressedPart),
            _ if !is_server && self.masked => Some(Violation::Masked),
            _ if self.payload_length > MAX_LENGTH => Some(Violation::TopBitOfLength),
            _ if !self.has_shortest_form() => Some(Violation::LongFormOfLength),
            _ if opcode.is_control() && !self.is_final() => Some(Violation::FragmentedControlFrame),
            _ if opcode.is_control() && self.payload_length > MAX_CONTROL as u64 => {
                Some(Violation::LongControlFrame(self.payload_length))
            }
            Opcode::CONTINUATION if !fragmented => Some(Violation::NothingToContinue),
            Opcode::TEXT | Opcode::BINARY if fragmented => Some(Violation::MessageWithinMessage),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as its bytes, in any form of the length.
    #[derive(Debug, Clone, Copy)]
    struct Written {
        first_byte: u8,
        masked: bool,
        length: u64,
        /// The number of bytes that the length has after its first seven bits.
        extended: usize,
    }

    const KEY: [u8; 4] = [1, 2, 3, 4];

    impl Written {
        fn bytes(self) -> Vec<u8> {
            let code = match self.extended {
                0 => self.length as u8,
                2 => 126,
                _ => 127,
            };
            let mut bytes = vec![self.first_byte, if self.masked { 0x80 + code } else { code }];
            bytes.extend_from_slice(&self.length.to_be_bytes()[8 - self.extended..]);
            bytes.extend_from_slice(if self.masked { &KEY } else { &[] });
            bytes
        }

        /// Returns all rules that it violates.
        fn violated(self, role: Role, fragmented: bool, inflates: bool) -> Vec<Violation> {
            let (opcode, is_final) = (self.first_byte % 16, self.first_byte >= 128);
            let is_control = matches!(opcode, 8..=10);
            let reserved = self.first_byte / 16 % 8;
            let long_form = self.length < [0, 0, 126, 0, 0, 0, 0, 0, 65_536][self.extended];
            let rules = [
                (!matches!(opcode, 0..=2 | 8..=10), Violation::UndefinedOpcode(opcode)),
                (role == Role::Server && !self.masked, Violation::NotMasked),
                (role == Role::Client && self.masked, Violation::Masked),
                (reserved != 0 && !(inflates && reserved == 4), Violation::ReservedBit),
                (inflates && reserved == 4 && !matches!(opcode, 1 | 2), Violation::CompressedPart),
                (self.length >= 1 << 63, Violation::TopBitOfLength),
                (long_form, Violation::LongFormOfLength),
                (is_control && !is_final, Violation::FragmentedControlFrame),
                (is_control && self.length > 125, Violation::LongControlFrame(self.length)),
                (opcode == 0 && !fragmented, Violation::NothingToContinue),
                (matches!(opcode, 1 | 2) && fragmented, Violation::MessageWithinMessage),
            ];
            rules.into_iter().filter(|(is_violated, _)| *is_violated).map(|(_, violation)| violation).collect()
        }
    }

    /// Calls the function with every first byte, at both sides of every limit of the length.
    fn for_each_header(mut call: impl FnMut(Written)) {
        for first_byte in 0..=255 {
            for (length, extended) in [
                (0, 0),
                (125, 0),
                (0, 2),
                (125, 2),
                (126, 2),
                (65_535, 2),
                (0, 8),
                (65_535, 8),
                (65_536, 8),
                ((1 << 63) - 1, 8),
                (1 << 63, 8),
                (u64::MAX, 8),
            ] {
                for masked in [false, true] {
                    call(Written { first_byte, masked, length, extended });
                }
            }
        }
    }

    #[test]
    fn a_header_is_rejected_for_a_rule_that_it_violates_and_otherwise_accepted() {
        for_each_header(|written| {
            let header = Header::parse(&written.bytes()).expect("the header is complete");
            for role in [Role::Server, Role::Client] {
                for (fragmented, inflates) in [(false, false), (true, false), (false, true), (true, true)] {
                    let violated = written.violated(role, fragmented, inflates);
                    let case = format!("{written:?}, {role:?}, {fragmented}, {inflates}");
                    match header.check(role, fragmented, inflates) {
                        Ok(()) => assert_eq!(violated, [], "{case}"),
                        Err(found) => assert!(violated.contains(&found), "{case}: {found}"),
                    }
                }
            }
        });
    }

    #[test]
    fn a_header_is_read_when_its_last_byte_is_there() {
        for_each_header(|written| {
            let mut bytes = written.bytes();
            let size = bytes.len();
            assert!((0..size).all(|end| Header::parse(&bytes[..end]).is_none()), "{written:?}");
            bytes.extend_from_slice(b"payload");
            let header = Header::parse(&bytes).expect("the header is complete");
            let key = if written.masked { KEY } else { [0; 4] };
            assert_eq!((header.size, header.payload_length), (size, written.length), "{written:?}");
            assert_eq!((header.masked, header.mask_key), (written.masked, key), "{written:?}");
            assert_eq!(header.is_final(), written.first_byte >= 128, "{written:?}");
            assert_eq!(header.opcode(), Opcode(written.first_byte % 16), "{written:?}");
        });
    }
}
