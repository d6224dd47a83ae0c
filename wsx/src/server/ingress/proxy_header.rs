//! The header of the PROXY protocol, versions 1 and 2, with which a proxy begins a connection. It
//! names the address of the peer.
//!
//! It is read to its last byte and not further, so that TLS or HTTP finds its own bytes in the
//! stream. The protocol is described in HAProxy's `doc/proxy-protocol.txt`.
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The first bytes of version 1.
const NAME: &[u8] = b"PROXY ";
/// The maximum length of a line of version 1, with its end (section 2.1).
const MAX_LINE: usize = 107;
/// The maximum length of a header of version 2 after its first 16 bytes. The addresses take at most
/// 216 bytes. The extensions of HAProxy and of cloud providers take some hundred.
pub(crate) const MAX_BINARY: usize = 1024;

/// An error that leaves a stream without the address of its peer.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The stream broke.
    Io(io::Error),
    /// The bytes are not a header of the protocol, for this reason.
    Invalid(&'static str),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const MISSING: HeaderError = HeaderError::Invalid("a trusted proxy has not sent a header of the PROXY protocol");

/// Reads a header. Returns the address of the peer, or `None` if the connection is the proxy's own,
/// such as a health check.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, HeaderError> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return binary(stream).await;
    }
    if !start.starts_with(NAME) {
        return Err(MISSING);
    }
    // Byte by byte, because the line has no length. It is short.
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(HeaderError::Invalid("the line of the PROXY protocol is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    text(&line[NAME.len()..line.len() - 2])
}

/// Parses a line of version 1 after its name and without its end.
fn text(line: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let invalid = || HeaderError::Invalid("the line of the PROXY protocol is not valid");
    let line = std::str::from_utf8(line).map_err(|_| invalid())?;
    // The proxy does not know the peer, and the rest of the line has no meaning.
    if line.split(' ').next() == Some("UNKNOWN") {
        return Ok(None);
    }
    let parts: Vec<_> = line.split(' ').collect();
    let [family, source, destination, port, destination_port] = parts[..] else { return Err(invalid()) };
    let ip = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (ip(source), ip(destination), number(port), number(destination_port)) {
        (Some(ip), Some(_), Some(port), Some(_)) => Ok(Some(SocketAddr::new(ip.to_canonical(), port))),
        _ => Err(invalid()),
    }
}

/// Reads a header of version 2 after its signature.
async fn binary<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, HeaderError> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [command, family, length @ ..] = fixed;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_BINARY {
        return Err(HeaderError::Invalid("the header of the PROXY protocol is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    addresses(command, family, &rest)
}

/// Returns the address of the peer in a header of version 2. `rest` has both addresses, then the
/// extensions.
fn addresses(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let invalid = HeaderError::Invalid("the header of the PROXY protocol is not valid");
    let port = |at: usize| rest.get(at..)?.first_chunk().map(|port| u16::from_be_bytes(*port));
    let (ip, port) = match (command, family) {
        // LOCAL: the proxy speaks for itself. PROXY, with a family that has no IP address, such as
        // Unix.
        (0x20, _) | (0x21, 0x00 | 0x31) => return Ok(None),
        // PROXY, with a stream of IPv4 or IPv6.
        (0x21, 0x11) => (rest.first_chunk::<4>().map(|ip| IpAddr::from(*ip)), port(8).filter(|_| rest.len() >= 12)),
        (0x21, 0x21) => (rest.first_chunk::<16>().map(|ip| IpAddr::from(*ip)), port(32).filter(|_| rest.len() >= 36)),
        _ => return Err(invalid),
    };
    match (ip, port) {
        (Some(ip), Some(port)) => Ok(Some(SocketAddr::new(ip.to_canonical(), port))),
        _ => Err(invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    /// Returns what is read, and the bytes after it. A stream that ends early is an `Io` error.
    fn read_all(mut sent: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, &[u8]) {
        let result = read(&mut sent).now_or_never().expect("a slice never waits");
        (result, sent)
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn ipv4() -> Vec<u8> {
        vec![192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb]
    }

    fn ipv6() -> Vec<u8> {
        [&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 16], &[0x12, 0x67, 0x01, 0xbb]].concat()
    }

    /// Row N2: both versions name the peer, and the bytes after the header stay in the stream.
    #[test]
    fn a_header_names_the_peer_and_leaves_the_rest() {
        let line = |line: &str| format!("{line}\r\n").into_bytes();
        let extended = |addresses: Vec<u8>| [addresses, vec![3, 0, 4, 1, 2, 3, 4]].concat();
        for (header, expected) in [
            (line("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443"), Some("192.0.2.1:4711")),
            (line("PROXY TCP6 2001:db8::1 ::1 4711 443"), Some("[2001:db8::1]:4711")),
            (line("PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443"), Some("192.0.2.1:4711")),
            (line("PROXY UNKNOWN"), None),
            (line("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535"), None),
            (version_2(0x21, 0x11, &ipv4()), Some("192.0.2.1:4711")),
            (version_2(0x21, 0x11, &extended(ipv4())), Some("192.0.2.1:4711")),
            (version_2(0x21, 0x21, &ipv6()), Some("[2001:db8::1]:4711")),
            (version_2(0x20, 0x00, &[]), None),
            (version_2(0x20, 0x11, &ipv4()), None),
            (version_2(0x21, 0x00, &[]), None),
            (version_2(0x21, 0x31, &[0; 216]), None),
            (version_2(0x20, 0x00, &[0; MAX_BINARY]), None),
        ] {
            let sent = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            let (peer, rest) = read_all(&sent);
            assert_eq!(peer.unwrap().map(|peer| peer.to_string()).as_deref(), expected, "{}", header.escape_ascii());
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{}", header.escape_ascii());
        }
    }

    /// Row N2: a header that violates the protocol is an error. Its reading is bounded.
    #[test]
    fn another_start_of_a_stream_is_an_error() {
        let line = |line: &str| format!("{line}\r\n").into_bytes();
        for header in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00".to_vec(),
            b"PROXY\tTCP4 192.0.2.1".to_vec(),
            line("PROXY TCP4 192.0.2.1 10.0.0.1 4711"),
            line("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1"),
            line("PROXY TCP4 192.0.2.1 10.0.0.1 +4711 443"),
            line("PROXY TCP4 192.0.2.1 10.0.0.1 65536 443"),
            line("PROXY TCP4 2001:db8::1 ::1 4711 443"),
            line("PROXY TCP6 192.0.2.1 10.0.0.1 4711 443"),
            line("PROXY TCP4  192.0.2.1 10.0.0.1 4711 443"),
            line("PROXY UDP4 192.0.2.1 10.0.0.1 4711 443"),
            [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
            version_2(0x21, 0x11, &ipv4()[..11]),
            version_2(0x21, 0x21, &ipv6()[..35]),
            version_2(0x21, 0x11, &[]),
            version_2(0x11, 0x11, &ipv4()),
            version_2(0x22, 0x11, &ipv4()),
            version_2(0x21, 0x12, &ipv4()),
            version_2(0x20, 0x00, &[0; MAX_BINARY + 1]),
        ] {
            let (result, _) = read_all(&header);
            assert!(matches!(result, Err(HeaderError::Invalid(_))), "{}: {result:?}", header.escape_ascii());
        }
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        assert_eq!(read_all(&long).1.len(), long.len() - MAX_LINE, "the longest line is read and not more");
    }

    /// Row N2: any bytes are read without a panic. A part of a header waits for the rest.
    #[test]
    fn any_bytes_end_in_an_address_or_an_error() {
        let whole = [
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n".to_vec(),
            version_2(0x21, 0x11, &ipv4()),
            version_2(0x21, 0x21, &ipv6()),
        ];
        for header in &whole {
            for length in 0..header.len() {
                let (result, _) = read_all(&header[..length]);
                assert!(matches!(result, Err(HeaderError::Io(_))), "{length}: {result:?}");
            }
        }
        let mut random = SmallRng::seed_from_u64(2);
        for round in 0..30_000 {
            let mut header = whole[round % whole.len()].clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..header.len());
                header[at] = random.random();
            }
            header.resize(header.len() + 2000, b'x');
            let (_, rest) = read_all(&header);
            assert!(header.len() - rest.len() <= 16 + MAX_BINARY);
        }
    }
}
