//! The variables of the environment that name proxies, and the list in `NO_PROXY`.
use crate::client::stream::Destination;
use std::{ffi::OsString, net::IpAddr};

/// The variables of the environment, with the names in upper case.
pub(super) struct Variables(Vec<(String, OsString)>);

impl Variables {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut set: Vec<_> = named.filter(|(_, value)| !value.is_empty()).collect();
        // Lower case takes precedence, and its letters are the greater ones.
        set.sort_by(|(one, _), (other, _)| other.cmp(one));
        Self(set)
    }

    /// Returns the value of a variable, if it is set and may be used. The error is that of a value
    /// that is not Unicode.
    pub(super) fn get(&self, name: &str) -> Option<Result<&str, &'static str>> {
        let find = |name: &str| self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        let (_, value) = find(name)?;
        if name == "HTTP_PROXY" && find("REQUEST_METHOD").is_some() {
            return None;
        }
        Some(value.to_str().ok_or("its value is not Unicode"))
    }
}

/// The servers that are dialled directly.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exceptions(Vec<Exception>);

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq)]
struct Exception {
    hosts: Hosts,
    /// The only port, if there is one.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Hosts {
    All,
    /// A name, and every name below it.
    Domain(String),
    /// An address, and the number of its first bits that matter.
    Network(IpAddr, u32),
}

impl Exceptions {
    pub(super) fn parse(list: &str) -> Self {
        let entries = list.split(|letter: char| letter == ',' || letter.is_whitespace());
        Self(entries.filter(|entry| !entry.is_empty()).map(Exception::parse).collect())
    }

    pub(super) fn contain(&self, destination: &Destination) -> bool {
        self.0.iter().any(|exception| exception.contains(destination))
    }
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if let Some(hosts) = Hosts::network(entry) {
            return Self { hosts, port: None };
        }
        let (host, port) = match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (entry, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let hosts = Hosts::network(host).unwrap_or_else(|| match host {
            "*" => Hosts::All,
            _ => {
                let domain = host.strip_prefix('*').unwrap_or(host).trim_matches('.');
                Hosts::Domain(domain.to_ascii_lowercase())
            }
        });
        Self { hosts, port }
    }

    fn contains(&self, Destination { host, port }: &Destination) -> bool {
        if self.port.is_some_and(|own| own != *port) {
            return false;
        }
        let without_zone = host.split('%').next().unwrap_or_default();
        match (&self.hosts, without_zone.parse::<IpAddr>()) {
            (Hosts::All, _) => true,
            (Hosts::Network(network, bits), Ok(address)) => {
                let different = match (network, address) {
                    (IpAddr::V4(network), IpAddr::V4(address)) => {
                        (network.to_bits() ^ address.to_bits()).leading_zeros()
                    }
                    (IpAddr::V6(network), IpAddr::V6(address)) => {
                        (network.to_bits() ^ address.to_bits()).leading_zeros()
                    }
                    _ => return false,
                };
                different >= *bits
            }
            (Hosts::Domain(domain), Err(_)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host.strip_suffix(&**domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        }
    }
}

impl Hosts {
    /// Parses an address, or a network as `10.0.0.0/8`.
    fn network(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv6() { 128 } else { 32 };
        let bits = bits.map_or(Some(all), |bits| bits.parse().ok().filter(|bits| *bits <= all))?;
        Some(Self::Network(address, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row K12: domains, addresses, networks and ports in `NO_PROXY`.
    #[test]
    fn a_list_names_domains_addresses_and_networks() {
        for (list, matching, others) in [
            ("", &[][..], &["a:80", "127.0.0.1:80"][..]),
            ("*", &["a:80", "127.0.0.1:80", "::1:80"], &[]),
            ("example.com", &["example.com:1", "EXAMPLE.COM.:1", "a.b.example.com:1"], &["notexample.com:1", "com:1"]),
            (".Example.com", &["example.com:1", "a.example.com:1"], &["notexample.com:1"]),
            ("*.example.com", &["example.com:1", "a.example.com:1"], &["notexample.com:1"]),
            (" a,b c,,", &["a:1", "b:1", "c:1"], &["d:1"]),
            ("a:81", &["a:81", "b.a:81"], &["a:80"]),
            ("192.0.2.7", &["192.0.2.7:1"], &["192.0.2.8:1", "a.192.0.2.7:1", "::1:1"]),
            ("10.0.0.0/8", &["10.255.0.1:1"], &["11.0.0.0:1", "::1:1"]),
            ("10.0.0.0/8:9001", &["10.1.0.1:9001"], &["10.1.0.1:9002"]),
            ("0.0.0.0/0", &["8.8.8.8:1"], &["::1:1", "a:1"]),
            ("10.0.0.0/33", &[], &["10.0.0.0:1"]),
            ("::1", &["::1:1"], &["::2:1", "127.0.0.1:1"]),
            ("[::1]:81", &["::1:81"], &["::1:80"]),
            ("2001:db8::/32", &["2001:db8:7::1:1"], &["2001:db9::1:1"]),
            ("fe80::/10", &["fe80::1%eth0:1"], &[]),
        ] {
            let exceptions = Exceptions::parse(list);
            for (servers, expected) in [(matching, true), (others, false)] {
                for server in servers {
                    let (host, port) = server.rsplit_once(':').unwrap();
                    let destination = Destination { host: host.to_owned(), port: port.parse().unwrap() };
                    assert_eq!(exceptions.contain(&destination), expected, "{list}: {server}");
                }
            }
        }
    }
}
