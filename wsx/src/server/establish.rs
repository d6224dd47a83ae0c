//! Takes a stream or a request through the handshake and into the hub, within the limits of the
//! hub. It does not know listeners.
mod in_progress;
mod rejections;
#[cfg(feature = "testing")]
mod without_handshake;

pub(super) use in_progress::Handshake;
pub(super) use rejections::{gave_way, going_away, internal_error, timed_out};
#[cfg(feature = "testing")]
pub(crate) use without_handshake::without_handshake;

use rejections::{full, taken, too_fast};

use crate::{
    closed::{Closed, ClosedBy},
    connection::handle::Handle,
    dispatch::run::Scope,
    handshake::deflate,
    observer::RejectionKind,
    protocol::{PeerVersion, endpoint::Endpoint},
    server::{
        admission::Counted,
        handshake,
        http::{RequestError, read_request, send_answer, send_rejection},
        hub::Hub,
        identity::Identity,
        lifecycle::Lifecycle,
        pace::Ticket,
        peer_address,
        places::{Phase, Place},
        rejection::{Rejection, Reported},
        subprotocol,
        upgrade::{HandshakeError, PeerAddr, WsHandler},
        versions,
    },
    task::{self, deadline, transport::socket::SocketTransport},
    wire::{close_code::CloseCode, deflate::Agreed, role::Role},
};
use http::{
    Extensions, Request, Response, StatusCode,
    header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL},
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long a rejected peer may take to receive its answer.
pub(super) const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts a connection for its address, or returns a rejection with 429.
pub(super) fn count<E>(hub: &Hub<E>, peer: Option<SocketAddr>) -> Result<Option<Counted>, Rejection> {
    let counted = hub.admission().count(peer.map(|peer| peer.ip()));
    counted.map_err(|()| {
        Rejection::of(
            RejectionKind::PerAddress,
            StatusCode::TOO_MANY_REQUESTS,
            "too many connections from this address",
        )
    })
}

/// Takes a place among the handshakes in progress, or returns a rejection with 503.
pub(super) async fn place<E>(hub: &Hub<E>, peer: Option<SocketAddr>) -> Result<Place, Rejection> {
    let place = hub.admission().handshakes.try_take(hub.admission().share_of(peer)).await;
    place.ok_or_else(|| {
        Rejection::of(RejectionKind::Handshakes, StatusCode::SERVICE_UNAVAILABLE, "too many handshakes are in progress")
    })
}

/// Makes the WebSocket handshake on a stream that has a place. Returns the connection.
pub(super) async fn stream<E, S>(
    upgrade: &WsHandler<E>,
    mut stream: S,
    peer: Option<SocketAddr>,
    place: Place,
) -> Result<Handle, HandshakeError>
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let hub = &upgrade.hub;
    let mut handshake = Handshake::new(hub, peer, place);
    let read = peer_address::read_header(hub, &mut stream, &mut handshake).await;
    match read.and_then(|()| handshake.count(hub).map_err(RequestError::Rejected)) {
        Ok(()) => finish(upgrade, stream, handshake, Extensions::new()).await,
        Err(RequestError::Io(error)) => Err(HandshakeError::Io(error)),
        Err(RequestError::Rejected(rejection)) => Err(reject(hub, &mut stream, &handshake, rejection).await),
    }
}

/// Reads the request, answers it, and starts the connection. `build_id` receives `extensions` with
/// the request.
pub(super) async fn finish<E, S>(
    upgrade: &WsHandler<E>,
    mut stream: S,
    mut handshake: Handshake,
    extensions: Extensions,
) -> Result<Handle, HandshakeError>
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let hub = &upgrade.hub;
    let limit = handshake.limit;
    let answered = async {
        let (mut request, early) = read_request(&mut stream).await?;
        let arrived = arrive(hub, &handshake, &request);
        let by_proxy = arrived.map_err(RequestError::Rejected)?;
        handshake.begin(Phase::Deciding);
        request.extensions_mut().extend(extensions);
        let admitted = admit(upgrade, request, handshake.peer(), by_proxy).await;
        Ok((admitted.map_err(RequestError::Rejected)?, early))
    };
    let answered = tokio::select! {
        biased;
        // Before the shutdown, so that a health check that has arrived gets its own answer.
        result = deadline::timeout(handshake.left(), answered) => {
            result.unwrap_or_else(|| Err(RequestError::Rejected(timed_out(limit))))
        }
        () = hub.lifecycle().stop.cancelled() => Err(RequestError::Rejected(going_away())),
        () = handshake.gives_way() => Err(RequestError::Rejected(gave_way())),
    };
    let (Admitted { answer, identity, ticket, speaks, compression }, early) = match answered {
        Ok(done) => done,
        Err(RequestError::Io(error)) => return Err(HandshakeError::Io(error)),
        Err(RequestError::Rejected(rejection)) => return Err(reject(hub, &mut stream, &handshake, rejection).await),
    };
    handshake.begin(Phase::Accepted);
    let entered = match enter(upgrade, identity, handshake.peer(), speaks, compression) {
        Ok(entered) => entered.counted(handshake.counted.take()),
        // The ticket is given back.
        Err(rejection) => return Err(reject(hub, &mut stream, &handshake, rejection).await),
    };
    if let Some(ticket) = ticket {
        ticket.spend();
    }
    let accepted = deadline::timeout(limit, send_answer(&mut stream, &answer)).await;
    accepted.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())).map_err(HandshakeError::Io)?;
    Ok(entered.run(SocketTransport::new(stream, Role::Server, early, hub.config())))
}

/// Looks at a request that has arrived, before the program sees it. Returns whether a trusted proxy
/// sent it.
fn arrive<E>(hub: &Hub<E>, handshake: &Handshake, request: &Request<()>) -> Result<bool, Rejection> {
    let (ingress, lifecycle) = (&hub.admission().ingress, hub.lifecycle());
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if let Some(answer) = ingress.answer_to_health_check(method, uri, headers, lifecycle.is_draining()) {
        return Err(answer);
    }
    if lifecycle.stop.is_cancelled() {
        return Err(going_away());
    }
    handshake.find_peer(hub, request)
}

/// Answers with the rejection, and reports it to the observer.
///
/// The handshake keeps its place until the peer has received the answer, or until it has to give
/// way.
pub(super) async fn reject<E, S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub<E>,
    stream: &mut S,
    handshake: &Handshake,
    rejection: Rejection,
) -> HandshakeError {
    report(hub, handshake.peer(), &rejection);
    handshake.begin(Phase::Rejected);
    tokio::select! {
        biased;
        _ = timeout(REJECTION_TIMEOUT, send_rejection(stream, &rejection)) => {}
        () = handshake.gives_way() => {}
    }
    ended(rejection)
}

/// As [`reject`], for a stream without a place. It does not wait for the peer: the stream has to
/// take the answer at once.
pub(super) async fn reject_at_once<E, S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub<E>,
    stream: &mut S,
    peer: Option<SocketAddr>,
    rejection: Rejection,
) -> HandshakeError {
    report(hub, peer, &rejection);
    let _ = timeout(Duration::ZERO, send_rejection(stream, &rejection)).await;
    ended(rejection)
}

/// Reports a rejection to the observer without an answer to the peer.
#[cfg(feature = "rustls")]
pub(super) fn reject_silently<E>(hub: &Hub<E>, peer: Option<SocketAddr>, rejection: Rejection) -> HandshakeError {
    report(hub, peer, &rejection);
    ended(rejection)
}

/// Returns the error of a handshake that ended with this answer.
fn ended(Rejection { status, body, reported, .. }: Rejection) -> HandshakeError {
    match reported {
        Reported::Nothing => HandshakeError::HealthCheck { status },
        Reported::Text | Reported::Detail(_) => HandshakeError::Rejected { status, reason: body },
    }
}

/// Reports a rejection to the observer.
pub(super) fn report<E>(hub: &Hub<E>, peer: Option<SocketAddr>, rejection: &Rejection) {
    let Rejection { kind, status, body, .. } = rejection;
    let report = |reason: &str| hub.observer().handshake_rejected(peer, *kind, *status, reason);
    match &rejection.reported {
        Reported::Text => report(body),
        Reported::Detail(detail) => report(&format!("{body}: {detail}")),
        Reported::Nothing => {}
    }
}

/// An upgrade request that `build_id` has accepted.
pub(super) struct Admitted<'h> {
    /// The answer to the peer.
    pub(super) answer: Response<()>,
    pub(super) identity: Identity,
    /// The permission for the connection, if the hub limits them. It is spent when the connection
    /// is in the hub.
    pub(super) ticket: Option<Ticket<'h>>,
    /// What the peer speaks, if it has named that.
    pub(super) speaks: Option<PeerVersion>,
    /// How messages are compressed, if both ends agreed on it.
    pub(super) compression: Option<Agreed>,
}

/// Checks an upgrade request, and calls `build_id`.
///
/// `by_proxy` is whether a trusted proxy sent it.
pub(super) async fn admit<E: Endpoint>(
    upgrade: &WsHandler<E>,
    request: Request<()>,
    peer: Option<SocketAddr>,
    by_proxy: bool,
) -> Result<Admitted<'_>, Rejection> {
    let mut answer = handshake::check(&request)?;
    upgrade.origins.check(request.headers(), by_proxy)?;
    if upgrade.path.as_ref().is_some_and(|path| **path != *request.uri().path()) {
        return Err(Rejection::of(RejectionKind::Path, StatusCode::NOT_FOUND, "there is nothing at this path"));
    }
    let agreed = subprotocol::agree(request.headers(), &upgrade.protocols);
    let speaks = versions::agree(&upgrade.hub, &request, &mut answer, agreed.as_ref())?;
    let offered = deflate::answer(upgrade.hub.config(), request.headers());
    let (mut parts, ()) = request.into_parts();
    if let Some(peer) = peer {
        parts.extensions.insert(PeerAddr(peer));
    }
    // Before `build_id`, which may ask a database, and only for valid requests.
    let pace = upgrade.hub.admission().pace.as_ref();
    let ticket = pace.map(|pace| pace.take(Instant::now())).transpose().map_err(too_fast)?;
    let identified = upgrade.build_id.run(|build_id| build_id(parts)).await;
    let mut identity = identified.unwrap_or_else(|| Err(internal_error()))?;
    identity.check().map_err(|text| Rejection::of(RejectionKind::Internal, StatusCode::INTERNAL_SERVER_ERROR, text))?;
    if let Some(protocol) = agreed {
        identity.headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer.headers_mut().extend(identity.headers.clone());
    let compression = offered.map(|(agreed, header)| {
        answer.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, header);
        agreed
    });
    Ok(Admitted { answer, identity, ticket, speaks, compression })
}

/// Adds a connection to the hub, and shows it to the program.
pub(super) fn enter<E: Endpoint>(
    upgrade: &WsHandler<E>,
    identity: Identity,
    peer: Option<SocketAddr>,
    speaks: Option<PeerVersion>,
    compression: Option<Agreed>,
) -> Result<Entered<E>, Rejection> {
    let hub = &upgrade.hub;
    let Lifecycle { tasks, stop, .. } = hub.lifecycle();
    let token = tasks.token();
    // `admit` has rejected labels that are not valid.
    let labels = identity.labels.unwrap_or_default();
    let id = identity.id.clone();
    let conn = hub.open(identity.id, labels, peer, speaks, |older, is_elsewhere| {
        // The token of this connection counts too. So the limit is exact, even if many connections
        // arrive at the same time.
        if stop.is_cancelled() {
            Err(going_away())
        } else if hub.rejects_duplicates() && (is_elsewhere || older.is_some_and(|older| !older.is_closed())) {
            Err(taken(&id))
        } else if hub.admission().allows(tasks.len(), older.is_some()) {
            Ok(())
        } else {
            Err(full())
        }
    })?;
    hub.program().watch(&conn);
    conn.set_compression(compression);
    conn.set_extensions(identity.extensions);
    conn.set_answer(identity.headers);
    let entered = Entered { hub: hub.clone(), conn, _token: token, counted: None, running: false };
    let shown = hub.on_connect().is_none_or(|register| register.call(|register| register(&entered.conn)).is_some())
        && upgrade.register.call(|register| register(&entered.conn)).is_some();
    if shown { Ok(entered) } else { Err(internal_error()) }
}

/// A connection that is in the hub but whose task does not run yet. If this is dropped before, the
/// hub removes the connection.
pub(super) struct Entered<E: Endpoint> {
    /// The hub that has the connection.
    hub: Hub<E>,
    /// The connection.
    conn: Handle,
    /// Makes a shutdown wait for this connection.
    _token: TaskTrackerToken,
    /// Counts the connection for its address. Boxed, because most hubs do not count addresses.
    counted: Option<Box<Counted>>,
    /// Whether the task of the connection runs. Then the task removes the connection.
    running: bool,
}

impl<E: Endpoint> Entered<E> {
    pub(super) fn counted(mut self, counted: Option<Counted>) -> Self {
        self.counted = counted.map(Box::new);
        self
    }

    /// Starts the task of the connection. It is a new task, so that its memory has nothing of the
    /// handshake.
    pub(super) fn run<S>(mut self, transport: SocketTransport<S>) -> Handle
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if self.conn.peer_addr().is_none() {
            self.conn.set_peer_addr(transport.peer_addr());
        }
        let conn = self.conn.clone();
        let mut transport = Some(transport.inflating(conn.compression()));
        self.hub.start(&conn);
        self.hub.program().report_version(&conn);
        // The task owns this. So the connection leaves the hub even if the runtime ends before it
        // has polled the task.
        tokio::spawn(async move {
            self.running = true;
            let Self { hub, conn, .. } = &self;
            let scope = Scope { program: hub.program(), hub: Some(hub) };
            task::run(&mut transport, conn, &scope, &hub.lifecycle().kill).await;
        });
        conn
    }

    #[cfg(feature = "hyper")]
    pub(super) fn config(&self) -> &crate::Config {
        self.hub.config()
    }
}

impl<E: Endpoint> Drop for Entered<E> {
    fn drop(&mut self) {
        if !self.running {
            let closed = Closed::new(CloseCode::ABNORMAL, "the connection's task did not start", ClosedBy::Link);
            self.hub.remove(&self.conn, &closed);
            task::end_unfinished(&self.conn, closed);
        }
    }
}
