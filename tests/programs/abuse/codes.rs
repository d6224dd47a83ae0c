//! A rejected peer receives the right close code. A reset does not overtake it, with unread input
//! or without.
use crate::{
    Result,
    server::{Server, drain, set_send_buffer},
    wire::{BINARY, CLOSE, FRAGMENT, PING, TEXT, frame, read_frame},
};
use std::{io::Write, net::TcpStream};

/// Send buffer of a peer in bytes. It is smaller than what the peer sends, so the peer is still
/// sending when the server drops its socket, and gets a reset if that does not linger. When a FIN
/// arrives first and a reset after it, Linux does not report that reset for bytes sent before.
const SEND_BUFFER: usize = 64 * 1024;

/// How a connection is closed, and the code that the peer receives (RFC 6455 section 7.4.1).
pub(crate) type Case = (&'static str, Vec<u8>, u16);

/// Frames that every server rejects.
fn rejected() -> Vec<Case> {
    let too_long = {
        let mut header = vec![BINARY, 0x80 | 127];
        header.extend_from_slice(&(3_u64 << 20).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        header
    };
    vec![
        ("a reserved bit", frame(TEXT | 0x40, b"x"), 1002),
        ("an unknown opcode", frame(0x83, b"x"), 1002),
        ("a continuation without a first frame", frame(FRAGMENT | 0x80, b"x"), 1002),
        ("a frame without a mask", vec![TEXT, 1, b'x'], 1002),
        ("a long ping", frame(PING, &[b'x'; 126]), 1002),
        ("text that is not UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
        ("a message over the limit", too_long, 1009),
        ("a close with a bad code", frame(CLOSE, &999_u16.to_be_bytes()), 1002),
        ("a valid close", frame(CLOSE, &1000_u16.to_be_bytes()), 1000),
    ]
}

/// Closes that a handler causes.
fn decided() -> Vec<Case> {
    vec![
        ("a handler that closes with 1008", frame(TEXT, br#"{"type":"policy"}"#), 1008),
        ("a handler that panics", frame(TEXT, br#"{"type":"panic"}"#), 1011),
        ("a handler that panics after an await", frame(TEXT, br#"{"type":"panic_later"}"#), 1011),
    ]
}

/// Tries each case this many times: with nothing after it, with input that the server has and never
/// reads, and with more input than the server takes.
pub(crate) fn codes(echo: &str, subject: &str, tries: usize) -> Result<Vec<String>> {
    let (mut failures, mut kinds, mut right) = (Vec::new(), 0, 0);
    for (path, cases) in [(echo, rejected()), (subject, decided())] {
        let server = Server::start(path, &[])?;
        for case in cases {
            kinds += 1;
            right += tried(&server, "", &case, tries, &mut failures);
        }
    }
    println!("{kinds} closes, {tries} times each: {right} of {} received the right code", kinds * tries);
    Ok(failures)
}

/// Tries one case, with further headers in the request. Returns how often the code was right.
pub(crate) fn tried(
    server: &Server,
    headers: &str,
    (name, bytes, expected): &Case,
    tries: usize,
    failures: &mut Vec<String>,
) -> usize {
    let mut wrong = Vec::new();
    for attempt in 0..tries {
        let more = [0, 60_000, 1_000_000][attempt % 3];
        let received = server.connect_with(headers).and_then(|tcp| received(tcp, bytes, more));
        if !matches!(received, Ok(code) if code == *expected) {
            wrong.push(format!("{received:?} with {more} bytes after it"));
        }
    }
    let right = tries - wrong.len();
    println!("{name}: {right} of {tries} received {expected}");
    if let Some(first) = wrong.first() {
        failures.push(format!("{name}: {} of {tries} did not receive {expected}, but {first}", wrong.len()));
    }
    right
}

/// Returns the code of the close frame. The stream must end after it without a reset.
fn received(mut tcp: TcpStream, bytes: &[u8], more: usize) -> Result<u16> {
    let mut sent = bytes.to_vec();
    if more > 0 {
        sent.extend_from_slice(&frame(TEXT, &vec![b'x'; more]));
    }
    set_send_buffer(&tcp, SEND_BUFFER)?;
    tcp.write_all(&sent)?;
    let (opcode, payload) = read_frame(&mut tcp)?;
    if opcode != CLOSE || payload.len() < 2 {
        return Err("expected a close frame with a code".into());
    }
    // Answers the close as section 5.5.1 requires. The server closes the socket first.
    let _ = tcp.write_all(&frame(CLOSE, &payload[..2]));
    drain(&mut tcp)?;
    Ok(u16::from_be_bytes([payload[0], payload[1]]))
}
