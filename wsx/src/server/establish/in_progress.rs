//! A handshake in progress: its peer, its places, and its time. It does not know streams.
use crate::server::{
    admission::Counted,
    hub::Hub,
    places::{Phase, Place},
    rejection::Rejection,
};
use http::Request;
use std::{net::SocketAddr, sync::OnceLock, time::Duration};
use tokio::time::Instant;

/// A handshake in progress, and the limits that it counts for.
pub(crate) struct Handshake {
    /// The address of the socket's peer, if it is known, or the one in a header of the PROXY
    /// protocol.
    socket: Option<SocketAddr>,
    /// Whether a header of the PROXY protocol has named no peer.
    is_unnamed: bool,
    /// The address of the peer in the request, if a trusted proxy sent it.
    forwarded: OnceLock<SocketAddr>,
    /// Counts this handshake, and then its connection, for the address.
    pub(super) counted: OnceLock<Counted>,
    /// Its place among the handshakes in progress, until the end of its answer.
    place: Place,
    /// Its place among the candidates for a replacement, if the hub was full before TLS.
    candidate: Option<Place>,
    /// The start of the time `limit`.
    started: Instant,
    /// The maximum time for the handshake, including TLS.
    pub(crate) limit: Duration,
}

impl Handshake {
    /// Starts a handshake. Its time begins now.
    pub(crate) fn new<E>(hub: &Hub<E>, socket: Option<SocketAddr>, place: Place) -> Self {
        let limit = hub.config().handshake_timeout;
        let (forwarded, counted) = (OnceLock::new(), OnceLock::new());
        Self { socket, is_unnamed: false, forwarded, counted, place, candidate: None, started: Instant::now(), limit }
    }

    /// Returns the address of the peer, as far as it is known.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.forwarded.get().copied().or(self.socket)
    }

    /// Sets the address of the peer, which a header of the PROXY protocol has named.
    pub(crate) fn arrived_from<E>(&mut self, hub: &Hub<E>, peer: SocketAddr) {
        self.socket = Some(peer);
        self.place.belongs_to(hub.admission().share_of(self.socket));
    }

    /// Notes that a header of the PROXY protocol has named no peer.
    ///
    /// The connection is the proxy's own, or its peer has no IP address. That peer may have written
    /// the request, so the headers of the request do not count.
    pub(crate) fn arrived_unnamed(&mut self) {
        self.is_unnamed = true;
    }

    /// Counts it for its address, or returns a rejection with 429.
    pub(crate) fn count<E>(&self, hub: &Hub<E>) -> Result<(), Rejection> {
        if let Some(counted) = super::count(hub, self.peer())? {
            // A trusted proxy is not counted, so only one address is.
            let _ = self.counted.set(counted);
        }
        Ok(())
    }

    /// Finds the address of the peer in its request, if a trusted proxy sent that, and counts it.
    /// Returns whether a trusted proxy sent the request, so that its headers count.
    pub(super) fn find_peer<E>(&self, hub: &Hub<E>, request: &Request<()>) -> Result<bool, Rejection> {
        let admission = hub.admission();
        if self.is_unnamed || !self.socket.is_some_and(|socket| admission.ingress.trusts(socket.ip())) {
            return Ok(false);
        }
        if let Some(peer) = admission.ingress.peer_of(self.socket, request.headers())? {
            self.forwarded.get_or_init(|| peer);
            for place in [Some(&self.place), self.candidate.as_ref()].into_iter().flatten() {
                place.belongs_to(admission.share_of(Some(peer)));
            }
        }
        self.count(hub)?;
        Ok(true)
    }

    /// Takes a place among the candidates if the hub is full, or returns a rejection with 503. So a
    /// full hub pays for few TLS handshakes.
    #[cfg(feature = "rustls")]
    pub(crate) async fn become_candidate<E>(&mut self, hub: &Hub<E>) -> Result<(), Rejection> {
        if hub.admission().is_full(hub.lifecycle().tasks.len()) {
            let candidate = hub.admission().candidates.try_take(hub.admission().share_of(self.socket)).await;
            self.candidate = Some(candidate.ok_or_else(super::full)?);
        }
        Ok(())
    }

    /// Begins a phase.
    pub(crate) fn begin(&self, phase: Phase) {
        self.place.begin(phase);
        if let Some(candidate) = &self.candidate {
            candidate.begin(phase);
        }
    }

    /// Waits until another handshake needs its place; see [`Place::gives_way`].
    pub(crate) async fn gives_way(&self) {
        match &self.candidate {
            None => self.place.gives_way().await,
            Some(candidate) => tokio::select! {
                () = self.place.gives_way() => {}
                () = candidate.gives_way() => {}
            },
        }
    }

    /// Returns the rest of its time.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}
