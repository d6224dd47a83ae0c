//! Frames through a connection of either role. The same bytes, in any pieces, give the messages,
//! pongs and close code that a slow reader finds in them, which was written from the RFC. An
//! independent decoder reads what wsx writes.
use crate::{
    envelope::{is_acknowledgement, is_failure, keys},
    frame::{self, BINARY, CLOSE, Frame, PONG, TEXT},
    input::{Input, pieces},
    rfc1951::Inflate,
    rfc6455::{self, Content, End},
    wire::{Takes, Wire, bounded, within},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use wsx::{
    __private::{
        Role,
        fuzz::{self, deflate::Way},
    },
    Closed, ClosedBy, Config, Connection, RawFrame,
};

/// Longest message in bytes, small enough for the fuzzer to reach.
const LONGEST: usize = 1000;

/// Input: two bytes for the behaviour of the wire, two for how it is cut into pieces, then the
/// peer's bytes. The highest bits of the first byte choose how both ends compress.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, narrow, pattern) = (input.byte(), input.byte(), input.short());
    let role = if ways & 1 == 0 { Role::Server } else { Role::Client };
    let takes = if ways & 2 == 0 { Takes::Everything } else { Takes::Little(8 + usize::from(narrow)) };
    let bytes = input.0;
    let early = if ways & 4 == 0 { 0 } else { bytes.len().min(usize::from(narrow)) };
    let way: Option<Way> = (ways & 8 != 0).then_some(((9 + (ways >> 5)).min(15), ways & 16 == 0));
    let inflate = || way.map(|(window_bits, keeps_context)| Inflate::new(window_bits, keeps_context));
    let expected = rfc6455::read(bytes, role == Role::Server, LONGEST, inflate());
    // The thread's buffers, both states of zlib, and the messages that this run keeps: a short one
    // may inflate to the longest.
    let (buffers, kept) = if way.is_some() { (1 << 20, LONGEST) } else { (512 << 10, 16) };
    let seen = bounded(buffers + kept * bytes.len(), || {
        let (early, rest) = bytes.split_at(early);
        seen(role, early.to_vec(), pieces(rest, pattern), takes, way)
    });
    compare(role, &expected, &seen, inflate());
}

/// The messages and pongs in the peer's bytes.
#[derive(Debug, Default)]
struct Received {
    /// Text as `TEXT`, binary as `BINARY`.
    messages: Vec<Frame>,
    /// Those of which the echo was accepted. A send that waits for room fails when the peer closes.
    echoed: Vec<Frame>,
    pongs: Vec<Vec<u8>>,
}

/// What a connection that echoes has done.
struct Seen {
    received: Received,
    written: Vec<u8>,
    closed: Closed,
}

fn seen(role: Role, early: Vec<u8>, pieces: Vec<Vec<u8>>, takes: Takes, way: Option<Way>) -> Seen {
    let wire = Wire::new(pieces, takes);
    wire.finish();
    let config = Config::default().max_message_size(LONGEST).queue_messages(8).queue_bytes(4 * LONGEST);
    // Both ends compress alike.
    let ways = way.map(|way| (Some(way), way));
    let (conn, task) = fuzz::deflate::connection(wire.clone(), role, early, config, ways);
    let received = Arc::new(Mutex::new(Received::default()));
    // The two handlers together get every message.
    for message_type in ["__raw__", "__unknown__"] {
        let received = received.clone();
        conn.register_handler(message_type, move |frame: RawFrame<'static>, conn: Connection| {
            let opcode = if frame.as_text().is_some() { TEXT } else { BINARY };
            let message = Frame { opcode, payload: frame.as_bytes().to_vec() };
            received.lock().unwrap().messages.push(message.clone());
            let received = received.clone();
            async move {
                let sent = match frame.as_text() {
                    Some(text) => conn.send_bytes(text).await,
                    None => conn.send_binary(frame.as_bytes()).await,
                };
                match sent {
                    Ok(()) => received.lock().unwrap().echoed.push(message),
                    Err(error) => assert!(conn.is_closed(), "a send failed on an open connection: {error}"),
                }
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

/// Checks the messages that the handlers received: all of the peer, in order, without those that no
/// handler gets. A request that waits may be cancelled, or come too late. A message with a number
/// may have been handled before, or come before the begin.
fn compare_messages(expected: &[Frame], received: &[Frame]) {
    let keys: Vec<_> = expected.iter().map(|message| message.text().and_then(keys).unwrap_or_default()).collect();
    let is_cancelled = |id| keys.iter().any(|keys| keys.id == id && keys.re.is_none() && keys.err.is_some());
    let mut received = received.iter().peekable();
    for (message, keys) in expected.iter().zip(&keys) {
        if keys.re.is_some() || keys.err.is_some() {
            continue;
        }
        let is_late = keys.id.is_some() && (keys.ttl.is_some() || is_cancelled(keys.id));
        // A message with a number is handled after a begin of its sender, and once.
        let is_kept = keys.id.is_none() && keys.delivery.is_some();
        let may_be_dropped = is_late || is_kept;
        if received.next_if_eq(&message).is_none() {
            assert!(may_be_dropped, "{message:?} is missing: {:?} came instead", received.peek());
        }
    }
    assert_eq!(received.next(), None);
}

fn compare(role: Role, expected: &Content, seen: &Seen, mut inflate: Option<Inflate>) {
    let is_deflate = inflate.is_some();
    compare_messages(&expected.messages, &seen.received.messages);
    assert!(seen.received.messages.starts_with(&seen.received.echoed), "messages are sent in their order");
    assert_eq!(seen.received.pongs, expected.pongs);
    let frames =
        frame::decode_compressed(&seen.written, role == Role::Client).into_iter().map(|(frame, compressed)| {
            if !compressed {
                return frame;
            }
            let inflate = inflate.as_mut().expect("both ends agreed on it");
            let message = inflate.message(&frame.payload, LONGEST).expect("wsx writes what can be read");
            Frame { payload: message.bytes, ..frame }
        });
    let (mut echoes, mut pongs, mut close) = (Vec::new(), Vec::new(), None);
    for frame in frames {
        match frame.opcode {
            // The echo is not a reply, so a request gets a failure too.
            TEXT if is_failure(&frame) => {}
            TEXT if is_acknowledgement(&frame) && !seen.received.echoed.contains(&frame) => {}
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
            assert!(seen.received.echoed.starts_with(&echoes));
            return;
        }
        End::Closed(code) => {
            assert_eq!(closed, (code, ClosedBy::Peer));
            assert_eq!(close, Some(code), "a close frame is answered with its code");
        }
        End::Rejected(code) => {
            // A message can be too long and be broken, which is found at the same time.
            let is_either = is_deflate && [code, closed.0].iter().all(|code| [1007, 1009].contains(code));
            let code = if is_either { closed.0 } else { code };
            assert_eq!(closed, (code, ClosedBy::Us));
            assert_eq!(close, Some(code), "the peer receives the code");
        }
    }
    assert_eq!(echoes, seen.received.echoed, "accepted messages are sent before the close frame");
    assert!(expected.pings.is_empty() || !pongs.is_empty(), "no ping was answered");
}
