//! Compressed messages, as a peer sends them, through wsx's reader. A slow reader, which was
//! written from RFC 1951, finds the same messages in the same bytes, with the differences that
//! [`is_rejected`] names.
use crate::{
    input::Input,
    rfc1951::{Broken, Inflate, Message},
    wire::bounded,
};
use wsx::__private::fuzz::deflate::Inflating;

/// Maximum number of messages, so that a run is short.
const MESSAGES: usize = 64;

/// Input: a byte for the window and the context, two for the limit, then messages: their length in
/// two bytes, and their payload. The highest bit of a length repeats the message before.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, limit) = (input.byte(), usize::from(input.short()));
    let (window_bits, keeps_context) = (8 + ways % 8, ways & 8 == 0);
    let (mut ours, mut theirs) =
        (Inflating::new((window_bits, keeps_context)), Inflate::new(window_bits, keeps_context));
    let mut payload: &[u8] = &[];
    for _ in 0..MESSAGES {
        if input.0.is_empty() {
            return;
        }
        let length = input.short();
        if length & 0x8000 == 0 {
            payload = input.bytes(length.into());
        }
        let expected = theirs.message(payload, limit);
        // The state of zlib, the history, the context between two streams, and the message with its
        // copy while it grows.
        let most = (192 << 10) + 2 * (limit + 1024) + 2 * payload.len();
        let found = bounded(most, || ours.inflate(payload, limit));
        match (&expected, &found) {
            (Ok(message), Ok(bytes)) => assert!(message.bytes == *bytes, "the messages differ"),
            (Err(_), Err(_)) => {}
            _ => assert!(may_differ(&expected, &found, payload.len()), "expected {expected:?}, found {found:?}"),
        }
        match found {
            Err(1007) => {}
            // A message that ends within a block may get too long by the bytes that are to end it.
            Err(1009) => assert!(matches!(expected, Err(Broken::TooLong | Broken::Unfinished)), "{expected:?}"),
            Err(code) => panic!("unexpected code {code}"),
            Ok(_) => continue,
        }
        return;
    }
}

/// Whether wsx may differ from RFC 1951 here. It is never milder.
fn may_differ(expected: &Result<Message, Broken>, found: &Result<Vec<u8>, u16>, payload: usize) -> bool {
    matches!((expected, found), (Ok(message), Err(1007)) if is_rejected(message, payload))
}

/// Whether wsx rejects this message with a payload of this length, although RFC 1951 can read it.
pub(crate) fn is_rejected(message: &Message, payload: usize) -> bool {
    // Each last block costs the time of a new stream, so a message of nothing else would cost more
    // than its length is worth.
    let has_many = message.last_blocks > (4 + payload / 64).min(64);
    // A sender has to end with an empty block, and to leave out its end.
    has_many || message.uses_tail
}
