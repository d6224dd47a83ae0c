//! The server's half of the opening handshake (RFC 6455 section 4.2): which request becomes a WebSocket, and what the
//! others are told.
//!
//! Works on `http` types and bytes; knows no hub. The standalone server reads the request head here; under hyper it has
//! been read already.
use crate::{connection::extensions::Extensions, handshake::authority};
use std::{fmt, io, sync::Arc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    self,
    error::ProtocolError,
    handshake::server::{create_response, write_response},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::Authority,
    },
};

/// Longest request head, in bytes; longer ones get 431. Browsers and proxies stay below 8 KiB.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers of a request; more get 431.
const MAX_HEADERS: usize = 64;

/// A refused handshake: what `build_id` returns to turn a request away.
///
/// ```
/// use wsx::{Reject, http::{StatusCode, request::Parts}};
///
/// async fn device_id(request: Parts) -> Result<String, Reject> {
///     let token = request.headers.get("authorization").ok_or(Reject::new(StatusCode::UNAUTHORIZED, "no token"))?;
///     # let lookup = |_: &[u8]| Some("box-7".to_owned());
///     lookup(token.as_bytes()).ok_or(Reject::new(StatusCode::FORBIDDEN, "unknown device"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Reject {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Boxed, since most refusals have none.
    pub(crate) headers: Box<HeaderMap>,
}

impl Reject {
    /// This status, and a line of text as its body.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), headers: Box::default() }
    }

    /// Adds a header to the answer, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

impl std::error::Error for Reject {}

/// Who a connection is: its id, and values for its handlers. A plain string will do for the id alone.
///
/// ```
/// use wsx::{Identity, Reject, http::request::Parts};
///
/// #[derive(Clone)]
/// struct User { admin: bool }
///
/// async fn identify(request: Parts) -> Result<Identity, Reject> {
///     Ok(Identity::new("box-7").with(User { admin: false }))
/// }
/// // Later, in a handler: `conn.extension::<User>()`.
/// ```
pub struct Identity {
    pub(crate) id: Arc<str>,
    pub(crate) extensions: Extensions,
}

impl Identity {
    /// Of this id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), extensions: Extensions::default() }
    }

    /// Attaches a value, which [`Connection::extension`](crate::Connection::extension) gives back.
    #[must_use]
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

impl From<String> for Identity {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}
impl From<&str> for Identity {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}
impl From<Arc<str>> for Identity {
    fn from(id: Arc<str>) -> Self {
        Self::new(id)
    }
}

/// Which web pages may connect. Only browsers send an `Origin`; a request without one is let in (RFC 6455 section 10.2).
#[derive(Debug, Clone)]
pub(crate) enum Origins {
    /// Any: for development.
    Any,
    /// Those whose host and port are the request's own.
    SameHost,
    /// These alone: scheme, host and port must be the same.
    List(Vec<Origin>),
}

impl Origins {
    fn admit(&self, headers: &HeaderMap) -> bool {
        let origins = headers.get_all(header::ORIGIN).iter();
        let mut given = origins.map(|given| given.to_str().ok().and_then(Origin::parse));
        match self {
            Self::Any => true,
            Self::SameHost => given.all(|given| given.is_some_and(|given| given.is_at(headers.get(header::HOST)))),
            Self::List(allowed) => given.all(|given| given.is_some_and(|given| allowed.contains(&given))),
        }
    }
}

/// An origin in the sense of RFC 6454 section 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// None where the text is no origin with a host, as `null` is not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let standard = match &*scheme {
            "https" => 443,
            "http" => 80,
            _ => 0,
        };
        let authority: Authority = rest.parse().ok()?;
        // An authority with user information, or with anything behind the port, is no origin.
        let port = authority.port_u16().unwrap_or(standard);
        let host = authority.host().to_ascii_lowercase();
        let rebuilt = if authority.port().is_some() { format!("{host}:{port}") } else { host.clone() };
        (rebuilt == rest.to_ascii_lowercase() && port != 0).then_some(Self { scheme, host, port })
    }

    /// Whether this `Host` header is the origin's host and port. Whether the request came over TLS is not known here, so
    /// a port that is left out is the origin's scheme's.
    fn is_at(&self, host: Option<&HeaderValue>) -> bool {
        let host = host.and_then(|host| host.to_str().ok());
        host.and_then(|host| Self::parse(&format!("{}://{host}", self.scheme))).is_some_and(|at| at == *self)
    }
}

/// The subprotocol that a handshake agreed on, as an extension of its connection.
///
/// ```
/// # fn example(conn: &wsx::Connection) {
/// if let Some(wsx::Subprotocol(protocol)) = conn.extension() {
///     println!("{} speaks {protocol}", conn.id());
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subprotocol(pub String);

/// The first protocol that the client asks for and that is spoken here, and its header.
pub(crate) fn agree(headers: &HeaderMap, spoken: &[String]) -> Option<(Subprotocol, HeaderValue)> {
    let asked = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let agreed =
        asked.flat_map(|value| value.split(',')).map(str::trim).find(|asked| spoken.iter().any(|own| own == asked))?;
    Some((Subprotocol(agreed.to_owned()), HeaderValue::from_str(agreed).ok()?))
}

/// Whether this request becomes a WebSocket; the answer that makes it one, or the refusal.
pub(crate) fn check(request: &Request<()>, origins: &Origins) -> Result<Response<()>, Reject> {
    let headers = request.headers();
    let count = |name: HeaderName| headers.get_all(name).iter().count();
    if request.method() != Method::GET {
        // The answer to HEAD has no content (RFC 9110 section 9.3.2).
        let body = if request.method() == Method::HEAD { "" } else { "a WebSocket handshake is a GET request" };
        return Err(
            Reject::new(StatusCode::METHOD_NOT_ALLOWED, body).header(header::ALLOW, HeaderValue::from_static("GET"))
        );
    }
    if request.version() != Version::HTTP_11 {
        return Err(Reject::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1"));
    }
    if count(header::HOST) != 1 {
        return Err(Reject::new(StatusCode::BAD_REQUEST, "a request has one Host header (RFC 9112 section 3.2)"));
    }
    if !headers.get(header::HOST).is_some_and(is_host) {
        return Err(Reject::new(StatusCode::BAD_REQUEST, "the Host header is no host (RFC 9112 section 3.2)"));
    }
    if count(header::CONTENT_LENGTH) + count(header::TRANSFER_ENCODING) > 0 {
        return Err(Reject::new(StatusCode::BAD_REQUEST, "a WebSocket handshake has no body"));
    }
    if count(header::SEC_WEBSOCKET_KEY) > 1 || count(header::SEC_WEBSOCKET_VERSION) > 1 {
        return Err(Reject::new(StatusCode::BAD_REQUEST, "a WebSocket handshake has one key and one version"));
    }
    let answer = if !lists(headers, header::UPGRADE, "websocket") {
        Err(ProtocolError::MissingUpgradeWebSocketHeader.into())
    } else if !lists(headers, header::CONNECTION, "upgrade") {
        Err(ProtocolError::MissingConnectionUpgradeHeader.into())
    } else {
        create_response(&plain(request))
    };
    let answer = answer.map_err(|error| match error {
        tungstenite::Error::Protocol(
            ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => Reject::new(StatusCode::UPGRADE_REQUIRED, format!("this is a WebSocket endpoint: {error}"))
            .header(header::CONNECTION, HeaderValue::from_static("upgrade"))
            .header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        error => Reject::new(StatusCode::BAD_REQUEST, error.to_string()),
    })?;
    if !origins.admit(headers) {
        return Err(Reject::new(StatusCode::FORBIDDEN, "this origin may not connect"));
    }
    Ok(answer)
}

/// Whether a header that is a list has this element, in any of its lines (RFC 9110 sections 5.3 and 5.6.1).
fn lists(headers: &HeaderMap, name: HeaderName, element: &str) -> bool {
    let elements = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
}

/// The request as tungstenite reads it, which takes the first line of a list for all of it.
fn plain(request: &Request<()>) -> Request<()> {
    let mut plain = Request::new(());
    *plain.version_mut() = request.version();
    let headers = plain.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        headers.extend(request.headers().get(&name).map(|value| (name, value.clone())));
    }
    plain
}

/// Whether it is a host with or without a port, or empty, as it is where a target has no authority (RFC 9110 section 7.2).
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let Ok(authority) = text.parse::<Authority>() else { return text.is_empty() };
    let host = authority.host();
    let literal = host.strip_prefix('[').map_or(!host.contains(':'), |rest| rest.ends_with(']'));
    !host.is_empty() && literal && authority::port(&authority).is_ok()
}

/// Why no request head came.
#[derive(Debug)]
pub(crate) enum HeadError {
    Io(io::Error),
    Refused(Reject),
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
fn parse_head(buffer: &[u8]) -> Result<Option<(Request<()>, usize)>, Reject> {
    let too_large = || Reject::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large");
    let bad = |why: &dyn fmt::Display| Reject::new(StatusCode::BAD_REQUEST, format!("this is no HTTP request: {why}"));
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
                return Err(Reject::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1"));
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
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, reject: &Reject) -> io::Result<()> {
    let Reject { status, body, headers } = reject;
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

    const GOOD: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn status(head: &str) -> Result<(), u16> {
        let result =
            parse_head(head.as_bytes()).and_then(|parsed| check(&parsed.expect("a whole head").0, &Origins::Any));
        result.map(drop).map_err(|reject| reject.status.as_u16())
    }

    /// The sample handshake of RFC 6455 section 1.3.
    #[test]
    fn the_sample_handshake_is_accepted_with_its_key() {
        let (request, length) = parse_head(GOOD.as_bytes()).unwrap().unwrap();
        assert_eq!(length, GOOD.len());
        let answer = check(&request, &Origins::Any).unwrap();
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_bad_handshake_is_told_what_is_wrong_with_it() {
        let cases = [
            (GOOD.to_owned(), Ok(())),
            (GOOD.replace("GET", "POST"), Err(405)),
            (GOOD.replace("HTTP/1.1", "HTTP/1.0"), Err(505)),
            (GOOD.replace("HTTP/1.1", "HTTP/3.7"), Err(505)),
            (GOOD.replace("HTTP/1.1", "HTTP/1"), Err(400)),
            (GOOD.replace("HTTP/1.1", "HTTPS/1.1"), Err(400)),
            (GOOD.replace("/ws", "/w s"), Err(400)),
            (GOOD.replace("GET", "HEAD"), Err(405)),
            (GOOD.replace("Host: a\r\n", "Host: a b\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a:b\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a@b\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: :80\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: ::1\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: http://a\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: [::1]:9001\r\n"), Ok(())),
            (GOOD.replace("Host: a\r\n", "Host: \r\n"), Ok(())),
            (GOOD.replace("keep-alive, Upgrade", "keep-alive,\tupgrade"), Ok(())),
            (GOOD.replace("keep-alive, Upgrade", "keep-alive\r\nConnection: Upgrade"), Ok(())),
            (GOOD.replace("keep-alive, Upgrade", "Upgrade it"), Err(426)),
            (GOOD.replace(": WebSocket", ": h2c, websocket"), Ok(())),
            (GOOD.replace("Host: a\r\n", ""), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nHost: b\r\n"), Err(400)),
            (GOOD.replace("Upgrade: WebSocket\r\n", ""), Err(426)),
            (GOOD.replace("keep-alive, Upgrade", "keep-alive"), Err(426)),
            (GOOD.replace("Version: 13", "Version: 8"), Err(426)),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nContent-Length: 5\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", &format!("Host: a\r\nX: {}\r\n", "x".repeat(20_000))), Err(431)),
            (GOOD.replace("Host: a\r\n", &format!("Host: a\r\n{}", "X: y\r\n".repeat(100))), Err(431)),
            ("hello\r\n\r\n".to_owned(), Err(400)),
        ];
        for (head, expected) in cases {
            assert_eq!(status(&head), expected, "{head}");
        }
    }

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

    /// Row X1: a page may talk to the server that it came from.
    #[test]
    fn a_page_of_the_same_host_is_let_in() {
        let admit = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            Origins::SameHost.admit(&headers)
        };
        for (origin, host) in [
            ("https://ops.example.com", "ops.example.com"),
            ("https://ops.example.com", "OPS.example.com:443"),
            ("http://localhost:3000", "localhost:3000"),
        ] {
            assert!(admit(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example.com", "ops.example.com"),
            ("https://ops.example.com.evil", "ops.example.com"),
            ("http://localhost:3001", "localhost:3000"),
            ("http://localhost", "localhost:3000"),
            ("null", "localhost"),
            ("http://x", ""),
        ] {
            assert!(!admit(origin, host), "{origin} at {host}");
        }
        assert!(Origins::SameHost.admit(&HeaderMap::new()), "no browser");
    }

    #[test]
    fn the_first_protocol_that_both_speak_is_agreed_on() {
        let spoken = ["v2".to_owned(), "v1".to_owned()];
        let agreed = |asked: &[&str]| {
            let mut headers = HeaderMap::new();
            for asked in asked {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, asked.parse().unwrap());
            }
            agree(&headers, &spoken).map(|(Subprotocol(protocol), _)| protocol)
        };
        assert_eq!(agreed(&["v1, v2"]).as_deref(), Some("v1"), "the client's order counts");
        assert_eq!(agreed(&["v3", " v2"]).as_deref(), Some("v2"));
        assert_eq!(agreed(&["v3,v"]), None);
        assert_eq!(agreed(&[]), None);
    }

    /// Row X1: exact match of scheme, host and port.
    #[test]
    fn only_the_listed_origins_are_let_in() {
        let list = Origins::List(vec![
            Origin::parse("https://ops.example.com").unwrap(),
            Origin::parse("http://localhost:3000").unwrap(),
        ]);
        let admit = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            list.admit(&headers)
        };
        for good in [
            "https://ops.example.com",
            "https://OPS.example.com",
            "https://ops.example.com:443",
            "http://localhost:3000",
        ] {
            assert!(admit(good), "{good}");
        }
        for bad in [
            "http://ops.example.com",
            "https://ops.example.com:444",
            "https://evil-ops.example.com",
            "https://ops.example.com.evil",
            "https://x@ops.example.com",
            "https://ops.example.com/",
            "null",
            "",
            "ops.example.com",
            "http://localhost",
        ] {
            assert!(!admit(bad), "{bad}");
        }
        assert!(list.admit(&HeaderMap::new()), "no browser");
    }
}
