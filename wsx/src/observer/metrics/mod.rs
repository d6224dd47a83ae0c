//! The observer that counts in the facade `metrics`.
mod cluster;
mod labels;
mod names;
mod table;

use self::{
    cluster::ClusterMetrics,
    labels::{CLIENT, HUB, Side, code_label, count_failed_attempt, count_rejection, side},
    names::{
        COMPRESSED, COMPRESSED_PLAIN, COMPRESSED_WIRE, COMPRESSION_TIME, CONNECTIONS, CONNECTIONS_CLOSED,
        CONTESTED_IDS, DELIVERY_FAILURES, DROPPED, EXPIRED, HANDLER_FAILURES, HANDLER_SECONDS, HANDLERS_DROPPED,
        HANDSHAKES, HELD_BACK, MESSAGE_BYTES, MESSAGES, MISSING, PEER_FAILURES, QUEUED_MESSAGES, RECONNECTS,
        REPLIES_DROPPED, STORE_FAILURES, WITHHELD,
    },
    table::Table,
};
use crate::{
    closed::Closed,
    connection::Connection,
    error::StoreError,
    error::{ConnectError, HandlerError},
    observer::{ClusterEvent, Gap, Interest, Observer, RejectionKind, Setback},
    protocol::PeerVersion,
    wire::deflate::{Compression, Direction},
};
use http::StatusCode;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Counts in the facade [`metrics`](https://docs.rs/metrics): connections, handshakes, messages and
/// bytes by type, queued messages, the time of handlers, and the state of a cluster.
///
/// `docs/observability.md` lists the metrics and their labels. Each label has a bounded number of
/// values, whatever a peer sends (row X10 of the specification). The label `type` is a type that
/// the program names, `unknown` for all others, and `other` after 256 types.
///
/// Install the recorder of the program first: the counters that [`new`](Self::new) describes belong
/// to the recorder of that moment. Give each hub and each client an observer of its own.
///
/// ```standalone_crate
/// let hub = wsx::Hub::builder().observer(wsx::MetricsObserver::new()).without_handlers().build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Debug)]
pub struct MetricsObserver {
    /// The counters of messages, by side, direction and type.
    messages: Table<(Side, &'static str), Traffic>,
    /// The histograms of handlers, by side and type.
    handlers: Table<Side, Histogram>,
    /// Whether the client of this observer was connected before.
    was_connected: AtomicBool,
    cluster: ClusterMetrics,
}

/// The counters of one type of message, in one direction.
#[derive(Clone, Debug)]
struct Traffic {
    messages: Counter,
    bytes: Counter,
}

impl MetricsObserver {
    /// Returns an observer, and describes its metrics to the recorder.
    #[must_use]
    pub fn new() -> Self {
        names::describe();
        Self {
            messages: Table::default(),
            handlers: Table::default(),
            was_connected: AtomicBool::new(false),
            cluster: ClusterMetrics::default(),
        }
    }

    fn count_message(&self, conn: &Connection, direction: &'static str, message_type: &str, bytes: usize) {
        let side = side(conn);
        let traffic = self.messages.get((side, direction), message_type, |label| Traffic {
            messages: counter!(MESSAGES, "side" => side, "direction" => direction, "type" => label.clone()),
            bytes: counter!(MESSAGE_BYTES, "side" => side, "direction" => direction, "type" => label),
        });
        traffic.messages.increment(1);
        traffic.bytes.increment(bytes as u64);
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for MetricsObserver {
    fn interest(&self) -> Interest {
        Interest::nothing().with_messages()
    }

    fn connection_opened(&self, conn: &Connection) {
        let side = side(conn);
        gauge!(CONNECTIONS, "side" => side).increment(1);
        // So that these exist before their first event. A rate needs a value from before it.
        gauge!(QUEUED_MESSAGES, "side" => side).increment(0);
        counter!(HELD_BACK, "side" => side).increment(0);
        counter!(WITHHELD, "side" => side).increment(0);
        counter!(HANDLERS_DROPPED, "side" => side).increment(0);
        counter!(REPLIES_DROPPED, "side" => side).increment(0);
        counter!(PEER_FAILURES, "side" => side).increment(0);
        if side == HUB {
            counter!(CONTESTED_IDS).increment(0);
        }
        if cfg!(feature = "deflate") {
            for direction in [Direction::Sent, Direction::Received] {
                self.messages_compressed(conn, &Compression::none(direction));
            }
        }
        counter!(HANDSHAKES, "side" => side, "outcome" => "connected").increment(1);
        if side == CLIENT {
            let was_connected = self.was_connected.swap(true, Ordering::Relaxed);
            counter!(RECONNECTS).increment(was_connected.into());
        }
    }

    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        let (side, by, code) = (side(conn), closed.by.label(), code_label(closed.code));
        gauge!(CONNECTIONS, "side" => side).decrement(1);
        counter!(CONNECTIONS_CLOSED, "side" => side, "by" => by, "code" => code).increment(1);
    }

    fn message_withheld(&self, conn: &Connection, _: &str, _: &PeerVersion) {
        counter!(WITHHELD, "side" => side(conn)).increment(1);
    }

    fn connection_held_back(&self, conn: &Connection) {
        counter!(HELD_BACK, "side" => side(conn)).increment(1);
    }

    fn handler_failed(&self, conn: &Connection, _: &str, error: &HandlerError) {
        let reason = match error {
            HandlerError::Decode { .. } => "decode",
            HandlerError::Handler(_) => "handler",
            HandlerError::Reply(_) => "reply",
            HandlerError::Argument { .. } => "argument",
            // An answer, which is not reported.
            HandlerError::Refused { .. } => return,
        };
        counter!(HANDLER_FAILURES, "side" => side(conn), "reason" => reason).increment(1);
    }

    fn reply_dropped(&self, conn: &Connection, _: &str) {
        counter!(REPLIES_DROPPED, "side" => side(conn)).increment(1);
    }

    fn peer_failed(&self, conn: &Connection, _: &str, _: &str, _: &str) {
        counter!(PEER_FAILURES, "side" => side(conn)).increment(1);
    }

    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        let messages = (gap.to - gap.from).saturating_add(1);
        let direction = if gap.is_ours { "sent" } else { "received" };
        let why = gap.why.as_str();
        counter!(MISSING, "side" => side(conn), "direction" => direction, "why" => why).increment(messages);
    }

    fn delivery_failed(&self, conn: &Connection, _: &str, _: &str, _: &str) {
        counter!(DELIVERY_FAILURES, "side" => side(conn)).increment(1);
    }

    fn delivery_expired(&self, _: &str, _: &str) {
        counter!(EXPIRED).increment(1);
    }

    fn delivery_dropped(&self, _: &str, _: &str) {
        counter!(DROPPED).increment(1);
    }

    fn store_failed(&self, _: &StoreError) {
        counter!(STORE_FAILURES).increment(1);
    }

    fn handler_dropped(&self, conn: &Connection, _: &str, _: usize) {
        counter!(HANDLERS_DROPPED, "side" => side(conn)).increment(1);
    }

    fn handshake_rejected(&self, _: Option<SocketAddr>, kind: RejectionKind, status: StatusCode, _: &str) {
        counter!(HANDSHAKES, "side" => HUB, "outcome" => "rejected").increment(1);
        count_rejection(HUB, kind.as_str(), status);
    }

    fn tls_failed(&self, _: Option<SocketAddr>, _: &io::Error) {
        counter!(HANDSHAKES, "side" => HUB, "outcome" => "tls").increment(1);
    }

    fn id_contested(&self, _: &str, _: Option<SocketAddr>, _: Option<SocketAddr>, _: u32) {
        counter!(CONTESTED_IDS).increment(1);
    }

    fn cluster_changed(&self, event: &ClusterEvent) {
        self.cluster.changed(event);
    }

    fn connect_failed(&self, _: u32, _: Duration, error: &ConnectError) {
        count_failed_attempt(error);
    }

    fn client_gave_up(&self, setback: &Setback) {
        if let Setback::Attempt(error) = setback {
            count_failed_attempt(error);
        }
    }

    fn message_received(&self, conn: &Connection, message_type: &str, bytes: usize) {
        self.count_message(conn, "received", message_type, bytes);
    }

    fn handler_finished(&self, conn: &Connection, message_type: &str, elapsed: Duration) {
        let side = side(conn);
        let new = |label| histogram!(HANDLER_SECONDS, "side" => side, "type" => label);
        self.handlers.get(side, message_type, new).record(elapsed);
    }

    fn message_sent(&self, conn: &Connection, message_type: &str, bytes: usize) {
        self.count_message(conn, "sent", message_type, bytes);
    }

    fn queue_changed(&self, conn: &Connection, before: usize, now: usize) {
        gauge!(QUEUED_MESSAGES, "side" => side(conn)).increment(now as f64 - before as f64);
    }

    fn messages_compressed(&self, conn: &Connection, compression: &Compression) {
        let side = side(conn);
        let Compression { direction, messages, plain_bytes, wire_bytes, elapsed } = *compression;
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        for (name, count) in [
            (COMPRESSED, messages),
            (COMPRESSED_PLAIN, plain_bytes),
            (COMPRESSED_WIRE, wire_bytes),
            (COMPRESSION_TIME, nanoseconds),
        ] {
            counter!(name, "side" => side, "direction" => direction.label()).increment(count);
        }
    }
}
