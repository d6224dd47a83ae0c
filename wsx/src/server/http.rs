//! HTTP on the standalone server's stream: reads a request, and writes its answer.
use crate::{
    handshake::head::{self, HeadError, MAX_HEAD, MAX_HEADERS},
    server::rejection::Rejection,
};
use http::{Request, Response, StatusCode};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::write_response;

/// Why a stream has no request to answer.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The stream broke.
    Io(io::Error),
    /// The peer gets this answer.
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
            HeadError::Version => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1".to_owned()),
            HeadError::Invalid(why) => (StatusCode::BAD_REQUEST, format!("this is not an HTTP request: {why}")),
        };
        Self::Rejected((status, text).into())
    }
}

/// Reads a request's head. Returns it with the bytes that came after it.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(io: &mut S) -> Result<(Request<()>, Vec<u8>), RequestError> {
    let mut buffer = Vec::with_capacity(1024);
    let request = head::read(io, &mut buffer).await?;
    Ok((request, buffer))
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
