//! The stream of bytes below a client's connection: a TCP socket, or any other stream, such as TLS
//! or the stream of a connector. It does not know WebSocket.
//!
//! An enum of two, so that a plain socket is not boxed and not called through a virtual table.
use crate::{config::Config, task::tcp_options};
use futures_util::future::BoxFuture;
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The host and port of a client's URL, which a
/// [connector](crate::client::ClientBuilder::connector) receives.
///
/// `Display` writes `host:port`, with brackets around an IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// A host name or an address. An IPv6 address has no brackets.
    pub host: String,
    /// The port. If the URL has none, it is 80 for `ws://` and 443 for `wss://`.
    pub port: u16,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The application's function that dials in place of TCP.
pub(crate) type Connector = dyn Fn(Destination) -> BoxFuture<'static, io::Result<Socket>> + Send + Sync;

/// A stream of bytes to the server.
pub(crate) enum Socket {
    /// Dialled by wsx, without TLS.
    Tcp(TcpStream),
    /// TLS, or the stream of a connector.
    Other(Box<dyn Stream>),
}

/// Any stream that can carry a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Socket {
    /// Dials over TCP. The first address of the host that accepts is used.
    pub(crate) async fn tcp(destination: &Destination, config: &Config) -> io::Result<Self> {
        let socket = TcpStream::connect((&*destination.host, destination.port)).await?;
        tcp_options::prepare(&socket, config);
        Ok(Self::Tcp(socket))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, out),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_makes_a_plain_socket_no_larger() {
        assert_eq!(size_of::<Socket>(), size_of::<TcpStream>());
    }

    #[test]
    fn a_destination_is_written_as_addresses_are() {
        let written = |host: &str| Destination { host: host.to_owned(), port: 9001 }.to_string();
        assert_eq!(written("box"), "box:9001");
        assert_eq!(written("::1"), "[::1]:9001");
    }
}
