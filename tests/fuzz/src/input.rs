//! Splits libFuzzer's input from its start. A short input is continued with zeros.

/// The unread rest of the input.
pub(crate) struct Input<'d>(pub(crate) &'d [u8]);

impl<'d> Input<'d> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Takes this many bytes, or all that are left.
    pub(crate) fn bytes(&mut self, most: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Number of pieces after which they become longer, so that a long input is as fast as a short one.
const SHORT_PIECES: usize = 256;

/// Cuts bytes into pieces. The pattern chooses their lengths again and again from eight values: all
/// zeros leave one piece, all ones make single bytes. After [`SHORT_PIECES`], a piece is 61 times
/// as long.
pub(crate) fn pieces(bytes: &[u8], pattern: u16) -> Vec<Vec<u8>> {
    let lengths = [usize::MAX, 2, 3, 6, 14, 64, 700, 1];
    let (mut rest, mut pieces, mut at) = (bytes, Vec::new(), 0);
    while !rest.is_empty() {
        // Three bits choose each length; the rotation makes the sequence long.
        let length = lengths[usize::from(pattern.rotate_left(at) & 7)];
        let factor = if pieces.len() < SHORT_PIECES { 1 } else { 61 };
        let (piece, more) = rest.split_at(length.saturating_mul(factor).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = more;
        at += 3;
    }
    pieces
}
