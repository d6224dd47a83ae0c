//! Builds a client.
use crate::{
    client::{
        Client, Inner,
        backoff::Backoff,
        state::Status,
        stream::{self, Connector, Destination},
        tls::Trust,
        url::Target,
    },
    config::Config,
    connection::{
        Connection,
        by_hand::{FromMessage, by_hand},
        handle::Handle,
    },
    dispatch::{
        program::ProgramBuilder,
        router::{NoHandlers, Owner},
    },
    envelope::reply::IntoReply,
    error::{BoxError, BuildError},
    observer::{Observer, Setback},
    protocol::endpoint::{Endpoint, Untyped},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    fmt,
    future::Future,
    io,
    panic::Location,
    sync::{Arc, Mutex},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

type Headers = dyn Fn() -> BoxFuture<'static, Result<HeaderMap, BoxError>> + Send + Sync;
type GiveUp = dyn Fn(&Setback) -> bool + Send + Sync;
pub(super) type OnConnect = dyn Fn(&Handle) + Send + Sync;

/// What only a client has, beside its program.
pub(super) struct Options {
    pub(super) backoff: Backoff,
    pub(super) jitter: Box<dyn Fn() -> f64 + Send + Sync>,
    pub(super) reconnect: bool,
    pub(super) fixed_headers: HeaderMap,
    pub(super) headers: Option<Arc<Headers>>,
    pub(super) connector: Option<Box<Connector>>,
    pub(super) trust: Trust,
    pub(super) give_up: Option<Box<GiveUp>>,
    pub(super) on_connect: Option<Box<OnConnect>>,
}

/// Builds a [`Client`].
///
/// ```standalone_crate
/// use std::time::Duration;
/// use wsx::{Backoff, Client, http::{HeaderMap, HeaderValue, header}};
///
/// let client = Client::builder("ws://127.0.0.1:9001/ws")
///     .header(header::USER_AGENT, HeaderValue::from_static("box/1.0"))
///     // Asked for at each attempt, so that an expired token is no reason to stay away.
///     .headers(|| async {
///         let token = String::from("Bearer …");
///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&token)?)]))
///     })
///     .backoff(Backoff::default().max(Duration::from_secs(60)))
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
pub struct ClientBuilder<E = Untyped> {
    url: String,
    program: ProgramBuilder<E>,
    options: Options,
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            program: ProgramBuilder::default(),
            options: Options {
                backoff: Backoff::default(),
                jitter: Box::new(rand::random),
                reconnect: true,
                fixed_headers: HeaderMap::new(),
                headers: None,
                connector: None,
                trust: Trust::default(),
                give_up: None,
                on_connect: None,
            },
        }
    }

    /// Sets the endpoint, whose handlers run on each connection. Its value is their state.
    ///
    /// Call it before the other methods: the endpoint has its own state and handlers, so [`build`](Self::build) reports
    /// [`state`](Self::state) and [`on`](Self::on) as problems.
    #[must_use]
    pub fn endpoint<E: Endpoint>(self, endpoint: E) -> ClientBuilder<E> {
        let Self { url, program, options } = self;
        ClientBuilder { url, program: program.endpoint(endpoint), options }
    }

    /// Gives the handlers a value of this type, which they take as [`State<T>`](crate::State). It replaces an earlier
    /// value of the same type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.program.state(value);
        self
    }

    /// Adds a closure as the handler of a type, for all connections. [`Connection::register_handler`] does so for one.
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
    /// The bounds of each connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.program.config = config;
        self
    }

    /// How long to wait between attempts. A server that says `Retry-After` in its refusal, in seconds, is left alone for so
    /// long, up to [`Backoff::max`].
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Where the waits between attempts have their random numbers from, one for each: from 0, the shortest wait, to 1, the
    /// longest; what is outside counts as the nearer of the two. By default the thread's generator.
    ///
    /// For tests that want the same waits each time, and for fleets whose boxes shall keep their places in the window, each
    /// with a number made of its serial number. A number that all boxes share brings them all back at once.
    /// Where it panics, the thread's generator serves.
    #[must_use]
    pub fn jitter(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.options.jitter = Box::new(random);
        self
    }

    /// Whether a connection that cannot be made, or that has ended, is tried again; default true.
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.options.reconnect = reconnect;
        self
    }

    /// Sets a function that decides when to stop reconnecting. The client calls it after each failed
    /// attempt and after each connection that ended. On `true` the client is
    /// [`Disconnected`](crate::ClientState::Disconnected). A `connect` that still waits for its first
    /// connection returns the error, and can be called again. A decision that panics counts as `false`.
    ///
    /// By default the client never gives up: a rejection can be a mistake of the server, and nobody can
    /// reach the box to start it again. Where a person watches, stop on a rejection. Otherwise two
    /// programs with one id replace each other for ever.
    ///
    /// ```standalone_crate
    /// let client = wsx::Client::builder("ws://127.0.0.1:9001/ws").give_up(wsx::Setback::is_refusal).build();
    /// ```
    #[must_use]
    pub fn give_up(mut self, decide: impl Fn(&Setback) -> bool + Send + Sync + 'static) -> Self {
        self.options.give_up = Some(Box::new(decide));
        self
    }

    /// A header for each handshake.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.options.fixed_headers.append(name, value);
        self
    }

    /// Headers that are made anew for each handshake, such as a token that expires. An error counts as a failed attempt, and a
    /// panic does too.
    #[must_use]
    pub fn headers<F, Fut>(mut self, headers: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.options.headers = Some(Arc::new(move || Box::pin(headers())));
        self
    }

    /// Sets a function that connects in place of TCP: through a proxy, over a Unix socket, in a
    /// simulated network. The client calls it at each attempt. Its stream carries the handshakes, that
    /// of TLS included, and the connection. [`Config::handshake_timeout`] limits it too: it is dropped
    /// then. Its error or panic is a [`ConnectError::Dial`](crate::ConnectError::Dial). The host and port
    /// of the URL still make the `Host` header.
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
        self.options.connector = Some(Box::new(move |destination| {
            let dialled = dial(destination);
            Box::pin(async move { Ok(stream::boxed(dialled.await?)) })
        }));
        self
    }

    /// Whom a client of `wss://` trusts, and the certificate that it shows if the server asks for one. By default it trusts
    /// those that the platform trusts, as of its first attempt in this process, and has no certificate of its own.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use wsx::rustls::{
    ///     ClientConfig, RootCertStore,
    ///     crypto::ring,
    ///     pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    /// };
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut roots = RootCertStore::empty();
    /// roots.add(CertificateDer::from_pem_file("fleet-ca.pem")?)?;
    /// let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_client_auth_cert(
    ///         vec![CertificateDer::from_pem_file("box-7.pem")?],
    ///         PrivateKeyDer::from_pem_file("box-7.key")?,
    ///     )?;
    /// let client = wsx::Client::builder("wss://station.example.com/ws").tls(config).build();
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.options.trust = Trust(Some(config.into()));
        self
    }

    /// Who sees what goes wrong.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.program.observer = Arc::new(observer);
        self
    }

    /// Runs `register` for each new connection, before its first message and before the `register` of
    /// [`Client::connect`]. If it panics, that connection closes with 1011.
    #[must_use]
    pub fn on_connect(mut self, register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static) -> Self {
        self.options.on_connect = Some(Box::new(move |conn| register(Connection::of(conn))));
        self
    }

    /// Checks the URL, collects the handlers, and builds the client. It is not connected yet.
    ///
    /// # Errors
    ///
    /// A URL that cannot be dialled, two handlers for one type, a state that was not given: every problem.
    pub fn build(self) -> Result<Client<E>, BuildError> {
        let client = self.build_unchecked();
        match &client.0.target {
            Ok(_) => Ok(client),
            Err(error) => Err(error.clone()),
        }
    }

    /// As [`build`](Self::build), but `connect` returns the error.
    pub(super) fn build_unchecked(self) -> Client<E> {
        let Self { url, mut program, options } = self;
        let target = Target::parse(&url).map_err(|problem| program.problem(problem)).ok();
        let (program, result) = program.build(Owner::Client, NoHandlers::Allowed);
        let target = result.map(|()| target.expect("a wrong URL is among the problems"));
        Client(Arc::new(Inner {
            url,
            program,
            target,
            options,
            current: Mutex::new(None),
            status: Status::new(),
            stop: CancellationToken::new(),
        }))
    }
}

impl<E: Endpoint> fmt::Debug for ClientBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &self.url).field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}
