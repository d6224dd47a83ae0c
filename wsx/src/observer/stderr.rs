//! The observer that prints problems to standard error.
use crate::{
    closed::Closed,
    connection::Connection,
    envelope::incoming::{RAW, RawFrame},
    error::{ConnectError, HandlerError, StoreError},
    observer::{
        ClusterEvent, Gap, Misunderstood, Observer, RejectionKind, Setback,
        shown::{Shown, ShownClosed, ShownError},
    },
    protocol::PeerVersion,
    wire::close_code::CloseCode,
};
use http::StatusCode;
use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// Prints each problem to standard error, in a line with all its causes.
///
/// An opened connection is not a problem, nor is one that is closed with 1000, 1001, 1012 or
/// without a code. Every event of a cluster is printed, also that NATS can be reached again.
///
/// A problem is one line, whatever the peer sends: text of the peer is escaped, and cut at 256
/// bytes. The query, the fragment and the user info of a URL are left out, because they may have a
/// token or a password (row X9 of the specification). If standard error is closed or full, the line
/// is lost. A pipe that nobody reads blocks the program, as every print to it does.
///
/// ```standalone_crate
/// let hub = wsx::Hub::builder().observer(wsx::StderrObserver).without_handlers().build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct StderrObserver;

/// Writes a line in one piece, so that lines of several threads or processes do not mix. An error
/// is ignored: it could only be printed to the same place.
fn print(line: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(format!("wsx: {line}\n").as_bytes());
}

/// Prints a problem of a connection.
fn print_of(conn: &Connection, problem: fmt::Arguments<'_>) {
    print(format_args!("\"{}\": {problem}", Shown(&conn.id())));
}

/// Prints a problem of a handshake.
fn print_from(peer: Option<SocketAddr>, problem: fmt::Arguments<'_>) {
    match peer {
        Some(peer) => print(format_args!("{peer}: {problem}")),
        None => print(problem),
    }
}

impl Observer for StderrObserver {
    fn connection_closed(&self, conn: &Connection, closed: &Closed) {
        if !matches!(
            closed.code,
            CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::SERVICE_RESTART | CloseCode::NO_STATUS
        ) {
            print_of(conn, format_args!("{}", ShownClosed(closed)));
        }
    }

    fn version_differs(&self, conn: &Connection, peer: &PeerVersion, misunderstood: &Misunderstood<'_>) {
        let (name, number) = (Shown(&peer.protocol), peer.version);
        let Misunderstood { withheld, misread, is_known } = misunderstood;
        if !is_known {
            return print_of(conn, format_args!("the peer speaks {name} v{number}, which is not in the lock file"));
        }
        print_of(
            conn,
            format_args!(
                "the peer speaks {name} v{number}: it does not understand {withheld:?}, and this end does not \
                 understand {misread:?}"
            ),
        );
    }

    fn connection_held_back(&self, conn: &Connection) {
        print_of(conn, format_args!("the peer sends more than its `receive_limit`, so it is read more slowly"));
    }

    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        print_of(conn, format_args!("\"{}\": {}", Shown(&message_type), ShownError(error)));
    }

    fn reply_dropped(&self, conn: &Connection, message_type: &str) {
        let message_type = Shown(&message_type);
        print_of(conn, format_args!("\"{message_type}\": the connection has ended before the reply"));
    }

    fn handler_dropped(&self, conn: &Connection, message_type: &str, waiting: usize) {
        let message_type = Shown(&message_type);
        print_of(
            conn,
            format_args!(
                "\"{message_type}\": the handler was dropped, because the connection has ended; {waiting} later \
                 messages were not handled"
            ),
        );
    }

    fn peer_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let (message_type, code, message) = (Shown(&message_type), Shown(&code), Shown(&message));
        print_of(conn, format_args!("\"{message_type}\": the peer could not handle it: {code}: {message}"));
    }

    fn reply_unexpected(&self, conn: &Connection, message_type: &str) {
        let message_type = Shown(&message_type);
        print_of(
            conn,
            format_args!("\"{message_type}\": no request waits for this reply; later ones are counted only"),
        );
    }

    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        let Gap { from, to, why, is_ours } = gap;
        let whose = if *is_ours { "this end does not send" } else { "the peer does not send" };
        print_of(conn, format_args!("{whose} the messages {from} to {to}: {why}"));
    }

    fn delivery_expired(&self, peer: &str, message_type: &str) {
        let (peer, message_type) = (Shown(&peer), Shown(&message_type));
        print(format_args!("\"{peer}\": \"{message_type}\": the message has expired"));
    }

    fn delivery_dropped(&self, peer: &str, message_type: &str) {
        let (peer, message_type) = (Shown(&peer), Shown(&message_type));
        print(format_args!("\"{peer}\": \"{message_type}\": the message was dropped"));
    }

    fn delivery_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        let (message_type, code, message) = (Shown(&message_type), Shown(&code), Shown(&message));
        print_of(conn, format_args!("\"{message_type}\": the peer did not handle it: {code}: {message}"));
    }

    fn store_failed(&self, error: &StoreError) {
        print(format_args!("{}", ShownError(error)));
    }

    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        print_of(conn, format_args!("no handler for \"{}\"", Shown(&message_type)));
    }

    fn envelope_rejected(&self, conn: &Connection, frame: &RawFrame<'_>) {
        let why = frame.envelope_error().unwrap_or_default();
        let why = Shown(&why);
        print_of(conn, format_args!("a message is not an envelope, and \"{RAW}\" has no handler: {why}"));
    }

    fn handshake_rejected(&self, peer: Option<SocketAddr>, _: RejectionKind, status: StatusCode, reason: &str) {
        print_from(peer, format_args!("handshake rejected with {status}: {}", Shown(&reason)));
    }

    fn tls_failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        print_from(peer, format_args!("TLS handshake failed: {}", ShownError(error)));
    }

    fn cluster_changed(&self, event: &ClusterEvent) {
        print(format_args!("cluster: {event}"));
    }

    fn id_contested(&self, id: &str, older: Option<SocketAddr>, newer: Option<SocketAddr>, replacements: u32) {
        let shown = |peer: Option<SocketAddr>| peer.map_or("an unknown address".to_owned(), |peer| peer.to_string());
        let (id, older, newer) = (Shown(&id), shown(older), shown(newer));
        print(format_args!(
            "\"{id}\": replaced {replacements} times, the last time from {older} by {newer}: several programs seem to \
             use this id"
        ));
    }

    fn connect_failed(&self, _: u32, delay: Duration, error: &ConnectError) {
        print(format_args!("{}; the next attempt is in {delay:.1?}", ShownError(error)));
    }

    fn client_gave_up(&self, setback: &Setback) {
        match setback {
            Setback::Attempt(error) => print(format_args!("gave up: {}", ShownError(error))),
            Setback::Ended(closed) => print(format_args!("gave up: {}", ShownClosed(closed))),
        }
    }
}
