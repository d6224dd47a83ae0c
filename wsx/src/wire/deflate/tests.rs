//! Messages through both ends of wsx, and through zlib as other libraries use it: with one stream
//! for all messages of a connection.
use super::{Agreed, Compression, Deflater, Direction, Inflater, Stream, compress};
use crate::wire::{
    header::{Header, MARK, Opcode},
    mask::mask,
    role::Role,
    violation::Violation,
    write::data_frame,
};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

const LIMIT: usize = 1 << 20;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn stream(window_bits: u8, keeps_context: bool) -> Stream {
    Stream { window_bits, keeps_context, level: 6 }
}

/// The same parameters in both directions.
fn agreed(window_bits: u8, keeps_context: bool) -> Agreed {
    let both = stream(window_bits, keeps_context);
    Agreed { own: Some(both), peer: both, min_size: 20 }
}

/// JSON that repeats itself, short texts, noise, and long messages.
fn messages() -> Vec<Vec<u8>> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for number in 0..200 {
        all.push(match rng.random_range(0..8) {
            0 => b"short".to_vec(),
            1 => {
                let mut noise = vec![0; rng.random_range(20..3000)];
                rng.fill_bytes(&mut noise);
                noise
            }
            2 => format!("a long one: {}", "0123456789abcdef".repeat(rng.random_range(10..4000))).into_bytes(),
            _ => format!(
                r#"{{"ver":1,"type":"telemetry","ts":{},"data":{{"cores":[{},2,3,4]}}}}"#,
                1_764_500_000 + number,
                number
            )
            .into_bytes(),
        });
    }
    all
}

/// Inflates all slices of a payload.
fn read(inflater: &mut Inflater, payload: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
    loop {
        if let Some(message) = inflater.inflate(payload, limit)? {
            return Ok(message);
        }
    }
}

/// Returns the frame of a message, with the mark.
fn marked(role: Role, message: &[u8]) -> Vec<u8> {
    let mut frame = data_frame(Opcode::BINARY, role, message);
    frame.mark();
    frame.as_bytes().to_vec()
}

/// Returns the first byte and the payload of each frame.
fn split(mut frames: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(header) = Header::parse(frames) {
        let end = header.size + header.payload_length as usize;
        let mut payload = frames[header.size..end].to_vec();
        if header.masked {
            mask(&mut payload, header.mask_key);
        }
        all.push((frames[0], payload));
        frames = &frames[end..];
    }
    assert!(frames.is_empty(), "all frames are whole");
    all
}

/// Inflates as other libraries do: one stream for the connection, and the tail after each message.
struct OneStream(Decompress);

impl OneStream {
    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(LIMIT);
        for input in [payload, &TAIL] {
            self.0.decompress_vec(input, &mut message, FlushDecompress::Sync).expect("the stream is valid");
        }
        message
    }
}

/// Row Z4: what this end sends is one stream of DEFLATE, whatever the window, and messages that are
/// not compressed are not part of it.
#[test]
fn a_peer_with_one_stream_for_all_messages_reads_them() {
    for (bits, context) in [(9, true), (10, true), (12, true), (15, true), (10, false), (15, false)] {
        for role in [Role::Client, Role::Server] {
            let mut deflater = Deflater::new(agreed(bits, context), role).expect("the window fits");
            let mut peer = OneStream(Decompress::new_with_window_bits(false, bits));
            let mut shrunk = 0;
            for messages in messages().chunks(3) {
                let frames: Vec<u8> = messages.iter().flat_map(|message| marked(role, message)).collect();
                let written = split(&deflater.rewrite(&frames));
                assert_eq!(written.len(), messages.len());
                for ((first, payload), message) in written.iter().zip(messages) {
                    if first & 0x40 == 0 {
                        assert_eq!((*first, payload), (0x82, message), "it is sent as it is");
                        continue;
                    }
                    assert_eq!(*first, 0xc2);
                    assert!(payload.len() < message.len(), "{} bytes of {}", payload.len(), message.len());
                    if !context {
                        peer.0.reset(false);
                    }
                    assert_eq!(peer.inflate(payload), *message, "{bits} bits");
                    shrunk += 1;
                }
            }
            assert!(shrunk > 100, "{shrunk} of 200 messages were compressed");
        }
    }
}

/// Row Z4: the messages of a peer that has one stream for the connection are read, with any window.
#[test]
fn the_messages_of_a_peer_with_one_stream_are_read() {
    for (bits, context) in [(9, true), (10, true), (15, true), (10, false)] {
        let mut inflater = Inflater::new(agreed(bits, context));
        let mut peer = Compress::new_with_window_bits(flate2::Compression::new(9), false, bits);
        for message in messages() {
            let mut payload = Vec::with_capacity(2 * LIMIT);
            if !context {
                peer.reset();
            }
            peer.compress_vec(&message, &mut payload, FlushCompress::Sync).expect("memory is valid");
            payload.truncate(payload.len() - TAIL.len());
            assert_eq!(read(&mut inflater, &payload, LIMIT), Ok(message), "{bits} bits");
        }
    }
}

/// Row Z3: the samples of RFC 7692 section 7.2.3.
#[test]
fn the_samples_of_the_rfc_are_read() {
    let hello = |payloads: &[&[u8]]| {
        let mut inflater = Inflater::new(agreed(15, true));
        for payload in payloads {
            assert_eq!(read(&mut inflater, payload, LIMIT).as_deref(), Ok(&b"Hello"[..]), "{payload:x?}");
        }
    };
    hello(&[b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00"]);
    hello(&[b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"]);
    hello(&[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"]);
    hello(&[b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"]);
    let mut inflater = Inflater::new(agreed(15, true));
    for empty in [&b"\x00"[..], b""] {
        assert_eq!(read(&mut inflater, empty, 0), Ok(Vec::new()));
    }
}

/// Compresses without a context. Also messages that do not get shorter.
fn zip(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() * 2 + 100);
    let mut state = Compress::new_with_window_bits(flate2::Compression::new(9), false, 15);
    state.compress_vec(message, &mut payload, FlushCompress::Sync).expect("memory is valid");
    payload.truncate(payload.len() - TAIL.len());
    payload
}

/// Row Z5: a message is rejected when it exceeds the limit, and never takes more memory than that.
#[test]
fn a_message_is_inflated_up_to_the_limit() {
    for limit in [0, 1, 511, 512, 513, 1000, 100_000, LIMIT] {
        let mut inflater = Inflater::new(agreed(10, false));
        let exact = read(&mut inflater, &zip(&vec![b'x'; limit]), limit).expect("it has the limit");
        assert_eq!(exact.len(), limit);
        assert!(exact.capacity() <= limit + 1 || limit < 512, "{} bytes for {limit}", exact.capacity());
        for more in [1, 2, 10 * limit + 1] {
            let payload = zip(&vec![b'x'; limit + more]);
            let longer = limit + 1..limit + 1 + 512;
            match read(&mut inflater, &payload, limit) {
                Err(Violation::MessageTooLong { length, limit: said }) => {
                    assert!(said == limit && longer.contains(&(length as usize)), "{length} bytes, limit {limit}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Row Z6: a stream that is damaged or cut, or that leads before the window.
#[test]
fn a_broken_message_is_rejected() {
    let long: Vec<u8> = (0..2000u32).flat_map(u32::to_le_bytes).collect();
    let whole = zip(&long);
    let refused = |inflater: &mut Inflater, payload: &[u8]| match read(inflater, payload, LIMIT) {
        Err(Violation::NotInflated(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut inflater = Inflater::new(agreed(10, true));
    for cut in [1, 2, 50, whole.len() / 2, whole.len() - 1] {
        assert!(["it ends within a block", "its data is damaged"].contains(&refused(&mut inflater, &whole[..cut])));
    }
    assert_eq!(refused(&mut inflater, b"\x07rubbish"), "its data is damaged");
    // A stored block of 100 bytes that has three.
    assert_eq!(refused(&mut inflater, b"\x00\x64\x00\x9b\xffabc"), "it ends within a block");
    // The distance is 5, and there is nothing before.
    assert_eq!(refused(&mut inflater, b"\xf2\x00\x11\x00\x00"), "its data is damaged");
    assert_eq!(read(&mut inflater, &whole, LIMIT), Ok(long), "an error leaves nothing behind");
}

/// Row Z6: the peer refers to more than the window that was agreed on.
#[test]
fn a_distance_beyond_the_window_is_rejected() {
    let distant = |bits: u8| {
        let mut peer = Compress::new_with_window_bits(flate2::Compression::new(9), false, 15);
        let mut inflater = Inflater::new(agreed(bits, true));
        let mut rng = SmallRng::seed_from_u64(1);
        let mut first = vec![0; 3000];
        rng.fill_bytes(&mut first);
        let mut last = Ok(Vec::new());
        for message in [&first, &first[..200].to_vec()] {
            let mut payload = Vec::with_capacity(LIMIT);
            peer.compress_vec(message, &mut payload, FlushCompress::Sync).expect("memory is valid");
            payload.truncate(payload.len() - TAIL.len());
            last = read(&mut inflater, &payload, LIMIT);
        }
        last.map(|message| message == first[..200])
    };
    assert_eq!(distant(12), Ok(true));
    assert_eq!(distant(11), Err(Violation::NotInflated("its data is damaged")));
}

/// Row Z5: last blocks cost time, so a message has a bounded number of them.
#[test]
fn a_message_may_have_64_last_blocks_and_not_more() {
    let mut inflater = Inflater::new(agreed(10, true));
    // Each has 58 bytes, and ends on a byte.
    let block = b"\x01\x3a\x00\xc5\xffxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    assert_eq!(read(&mut inflater, &[&block.repeat(64)[..], b"\x00"].concat(), LIMIT), Ok(vec![b'x'; 64 * 58]));
    let more = read(&mut inflater, &[&block.repeat(65)[..], b"\x00"].concat(), LIMIT);
    assert_eq!(more, Err(Violation::NotInflated("it has too many last blocks")));
}

/// Row Z3: a block after a last block may refer to what was before it.
#[test]
fn the_context_goes_on_after_a_last_block() {
    let mut inflater = Inflater::new(agreed(15, true));
    assert_eq!(
        read(&mut inflater, b"\x01\x05\x00\xfa\xffHello\xf2\x00\x11\x00\x00", LIMIT),
        Ok(b"HelloHello".to_vec())
    );
    assert_eq!(read(&mut inflater, b"\xf2\x00\x11\x00\x00", LIMIT), Ok(b"Hello".to_vec()));
}

/// Row Z10: only marked messages of the minimum size are compressed, and the mark never leaves.
#[test]
fn short_and_unmarked_messages_are_sent_as_they_are() {
    let mut deflater = Deflater::new(agreed(10, true), Role::Server).expect("the window fits");
    let frames = [
        marked(Role::Server, &[b'a'; 19]),
        marked(Role::Server, &[b'a'; 20]),
        data_frame(Opcode::TEXT, Role::Server, &[b'b'; 200]).as_bytes().to_vec(),
        b"\x89\x04ping".to_vec(),
    ];
    let written = split(&deflater.rewrite(&frames.concat()));
    let firsts: Vec<u8> = written.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [0x82, 0xc2, 0x81, 0x89]);
    assert!(Deflater::has_work(&frames[0]) && !Deflater::has_work(&frames[2]) && !Deflater::has_work(&[]));
    assert_eq!(frames[1][0], 0x82 | MARK);
}

/// Row Z10: a message that gets longer is sent as it is. One that stays as long begins a context.
#[test]
fn the_first_message_of_a_context_may_stay_as_long() {
    let text =
        br#"{"ver":1,"type":"check_health","ts":1796069622,"data":{"of":["cpu","memory","disk"],"since":1796069000}}"#;
    let mut equal = 0;
    for length in 20..text.len() {
        let message = &text[..length];
        let mut state = Compress::new_with_window_bits(flate2::Compression::new(6), false, 10);
        let mut payload = Vec::with_capacity(LIMIT);
        state.compress_vec(message, &mut payload, FlushCompress::Sync).expect("memory is valid");
        let alone = payload.len() - TAIL.len();
        equal += usize::from(alone == length);
        for keeps_context in [true, false] {
            let mut deflater = Deflater::new(agreed(10, keeps_context), Role::Client).expect("the window fits");
            let first = split(&deflater.rewrite(&marked(Role::Client, message))).remove(0).0;
            let is_compressed = if keeps_context { alone <= length } else { alone < length };
            assert_eq!(first, if is_compressed { 0xc2 } else { 0x82 }, "{length} bytes become {alone}");
            let (next, payload) = split(&deflater.rewrite(&marked(Role::Client, message))).remove(0);
            assert!(!keeps_context || !is_compressed || (next == 0xc2 && payload.len() < 12), "{length} bytes");
        }
    }
    assert!(equal > 0, "no message stays as long");
}

/// Row Z4: the window of 256 bytes is one that zlib does not have.
#[test]
fn a_peer_with_a_window_of_8_bits_gets_no_compressed_messages() {
    assert!(Deflater::new(Agreed { own: None, ..agreed(10, true) }, Role::Server).is_none());
}

/// Row Z11: the frame of a broadcast is what a writer without a context makes.
#[test]
fn a_broadcast_is_compressed_as_a_message_of_one_connection() {
    let agreed = agreed(10, false);
    let message = b"a message, a message, a message";
    let mut deflater = Deflater::new(agreed, Role::Server).expect("the window fits");
    let one = deflater.rewrite(&marked(Role::Server, message));
    let (frame, _) = compress(stream(10, false), Opcode::BINARY, message);
    assert_eq!(frame.expect("it is shorter").as_bytes(), one);
    let (noise, _) = compress(stream(10, false), Opcode::BINARY, b"nothing that repeats");
    assert!(noise.is_none());
}

/// Row Z9: the work is reported once.
#[test]
fn the_lengths_of_messages_are_counted() {
    let agreed = agreed(10, true);
    let message = [b'a'; 500];
    let (mut deflater, mut inflater) =
        (Deflater::new(agreed, Role::Client).expect("the window fits"), Inflater::new(agreed));
    for _ in 0..2 {
        let frame = deflater.rewrite(&marked(Role::Client, &message));
        let (_, payload) = split(&frame).remove(0);
        read(&mut inflater, &payload, LIMIT).expect("it is valid");
    }
    deflater.rewrite(&marked(Role::Client, b"short"));
    let sent = deflater.work().take().expect("there was work");
    assert_eq!((sent.direction, sent.messages, sent.plain_bytes), (Direction::Sent, 2, 1000));
    assert!((10..100).contains(&sent.wire_bytes), "{sent:?}");
    let received = inflater.work().take().expect("there was work");
    assert_eq!(received.direction, Direction::Received);
    assert_eq!((received.messages, received.plain_bytes), (2, 1000));
    assert_eq!(received.wire_bytes, sent.wire_bytes);
    assert_eq!(deflater.work().take(), None::<Compression>);
}
