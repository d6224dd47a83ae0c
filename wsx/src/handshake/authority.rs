//! The port of an authority, as it stands in a URL or a `Host` header, which `http` does not check.
use http::uri::Authority;

/// The port, if one is named (RFC 3986 section 3.2.3). What stands behind the host and is no port is the error; `http` takes
/// that for none.
pub(crate) fn port(authority: &Authority) -> Result<Option<u16>, &str> {
    // With user information in front of the host all of it is wrong.
    match authority.as_str().strip_prefix(authority.host()).unwrap_or(authority.as_str()) {
        "" | ":" => Ok(None),
        behind => behind.strip_prefix(':').and_then(|port| port.parse().ok()).map(Some).ok_or(behind),
    }
}
