//! A connection through a SOCKS5 proxy (RFC 1928), with a user name and a password (RFC 1929).
use super::{Failure, server::Credentials};
use crate::client::stream::Destination;
use std::{io, net::IpAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
const WITHOUT_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Opens the connection. Afterwards the stream is the server's.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    destination: &Destination,
    credentials: Option<&Credentials>,
) -> Result<(), Failure> {
    let request = request(destination)?;
    let methods: &[u8] =
        if credentials.is_some() { &[WITHOUT_AUTHENTICATION, USER_AND_PASSWORD] } else { &[WITHOUT_AUTHENTICATION] };
    write(stream, &[&[VERSION, length(methods)][..], methods].concat()).await?;
    match (read(stream).await?, credentials) {
        ([VERSION, WITHOUT_AUTHENTICATION], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(credentials)) => authenticate(stream, credentials).await?,
        ([VERSION, _], None) => {
            return Err("it requires authentication: write the user and the password into its URL, as in \
                socks5://user:password@host:1080"
                .into());
        }
        ([VERSION, _], _) => return Err("it accepts neither a user with a password nor a client without both".into()),
        _ => return Err(NOT_SOCKS5.into()),
    }
    write(stream, &request).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(NOT_SOCKS5.into());
    }
    if reply != 0 {
        return Err(format!("it rejected the connection with {reply}: {}", meaning(reply)).into());
    }
    // The address from which the proxy connects. It ends where the server's bytes begin.
    match kind {
        IPV4 => read::<6, _>(stream).await.map(drop),
        IPV6 => read::<18, _>(stream).await.map(drop),
        NAME => {
            let [length] = read(stream).await?;
            let mut name_and_port = vec![0; usize::from(length) + 2];
            stream.read_exact(&mut name_and_port).await.map(drop).map_err(ended)
        }
        _ => Err(NOT_SOCKS5.into()),
    }
}

const NOT_SOCKS5: &str = "its answer is not SOCKS5";

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    Credentials { user, password }: &Credentials,
) -> Result<(), Failure> {
    write(stream, &[&[1, length(user)][..], user, &[length(password)], password].concat()).await?;
    let [_, status] = read(stream).await?;
    if status != 0 {
        return Err("it rejected the user or the password in its URL".into());
    }
    Ok(())
}

/// Returns the request to connect. The proxy resolves a name.
fn request(Destination { host, port }: &Destination) -> Result<Vec<u8>, Failure> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| "the name of the server has more than 255 bytes")?;
            request.extend([NAME, length]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// `Credentials` have at most 255 bytes each.
fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(ended)?;
    Ok(bytes)
}

fn ended(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it closed the connection before its answer was complete".into();
    }
    error.into()
}

/// Returns the meaning of a reply (RFC 1928 section 6).
fn meaning(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown reply",
    }
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;

    /// Returns the bytes that the client sent, and the result after these answers.
    async fn opened(host: &str, answers: &[u8], has_credentials: bool) -> (Vec<u8>, Result<(), Failure>) {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(answers).await.unwrap();
        far.shutdown().await.unwrap();
        let credentials = Credentials { user: b"me".to_vec(), password: b"key".to_vec() };
        let destination = Destination { host: host.to_owned(), port: 0x2329 };
        let result = open(&mut near, &destination, has_credentials.then_some(&credentials)).await;
        let rest = near.read_u8().await.ok();
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        // The bytes after the answer are the server's.
        assert!(result.is_err() || rest == Some(b'!'));
        (sent, result)
    }

    /// Row K12: the requests are those of RFC 1928 and RFC 1929, and the proxy resolves a name.
    #[tokio::test]
    async fn the_requests_are_those_of_the_rfcs() {
        let accepted = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50!";
        let (sent, result) = opened("box.test", accepted, false).await;
        result.unwrap();
        assert_eq!(sent, b"\x05\x01\x00\x05\x01\x00\x03\x08box.test\x23\x29");
        let with_name = b"\x05\x00\x05\x00\x00\x03\x02me\x00\x50!";
        let (sent, result) = opened("192.0.2.7", with_name, true).await;
        result.unwrap();
        assert_eq!(sent, b"\x05\x02\x00\x02\x05\x01\x00\x01\xc0\x00\x02\x07\x23\x29");
        let authenticated = [b"\x05\x02\x01\x00\x05\x00\x00\x04".as_slice(), &[0; 18], b"!"].concat();
        let (sent, result) = opened("::1", &authenticated, true).await;
        result.unwrap();
        let address = [&[0; 15][..], b"\x01\x23\x29"].concat();
        assert_eq!(sent, [b"\x05\x02\x00\x02\x01\x02me\x03key\x05\x01\x00\x04".as_slice(), &address].concat());
    }

    /// Row K12: every other answer is an error that says why.
    #[tokio::test]
    async fn every_other_answer_is_an_error() {
        for (answers, has_credentials, why) in [
            (&b""[..], false, "closed the connection"),
            (b"\x05", false, "closed the connection"),
            (b"HTTP/1.1 400 Bad Request", false, "not SOCKS5"),
            (b"\x05\xff", false, "requires authentication: write"),
            (b"\x05\x02", false, "requires authentication: write"),
            (b"\x05\xff", true, "accepts neither"),
            (b"\x05\x02\x01\x01", true, "rejected the user or the password"),
            (b"\x05\x00\x05\x02\x00\x01", false, "with 2: not allowed by its rules"),
            (b"\x05\x00\x05\x05\x00\x01", false, "with 5: connection refused"),
            (b"\x05\x00\x05\x63\x00\x01", false, "with 99: unknown reply"),
            (b"\x05\x00\x04\x00\x00\x01", false, "not SOCKS5"),
            (b"\x05\x00\x05\x00\x00\x07", false, "not SOCKS5"),
            (b"\x05\x00\x05\x00\x00\x03\xffabc", false, "closed the connection"),
        ] {
            let failure = opened("a", answers, has_credentials).await.1.unwrap_err();
            assert!(failure.source.to_string().contains(why), "{answers:?}: {}", failure.source);
        }
        let failure = opened(&"a".repeat(256), b"", false).await.1.unwrap_err();
        assert!(failure.source.to_string().contains("255 bytes"));
    }
}
