//! The observer that makes spans and events of `tracing`.
use crate::{
    closed::Closed,
    connection::Connection,
    envelope::incoming::RawFrame,
    error::StoreError,
    error::{ConnectError, HandlerError},
    observer::{
        ClusterEvent, Gap, Interest, Misunderstood, Observer, RejectionKind, Resumed, Setback,
        shown::{Shown, ShownClosed, ShownError},
    },
    protocol::PeerVersion,
    wire::close_code::CloseCode,
    wire::deflate::Compression,
};
use http::StatusCode;
use std::{io, net::SocketAddr, time::Duration};
use tracing::{debug, error, field::display, info, trace, warn};

/// Makes spans and events of [`tracing`](https://docs.rs/tracing), with the target `wsx`.
///
/// Each connection has the span `connection`, and each call of a handler has the span `handler`
/// inside of it. Events of the program in a handler are in its span, also after an await. Each call
/// of the observer is an event in the span of its connection. `docs/observability.md` lists the
/// levels and the fields (row X11 of the specification).
///
/// Text of the peer is escaped and cut, and URLs are without their secrets, as in
/// [`StderrObserver`](crate::StderrObserver).
///
/// ```standalone_crate
/// let hub = wsx::Hub::builder().observer(wsx::TracingObserver::new()).without_handlers().build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingObserver {
    messages: bool,
}

impl TracingObserver {
    /// Returns an observer that makes spans, and events of problems and of connections.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: false }
    }

    /// Adds an event at the level `TRACE` for each message, each end of a handler, and each change
    /// of a queue. It costs time for each message, even if the subscriber drops these events.
    #[must_use]
    pub const fn with_messages(mut self) -> Self {
        self.messages = true;
        self
    }
}

/// Returns a peer as a field, which is missing if the address is not known.
fn shown(peer: Option<SocketAddr>) -> Option<tracing::field::DisplayValue<SocketAddr>> {
    peer.map(display)
}

impl Observer for TracingObserver {
    fn interest(&self) -> Interest {
        let interest = Interest::nothing().with_spans();
        if self.messages { interest.with_messages() } else { interest }
    }

    fn connection_opened(&self, conn: &Connection) {
        info!(target: "wsx", parent: conn.handle.span(), "connection opened");
    }

    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        let (parent, code, closed) = (conn.handle.span(), u16::from(closed.code), ShownClosed(closed));
        if matches!(
            closed.0.code,
            CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::SERVICE_RESTART | CloseCode::NO_STATUS
        ) {
            info!(target: "wsx", parent: parent, code, %closed, "connection closed");
        } else {
            warn!(target: "wsx", parent: parent, code, %closed, "connection closed");
        }
    }

    fn version_differs(&self, conn: &Connection, peer: &PeerVersion, misunderstood: &Misunderstood<'_>) {
        let (protocol, version) = (Shown(&peer.protocol), peer.version);
        let Misunderstood { withheld, misread, is_known } = misunderstood;
        warn!(
            target: "wsx", parent: conn.handle.span(), %protocol, version, ?withheld, ?misread, is_known,
            "version differs"
        );
    }

    fn message_withheld(&self, conn: &Connection, message_type: &str, peer: &PeerVersion) {
        let version = peer.version;
        warn!(target: "wsx", parent: conn.handle.span(), message_type, version, "message withheld");
    }

    fn connection_held_back(&self, conn: &Connection) {
        warn!(target: "wsx", parent: conn.handle.span(), "connection held back");
    }

    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        let (message_type, error) = (Shown(&message_type), ShownError(error));
        warn!(target: "wsx", parent: conn.handle.span(), %message_type, %error, "handler failed");
    }

    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        warn!(target: "wsx", parent: conn.handle.span(), message_type = %Shown(&message_type), "reply dropped");
    }

    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        let message_type = Shown(&message_type);
        warn!(target: "wsx", parent: conn.handle.span(), %message_type, waiting, "handler dropped");
    }

    fn peer_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let (message_type, code, message) = (Shown(&message_type), Shown(&code), Shown(&message));
        warn!(target: "wsx", parent: conn.handle.span(), %message_type, %code, %message, "peer failed");
    }

    fn reply_unexpected(&self, conn: &Connection, message_type: &str) {
        warn!(target: "wsx", parent: conn.handle.span(), message_type = %Shown(&message_type), "reply unexpected");
    }

    fn delivery_resumed(&self, conn: &Connection, resumed: &Resumed) {
        let Resumed { handled, waiting } = *resumed;
        debug!(target: "wsx", parent: conn.handle.span(), handled, waiting, "delivery resumed");
    }

    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        let Gap { from, to, why, is_ours } = *gap;
        warn!(target: "wsx", parent: conn.handle.span(), from, to, %why, is_ours, "delivery gap");
    }

    fn delivery_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let (code, message) = (Shown(&code), Shown(&message));
        warn!(target: "wsx", parent: conn.handle.span(), message_type, %code, %message, "delivery failed");
    }

    fn delivery_expired(&self, peer: &str, message_type: &str) {
        warn!(target: "wsx", peer = %Shown(&peer), message_type, "delivery expired");
    }

    fn delivery_dropped(&self, peer: &str, message_type: &str) {
        warn!(target: "wsx", peer = %Shown(&peer), message_type, "delivery dropped");
    }

    fn store_failed(&self, error: &StoreError) {
        error!(target: "wsx", error = %ShownError(error), "store failed");
    }

    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        warn!(target: "wsx", parent: conn.handle.span(), message_type = %Shown(&message_type), "message ignored");
    }

    fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let error = frame.envelope_error().unwrap_or_default();
        warn!(target: "wsx", parent: conn.handle.span(), error = %Shown(&error), "envelope rejected");
    }

    fn handshake_rejected(&self, peer: Option<SocketAddr>, kind: RejectionKind, status: StatusCode, reason: &str) {
        let (peer, kind, status, reason) = (shown(peer), kind.as_str(), status.as_u16(), Shown(&reason));
        warn!(target: "wsx", peer, kind, status, %reason, "handshake rejected");
    }

    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        debug!(target: "wsx", peer = shown(peer), error = %ShownError(error), "TLS handshake failed");
    }

    fn id_contested(&self, id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>, replacements: u32) {
        let (id, older, newer) = (Shown(&id), shown(older), shown(newer));
        warn!(target: "wsx", %id, older, newer, replacements, "id contested");
    }

    fn cluster_changed(&self, event: &ClusterEvent) {
        match event {
            ClusterEvent::Connected | ClusterEvent::NodeJoined { .. } | ClusterEvent::NodeLeft { .. } => {
                info!(target: "wsx", %event, "cluster changed");
            }
            _ => warn!(target: "wsx", %event, "cluster changed"),
        }
    }

    fn connect_failed(&self, failures: u32, delay: Duration, error: &ConnectError) {
        warn!(target: "wsx", failures, ?delay, error = %ShownError(error), "connect failed");
    }

    fn client_gave_up(&self, setback: &Setback) {
        match setback {
            Setback::Attempt(error) => error!(target: "wsx", error = %ShownError(error), "client gave up"),
            Setback::Ended(closed) => error!(target: "wsx", closed = %ShownClosed(closed), "client gave up"),
        }
    }

    fn message_received(&self, conn: &Connection, message_type: &str, bytes: usize) {
        trace!(target: "wsx", parent: conn.handle.span(), message_type = %Shown(&message_type), bytes, "message received");
    }

    fn handler_finished(&self, conn: &Connection, message_type: &str, elapsed: Duration) {
        let message_type = Shown(&message_type);
        trace!(target: "wsx", parent: conn.handle.span(), %message_type, ?elapsed, "handler finished");
    }

    fn message_sent(&self, conn: &Connection, message_type: &str, bytes: usize) {
        trace!(target: "wsx", parent: conn.handle.span(), message_type = %Shown(&message_type), bytes, "message sent");
    }

    fn queue_changed(&self, conn: &Connection, before: usize, now: usize) {
        trace!(target: "wsx", parent: conn.handle.span(), before, now, "queue changed");
    }

    fn messages_compressed(&self, conn: &Connection, compression: &Compression) {
        let Compression { direction, messages, plain_bytes, wire_bytes, elapsed } = compression;
        trace!(
            target: "wsx", parent: conn.handle.span(),
            ?direction, messages, plain_bytes, wire_bytes, ?elapsed, "messages compressed"
        );
    }
}
