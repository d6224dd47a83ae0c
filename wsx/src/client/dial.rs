//! The client's half of the opening handshake (RFC 6455 section 4.1): from a URL to a stream behind it.
//!
//! tokio-tungstenite does the handshake; what the server sends right behind its answer is kept.
use crate::{
    catch_panic,
    client::stream::{Connector, Destination, Socket},
    client::tls::{self, Trust},
    client::url::Target,
    config::Config,
    error::{BoxError, ConnectError},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        error::ProtocolError,
        http::{
            HeaderMap,
            header::{self, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::WebSocketConfig,
    },
};

/// Longest answer head that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

impl Target {
    /// A stream behind a finished handshake, and what came right behind that.
    pub(crate) async fn dial(
        &self,
        connector: Option<&Connector>,
        trust: &Trust,
        headers: HeaderMap,
        config: &Config,
    ) -> Result<(Socket, Vec<u8>), ConnectError> {
        let Self { url, destination, tls } = self;
        let mut request = url.into_client_request().map_err(|error| ConnectError::Handshake(error.into()))?;
        for (name, value) in &headers {
            request.headers_mut().append(name, value.clone());
        }
        let dialled = match connector {
            Some(connector) => {
                let dialled = catch_panic::run(async { connector(destination.clone()).await }).await;
                dialled.unwrap_or_else(|| Err(io::Error::other("the program's connector panicked")))
            }
            None => Socket::tcp(destination, config).await,
        };
        let mut socket = dialled.map_err(|source| ConnectError::Dial { address: destination.to_string(), source })?;
        if let Some(name) = tls {
            socket = trust.connect(name, destination, socket).await?;
        }
        // The stream that comes back is only asked for what is below it, so its buffers stay small.
        let buffers = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0).max_write_buffer_size(512);
        let ws = client_async_with_config(request, Head::new(socket), Some(buffers)).await;
        let (ws, answer) = ws.map_err(|error| handshake_error(error, destination))?;
        check(answer.headers()).map_err(|error| handshake_error(error, destination))?;
        let Head { socket, rest, .. } = ws.into_inner();
        Ok((socket, rest))
    }
}

/// What is wrong, without tungstenite's layers around it: each says what is in it, and has it as its source as well.
fn innermost(error: tungstenite::Error) -> BoxError {
    match error {
        tungstenite::Error::Io(source) => source.into(),
        tungstenite::Error::Protocol(ProtocolError::HttparseError(source)) => source.into(),
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up before it had answered").into()
        }
        tungstenite::Error::Protocol(source) => source.into(),
        error => error.into(),
    }
}

fn handshake_error(error: tungstenite::Error, destination: &Destination) -> ConnectError {
    match error {
        tungstenite::Error::Http(answer) => {
            let retry_after =
                answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            ConnectError::Rejected { status: answer.status(), retry_after: retry_after.map(Duration::from_secs) }
        }
        tungstenite::Error::Io(source) if tls::is_failure(&source) => {
            ConnectError::Tls { address: destination.to_string(), source }
        }
        error => ConnectError::Handshake(innermost(error)),
    }
}

/// What RFC 6455 section 4.1 asks of the answer's headers, and tungstenite does not look at.
fn check(headers: &HeaderMap) -> Result<(), tungstenite::Error> {
    // No extension is ever asked for, so that none may be agreed on: its frames would not be the ones that are read here.
    // The others come once (sections 11.3.3 and 11.3.4), and tungstenite looks at the first alone.
    for (name, most) in [(SEC_WEBSOCKET_EXTENSIONS, 0), (SEC_WEBSOCKET_ACCEPT, 1), (SEC_WEBSOCKET_PROTOCOL, 1)] {
        if headers.get_all(&name).iter().count() > most {
            return Err(ProtocolError::InvalidHeader(name.into()).into());
        }
    }
    Ok(())
}

/// A stream that gives its reader an HTTP head and nothing behind it: tungstenite reads ahead, and would keep the first
/// messages to itself.
///
/// Its reader gets the first line once that is whole, which tells a server of another kind at once, and then the others
/// together: tungstenite takes an answer in many small pieces for an attack, and a weak link brings it so.
struct Head<S> {
    socket: S,
    /// What of the head has come and is not given yet.
    head: Vec<u8>,
    /// So much of it may be given.
    ready: usize,
    first_line: bool,
    /// What came behind the head.
    rest: Vec<u8>,
    /// Whether nothing has come on the current line; an empty line ends the head.
    line_empty: bool,
    done: bool,
    /// Of the head, in bytes.
    read: usize,
}

impl<S> Head<S> {
    fn new(socket: S) -> Self {
        Self {
            socket,
            head: Vec::new(),
            ready: 0,
            first_line: true,
            rest: Vec::new(),
            line_empty: false,
            done: false,
            read: 0,
        }
    }

    /// How many of these bytes belong to the head.
    fn split(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.line_empty => {
                    self.done = true;
                    return at + 1;
                }
                b'\n' => self.line_empty = true,
                b'\r' => {}
                _ => self.line_empty = false,
            }
        }
        bytes.len()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Head<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready == 0 {
            if this.done {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end")));
            }
            let mut chunk = [0; 1024];
            let mut buffer = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer))?;
            let got = buffer.filled();
            let head = this.split(got);
            this.head.extend_from_slice(&got[..head]);
            this.rest.extend_from_slice(&got[head..]);
            this.read += head;
            if this.read > MAX_HEAD {
                let why = "the head of the answer is too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            if got.is_empty() && this.head.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if this.done || got.is_empty() || (this.first_line && got.contains(&b'\n')) {
                this.first_line = false;
                this.ready = this.head.len();
            }
        }
        let given = this.ready.min(out.remaining());
        out.put_slice(&this.head[..given]);
        this.head.drain(..given);
        this.ready -= given;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Head<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_behind_the_head_is_given_to_its_reader() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            for step in [1, 7, 1000] {
                let wire = format!("HTTP/1.1 101 X\r\nA: b{end}\u{81}frame");
                let mut head = Head::new(tokio_test_stream(wire.as_bytes(), step));
                let mut given = Vec::new();
                while !head.done {
                    tokio::io::AsyncReadExt::read_buf(&mut head, &mut given).await.unwrap();
                }
                given.extend_from_slice(b"|");
                given.extend_from_slice(&head.rest);
                let mut behind = vec![0; 100];
                let n = tokio::io::AsyncReadExt::read(&mut head.socket, &mut behind).await.unwrap();
                given.extend_from_slice(&behind[..n]);
                assert!(String::from_utf8_lossy(&given).contains(&format!("{end}|")), "{given:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_in_many_pieces_is_given_in_two() {
        let wire = format!("HTTP/1.1 101 X\r\n{}\r\nframe", "Name: value\r\n".repeat(100));
        for step in [1, 5, 11] {
            let mut head = Head::new(tokio_test_stream(wire.as_bytes(), step));
            let mut given = Vec::new();
            for _ in 0..2 {
                let mut buffer = [0; 4096];
                let n = tokio::io::AsyncReadExt::read(&mut head, &mut buffer).await.unwrap();
                given.extend_from_slice(&buffer[..n]);
            }
            assert!(head.done && given.ends_with(b"\r\n\r\n"), "in steps of {step}");
        }
    }

    #[tokio::test]
    async fn what_came_before_a_sudden_end_is_given() {
        for wire in ["SSH-2.0", "HTTP/1.1 101 X\r\nA: b"] {
            let mut given = String::new();
            let mut head = Head::new(wire.as_bytes());
            tokio::io::AsyncReadExt::read_to_string(&mut head, &mut given).await.unwrap();
            assert_eq!(given, wire);
        }
    }

    /// Gives `bytes` in steps.
    fn tokio_test_stream(bytes: &[u8], step: usize) -> impl AsyncRead + Unpin {
        struct Steps(Vec<Vec<u8>>);
        impl AsyncRead for Steps {
            fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                if !self.0.is_empty() {
                    out.put_slice(&self.0.remove(0));
                }
                Poll::Ready(Ok(()))
            }
        }
        Steps(bytes.chunks(step).map(<[u8]>::to_vec).collect())
    }
}
