//! The stream of bytes below a client's connection: a TCP socket, or any other stream, such as TLS
//! or the stream of a connector. It does not know WebSocket.
use crate::{catch_panic::Guarded, task::transport};
use futures_util::future::BoxFuture;
use std::{fmt, io};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::either::Either;

/// The host and port of a client's URL, which a
/// [connector](crate::client::ClientBuilder::connector) receives.
///
/// The `Host` header of the handshake has them too, also if the connector dials something else:
///
/// ```no_run
/// # #[cfg(unix)]
/// # fn example() -> Result<(), wsx::BuildError> {
/// let client = wsx::Client::builder("ws://localhost/ws")
///     .connector(|_| tokio::net::UnixStream::connect("/run/station.sock"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// `Display` writes `host:port`, with brackets around an IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// A host name or an address. An IPv6 address has no brackets. It ends with its zone if the URL
    /// has one, as `fe80::1%eth0` for `ws://[fe80::1%25eth0]/`.
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
pub(crate) type Connector = Guarded<Box<dyn Fn(Destination) -> BoxFuture<'static, io::Result<Socket>> + Send + Sync>>;

/// Boxes the application's function and its streams.
pub(super) fn connector<F, Fut, S>(dial: F) -> Connector
where
    F: Fn(Destination) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Guarded::new(Box::new(move |destination| {
        let dialled = dial(destination);
        Box::pin(async move { Ok(boxed(dialled.await?)) })
    }))
}

/// A stream of bytes to the server. A plain socket is not boxed and not called through a virtual
/// table. The other streams are TLS and those of a connector.
pub(crate) type Socket = Either<TcpStream, Box<dyn Stream>>;

/// Any stream that can carry a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Returns the TCP socket below the stream, if it is known.
    fn tcp(&self) -> Option<&TcpStream>;
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {
    fn tcp(&self) -> Option<&TcpStream> {
        #[cfg(feature = "rustls")]
        if let Some(tls) = (self as &dyn std::any::Any).downcast_ref::<tokio_rustls::client::TlsStream<Socket>>() {
            return tcp(tls.get_ref().0);
        }
        transport::tcp::of(self)
    }
}

/// Returns the TCP socket below the stream, if it is known.
pub(super) fn tcp(socket: &Socket) -> Option<&TcpStream> {
    match socket {
        Either::Left(socket) => Some(socket),
        // The box is a stream too, and does not know its content.
        Either::Right(stream) => (**stream).tcp(),
    }
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

    /// Row V1: the acknowledged bytes are asked of a connector's socket too.
    #[tokio::test]
    async fn the_tcp_socket_in_a_box_is_known() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        let boxed = boxed(stream);
        assert_eq!(tcp(&boxed).map(|tcp| tcp.local_addr().unwrap().port()), Some(port));
    }

    #[test]
    fn a_destination_is_written_as_addresses_are() {
        let written = |host: &str| Destination { host: host.to_owned(), port: 9001 }.to_string();
        assert_eq!(written("box"), "box:9001");
        assert_eq!(written("::1"), "[::1]:9001");
    }
}
