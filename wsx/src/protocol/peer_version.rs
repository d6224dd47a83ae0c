//! The protocol that a peer speaks, as it names it in the handshake. It does not know HTTP.
use serde::{Serialize, Serializer};
use std::fmt::{self, Write as _};

/// Maximum length of the name of a protocol that is read, in bytes. Others choose this name, and
/// each end keeps it.
pub(crate) const MAX_NAME: usize = 64;

/// The version of a protocol that a peer speaks (row U5 of the specification).
///
/// A client of wsx names it in the header `wsx-protocol`, and a page in the query parameter of that
/// name. A hub answers with its own, in the same header. The value is the name, the number and the
/// fingerprint in 16 hexadecimal digits, as in `Fleet.1.a892be0623a45602`.
///
/// A peer may name what it likes: this is what it says, and no proof.
///
/// Its `Display` is `Fleet v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct PeerVersion {
    /// The name of the protocol, at most 64 bytes.
    pub protocol: Box<str>,
    /// The version of the protocol.
    pub version: u32,
    /// The fingerprint of the protocol; see [`Description`](crate::protocol::Description). In JSON
    /// it has 16 hexadecimal digits.
    #[serde(serialize_with = "as_digits")]
    pub fingerprint: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn as_digits<S: Serializer>(fingerprint: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:016x}"))
}

impl PeerVersion {
    pub(crate) fn new(protocol: &str, version: u32, fingerprint: u64) -> Self {
        Self { protocol: protocol.into(), version, fingerprint }
    }

    /// Reads the value of the header. Returns `None` if it is not one: a later wsx may write
    /// another, and then the peer counts as one that names nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (name, number, digits) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_hex = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let protocol = unescape(name).filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
        if parts.next().is_some() || !is_number || !is_hex {
            return None;
        }
        let fingerprint = u64::from_str_radix(digits, 16).ok()?;
        Some(Self { protocol: protocol.into(), version: number.parse().ok()?, fingerprint })
    }

    /// Returns the value of the header. It needs no escaping in a URL.
    pub(crate) fn header(&self) -> String {
        let mut text = String::new();
        for byte in self.protocol.bytes() {
            if is_plain(byte) {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("a string takes everything");
            }
        }
        text + &format!(".{}.{:016x}", self.version, self.fingerprint)
    }
}

/// Whether a byte of a name stands for itself. The others, such as those of `Flüssig`, are escaped.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns a name without its escapes.
fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, rest) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                rest = after;
            }
            (byte, _) if is_plain(byte) => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for PeerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.protocol, self.version)
    }
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
            assert_eq!(version.header(), text);
            assert_eq!(PeerVersion::parse(text), Some(version));
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
            assert_eq!(PeerVersion::parse(text), None, "{text}");
        }
        assert!(PeerVersion::parse(&long[1..]).is_some());
    }
}
