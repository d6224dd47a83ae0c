//! The options of a hub behind a proxy or a load balancer.
use crate::{protocol::endpoint::Endpoint, server::builder::HubBuilder};

impl<E: Endpoint> HubBuilder<E> {
    /// Trusts the proxies in these networks to name their peers; by default no proxy is trusted.
    /// Each is an address, or a network such as `10.0.0.0/8` (row N1 of the specification).
    ///
    /// The peer is then the one that the proxy names in its headers, and the proxy itself has no
    /// limit. [`wsx::server`](crate::server#behind-a-proxy) has the rules.
    ///
    /// Trust only proxies that set or extend the header of each request, and only networks without
    /// boxes. Otherwise a peer could choose its address by the header.
    ///
    /// A network that is not valid is an error of [`build`](Self::build).
    #[must_use]
    pub fn trusted_proxies<N: AsRef<str>>(mut self, networks: impl IntoIterator<Item = N>) -> Self {
        for network in networks {
            if let Err(problem) = self.options.ingress.trust(network.as_ref()) {
                self.program.problem(format!("trusted_proxies: {problem}"));
            }
        }
        self
    }

    /// Expects a header of the PROXY protocol, version 1 or 2, at the beginning of each connection
    /// from one of the [`trusted_proxies`](Self::trusted_proxies); by default a header is not read
    /// (row N2 of the specification).
    ///
    /// Use it for a proxy that forwards TCP, with or without TLS inside. A trusted proxy that does
    /// not send a header is rejected. [`wsx::server`](crate::server#behind-a-proxy) has the rules.
    #[must_use]
    pub fn proxy_protocol(mut self) -> Self {
        self.options.ingress.proxy_protocol = true;
        self
    }

    /// Answers the health checks of a load balancer at this path, for example `/healthz`; by
    /// default they are rejected as any other request (row N3 of the specification).
    ///
    /// The answer to `GET`, `HEAD` and `OPTIONS` is 200, and 503 from
    /// [`Hub::drain`](crate::Hub::drain) or [`Hub::shutdown`](crate::Hub::shutdown) on.
    /// [`wsx::server`](crate::server#health-checks) has an example and the details.
    #[must_use]
    pub fn health(mut self, path: impl Into<Box<str>>) -> Self {
        self.options.ingress.health = Some(path.into());
        self
    }
}
