//! The URL of a client. An accepted URL gives the host, the port and the request that a slow and
//! simple reader of RFC 3986 finds in it. A usual URL is accepted. A browser's parser finds the
//! same host and port.
use crate::{
    head::Plain,
    wire::{Takes, Wire, bounded, within},
};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use wsx::__private::fuzz;

/// Input: the URL.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = bounded((64 << 10) + 64 * text.len(), || fuzz::destination(text));
    let expected = Parts::read(text);
    match parsed {
        Err(why) => {
            assert!(!why.is_empty() && !why.contains('\n'), "an error is a sentence: {why:?}");
            // A space or a control character is a mistake in each part of a URL.
            let has_blank = text.contains(|character: char| character <= ' ' || character == '\x7f');
            let usual = !has_blank && expected.is_some_and(|parts| parts.is_usual());
            assert!(!usual, "a usual URL was rejected: {why}");
        }
        Ok(destination) => {
            let expected = expected.unwrap_or_else(|| panic!("{text:?} is not a URL, but was accepted"));
            assert_eq!((&*destination.host, destination.port), (&*expected.host, expected.port));
            assert_request(text, &expected);
            assert_browser(text, &destination.host, destination.port);
        }
    }
}

/// The parts of a URL with the scheme `ws`.
#[derive(Debug)]
struct Parts {
    /// Without its zone.
    authority: String,
    /// Without brackets, and with its zone.
    host: String,
    port: u16,
    /// The path and the query, as in a request.
    target: String,
}

impl Parts {
    /// RFC 3986 section 3, with the rules of RFC 6455 section 3. `None` if it is not a URL of a
    /// WebSocket, or has user information.
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("ws") {
            return None;
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (authority, host, port) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (literal, port) = literal.split_once(']')?;
                // RFC 6874.
                let (address, zone) = match literal.split_once("%25") {
                    Some((address, zone)) => (address, format!("%{}", zone_name(zone)?)),
                    None => (literal, String::new()),
                };
                // Section 3.2.2. Nobody uses the form `[v1.…]`.
                address.parse::<Ipv6Addr>().ok()?;
                (format!("[{address}]{port}"), format!("{address}{zone}"), port)
            }
            None => {
                let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                if host.is_empty() || !host.chars().all(is_host) {
                    return None;
                }
                (authority.to_owned(), host.to_owned(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 80,
            None => return None,
            Some("") => 80,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|&port| port > 0)?
            }
            Some(_) => return None,
        };
        let target = rest.split('#').next().unwrap_or_default();
        // Other characters outside of RFC 3986 are sent as they are written.
        if target.chars().any(|character| character <= ' ' || character == '\x7f') {
            return None;
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Some(Self { authority, host, port, target: format!("{slash}{target}") })
    }

    /// Whether each program reads this URL in the same way.
    fn is_usual(&self) -> bool {
        let usual = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/?=&:[]".contains(&byte));
        self.target.len() + self.authority.len() < 60_000
            && usual(&self.authority)
            && !self.host.contains('%')
            && usual(&self.target)
    }
}

/// Returns the name of an interface, which is percent-encoded. `None` if it is empty, or if a byte
/// of it cannot be seen.
fn zone_name(encoded: &str) -> Option<String> {
    let (mut bytes, mut name) = (encoded.bytes(), String::new());
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = if byte == b'%' { digit()? * 16 + digit()? } else { u32::from(byte) };
        name.push(char::from_u32(value).filter(char::is_ascii_graphic)?);
    }
    Some(name).filter(|name| !name.is_empty())
}

/// RFC 3986 section 3.2.2: the characters of a registered name, without percent-encoding.
fn is_host(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(character)
}

/// Asserts that the client's request names this host and target, and has nothing else in it.
///
/// # Panics
///
/// When the request differs.
fn assert_request(text: &str, expected: &Parts) {
    let wire = Wire::new(Vec::new(), Takes::Everything);
    wire.finish();
    let answered = within(Duration::from_secs(60), fuzz::client_handshake(&mut wire.clone(), text, None));
    assert!(answered.is_err(), "the server has not answered");
    let request = wire.written();
    let head = Plain::read(&request).expect("a request ends with an empty line");
    assert_eq!(head.text.len(), request.len(), "nothing follows the request");
    assert_eq!(head.lines[0], format!("GET {} HTTP/1.1", expected.target).as_bytes());
    assert_eq!(head.values("host"), [&*expected.authority]);
    assert_eq!(head.lines.len(), 6, "the headers of a handshake, and not more");
}

/// Asserts that the parser of browsers finds the same host and port, if it accepts the URL.
///
/// # Panics
///
/// When it finds others.
fn assert_browser(text: &str, host: &str, port: u16) {
    let Ok(parsed) = ::url::Url::parse(text) else { return };
    assert_eq!(parsed.port_or_known_default(), Some(port));
    match parsed.host().expect("a URL of a WebSocket has a host") {
        ::url::Host::Domain(domain) => assert_eq!(domain, host.to_ascii_lowercase()),
        ::url::Host::Ipv6(address) => assert_eq!(host.parse(), Ok(address)),
        // Browsers also read forms such as `127.1`, which are names for wsx and its resolver.
        ::url::Host::Ipv4(address) => {
            assert!(host.parse::<Ipv4Addr>().is_err() || host.parse() == Ok(address), "{host} is not {address}");
        }
    }
}
