//! What the peer of a request speaks, and whether the hub accepts that. It does not know lock
//! files.
use crate::{
    handshake::protocol_header::{self, PROTOCOL},
    observer::RejectionKind,
    protocol::PeerVersion,
    server::{hub::Hub, rejection::Rejection},
};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL},
};

/// Returns what the peer says that it speaks, in the header or in the query of the URL.
fn named(request: &Request<()>) -> Option<PeerVersion> {
    let headers = request.headers();
    if headers.contains_key(PROTOCOL) {
        return protocol_header::named(headers);
    }
    let in_query = |parameter| str::strip_prefix(parameter, PROTOCOL.as_str())?.strip_prefix('=');
    request.uri().query()?.split('&').find_map(in_query).and_then(protocol_header::parse)
}

/// Returns what the peer speaks, if it names that. The answer then names what the hub speaks.
///
/// The error is that of [`HubBuilder::require`](crate::server::HubBuilder::require).
pub(super) fn agree<E>(
    hub: &Hub<E>,
    request: &Request<()>,
    answer: &mut Response<()>,
    subprotocol: Option<&HeaderValue>,
) -> Result<Option<PeerVersion>, Rejection> {
    let peer = named(request);
    let Some(own) = hub.program().versions.own() else { return Ok(peer) };
    if peer.is_some() {
        answer.headers_mut().insert(PROTOCOL, protocol_header::value(own));
    }
    let Some(required) = hub.admission().limits.version else { return Ok(peer) };
    let is_enough = |peer: &PeerVersion| peer.protocol == own.protocol && peer.version >= required;
    if peer.as_ref().is_some_and(is_enough) {
        return Ok(peer);
    }
    let speaks = peer.as_ref().map_or_else(|| "names no version".to_owned(), |peer| format!("speaks {peer}"));
    let text = format!("this server requires {} v{required}, and this peer {speaks}", own.protocol);
    let rejection = Rejection::of(RejectionKind::Version, StatusCode::FORBIDDEN, text);
    // A page cannot set headers. Outside of a browser, its client sends no origin.
    let is_page =
        request.headers().contains_key(ORIGIN) || (peer.is_some() && !request.headers().contains_key(PROTOCOL));
    if !is_page {
        return Err(rejection);
    }
    // Without the subprotocol, a browser takes the handshake for a failed one.
    answer.headers_mut().extend(subprotocol.map(|name| (SEC_WEBSOCKET_PROTOCOL, name.clone())));
    Err(rejection.opened(std::mem::take(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_in_the_header_or_in_the_query() {
        let request = |uri: &str, header: &str| {
            let request = Request::builder().uri(uri);
            let request = if header.is_empty() { request } else { request.header(PROTOCOL, header) };
            named(&request.body(()).unwrap()).map(|version| version.to_string())
        };
        const ONE: &str = "Fleet.1.00000000000000ff";
        assert_eq!(request("/ws", ONE).as_deref(), Some("Fleet v1"));
        assert_eq!(request(&format!("/ws?a=b&wsx-protocol={ONE}"), "").as_deref(), Some("Fleet v1"));
        assert_eq!(request("/ws?wsx-protocol=Fleet.2.00000000000000ff", ONE).as_deref(), Some("Fleet v1"));
        for query in ["", "wsx-protocol", "wsx-protocol=", "wsx-protocols=Fleet.1.00000000000000ff", "&&=&"] {
            assert_eq!(request(&format!("/ws?{query}"), ""), None, "{query}");
        }
        assert_eq!(request("/ws", "a later form"), None);
    }
}
