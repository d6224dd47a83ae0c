//! The application's hook for problems. Without the features `tracing` and `metrics`, wsx does not
//! depend on a logging or metrics library (row X3 of the specification).
mod both;
mod calls;
mod cluster;
mod delivery;
mod guarded;
mod interest;
#[cfg(feature = "metrics")]
mod metrics;
mod rejection_kind;
mod setback;
mod shown;
#[cfg_attr(feature = "tracing", path = "spans/enabled.rs")]
#[cfg_attr(not(feature = "tracing"), path = "spans/disabled.rs")]
pub(crate) mod spans;
mod stderr;
#[cfg(feature = "tracing")]
mod tracing;
mod versions;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingObserver;
pub use cluster::ClusterEvent;
pub use delivery::{Gap, Resumed, Why};
pub use interest::Interest;
pub use rejection_kind::RejectionKind;
pub use setback::Setback;
pub use stderr::StderrObserver;
pub use versions::Misunderstood;

pub(crate) use guarded::{GuardedObserver, Silent};

use crate::{
    closed::Closed,
    connection::Connection,
    envelope::incoming::{RAW, RawFrame},
    error::StoreError,
    error::{ConnectError, HandlerError},
    protocol::PeerVersion,
    wire::deflate::Compression,
};
use http::StatusCode;
use std::{io, net::SocketAddr, time::Duration};

/// Receives a call when a connection opens or closes, and when a problem occurs that does not end
/// the program.
///
/// Each method does nothing by default. A pair of observers is an observer too. The methods run in
/// the task of the connection, so they must not block. A panic in a method loses that report and
/// has no other effect: the connection, the handshake and the client go on.
///
/// ```
/// struct Log;
///
/// impl wsx::Observer for Log {
///     fn handler_failed(&self, conn: &wsx::Connection, message_type: &str, error: &wsx::HandlerError) {
///         eprintln!("{} {message_type}: {}", conn.id(), wsx::Report(error));
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Returns what the observer wants to know beyond problems; default [`Interest::nothing`].
    ///
    /// This is called once, when the hub or the client is built.
    fn interest(&self) -> Interest {
        Interest::nothing()
    }

    /// A connection is open.
    fn connection_opened(&self, conn: &Connection) {
        let _ = conn;
    }

    /// A connection has ended.
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        let _ = (conn, closed);
    }

    /// The peer speaks another version of the protocol, and the ends do not understand each other
    /// in everything, or this end does not know (row U5 of the specification).
    ///
    /// This is called before `connection_opened`, and only with
    /// [`contract`](crate::server::HubBuilder::contract) of the hub or the client. The connection
    /// goes on; see [`message_withheld`](Self::message_withheld).
    fn version_differs(&self, conn: &Connection, peer: &PeerVersion, misunderstood: &Misunderstood<'_>) {
        let _ = (conn, peer, misunderstood);
    }

    /// A message was not sent, because the version of the peer does not understand it. A send
    /// returns [`SendError::PeerTooOld`](crate::SendError::PeerTooOld), and a broadcast goes on to
    /// the next connection. A kept message is held; see
    /// [other versions](crate::delivery#other-versions).
    ///
    /// `message_type` is a constant of the program.
    fn message_withheld(&self, conn: &Connection, message_type: &str, peer: &PeerVersion) {
        let _ = (conn, message_type, peer);
    }

    /// The peer sends more than [`Config::receive_limit`](crate::Config::receive_limit()) allows,
    /// so wsx reads from it more slowly.
    ///
    /// This is called when that begins, and at most once in a minute for a connection. With
    /// [`OverLimit::Close`](crate::OverLimit::Close), `connection_closed` receives the close.
    fn connection_held_back(&self, conn: &Connection) {
        let _ = conn;
    }

    /// The handler of a message failed, or could not be called. The connection stays open.
    ///
    /// `message_type` is the type of the handler, so a metric may use it as a label.
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        let _ = (conn, message_type, error);
    }

    /// The reply of a handler could not be sent, because the connection is closing or has ended.
    ///
    /// `message_type` is the type of the message. It is text of the peer if the handler is that of
    /// `__unknown__`.
    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// A handler still ran when the time for closing its connection was over
    /// ([`Config::close_timeout`](crate::Config::close_timeout), or the grace period of a
    /// shutdown). It is dropped at its await. `message_type` is as in
    /// [`reply_dropped`](Self::reply_dropped).
    ///
    /// `waiting` is the number of messages that were received after this one, and are now dropped
    /// too. If only messages still waited, the first one is reported as if its handler ran. After
    /// the panic of a handler, messages that waited and calls of concurrent handlers are dropped
    /// without a report.
    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        let _ = (conn, message_type, waiting);
    }

    /// The peer could not handle a message that this program sent.
    ///
    /// A peer reports this if its [`Config::report_failures`](crate::Config::report_failures()) is
    /// on. `message_type` is the type of the message. `code` is `"not_handled"`, `"bad_data"`,
    /// `"failed"`, or another text. All three are text of the peer; treat them as in
    /// [`message_ignored`](Self::message_ignored).
    fn peer_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let _ = (conn, message_type, code, message);
    }

    /// The peer sent a reply that no request of this connection waits for: it came twice, after the
    /// deadline, after the request was dropped, or with a wrong id.
    ///
    /// This is called once for a connection. Each such reply is counted as a message without a
    /// handler. `message_type` is text of the peer.
    fn reply_unexpected(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// The peer has said which kept messages it has handled, so the others are sent now.
    ///
    /// This is called once for a connection on which kept messages are sent.
    fn delivery_resumed(&self, conn: &Connection, resumed: &Resumed) {
        let _ = (conn, resumed);
    }

    /// Kept messages with these numbers are never handled. Both ends report it, each when it learns
    /// of it.
    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        let _ = (conn, gap);
    }

    /// The peer could not handle a kept message, and does not get it again. The texts are as in
    /// [`peer_failed`](Self::peer_failed), but `message_type` is a constant of this program.
    fn delivery_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let _ = (conn, message_type, code, message);
    }

    /// The time to live of a kept message was over before the peer acknowledged it. `peer` is the
    /// id of the peer, and empty at a client. `message_type` is a constant of this program.
    ///
    /// wsx notices it when the message would be sent, or when it needs the room, and not at once.
    fn delivery_expired(&self, peer: &str, message_type: &str) {
        let _ = (peer, message_type);
    }

    /// A kept message was dropped: by `drop_waiting`, or because a newer one needed its room. The
    /// peer may have handled it if it was sent. The arguments are as in
    /// [`delivery_expired`](Self::delivery_expired).
    fn delivery_dropped(&self, peer: &str, message_type: &str) {
        let _ = (peer, message_type);
    }

    /// The store could not be written. What had been accepted is tried again. The send of a new
    /// message returns its own error.
    ///
    /// This is called once, and again only after the store was written.
    fn store_failed(&self, error: &StoreError) {
        let _ = error;
    }

    /// A message does not have a handler (row E3 of the specification). The connection stays open.
    ///
    /// `message_type` is text of the peer. Escape it before you print it, as `{:?}` does, and do
    /// not use it as the label of a metric.
    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        let _ = (conn, message_type);
    }

    /// A message is not an envelope, and `__raw__` does not have a handler.
    /// [`RawFrame::envelope_error`] has the reason.
    ///
    /// By default this calls [`message_ignored`](Self::message_ignored) with `"__raw__"`.
    fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let _ = frame;
        self.message_ignored(conn, RAW);
    }

    /// The server rejected a handshake with this status.
    ///
    /// `reason` may have text of the peer. Escape it before you print it, and do not use it as the
    /// label of a metric: [`RejectionKind::as_str`] is one.
    fn handshake_rejected(&self, peer: Option<SocketAddr>, kind: RejectionKind, status: StatusCode, reason: &str) {
        let _ = (peer, kind, status, reason);
    }

    /// A TLS handshake at the server failed.
    ///
    /// The peer may not trust the server's certificate, may lack the certificate that the server
    /// requests, may not speak TLS, or may have closed the stream. On a public port, port scanners
    /// cause this.
    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        let _ = (peer, error);
    }

    /// Two or more programs seem to use this id: connections with it were replaced `replacements`
    /// times within a window; see
    /// [`HubBuilder::contested_after`](crate::server::HubBuilder::contested_after). This is called
    /// at most once in a window for an id (row S5 of the specification).
    ///
    /// `older` is the peer that was replaced last, and `newer` the one that replaced it. Each is
    /// `None` if its address is not known. One box on a link that breaks again and again looks the
    /// same, with one address.
    fn id_contested(&self, id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>, replacements: u32) {
        let _ = (id, older, newer, replacements);
    }

    /// The cluster of a hub has changed, or cannot be reached (row J9 of the specification). Only
    /// with the feature `nats`.
    fn cluster_changed(&self, event: &ClusterEvent) {
        let _ = event;
    }

    /// A client could not connect, and dials again after `delay`.
    ///
    /// `failures` counts the failures in a row. A connection that did not last counts too.
    fn connect_failed(&self, failures: u32, delay: Duration, error: &ConnectError) {
        let _ = (failures, delay, error);
    }

    /// A client stops dialling, because its `give_up` returned `true`.
    fn client_gave_up(&self, setback: &Setback) {
        let _ = setback;
    }

    /// A message was received. Its handler was called, or it does not have one. Only with
    /// [`Interest::with_messages`].
    ///
    /// `message_type` is the type of the handler, so a metric may use it as a label. It is
    /// `"__unknown__"` for a message without a handler. `bytes` is the length of the message
    /// without the header of its frame.
    fn message_received(&self, conn: &Connection, message_type: &str, bytes: usize) {
        let _ = (conn, message_type, bytes);
    }

    /// A handler has run to its end, or failed. Only with [`Interest::with_messages`].
    ///
    /// `elapsed` includes decoding the message, and the time in which the handler waited. A handler
    /// that panics or is dropped is not reported here. `message_type` is that of the handler, also
    /// `"__open__"` and `"__close__"`.
    fn handler_finished(&self, conn: &Connection, message_type: &str, elapsed: Duration) {
        let _ = (conn, message_type, elapsed);
    }

    /// A message was queued: a send, a reply or a broadcast. Only with [`Interest::with_messages`].
    ///
    /// `message_type` is a constant of the program, so a metric may use it as a label. It is
    /// `"__unknown__"` for a text, for bytes, and for an [`Envelope`](crate::Envelope) whose type
    /// was made at run time. `bytes` is as in [`message_received`](Self::message_received).
    fn message_sent(&self, conn: &Connection, message_type: &str, bytes: usize) {
        let _ = (conn, message_type, bytes);
    }

    /// The number of messages in the send queue of a connection has changed. Only with
    /// [`Interest::with_messages`].
    ///
    /// It may have had other values in between. The differences add up to the number of all
    /// queued messages, and to zero at the end of the connection.
    fn queue_changed(&self, conn: &Connection, before: usize, now: usize) {
        let _ = (conn, before, now);
    }

    /// Messages were compressed or inflated (row Z9 of the specification). Only with
    /// [`Interest::with_messages`], on a connection whose ends agreed on
    /// [`Config::deflate`](crate::Config).
    ///
    /// A broadcast is compressed once, so only one of its connections reports that time.
    fn messages_compressed(&self, conn: &Connection, compression: &Compression) {
        let _ = (conn, compression);
    }
}
