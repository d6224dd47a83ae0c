//! A stream whose writes are cut into segments. turmoil sends each write as one segment, however
//! long it is, and bounds the number of segments on their way. So the length of a segment bounds
//! the bytes on their way, and with the latency it makes the speed of a link.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Segments {
    stream: TcpStream,
    /// Maximum length of a segment, in bytes.
    longest: usize,
}

impl Segments {
    pub(crate) fn new(stream: TcpStream, longest: usize) -> Self {
        Self { stream, longest }
    }
}

impl AsyncRead for Segments {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Segments {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let segment = &bytes[..bytes.len().min(self.longest)];
        Pin::new(&mut self.stream).poll_write(cx, segment)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
