//! The list of all calls of an observer. What passes each call on is made from it, so that no call
//! is forgotten.

/// Calls the macro `$with` with the name and the arguments of each call.
macro_rules! for_each_call {
    ($with:ident) => {
        $with! {
            connection_opened(conn: &Connection);
            connection_closed(conn: &Connection, closed: &Closed);
            version_differs(conn: &Connection, peer: &PeerVersion, misunderstood: &Misunderstood<'_>);
            message_withheld(conn: &Connection, message_type: &str, peer: &PeerVersion);
            connection_held_back(conn: &Connection);
            handler_failed(conn: &Connection, message_type: &str, error: &HandlerError);
            reply_dropped(conn: &Connection, message_type: &str);
            handler_dropped(conn: &Connection, message_type: &str, waiting: usize);
            peer_failed(conn: &Connection, message_type: &str, code: &str, message: &str);
            reply_unexpected(conn: &Connection, message_type: &str);
            delivery_resumed(conn: &Connection, resumed: &Resumed);
            delivery_gap(conn: &Connection, gap: &Gap);
            delivery_failed(conn: &Connection, message_type: &str, code: &str, message: &str);
            delivery_expired(peer: &str, message_type: &str);
            delivery_dropped(peer: &str, message_type: &str);
            store_failed(error: &StoreError);
            message_ignored(conn: &Connection, message_type: &str);
            envelope_rejected(conn: &Connection, frame: &RawFrame<'_>);
            handshake_rejected(peer: Option<SocketAddr>, kind: RejectionKind, status: StatusCode, reason: &str);
            tls_failed(peer: Option<SocketAddr>, error: &io::Error);
            id_contested(id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>, replacements: u32);
            cluster_changed(event: &ClusterEvent);
            connect_failed(failures: u32, delay: Duration, error: &ConnectError);
            client_gave_up(setback: &Setback);
            message_received(conn: &Connection, message_type: &str, bytes: usize);
            handler_finished(conn: &Connection, message_type: &str, elapsed: Duration);
            message_sent(conn: &Connection, message_type: &str, bytes: usize);
            queue_changed(conn: &Connection, before: usize, now: usize);
            messages_compressed(conn: &Connection, compression: &Compression);
        }
    };
}
pub(super) use for_each_call;
