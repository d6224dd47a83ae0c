//! The way from a client to its server: TCP from a chosen source, or the program's connector. The
//! options for it in the builder, and the connection that a dial makes.
use crate::{
    catch_panic::Guarded,
    client::{
        ClientBuilder,
        dial::connect::{self, Source},
        stream::{self, Connector, Destination, Socket},
    },
    config::Config,
    error::ConnectError,
    protocol::endpoint::Endpoint,
    task::tcp_options,
};
use std::{future::Future, io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::either::Either;

/// The way from a client to its server.
#[derive(Default)]
pub(crate) struct Route {
    /// Dials in place of TCP.
    connector: Option<Connector>,
    /// Where the sockets are bound.
    source: Source,
}

impl<E: Endpoint> ClientBuilder<E> {
    /// Sets a function that dials in place of TCP: to a Unix socket, or into a simulated network
    /// (row K5 of the specification).
    ///
    /// `dial` runs at each attempt. The stream that it returns carries the TLS handshake, the
    /// WebSocket handshake and the connection. The `Host` header still has the host and port of the
    /// URL.
    ///
    /// [`Config::handshake_timeout`] includes this function: its future is dropped when the time is
    /// over. An error or a panic is [`ConnectError::Dial`](crate::ConnectError::Dial). A stream
    /// that panics later fails the attempt, or ends its connection; the client then dials again.
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
    #[must_use]
    pub fn connector<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn(Destination) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.options.route.connector = Some(Guarded::new(Box::new(move |destination| {
            let dialled = dial(destination);
            Box::pin(async move { Ok(stream::boxed(dialled.await?)) })
        })));
        self
    }
}

impl Route {
    /// Connects to the server, without the handshakes of TLS and WebSocket.
    pub(super) async fn connect(&self, destination: &Destination, config: &Config) -> Result<Socket, ConnectError> {
        let connected = match &self.connector {
            Some(connector) => {
                let dialled = connector.run(|connector| connector(destination.clone())).await;
                dialled.unwrap_or_else(|| Err(io::Error::other("the program's connector panicked")))
            }
            None => connect::tcp(destination, &self.source, share(config.handshake_timeout)).await.map(|socket| {
                tcp_options::prepare(&socket, config);
                Either::Left(socket)
            }),
        };
        connected.map_err(|source| ConnectError::Dial { address: destination.to_string(), source })
    }
}

/// Returns the part of the handshake timeout in which the connection has to be made. It ends before
/// the whole, so that the error can name each address. The rest would be too short for the
/// handshakes.
fn share(handshake_timeout: Duration) -> Duration {
    handshake_timeout / 20 * 19
}
