//! The request for a WebSocket, written by hand. The benchmark's load generator includes this file too.

/// Asks for a WebSocket at `target`, a path with its query. `headers` are lines of the test's own, each with its `\r\n`.
#[must_use]
pub fn upgrade(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// The answer's `Sec-WebSocket-Accept` to that key, as section 1.3 of RFC 6455 has it.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
