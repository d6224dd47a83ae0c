//! The labels of the metrics that are not types of messages. Each has a bounded number of values,
//! whatever a peer sends.
use super::names::{HANDSHAKES, REJECTIONS};
use crate::{
    connection::Connection,
    error::ConnectError,
    wire::{close_code::CloseCode, role::Role},
};
use http::StatusCode;
use metrics::counter;
use std::borrow::Cow;

/// The end at which wsx runs, as a label.
pub(super) type Side = &'static str;

pub(super) const HUB: Side = "hub";
pub(super) const CLIENT: Side = "client";
/// The label of what has no label of its own.
pub(super) const OTHER: &str = "other";

pub(super) fn side(conn: &Connection) -> Side {
    match conn.handle.role() {
        Role::Server => HUB,
        Role::Client => CLIENT,
    }
}

/// Counts an attempt of a client that failed.
pub(super) fn count_failed_attempt(error: &ConnectError) {
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
pub(super) fn count_rejection(side: Side, kind: &'static str, status: StatusCode) {
    let label = match status.canonical_reason() {
        Some(_) => Cow::Owned(status.as_str().to_owned()),
        None => Cow::Borrowed(OTHER),
    };
    counter!(REJECTIONS, "side" => side, "kind" => kind, "status" => label).increment(1);
}

/// Returns the label of a close code. A code that neither RFC 6455 nor wsx defines has no label of
/// its own, because a peer may send any.
pub(super) fn code_label(code: CloseCode) -> Cow<'static, str> {
    match u16::from(code) {
        code @ 1000..=1015 => code.to_string().into(),
        code if code == u16::from(CloseCode::REPLACED) => code.to_string().into(),
        _ => OTHER.into(),
    }
}
