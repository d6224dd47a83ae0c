//! Parses the URL of a server. The error for a wrong URL shows how to write it.
use crate::{
    client::{stream::Destination, tls::ServerName, zone},
    handshake::authority,
};
use http::{Uri, uri::InvalidUri};

/// The parts of a URL, as dialling needs them.
#[derive(Debug)]
pub(crate) struct Target {
    /// The path and query, as in the first line of the request.
    pub(super) path: String,
    /// The host and port, as in the `Host` header.
    pub(super) host: String,
    pub(crate) destination: Destination,
    /// The name that the server's certificate must contain. Only for `wss://`.
    pub(super) tls: Option<ServerName>,
}

impl Target {
    /// Parses a URL. The error names the mistake, and shows how to write the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("cannot dial {url:?}: {why}");
        let uri: Uri = match url.parse() {
            Ok(uri) => uri,
            // With a scheme it may be valid.
            Err(_) if !url.is_empty() && !url.contains("://") => return Err(wrong(&with_scheme(url))),
            Err(error) => return Err(wrong(&InvalidUri::to_string(&error))),
        };
        // A scheme has no case (RFC 3986 section 3.1).
        let secure = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(wrong(&with_scheme(url))),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it does not name a host"))?;
        if authority.as_str().contains('@') {
            // Without this error they would be dropped silently.
            return Err(wrong("credentials in a URL are not sent: set them with `header`"));
        }
        let (authority, zone) = zone::split(authority).map_err(wrong)?;
        let authority = &authority;
        let host = authority::host(authority).ok_or_else(|| match authority.host() {
            "" => wrong("it does not name a host"),
            _ => wrong("the text in brackets is not an IPv6 address"),
        })?;
        let tls = if secure { Some(ServerName::parse(host).map_err(wrong)?) } else { None };
        // A text that is not a port must not mean the default port: another server may listen
        // there.
        let port = match authority::port(authority) {
            Ok(Some(0)) => Err(":0"),
            port => port.map(|port| port.unwrap_or(if secure { 443 } else { 80 })),
        };
        let port = port.map_err(|port| {
            let host = authority.host();
            wrong(&format!(
                "`{port}` after its host is not a port: write one from 1 to 65535, as in ws://{host}:9001/ws"
            ))
        })?;
        // `Display` begins with a slash if the URL has a query but not a path.
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let destination = Destination { host: format!("{host}{zone}"), port };
        Ok(Self { path, host: authority.as_str().to_owned(), destination, tls })
    }
}

/// Returns the correct form of a URL without the scheme `ws` or `wss`. Control characters are
/// escaped, because the text becomes part of an error.
fn with_scheme(url: &str) -> String {
    let url: &str = &url.escape_debug().to_string();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let secure = matches!(scheme.to_ascii_lowercase().as_str(), "https" | "wss");
            format!("its scheme is neither ws nor wss: write it as {}://{rest}", if secure { "wss" } else { "ws" })
        }
        None if url.starts_with('/') || url.contains(":/") => "write it as ws://host:port/path".to_owned(),
        None => format!("it has no scheme: write it as ws://{url}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row X4: the error of a wrong URL names the mistake.
    #[test]
    fn a_url_that_cannot_be_dialled_says_why() {
        for (url, why) in [
            ("", "empty"),
            ("box", "it has no scheme: write it as ws://box"),
            ("localhost:80/ws", "it has no scheme: write it as ws://localhost:80/ws"),
            ("localhost:80", "it has no scheme: write it as ws://localhost:80"),
            ("/ws", "write it as ws://host:port/path"),
            ("ws:/a", "write it as ws://host:port/path"),
            ("a\nb", r"write it as ws://a\nb"),
            ("http://a/ws", "its scheme is neither ws nor wss: write it as ws://a/ws"),
            ("HTTPS://a/ws", "its scheme is neither ws nor wss: write it as wss://a/ws"),
            ("wss://a..b/ws", if cfg!(feature = "rustls") { "certificate" } else { "the feature `rustls`" }),
            ("ws://user:pass@a/ws", "credentials"),
            ("ws://a b/ws", "invalid"),
            (
                "ws://a:99999/ws",
                "`:99999` after its host is not a port: write one from 1 to 65535, as in ws://a:9001/ws",
            ),
            ("ws://[a]/ws", "not an IPv6 address"),
            ("ws://[a%25eth0]/ws", "not an IPv6 address"),
            ("ws://[fe80::1%eth0]/ws", "write the zone of its address as in [fe80::1%25eth0]"),
            ("ws://a:+80/ws", "`:+80` after its host is not a port"),
            ("ws://a:0/ws", "`:0` after its host is not a port"),
            ("ws://[::1]9/ws", "`9` after its host is not a port: write one from 1 to 65535, as in ws://[::1]:9001/ws"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
        let target = Target::parse("ws://[::1]:9001/ws?id=1").unwrap();
        assert_eq!((&*target.destination.host, target.destination.port), ("::1", 9001));
        for url in ["ws://a/ws", "ws://a:/ws", "ws://[::1]/ws", "WS://a/ws"] {
            assert_eq!(Target::parse(url).unwrap().destination.port, 80);
        }
    }

    /// Row K14: only the socket has the zone.
    #[test]
    fn a_zone_is_part_of_the_destination_alone() {
        let target = Target::parse("ws://[fe80::1%25eth0]:9001/ws").unwrap();
        assert_eq!(target.destination.to_string(), "[fe80::1%eth0]:9001");
        assert_eq!(target.host, "[fe80::1]:9001");
    }
}
