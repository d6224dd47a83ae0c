//! How peers reach the hub: through proxies that the program trusts, and beside the health checks
//! of a load balancer.
//!
//! It knows what the program has configured. It does not know the limits or the handshake.
#[cfg(feature = "server")]
mod forwarded;
pub(super) mod network;
#[cfg(feature = "server")]
pub(super) mod proxy_header;

use network::Network;
use std::net::IpAddr;
#[cfg(feature = "server")]
use {
    crate::{handshake::header_list, observer::RejectionKind, server::rejection::Rejection},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    std::net::SocketAddr,
};

/// The trusted proxies of a hub, and the path of its health checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ingress {
    /// The networks of the trusted proxies.
    pub(crate) trusted: Vec<Network>,
    /// Whether a connection of a trusted proxy begins with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// The path of health checks, if the hub answers them.
    pub(crate) health: Option<Box<str>>,
}

impl Ingress {
    /// Whether this is the address of a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

#[cfg(feature = "server")]
impl Ingress {
    /// Adds a network of trusted proxies. Returns the problem as a sentence if it is not valid.
    pub(crate) fn trust(&mut self, network: &str) -> Result<(), String> {
        self.trusted.push(Network::parse(network)?);
        Ok(())
    }

    /// Returns what does not fit together, a sentence each.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &'static str> {
        let untrusted = self.proxy_protocol && self.trusted.is_empty();
        let path = self.health.as_deref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#']));
        let untrusted = untrusted.then_some("proxy_protocol: name the proxies in `trusted_proxies`");
        let path = path.then_some("health: the path must begin with `/`, and must not have a query");
        [untrusted, path].into_iter().flatten()
    }

    /// Whether a connection from this address has to begin with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, socket: Option<SocketAddr>) -> bool {
        self.proxy_protocol && socket.is_some_and(|socket| self.trusts(socket.ip()))
    }

    /// Returns the address of the peer of a request that came from this address. Only the headers
    /// of a trusted proxy count.
    pub(crate) fn peer_of(
        &self,
        socket: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<SocketAddr>, Rejection> {
        if !socket.is_some_and(|socket| self.trusts(socket.ip())) {
            return Ok(socket);
        }
        let named = forwarded::peer(headers, |address| self.trusts(address));
        let named = named.map_err(Rejection::unnamed_peer)?;
        Ok(named.or(socket))
    }

    /// Returns the answer if the request is a health check.
    ///
    /// A request to upgrade to WebSocket is not one, so boxes may connect at the same path. Some
    /// HTTP clients request an upgrade to HTTP/2 each time.
    pub(crate) fn answer_to_health_check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        is_draining: bool,
    ) -> Option<Rejection> {
        let is_check = self.health.as_deref() == Some(uri.path())
            && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !header_list::elements(headers, header::UPGRADE).any(|name| name.eq_ignore_ascii_case(b"websocket"));
        let (status, text) =
            if is_draining { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "serving") };
        // The answer to HEAD has no content (RFC 9110 section 9.3.2).
        let text = if *method == Method::HEAD { "" } else { text };
        is_check.then(|| Rejection::of(RejectionKind::Request, status, text).unreported())
    }
}
