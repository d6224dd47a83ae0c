//! The port in the authority of a URL or a `Host` header. The crate `http` does not check it.
use http::uri::Authority;

/// Returns the port, if the authority has one (RFC 3986 section 3.2.3). The error is the text after
/// the host that is not a port. `http` ignores such a text.
pub(crate) fn port(authority: &Authority) -> Result<Option<u16>, &str> {
    // With user information before the host, the whole authority is the error.
    match authority.as_str().strip_prefix(authority.host()).unwrap_or(authority.as_str()) {
        "" | ":" => Ok(None),
        behind => behind.strip_prefix(':').and_then(|port| port.parse().ok()).map(Some).ok_or(behind),
    }
}
