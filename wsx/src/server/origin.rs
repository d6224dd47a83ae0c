//! Which web pages may connect.
use http::{HeaderMap, HeaderValue, header, uri::Authority};

/// Which web pages may connect. Only browsers send an `Origin`; a request without one is let in (RFC 6455 section 10.2).
#[derive(Debug, Clone)]
pub(crate) enum Origins {
    /// Any: for development.
    Any,
    /// Those whose host and port are the request's own.
    SameHost,
    /// These alone: scheme, host and port must be the same.
    List(Vec<Origin>),
}

impl Origins {
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
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
    /// None where the text is no origin with a host, as `null` is not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let standard = match &*scheme {
            "https" => 443,
            "http" => 80,
            _ => 0,
        };
        let authority: Authority = rest.parse().ok()?;
        // An authority with user information, or with anything behind the port, is no origin.
        let port = authority.port_u16().unwrap_or(standard);
        let host = authority.host().to_ascii_lowercase();
        let rebuilt = if authority.port().is_some() { format!("{host}:{port}") } else { host.clone() };
        (rebuilt == rest.to_ascii_lowercase() && port != 0).then_some(Self { scheme, host, port })
    }

    /// Whether this `Host` header is the origin's host and port. Whether the request came over TLS is not known here, so
    /// a port that is left out is the origin's scheme's.
    fn is_at(&self, host: Option<&HeaderValue>) -> bool {
        let host = host.and_then(|host| host.to_str().ok());
        host.and_then(|host| Self::parse(&format!("{}://{host}", self.scheme))).is_some_and(|at| at == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows R4, X1: a page may talk to the server that it came from.
    #[test]
    fn a_page_of_the_same_host_is_let_in() {
        let admit = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            Origins::SameHost.admit(&headers)
        };
        for (origin, host) in [
            ("https://ops.example.com", "ops.example.com"),
            ("https://ops.example.com", "OPS.example.com:443"),
            ("http://localhost:3000", "localhost:3000"),
        ] {
            assert!(admit(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example.com", "ops.example.com"),
            ("https://ops.example.com.evil", "ops.example.com"),
            ("http://localhost:3001", "localhost:3000"),
            ("http://localhost", "localhost:3000"),
            ("null", "localhost"),
            ("http://x", ""),
        ] {
            assert!(!admit(origin, host), "{origin} at {host}");
        }
        assert!(Origins::SameHost.admit(&HeaderMap::new()), "no browser");
    }

    /// Row X1: exact match of scheme, host and port.
    #[test]
    fn only_the_listed_origins_are_let_in() {
        let list = Origins::List(vec![
            Origin::parse("https://ops.example.com").unwrap(),
            Origin::parse("http://localhost:3000").unwrap(),
        ]);
        let admit = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            list.admit(&headers)
        };
        for good in [
            "https://ops.example.com",
            "https://OPS.example.com",
            "https://ops.example.com:443",
            "http://localhost:3000",
        ] {
            assert!(admit(good), "{good}");
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
            assert!(!admit(bad), "{bad}");
        }
        assert!(list.admit(&HeaderMap::new()), "no browser");
    }
}
