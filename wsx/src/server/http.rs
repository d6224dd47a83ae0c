//! HTTP on the standalone server's stream: reads a request, and writes its answer.
use crate::server::rejection::Rejection;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::write_response;

/// Longest request head, in bytes; longer ones get 431. Browsers and proxies stay below 8 KiB.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers of a request; more get 431.
const MAX_HEADERS: usize = 64;

/// Why no request head came.
#[derive(Debug)]
pub(crate) enum HeadError {
    Io(io::Error),
    Refused(Rejection),
}

/// Reads a request's head, and what came right behind it.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(io: &mut S) -> Result<(Request<()>, Vec<u8>), HeadError> {
    let mut buffer = Vec::with_capacity(1024);
    let mut progress = Progress::default();
    loop {
        let read = io.read_buf(&mut buffer).await.map_err(HeadError::Io)?;
        if read == 0 {
            // No more comes, so what was put off is looked at now: who sent no HTTP is told so.
            parse_head(&buffer).map_err(HeadError::Refused)?;
            return Err(HeadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if !progress.is_due(&buffer) {
            continue;
        }
        if let Some((request, length)) = parse_head(&buffer).map_err(HeadError::Refused)? {
            return Ok((request, buffer.split_off(length)));
        }
    }
}

/// When a head that comes in pieces is worth parsing, which begins at its start each time: a head of 16 KiB that came byte
/// by byte would be parsed 16,384 times.
#[derive(Debug, Default)]
struct Progress {
    /// Line ends in front of the request, which are skipped (RFC 9112 section 2.2).
    blank: usize,
    /// There is no end of the head in front of here.
    searched: usize,
    /// From this length on it is parsed anyway.
    next: usize,
}

impl Progress {
    /// When its end is here, when it has become twice as long since the last time, so that what is no HTTP is told so before
    /// its time is over, or when it is as long as it may be. Looks at each byte once.
    fn is_due(&mut self, head: &[u8]) -> bool {
        self.blank += head[self.blank..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        // An empty line ends the head; two bytes of it may have been here before.
        let from = self.searched.saturating_sub(2).max(self.blank);
        let rest = &head[from..];
        let ended = rest.windows(2).any(|end| end == b"\n\n") || rest.windows(3).any(|end| end == b"\n\r\n");
        self.searched = head.len();
        let due = ended || head.len() >= self.next.min(MAX_HEAD);
        if due {
            self.next = 2 * head.len();
        }
        due
    }
}

/// Whether the request line, once it is whole, ends in a version of HTTP that is not ours; a line that is broken in another way
/// looks the same to the parser.
fn names_another_version(head: &[u8]) -> Option<bool> {
    let line = head.trim_ascii_start();
    let line = &line[..line.iter().position(|byte| *byte == b'\n')?];
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let digits = version.strip_prefix(b"HTTP/").filter(|_| version != b"HTTP/1.1");
    Some(matches!(digits, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit()))
}

/// The request and its length, when its head is complete.
pub(super) fn parse_head(buffer: &[u8]) -> Result<Option<(Request<()>, usize)>, Rejection> {
    let too_large = || Rejection::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large");
    let bad =
        |why: &dyn fmt::Display| Rejection::new(StatusCode::BAD_REQUEST, format!("this is no HTTP request: {why}"));
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(error @ httparse::Error::Version) => match names_another_version(buffer) {
            None if buffer.len() < MAX_HEAD => return Ok(None),
            None => return Err(too_large()),
            Some(true) => {
                return Err(Rejection::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1"));
            }
            Some(false) => return Err(bad(&error)),
        },
        Err(error) => return Err(bad(&error)),
    };
    let mut request = Request::new(());
    let method = parsed.method.expect("a complete head has a method");
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|error| bad(&error))?;
    *request.uri_mut() =
        parsed.path.expect("a complete head has a path").parse::<Uri>().map_err(|error| bad(&error))?;
    *request.version_mut() = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    for header in &*parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| bad(&error))?;
        let value = HeaderValue::from_bytes(header.value).map_err(|error| bad(&error))?;
        request.headers_mut().append(name, value);
    }
    Ok(Some((request, length)))
}

/// Sends the answer that makes the stream a WebSocket.
pub(crate) async fn accept<S: AsyncWrite + Unpin>(io: &mut S, answer: &Response<()>) -> io::Result<()> {
    let mut head = Vec::with_capacity(256);
    write_response(&mut head, answer).map_err(io::Error::other)?;
    io.write_all(&head).await?;
    io.flush().await
}

/// Sends the refusal, and waits for the peer to take it: a socket that is dropped with unread input sends a reset, which
/// can overtake the answer.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, reject: &Rejection) -> io::Result<()> {
    let Rejection { status, body, headers } = reject;
    let mut head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in headers.iter() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body.as_bytes());
    io.write_all(&head).await?;
    part(io).await
}

/// Ends a stream so that what was written arrives: no more is written, and what still comes is dropped.
pub(crate) async fn part<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S) -> io::Result<()> {
    io.shutdown().await?;
    let (mut sink, mut dropped) = ([0; 1024], 0);
    while dropped < 1 << 20 {
        match io.read(&mut sink).await? {
            0 => break,
            n => dropped += n,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::handshake::tests::GOOD;

    #[test]
    fn an_unfinished_head_is_waited_for_until_it_is_too_long() {
        assert!(parse_head(&GOOD.as_bytes()[..GOOD.len() - 1]).unwrap().is_none());
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(parse_head(endless.as_bytes()).unwrap_err().status, 431);
    }

    /// A slow client may send a head byte by byte; what that costs grows with its length, and not with its square.
    #[test]
    fn a_head_that_comes_byte_by_byte_is_parsed_a_few_times_and_as_soon_as_it_is_whole() {
        let long = GOOD.replace("Host: a\r\n", &format!("Host: a\r\nX: {}\r\n", "x".repeat(16_000)));
        let bare = long.replace("\r\n", "\n");
        let blank = format!("{}{GOOD}", "\r\n".repeat(8_000));
        for head in [long, bare, blank, GOOD.to_owned()] {
            let (mut progress, mut parsed) = (Progress::default(), 0);
            for length in 1..=head.len() {
                let due = progress.is_due(&head.as_bytes()[..length]);
                parsed += if due { length } else { 0 };
                assert!(due || length < head.len(), "a whole head is waited for");
            }
            assert!(parsed <= 4 * head.len(), "{parsed} bytes parsed of {}", head.len());
        }
        let (mut progress, endless) = (Progress::default(), [b'x'; MAX_HEAD]);
        let due = |length: &usize| progress.is_due(&endless[..*length]);
        assert_eq!((3..=MAX_HEAD).filter(due).last(), Some(MAX_HEAD), "one that is too long is told so");
    }

    /// What is no HTTP is told so when its peer says no more, however little it has said since it was looked at last.
    #[tokio::test]
    async fn what_is_no_http_is_refused_at_its_end_at_the_latest() {
        let (mut near, mut far) = tokio::io::duplex(1);
        let heard = async { read_head(&mut near).await.map(drop).unwrap_err() };
        let said = async {
            far.write_all(b"GET / HTTP/1.1\r\nA\x00").await.unwrap();
            far.shutdown().await.unwrap();
        };
        let (heard, ()) = tokio::join!(heard, said);
        assert!(matches!(&heard, HeadError::Refused(reject) if reject.status == 400), "{heard:?}");
    }

    /// However it is cut, a head says the same, and so does what is behind it.
    #[tokio::test]
    async fn a_head_is_read_the_same_in_any_pieces() {
        for head in [GOOD.to_owned(), format!("\r\n{GOOD}"), GOOD.replace("\r\n", "\n")] {
            let sent = format!("{head}\n\nearly");
            for piece in [1, 2, 3, 7, 64, sent.len()] {
                let (mut near, mut far) = tokio::io::duplex(piece);
                let heard = async {
                    let (request, mut early) = read_head(&mut near).await.unwrap();
                    near.read_to_end(&mut early).await.unwrap();
                    (request.headers().len(), early)
                };
                let said = async {
                    far.write_all(sent.as_bytes()).await.unwrap();
                    far.shutdown().await.unwrap();
                };
                let (heard, ()) = tokio::join!(heard, said);
                assert_eq!(heard, (5, b"\n\nearly".to_vec()), "{piece}");
            }
        }
    }
}
