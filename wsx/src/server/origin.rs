//! The check of a request's `Origin` header: which web pages may connect. It does not know TLS.
use http::{HeaderMap, HeaderValue, header, uri::Authority};

/// The web pages that may connect. Only browsers send an `Origin` header, so a request without one
/// is allowed (RFC 6455 section 10.2).
#[derive(Debug, Clone)]
pub(crate) enum Origins {
    /// All pages, for development.
    Any,
    /// Pages from the host and port of the request's `Host` header.
    SameHost,
    /// Pages of these origins. Scheme, host and port must be equal.
    List(Vec<Origin>),
}

impl Origins {
    /// Whether every `Origin` header of the request is allowed.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let origins = headers.get_all(header::ORIGIN).iter();
        let mut given = origins.map(|given| given.to_str().ok().and_then(Origin::parse));
        match self {
            Self::Any => true,
            Self::SameHost => given.all(|given| given.is_some_and(|given| given.is_at(headers.get(header::HOST)))),
            Self::List(allowed) => given.all(|given| given.is_some_and(|given| allowed.contains(&given))),
        }
    }
}

/// An origin in the sense of RFC 6454 section 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns `None` if the text is not an origin with a host, such as `null`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        // RFC 3986 section 3.1. The first letter does not matter here.
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let standard = match &*scheme {
            "https" => 443,
            "http" => 80,
            _ => 0,
        };
        let authority: Authority = rest.parse().ok()?;
        // An origin does not have user information, or anything after its port.
        let port = authority.port_u16().unwrap_or(standard);
        let host = authority.host().to_ascii_lowercase();
        let rebuilt = if authority.port().is_some() { format!("{host}:{port}") } else { host.clone() };
        (rebuilt == rest.to_ascii_lowercase() && port != 0).then_some(Self { scheme, host, port })
    }

    /// Whether this `Host` header has the host and port of the origin. If the header has no port,
    /// the default port of the origin's scheme counts, because this file does not know whether the
    /// request came over TLS.
    fn is_at(&self, host: Option<&HeaderValue>) -> bool {
        let host = host.and_then(|host| host.to_str().ok());
        host.and_then(|host| Self::parse(&format!("{}://{host}", self.scheme))).is_some_and(|at| at == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows R4, X1: a page may connect to the server that it came from.
    #[test]
    fn only_a_page_of_the_same_host_is_allowed() {
        let allow = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            Origins::SameHost.allow(&headers)
        };
        for (origin, host) in [
            ("https://ops.example.com", "ops.example.com"),
            ("https://ops.example.com", "OPS.example.com:443"),
            ("http://localhost:3000", "localhost:3000"),
        ] {
            assert!(allow(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example.com", "ops.example.com"),
            ("https://ops.example.com.evil", "ops.example.com"),
            ("http://localhost:3001", "localhost:3000"),
            ("http://localhost", "localhost:3000"),
            ("null", "localhost"),
            ("http:443://localhost:3000", "localhost:3000"),
            ("http://x", ""),
        ] {
            assert!(!allow(origin, host), "{origin} at {host}");
        }
        assert!(Origins::SameHost.allow(&HeaderMap::new()), "not a browser");
    }

    /// Row X1: exact match of scheme, host and port.
    #[test]
    fn only_listed_origins_are_allowed() {
        let list = Origins::List(vec![
            Origin::parse("https://ops.example.com").unwrap(),
            Origin::parse("http://localhost:3000").unwrap(),
        ]);
        let allow = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            list.allow(&headers)
        };
        for good in [
            "https://ops.example.com",
            "https://OPS.example.com",
            "https://ops.example.com:443",
            "http://localhost:3000",
        ] {
            assert!(allow(good), "{good}");
        }
        for bad in [
            "http://ops.example.com",
            "https://ops.example.com:444",
            "https://evil-ops.example.com",
            "https://ops.example.com.evil",
            "https://x@ops.example.com",
            "https://ops.example.com/",
            "null",
            "",
            "ops.example.com",
            "http://localhost",
        ] {
            assert!(!allow(bad), "{bad}");
        }
        assert!(list.allow(&HeaderMap::new()), "not a browser");
    }
}
