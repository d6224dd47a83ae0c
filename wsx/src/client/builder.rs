//! The builder of a client: collects its options, with all its methods. `inner` checks the options,
//! and `attempt` dials.
#[cfg(feature = "proxy")]
use crate::client::dial::proxy::Proxy;
use crate::{
    catch_panic::Guarded,
    client::{
        Client,
        backoff::Backoff,
        inner::Inner,
        options::Options,
        redirect::{Follow, Redirect},
        stream::{self, Destination},
        urls::Urls,
    },
    config::Config,
    connection::{
        Connection,
        closure_handler::{FromMessage, by_hand},
    },
    delivery::Outbox,
    dispatch::program::{Place, ProgramBuilder},
    envelope::reply::IntoReply,
    error::{BoxError, BuildError},
    observer::{GuardedObserver, Observer, Setback},
    protocol::endpoint::{Endpoint, IntoEndpoint, Untyped},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{fmt, future::Future, io, net::IpAddr, panic::Location};
use tokio::io::{AsyncRead, AsyncWrite};

/// Builds a [`Client`]. [`Client::builder`] returns it.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use wsx::{Backoff, Client, Connection, http::{HeaderMap, HeaderValue, header}};
///
/// let client = Client::builder("ws://127.0.0.1:9001/ws")
///     .header(header::USER_AGENT, HeaderValue::from_static("box/1.0"))
///     // Called at each attempt, so that an expired token does not stop the client.
///     .headers(|| async {
///         let token = String::from("Bearer …");
///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&token)?)]))
///     })
///     .backoff(Backoff::default().max(Duration::from_secs(60)))
///     .on("bye", |from: String, conn: Connection| async move { conn.close() })
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
pub struct ClientBuilder<E = Untyped> {
    /// Parsed in `build`, so that their problems are reported together with the problems of the
    /// handlers.
    urls: Urls,
    /// The endpoint and the options that a hub has too.
    program: ProgramBuilder<E>,
    /// The options that only a client has.
    options: Options,
}

impl ClientBuilder {
    pub(super) fn new(urls: Urls) -> Self {
        Self { urls, program: ProgramBuilder::default(), options: Options::default() }
    }

    /// Sets the endpoint, whose handlers run on each connection. Its value is their state.
    ///
    /// Call this before the other methods. An endpoint has its own state and handlers, so
    /// [`build`](Self::build) reports an earlier [`state`](Self::state) or [`on`](Self::on) as a
    /// problem.
    #[must_use]
    pub fn endpoint<E: IntoEndpoint<Endpoint: Endpoint>>(self, endpoint: E) -> ClientBuilder<E::Endpoint> {
        let Self { urls, program, options } = self;
        ClientBuilder { urls, program: program.endpoint(endpoint.into_endpoint()), options }
    }

    /// Adds a value, which handlers take as [`State<T>`](crate::State). It replaces an earlier
    /// value of the same type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.program.state(value);
        self
    }

    /// Adds a closure as the handler of a message type, on every connection.
    ///
    /// [`build`](Self::build) returns an error if the type has another handler.
    /// [`Connection::register_handler`] adds a closure to a single connection.
    #[must_use]
    #[track_caller]
    pub fn on<T, Via, F, Fut>(mut self, message_type: impl Into<String>, handler: F) -> Self
    where
        T: FromMessage<Via> + 'static,
        Via: 'static,
        F: Fn(T, Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoReply> + Send + 'static,
    {
        self.program.add(message_type.into(), by_hand(handler), Location::caller());
        self
    }
}

impl<E: Endpoint> ClientBuilder<E> {
    /// Sets the bounds of each connection; default [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.program.config = config;
        self
    }

    /// Adds a header to each handshake. A second header with the same name does not replace the
    /// first.
    ///
    /// The handshake writes these headers itself, so [`build`](Self::build) returns an error for
    /// them: `Host`, `Connection`, `Upgrade`, `Sec-WebSocket-Key`, `Sec-WebSocket-Version` and
    /// `Sec-WebSocket-Extensions`. Several `Sec-WebSocket-Protocol` headers are sent as one list.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.options.fixed_headers.append(name, value);
        self
    }

    /// Sets a function that makes headers for each handshake, such as a token that expires.
    ///
    /// An error or a panic counts as a failed attempt, with
    /// [`ConnectError::Headers`](crate::ConnectError::Headers).
    #[must_use]
    pub fn headers<F, Fut>(mut self, headers: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.options.headers = Some(Guarded::new(Box::new(move || Box::pin(headers()))));
        self
    }

    /// Sets the waits between two attempts; default [`Backoff::default`] (row K2 of the
    /// specification).
    ///
    /// A server can reject a handshake with a `Retry-After` header in seconds. The client then
    /// waits at least that long, up to [`Backoff::max`] (row R2).
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Sets the source of random numbers for the waits between attempts; default the random
    /// generator of the thread.
    ///
    /// `random` is called once for each wait. It returns 0 for the shortest wait and 1 for the
    /// longest. A number outside counts as the nearer of the two. If it panics, the generator of
    /// the thread is used.
    ///
    /// A fleet can spread its boxes evenly, if each box returns a number made from its serial
    /// number. If all boxes return the same number, they all reconnect at the same time.
    #[must_use]
    pub fn jitter(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.options.jitter = Guarded::new(Box::new(random));
        self
    }

    /// Sets whether the client dials again after a failed attempt or an ended connection; default
    /// `true` (row K3 of the specification).
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.options.reconnect = reconnect;
        self
    }

    /// Sets a function that decides whether the client stops trying although reconnecting is on.
    ///
    /// `decide` runs after each failed attempt and after each ended connection. When it returns
    /// `true`, the state becomes [`Disconnected`](crate::ClientState::Disconnected), and `connect`
    /// can be called again. If `connect` still waits for the first connection, it returns the
    /// error. A panic counts as `false`.
    ///
    /// By default a client never gives up: a rejection can be a mistake at the server, and an
    /// unattended box must not stay away for it. A program that an operator watches should stop on
    /// a rejection, with [`Setback::is_refusal`].
    #[must_use]
    pub fn give_up(mut self, decide: impl Fn(&Setback) -> bool + Send + Sync + 'static) -> Self {
        self.options.give_up = Some(Guarded::new(Box::new(decide)));
        self
    }

    /// Follows redirects of the server, at most `limit` in an attempt, if `policy` agrees. By
    /// default a redirect is a failed attempt.
    ///
    /// `policy` runs for each redirect. It decides from the new URL whether the program trusts that
    /// server. [`Redirect`] says which redirects it sees, and which headers the new server
    /// receives.
    ///
    /// A redirect that is not followed is
    /// [`ConnectError::Redirect`](crate::ConnectError::Redirect), with the reason. A panic of
    /// `policy` counts as `false`.
    #[must_use]
    pub fn follow_redirects(
        mut self,
        limit: usize,
        policy: impl Fn(&Redirect) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.redirects = Some(Follow { limit, policy: Guarded::new(Box::new(policy)) });
        self
    }

    /// Sets a function that dials in place of TCP: to a Unix socket, or into a simulated network
    /// (row K5 of the specification).
    ///
    /// `dial` runs at each attempt. Its stream carries the TLS handshake, the WebSocket handshake
    /// and the connection. [`Destination`] has an example.
    ///
    /// [`Config::handshake_timeout`] includes this function: its future is dropped when the time is
    /// over. An error or a panic is [`ConnectError::Dial`](crate::ConnectError::Dial). A stream
    /// that panics later fails the attempt, or ends its connection; the client then dials again.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if `bind_address`, `bind_interface` or `proxy` is
    /// set too, because the function makes its own way to the server.
    #[must_use]
    pub fn connector<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn(Destination) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.options.route.connector = Some(stream::connector(dial));
        self
    }

    /// Sets the proxy through which the client connects; default none (row K12 of the
    /// specification).
    ///
    /// All waits for it are within [`Config::handshake_timeout`]. Its failure is
    /// [`ConnectError::Proxy`](crate::ConnectError::Proxy). It cannot be combined with
    /// [`connector`](Self::connector).
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
    /// family are dialled. An address that this machine does not have yet is
    /// [`ConnectError::Dial`](crate::ConnectError::Dial) at each attempt. It cannot be combined
    /// with [`connector`](Self::connector).
    #[must_use]
    pub fn bind_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.options.route.source.address = Some(address.into());
        self
    }

    /// Sets the network interface through which the client connects, such as `wwan0`; default the
    /// system's choice (row K13 of the specification).
    ///
    /// The socket then uses this interface only, whatever the routes say; a name server may be
    /// asked through others. An interface that is missing is
    /// [`ConnectError::Dial`](crate::ConnectError::Dial) at each attempt, because a modem may bring
    /// it later. Linux before 5.7 needs `CAP_NET_RAW`. It cannot be combined with
    /// [`connector`](Self::connector).
    ///
    /// ```no_run
    /// let client = wsx::Client::builder("ws://example.com/ws").bind_interface("wwan0").build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the name is empty, or if the system is neither
    /// Linux nor Android.
    #[must_use]
    pub fn bind_interface(mut self, name: impl Into<String>) -> Self {
        self.options.route.source.interface = Some(name.into());
        self
    }

    /// Sets the TLS configuration of a `wss://` client: the certificates that it trusts, and its
    /// own certificate if the server requests one.
    ///
    /// By default the client trusts the roots of the platform (row L3 of the specification), and
    /// has no certificate. The roots are read once in each process, at the first attempt.
    ///
    /// rustls asks for a certificate at each TLS handshake, so it can be renewed while the client
    /// runs (row L8). The program `renewing_certificate` in `examples/` shows how.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use wsx::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    /// use wsx::rustls::{ClientConfig, RootCertStore, crypto::ring};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut roots = RootCertStore::empty();
    /// roots.add(CertificateDer::from_pem_file("fleet-ca.pem")?)?;
    /// let certificate = CertificateDer::from_pem_file("box-7.pem")?;
    /// let key = PrivateKeyDer::from_pem_file("box-7.key")?;
    /// let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_client_auth_cert(vec![certificate], key)?;
    /// let client = wsx::Client::builder("wss://station.example.com/ws").tls(config).build();
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<std::sync::Arc<rustls::ClientConfig>>) -> Self {
        self.options.trust = crate::client::tls::Trust(Some(config.into()));
        self
    }

    /// Sets the observer, which receives the problems of this client. By default nothing is
    /// reported.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.program.observer = GuardedObserver::new(observer);
        self
    }

    /// Sets the outbox, which keeps messages for the server; default [`Outbox::new`], in memory.
    #[must_use]
    pub fn outbox(mut self, outbox: Outbox) -> Self {
        self.program.place = Some(Place::Outbox(outbox));
        self
    }

    /// Takes the released versions of the protocol, so that the client knows what its server
    /// understands; see [`wsx::contract`](crate::contract#mixed-versions).
    ///
    /// A file that does not have the version of the endpoint is an error of
    /// [`build`](Self::build).
    #[cfg(feature = "versions")]
    #[must_use]
    pub fn contract(mut self, released: crate::contract::Released) -> Self {
        self.program.released = Some(released);
        self
    }

    /// Sets a function that runs for each new connection, before its first message and before the
    /// `register` of [`Client::connect`].
    ///
    /// If it panics, that connection is closed with code 1011.
    #[must_use]
    pub fn on_connect(mut self, register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static) -> Self {
        self.options.on_connect = Some(Guarded::new(Box::new(move |conn| register(Connection::of(conn)))));
        self
    }

    /// Checks the URLs, collects the handlers, and builds the client. The client is not connected
    /// yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`] lists every problem: a URL that cannot be dialled, a list without a URL or
    /// with more than 16, a header that the handshake writes itself, two handlers for one type, or
    /// a missing state.
    pub fn build(self) -> Result<Client<E>, BuildError> {
        let client = self.build_unchecked();
        match &client.0.targets {
            Ok(_) => Ok(client),
            Err(error) => Err(error.clone()),
        }
    }

    /// As [`build`](Self::build), but a client with problems is built too, and its `connect`
    /// returns them.
    pub(super) fn build_unchecked(self) -> Client<E> {
        Client(Inner::new(self.urls, self.program, self.options))
    }
}

impl<E: Endpoint> fmt::Debug for ClientBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("urls", &self.urls).field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}
