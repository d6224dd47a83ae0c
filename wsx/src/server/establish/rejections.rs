//! The rejections of a hub itself.
use crate::{observer::RejectionKind, server::rejection::Rejection};
use http::{StatusCode, header::RETRY_AFTER};
use std::time::Duration;

/// Returns the rejection of a hub that is shutting down. `Retry-After` is a second: behind a load
/// balancer, another server may accept the peer.
pub(in crate::server) fn going_away() -> Rejection {
    Rejection::of(RejectionKind::Shutdown, StatusCode::SERVICE_UNAVAILABLE, "the server is going away")
        .header(RETRY_AFTER, 1.into())
}

/// Returns the rejection of a peer that has to retry after this time.
pub(in crate::server) fn too_fast(after: Duration) -> Rejection {
    // Rounded up, because the header has whole seconds.
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let text = format!("too many new connections: retry in {seconds} s");
    Rejection::of(RejectionKind::PerSecond, StatusCode::SERVICE_UNAVAILABLE, text).header(RETRY_AFTER, seconds.into())
}

/// Returns the rejection of a hub that has its maximum number of connections.
pub(in crate::server) fn full() -> Rejection {
    Rejection::of(RejectionKind::Full, StatusCode::SERVICE_UNAVAILABLE, "too many connections")
}

/// Returns the rejection of a connection whose id is connected already. Only the observer receives
/// the id.
pub(in crate::server) fn taken(id: &str) -> Rejection {
    let text = "a connection with this id is open, and this server does not replace it";
    Rejection::of(RejectionKind::Duplicate, StatusCode::CONFLICT, text).detail(format!("the id is {id:?}"))
}

/// Returns the rejection of a handshake whose place another one needed.
pub(in crate::server) fn gave_way() -> Rejection {
    Rejection::of(
        RejectionKind::Handshakes,
        StatusCode::SERVICE_UNAVAILABLE,
        "other handshakes needed the place of this one",
    )
}

/// Returns the rejection of a handshake that timed out. The peer has to retry.
pub(in crate::server) fn timed_out(limit: Duration) -> Rejection {
    Rejection::of(
        RejectionKind::Timeout,
        StatusCode::REQUEST_TIMEOUT,
        format!("the handshake took longer than {limit:?}"),
    )
}

/// Returns the rejection after a panic in the application. The peer does not learn the reason.
pub(in crate::server) fn internal_error() -> Rejection {
    Rejection::of(RejectionKind::Internal, StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}
