//! The limits on a hub's connections and handshakes, which apply before a request is read.
//!
//! It knows addresses and numbers. It does not know requests, or the answers to rejected ones.
use crate::{
    connection::{
        loom_or_std::{Mutex, MutexGuard},
        queue::Budget,
    },
    server::{ingress::Ingress, pace::Pace, places::Places},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError},
};
use tokio::time::Instant;

/// A full hub decides about one handshake over TLS for this many places at the same time.
#[cfg(feature = "rustls")]
const CANDIDATES: usize = 64;
/// A full hub has room for one replacement for this many connections.
const REPLACEMENTS: usize = 16;

/// The maximum numbers of connections and handshakes of a hub.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) handshakes: usize,
    /// The bytes in all queues together; `None` without a limit.
    pub(crate) queued_bytes: Option<usize>,
    /// The connections in a second, and how many more after a quiet time; `None` without a limit.
    pub(crate) per_second: Option<(u32, u32)>,
    /// The lowest version of the protocol; `None` without a limit.
    pub(crate) version: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 300 MB if they are idle. Most systems run out of file descriptors first.
            connections: 100_000,
            // Not limited: behind a proxy or the NAT of a mobile operator, all connections have the
            // same address.
            connections_per_address: usize::MAX,
            // With a head of 16 KiB each, they take 16 MiB.
            handshakes: 1024,
            // Not limited: the bounds of each connection apply.
            queued_bytes: None,
            // Not limited: only the program knows what a new connection costs it.
            per_second: None,
            // Not limited: an outdated box has to receive its update.
            version: None,
        }
    }
}

/// The limits of a hub, and the counts that they apply to.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) limits: Limits,
    /// The trusted proxies, which the limits of an address do not apply to.
    pub(crate) ingress: Ingress,
    /// The places of the handshakes in progress.
    pub(crate) handshakes: Arc<Places>,
    /// The places of handshakes over TLS that began while the hub was full. They may replace a
    /// connection with the same id, but the request with the id comes after TLS.
    #[cfg(feature = "rustls")]
    pub(crate) candidates: Arc<Places>,
    /// The bytes that the queues of all connections may hold together.
    pub(crate) budget: Budget,
    /// The connections that are accepted in a second, if that is limited.
    pub(crate) pace: Option<Pace>,
    /// The number of connections and handshakes of each address. It is empty without a limit.
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection or handshake of an address. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ingress: Ingress::default(),
            handshakes: Arc::new(Places::new(limits.handshakes)),
            #[cfg(feature = "rustls")]
            candidates: Arc::new(Places::new((limits.handshakes / CANDIDATES).max(1))),
            budget: limits.queued_bytes.map(Budget::new).unwrap_or_default(),
            pace: limits.per_second.map(|(per_second, burst)| Pace::new(per_second, burst, Instant::now())),
            addresses: Mutex::default(),
        }
    }

    /// Sets the trusted proxies.
    pub(crate) fn with_ingress(mut self, ingress: Ingress) -> Self {
        self.ingress = ingress;
        self
    }

    /// Whether a request must not be accepted without the address of its peer.
    #[cfg(any(feature = "hyper", test))]
    pub(crate) fn needs_addresses(&self) -> bool {
        self.limits.connections_per_address < usize::MAX || !self.ingress.trusted.is_empty()
    }

    /// Returns the address whose share of the places a handshake takes. The peers of a trusted
    /// proxy do not share one.
    pub(crate) fn share_of(&self, peer: Option<SocketAddr>) -> Option<IpAddr> {
        peer.map(|peer| peer.ip()).filter(|address| !self.ingress.trusts(*address))
    }

    /// Whether a hub with this many connections has no room for one more.
    #[cfg(feature = "rustls")]
    pub(crate) fn is_full(&self, connections: usize) -> bool {
        connections >= self.limits.connections
    }

    /// Whether a hub with this many connections is still within its limit. A connection that
    /// replaces another one may exceed it, because the replaced one is closing.
    pub(crate) fn allows(&self, connections: usize, replaces: bool) -> bool {
        let limit = self.limits.connections;
        let room = if replaces { (limit / REPLACEMENTS).max(1) } else { 0 };
        connections <= limit.saturating_add(room)
    }

    /// Counts one more for this address. Returns an error if the address has reached its limit.
    /// Without a limit, nothing is counted, and neither is a trusted proxy.
    pub(crate) fn count(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Counted>, ()> {
        let limit = self.limits.connections_per_address;
        let Some(address) = address.filter(|address| limit < usize::MAX && !self.ingress.trusts(*address)) else {
            return Ok(None);
        };
        let address = network(address);
        let mut addresses = self.addresses();
        // Not with `entry`: a rejected address must not stay in the map.
        let count = addresses.get(&address).copied().unwrap_or(0);
        if count >= limit {
            return Err(());
        }
        addresses.insert(address, count + 1);
        Ok(Some(Counted { admission: self.clone(), address }))
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses();
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Returns the part of an address that is counted. That is the whole IPv4 address, or the /64
/// network of an IPv6 address, which a provider gives to one customer.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ingress::network::Network;

    /// Row R4: the limit on the connections of one address.
    #[test]
    fn an_address_is_counted_until_its_connections_end() {
        let admission = Arc::new(Admission::new(Limits { connections_per_address: 2, ..Limits::default() }));
        let count = |address: &str| admission.count(Some(address.parse().unwrap()));
        let (first, second) = (count("192.0.2.1"), count("::ffff:192.0.2.1"));
        assert!(first.is_ok() && second.is_ok());
        assert!(count("192.0.2.1").is_err(), "an IPv4 address is the same as its mapped IPv6 address");
        assert!(count("192.0.2.2").is_ok(), "another address");
        drop(first);
        assert!(count("192.0.2.1").is_ok());
        drop(second);
        assert!(admission.addresses().is_empty(), "the map keeps no address without connections");
    }

    /// Rows N1, R4: the limits of an address do not apply to a trusted proxy.
    #[test]
    fn a_trusted_proxy_has_no_limit() {
        let mut ingress = Ingress::default();
        ingress.trusted.push(Network::parse("192.0.2.0/24").unwrap());
        let admission = Admission::new(Limits { connections_per_address: 0, ..Limits::default() });
        let admission = Arc::new(admission.with_ingress(ingress));
        assert!(admission.count(Some("192.0.2.1".parse().unwrap())).is_ok_and(|counted| counted.is_none()));
        assert!(admission.count(Some("192.0.3.1".parse().unwrap())).is_err());
        assert_eq!(admission.share_of(Some("192.0.2.1:80".parse().unwrap())), None);
        let other = "192.0.3.1:80".parse().unwrap();
        assert_eq!(admission.share_of(Some(other)), Some(other.ip()));
        assert_eq!(admission.share_of(None), None);
    }

    #[test]
    fn an_address_is_needed_for_its_limit_and_for_a_trusted_proxy() {
        let admission = |connections_per_address, trusted: &[&str]| {
            let mut ingress = Ingress::default();
            ingress.trusted.extend(trusted.iter().map(|network| Network::parse(network).unwrap()));
            Admission::new(Limits { connections_per_address, ..Limits::default() }).with_ingress(ingress)
        };
        assert!(!admission(usize::MAX, &[]).needs_addresses());
        assert!(admission(usize::MAX - 1, &[]).needs_addresses());
        assert!(admission(usize::MAX, &["192.0.2.0/24"]).needs_addresses());
    }

    #[test]
    fn an_address_that_is_rejected_is_not_kept() {
        let admission = Arc::new(Admission::new(Limits { connections_per_address: 0, ..Limits::default() }));
        assert!(admission.count(Some("192.0.2.1".parse().unwrap())).is_err());
        assert!(admission.addresses().is_empty());
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let admission = Arc::new(Admission::new(Limits { connections_per_address: 1, ..Limits::default() }));
        let count = |address: &str| admission.count(Some(address.parse().unwrap()));
        let _first = count("2001:db8:1:2::1").unwrap();
        assert!(count("2001:db8:1:2:ffff::9").is_err());
        assert!(count("2001:db8:1:3::1").is_ok());
    }

    #[test]
    fn a_full_hub_has_room_for_one_replacement_for_16_connections() {
        for (connections, room) in [(1, 1), (16, 1), (31, 1), (32, 2), (100_000, 6250)] {
            let admission = Admission::new(Limits { connections, ..Limits::default() });
            assert!(admission.allows(connections, false) && !admission.allows(connections + 1, false));
            let most = connections + room;
            assert!(admission.allows(most, true) && !admission.allows(most + 1, true), "{connections}");
        }
        assert!(Admission::new(Limits { connections: usize::MAX, ..Limits::default() }).allows(usize::MAX, true));
    }

    #[cfg(feature = "rustls")]
    #[tokio::test]
    async fn a_full_hub_decides_about_one_handshake_over_tls_for_64_places() {
        for (handshakes, candidates) in [(1, 1), (64, 1), (127, 1), (128, 2), (1024, 16)] {
            let admission = Admission::new(Limits { handshakes, ..Limits::default() });
            let mut held = Vec::new();
            while let Some(place) = admission.candidates.try_take(None).await {
                held.push(place);
            }
            assert_eq!(held.len(), candidates, "{handshakes} places");
        }
    }

    #[cfg(feature = "rustls")]
    #[test]
    fn a_hub_is_full_at_its_limit() {
        let admission = Admission::new(Limits { connections: 2, ..Limits::default() });
        assert_eq!([1, 2, 3].map(|connections| admission.is_full(connections)), [false, true, true]);
    }

    #[test]
    fn without_a_limit_no_address_is_counted() {
        let admission = Arc::new(Admission::new(Limits::default()));
        assert!(matches!(admission.count(Some("192.0.2.1".parse().unwrap())), Ok(None)));
        let limited = Limits { connections_per_address: usize::MAX - 1, ..Limits::default() };
        assert!(matches!(Arc::new(Admission::new(limited)).count(None), Ok(None)), "the address is not known");
    }
}
