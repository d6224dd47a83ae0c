//! Messages through wsx's compression, and back. What the slow reader of RFC 1951 reads is what was
//! sent, no distance exceeds the window, and no message gets longer.
use crate::{
    frame::{self, Frame},
    input::Input,
    rfc1951::Inflate,
};
use wsx::__private::{
    Role,
    fuzz::deflate::{Deflating, Inflating},
};

/// Maximum number of messages, so that a run is short.
const MESSAGES: usize = 64;

/// Input: a byte for the window, the context and the role, one for the level, one for the minimum
/// length, then messages.
///
/// A message begins with a byte: whether it is text, may be compressed, ends the batch, or repeats
/// the one before. Then its length in two bytes, and its bytes, again and again.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, level, min_size) = (input.byte(), 1 + input.byte() % 9, usize::from(input.byte()));
    let (window_bits, keeps_context) = (9 + ways % 7, ways & 8 == 0);
    let role = if ways & 16 == 0 { Role::Server } else { Role::Client };
    let way = (window_bits, keeps_context);
    let mut ours = Deflating::new(way, level, min_size, role).expect("zlib has these windows");
    let (mut theirs, mut back) = (Inflate::new(window_bits, keeps_context), Inflating::new(way));
    let (mut batch, mut message) = (Vec::new(), Vec::new());
    for _ in 0..MESSAGES {
        if input.0.is_empty() {
            break;
        }
        let kind = input.byte();
        if kind & 8 == 0 {
            let (length, times) = (usize::from(input.byte()), usize::from(kind >> 4));
            message = input.bytes(length).repeat(1 + times * times);
        }
        batch.push((kind & 1 == 0, kind & 2 == 0, message.clone()));
        if kind & 4 == 0 {
            check(&mut ours, &mut theirs, &mut back, min_size, role, &std::mem::take(&mut batch));
        }
    }
    check(&mut ours, &mut theirs, &mut back, min_size, role, &batch);
}

fn check(
    ours: &mut Deflating,
    theirs: &mut Inflate,
    back: &mut Inflating,
    min_size: usize,
    role: Role,
    batch: &[(bool, bool, Vec<u8>)],
) {
    let messages: Vec<_> = batch.iter().map(|(text, may, bytes)| (*text, *may, &bytes[..])).collect();
    let written = ours.write(&messages);
    let frames = frame::decode_compressed(&written, role == Role::Client);
    assert_eq!(frames.len(), batch.len(), "a message has one frame");
    for ((frame, is_compressed), (is_text, may_shrink, plain)) in frames.into_iter().zip(batch) {
        let Frame { opcode, payload } = frame;
        assert_eq!(opcode, if *is_text { frame::TEXT } else { frame::BINARY });
        if !is_compressed {
            assert!(payload == *plain, "a message that is not compressed has changed");
            continue;
        }
        assert!(*may_shrink && plain.len() >= min_size, "the message must not be compressed");
        // The first message of a context may stay as long.
        assert!(payload.len() <= plain.len(), "{} bytes became {}", plain.len(), payload.len());
        let read = theirs.message(&payload, plain.len()).expect("wsx writes what can be read");
        assert!(read.bytes == *plain, "the peer reads another message");
        assert!(!read.is_beyond_window, "a distance is larger than the window");
        assert_eq!(read.last_blocks, 0, "there is a last block");
        assert!(back.inflate(&payload, plain.len()).as_ref() == Ok(plain), "wsx reads another message");
    }
}
