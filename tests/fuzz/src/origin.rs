//! The `Origin` and `Host` headers of a request. A request that is accepted as of the same origin
//! has equal ones for a slow and simple reader of RFC 6454, and for a browser's parser. An origin
//! as browsers write it is accepted.
use crate::wire::{Takes, Wire, bounded, within};
use std::{net::Ipv6Addr, time::Duration};
use url::Url;
use wsx::{
    Hub,
    server::{HandshakeError, WsHandler},
};

/// The origins that a server with a list accepts.
const LIST: [&str; 3] = ["https://ops.example.com", "http://localhost:3000", "http://[::1]:81"];

thread_local! {
    static HANDLERS: [WsHandler; 2] = {
        // A run has memory of its own, so the hub remembers few ids of the runs before.
        let hub = || Hub::builder().without_handlers().max_absent(8).build().expect("there is nothing to check");
        let handler = || hub().ws_handler(wsx::unique_id, |_| {});
        [handler().same_origin(), handler().allow_origins(LIST)]
    };
}

/// Input: one byte that chooses the rule, then the `Host` header and `Origin` headers, a line each.
pub fn run(data: &[u8]) {
    let Some((rule, headers)) = data.split_first() else { return };
    // A line end would end the header.
    if headers.contains(&b'\r') {
        return;
    }
    let mut values = headers.split(|&byte| byte == b'\n');
    let host = values.next().unwrap_or_default();
    let origins: Vec<_> = values.take(8).collect();
    let is_list = rule & 1 != 0;
    let status = bounded((512 << 10) + 16 * data.len(), || status(is_list, host, &origins));
    assert!([101, 400, 403, 431].contains(&status), "unexpected status {status}");
    let (host, origins) = (text(host), origins.into_iter().map(text));
    // A `Host` header may have an empty port, and an origin may not.
    let is_host =
        host.is_empty() || Origin::read(&format!("http://{}", host.strip_suffix(':').unwrap_or(host))).is_some();
    assert!(status != 101 || is_host, "{host:?} is not a host");
    for origin in origins {
        if is_list {
            let listed = Origin::read(origin)
                .is_some_and(|origin| LIST.iter().any(|each| Origin::read(each) == Some(origin.clone())));
            assert!(status != 101 || listed, "{origin:?} is not in the list");
        } else {
            assert!(status != 101 || is_same(origin, host), "{origin:?} is not at {host:?}");
            assert!(status != 101 || browser_agrees(origin, host), "for a browser {origin:?} is not at {host:?}");
        }
    }
    if let [origin] = headers.split(|&byte| byte == b'\n').skip(1).map(text).collect::<Vec<_>>()[..] {
        let usual =
            !is_list && is_usual(origin) && origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        assert!(!usual || status == 101, "{origin:?} at {host:?} got {status}");
    }
}

/// Returns the status of the answer to a request with these headers.
fn status(is_list: bool, host: &[u8], origins: &[&[u8]]) -> u16 {
    let mut request = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: "
        .to_vec();
    request.extend_from_slice(host);
    for origin in origins {
        request.extend_from_slice(b"\r\nOrigin: ");
        request.extend_from_slice(origin);
    }
    request.extend_from_slice(b"\r\n\r\n");
    let wire = Wire::new(vec![request], Takes::Everything);
    wire.finish();
    let handler = HANDLERS.with(|handlers| handlers[usize::from(is_list)].clone());
    within(Duration::from_secs(60), async {
        match handler.serve_connection(wire, None).await {
            Ok(conn) => {
                conn.closed().await;
                101
            }
            Err(HandshakeError::Rejected { status, .. }) => status.as_u16(),
            Err(error) => panic!("unexpected error: {error:?}"),
        }
    })
}

/// Returns the value of a header, without the spaces around it. Empty if it is not ASCII.
fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).unwrap_or_default().trim_matches([' ', '\t'])
}

/// RFC 6454 section 4: scheme, host and port.
#[derive(Clone, Debug, PartialEq)]
struct Origin {
    scheme: String,
    host: String,
    port: u32,
}

impl Origin {
    /// RFC 6454 section 7.1. `None` if the text is not an origin with a port.
    fn read(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let standard = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let (host, port) = match authority.split_once(']') {
            Some((literal, port)) => {
                literal.strip_prefix('[')?.parse::<Ipv6Addr>().ok()?;
                (format!("{literal}]"), port)
            }
            None => {
                let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                if host.is_empty() || host.contains(['/', '?', '#', '@', '\\', ' ', '[']) {
                    return None;
                }
                (host.to_owned(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => standard?,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            _ => return None,
        };
        Some(Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

/// Whether an origin has the host and port of a `Host` header.
fn is_same(origin: &str, host: &str) -> bool {
    let Some(page) = Origin::read(origin) else { return false };
    let server = Origin::read(&format!("{}://{host}", page.scheme));
    server == Some(page)
}

/// Whether a browser reads the same host and port from both. A text that it does not read cannot
/// come from one.
fn browser_agrees(origin: &str, host: &str) -> bool {
    let Ok(page) = Url::parse(origin) else { return true };
    if !["http", "https"].contains(&page.scheme()) {
        // Browsers compare hosts with case in a URL of another scheme. They write lower case.
        return true;
    }
    let Ok(server) = Url::parse(&format!("{}://{host}", page.scheme())) else { return false };
    (page.host(), page.port_or_known_default()) == (server.host(), server.port_or_known_default())
}

/// Whether this is how a browser writes an origin, with a usual host.
fn is_usual(origin: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/[]".contains(&byte);
    let is_web = ["http://", "https://"].iter().any(|scheme| origin.starts_with(scheme));
    let is_short = origin.len() < 8000;
    is_web
        && is_short
        && origin.bytes().all(usual)
        && Url::parse(origin).is_ok_and(|page| page.origin().ascii_serialization() == origin)
}
