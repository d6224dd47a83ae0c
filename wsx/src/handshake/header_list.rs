//! Header fields that are lists, such as `Connection: keep-alive, Upgrade`.
use http::{HeaderMap, HeaderName};

/// Returns the elements of a list in all lines of this header (RFC 9110 sections 5.3 and 5.6.1).
pub(crate) fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}
