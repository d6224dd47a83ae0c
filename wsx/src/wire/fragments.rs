//! A message that arrives in fragments (RFC 6455 section 5.4). It does not know frames.
use crate::wire::violation::Violation;

/// The fragments that have arrived, joined.
pub(super) struct Fragments {
    /// Whether the message is text.
    text: bool,
    /// Whether the bytes are compressed.
    compressed: bool,
    bytes: Vec<u8>,
    /// The number of bytes that are certainly UTF-8. At most three bytes follow them, which begin a
    /// character.
    valid: usize,
}

impl Fragments {
    pub(super) fn new(text: bool, compressed: bool) -> Self {
        Self { text, compressed, bytes: Vec::new(), valid: 0 }
    }

    pub(super) fn is_text(&self) -> bool {
        self.text
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Returns the number of bytes so far.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the size of the memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Lends the bytes, so that the next fragment is appended to them.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Takes the bytes back, with the next fragment at their end. Text that is not compressed is
    /// rejected here if no further fragment can make it UTF-8.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) -> Result<(), Violation> {
        self.bytes = bytes;
        if !self.text || self.compressed {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::TextNotUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends the pieces one by one. Returns how many were accepted.
    fn accepted(text: bool, pieces: &[&[u8]]) -> usize {
        let mut fragments = Fragments::new(text, false);
        let mut append = |piece: &&&[u8]| {
            let bytes = [&fragments.take(), **piece].concat();
            fragments.put_back(bytes).is_ok()
        };
        pieces.iter().take_while(|piece| append(piece)).count()
    }

    #[test]
    fn text_is_rejected_with_the_first_fragment_that_makes_it_invalid() {
        assert_eq!(accepted(true, &[b"a", b"\xe2", b"\x82", b"\xac", b"b"]), 5, "a character may be cut anywhere");
        assert_eq!(accepted(true, &[b"a\xe2", b"b", b"c"]), 1);
        assert_eq!(accepted(true, &[b"aaa", b"bb\xe2", b"b"]), 2);
        assert_eq!(accepted(true, &[b"\xf0\x9f", b"\x98", b"", b"\xff"]), 3);
        assert_eq!(accepted(false, &[b"a\xe2", b"b", b"\xff"]), 3);
    }
}
