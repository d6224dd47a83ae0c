//! Compressed messages against an echo that compresses: short ones that inflate to the limit and
//! beyond, streams that are broken or costly, and messages that never end.
use crate::{
    Result,
    codes::{self, Case},
    floods::{BOUND, Flood, flooded, well_behaved},
    server::Server,
    wire::{BINARY, CLOSE, FIRST_FRAGMENT, FRAGMENT, PING, TEXT, frame, read_frame},
};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use std::{io::Write, sync::atomic::AtomicBool, thread, time::Duration};

/// A client that may compress in every way.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
/// RSV1: the message is compressed (RFC 7692 section 6).
const RSV1: u8 = 0x40;
/// The limit of the echo, in bytes.
const LIMIT: usize = 2 << 20;
/// Peers with half a message.
const PEERS: usize = 300;
/// The two windows of a connection, and the memory for its message: 16 times what has arrived. In
/// KiB.
const EACH: usize = 64 + 64;

pub(crate) fn bombs(path: &str, bytes: usize, checked: bool, tries: usize) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let server = Server::start(path, &["--compress"])?;
    limit(&server)?;
    let mut right = 0;
    let cases = rejected();
    for case in &cases {
        right += codes::tried(&server, OFFER, case, tries, &mut failures);
    }
    let plain = ("a compressed message without an agreement", frame(TEXT | RSV1, &compressed(b"x")), 1002);
    right += codes::tried(&server, "", &plain, tries, &mut failures);
    let half = halves(&server, &mut failures)?;
    drop(server);

    let (mut worst, mut floods) = ((0, Duration::ZERO), 0);
    for (flood, part) in kinds() {
        let server = Server::start(path, &["--compress"])?;
        let (grown, p99) = flooded(&server, &flood, bytes / part, checked, &mut failures)?;
        worst = (worst.0.max(grown), worst.1.max(p99));
        floods += 1;
    }
    println!(
        "{} closes, {tries} times each: {right} of {} received the right code; {PEERS} half messages: {:.1} MB more resident; \
         {floods} floods of compressed messages: at most {:.1} MB more resident, a well-behaved client's p99 at most {:.1} ms",
        cases.len() + 1,
        tries * (cases.len() + 1),
        half as f64 / 1024.0,
        worst.0 as f64 / 1024.0,
        worst.1.as_secs_f64() * 1e3
    );
    Ok(failures)
}

/// Returns the payload of a compressed message.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() + 1024);
    let mut state = Compress::new(flate2::Compression::best(), false);
    state.compress_vec(message, &mut payload, FlushCompress::Sync).expect("a slice can be compressed");
    payload.truncate(payload.len() - 4);
    payload
}

/// Frames that an endpoint rejects after both have agreed on compression.
fn rejected() -> Vec<Case> {
    let message = compressed(b"a message, a message, a message");
    let second = {
        let mut state = Compress::new(flate2::Compression::best(), false);
        let mut payloads = Vec::with_capacity(1024);
        for _ in 0..2 {
            payloads.clear();
            state.compress_vec(b"a message", &mut payloads, FlushCompress::Sync).expect("a slice can be compressed");
        }
        payloads.truncate(payloads.len() - 4);
        payloads
    };
    // The parts are blocks of one stream, with the bytes between them that only the end leaves out.
    let gigabyte = [&compressed(&vec![0; LIMIT])[..], &[0, 0, 0xff, 0xff]].concat().repeat(512);
    let late = [frame(FIRST_FRAGMENT, b"x"), frame(FRAGMENT | RSV1, b"x")].concat();
    let later_part = [frame(FIRST_FRAGMENT | RSV1, &message[..5]), frame(FRAGMENT | RSV1, &message[5..])].concat();
    vec![
        ("a stream that is broken", frame(TEXT | RSV1, b"\xff\xff\xff"), 1007),
        ("half a stream", frame(TEXT | RSV1, &message[..message.len() - 2]), 1007),
        ("half a stream in fragments", [frame(FIRST_FRAGMENT | RSV1, &message[..5]), frame(0x80, b"")].concat(), 1007),
        ("a stream without its context", frame(TEXT | RSV1, &second), 1007),
        ("compressed text that is not UTF-8", frame(TEXT | RSV1, &compressed(b"\xff\xfe")), 1007),
        ("a message of last blocks", frame(TEXT | RSV1, &[3, 0].repeat(100)), 1007),
        (
            "a message that inflates to more than the limit",
            frame(TEXT | RSV1, &compressed(&vec![b'x'; LIMIT + 1])),
            1009,
        ),
        ("a message that inflates to a gigabyte", frame(BINARY | RSV1, &gigabyte), 1009),
        ("a compressed ping", frame(PING | RSV1, b"x"), 1002),
        ("a compressed close", frame(CLOSE | RSV1, &1000_u16.to_be_bytes()), 1002),
        ("a compressed part of a plain message", late, 1002),
        ("the bit on a later fragment", later_part, 1002),
        ("another reserved bit", frame(TEXT | 0x20, b"x"), 1002),
        ("two reserved bits", frame(TEXT | RSV1 | 0x10, &message), 1002),
        ("a valid close", frame(CLOSE, &1000_u16.to_be_bytes()), 1000),
    ]
}

/// A message of exactly the limit comes back.
fn limit(server: &Server) -> Result<()> {
    let mut tcp = server.connect_with(OFFER)?;
    let message = vec![b'x'; LIMIT];
    tcp.write_all(&frame(TEXT | RSV1, &compressed(&message)))?;
    let (first, payload) = read_frame(&mut tcp)?;
    let mut echo = Vec::with_capacity(LIMIT + 1);
    Decompress::new(false).decompress_vec(&payload, &mut echo, FlushDecompress::Sync)?;
    if first != TEXT | RSV1 || echo != message {
        return Err("a message of the longest length did not come back".into());
    }
    println!(
        "{} bytes that inflate to the limit of {LIMIT}: the echo has {} bytes",
        compressed(&message).len(),
        payload.len()
    );
    Ok(())
}

/// Peers with full windows and half a message each. Returns by how much the memory has grown, in
/// KiB.
fn halves(server: &Server, failures: &mut Vec<String>) -> Result<u64> {
    well_behaved(&mut server.connect()?, &AtomicBool::new(true))?;
    let before = server.resident()?;
    let whole = frame(BINARY | RSV1, &compressed(&vec![7; 64 << 10]));
    let half = frame(BINARY | RSV1, &vec![0; 2_000_000]);
    let mut grown = [0; 2];
    // What the first peers leave behind serves the second ones.
    for grown in &mut grown {
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            let mut tcp = server.connect_with(OFFER)?;
            tcp.write_all(&whole)?;
            read_frame(&mut tcp)?;
            tcp.write_all(&half[..4096])?;
            peers.push(tcp);
        }
        thread::sleep(Duration::from_millis(200));
        well_behaved(&mut server.connect()?, &AtomicBool::new(true))?;
        *grown = server.resident()?.saturating_sub(before);
        drop(peers);
        thread::sleep(Duration::from_millis(500));
    }
    println!(
        "{PEERS} half messages after full windows: {:.1} MB more resident, and {:.1} MB the second time ({} KiB each)",
        grown[0] as f64 / 1024.0,
        grown[1] as f64 / 1024.0,
        grown[1] / PEERS as u64
    );
    let grown = grown[0].max(grown[1]);
    if grown > BOUND + (PEERS * EACH) as u64 {
        failures.push(format!("{PEERS} half messages made the resident memory grow by {grown} KiB"));
    }
    Ok(grown)
}

/// The floods, each with the part of the bytes that it sends. A byte of a bomb costs far more than
/// one of a plain flood.
fn kinds() -> Vec<(Flood, usize)> {
    let flood = |name, repeated: Vec<u8>| Flood {
        name,
        first: Vec::new(),
        repeated,
        reads: true,
        flooders: 1,
        decoded: false,
        headers: OFFER,
        bound: BOUND,
    };
    let few = |frame: Vec<u8>| frame.repeat((64 << 10) / frame.len() + 1);
    let message = |payload: &[u8]| frame(BINARY | RSV1, payload);
    let bomb = message(&compressed(&vec![0; LIMIT]));
    let codes = message(&nothing_but_codes(LIMIT));
    // A message, its copy while it grows, and the echoes in the queue and its reserve.
    let bound = |flooders: u64| flooders * 7 * (LIMIT as u64 >> 10) + BOUND;
    let letters: Vec<u8> = (0_u32..64 << 10).map(|n| b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    vec![
        (Flood { bound: bound(1), ..flood("2 MiB in 2 KB", few(bomb.clone())) }, 10),
        (Flood { bound: bound(1), reads: false, ..flood("2 MiB in 2 KB, nothing read", few(bomb.clone())) }, 10),
        (Flood { bound: bound(4), flooders: 4, ..flood("2 MiB in 2 KB, four times", few(bomb)) }, 10),
        (flood("empty compressed messages", few(message(&[0]))), 1),
        (flood("short compressed messages", few(message(&compressed(b"hello")))), 1),
        (flood("last blocks", few(message(&[[3, 0].repeat(4), vec![0]].concat()))), 1),
        (flood("empty blocks", few(message(&[[0, 0, 0, 0xff, 0xff].repeat(10_000), vec![0]].concat()))), 1),
        (Flood { bound: bound(1), ..flood("nothing but codes", codes.clone()) }, 1),
        (Flood { bound: bound(4), flooders: 4, ..flood("nothing but codes, four times", codes) }, 1),
        (flood("64 KB of letters", few(message(&compressed(&letters)))), 1),
        (
            Flood {
                first: frame(FIRST_FRAGMENT | RSV1, b"\0"),
                bound: bound(1),
                ..flood("one-byte fragments", few(frame(FRAGMENT, b"\0")))
            },
            1,
        ),
    ]
}

/// Returns the payload of an empty message, of about this length: blocks that consist of nothing
/// but their Huffman codes (RFC 1951 section 3.2.7), which cost more time than any content.
fn nothing_but_codes(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    while bits.bytes.len() < length - 64 {
        // Not the last block, with codes of its own: 257 literals, a distance, and 18 lengths.
        for (value, count) in [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)] {
            bits.put(value, count);
        }
        // The third length is that of symbol 18, and the last one that of symbol 1.
        (0..18).for_each(|at| bits.put(u32::from(at == 2 || at == 17), 3));
        // 256 literals without a code, the end of the block with one bit, and the distance, too.
        for (value, count) in [(1, 1), (127, 7), (1, 1), (118 - 11, 7), (0, 1), (0, 1)] {
            bits.put(value, count);
        }
        // The end of the block.
        bits.put(0, 1);
    }
    // The header of the block that the sender leaves out.
    bits.put(0, 3);
    bits.finish()
}

/// Bits, from the lowest of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// The bits of the next byte, and their number.
    next: (u8, u32),
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            self.next.0 |= ((value >> bit & 1) as u8) << self.next.1;
            self.next.1 += 1;
            if self.next.1 == 8 {
                self.bytes.push(self.next.0);
                self.next = (0, 0);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.next.1 > 0 {
            self.bytes.push(self.next.0);
        }
        self.bytes
    }
}
