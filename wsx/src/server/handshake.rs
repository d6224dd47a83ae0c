//! The handshake at the server (RFC 6455 section 4.2): which request becomes a WebSocket, and why
//! others are rejected.
//!
//! It works on `http` types. It does not know the hub or a stream.
use crate::{
    handshake::{authority, header_list},
    observer::RejectionKind,
    server::rejection::Rejection,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, uri::Authority,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The headers of the answer that the handshake writes itself, or that must not be in it.
pub(super) const OWN: [HeaderName; 7] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// Returns the answer that turns this request into a WebSocket, or the rejection.
///
/// The `Origin` header is a matter of `origin`.
pub(crate) fn check(request: &Request<()>) -> Result<Response<()>, Rejection> {
    let headers = request.headers();
    let count = |name: HeaderName| headers.get_all(name).iter().count();
    if request.method() != Method::GET {
        // The answer to HEAD has no content (RFC 9110 section 9.3.2).
        let body = if request.method() == Method::HEAD { "" } else { "a WebSocket handshake must be a GET request" };
        return Err(reject(StatusCode::METHOD_NOT_ALLOWED, body).header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    if request.version() != Version::HTTP_11 {
        return Err(reject(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "a WebSocket handshake must be HTTP/1.1"));
    }
    if count(header::HOST) != 1 {
        return Err(reject(StatusCode::BAD_REQUEST, "a request must have one `Host` header"));
    }
    if !headers.get(header::HOST).is_some_and(is_host) {
        return Err(reject(StatusCode::BAD_REQUEST, "the `Host` header does not name a host"));
    }
    // Some proxies and HTTP libraries add `Content-Length: 0` to every request.
    let has_length = headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(reject(StatusCode::BAD_REQUEST, "a WebSocket handshake must not have a body"));
    }
    if count(header::SEC_WEBSOCKET_KEY) > 1 || count(header::SEC_WEBSOCKET_VERSION) > 1 {
        return Err(reject(StatusCode::BAD_REQUEST, "a WebSocket handshake must have one key and one version"));
    }
    let missing = if !lists(headers, header::UPGRADE, "websocket") {
        Some("Upgrade: websocket")
    } else if !lists(headers, header::CONNECTION, "upgrade") {
        Some("Connection: Upgrade")
    } else if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        Some("Sec-WebSocket-Version: 13")
    } else {
        None
    };
    if let Some(missing) = missing {
        let text = format!("this is a WebSocket endpoint: the request has no `{missing}` header");
        return Err(reject(StatusCode::UPGRADE_REQUIRED, text)
            .header(header::CONNECTION, HeaderValue::from_static("upgrade"))
            .header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| is_key(key)) else {
        let text = "the `Sec-WebSocket-Key` header must have 16 bytes in base64";
        return Err(reject(StatusCode::BAD_REQUEST, text));
    };
    Ok(switching_protocols(key))
}

/// Returns the rejection of a request that is not a handshake.
fn reject(status: StatusCode, body: impl Into<String>) -> Rejection {
    Rejection::of(RejectionKind::Request, status, body)
}

/// Returns the answer to a request with this key.
fn switching_protocols(key: &[u8]) -> Response<()> {
    let accept = HeaderValue::try_from(derive_accept_key(key)).expect("base64 is a header value");
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// Whether this is base64 of 16 bytes (RFC 6455 section 4.2.1). That is 22 characters and the
/// padding. The last character carries two bits (RFC 4648 section 4).
fn is_key(key: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.strip_suffix(b"==") {
        Some(key @ [.., b'A' | b'Q' | b'g' | b'w']) => key.len() == 22 && key.iter().all(plain),
        _ => false,
    }
}

/// Whether a header with a list has this element.
fn lists(headers: &HeaderMap, name: HeaderName, element: &str) -> bool {
    header_list::elements(headers, name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
}

/// Whether this `Host` header is a host, with or without a port. It may be empty if the target has
/// no authority (RFC 9110 section 7.2).
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let Ok(authority) = text.parse::<Authority>() else { return text.is_empty() };
    authority::host(&authority).is_some() && authority::port(&authority).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::{RequestError, read_request};
    use futures_util::FutureExt;

    const GOOD: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn answer(mut request: &[u8]) -> Result<Response<()>, RequestError> {
        let (request, _) = read_request(&mut request).now_or_never().expect("a slice never waits")?;
        check(&request).map_err(RequestError::Rejected)
    }

    /// The sample handshake of RFC 6455 section 1.3.
    #[test]
    fn the_sample_handshake_is_accepted_with_its_key() {
        let answer = answer(GOOD.as_bytes()).unwrap();
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_bad_handshake_is_rejected_with_the_status_of_its_mistake() {
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
            (GOOD.replace("Host: a\r\n", "Host: a:+80\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: [a]\r\n"), Err(400)),
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
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), Err(400)),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), Err(400)),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j-Q=="), Err(400)),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh"), Err(400)),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "+/+/+/+/+/+/+/+/+/+/+w=="), Ok(())),
            (GOOD.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), Err(400)),
            (GOOD.replace("Sec-WebSocket-Version: 13\r\n", ""), Err(426)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nContent-Length: 5\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nContent-Length: 0\r\n"), Ok(())),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nContent-Length: +0\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n"), Err(400)),
            (GOOD.replace("Host: a\r\n", &format!("Host: a\r\nX: {}\r\n", "x".repeat(20_000))), Err(431)),
            (GOOD.replace("Host: a\r\n", &format!("Host: a\r\n{}", "X: y\r\n".repeat(100))), Err(431)),
            ("hello\r\n\r\n".to_owned(), Err(400)),
        ];
        for (head, expected) in cases {
            let status = answer(head.as_bytes()).map(drop).map_err(|error| match error {
                RequestError::Rejected(rejection) => rejection.status.as_u16(),
                RequestError::Io(error) => panic!("{head}: {error}"),
            });
            assert_eq!(status, expected, "{head}");
        }
    }
}
