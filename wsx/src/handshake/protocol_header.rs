//! The header with which both ends name what they speak. It does not know what the other end
//! understands.
use crate::{
    handshake::percent,
    protocol::{PeerVersion, peer_version::MAX_NAME},
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the header. It is also the query parameter of web pages, which cannot set headers.
pub(crate) const PROTOCOL: HeaderName = HeaderName::from_static("wsx-protocol");

/// Returns the header's value. It needs no escaping in a URL.
pub(crate) fn value(version: &PeerVersion) -> HeaderValue {
    let PeerVersion { protocol, version, fingerprint } = version;
    let text = format!("{}.{version}.{fingerprint:016x}", percent::encode(protocol));
    HeaderValue::try_from(text).expect("an encoded name is a header value")
}

/// Returns what the sender of these headers speaks, if it names that.
pub(crate) fn named(headers: &HeaderMap) -> Option<PeerVersion> {
    parse(headers.get(PROTOCOL)?.to_str().ok()?)
}

/// Reads the value of the header. Returns `None` if it is not one: a later wsx may write another,
/// and then the peer counts as one that names nothing.
pub(crate) fn parse(text: &str) -> Option<PeerVersion> {
    let mut parts = text.split('.');
    let (name, number, digits) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%');
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.next().is_some() || !name.bytes().all(is_plain) || !is_number || !is_hex {
        return None;
    }
    let protocol = String::from_utf8(percent::decode(name)?).ok()?;
    let is_name = !protocol.is_empty() && protocol.len() <= MAX_NAME;
    let fingerprint = u64::from_str_radix(digits, 16).ok()?;
    is_name.then_some(PeerVersion::new(&protocol, number.parse().ok()?, fingerprint))
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Row U5: the value of the header.
    #[test]
    fn a_version_is_read_as_it_was_written() {
        for (name, text) in [("Fleet", "Fleet.7.00000000000000ff"), ("Flüssig", "Fl%C3%BCssig.7.00000000000000ff")] {
            let version = PeerVersion::new(name, 7, 255);
            assert_eq!(value(&version), text);
            assert_eq!(parse(text), Some(version));
        }
        assert_eq!(PeerVersion::new("Fleet", 7, 255).to_string(), "Fleet v7");
    }

    /// Row U5: a value of another form is no version.
    #[test]
    fn another_text_is_not_a_version() {
        let long = format!("{}.1.00000000000000ff", "x".repeat(MAX_NAME + 1));
        for text in [
            "",
            "Fleet",
            "Fleet.1",
            ".1.00000000000000ff",
            "Fleet.1.ff",
            "Fleet.1.+0000000000000ff",
            "Fleet.+1.00000000000000ff",
            "Fleet..00000000000000ff",
            "Fleet.4294967296.00000000000000ff",
            "Fleet.1.00000000000000ff.x",
            "Fle et.1.00000000000000ff",
            "Fleet%.1.00000000000000ff",
            "Fleet%FF.1.00000000000000ff",
            "Fleet%+4.1.00000000000000ff",
            &*long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse(&long[1..]).is_some());
    }
}
