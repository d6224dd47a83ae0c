//! Frames as in RFC 6455 section 5.2, written and read slowly, without a library.

/// One complete frame of an endpoint that does not fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl Frame {
    /// Returns the text of a text message.
    pub(crate) fn text(&self) -> Option<&str> {
        (self.opcode == TEXT).then(|| std::str::from_utf8(&self.payload).ok()).flatten()
    }

    /// Returns the code of a close frame. 1005 means that it has none.
    pub(crate) fn code(&self) -> u16 {
        self.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
    }
}

/// Returns a frame with this first byte, masked as a client's or not.
pub(crate) fn encode(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let mask = if masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => frame.push(mask | length as u8),
        length @ 126..65536 => {
            frame.push(mask | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(mask | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if masked {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend_from_slice(&key);
        frame.extend(with_mask(payload, key));
    } else {
        frame.extend_from_slice(payload);
    }
    frame
}

/// Masks a payload, four bytes at a time: each comparison of a loop is one more for libFuzzer.
fn with_mask(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for bytes in payload.chunks_mut(4) {
        bytes.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    }
    payload
}

/// Returns the complete frames that an endpoint wrote. The last frame may be incomplete.
///
/// # Panics
///
/// When a frame is not one that wsx may send: a fragment, a reserved bit, the wrong mask, a long
/// control frame, a header that is longer than necessary, or a frame other than a pong after a
/// close frame (RFC 6455 section 5.5.2 still requires those).
pub(crate) fn decode(wire: &[u8], masked: bool) -> Vec<Frame> {
    let plain = |(frame, is_compressed): (Frame, bool)| {
        assert!(!is_compressed, "a frame is compressed");
        frame
    };
    decode_compressed(wire, masked).into_iter().map(plain).collect()
}

/// As [`decode`], of an endpoint that may compress. Returns for each frame whether it is
/// compressed.
pub(crate) fn decode_compressed(mut wire: &[u8], masked: bool) -> Vec<(Frame, bool)> {
    let mut frames: Vec<(Frame, bool)> = Vec::new();
    let mut closed = false;
    while let Some((frame, is_compressed, rest)) = first(wire, masked) {
        assert!(!closed || frame.opcode == PONG, "a frame after a close frame: {frame:?}");
        closed |= frame.opcode == CLOSE;
        frames.push((frame, is_compressed));
        wire = rest;
    }
    assert!(!closed || wire.is_empty() || wire[0] == 0x80 | PONG, "bytes after a close frame: {wire:?}");
    frames
}

fn first(wire: &[u8], masked: bool) -> Option<(Frame, bool, &[u8])> {
    let (&[first, second], rest) = wire.split_first_chunk()?;
    let opcode = first & 0x0f;
    assert!(matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG), "opcode {opcode}");
    // RFC 7692 section 6: RSV1 is only on the messages.
    let is_compressed = matches!(first, 0xc1 | 0xc2);
    assert!(is_compressed || first & 0xf0 == 0x80, "only FIN is set");
    assert_eq!(second & 0x80 != 0, masked, "the mask fits the role");
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from(u16::from_be_bytes(*length));
            assert!(length >= 126, "a short length in a long header");
            (length, rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from_be_bytes(*length);
            assert!(length >= 65536, "a short length in a long header");
            (length, rest)
        }
        length => (u64::from(length), rest),
    };
    assert!(opcode < CLOSE || length <= 125, "a control frame of {length} bytes");
    let (key, rest) = if masked { rest.split_first_chunk()? } else { (&[0; 4], rest) };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).expect("the length fits a usize"))?;
    Some((Frame { opcode, payload: with_mask(payload, *key) }, is_compressed, rest))
}
