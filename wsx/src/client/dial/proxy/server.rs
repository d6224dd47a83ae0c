//! The URL of a proxy.
use crate::{
    client::stream::Destination,
    handshake::{authority, percent},
};
use http::uri::Authority;
use std::fmt;

/// The protocol that a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Http,
    Socks5,
}

/// A user name and a password.
#[derive(Clone, PartialEq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

/// A proxy.
#[derive(Clone, PartialEq)]
pub(in crate::client::dial) struct Server {
    pub(super) kind: Kind,
    pub(super) address: Destination,
    pub(super) credentials: Option<Credentials>,
}

impl Server {
    /// Parses a URL. The error does not have the text of the URL, which may contain a password.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let kind = match &*scheme.to_ascii_lowercase() {
            "http" => Kind::Http,
            "socks" | "socks5" | "socks5h" => Kind::Socks5,
            "https" => {
                return Err("its scheme is https, and wsx does not speak TLS with a proxy: write http:// if it also \
                    accepts plain HTTP; wss:// is encrypted through such a proxy too");
            }
            "socks4" | "socks4a" => return Err("its scheme is SOCKS4: write socks5:// if the proxy speaks SOCKS5"),
            _ => {
                return Err(
                    "its scheme is neither http nor socks5: write it as http://host:3128 or socks5://host:1080",
                );
            }
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(Credentials::parse(credentials, kind)?), host),
            None => (None, rest),
        };
        let host: Authority = host.parse().map_err(|_| "it does not name a valid host")?;
        let port = authority::port(&host).ok().filter(|port| *port != Some(0));
        let port = port.ok_or("the text after its host is not a port: write one from 1 to 65535")?;
        let port = port.unwrap_or(if kind == Kind::Http { 80 } else { 1080 });
        let host = authority::host(&host).ok_or("it does not name a valid host")?.to_owned();
        Ok(Self { kind, address: Destination { host, port }, credentials })
    }
}

impl Credentials {
    fn parse(text: &str, kind: Kind) -> Result<Self, &'static str> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode =
            |text| percent::decode(text).ok_or("a % in its user or password is not followed by two digits: write %25");
        let (user, password) = (decode(user)?, decode(password)?);
        match kind {
            Kind::Http if user.contains(&b':') => {
                Err("its user contains a colon, which Basic authentication cannot send")
            }
            Kind::Socks5 if !(1..=255).contains(&user.len()) || !(1..=255).contains(&password.len()) => {
                Err("SOCKS5 needs a user and a password of 1 to 255 bytes each")
            }
            _ => Ok(Self { user, password }),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.kind == Kind::Http { "http" } else { "socks5" }, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_proxy() {
        for (url, kind, address, credentials) in [
            ("http://proxy:3128", Kind::Http, "proxy:3128", None),
            ("proxy:3128", Kind::Http, "proxy:3128", None),
            ("HTTP://proxy/", Kind::Http, "proxy:80", None),
            ("http://[::1]:3128/path?x", Kind::Http, "[::1]:3128", None),
            ("socks5://proxy", Kind::Socks5, "proxy:1080", None),
            ("socks5h://proxy", Kind::Socks5, "proxy:1080", None),
            ("socks://proxy:1", Kind::Socks5, "proxy:1", None),
            ("http://us%40er:p%3ass%25@proxy", Kind::Http, "proxy:80", Some(("us@er", "p:ss%"))),
            ("http://user@proxy", Kind::Http, "proxy:80", Some(("user", ""))),
            ("http://user:p@ss:word@proxy", Kind::Http, "proxy:80", Some(("user", "p@ss:word"))),
            ("user:pass@proxy:8080", Kind::Http, "proxy:8080", Some(("user", "pass"))),
            ("socks5://user:pass@proxy", Kind::Socks5, "proxy:1080", Some(("user", "pass"))),
        ] {
            let server = Server::parse(url).unwrap();
            let found = server.credentials.as_ref();
            let found = found.map(|Credentials { user, password }| (&**user, &**password));
            assert_eq!((server.kind, &*server.address.to_string()), (kind, address), "{url}");
            assert_eq!(found, credentials.map(|(user, password)| (user.as_bytes(), password.as_bytes())), "{url}");
        }
    }

    /// Row K12: the error of a wrong URL says what to write, and does not show the password.
    #[test]
    fn a_wrong_url_is_an_error_without_the_password() {
        for (url, why) in [
            ("", "host"),
            ("http://", "host"),
            ("https://user:secret@proxy", "write http://"),
            ("socks4://user:secret@proxy", "write socks5://"),
            ("ftp://user:secret@proxy", "neither http nor socks5"),
            ("user:secret", "not a port"),
            ("http://user:secret@proxy:0", "not a port"),
            ("http://user:secret@pro xy", "host"),
            ("http://user:secret@[proxy]", "host"),
            ("http://user:secret%@proxy", "write %25"),
            ("http://us%3aer:secret@proxy", "colon"),
            ("socks5://user@proxy", "1 to 255"),
            ("socks5://:secret@proxy", "1 to 255"),
        ] {
            let error = Server::parse(url).err().unwrap();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
