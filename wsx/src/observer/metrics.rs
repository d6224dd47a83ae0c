//! The observer that counts in the facade `metrics`.
use crate::{
    closed::Closed,
    connection::Connection,
    envelope::incoming::UNKNOWN,
    error::StoreError,
    error::{ConnectError, HandlerError},
    observer::{Gap, Interest, Observer, RejectionKind, Setback},
    protocol::PeerVersion,
    wire::{
        close_code::CloseCode,
        deflate::{Compression, Direction},
        role::Role,
    },
};
use http::StatusCode;
use metrics::{Counter, Histogram, Unit, counter, gauge, histogram};
use std::{
    borrow::Cow,
    collections::HashMap,
    hash::Hash,
    io,
    net::SocketAddr,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Maximum number of message types that have their own label, in each direction. The program names
/// all types, but it may make names at run time.
const MAX_TYPES: usize = 256;
/// The label of a type beyond [`MAX_TYPES`].
const OTHER: &str = "other";

const CONNECTIONS: &str = "wsx_connections";
const CONNECTIONS_CLOSED: &str = "wsx_connections_closed_total";
const HELD_BACK: &str = "wsx_connections_held_back_total";
const WITHHELD: &str = "wsx_messages_withheld_total";
const HANDSHAKES: &str = "wsx_handshakes_total";
const REJECTIONS: &str = "wsx_rejections_total";
const CONTESTED_IDS: &str = "wsx_contested_ids_total";
const RECONNECTS: &str = "wsx_reconnects_total";
const MESSAGES: &str = "wsx_messages_total";
const MESSAGE_BYTES: &str = "wsx_message_bytes_total";
const COMPRESSED: &str = "wsx_compressed_messages_total";
const COMPRESSED_PLAIN: &str = "wsx_compressed_plain_bytes_total";
const COMPRESSED_WIRE: &str = "wsx_compressed_wire_bytes_total";
const COMPRESSION_TIME: &str = "wsx_compression_nanoseconds_total";
const QUEUED_MESSAGES: &str = "wsx_queued_messages";
const HANDLER_SECONDS: &str = "wsx_handler_seconds";
const HANDLER_FAILURES: &str = "wsx_handler_failures_total";
const HANDLERS_DROPPED: &str = "wsx_handlers_dropped_total";
const REPLIES_DROPPED: &str = "wsx_replies_dropped_total";
const PEER_FAILURES: &str = "wsx_peer_failures_total";
const MISSING: &str = "wsx_delivery_missing_total";
const DELIVERY_FAILURES: &str = "wsx_delivery_failures_total";
const EXPIRED: &str = "wsx_delivery_expired_total";
const DROPPED: &str = "wsx_delivery_dropped_total";
const STORE_FAILURES: &str = "wsx_store_failures_total";

/// Counts in the facade [`metrics`](https://docs.rs/metrics): connections, handshakes, messages and
/// bytes by type, queued messages, and the time of handlers.
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
}

/// The end at which wsx runs, as a label.
type Side = &'static str;

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
        metrics::describe_gauge!(CONNECTIONS, "Open connections");
        metrics::describe_counter!(CONNECTIONS_CLOSED, "Connections that have ended");
        metrics::describe_counter!(HELD_BACK, "Reports of connections that send more than their limit");
        metrics::describe_counter!(WITHHELD, "Messages that the version of the peer does not understand");
        metrics::describe_counter!(HANDSHAKES, "Handshakes, and attempts of a client to connect");
        metrics::describe_counter!(REJECTIONS, "Handshakes that were answered with another status than 101");
        metrics::describe_counter!(CONTESTED_IDS, "Ids for which several programs seem to fight");
        metrics::describe_counter!(RECONNECTS, "Connections of a client after its first one");
        metrics::describe_counter!(MESSAGES, "Messages that were received, or queued to be sent");
        metrics::describe_counter!(
            MESSAGE_BYTES,
            Unit::Bytes,
            "Bytes of these messages, without the headers of frames"
        );
        metrics::describe_counter!(COMPRESSED, "Messages that were compressed, or that were received compressed");
        metrics::describe_counter!(COMPRESSED_PLAIN, Unit::Bytes, "Bytes of these messages before compression");
        metrics::describe_counter!(COMPRESSED_WIRE, Unit::Bytes, "Bytes of these messages on the wire");
        metrics::describe_counter!(
            COMPRESSION_TIME,
            Unit::Nanoseconds,
            "Time of compressing and inflating on one core"
        );
        metrics::describe_gauge!(QUEUED_MESSAGES, "Messages in the send queues of all connections");
        metrics::describe_histogram!(HANDLER_SECONDS, Unit::Seconds, "Time of a handler, from decoding to its end");
        metrics::describe_counter!(HANDLER_FAILURES, "Handlers that failed, or could not be called");
        metrics::describe_counter!(HANDLERS_DROPPED, "Handlers that still ran when their connection had ended");
        metrics::describe_counter!(REPLIES_DROPPED, "Replies of handlers that could not be sent");
        metrics::describe_counter!(PEER_FAILURES, "Sent messages that the peer could not handle");
        metrics::describe_counter!(MISSING, "Kept messages that are never handled");
        metrics::describe_counter!(DELIVERY_FAILURES, "Kept messages that the peer could not handle");
        metrics::describe_counter!(EXPIRED, "Kept messages whose time to live was over");
        metrics::describe_counter!(DROPPED, "Kept messages that the program dropped, or that made room for others");
        metrics::describe_counter!(STORE_FAILURES, "Times at which the store could not be written");
        // They are there from the start, because an alert needs their zero.
        counter!(EXPIRED).increment(0);
        counter!(DROPPED).increment(0);
        counter!(STORE_FAILURES).increment(0);
        Self { messages: Table::default(), handlers: Table::default(), was_connected: AtomicBool::new(false) }
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

const HUB: Side = "hub";
const CLIENT: Side = "client";

fn side(conn: &Connection) -> Side {
    match conn.handle.role() {
        Role::Server => HUB,
        Role::Client => CLIENT,
    }
}

/// Counts an attempt of a client that failed.
fn count_failed_attempt(error: &ConnectError) {
    let outcome = match error {
        ConnectError::Dial { .. } => "dial",
        ConnectError::Proxy { .. } => "proxy",
        ConnectError::Redirect { .. } => "redirect",
        ConnectError::Certificate { .. } => "certificate",
        ConnectError::Tls { .. } => "tls",
        ConnectError::Rejected { .. } => "rejected",
        ConnectError::Handshake(_) => "handshake",
        ConnectError::Timeout(_) => "timeout",
        ConnectError::Headers(_) => "headers",
        ConnectError::Url(_) => "url",
        _ => OTHER,
    };
    counter!(HANDSHAKES, "side" => CLIENT, "outcome" => outcome).increment(1);
    if let ConnectError::Rejected { status, .. } = error {
        count_rejection(CLIENT, "server", *status);
    }
}

/// Counts a rejection. A status that HTTP does not define has no label of its own, because a server
/// may answer with any.
fn count_rejection(side: Side, kind: &'static str, status: StatusCode) {
    let label = match status.canonical_reason() {
        Some(_) => Cow::Owned(status.as_str().to_owned()),
        None => Cow::Borrowed(OTHER),
    };
    counter!(REJECTIONS, "side" => side, "kind" => kind, "status" => label).increment(1);
}

/// Returns the label of a close code. A code that neither RFC 6455 nor wsx defines has no label of
/// its own, because a peer may send any.
fn code_label(code: CloseCode) -> Cow<'static, str> {
    match u16::from(code) {
        code @ 1000..=1015 => code.to_string().into(),
        code if code == u16::from(CloseCode::REPLACED) => code.to_string().into(),
        _ => OTHER.into(),
    }
}

/// Counters by type of message, for each key. A counter is found without asking the recorder, which
/// costs more.
#[derive(Debug)]
struct Table<K, V>(RwLock<HashMap<K, Types<V>>>);

/// The counters by type. `None` is one that is being made.
type Types<V> = HashMap<String, Option<V>>;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Table<K, V> {
    /// Returns the counter of a type. `new` makes it for a label.
    fn get(&self, key: K, message_type: &str, new: impl FnOnce(String) -> V) -> V {
        if let Some(known) = self.known(key, message_type) {
            return known;
        }
        let name = self.reserve(key, message_type);
        // Made without the lock, because the recorder is code of the program.
        let made = new(if name == UNKNOWN { "unknown" } else { name }.to_owned());
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(key).or_default().insert(name.to_owned(), Some(made.clone()));
        made
    }

    /// Returns the counter of a type that has one, or that has to share one.
    fn known(&self, key: K, message_type: &str) -> Option<V> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let types = table.get(&key)?;
        let shared = || if types.len() < MAX_TYPES { None } else { types.get(OTHER) };
        types.get(message_type).or_else(shared)?.clone()
    }

    /// Returns the name under which the counter of a type has its place.
    fn reserve<'n>(&self, key: K, message_type: &'n str) -> &'n str {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let types = table.entry(key).or_default();
        let name = if types.len() < MAX_TYPES || types.contains_key(message_type) { message_type } else { OTHER };
        types.entry(name.to_owned()).or_insert(None);
        name
    }
}
