//! The builder of a hub: collects its options and checks them. It does not listen; `WsHandler`
//! does.
#[cfg(feature = "nats")]
mod cluster;
mod ingress;

use crate::{
    catch_panic::Guarded,
    config::Config,
    connection::{
        Connection,
        closure_handler::{FromMessage, by_hand},
    },
    delivery::Mailbox,
    dispatch::{
        program::{Place, ProgramBuilder},
        router::{NoHandlers, Owner},
    },
    envelope::reply::IntoReply,
    error::BuildError,
    observer::{GuardedObserver, Observer},
    protocol::{
        endpoint::{Endpoint, IntoEndpoint, Untyped},
        side::Side,
    },
    server::{admission::Admission, duplicates::OnDuplicate, hub::Hub, options::Options},
};
use std::{fmt, future::Future, panic::Location, sync::Arc, time::Duration};

/// Builds a [`Hub`]. [`Hub::builder`] returns it.
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
    /// The endpoint and the options that a client has too.
    program: ProgramBuilder<E>,
    /// The options that only a hub has.
    options: Options,
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self { program: ProgramBuilder::default(), options: Options::default() }
    }
}

impl HubBuilder {
    /// Sets the endpoint, whose handlers run on each connection. Its value is their state.
    ///
    /// Call this before the other methods. An endpoint has its own state and handlers, so
    /// [`build`](Self::build) reports an earlier [`state`](Self::state) or [`on`](Self::on) as a
    /// problem.
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
    pub fn endpoint<E: IntoEndpoint<Endpoint: Endpoint>>(self, endpoint: E) -> HubBuilder<E::Endpoint> {
        HubBuilder { program: self.program.endpoint(endpoint.into_endpoint()), options: self.options }
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

impl<E: Endpoint> HubBuilder<E> {
    /// Sets the bounds of each connection; default [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.program.config = config;
        self
    }

    /// Sets the observer, which receives the problems of the hub. By default nothing is reported.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.program.observer = GuardedObserver::new(observer);
        self
    }

    /// Sets a function that runs for each new connection, before its first message and before the
    /// `register` of [`Hub::ws_handler`].
    ///
    /// A panic in it rejects the request with 500.
    #[must_use]
    pub fn on_connect(mut self, register: impl Fn(&Connection<E::Side, E::Peer>) + Send + Sync + 'static) -> Self {
        self.options.on_connect = Some(Guarded::new(Box::new(move |conn| register(Connection::of(conn)))));
        self
    }

    /// Sets the maximum number of connections, also closing ones; default 100,000. One more is
    /// rejected with 503 (row R4 of the specification).
    ///
    /// A full hub still accepts a connection that replaces one with the same id, as
    /// [`wsx::server`](crate::server#a-full-hub) says.
    ///
    /// Too low: healthy boxes are rejected. Too high: the server runs out of memory. An idle
    /// connection takes 3 KB, and 8 KB over TLS. A busy one takes up to 14 MiB with the defaults:
    /// twice [`Config::queue_bytes`], twice [`Config::max_message_size`], and
    /// [`Config::backlog_bytes`].
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.options.limits.connections = connections;
        self
    }

    /// Sets the maximum number of connections and handshakes from one address. One more is rejected
    /// with 429 (row R4 of the specification).
    ///
    /// By default there is no separate limit, because many boxes can share an address behind a
    /// proxy or a NAT. In IPv6 a /64 network counts as one address. Too low: boxes of one network
    /// are rejected. Too high: one address can use up all connections.
    ///
    /// It is checked before TLS and before the request, so it does not know ids. A connection that
    /// is replaced by one with the same id counts until it has closed. So allow an address at least
    /// one connection more than it has boxes.
    ///
    /// If all connections come through a proxy, set [`trusted_proxies`](Self::trusted_proxies): the
    /// limit then applies to the peers of the proxy, and not to the proxy itself. An HTTP server of
    /// the program has to add the address to the request, as
    /// [`PeerAddr`](crate::server::PeerAddr) says.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.options.limits.connections_per_address = connections;
        self
    }

    /// Sets the maximum number of handshakes in progress; default 1,024 (row R4 of the
    /// specification). A rejected peer that has not received its answer counts too.
    ///
    /// At the maximum, a new connection takes the place of an older one, or waits, as
    /// [`wsx::server`](crate::server#handshakes-in-progress) says.
    ///
    /// Too low: clients far away give way before their request arrives, when many connect at the
    /// same time. Too high: each handshake holds a file descriptor and up to 16 KiB, for at most
    /// [`Config::handshake_timeout`].
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.options.limits.handshakes = handshakes;
        self
    }

    /// Sets the maximum number of new connections in a second, and how many are accepted at once
    /// after a quiet time; not limited by default (row R16 of the specification). 0 counts as 1.
    ///
    /// One more is rejected with 503 before `build_id` runs. The answer has a `Retry-After` header:
    /// the n-th rejected peer is asked to retry when n connections have been accepted, in 1 to
    /// 60 s. So a fleet comes back at this rate. A [`Client`](crate::Client) waits 1 to 1.5 times
    /// as long, but at most 1.5 times [`Backoff::max`](crate::Backoff::max).
    ///
    /// A request counts while `build_id` decides, and no longer if it is rejected then or later. Of
    /// the requests that `build_id` receives in any second, at most the sum of both numbers is
    /// accepted. A TLS handshake comes before.
    ///
    /// Too low: a fleet needs long to come back; at 100 in a second, 5,000 boxes need 50 s. Too
    /// high: the systems behind `build_id` and `__open__` get the whole fleet at once.
    ///
    /// ```standalone_crate
    /// let hub = wsx::Hub::builder().max_connections_per_second(100, 200).without_handlers().build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    #[must_use]
    pub fn max_connections_per_second(mut self, connections: u32, burst: u32) -> Self {
        self.options.limits.per_second = Some((connections, burst));
        self
    }

    /// Sets what happens when an id connects that is connected already; default
    /// [`OnDuplicate::Replace`] (row S5 of the specification).
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.options.duplicates.rejects_new = on_duplicate == OnDuplicate::RejectNew;
        self
    }

    /// Sets how often an id may be replaced within `window`; default 5 times within 5 minutes. One
    /// more replacement is reported to [`Observer::id_contested`], once in a window (row S5 of the
    /// specification).
    ///
    /// The window begins with the first replacement. Two programs with one id replace each other
    /// whenever one of them reconnects; two clients of wsx do so every 15 to 30 s. Too low: a box
    /// on a bad link is reported, because it returns before its old link is known to be dead. Too
    /// high: two programs with one id are not noticed.
    ///
    /// The hub counts for at most 1,024 ids at a time, in 66 KiB.
    #[must_use]
    pub fn contested_after(mut self, replacements: u32, window: Duration) -> Self {
        (self.options.duplicates.replacements, self.options.duplicates.window) = (replacements, window);
        self
    }

    /// Sets how long an id stays online in [`Hub::presence`] after its last connection has ended;
    /// default zero (row S6 of the specification).
    ///
    /// An id that connects again within this time never was offline. It keeps the labels that the
    /// program has changed; see [`Hub::add_label`]. Too low: a box on a bad link is reported as
    /// offline and online again and again. Too high: the program learns late that a box has gone. A
    /// box that reconnects by itself needs about a minute.
    ///
    /// ```standalone_crate
    /// use std::time::Duration;
    ///
    /// let hub = wsx::Hub::builder().presence_grace(Duration::from_secs(60)).without_handlers().build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    #[must_use]
    pub fn presence_grace(mut self, grace: Duration) -> Self {
        self.options.presence.grace = grace;
        self
    }

    /// Sets the maximum number of absent ids that [`Hub::presence`] remembers; default 10,000 (row
    /// S6 of the specification). Above it, the hub forgets the id that has been absent longest. If
    /// its grace period is not over, the id is reported as offline first.
    ///
    /// An id of more than 256 bytes is forgotten at once. With the others, the default takes about
    /// 7 MB, and at most 10 MB. Labels that the program has changed take up to 2 KB more for an id
    /// within its grace period. Too low: the hub forgets boxes of a large fleet, or of any fleet if
    /// `build_id` accepts ids that strangers choose. Too high: these ids fill the memory.
    #[must_use]
    pub fn max_absent(mut self, ids: usize) -> Self {
        self.options.presence.max_absent = ids;
        self
    }

    /// Sets the maximum number of bytes that wait in the send queues of all connections together;
    /// not limited by default (row V1 of the specification).
    ///
    /// Without it, the bounds of each connection apply: with the defaults, 100,000 connections may
    /// hold 800 GB. A broadcast counts once for each connection. Received messages do not count.
    ///
    /// At the maximum, an empty queue still takes one message, so no connection is cut off. A send
    /// to any other queue waits until that queue has written, and `try_send` returns
    /// [`SendError::Full`](crate::SendError::Full). A broadcast waits as for a full queue. Then it
    /// closes the connections whose queue is still not empty; see
    /// [`Hub::broadcast`](crate::Hub::broadcast). Too low: slow connections are closed. Too high:
    /// many slow connections use up the memory.
    #[must_use]
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.options.limits.queued_bytes = Some(bytes);
        self
    }

    /// Sets the mailbox, which keeps messages for peers; default [`Mailbox::new`], in memory.
    #[must_use]
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.program.place = Some(Place::Mailbox(mailbox));
        self
    }

    /// Takes the released versions of the protocol, so that the hub knows what each peer
    /// understands; see [`wsx::contract`](crate::contract#mixed-versions). The file must have the
    /// version of the endpoint.
    #[cfg(feature = "versions")]
    #[must_use]
    pub fn contract(mut self, released: crate::contract::Released) -> Self {
        self.program.released = Some(released);
        self
    }

    /// Accepts only peers that speak this version of the protocol or a later one; by default all
    /// are accepted (row U7 of the specification).
    ///
    /// Others are rejected with 403. A web page, whose request has an `Origin`, cannot read that,
    /// so it is closed with [`CloseCode::OUTDATED`](crate::CloseCode::OUTDATED) and the reason. A
    /// box that is rejected cannot receive an update: first update all boxes, then require.
    #[must_use]
    pub fn require(mut self, version: u32) -> Self {
        if E::Side::PROTOCOL.is_empty() {
            self.program.problem(format!("require: `{}` is not the endpoint of a protocol", E::NAME));
        }
        self.options.limits.version = Some(version);
        self
    }

    /// Allows a hub without handlers: it only sends, or handlers are added to each connection.
    #[must_use]
    pub fn without_handlers(mut self) -> Self {
        self.options.no_handlers = NoHandlers::Allowed;
        self
    }

    /// Collects the handlers and builds the hub.
    ///
    /// # Errors
    ///
    /// [`BuildError`] lists every problem, with file and line: two handlers for one type, a missing
    /// state, a hub without handlers, a network or a path that is not valid, or
    /// [`OnDuplicate::RejectNew`] without a heartbeat.
    pub fn build(self) -> Result<Hub<E>, BuildError> {
        let Self { mut program, options } = self;
        options.problems(program.config.heartbeat.is_some()).for_each(|problem| program.problem(problem.to_owned()));
        let (program, result) = program.build(Owner::Hub, options.no_handlers);
        result?;
        let admission = Arc::new(Admission::new(options.limits).with_ingress(options.ingress));
        let hub = Hub::from_parts(program, admission, options.duplicates, options.presence, options.on_connect);
        hub.find_present();
        #[cfg(feature = "nats")]
        if let Some(nats) = options.cluster {
            hub.join(nats);
        }
        Ok(hub)
    }
}

impl<E: Endpoint> fmt::Debug for HubBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("endpoint", &E::NAME)
            .field("config", &self.program.config)
            .field("limits", &self.options.limits)
            .field("duplicates", &self.options.duplicates)
            .field("presence", &self.options.presence)
            .finish_non_exhaustive()
    }
}
