//! The handshake at the client. Whatever a server answers, the client reads at most the limits of
//! the heads and of a body. An accepted answer is one that a slow and simple reader of RFC 6455
//! section 4.1 accepts, and the other way round. Pieces make no difference.
use crate::{
    head::{MAX_HEAD, MAX_HEADERS, Plain},
    input::{Input, pieces},
    wire::{Takes, Wire, bounded, within},
};
use std::time::Duration;
use wsx::{__private::fuzz, ConnectError};

/// The place of the right `Sec-WebSocket-Accept` in an answer. The client's key is random.
const ACCEPT: &[u8] = b"{accept}";
/// How many interim answers may come before the final one.
const MAX_INTERIM: usize = 8;
/// How much of the body of a rejection the client keeps, and how many bytes it reads for it.
const MAX_BODY: usize = 4 * 1024;
const MAX_BODY_READ: usize = 68 * 1024;
/// The subprotocols that a client requests.
const PROTOCOLS: [&str; 2] = ["v2", "v1"];

/// Input: one byte for the behaviour of the wire and the subprotocols, two for how the answer is
/// cut into pieces, then the answer.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, pattern) = (input.byte(), input.short());
    let requests_protocols = ways & 1 != 0;
    let takes = if ways & 2 == 0 { Takes::Everything } else { Takes::Little(8) };
    let cut = |answer: &[u8]| pieces(answer, pattern);
    // Most of it is the answer in single bytes.
    let memory = (256 << 10) + 256 * input.0.len();
    let in_pieces = bounded(memory, || outcome(input.0, cut, takes, requests_protocols));
    let whole = outcome(input.0, |answer| vec![answer.to_vec()], Takes::Everything, requests_protocols);
    assert_eq!(in_pieces, whole, "the outcome depends on the pieces");
}

/// The result of a handshake.
#[derive(Debug, PartialEq)]
enum Outcome {
    Accepted,
    /// The status, the time of `Retry-After` in seconds, and the body.
    Rejected(u16, Option<u64>, Vec<u8>),
    Failed,
}

fn outcome(template: &[u8], cut: impl Fn(&[u8]) -> Vec<Vec<u8>>, takes: Takes, requests_protocols: bool) -> Outcome {
    let wire = Wire::new(Vec::new(), takes);
    let protocols = requests_protocols.then_some("v2, v1");
    let (result, answer) = within(Duration::from_secs(60), async {
        let mut stream = wire.clone();
        let client = fuzz::client_handshake(&mut stream, "ws://a/ws", protocols);
        let server = async {
            while !wire.written().ends_with(b"\r\n\r\n") {
                tokio::task::yield_now().await;
            }
            let request = wire.written();
            let request = Plain::read(&request).expect("a request ends with an empty line");
            let accept = request.assert_handshake();
            let requested: &[String] = if requests_protocols { &["v2, v1".to_owned()] } else { &[] };
            assert_eq!(request.values("sec-websocket-protocol"), requested);
            let answer = fill(template, accept.as_bytes());
            cut(&answer).into_iter().for_each(|piece| wire.send(piece));
            wire.finish();
            (answer, accept)
        };
        tokio::join!(client, server)
    });
    let (answer, accept) = answer;
    let taken = answer.len() - wire.unread();
    let interim = interim(&answer);
    let most = interim.min(MAX_INTERIM * MAX_HEAD) + MAX_HEAD + MAX_BODY_READ;
    assert!(taken <= most, "{taken} bytes were read");
    let answer = &answer[interim..];
    let head = Plain::read(answer).filter(|head| answer.starts_with(head.lines[0]));
    match result {
        Ok(rest) => {
            let head = head.expect("an accepted head is complete, and nothing comes before it");
            assert_eq!(mistake(&head, &accept, requests_protocols), None);
            head.assert_headers();
            assert_eq!(rest, answer[head.text.len()..taken - interim], "the bytes after the answer");
            Outcome::Accepted
        }
        Err(error) => {
            let good = head.as_ref().is_some_and(|head| {
                is_plain(head) && status(head) == Some(101) && mistake(head, &accept, requests_protocols).is_none()
            });
            assert!(!good, "a good answer was rejected: {error}");
            match error {
                ConnectError::Rejected { status: rejected, retry_after, headers, body } => {
                    let head = head.expect("a status needs a head");
                    assert_eq!(status(&head), Some(rejected.as_u16()));
                    assert!(!rejected.is_informational());
                    assert_eq!(headers.len(), head.lines.len() - 1);
                    assert!(body.len() <= MAX_BODY && body.len() <= answer.len() - head.text.len());
                    Outcome::Rejected(
                        rejected.as_u16(),
                        retry_after.map(|time| time.as_secs()),
                        without_key(body, &accept),
                    )
                }
                ConnectError::Handshake(_) => Outcome::Failed,
                error => panic!("unexpected error: {error:?}"),
            }
        }
    }
}

/// Returns the length of the interim answers that the client skips. One more than it skips is the
/// final answer, and fails.
fn interim(answer: &[u8]) -> usize {
    let mut length = 0;
    for _ in 0..MAX_INTERIM {
        let rest = &answer[length..];
        let Some(head) = Plain::read(rest).filter(|head| rest.starts_with(head.lines[0])) else { break };
        if !status(&head).is_some_and(|status| (100..200).contains(&status) && status != 101) {
            break;
        }
        length += head.text.len();
    }
    length
}

/// Replaces each [`ACCEPT`].
fn fill(mut template: &[u8], accept: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    while let Some(at) = template.windows(ACCEPT.len()).position(|window| window == ACCEPT) {
        answer.extend_from_slice(&template[..at]);
        answer.extend_from_slice(accept);
        template = &template[at + ACCEPT.len()..];
    }
    answer.extend_from_slice(template);
    answer
}

/// Returns the body with another text in place of the key, which is random. Its end is left out,
/// because it may have a part of the key.
fn without_key(mut body: Vec<u8>, accept: &str) -> Vec<u8> {
    while let Some(at) = body.windows(accept.len()).position(|window| window == accept.as_bytes()) {
        body[at..at + accept.len()].fill(b'?');
    }
    body.truncate(body.len().saturating_sub(accept.len() - 1));
    body
}

/// RFC 9112 section 4: the version, a space, and three digits.
fn status(head: &Plain<'_>) -> Option<u16> {
    let rest = head.lines[0].strip_prefix(b"HTTP/1.1 ").or_else(|| head.lines[0].strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let is_status = digits.iter().all(u8::is_ascii_digit) && (rest.is_empty() || rest[0] == b' ');
    is_status.then(|| std::str::from_utf8(digits).expect("digits are ASCII").parse().expect("three digits fit"))
}

/// Whether every recipient of HTTP reads this head in the same way.
fn is_plain(head: &Plain<'_>) -> bool {
    let is_visible = |line: &&[u8]| line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let is_header = |line: &&[u8]| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        line.len() > name.len()
            && !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let fits = head.text.len() <= MAX_HEAD && head.lines.len() <= 1 + MAX_HEADERS;
    fits && head.lines.iter().all(is_visible) && head.lines[1..].iter().all(is_header)
}

/// RFC 6455 section 4.1: the conditions on an answer, in their order. Returns the one that does not
/// hold.
fn mistake(head: &Plain<'_>, accept: &str, requested_protocols: bool) -> Option<&'static str> {
    let elements = |name| -> Vec<String> {
        let values = head.values(name);
        values.iter().flat_map(|value| value.split(',')).map(|element| element.trim().to_ascii_lowercase()).collect()
    };
    if !head.lines[0].starts_with(b"HTTP/1.1 ") || status(head) != Some(101) {
        return Some("1: the status");
    }
    let upgrade = elements("upgrade");
    if upgrade.is_empty() || upgrade.iter().any(|name| name != "websocket") {
        return Some("2: Upgrade");
    }
    if !elements("connection").contains(&"upgrade".to_owned()) {
        return Some("3: Connection");
    }
    if head.values("sec-websocket-accept") != [accept] {
        return Some("4: Sec-WebSocket-Accept");
    }
    if !head.values("sec-websocket-extensions").is_empty() {
        return Some("5: Sec-WebSocket-Extensions");
    }
    // wsx is stricter than the RFC: a client that requests subprotocols needs one.
    let fits = match &*head.values("sec-websocket-protocol") {
        [] => !requested_protocols,
        [one] => requested_protocols && PROTOCOLS.contains(&one.as_str()),
        _ => false,
    };
    if fits { None } else { Some("6: Sec-WebSocket-Protocol") }
}
