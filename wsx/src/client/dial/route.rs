//! The way from a client to its server: TCP from a chosen source, a proxy, or the program's
//! connector. The options for it in the builder, and the connection that a dial makes.
#[cfg(feature = "proxy")]
use crate::client::dial::proxy::{self, Proxy};
use crate::{
    catch_panic::Guarded,
    client::{
        ClientBuilder,
        dial::connect::{self, Source},
        stream::{self, Connector, Destination, Socket},
        url::Target,
    },
    config::Config,
    error::ConnectError,
    protocol::endpoint::Endpoint,
    task::tcp_options,
};
use std::{future::Future, io, net::IpAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::either::Either;

/// Whether the system can bind a socket to an interface by its name.
const BINDS_TO_INTERFACES: bool = cfg!(any(target_os = "android", target_os = "linux"));

/// The way from a client to its server.
#[derive(Default)]
pub(crate) struct Route {
    /// Dials in place of TCP.
    connector: Option<Connector>,
    /// Dials in place of the server.
    #[cfg(feature = "proxy")]
    proxy: Option<Proxy>,
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

    /// Sets the proxy through which the client connects; default none (row K12 of the
    /// specification).
    ///
    /// The environment is read only by [`Proxy::from_env`]. All waits for the proxy are within
    /// [`Config::handshake_timeout`]. A failure of the proxy is
    /// [`ConnectError::Proxy`](crate::ConnectError::Proxy).
    ///
    /// ```standalone_crate
    /// use wsx::{Client, client::Proxy};
    ///
    /// let client = Client::builder("wss://station.example.com/ws")
    ///     .proxy(Proxy::new("socks5://proxy.example.com:1080")?)
    ///     .build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) reports a [`connector`](Self::connector) beside it, which is the way
    /// to the server by itself.
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.options.route.proxy = Some(proxy);
        self
    }

    /// Sets the local address from which the client connects; default the system's choice (row K13
    /// of the specification).
    ///
    /// On a machine with several networks, this selects the network. Only addresses of the same
    /// family are dialled: with an IPv4 address, the IPv6 addresses of the server are not tried. An
    /// address that this machine does not have is
    /// [`ConnectError::Dial`](crate::ConnectError::Dial) at each attempt, because a later attempt
    /// may find it.
    ///
    /// ```standalone_crate
    /// use std::net::Ipv4Addr;
    ///
    /// let client = wsx::Client::builder("ws://127.0.0.1:9001/ws")
    ///     .bind_address(Ipv4Addr::new(127, 0, 0, 5))
    ///     .build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) reports it together with a [`connector`](Self::connector), which has
    /// sockets of its own.
    #[must_use]
    pub fn bind_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.options.route.source.address = Some(address.into());
        self
    }

    /// Sets the network interface through which the client connects, such as `wwan0`; default the
    /// system's choice (row K13 of the specification).
    ///
    /// The socket then uses this interface only, whatever the routes say. An interface that is
    /// missing is [`ConnectError::Dial`](crate::ConnectError::Dial) at each attempt, because a
    /// modem may bring it later. Linux before 5.7 needs `CAP_NET_RAW`.
    ///
    /// The name of the server is resolved by the system, which may ask through other interfaces.
    ///
    /// ```no_run
    /// let client =
    ///     wsx::Client::builder("ws://station.example.com/ws").bind_interface("wwan0").build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) reports an empty name, and a [`connector`](Self::connector) beside
    /// it. It reports each name on systems other than Linux and Android:
    /// [`bind_address`](Self::bind_address) works there.
    #[must_use]
    pub fn bind_interface(mut self, name: impl Into<String>) -> Self {
        self.options.route.source.interface = Some(name.into());
        self
    }
}

impl Route {
    /// Reports the options that do not fit together.
    pub(in crate::client) fn problems(&self, mut report: impl FnMut(String)) {
        let Source { address, interface } = &self.source;
        if self.connector.is_some() && (address.is_some() || interface.is_some()) {
            report(
                "`connector` makes its own sockets: bind them there, without `bind_address` and `bind_interface`"
                    .to_owned(),
            );
        }
        #[cfg(feature = "proxy")]
        if self.connector.is_some() && self.proxy.is_some() {
            report("`connector` dials in place of `proxy`: remove one of them".to_owned());
        }
        match interface {
            Some(name) if name.is_empty() => report("the name in `bind_interface` is empty".to_owned()),
            Some(_) if !BINDS_TO_INTERFACES => {
                report("this system cannot bind to an interface by its name: use `bind_address`".to_owned());
            }
            _ => {}
        }
    }

    /// Connects to the server, without the handshakes of TLS and WebSocket.
    pub(super) async fn connect(&self, target: &Target, config: &Config) -> Result<Socket, ConnectError> {
        let destination = &target.destination;
        let failed = |source| ConnectError::Dial { address: destination.to_string(), source };
        if let Some(connector) = &self.connector {
            let dialled = connector.run(|connector| connector(destination.clone())).await;
            let panicked = || Err(io::Error::other("the program's connector panicked"));
            return dialled.unwrap_or_else(panicked).map_err(failed);
        }
        let socket = self.tcp(target, share(config.handshake_timeout)).await?;
        tcp_options::prepare(&socket, config);
        Ok(Either::Left(socket))
    }

    async fn tcp(&self, target: &Target, limit: Duration) -> Result<TcpStream, ConnectError> {
        let destination = &target.destination;
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.proxy.as_ref().and_then(|proxy| proxy.of(target)) {
            return proxy::connect(proxy, destination, &self.source, limit).await;
        }
        let connected = connect::tcp(destination, &self.source, limit).await;
        connected.map_err(|source| ConnectError::Dial { address: destination.to_string(), source })
    }
}

/// Returns the part of the handshake timeout in which the connection has to be made. It ends before
/// the whole, so that the error can name each address. The rest would be too short for the
/// handshakes.
fn share(handshake_timeout: Duration) -> Duration {
    handshake_timeout / 20 * 19
}
