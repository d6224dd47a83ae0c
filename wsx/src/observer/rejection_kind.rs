//! The kinds of rejected handshakes, for observers and metrics. It does not know the handshake.

/// The reason why a hub rejected a handshake, for the label of a metric or an alert.
///
/// [`Observer::handshake_rejected`](crate::Observer::handshake_rejected) receives it. A peer cannot
/// make kinds of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The request is not HTTP, or is not a WebSocket handshake by RFC 6455.
    Request,
    /// The request is for another path than
    /// [`WsHandler::path`](crate::server::WsHandler::path).
    Path,
    /// The `Origin` of the request is not allowed.
    Origin,
    /// A trusted proxy does not name its peer.
    Proxy,
    /// The HTTP server of the program lacks something: it does not add the address that the hub
    /// needs, or it does not support upgrades.
    HttpServer,
    /// `build_id` rejected the request.
    BuildId,
    /// The program's code panicked, or `build_id` added a header of the handshake itself, or it set
    /// labels that are not valid.
    Internal,
    /// The handshake took longer than
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    Timeout,
    /// [`max_handshakes`](crate::server::HubBuilder::max_handshakes): too many handshakes are in
    /// progress, or another one needed the place of this one.
    Handshakes,
    /// [`max_connections`](crate::server::HubBuilder::max_connections): the hub is full.
    Full,
    /// [`max_connections_per_address`](crate::server::HubBuilder::max_connections_per_address).
    PerAddress,
    /// [`max_connections_per_second`](crate::server::HubBuilder::max_connections_per_second).
    PerSecond,
    /// The peer does not speak the version of the protocol that
    /// [`require`](crate::server::HubBuilder::require) asks for.
    Version,
    /// The id is connected already, and
    /// [`on_duplicate`](crate::server::HubBuilder::on_duplicate) rejects the newer connection.
    Duplicate,
    /// The hub shuts down.
    Shutdown,
}

impl RejectionKind {
    /// Returns the name as a label, for example `"per_address"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Path => "path",
            Self::Origin => "origin",
            Self::Proxy => "proxy",
            Self::HttpServer => "http_server",
            Self::BuildId => "build_id",
            Self::Internal => "internal",
            Self::Timeout => "timeout",
            Self::Handshakes => "handshakes",
            Self::Full => "full",
            Self::PerAddress => "per_address",
            Self::PerSecond => "per_second",
            Self::Version => "version",
            Self::Duplicate => "duplicate",
            Self::Shutdown => "shutdown",
        }
    }
}
