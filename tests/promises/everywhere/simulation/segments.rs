//! A stream whose writes are cut into segments. turmoil sends each write as one segment, however
//! long it is, and bounds the number of segments on their way. So the length of a segment bounds
//! the bytes on their way, and with the latency it makes the speed of a link.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use turmoil::net::{TcpListener, TcpStream};
use wsx::{Endpoint, server::WsHandler};

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

/// Accepts connections whose writes are cut, until the task is aborted.
pub(crate) fn accept<E: Endpoint>(upgrade: WsHandler<E>, listener: TcpListener, longest: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let upgrade = upgrade.clone();
            // The connection may fail, which the observer learns.
            tokio::spawn(
                async move { upgrade.serve_connection(Segments::new(stream, longest), Some(peer)).await.is_ok() },
            );
        }
    })
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
