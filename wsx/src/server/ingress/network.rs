//! Networks of IP addresses in CIDR notation, such as `10.0.0.0/8`.
use std::{fmt, net::IpAddr};

/// A network of addresses. A single address is the network of its full length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// The first address. All bits after `length` are 0.
    first: IpAddr,
    /// The number of bits that are the same in all addresses.
    length: u32,
}

impl Network {
    /// Parses a network or a single address. Returns the problem as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let invalid = || format!("{text:?} is not a network: write it as \"10.0.0.0/8\" or \"2001:db8::/32\"");
        let first: IpAddr = address.parse().map_err(|_| invalid())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|length| *length <= most).ok_or_else(invalid)?
            }
            Some(_) => return Err(invalid()),
        };
        if first.to_canonical() != first {
            return Err(format!("{text:?} is a network of IPv4: write it with an IPv4 address"));
        }
        // A wider network than its author meant would be trusted.
        if bits(first).checked_shl(length).unwrap_or(0) != 0 {
            return Err(format!(
                "{text:?} has bits after the first {length}: set them to 0, or write a longer network"
            ));
        }
        Ok(Self { first, length })
    }

    /// Whether the network has this address. An IPv4 address is the same as its mapped IPv6
    /// address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differing = bits(address) ^ bits(self.first);
        address.is_ipv4() == self.first.is_ipv4() && differing.checked_shr(128 - self.length).unwrap_or(0) == 0
    }
}

/// Returns the bits of an address, its first bit at the top.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N1: exactly the addresses of a network are trusted.
    #[test]
    fn a_network_has_its_addresses_only() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["9.255.255.255", "11.0.0.0", "::a"][..],
            ),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127", "192.0.3.128"]),
            ("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "2001:db8::1"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::", "32.1.13.184"]),
            ("::1", &["::1"], &["::", "::2", "127.0.0.1"]),
            ("::/0", &["::", "ffff::"], &["10.0.0.1"]),
        ] {
            let parsed = Network::parse(network).unwrap();
            for address in inside {
                assert!(parsed.contains(address.parse().unwrap()), "{network} has {address}");
            }
            for address in outside {
                assert!(!parsed.contains(address.parse().unwrap()), "{network} does not have {address}");
            }
        }
    }

    /// Row N1: a network that could be meant in another way is an error.
    #[test]
    fn a_mistake_in_a_network_says_what_is_wrong() {
        for (text, expected) in [
            ("", "not a network"),
            ("10.0.0.0/", "not a network"),
            ("10.0.0.0/33", "not a network"),
            ("10.0.0.0/+8", "not a network"),
            ("10.0.0.0/8/8", "not a network"),
            ("10.0.0/8", "not a network"),
            ("::1/129", "not a network"),
            ("proxy.example.com", "not a network"),
            ("10.0.0.1/8", "bits after the first 8"),
            ("10.0.0.1/0", "bits after the first 0"),
            ("2001:db8::1/64", "bits after the first 64"),
            ("::ffff:10.0.0.1", "IPv4"),
        ] {
            let problem = Network::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
