//! Reads the head of a request or an answer from a stream, with a maximum of bytes and headers.
//!
//! httparse parses the head. This file adds the limits, parses a head in pieces in linear time, and
//! keeps the bytes after it. It does not know WebSocket.
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use httparse::{EMPTY_HEADER, Header, Status};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Maximum length of a head, in bytes. Browsers and proxies stay below 8 KiB.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// Maximum number of headers in a head.
pub(crate) const MAX_HEADERS: usize = 64;

/// Maximum number of interim answers before the final one. Servers and proxies send one or two,
/// such as 103.
#[cfg(feature = "client")]
pub(crate) const MAX_INTERIM: usize = 8;

/// The reason why a stream did not have a valid head.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The stream broke.
    Io(io::Error),
    /// The stream ended before the end of the head.
    Incomplete,
    /// The head has more than [`MAX_HEAD`] bytes or [`MAX_HEADERS`] headers.
    TooLarge,
    /// The request is of an HTTP version other than 1.0 and 1.1.
    Version,
    /// The bytes are not HTTP, for this reason.
    Invalid(String),
}

/// A head that can be [read](read).
pub(crate) trait Head: Sized {
    /// Whether empty lines before the head are skipped. RFC 9112 section 2.2 demands this only for
    /// requests.
    const SKIPS_EMPTY_LINES: bool;

    /// Parses the head at the start of `bytes`. Returns the head and its length, or `None` if its
    /// end is missing.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError>;
}

impl Head for Request<()> {
    const SKIPS_EMPTY_LINES: bool = true;

    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error @ httparse::Error::Version) => {
                return match names_another_version(bytes) {
                    None => Ok(None),
                    Some(true) => Err(HeadError::Version),
                    Some(false) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let mut request = Self::default();
        let method = parsed.method.expect("a complete head has a method");
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(invalid)?;
        *request.uri_mut() = parsed.path.expect("a complete head has a path").parse::<Uri>().map_err(invalid)?;
        *request.version_mut() = version(parsed.version);
        *request.headers_mut() = header_map(parsed.headers)?;
        Ok(Some((request, length)))
    }
}

impl Head for Response<()> {
    const SKIPS_EMPTY_LINES: bool = false;

    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        if bytes.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(invalid("it starts with an empty line"));
        }
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let Status::Complete(length) = parsed.parse(bytes)? else { return Ok(None) };
        let mut response = Self::default();
        let code = parsed.code.expect("a complete head has a status");
        *response.status_mut() = StatusCode::from_u16(code).map_err(invalid)?;
        *response.version_mut() = version(parsed.version);
        *response.headers_mut() = header_map(parsed.headers)?;
        Ok(Some((response, length)))
    }
}

/// Reads a head.
///
/// `buffer` may hold earlier bytes, for example from a previous head. At the end it holds the bytes
/// after this head. It never holds more than [`MAX_HEAD`] bytes.
///
/// # Cancel safety
///
/// Cancel safe. If this future is dropped, `buffer` has the bytes that were read, and another call
/// continues with them.
pub(crate) async fn read<H, S>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<H, HeadError>
where
    H: Head,
    S: AsyncRead + Unpin,
{
    let mut progress = Progress::default();
    loop {
        if progress.is_due::<H>(buffer) {
            if let Some((head, length)) = H::parse(buffer)? {
                // Split, not drained. The rest can live as long as its connection, but the memory
                // of the head should not.
                *buffer = buffer.split_off(length);
                return Ok(head);
            }
            if buffer.len() >= MAX_HEAD {
                return Err(HeadError::TooLarge);
            }
        }
        let room = MAX_HEAD.saturating_sub(buffer.len()) as u64;
        if (&mut *stream).take(room).read_buf(buffer).await.map_err(HeadError::Io)? == 0 {
            // The bytes that were not yet due are parsed now, because "not HTTP" is the better
            // error.
            H::parse(buffer)?;
            return Err(HeadError::Incomplete);
        }
    }
}

/// Reads the head of the final answer, after the interim ones (RFC 9110 section 15.2). A 101 is a
/// final one. Returns `None` if there are more than [`MAX_INTERIM`] interim answers.
///
/// `buffer` is as for [`read`].
#[cfg(feature = "client")]
pub(crate) async fn read_final_answer<S>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<Option<Response<()>>, HeadError>
where
    S: AsyncRead + Unpin,
{
    for _ in 0..=MAX_INTERIM {
        let answer: Response<()> = read(stream, buffer).await?;
        if !answer.status().is_informational() || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Decides when a head that arrives in pieces is parsed.
///
/// Parsing begins at the first byte each time. If it ran after each of 16,384 single bytes, it
/// would take quadratic time.
#[derive(Debug, Default)]
struct Progress {
    /// The number of bytes of empty lines before the head.
    blank: usize,
    /// The number of bytes in which the end of the head was searched.
    searched: usize,
    /// Whether the first line has ended.
    first_line: bool,
    /// The head is parsed when it has this length, even if its end is missing.
    next: usize,
}

impl Progress {
    /// Whether `head` should be parsed now. This looks at each byte once.
    ///
    /// It is due when it is complete, and when it has the maximum length. It is also due after its
    /// first line, and when it has twice the length of the last parse. So a peer that does not
    /// speak HTTP is noticed early.
    fn is_due<H: Head>(&mut self, head: &[u8]) -> bool {
        if H::SKIPS_EMPTY_LINES {
            self.blank += head[self.blank..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        }
        // An empty line ends the head. Two of its bytes may have been searched before.
        let rest = &head[self.searched.saturating_sub(2).max(self.blank)..];
        let ended = rest.windows(2).any(|end| end == b"\n\n") || rest.windows(3).any(|end| end == b"\n\r\n");
        let line_ended = !self.first_line && rest.contains(&b'\n');
        self.first_line |= line_ended;
        self.searched = head.len();
        let due = ended || line_ended || head.len() >= self.next.min(MAX_HEAD);
        if due {
            self.next = 2 * head.len();
        }
        due
    }
}

/// Whether the request line names an HTTP version that httparse does not know. Returns `None` if
/// the line is not complete. httparse returns the same error for other invalid lines.
fn names_another_version(head: &[u8]) -> Option<bool> {
    let line = head.trim_ascii_start();
    let line = &line[..line.iter().position(|byte| *byte == b'\n')?];
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let digits = version.strip_prefix(b"HTTP/").filter(|_| version != b"HTTP/1.1");
    Some(matches!(digits, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit()))
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 }
}

fn header_map(parsed: &[Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(invalid)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(invalid)?);
    }
    Ok(headers)
}

fn invalid(why: impl fmt::Display) -> HeadError {
    HeadError::Invalid(why.to_string())
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            error => invalid(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;

    const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\r\n";
    const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nHost: a\r\nConnection: Upgrade\r\n\r\n";

    /// Reads the head of all that a peer sends.
    fn read_all<H: Head>(mut sent: &[u8]) -> Result<H, HeadError> {
        read(&mut sent, &mut Vec::new()).now_or_never().expect("a slice never waits")
    }

    /// A slow peer may send a head byte by byte.
    #[test]
    fn a_head_in_single_bytes_is_parsed_in_linear_time_and_as_soon_as_it_is_complete() {
        fn assert_linear<H: Head>(head: &str) {
            let (mut progress, mut parsed) = (Progress::default(), 0);
            for length in 1..=head.len() {
                let due = progress.is_due::<H>(&head.as_bytes()[..length]);
                parsed += if due { length } else { 0 };
                assert!(due || length < head.len(), "a complete head is not parsed");
            }
            assert!(parsed <= 4 * head.len(), "{parsed} bytes parsed of {}", head.len());
        }
        let long = |head: &str| head.replace("Host: a", &format!("Host: {}", "x".repeat(16_000)));
        for head in [REQUEST, &long(REQUEST), &long(REQUEST).replace("\r\n", "\n")] {
            assert_linear::<Request<()>>(head);
        }
        assert_linear::<Request<()>>(&REQUEST.replace("/ws", &"/".repeat(16_000)));
        assert_linear::<Request<()>>(&format!("{}{REQUEST}", "\r\n".repeat(8_000)));
        for head in [RESPONSE, &long(RESPONSE), &long(RESPONSE).replace("\r\n", "\n")] {
            assert_linear::<Response<()>>(head);
        }
        let (mut progress, endless) = (Progress::default(), [b'x'; MAX_HEAD]);
        let due = |length: &usize| progress.is_due::<Request<()>>(&endless[..*length]);
        assert_eq!((3..=MAX_HEAD).filter(due).last(), Some(MAX_HEAD), "a head that is too long is rejected");
    }

    #[test]
    fn a_head_is_bounded_to_the_byte_and_to_the_header() {
        for (request, response) in
            [(REQUEST, RESPONSE), (&REQUEST.replace("\r\n", "\n"), &RESPONSE.replace("\r\n", "\n"))]
        {
            let padded = |head: &str, length: usize| {
                head.replace("Host: a", &format!("Host: {}", "x".repeat(length + 1 - head.len())))
            };
            assert!(read_all::<Request<()>>(padded(request, MAX_HEAD).as_bytes()).is_ok());
            assert!(read_all::<Response<()>>(padded(response, MAX_HEAD).as_bytes()).is_ok());
            for behind in ["", "x"] {
                let request = padded(request, MAX_HEAD + 1) + behind;
                assert!(matches!(read_all::<Request<()>>(request.as_bytes()), Err(HeadError::TooLarge)));
                let response = padded(response, MAX_HEAD + 1) + behind;
                assert!(matches!(read_all::<Response<()>>(response.as_bytes()), Err(HeadError::TooLarge)));
            }
            let with = |head: &str, headers: usize| {
                head.replace("Host: a", &format!("Host: a{}", "\nX: y".repeat(headers - 2)))
            };
            assert!(read_all::<Request<()>>(with(request, MAX_HEADERS).as_bytes()).is_ok());
            assert!(read_all::<Response<()>>(with(response, MAX_HEADERS).as_bytes()).is_ok());
            let (request, response) = (with(request, MAX_HEADERS + 1), with(response, MAX_HEADERS + 1));
            assert!(matches!(read_all::<Request<()>>(request.as_bytes()), Err(HeadError::TooLarge)));
            assert!(matches!(read_all::<Response<()>>(response.as_bytes()), Err(HeadError::TooLarge)));
        }
    }

    /// Without its end, and without the end of the stream.
    #[tokio::test]
    async fn a_peer_that_does_not_speak_http_is_noticed_after_its_first_line() {
        for pieces in
            [&["SSH-2.0-OpenSSH_9.2\r\n"][..], &["HTTP/1.", "1 1x1 Switching\r\n"], &["HTTP/1.1 20", "0 O\0K\r\n"]]
        {
            let (mut near, mut far) = tokio::io::duplex(64);
            let sent = async {
                for piece in pieces {
                    far.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let mut buffer = Vec::new();
            let (read, ()) = tokio::join!(read::<Response<()>, _>(&mut near, &mut buffer), sent);
            assert!(matches!(read, Err(HeadError::Invalid(_))), "{pieces:?}: {read:?}");
        }
    }

    #[tokio::test]
    async fn bytes_that_are_not_http_are_reported_at_the_end_of_the_stream_at_the_latest() {
        let (mut near, mut far) = tokio::io::duplex(1);
        let sent = async {
            far.write_all(b"GET / HTTP/1.1\r\nA\x00").await.unwrap();
            far.shutdown().await.unwrap();
        };
        let mut buffer = Vec::new();
        let (read, ()) = tokio::join!(read::<Request<()>, _>(&mut near, &mut buffer), sent);
        assert!(matches!(read, Err(HeadError::Invalid(_))), "{read:?}");
    }

    /// However a stream is cut into pieces, a head is the same, and so are the bytes after it. One
    /// head can follow another, as an answer can follow `100 Continue`.
    #[tokio::test]
    async fn a_head_in_pieces_is_the_same_head() {
        async fn assert_same<H: Head>(head: &str, headers: impl Fn(H) -> HeaderMap) {
            let sent = format!("{head}{head}\n\nearly");
            for piece in [1, 2, 3, 7, 64, sent.len()] {
                let (mut near, mut far) = tokio::io::duplex(piece);
                let received = async {
                    let mut buffer = Vec::new();
                    for _ in 0..2 {
                        let head = headers(read::<H, _>(&mut near, &mut buffer).await.unwrap());
                        assert_eq!((head.len(), head["host"].as_bytes()), (2, &b"a"[..]), "{piece}");
                    }
                    near.read_to_end(&mut buffer).await.unwrap();
                    buffer
                };
                let written = async {
                    far.write_all(sent.as_bytes()).await.unwrap();
                    far.shutdown().await.unwrap();
                };
                let (received, ()) = tokio::join!(received, written);
                assert_eq!(received, b"\n\nearly".to_vec(), "{piece}");
            }
        }
        for head in [REQUEST.to_owned(), format!("\r\n{REQUEST}"), REQUEST.replace("\r\n", "\n")] {
            assert_same(&head, |request: Request<()>| request.into_parts().0.headers).await;
        }
        for head in [RESPONSE.to_owned(), RESPONSE.replace("\r\n", "\n")] {
            assert_same(&head, |response: Response<()>| response.into_parts().0.headers).await;
        }
    }

    #[test]
    fn only_a_request_may_follow_an_empty_line() {
        assert!(read_all::<Request<()>>(format!("\r\n{REQUEST}").as_bytes()).is_ok());
        let read = read_all::<Response<()>>(format!("\r\n{RESPONSE}").as_bytes());
        assert!(matches!(read, Err(HeadError::Invalid(_))), "{read:?}");
    }
}
