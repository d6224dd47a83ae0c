//! The handshake at the client (RFC 6455 section 4.1): writes the request, reads the answer and
//! checks it.
//!
//! It works on any stream. Of TLS it only knows an error that can come after the TLS handshake.
use crate::{
    client::{rejected, tls, url::Target},
    config::Config,
    error::{ConnectError, cut},
    handshake::{
        deflate,
        head::{self, HeadError, MAX_HEAD, MAX_HEADERS, MAX_INTERIM},
        header_list,
    },
    wire::deflate::Agreed,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{
        CONNECTION, HOST, LOCATION, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE,
    },
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The headers that the client writes itself.
pub(super) const OWN: [HeaderName; 6] =
    [HOST, CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_EXTENSIONS];

/// The part of a request that does not depend on the URL.
pub(crate) struct Request<'a> {
    /// The headers of the program.
    pub(crate) headers: &'a HeaderMap,
    /// The bounds of the client, with its options of compression.
    pub(crate) config: &'a Config,
    /// The end of the attempt. The body of a rejection is not waited for after it.
    pub(crate) deadline: Option<Instant>,
}

/// A handshake that succeeded.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The bytes after the answer.
    pub(crate) early: Vec<u8>,
    /// The headers of the answer.
    pub(crate) headers: HeaderMap,
    /// How messages are compressed, if both ends agreed on it.
    pub(crate) compression: Option<Agreed>,
}

/// Makes the handshake on a stream.
pub(crate) async fn perform<S>(stream: &mut S, target: &Target, request: &Request<'_>) -> Result<Opened, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |source| stream_error(source, target);
    let key = generate_key();
    let protocols: Vec<_> =
        header_list::elements(request.headers, SEC_WEBSOCKET_PROTOCOL).filter(|name| !name.is_empty()).collect();
    let offer = deflate::offer(request.config);
    let written = request_bytes(target, &key, request.headers, &protocols, offer.as_ref())
        .map_err(|why| ConnectError::Headers(why.into()))?;
    stream.write_all(&written).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;

    let mut buffer = Vec::with_capacity(1024);
    let answer = head::read_final_answer(stream, &mut buffer).await.map_err(|error| head_error(error, target))?;
    let mut answer = answer.ok_or_else(|| {
        ConnectError::Handshake(format!("the server sent more than {MAX_INTERIM} interim answers").into())
    })?;
    for (name, value) in answer.headers_mut() {
        // `Debug` does not show the value of such a header.
        value.set_sensitive([LOCATION, SET_COOKIE].contains(name));
    }
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = rejected::read(stream, &answer, buffer, request.deadline).await;
        return Err(ConnectError::Rejected {
            status: answer.status(),
            retry_after: retry_after(answer.headers()),
            headers: Box::new(answer.into_parts().0.headers),
            body,
        });
    }
    let compression = check(&answer, &derive_accept_key(key.as_bytes()), &protocols)
        .and_then(|()| deflate::accept(request.config, answer.headers()))
        .map_err(|why| ConnectError::Handshake(why.into()))?;
    Ok(Opened { early: buffer, headers: answer.into_parts().0.headers, compression })
}

/// Returns the error about a header that the program must not set, if it has set one.
pub(super) fn own_header(headers: &HeaderMap) -> Option<String> {
    let name = OWN.iter().find(|name| headers.contains_key(*name))?;
    Some(match *name {
        HOST => "the client writes the header `host` itself, from its URL: remove it, and name that host in the URL; \
                 `connector` reaches it at another address"
            .to_owned(),
        SEC_WEBSOCKET_EXTENSIONS => {
            format!("the client writes the header `{name}` itself: remove it; `Config::deflate` offers compression")
        }
        _ => format!("the client writes the header `{name}` itself: remove it"),
    })
}

/// Returns the bytes of the request. The error names a header that the program must not set.
fn request_bytes(
    target: &Target,
    key: &str,
    headers: &HeaderMap,
    protocols: &[&[u8]],
    offer: Option<&HeaderValue>,
) -> Result<Vec<u8>, String> {
    if let Some(why) = own_header(headers) {
        return Err(why);
    }
    let Target { path, host, .. } = target;
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )
    .into_bytes();
    let mut line = |name: &str, value: &[u8]| head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    if !protocols.is_empty() {
        // In one line, because not every server reads a second one.
        line("Sec-WebSocket-Protocol", &protocols.join(&b", "[..]));
    }
    if let Some(offer) = offer {
        line("Sec-WebSocket-Extensions", offer.as_bytes());
    }
    for (name, value) in headers.iter().filter(|(name, _)| *name != SEC_WEBSOCKET_PROTOCOL) {
        // Some servers compare names with case, and expect this name as browsers write it.
        line(if name == ORIGIN { "Origin" } else { name.as_str() }, value.as_bytes());
    }
    head.extend(b"\r\n");
    Ok(head)
}

fn stream_error(source: io::Error, target: &Target) -> ConnectError {
    if tls::is_failure(&source) {
        return ConnectError::Tls { address: target.destination.to_string(), source };
    }
    ConnectError::Handshake(source.into())
}

fn head_error(error: HeadError, target: &Target) -> ConnectError {
    let why = match error {
        HeadError::Io(source) => return stream_error(source, target),
        HeadError::Incomplete => "the server closed the connection before its answer was complete".to_owned(),
        HeadError::TooLarge => format!("the answer's head has more than {MAX_HEAD} bytes or {MAX_HEADERS} headers"),
        HeadError::Version => "the answer is not HTTP/1.1".to_owned(),
        HeadError::Invalid(why) => format!("the answer is not HTTP/1.1: {why}"),
    };
    ConnectError::Handshake(why.into())
}

/// Returns the time in the `Retry-After` header, if it is in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Checks an answer with the status 101 against RFC 6455 section 4.1. The error names the mistake.
fn check(answer: &Response<()>, accept: &str, requested: &[&[u8]]) -> Result<(), String> {
    let headers = answer.headers();
    if answer.version() != Version::HTTP_11 {
        return Err("the answer has HTTP version 1.0, not 1.1".to_owned());
    }
    let mut upgrades = header_list::elements(headers, UPGRADE).peekable();
    if upgrades.peek().is_none() || !upgrades.all(|name| name.eq_ignore_ascii_case(b"websocket")) {
        return Err("the answer has no `Upgrade: websocket` header".to_owned());
    }
    if !header_list::elements(headers, CONNECTION).any(|name| name.eq_ignore_ascii_case(b"upgrade")) {
        return Err("the answer has no `Connection: Upgrade` header".to_owned());
    }
    match sole(headers, "Sec-WebSocket-Accept")? {
        None => return Err("the answer has no `Sec-WebSocket-Accept` header".to_owned()),
        Some(value) if value != accept => {
            return Err("the answer's `Sec-WebSocket-Accept` header does not match the request's key".to_owned());
        }
        Some(_) => {}
    }
    match sole(headers, "Sec-WebSocket-Protocol")? {
        None if requested.is_empty() => Ok(()),
        None => Err("the server selected none of the requested subprotocols".to_owned()),
        Some(selected) if requested.contains(&selected.as_bytes()) => Ok(()),
        Some(selected) => {
            let selected = String::from_utf8_lossy(selected.as_bytes());
            Err(format!("the server selected the subprotocol {:?}, which was not requested", cut(&selected)))
        }
    }
}

/// Returns the value of a header that may occur only once.
fn sole<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(format!("the answer has more than one `{name}` header"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, header::AUTHORIZATION};

    fn headers(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    fn written(url: &str, headers: &HeaderMap) -> Result<String, String> {
        let protocols: Vec<_> = header_list::elements(headers, SEC_WEBSOCKET_PROTOCOL).collect();
        let request =
            request_bytes(&Target::parse(url).unwrap(), "dGhlIHNhbXBsZSBub25jZQ==", headers, &protocols, None);
        request.map(|request| String::from_utf8(request).unwrap())
    }

    #[test]
    fn the_request_names_the_path_the_host_and_the_headers_of_the_program() {
        let headers = headers(&[
            (SEC_WEBSOCKET_PROTOCOL, "v2"),
            (AUTHORIZATION, "Bearer x"),
            (ORIGIN, "https://a"),
            (SEC_WEBSOCKET_PROTOCOL, "v1, v0"),
        ]);
        let request = written("ws://station.example:9001/ws?id=7", &headers).unwrap();
        let mut lines: Vec<_> = request.split("\r\n").collect();
        assert_eq!(lines[0], "GET /ws?id=7 HTTP/1.1");
        assert_eq!(lines[lines.len() - 2..], ["", ""]);
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "",
                "",
                "Connection: Upgrade",
                "GET /ws?id=7 HTTP/1.1",
                "Host: station.example:9001",
                "Origin: https://a",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Protocol: v2, v1, v0",
                "Sec-WebSocket-Version: 13",
                "Upgrade: websocket",
                "authorization: Bearer x",
            ]
        );
    }

    #[test]
    fn the_request_has_a_path_if_the_url_has_none() {
        for (url, line) in [
            ("ws://a", "GET / HTTP/1.1\r\n"),
            ("ws://a?id=7", "GET /?id=7 HTTP/1.1\r\n"),
            ("ws://a/?id=7#here", "GET /?id=7 HTTP/1.1\r\n"),
        ] {
            let request = written(url, &HeaderMap::new()).unwrap();
            assert!(request.starts_with(line), "{url}: {request}");
        }
    }

    #[test]
    fn a_header_that_the_client_writes_is_an_error() {
        for name in OWN {
            let why = written("ws://a/ws", &headers(&[(name.clone(), "x")])).unwrap_err();
            assert!(why.contains(name.as_str()), "{why}");
        }
    }

    #[test]
    fn an_answer_is_held_against_the_rfc() {
        const GOOD: &str = "HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let with = |header: &str| GOOD.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
        let (none, some): (&[&[u8]], &[&[u8]]) = (&[], &[b"v2", b"v1"]);
        for (answer, requested, expected) in [
            (GOOD.to_owned(), none, Ok(())),
            (GOOD.replace("keep-alive, upgrade", "keep-alive\r\nConnection: Upgrade"), none, Ok(())),
            (GOOD.replace("HTTP/1.1", "HTTP/1.0"), none, Err("HTTP version 1.0")),
            (GOOD.replace("WebSocket\r\n", "websocket, h2c\r\n"), none, Err("Upgrade: websocket")),
            (GOOD.replace("Upgrade: WebSocket\r\n", ""), none, Err("Upgrade: websocket")),
            (GOOD.replace("upgrade", "close"), none, Err("Connection: Upgrade")),
            (GOOD.replace("xOo=", "xOo"), none, Err("does not match")),
            (GOOD.replace("Accept", "Key"), none, Err("no `Sec-WebSocket-Accept`")),
            (with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), none, Err("more than one")),
            (with("Sec-WebSocket-Protocol: v1"), some, Ok(())),
            (with("Sec-WebSocket-Protocol: v1"), none, Err("\"v1\", which was not requested")),
            (with("Sec-WebSocket-Protocol: V1"), some, Err("\"V1\", which was not requested")),
            (with(&format!("Sec-WebSocket-Protocol: {}", "v".repeat(999))), some, Err("vvv…\", which")),
            (with("Sec-WebSocket-Protocol: v2, v1"), some, Err("\"v2, v1\", which was not requested")),
            (with("Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Protocol: v1"), some, Err("more than one")),
            (GOOD.to_owned(), some, Err("none of the requested")),
        ] {
            let (head, _) = head::Head::parse(answer.as_bytes()).unwrap().unwrap();
            match (check(&head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", requested), expected) {
                (Ok(()), Ok(())) => {}
                (Err(why), Err(words)) => assert!(why.contains(words), "{answer}: {why}"),
                (found, expected) => panic!("{answer}: {found:?}, not {expected:?}"),
            }
        }
    }

    /// Row K26: `Debug` of a rejection shows neither a cookie nor a new URL.
    #[tokio::test]
    async fn the_secrets_of_an_answer_are_not_shown() {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let answer = "HTTP/1.1 302 Found\r\nSet-Cookie: secret\r\nLocation: /?secret\r\nContent-Length: 0\r\n\r\n";
        far.write_all(answer.as_bytes()).await.unwrap();
        let request = Request { headers: &HeaderMap::new(), config: &Config::default(), deadline: None };
        let error = perform(&mut near, &Target::parse("ws://a/ws").unwrap(), &request).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(shown.contains("Sensitive") && !shown.contains("secret"), "{shown}");
        let ConnectError::Rejected { headers, .. } = error else { panic!("{error:?}") };
        assert_eq!(headers[LOCATION], "/?secret");
    }

    #[test]
    fn a_time_to_retry_is_read_in_seconds_only() {
        let asked = |value| retry_after(&headers(&[(RETRY_AFTER, value)]));
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
