//! Builds a hub.
use crate::{
    config::Config,
    connection::{
        Connection,
        by_hand::{FromMessage, by_hand},
    },
    dispatch::{
        program::ProgramBuilder,
        router::{NoHandlers, Owner},
    },
    envelope::reply::IntoReply,
    error::BuildError,
    observer::Observer,
    protocol::endpoint::{Endpoint, Untyped},
    server::{
        admission::{Admission, Limits},
        hub::{Hub, OnConnect},
    },
};
use std::{fmt, future::Future, panic::Location, sync::Arc};

/// Builds a [`Hub`].
///
/// ```standalone_crate
/// use std::time::Duration;
/// use wsx::{Config, Hub, State};
///
/// #[wsx::handler("hello")]
/// fn on_hello(name: String, State(greeting): State<&'static str>) {
///     println!("{greeting}, {name}");
/// }
///
/// let hub = Hub::builder()
///     .state("welcome")
///     .config(Config::default().write_timeout(Duration::from_secs(5)))
///     .on("bye", |name: String, conn: wsx::Connection| async move { conn.close() })
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
pub struct HubBuilder<E = Untyped> {
    program: ProgramBuilder<E>,
    limits: Limits,
    on_connect: Option<Box<OnConnect>>,
    no_handlers: NoHandlers,
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self {
            program: ProgramBuilder::default(),
            limits: Limits::default(),
            on_connect: None,
            no_handlers: NoHandlers::Problem,
        }
    }
}

impl HubBuilder {
    /// Sets the endpoint, whose handlers run on each connection. Its value is their state.
    ///
    /// Call it before the other methods: the endpoint has its own state and handlers, so [`build`](Self::build) reports
    /// [`state`](Self::state) and [`on`](Self::on) as problems.
    ///
    /// ```standalone_crate
    /// use wsx::Hub;
    ///
    /// #[derive(wsx::Endpoint)]
    /// struct Station { name: String }
    ///
    /// #[wsx::handler("hello", on = Station)]
    /// fn on_hello(station: &Station, from: String) {
    ///     println!("{from} greets {}", station.name);
    /// }
    ///
    /// let hub: Hub<Station> = Hub::builder().endpoint(Station { name: "north".into() }).build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    #[must_use]
    pub fn endpoint<E: Endpoint>(self, endpoint: E) -> HubBuilder<E> {
        let Self { program, limits, on_connect, no_handlers } = self;
        HubBuilder { program: program.endpoint(endpoint), limits, on_connect, no_handlers }
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

impl<E: Endpoint> HubBuilder<E> {
    /// Sets the bounds of every connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.program.config = config;
        self
    }

    /// Sets the observer, which receives what goes wrong. By default there is none.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.program.observer = Arc::new(observer);
        self
    }

    /// Runs `register` for each new connection, before its first message and before the `register` of
    /// [`Hub::ws_handler`]. A panic in it rejects the request with 500.
    #[must_use]
    pub fn on_connect(mut self, register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Box::new(move |conn| register(Connection::of(conn))));
        self
    }

    /// Maximum number of connections, those that are closing included; default 100,000. One more is rejected with 503.
    ///
    /// Too low: healthy boxes are rejected. Too high: the memory of all of them, 3 KB for an idle one, 8 KB over TLS, and
    /// up to [`Config::max_message_size`] and [`Config::queue_bytes`] for a busy one.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// Maximum number of connections and handshakes from one address; by default the same as in all, because many boxes
    /// share an address behind a proxy or a NAT. One more is rejected with 429. In IPv6 a /64 network counts as one
    /// address.
    ///
    /// Applies where the address is known: in [`WsHandler::serve`](crate::server::WsHandler::serve), and in
    /// [`WsHandler::serve_connection`](crate::server::WsHandler::serve_connection) with a `peer`.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.limits.connections_per_address = connections;
        self
    }

    /// Maximum number of handshakes in progress; default 1,024. At that number
    /// [`WsHandler::serve`](crate::server::WsHandler::serve) accepts no more, and
    /// [`WsHandler::serve_connection`](crate::server::WsHandler::serve_connection) answers 503.
    ///
    /// Each holds up to 16 KiB, for at most [`Config::handshake_timeout`].
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.limits.handshakes = handshakes;
        self
    }

    /// Builds even if no handler is found: the hub only sends, or each connection brings its own handlers.
    #[must_use]
    pub fn without_handlers(mut self) -> Self {
        self.no_handlers = NoHandlers::Allowed;
        self
    }

    /// Collects the handlers and builds the hub.
    ///
    /// # Errors
    ///
    /// Two handlers for one type, a state that was not given, no handler at all: every problem, with file and line.
    pub fn build(self) -> Result<Hub<E>, BuildError> {
        let Self { program, limits, on_connect, no_handlers } = self;
        let (program, result) = program.build(Owner::Hub, no_handlers);
        result?;
        Ok(Hub::from_parts(program, Arc::new(Admission::new(limits)), on_connect))
    }
}

impl<E: Endpoint> fmt::Debug for HubBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("endpoint", &E::NAME)
            .field("config", &self.program.config)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
