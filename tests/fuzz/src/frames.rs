//! Frames through a connection of either role. The same bytes, in any pieces, give the messages,
//! pongs and close code that tungstenite alone reads from one piece. One difference is allowed: wsx
//! may reject an invalid header before the payload arrives, or before the length is found too long.
//! An independent decoder reads what wsx writes.
use crate::{
    frame::{self, BINARY, CLOSE, Frame, PONG, TEXT},
    input::{Input, pieces},
    wire::{Takes, Wire, bounded, within},
};
use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig},
};
use wsx::{__private::fuzz, Closed, ClosedBy, Config, Connection, RawFrame};

/// Longest message in bytes, small enough for the fuzzer to reach.
const LONGEST: usize = 1000;

/// Input: two bytes for the behaviour of the wire, two for how it is cut into pieces, then the
/// peer's bytes.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, narrow, pattern) = (input.byte(), input.byte(), input.short());
    let role = if ways & 1 == 0 { Role::Server } else { Role::Client };
    let takes = if ways & 2 == 0 { Takes::Everything } else { Takes::Little(8 + usize::from(narrow)) };
    let bytes = input.0;
    let early = if ways & 4 == 0 { 0 } else { bytes.len().min(usize::from(narrow)) };
    let mut expected = expected(role, bytes);
    // The thread's buffers, and the messages that this run keeps.
    let seen = bounded((512 << 10) + 16 * bytes.len(), || {
        let (early, rest) = bytes.split_at(early);
        seen(role, early.to_vec(), pieces(rest, pattern), takes)
    });
    if frame::has_invalid_header(bytes, role == Role::Server) {
        let rejected_early = u16::from(seen.closed.code) == 1002;
        if expected.end == End::Lost || (expected.end == End::Rejected(1009) && rejected_early) {
            expected.end = End::Rejected(1002);
        }
    }
    compare(role, &expected, &seen);
}

/// The messages and pongs in the peer's bytes.
#[derive(Debug, Default, PartialEq)]
struct Received {
    /// Text as `TEXT`, binary as `BINARY`.
    messages: Vec<Frame>,
    pongs: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Expected {
    received: Received,
    pings: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    /// The peer closed with this code; 1005 means without a code.
    Closed(u16),
    /// The peer's bytes are rejected with this code.
    Rejected(u16),
    /// The peer hung up without a close frame.
    Lost,
}

/// The result of tungstenite alone, from one piece.
fn expected(role: Role, bytes: &[u8]) -> Expected {
    let limits = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let mut ws = WebSocket::from_raw_socket(OneWay(bytes), role, Some(limits));
    let mut expected = Expected { received: Received::default(), pings: Vec::new(), end: End::Lost };
    expected.end = loop {
        match ws.read() {
            Ok(Message::Text(text)) => {
                expected.received.messages.push(Frame { opcode: TEXT, payload: text.as_bytes().to_vec() });
            }
            Ok(Message::Binary(bytes)) => {
                expected.received.messages.push(Frame { opcode: BINARY, payload: bytes.to_vec() });
            }
            Ok(Message::Ping(payload)) => expected.pings.push(payload.to_vec()),
            Ok(Message::Pong(payload)) => expected.received.pongs.push(payload.to_vec()),
            Ok(Message::Close(frame)) => break End::Closed(frame.map_or(1005, |frame| frame.code.into())),
            Ok(Message::Frame(_)) => unreachable!("tungstenite does not return frames"),
            Err(Error::Capacity(_)) => break End::Rejected(1009),
            Err(Error::Utf8(_)) => break End::Rejected(1007),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Lost,
            Err(Error::Protocol(_)) => break End::Rejected(1002),
            Err(error) => panic!("unexpected error in memory: {error:?}"),
        }
    };
    expected
}

/// Bytes to read. Written bytes are dropped.
struct OneWay<'d>(&'d [u8]);

impl Read for OneWay<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for OneWay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a connection that echoes has done.
struct Seen {
    received: Received,
    written: Vec<u8>,
    closed: Closed,
}

fn seen(role: Role, early: Vec<u8>, pieces: Vec<Vec<u8>>, takes: Takes) -> Seen {
    let wire = Wire::new(pieces, takes);
    wire.finish();
    let config = Config::default().max_message_size(LONGEST).queue_messages(8).queue_bytes(4 * LONGEST);
    let (conn, task) = fuzz::connection(wire.clone(), role, early, config);
    let received = Arc::new(Mutex::new(Received::default()));
    // The two handlers together get every message.
    for message_type in ["__raw__", "__unknown__"] {
        let received = received.clone();
        conn.register_handler(message_type, move |frame: RawFrame<'static>, conn: Connection| {
            let opcode = if frame.as_text().is_some() { TEXT } else { BINARY };
            received.lock().unwrap().messages.push(Frame { opcode, payload: frame.as_bytes().to_vec() });
            async move {
                // Fails when the connection closes meanwhile.
                let _ = match frame.as_text() {
                    Some(text) => conn.send_bytes(text).await,
                    None => conn.send_binary(frame.as_bytes()).await,
                };
            }
        });
    }
    let pongs = received.clone();
    conn.on_pong(move |payload| pongs.lock().unwrap().pongs.push(payload.to_vec()));
    let closed = within(Duration::from_secs(60), async {
        task.await;
        conn.closed().await
    });
    let received = std::mem::take(&mut *received.lock().unwrap());
    Seen { received, written: wire.written(), closed }
}

fn compare(role: Role, expected: &Expected, seen: &Seen) {
    assert_eq!(seen.received, expected.received);
    let frames = frame::decode(&seen.written, role == Role::Client);
    let (mut echoes, mut pongs, mut close) = (Vec::new(), Vec::new(), None);
    for frame in frames {
        match frame.opcode {
            TEXT | BINARY => echoes.push(frame),
            PONG => pongs.push(frame.payload),
            CLOSE => close = Some(frame.code()),
            opcode => panic!("unexpected frame with opcode {opcode}"),
        }
    }
    let mut pings = expected.pings.iter();
    for pong in &pongs {
        assert!(pings.any(|ping| ping == pong), "{pong:?} does not answer a ping, or is out of order");
    }
    let closed = (u16::from(seen.closed.code), seen.closed.by);
    match expected.end {
        End::Lost => {
            assert_eq!(closed, (1006, ClosedBy::Link));
            assert_eq!(close, None, "a lost link has no close frame");
            assert!(expected.received.messages.starts_with(&echoes));
            return;
        }
        End::Closed(code) => {
            assert_eq!(closed, (code, ClosedBy::Peer));
            assert_eq!(close, Some(code), "a close frame is answered with its code");
        }
        End::Rejected(code) => {
            assert_eq!(closed, (code, ClosedBy::Us));
            assert_eq!(close, Some(code), "the peer receives the code");
        }
    }
    assert_eq!(echoes, expected.received.messages, "accepted messages are sent before the close frame");
    assert!(expected.pings.is_empty() || !pongs.is_empty(), "no ping was answered");
}
