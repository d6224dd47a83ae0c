//! The check of a request's `Origin` header: which web pages may connect. It does not know TLS.
use crate::{handshake::header_list, observer::RejectionKind, server::rejection::Rejection};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority};

/// The `Host` header of the request that a proxy has received.
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The maximum length of a header's text in a report, in bytes.
const SHOWN: usize = 64;

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
    /// Checks every `Origin` header of the request. Returns a rejection for the first that is not
    /// allowed.
    ///
    /// `by_proxy` is whether a trusted proxy sent the request. Then the host is that of
    /// `X-Forwarded-Host`, if the proxy sends it.
    pub(super) fn check(&self, headers: &HeaderMap, by_proxy: bool) -> Result<(), Rejection> {
        let host = || {
            let forwarded = header_list::elements(headers, X_FORWARDED_HOST).next().filter(|_| by_proxy);
            forwarded.or_else(|| headers.get(header::HOST).map(HeaderValue::as_bytes))
        };
        let allowed = |given: &HeaderValue| {
            let origin = || given.to_str().ok().and_then(Origin::parse);
            match self {
                Self::Any => true,
                Self::SameHost => origin().is_some_and(|origin| origin.is_at(host())),
                Self::List(allowed) => origin().is_some_and(|origin| allowed.contains(&origin)),
            }
        };
        let Some(wrong) = headers.get_all(header::ORIGIN).iter().find(|given| !allowed(given)) else { return Ok(()) };
        let origin = shown(wrong.as_bytes());
        let detail = match self {
            Self::SameHost => format!(
                "the page is from {origin}, and the host is {}; a proxy has to keep `Host`, or to be in \
                 `trusted_proxies` and send `X-Forwarded-Host`",
                shown(host().unwrap_or_default())
            ),
            Self::Any | Self::List(_) => format!("the page is from {origin}, which is not in `allow_origins`"),
        };
        Err(Rejection::of(RejectionKind::Origin, StatusCode::FORBIDDEN, "this `Origin` is not allowed").detail(detail))
    }
}

/// Returns the text of a peer for a report: escaped, and cut.
fn shown(text: &[u8]) -> String {
    let cut = if text.len() > SHOWN { "…" } else { "" };
    format!("\"{}{cut}\"", text[..text.len().min(SHOWN)].escape_ascii())
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
    fn is_at(&self, host: Option<&[u8]>) -> bool {
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        host.and_then(|host| Self::parse(&format!("{}://{host}", self.scheme))).is_some_and(|at| at == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rejection::Reported;

    /// Rows R4, X1: a page may connect to the server that it came from.
    #[test]
    fn only_a_page_of_the_same_host_is_allowed() {
        let allow = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            Origins::SameHost.check(&headers, false).is_ok()
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
        assert!(Origins::SameHost.check(&HeaderMap::new(), false).is_ok(), "not a browser");
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
            list.check(&headers, false).is_ok()
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
        assert!(list.check(&HeaderMap::new(), false).is_ok(), "not a browser");
    }

    /// Row N5: the host that a proxy has received counts if the proxy is trusted. Others can send
    /// the same header.
    #[test]
    fn the_host_of_a_trusted_proxy_counts() {
        let allow = |forwarded: &[&'static str], by_proxy| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static("https://ops.example.com"));
            headers.insert(header::HOST, HeaderValue::from_static("10.0.0.1:9001"));
            for host in forwarded {
                headers.append(X_FORWARDED_HOST, HeaderValue::from_static(host));
            }
            Origins::SameHost.check(&headers, by_proxy).is_ok()
        };
        assert!(allow(&["ops.example.com"], true));
        assert!(allow(&["ops.example.com, inner"], true), "the first proxy has the host of the browser");
        assert!(allow(&["ops.example.com", "inner"], true));
        assert!(!allow(&["ops.example.com"], false));
        assert!(!allow(&["evil.example.com"], true));
        assert!(!allow(&[""], true));
        assert!(!allow(&[], true));
    }

    /// Row N5: the report names what was compared, bounded and escaped.
    #[test]
    fn a_rejection_names_the_origin_and_the_host() {
        let detail = |origin: &[u8], host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin).unwrap());
            headers.insert(header::HOST, HeaderValue::from_static(host));
            let rejection = Origins::SameHost.check(&headers, false).unwrap_err();
            assert_eq!(rejection.body, "this `Origin` is not allowed", "the peer does not learn the host");
            let Reported::Detail(detail) = rejection.reported else { panic!("there is no detail") };
            detail.into_string()
        };
        let said = detail(b"https://ops.example.com", "127.0.0.1:9001");
        assert!(said.contains("from \"https://ops.example.com\""), "{said}");
        assert!(said.contains("the host is \"127.0.0.1:9001\""), "{said}");
        assert!(said.contains("X-Forwarded-Host"), "{said}");
        let said = detail(b"\xff\"\t", "a");
        assert!(said.contains(r#"from "\xff\"\t""#), "{said}");
        let said = detail(&[b'x'; 5000], "a");
        assert!(said.len() < 512, "{said}");
    }
}
