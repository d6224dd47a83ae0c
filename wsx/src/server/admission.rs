//! How many may come in: the limits of a hub's doors, counted before anything of a request is read.
//!
//! Knows addresses and numbers; what is answered to those who stay outside is the door's.
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

/// How many connections and handshakes a hub lets in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 300 MB when they are idle; most systems run out of file descriptors before.
            connections: 100_000,
            // None of its own: behind a proxy, or one mobile operator's NAT, all have one address.
            connections_per_address: usize::MAX,
            // 16 KiB of head each make 16 MiB.
            handshakes: 1024,
        }
    }
}

/// What has come in, against the limits.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) limits: Limits,
    /// Half-done handshakes.
    pub(crate) handshakes: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts for an address until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let handshakes = Arc::new(Semaphore::new(limits.handshakes.min(Semaphore::MAX_PERMITS)));
        Self { limits, handshakes, addresses: Mutex::default() }
    }

    /// Counts one more from this address, unless it has as many as it may. Nothing is counted without such a limit.
    pub(crate) fn count(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Counted>, ()> {
        let limit = self.limits.connections_per_address;
        let Some(address) = address.filter(|_| limit < usize::MAX).map(network) else { return Ok(None) };
        let mut addresses = self.addresses();
        // Not by `entry`: an address that is refused leaves nothing behind.
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

/// What counts as one address: an IPv4 address, or the /64 network that a provider gives one customer in IPv6.
fn network(address: IpAddr) -> IpAddr {
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

    /// Row R4: the limit on the connections of one address.
    #[test]
    fn an_address_has_as_many_as_it_may_and_gives_them_back() {
        let admission = Arc::new(Admission::new(Limits { connections_per_address: 2, ..Limits::default() }));
        let count = |address: &str| admission.count(Some(address.parse().unwrap()));
        let (first, second) = (count("192.0.2.1"), count("::ffff:192.0.2.1"));
        assert!(first.is_ok() && second.is_ok());
        assert!(count("192.0.2.1").is_err(), "an IPv4 address is the same behind ::ffff");
        assert!(count("192.0.2.2").is_ok(), "another address");
        drop(first);
        assert!(count("192.0.2.1").is_ok());
        drop(second);
        assert!(admission.addresses().is_empty(), "nothing is kept of those who left");
    }

    #[test]
    fn an_address_that_is_refused_leaves_nothing_behind() {
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
}
