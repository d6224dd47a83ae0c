//! The address of a peer in 16 bytes, because the map holds one for each box of the cluster.
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Address {
    #[default]
    Unknown,
    V4(SocketAddrV4),
    /// Boxed, because it has 28 bytes.
    V6(Box<SocketAddrV6>),
}

impl From<Option<SocketAddr>> for Address {
    fn from(address: Option<SocketAddr>) -> Self {
        match address {
            None => Self::Unknown,
            Some(SocketAddr::V4(address)) => Self::V4(address),
            Some(SocketAddr::V6(address)) => Self::V6(Box::new(address)),
        }
    }
}

impl From<&Address> for Option<SocketAddr> {
    fn from(address: &Address) -> Self {
        match address {
            Address::Unknown => None,
            Address::V4(address) => Some(SocketAddr::V4(*address)),
            Address::V6(address) => Some(SocketAddr::V6(**address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        let addresses = ["192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%7]:1"].map(|text| text.parse().ok());
        assert!(addresses.iter().all(Option::is_some));
        for address in addresses.into_iter().chain([None]) {
            assert_eq!(Option::<SocketAddr>::from(&Address::from(address)), address);
        }
        assert_eq!(size_of::<Address>(), 16);
    }
}
