//! A handshake in progress: its peer, its places, and its time. It does not know streams.
use crate::server::{
    admission::Counted,
    hub::Hub,
    places::{Phase, Place},
    rejection::Rejection,
};
use http::StatusCode;
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;

/// A handshake in progress, and the limits that it counts for.
pub(crate) struct Handshake {
    /// The address of the peer, if it is known.
    pub(crate) peer: Option<SocketAddr>,
    /// Counts this handshake, and then its connection, for the address.
    pub(crate) counted: Option<Counted>,
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
    pub(crate) fn new<E>(hub: &Hub<E>, peer: Option<SocketAddr>, place: Place) -> Self {
        let limit = hub.config().handshake_timeout;
        Self { peer, counted: None, place, candidate: None, started: Instant::now(), limit }
    }

    /// Counts it for its address, or returns a rejection with 429.
    pub(crate) fn count<E>(&mut self, hub: &Hub<E>) -> Result<(), Rejection> {
        let counted = hub.admission().count(self.peer.map(|peer| peer.ip()));
        self.counted = counted
            .map_err(|()| Rejection::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"))?;
        Ok(())
    }

    /// Takes a place among the candidates if the hub is full, or returns a rejection with 503. So a
    /// full hub pays for few TLS handshakes.
    #[cfg(feature = "rustls")]
    pub(crate) async fn become_candidate<E>(&mut self, hub: &Hub<E>) -> Result<(), Rejection> {
        if hub.admission().is_full(hub.lifecycle().tasks.len()) {
            let candidate = hub.admission().candidates.try_take(self.peer.map(|peer| peer.ip())).await;
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
