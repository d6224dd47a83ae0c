//! The names of the metrics, and what they count. It does not know when.
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

pub(super) const CONNECTIONS: &str = "wsx_connections";
pub(super) const CONNECTIONS_CLOSED: &str = "wsx_connections_closed_total";
pub(super) const HELD_BACK: &str = "wsx_connections_held_back_total";
pub(super) const WITHHELD: &str = "wsx_messages_withheld_total";
pub(super) const HANDSHAKES: &str = "wsx_handshakes_total";
pub(super) const REJECTIONS: &str = "wsx_rejections_total";
pub(super) const CONTESTED_IDS: &str = "wsx_contested_ids_total";
pub(super) const RECONNECTS: &str = "wsx_reconnects_total";
pub(super) const MESSAGES: &str = "wsx_messages_total";
pub(super) const MESSAGE_BYTES: &str = "wsx_message_bytes_total";
pub(super) const COMPRESSED: &str = "wsx_compressed_messages_total";
pub(super) const COMPRESSED_PLAIN: &str = "wsx_compressed_plain_bytes_total";
pub(super) const COMPRESSED_WIRE: &str = "wsx_compressed_wire_bytes_total";
pub(super) const COMPRESSION_TIME: &str = "wsx_compression_nanoseconds_total";
pub(super) const QUEUED_MESSAGES: &str = "wsx_queued_messages";
pub(super) const HANDLER_SECONDS: &str = "wsx_handler_seconds";
pub(super) const HANDLER_FAILURES: &str = "wsx_handler_failures_total";
pub(super) const HANDLERS_DROPPED: &str = "wsx_handlers_dropped_total";
pub(super) const REPLIES_DROPPED: &str = "wsx_replies_dropped_total";
pub(super) const PEER_FAILURES: &str = "wsx_peer_failures_total";
pub(super) const MISSING: &str = "wsx_delivery_missing_total";
pub(super) const DELIVERY_FAILURES: &str = "wsx_delivery_failures_total";
pub(super) const EXPIRED: &str = "wsx_delivery_expired_total";
pub(super) const DROPPED: &str = "wsx_delivery_dropped_total";
pub(super) const STORE_FAILURES: &str = "wsx_store_failures_total";
pub(super) const CLUSTER_CONNECTED: &str = "wsx_cluster_connected";
pub(super) const CLUSTER_NODES: &str = "wsx_cluster_nodes";
pub(super) const CLUSTER_MISSED: &str = "wsx_cluster_broadcasts_missed_total";
pub(super) const CLUSTER_DROPPED: &str = "wsx_cluster_broadcasts_dropped_total";
pub(super) const CLUSTER_LOST: &str = "wsx_cluster_nodes_lost_total";

/// Describes the metrics to the recorder.
pub(super) fn describe() {
    describe_gauge!(CONNECTIONS, "Open connections");
    describe_counter!(CONNECTIONS_CLOSED, "Connections that have ended");
    describe_counter!(HELD_BACK, "Reports of connections that send more than their limit");
    describe_counter!(WITHHELD, "Messages that the version of the peer does not understand");
    describe_counter!(HANDSHAKES, "Handshakes, and attempts of a client to connect");
    describe_counter!(REJECTIONS, "Handshakes that were answered with another status than 101");
    describe_counter!(CONTESTED_IDS, "Ids for which several programs seem to fight");
    describe_counter!(RECONNECTS, "Connections of a client after its first one");
    describe_counter!(MESSAGES, "Messages that were received, or queued to be sent");
    describe_counter!(MESSAGE_BYTES, Unit::Bytes, "Bytes of these messages, without the headers of frames");
    describe_counter!(COMPRESSED, "Messages that were compressed, or that were received compressed");
    describe_counter!(COMPRESSED_PLAIN, Unit::Bytes, "Bytes of these messages before compression");
    describe_counter!(COMPRESSED_WIRE, Unit::Bytes, "Bytes of these messages on the wire");
    describe_counter!(COMPRESSION_TIME, Unit::Nanoseconds, "Time of compressing and inflating on one core");
    describe_gauge!(QUEUED_MESSAGES, "Messages in the send queues of all connections");
    describe_histogram!(HANDLER_SECONDS, Unit::Seconds, "Time of a handler, from decoding to its end");
    describe_counter!(HANDLER_FAILURES, "Handlers that failed, or could not be called");
    describe_counter!(HANDLERS_DROPPED, "Handlers that still ran when their connection had ended");
    describe_counter!(REPLIES_DROPPED, "Replies of handlers that could not be sent");
    describe_counter!(PEER_FAILURES, "Sent messages that the peer could not handle");
    describe_counter!(MISSING, "Kept messages that are never handled");
    describe_counter!(DELIVERY_FAILURES, "Kept messages that the peer could not handle");
    describe_counter!(EXPIRED, "Kept messages whose time to live was over");
    describe_counter!(DROPPED, "Kept messages that the program dropped, or that made room for others");
    describe_counter!(STORE_FAILURES, "Times at which the store could not be written");
    describe_gauge!(CLUSTER_CONNECTED, "1 while the NATS of the cluster can be reached, otherwise 0");
    describe_gauge!(CLUSTER_NODES, "Other nodes of the cluster");
    describe_counter!(CLUSTER_MISSED, "Broadcasts of other nodes that did not arrive");
    describe_counter!(CLUSTER_DROPPED, "Broadcasts that were not sent to the other nodes");
    describe_counter!(CLUSTER_LOST, "Other nodes that were lost without a shutdown");
    // They are there from the start, because an alert needs their zero.
    counter!(EXPIRED).increment(0);
    counter!(DROPPED).increment(0);
    counter!(STORE_FAILURES).increment(0);
}
