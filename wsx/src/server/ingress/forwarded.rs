//! The address of a peer in the headers that a proxy adds to its request: `X-Forwarded-For`, and
//! `Forwarded` of RFC 7239.
//!
//! Each proxy adds the address of its own peer at the right. The peer itself can send the same
//! header, so everything to the left of the first address that is not trusted is worthless.
use crate::handshake::header_list;
use http::{HeaderMap, HeaderName, header::FORWARDED};
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the address of the peer that trusted proxies name, or `None` if they name none. The port
/// is 0 if it is not there.
///
/// An error is a reason to reject the request, because the peer is unknown. It names the header.
pub(super) fn peer(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Result<Option<SocketAddr>, &'static str> {
    let mut by_x = Nearest::default();
    for node in header_list::elements(headers, X_FORWARDED_FOR).filter(|node| !node.is_empty()) {
        by_x.add(address(node), &trusts);
    }
    let mut by_standard = Nearest::default();
    for line in headers.get_all(FORWARDED) {
        elements(line.as_bytes(), |node| by_standard.add(node, &trusts))
            .ok_or("the `Forwarded` header of a trusted proxy violates RFC 7239")?;
    }
    let by_x = by_x.found("the `X-Forwarded-For` header of a trusted proxy does not name an address")?;
    let by_standard = by_standard.found("the `Forwarded` header of a trusted proxy does not name an address")?;
    match (by_x, by_standard) {
        // The proxy wrote one of them, and let the other one pass.
        (Some(one), Some(other)) if one.ip() != other.ip() => Err(
            "`X-Forwarded-For` and `Forwarded` name different peers: let the proxy remove the one that it does not set",
        ),
        (by_x, by_standard) => Ok(by_standard.or(by_x)),
    }
}

/// Finds the nearest address that is not trusted, while it receives all from left to right. Without
/// one, it is the first of the trusted ones.
#[derive(Default)]
struct Nearest {
    /// What is nearest up to now. The inner `None` is a text that is not an address.
    found: Option<Option<SocketAddr>>,
}

impl Nearest {
    fn add(&mut self, node: Option<SocketAddr>, trusts: impl Fn(IpAddr) -> bool) {
        if self.found.is_none() || !node.is_some_and(|node| trusts(node.ip())) {
            self.found = Some(node);
        }
    }

    fn found<E>(self, invalid: E) -> Result<Option<SocketAddr>, E> {
        self.found.map(|node| node.ok_or(invalid)).transpose()
    }
}

/// Parses an address with or without a port, such as `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or
/// `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    // A port that the proxy hides (RFC 7239 section 6).
    let text = text.rsplit_once(":_").map_or(text, |(host, _)| host);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| (address.ip(), address.port()));
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let (ip, port) = bare.parse::<IpAddr>().ok().map(|ip| (ip, 0)).or_else(with_port)?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Calls `each` with the address of each element of a `Forwarded` line. Returns `None` if the line
/// is not valid.
///
/// A peer may begin a quoted string that ends in the part that the proxy has added. Such a line is
/// not valid, because a quoted string is a whole value.
fn elements(mut rest: &[u8], mut each: impl FnMut(Option<SocketAddr>)) -> Option<()> {
    loop {
        let (mut node, mut pairs) = (None, 0);
        loop {
            rest = rest.trim_ascii_start();
            let (name, after) = rest.split_at(rest.iter().take_while(|byte| is_token(**byte)).count());
            rest = after;
            if !name.is_empty() {
                let (text, after) = value(after.strip_prefix(b"=")?)?;
                rest = after.trim_ascii_start();
                pairs += 1;
                if name.eq_ignore_ascii_case(b"for") && node.replace(address(&text)).is_some() {
                    return None;
                }
            }
            match rest.split_first() {
                Some((b';', after)) => rest = after,
                Some((b',', _)) | None => break,
                Some(_) => return None,
            }
        }
        if pairs > 0 {
            each(node.flatten());
        }
        let Some((_, after)) = rest.split_first() else { return Some(()) };
        rest = after;
    }
}

/// Splits off a value, which is a token or a quoted string. An unquoted `:` is accepted, because
/// some proxies write it.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b';' | b',' | b'"' | b' ' | b'\t')).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].into(), &text[end..]));
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter());
    loop {
        match bytes.next()? {
            b'"' => return Some((value.into(), bytes.as_slice())),
            b'\\' => value.push(*bytes.next()?),
            byte => value.push(*byte),
        }
    }
}

/// Whether this byte may be in a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    /// Returns the peer for these headers, whose proxies have addresses of 10.0.0.0/8.
    fn found(lines: &[(&str, &str)]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let trusts = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
        peer(&headers, trusts).map(|peer| peer.map(|peer| peer.to_string()))
    }

    fn by(name: &str, value: &str) -> Result<Option<String>, &'static str> {
        found(&[(name, value)])
    }

    /// Row N1: the right-most address that is not trusted is the peer, whatever is left of it.
    #[test]
    fn the_nearest_address_that_is_not_trusted_is_the_peer() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1:4711", "192.0.2.1:4711"),
            ("198.51.100.9, 192.0.2.1", "192.0.2.1:0"),
            ("198.51.100.9, 192.0.2.1, 10.0.0.2,10.0.0.3", "192.0.2.1:0"),
            ("10.9.9.9, 192.0.2.1", "192.0.2.1:0"),
            ("10.0.0.7, 10.0.0.2", "10.0.0.7:0"),
            ("unknown, <script>, 192.0.2.1, 10.0.0.2", "192.0.2.1:0"),
            (",, 192.0.2.1,", "192.0.2.1:0"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("::ffff:192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1:0"),
        ] {
            assert_eq!(by("x-forwarded-for", value), Ok(Some(expected.to_owned())), "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.9, 192.0.2.1"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(found(&lines), Ok(Some("192.0.2.1:0".to_owned())), "several lines are one list");
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(by("x-forwarded-for", " "), Ok(None));
    }

    /// Row N1: the header of RFC 7239, with the examples of its sections 4 and 6.
    #[test]
    fn the_standard_header_is_read_by_its_rules() {
        for (value, expected) in [
            ("for=192.0.2.43", "192.0.2.43:0"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17:0"),
            ("for=\"_gazonk\", for=192.0.2.43, for=10.0.0.1", "192.0.2.43:0"),
            ("for=\"192.0.2.43:_hidden\"", "192.0.2.43:0"),
            ("for=192.0.2.43:80", "192.0.2.43:80"),
            ("proto=https ; for=\"192.0.2.4\\3\" ;", "192.0.2.43:0"),
            ("by=\"a;b,c\\\"d\";for=192.0.2.43", "192.0.2.43:0"),
            (",for=192.0.2.43,", "192.0.2.43:0"),
        ] {
            assert_eq!(by("forwarded", value), Ok(Some(expected.to_owned())), "{value}");
        }
    }

    /// Row N1: a peer that is not named is rejected. It must not count as the proxy.
    #[test]
    fn a_header_that_names_no_peer_is_an_error() {
        for value in
            ["unknown", "192.0.2.1, unknown", "192.0.2.1, -, 10.0.0.1", "192.0.2.1.1", "192.0.2.1:99999", "\u{e9}"]
        {
            assert!(by("x-forwarded-for", value).is_err(), "{value}");
        }
        for value in [
            "for=unknown",
            "for=_hidden, for=10.0.0.1",
            "proto=https",
            "for=192.0.2.1;for=192.0.2.2",
            "for",
            "for=",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\\",
            "for=\"192.0.2.1\"x",
            "for =192.0.2.1",
            "=192.0.2.1",
        ] {
            assert!(by("forwarded", value).is_err(), "{value}");
        }
    }

    /// Row N1: a peer cannot hide the part of the proxy in a quoted string of its own.
    #[test]
    fn a_quoted_string_of_the_peer_does_not_swallow_the_proxys_part() {
        for part in ["for=192.0.2.1", "for=\"[2001:db8::1]:80\"", "for=\"[2001:db8::1]\";proto=https"] {
            for forged in ["for=\"", "for=198.51.100.9;x=\"", "for=198.51.100.9;x=\"\\", "for=198.51.100.9, by=\"a\\\""]
            {
                let line = format!("{forged}, {part}");
                let found = by("forwarded", &line);
                assert!(found.is_err(), "{line}: {found:?}");
            }
        }
    }

    /// Row N1: the proxy sets one of the two headers, and the peer can send the other one.
    #[test]
    fn two_headers_have_to_agree() {
        let both = |x, standard| found(&[("x-forwarded-for", x), ("forwarded", standard)]);
        assert!(both("192.0.2.1", "for=198.51.100.9").is_err());
        assert!(both("192.0.2.1", "for=10.0.0.1").is_err());
        assert_eq!(both("192.0.2.1", "for=\"192.0.2.1:80\""), Ok(Some("192.0.2.1:80".to_owned())));
    }

    /// Row N1: whatever a peer sends, the address that the proxy adds is the one that is found, or
    /// the request is rejected.
    #[test]
    fn nothing_that_a_peer_sends_changes_the_address_of_the_proxy() {
        const ALPHABET: &[u8] = b"for=,;:\"\\ []_10.29a";
        let mut random = SmallRng::seed_from_u64(7239);
        for round in 0..20_000 {
            let length = random.random_range(0..24);
            let forged: String =
                (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
            let (part, expected) =
                [("for=192.0.2.1", "192.0.2.1:0"), ("for=\"[2001:db8::1]:80\"", "[2001:db8::1]:80")][round % 2];
            let found = by("forwarded", &format!("{forged}, {part}"));
            assert!(found.is_err() || found == Ok(Some(expected.to_owned())), "{forged}: {found:?}");
            let found = by("x-forwarded-for", &format!("{forged}, 192.0.2.1"));
            assert_eq!(found, Ok(Some("192.0.2.1:0".to_owned())), "{forged}");
        }
    }
}
