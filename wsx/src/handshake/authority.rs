//! The host and port in the authority of a URL or a `Host` header. The crate `http` does not check
//! them.
use http::uri::Authority;
use std::net::Ipv6Addr;

/// Returns the host, without the brackets around an IPv6 address (RFC 3986 section 3.2.2). `None`
/// if other text is in brackets, or if there is not a host.
pub(crate) fn host(authority: &Authority) -> Option<&str> {
    let host = authority.host();
    if !host.contains(['[', ']', ':']) {
        return Some(host).filter(|host| !host.is_empty());
    }
    host.strip_prefix('[')?.strip_suffix(']').filter(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Returns the port, if the authority has one (RFC 3986 section 3.2.3). The error is the text after
/// the host that is not a port. `http` ignores such a text.
pub(crate) fn port(authority: &Authority) -> Result<Option<u16>, &str> {
    // With user information before the host, the whole authority is the error.
    match authority.as_str().strip_prefix(authority.host()).unwrap_or(authority.as_str()) {
        "" | ":" => Ok(None),
        behind => {
            let digits = behind.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|port| port.parse().ok()).map(Some).ok_or(behind)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ipv6_address_is_in_brackets() {
        let parse = |text: &'static str| Authority::from_static(text);
        for (text, expected) in
            [("a:80", Some("a")), ("[::1]:80", Some("::1")), ("[a]:80", None), ("a[b]", None), (":80", None)]
        {
            assert_eq!(host(&parse(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_port_is_a_number_of_16_bits() {
        let parse = |text: &'static str| Authority::from_static(text);
        for (text, expected) in [
            ("a", Ok(None)),
            ("a:", Ok(None)),
            ("a:080", Ok(Some(80))),
            ("[::1]:65535", Ok(Some(65535))),
            ("a:65536", Err(":65536")),
            ("a:+80", Err(":+80")),
            ("a:b", Err(":b")),
        ] {
            assert_eq!(port(&parse(text)), expected, "{text}");
        }
    }
}
