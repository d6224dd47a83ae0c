//! Parses the URL of a server. The error for a wrong URL names the wrong character, and shows how
//! to write it.
//!
//! A URL can contain a token. So neither an error nor an id shows its query.
use crate::{
    client::{stream::Destination, tls::ServerName, zone},
    error::cut,
    handshake::{authority, percent},
};
use http::{Uri, uri::InvalidUri};
use std::{net::Ipv6Addr, sync::Arc};

/// The parts of a URL, as dialling needs them.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The URL without its secrets, which is the id of a connection.
    pub(super) id: Arc<str>,
    /// The path and query, as in the first line of the request.
    pub(super) path: String,
    /// The host and port, as in the `Host` header.
    pub(super) host: String,
    pub(crate) destination: Destination,
    /// The name that the server's certificate must contain. Only for `wss://`.
    pub(super) tls: Option<ServerName>,
}

impl Target {
    /// Parses a URL. The error names the mistake and its place, and shows how to write the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let id = without_secrets(url);
        let shown = cut(&id);
        let wrong = |why: &str| format!("cannot dial {shown:?}: {why}");
        if let Some((at, character)) = find(url, |character| character <= ' ' || character == '\x7f') {
            return Err(wrong(&unwelcome(at, character)));
        }
        // A scheme has no case (RFC 3986 section 3.1).
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let secure = match scheme {
            _ if url.is_empty() => return Err(wrong("it is empty: write it as ws://host:port/path")),
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(wrong(&with_scheme(&shown))),
        };
        if may_be_cut_password(&url[authority_start(url)..]) {
            return Err(wrong("it seems to have credentials, which are not sent: set them with `header`"));
        }
        let uri: Uri = url.parse().map_err(|error| match unlikely(url) {
            Some((at, character)) => wrong(&unwelcome(at, character)),
            None => wrong(&InvalidUri::to_string(&error)),
        })?;
        let authority = uri.authority().ok_or_else(|| wrong("it does not name a host"))?;
        if authority.as_str().contains('@') {
            // Without this error they would be dropped silently.
            return Err(wrong("credentials in a URL are not sent: set them with `header`"));
        }
        // An authority is ASCII, so a byte is a character.
        let behind_host = scheme.map_or(0, str::len) + "://".len() + authority.host().len() + 1;
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
            let host = cut(authority.host());
            let at = behind_host;
            let digit = |character: char| character.is_ascii_digit();
            let wrong_digit = port.strip_prefix(':').and_then(|port| find(port, |character| !digit(character)));
            let what = match wrong_digit {
                Some((offset, character)) => {
                    format!("{character:?} at character {} is not part of a port", at + offset)
                }
                None => format!("`{}` at character {at} is not a port", cut(port)),
            };
            wrong(&format!("{what}: write one from 1 to 65535, as in ws://{host}:9001/ws"))
        })?;
        // `Display` begins with a slash if the URL has a query but not a path.
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let destination = Destination { host: format!("{host}{zone}"), port };
        Ok(Self { path, host: authority.as_str().to_owned(), destination, tls, id: id.into() })
    }

    /// Returns the whole URL, with the zone and without a fragment.
    pub(super) fn url(&self) -> String {
        self.url_in(self.zone())
    }

    /// Returns the URL with the zone of the server that redirects to it, if it lacks one.
    ///
    /// A server does not know the zones of this machine. It writes its own address, or another one
    /// of its link, as the `Host` header has it.
    pub(super) fn with_zone_of(&self, from: &Self) -> Option<String> {
        let zone = from.zone().filter(|_| self.zone().is_none())?;
        let address: Ipv6Addr = self.destination.host.parse().ok()?;
        let own = from.destination.host.split('%').next()?.parse() == Ok(address);
        (own || address.is_unicast_link_local()).then(|| self.url_in(Some(zone)))
    }

    /// Returns the zone of the address, as the operating system writes it.
    fn zone(&self) -> Option<&str> {
        self.destination.host.split_once('%').map(|(_, zone)| zone)
    }

    /// Returns the whole URL with this zone.
    fn url_in(&self, zone: Option<&str>) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let zone = zone.map_or_else(String::new, |zone| format!("%25{}", percent::encode(zone)));
        let host = self.host.replacen(']', &format!("{zone}]"), 1);
        format!("{scheme}://{host}{}", self.path)
    }

    /// Whether both have the same scheme, host and port.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        let Destination { host, port } = &self.destination;
        self.tls.is_some() == other.tls.is_some()
            && host.eq_ignore_ascii_case(&other.destination.host)
            && *port == other.destination.port
    }
}

/// Returns a URL without its user information, query and fragment, which can contain secrets.
///
/// Where a password can contain a `/`, `?` or `#`, only the scheme remains.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_at(authority_start(url));
    if may_be_cut_password(rest) {
        return format!("{scheme}…");
    }
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let user = rest[..rest.find('/').unwrap_or(rest.len())].rfind('@').map_or(0, |at| at + 1);
    [scheme, &rest[user..]].concat()
}

/// Returns the place after the scheme.
fn authority_start(url: &str) -> usize {
    url.find("://").map_or(0, |at| at + "://".len())
}

/// Whether a `/`, `?` or `#` can be part of a password: an `@` follows it, and the text before it
/// is not a host and port. `rest` is a URL without its scheme.
fn may_be_cut_password(rest: &str) -> bool {
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let behind_address = &authority[authority.rfind(']').unwrap_or(0)..];
    let port = behind_address.rsplit_once(':').map_or("", |(_, port)| port);
    let is_server = !authority.contains('@') && port.bytes().all(|byte| byte.is_ascii_digit());
    behind.contains('@') && !is_server
}

/// Returns the first such character, and its place from 1.
fn find(text: &str, wrong: impl Fn(char) -> bool) -> Option<(usize, char)> {
    text.chars().zip(1..).find(|(character, _)| wrong(*character)).map(|(character, at)| (at, character))
}

/// Returns the character that is the most likely mistake in a URL that `http` rejects.
fn unlikely(url: &str) -> Option<(usize, char)> {
    let in_host = |character: char| character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%[]".contains(character);
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let host = find(&url[start..end], |character| !in_host(character)).map(|(at, character)| (start + at, character));
    host.or_else(|| find(url, |character| !character.is_ascii() || "\"<>\\^`{|}".contains(character)))
}

/// Returns the error for a character that a URL must not contain.
fn unwelcome(at: usize, character: char) -> String {
    match character {
        ' ' => format!("character {at} is a space: remove it, or write `%20` in the path or query"),
        _ => format!("character {at} is {character:?}: remove it, or percent-encode it in the path or query"),
    }
}

/// Returns the correct form of a URL without the scheme `ws` or `wss`.
fn with_scheme(url: &str) -> String {
    let url: &str = &url.escape_debug().to_string();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let secure = matches!(scheme.to_ascii_lowercase().as_str(), "https" | "wss");
            let right = if secure { "wss" } else { "ws" };
            format!("its scheme `{scheme}` at character 1 is neither ws nor wss: write it as {right}://{rest}")
        }
        None if url.starts_with('/') || url.contains(":/") => "write it as ws://host:port/path".to_owned(),
        None => format!("it has no scheme: write it as ws://{url}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows K24, X4: the error of a wrong URL names the mistake and its place.
    #[test]
    fn a_url_that_cannot_be_dialled_says_why() {
        for (url, why) in [
            ("", "empty"),
            ("box", "it has no scheme: write it as ws://box"),
            ("localhost:80/ws", "it has no scheme: write it as ws://localhost:80/ws"),
            ("localhost:80", "it has no scheme: write it as ws://localhost:80"),
            ("/ws", "write it as ws://host:port/path"),
            ("ws:/a", "write it as ws://host:port/path"),
            ("a\nb", r"character 2 is '\n': remove it, or percent-encode it in the path or query"),
            ("http://a/ws", "its scheme `http` at character 1 is neither ws nor wss: write it as ws://a/ws"),
            ("HTTPS://a/ws?t=x", "its scheme `HTTPS` at character 1 is neither ws nor wss: write it as wss://a/ws"),
            ("wss://a..b/ws", if cfg!(feature = "rustls") { "certificate" } else { "the feature `rustls`" }),
            ("ws://user:pass@a/ws", "credentials"),
            ("ws://a b/ws", "character 7 is a space: remove it, or write `%20` in the path or query"),
            (" ws://a/ws", "character 1 is a space"),
            ("ws://a/ws?name=a b", "character 17 is a space"),
            ("ws://a/ws\n", r"character 10 is '\n'"),
            ("ws://a|b/ws", "character 7 is '|'"),
            ("ws://ü/ws", "character 6 is 'ü'"),
            ("ws://a/é b", "character 9 is a space"),
            ("ws://a/ws?a^b<c", "character 12 is '^'"),
            (
                "ws://a:99999/ws",
                "`:99999` at character 7 is not a port: write one from 1 to 65535, as in ws://a:9001/ws",
            ),
            ("ws://[a]/ws", "not an IPv6 address"),
            ("ws://[a%25eth0]/ws", "not an IPv6 address"),
            ("ws://[fe80::1%eth0]/ws", "write the zone of its address as in [fe80::1%25eth0]"),
            ("ws://a:+80/ws", "'+' at character 8 is not part of a port: write one from 1 to 65535"),
            ("wss://b.a:80x/ws", if cfg!(feature = "rustls") { "'x' at character 13 is not" } else { "rustls" }),
            ("ws://a:0/ws", "`:0` at character 7 is not a port"),
            (
                "ws://[::1]9/ws",
                "`9` at character 11 is not a port: write one from 1 to 65535, as in ws://[::1]:9001/ws",
            ),
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
        for url in ["ws://[fe80::1%25a%40b]:9001/ws?x", "ws://[::1]/ws", "ws://a/"] {
            assert_eq!(Target::parse(url).unwrap().url(), url);
        }
    }

    /// Row K26: neither an id nor an error has the secrets of a URL.
    #[test]
    fn the_secrets_of_a_url_are_not_shown() {
        for (url, id) in [
            ("ws://a:80/ws?token=secret", "ws://a:80/ws"),
            ("ws://a?secret", "ws://a"),
            ("ws://a/ws#secret", "ws://a/ws"),
            ("ws://a/b@c", "ws://a/b@c"),
            ("ws://user:secret@a/ws?secret", "ws://a/ws"),
            ("user:secret@a", "a"),
            ("http://user:sec@ret@a/ws?secret", "http://a/ws"),
            ("ws://user:secret/secret@a/ws", "ws://…"),
            ("ws://user:secret?secret@a/ws?secret", "ws://…"),
            ("ws://user:secret#secret@a/ws", "ws://…"),
            ("ws://user:secret@secret/secret@a/ws", "ws://…"),
            ("user:secret/secret@a", "…"),
            ("ws://a:80/b@c?mail=secret@d", "ws://a:80/b@c"),
            ("ws://[::1]/b@c?secret", "ws://[::1]/b@c"),
            ("ws://[::1]:80?secret@d", "ws://[::1]:80"),
        ] {
            assert_eq!(without_secrets(url), id);
            match Target::parse(url) {
                Ok(target) => assert_eq!(&*target.id, id),
                Err(why) => assert!(!why.contains("secret"), "{why}"),
            }
        }
    }
}
