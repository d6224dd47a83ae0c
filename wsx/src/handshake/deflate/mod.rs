//! The negotiation of compression. It does not know frames.
#[cfg(not(feature = "deflate"))]
mod disabled;
#[cfg(feature = "deflate")]
mod enabled;

#[cfg(not(feature = "deflate"))]
pub(crate) use disabled::*;
#[cfg(feature = "deflate")]
pub(crate) use enabled::*;

use crate::wire::deflate::Agreed;
use http::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};

/// Checks the answer to a request without an offer.
fn not_requested(headers: &HeaderMap) -> Result<Option<Agreed>, String> {
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("the answer has a `Sec-WebSocket-Extensions` header, but no extension was requested".to_owned());
    }
    Ok(None)
}
