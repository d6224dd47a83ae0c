//! The HTTP stage. A request gets the same answer in any pieces. A request becomes a WebSocket only
//! if a slow and simple reader of RFC 6455 section 4.2.1 accepts it. The limit on the HTTP head is
//! exact to the byte.
use crate::{
    input::{Input, pieces},
    wire::{Takes, Wire, bounded, within},
};
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wsx::{
    Config, Hub,
    server::{HandshakeError, WsHandler},
};

/// The limits on the HTTP head and on its headers, as in SECURITY.md.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

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
        head.assert_limit();
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
    let served = within(Duration::from_secs(60), async {
        let served = upgrade().serve_connection(wire.clone(), None).await;
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

fn upgrade() -> WsHandler {
    // Another target covers what follows the handshake, so the connection closes at its first
    // message.
    let config = Config::default().max_message_size(1);
    let hub =
        Hub::builder().config(config).without_handlers().build().expect("a hub without handlers has nothing to check");
    hub.ws_handler(wsx::unique_id, |_| {})
}

/// An HTTP head of a request, read line by line.
struct Plain<'r> {
    text: &'r [u8],
    lines: Vec<&'r [u8]>,
}

impl<'r> Plain<'r> {
    /// Reads up to the first empty line. Empty lines before the request are skipped (RFC 9112
    /// section 2.2).
    fn read(request: &'r [u8]) -> Option<Self> {
        let (mut lines, mut length) = (Vec::new(), 0);
        for raw in request.split_inclusive(|&byte| byte == b'\n') {
            length += raw.len();
            let line = raw.strip_suffix(b"\n")?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match (line.is_empty(), lines.is_empty()) {
                (true, true) => {}
                (true, false) => return Some(Self { text: &request[..length], lines }),
                (false, _) => lines.push(line),
            }
        }
        None
    }

    /// Returns the values of a header, without the spaces around them.
    fn values(&self, name: &str) -> Vec<String> {
        let fields = self.lines[1..].iter().filter_map(|line| {
            let (given, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
            given.eq_ignore_ascii_case(name.as_bytes()).then(|| String::from_utf8_lossy(&value[1..]).trim().to_owned())
        });
        fields.collect()
    }

    /// Returns the key for the answer.
    ///
    /// # Panics
    ///
    /// When it is not a handshake.
    fn assert_handshake(&self) -> String {
        let first = String::from_utf8_lossy(self.lines[0]);
        assert!(first.starts_with("GET ") && first.ends_with(" HTTP/1.1"), "{first}");
        assert!(self.lines.len() <= 1 + MAX_HEADERS, "{} lines", self.lines.len());
        for line in &self.lines[1..] {
            let plain = |&byte: &u8| byte >= b' ' && byte != 0x7f || byte == b'\t';
            assert!(line.iter().all(plain), "a control character in a header: {line:?}");
            assert!(line.contains(&b':') && line[0] != b' ' && line[0] != b'\t', "not a header: {line:?}");
        }
        assert_eq!(self.values("host").len(), 1, "one Host");
        assert_eq!(self.values("sec-websocket-version"), ["13"]);
        assert!(self.values("content-length").is_empty() && self.values("transfer-encoding").is_empty(), "a body");
        // tungstenite accepts a space as a comma here. That accepts only requests for a WebSocket.
        let names = |name: &str, token: &str| {
            self.values(name).iter().any(|value| value.split([',', ' ']).any(|each| each.eq_ignore_ascii_case(token)))
        };
        assert!(names("upgrade", "websocket") && names("connection", "upgrade"));
        let keys = self.values("sec-websocket-key");
        let [key] = &*keys else { panic!("{} keys", keys.len()) };
        // 16 bytes in base64.
        assert!(key.len() == 24 && key.ends_with("==") && !key[..22].contains('='), "{key:?} is not a key");
        derive_accept_key(key.as_bytes())
    }

    /// Asserts that an HTTP head of exactly the maximum length is read, and that one more byte is
    /// too much. The same for the number of headers.
    ///
    /// # Panics
    ///
    /// When the limits differ.
    fn assert_limit(&self) {
        assert!(self.text.len() <= MAX_HEAD, "a head of {} bytes was read", self.text.len());
        let end = if self.text.ends_with(b"\r\n") { self.text.len() - 2 } else { self.text.len() - 1 };
        let with = |more: &[u8]| {
            let longer = [&self.text[..end], more, b"\r\n"].concat();
            (longer.len(), answer(vec![longer], Takes::Everything).status)
        };
        let (headers, empty) = (self.lines.len() - 1, with(b"P: \r\n").0);
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
}
