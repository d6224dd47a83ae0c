//! The upgrade request, written by hand. The benchmark's load generator includes this file too.

/// Returns the upgrade request for `target`, a path with its query. `headers` are extra header
/// lines, each with its `\r\n`.
#[must_use]
pub fn upgrade(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// The `Sec-WebSocket-Accept` of the answer to that key, from section 1.3 of RFC 6455.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
