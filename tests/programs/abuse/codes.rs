//! Who is refused is told the right close code, and the code arrives: no reset overtakes it, unread input or not.
use crate::{
    Result,
    server::{Server, drain, narrow},
    wire::{BINARY, CLOSE, FRAGMENT, PING, TEXT, frame, read_frame},
};
use std::{io::Write, net::TcpStream};

/// What a peer's system takes of it at once, in bytes: less than it sends, so that it is still sending when the server drops
/// its socket, and sees a reset if that does not linger. What is sent before a FIN has come and a reset behind it, Linux tells
/// nobody of.
const SEND_BUFFER: usize = 64 * 1024;

/// What ends a connection, and the code that its sender is told (RFC 6455 section 7.4.1).
type Ending = (&'static str, Vec<u8>, u16);

/// What any server refuses.
fn refused() -> Vec<Ending> {
    let too_long = {
        let mut head = vec![BINARY, 0x80 | 127];
        head.extend_from_slice(&(3_u64 << 20).to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        head
    };
    vec![
        ("a reserved bit", frame(TEXT | 0x40, b"x"), 1002),
        ("an unknown opcode", frame(0x83, b"x"), 1002),
        ("a fragment of nothing", frame(FRAGMENT | 0x80, b"x"), 1002),
        ("a frame without a mask", vec![TEXT, 1, b'x'], 1002),
        ("a long ping", frame(PING, &[b'x'; 126]), 1002),
        ("text that is no UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
        ("a message over the limit", too_long, 1009),
        ("a close with a bad code", frame(CLOSE, &999_u16.to_be_bytes()), 1002),
        ("an honest close", frame(CLOSE, &1000_u16.to_be_bytes()), 1000),
    ]
}

/// What a program's handlers decide, or do.
fn decided() -> Vec<Ending> {
    vec![
        ("a handler that closes with a policy's code", frame(TEXT, br#"{"type":"policy"}"#), 1008),
        ("a handler that panics", frame(TEXT, br#"{"type":"panic"}"#), 1011),
        ("a handler that panics after it has waited", frame(TEXT, br#"{"type":"panic_later"}"#), 1011),
    ]
}

/// Each so many times: with nothing behind it, with input that the server has and never reads, and with more than it has.
pub(crate) fn codes(echo: &str, subject: &str, tries: usize) -> Result<Vec<String>> {
    let (mut failures, mut kinds, mut right) = (Vec::new(), 0, 0);
    for (path, endings) in [(echo, refused()), (subject, decided())] {
        let server = Server::start(path, &[])?;
        for (name, bytes, expected) in endings {
            let mut wrong = Vec::new();
            for attempt in 0..tries {
                let behind = [0, 60_000, 1_000_000][attempt % 3];
                let told = server.connect().and_then(|tcp| told(tcp, &bytes, behind));
                if !matches!(told, Ok(code) if code == expected) {
                    wrong.push(format!("{told:?} with {behind} bytes behind it"));
                }
            }
            (kinds, right) = (kinds + 1, right + tries - wrong.len());
            println!("{name}: {} of {tries} were told {expected}", tries - wrong.len());
            if let Some(first) = wrong.first() {
                failures.push(format!("{name}: {} of {tries} were not told {expected}, but {first}", wrong.len()));
            }
        }
    }
    println!("{kinds} endings, {tries} times each: {right} of {} were told the right code", kinds * tries);
    Ok(failures)
}

/// The code of the close frame that comes, and then the end, without a reset.
fn told(mut tcp: TcpStream, bytes: &[u8], behind: usize) -> Result<u16> {
    let mut sent = bytes.to_vec();
    if behind > 0 {
        sent.extend_from_slice(&frame(TEXT, &vec![b'x'; behind]));
    }
    narrow(&tcp, SEND_BUFFER)?;
    tcp.write_all(&sent)?;
    let (opcode, payload) = read_frame(&mut tcp)?;
    if opcode != CLOSE || payload.len() < 2 {
        return Err("something else than a close frame with a code".into());
    }
    // Answered as section 5.5.1 has it; the server closes first.
    let _ = tcp.write_all(&frame(CLOSE, &payload[..2]));
    drain(&mut tcp)?;
    Ok(u16::from_be_bytes([payload[0], payload[1]]))
}
