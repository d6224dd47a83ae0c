//! Finds the address of a peer: the one of its socket, or the one that a trusted proxy or the HTTP
//! server of the program names.
use crate::{
    server::{
        establish::{Handshake, gave_way, going_away, timed_out},
        http::RequestError,
        hub::Hub,
        ingress::proxy_header::{self, HeaderError},
        rejection::Rejection,
    },
    task::deadline,
};
use tokio::io::AsyncRead;

/// Reads the header of the PROXY protocol, if the peer of the socket has to send one.
///
/// The handshake then has the address of the peer, and its place counts for this address.
pub(super) async fn read_header<E, S>(
    hub: &Hub<E>,
    stream: &mut S,
    handshake: &mut Handshake,
) -> Result<(), RequestError>
where
    S: AsyncRead + Unpin,
{
    if !hub.admission().ingress.expects_proxy_header(handshake.peer()) {
        return Ok(());
    }
    let read = tokio::select! {
        biased;
        () = hub.lifecycle().stop.cancelled() => return Err(RequestError::Rejected(going_away())),
        read = deadline::timeout(handshake.left(), proxy_header::read(stream)) => read,
        () = handshake.gives_way() => return Err(RequestError::Rejected(gave_way())),
    };
    match read {
        Some(Ok(Some(peer))) => handshake.arrived_from(hub, peer),
        Some(Ok(None)) => handshake.arrived_unnamed(),
        Some(Err(HeaderError::Io(error))) => return Err(RequestError::Io(error)),
        Some(Err(HeaderError::Invalid(why))) => {
            return Err(RequestError::Rejected(Rejection::unnamed_peer(why)));
        }
        None => return Err(RequestError::Rejected(timed_out(handshake.limit))),
    }
    Ok(())
}

/// Returns the address of the socket of a request that another HTTP server has received, or `None`
/// if that server did not add it.
#[cfg(feature = "hyper")]
pub(super) fn of_server(extensions: &http::Extensions) -> Option<std::net::SocketAddr> {
    let added = extensions.get().map(|crate::server::PeerAddr(peer)| *peer);
    #[cfg(feature = "axum")]
    let added = added.or_else(|| extensions.get().map(|axum::extract::ConnectInfo(peer)| *peer));
    added
}

/// Returns the rejection of a request without an address, in a hub that needs one.
#[cfg(feature = "hyper")]
pub(super) fn missing() -> Rejection {
    use crate::observer::RejectionKind;
    use http::StatusCode;

    Rejection::of(RejectionKind::HttpServer, StatusCode::INTERNAL_SERVER_ERROR, "internal error").detail(
        "the hub needs addresses, and this request has none: add `wsx::server::PeerAddr` to its extensions, or use \
         axum's `into_make_service_with_connect_info::<SocketAddr>()` with the feature `axum`",
    )
}
