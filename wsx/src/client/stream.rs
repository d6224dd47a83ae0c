//! The stream of a client's connection: a TCP socket, or another stream, such as TLS or one of the
//! program's connector.
use crate::{config::Config, task::tcp_options};
use futures_util::future::BoxFuture;
use std::{fmt, io};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::either::Either;

/// The host and port of a client's URL, to which a
/// [connector](crate::client::ClientBuilder::connector) connects.
///
/// `Display` writes it as `host:port`, with brackets around an IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// A name or an address. An IPv6 address has no brackets.
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

/// The function with which the program connects instead of TCP.
pub(crate) type Connector = dyn Fn(Destination) -> BoxFuture<'static, io::Result<Socket>> + Send + Sync;

/// A stream to the server. A plain socket is neither boxed nor called through a table.
pub(crate) type Socket = Either<TcpStream, Box<dyn Stream>>;

/// Any stream that a connection can run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects over TCP, to the first address of the host that answers.
pub(super) async fn connect(destination: &Destination, config: &Config) -> io::Result<Socket> {
    let socket = TcpStream::connect((&*destination.host, destination.port)).await?;
    tcp_options::prepare(&socket, config);
    Ok(Either::Left(socket))
}

/// Boxes a stream that is not a plain socket.
pub(super) fn boxed(stream: impl Stream + 'static) -> Socket {
    Either::Right(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_socket_is_not_larger() {
        assert_eq!(size_of::<Socket>(), size_of::<TcpStream>());
    }

    #[test]
    fn a_destination_is_written_as_addresses_are() {
        let written = |host: &str| Destination { host: host.to_owned(), port: 9001 }.to_string();
        assert_eq!(written("box"), "box:9001");
        assert_eq!(written("::1"), "[::1]:9001");
    }
}
