//! HTTP on the stream of a standalone server: reads a request, and writes the answer. It does not
//! know WebSocket.
use crate::{
    handshake::head::{self, HeadError, MAX_HEAD, MAX_HEADERS},
    observer::RejectionKind,
    server::rejection::Rejection,
};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE},
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An error that leaves a stream without a valid request.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The stream broke.
    Io(io::Error),
    /// The request is rejected with this answer.
    Rejected(Rejection),
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        let (status, text) = match error {
            HeadError::Io(error) => return Self::Io(error),
            HeadError::Incomplete => return Self::Io(io::ErrorKind::UnexpectedEof.into()),
            HeadError::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!("the request head has more than {MAX_HEAD} bytes or {MAX_HEADERS} headers"),
            ),
            HeadError::Version => {
                (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "a WebSocket handshake must be HTTP/1.1".to_owned())
            }
            HeadError::Invalid(why) => (StatusCode::BAD_REQUEST, format!("this is not an HTTP request: {why}")),
        };
        Self::Rejected(Rejection::of(RejectionKind::Request, status, text))
    }
}

/// Reads the head of a request. Returns it, and the bytes after it.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Request<()>, Vec<u8>), RequestError> {
    let mut buffer = Vec::with_capacity(1024);
    let request = head::read(stream, &mut buffer).await?;
    Ok((request, buffer))
}

/// Sends the answer that turns the stream into a WebSocket.
pub(crate) async fn send_answer<S: AsyncWrite + Unpin>(stream: &mut S, answer: &Response<()>) -> io::Result<()> {
    stream.write_all(&head_of(answer.status(), answer.headers())).await?;
    stream.flush().await
}

/// Sends a rejection, and waits until the peer has received it.
pub(crate) async fn send_rejection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    rejection: &Rejection,
) -> io::Result<()> {
    if let Some(answer) = &rejection.opened {
        send_answer(stream, answer).await?;
        stream.write_all(&rejection.close_frame()).await?;
        return lingering_close(stream).await;
    }
    let Rejection { status, body, headers, .. } = rejection;
    let mut headers = (**headers).clone();
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.append(CONNECTION, HeaderValue::from_static("close"));
    stream.write_all(&[&head_of(*status, &headers), body.as_bytes()].concat()).await?;
    lingering_close(stream).await
}

/// Returns the bytes of an answer's head.
fn head_of(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

/// Ends a stream so that all written bytes arrive: sends a FIN, then reads and drops the remaining
/// input.
///
/// A socket that is dropped with unread input sends a reset, which can overtake the written bytes.
pub(crate) async fn lingering_close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let (mut sink, mut dropped) = ([0; 1024], 0);
    while dropped < 1 << 20 {
        match stream.read(&mut sink).await? {
            0 => break,
            n => dropped += n,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_rejection_has_its_headers_once_and_its_text() {
        let sent = |rejection: Rejection| {
            let mut stream = io::Cursor::new(Vec::new());
            send_rejection(&mut stream, &rejection).now_or_never().expect("a cursor never waits").unwrap();
            String::from_utf8(stream.into_inner()).unwrap()
        };
        assert_eq!(
            sent(Rejection::new(StatusCode::FORBIDDEN, "no")),
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 2\r\n\
            connection: close\r\n\r\nno"
        );
        let json = HeaderValue::from_static("application/json");
        assert_eq!(
            sent(Rejection::new(StatusCode::FORBIDDEN, "{}").header(CONTENT_TYPE, json)),
            "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
            connection: close\r\n\r\n{}"
        );
    }
}
