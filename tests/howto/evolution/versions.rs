use wsx::{
    Identity, Rejection,
    http::{HeaderName, HeaderValue, request::Parts},
};

/// A header of each handshake, with the fingerprint of the protocol.
pub const PROTOCOL: HeaderName = HeaderName::from_static("x-fleet-protocol");

/// Returns the value that a box sends: `.header(PROTOCOL, version(Fleet::FINGERPRINT))`.
pub fn version(fingerprint: u64) -> HeaderValue {
    HeaderValue::try_from(format!("{fingerprint:016x}")).expect("digits are valid in a header")
}

/// The version of a box, for its handlers: `conn.extension::<Version>()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Version(pub String);

/// Accepts each version. `ours` is the fingerprint of the server.
pub async fn identify(ours: u64, request: Parts) -> Result<Identity, Rejection> {
    let id = request.uri.query().and_then(|query| query.strip_prefix("id=")).unwrap_or("unnamed");
    let theirs = request.headers.get(PROTOCOL).and_then(|value| value.to_str().ok());
    let theirs = theirs.unwrap_or("none");
    if version(ours) != theirs {
        eprintln!("{id:?} has protocol {theirs:?}");
    }
    Ok(Identity::new(id).with(Version(theirs.to_owned())))
}
