//! The HTTP stage. A request gets the same answer in any pieces. A request becomes a WebSocket only
//! if a slow and simple reader of RFC 6455 section 4.2.1 accepts it. The limit on the HTTP head is
//! exact to the byte.
use crate::{
    head::{MAX_HEAD, MAX_HEADERS, Plain},
    input::{Input, pieces},
    wire::{Takes, Wire, bounded, within},
};
use std::time::Duration;
use wsx::{
    Config, Hub,
    server::{HandshakeError, WsHandler},
};

/// Input: one byte for the behaviour of the wire, two for how it is cut into pieces, then the
/// request.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (narrow, pattern) = (input.byte(), input.short());
    let takes = if narrow == 0 { Takes::Everything } else { Takes::Little(8 + usize::from(narrow)) };
    let request = input.0;
    let answered = bounded((512 << 10) + 16 * request.len(), || answer(pieces(request, pattern), takes));
    let whole = answer(vec![request.to_vec()], Takes::Everything);
    assert_eq!(answered, whole, "the answer depends on the pieces");
    if answered.status == Some(101) {
        let head = Plain::read(request).expect("an accepted HTTP head is complete");
        assert_eq!(answered.key, Some(head.assert_handshake()), "the answer has the right key");
        assert_limit(&head);
    }
}

/// The answer to a request.
#[derive(Debug, PartialEq)]
struct Answered {
    /// `None` when the stream ended before the request did.
    status: Option<u16>,
    key: Option<String>,
}

fn answer(pieces: Vec<Vec<u8>>, takes: Takes) -> Answered {
    let wire = Wire::new(pieces, takes);
    wire.finish();
    let handler = HANDLER.with(WsHandler::clone);
    let served = within(Duration::from_secs(60), async {
        let served = handler.serve_connection(wire.clone(), None).await;
        if let Ok(conn) = &served {
            conn.closed().await;
        }
        served
    });
    let written = wire.written();
    let end = written.windows(4).position(|end| end == b"\r\n\r\n");
    let head = end.map(|end| std::str::from_utf8(&written[..end]).expect("the head of an answer is ASCII"));
    let answered_status = head.map(|head| head[9..12].parse().expect("an answer has a status"));
    let status = match served {
        Ok(_) => Some(101),
        Err(HandshakeError::Rejected { status, reason: why }) => {
            let end = end.expect("the head of an answer is complete") + 4;
            assert_eq!(&written[end..], why.as_bytes(), "the body of a rejection is its reason");
            Some(status.as_u16())
        }
        Err(HandshakeError::Io(_)) => None,
        Err(error) => panic!("unexpected error: {error:?}"),
    };
    assert_eq!(answered_status, status, "the peer and the program get the same status");
    if let Some(status) = status {
        assert!([101, 400, 405, 426, 431, 505].contains(&status), "unexpected status {status}");
    }
    let key = head.and_then(|head| head.lines().find_map(|line| line.strip_prefix("sec-websocket-accept: ")));
    Answered { status, key: key.map(str::to_owned) }
}

thread_local! {
    static HANDLER: WsHandler = {
        // Another target covers what follows the handshake, so the connection closes at its first
        // message.
        let config = Config::default().max_message_size(1);
        // A run has memory of its own, so the hub remembers few ids of the runs before.
        let hub = Hub::builder().config(config).without_handlers().max_absent(8).build();
        hub.expect("a hub without handlers has nothing to check").ws_handler(wsx::unique_id, |_| {})
    };
}

/// Asserts that an HTTP head of exactly the maximum length is read, and that one more byte is
/// too much. The same for the number of headers.
///
/// # Panics
///
/// When the limits differ.
fn assert_limit(head: &Plain<'_>) {
    let end = if head.text.ends_with(b"\r\n") { head.text.len() - 2 } else { head.text.len() - 1 };
    let with = |more: &[u8]| {
        let longer = [&head.text[..end], more, b"\r\n"].concat();
        (longer.len(), answer(vec![longer], Takes::Everything).status)
    };
    let (headers, empty) = (head.lines.len() - 1, with(b"P: \r\n").0);
    if headers < MAX_HEADERS && empty <= MAX_HEAD {
        for (length, status) in [(MAX_HEAD, 101), (MAX_HEAD + 1, 431)] {
            let filler = [b"P: ", &*vec![b'p'; length - empty], b"\r\n"].concat();
            assert_eq!(with(&filler), (length, Some(status)), "the limit on the head");
        }
    }
    for (more, status) in [(MAX_HEADERS - headers, 101), (MAX_HEADERS - headers + 1, 431)] {
        let (length, answered_status) = with(&b"P: p\r\n".repeat(more));
        assert!(
            length > MAX_HEAD || answered_status == Some(status),
            "{} headers: {answered_status:?}",
            headers + more
        );
    }
}
