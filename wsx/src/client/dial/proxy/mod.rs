//! The proxies of a client: which one a dial goes through, and the connection through it.
//!
//! hyper-util has a matcher and tunnels too. They bring fourteen crates, among them `tracing`. They
//! read a wrong URL in the environment as "no proxy", and hide the status of a proxy that rejects.
mod environment;
mod http_connect;
mod server;
mod socks;

use crate::{
    client::{
        dial::{
            connect::{self, Source},
            proxy::{
                environment::{Exceptions, Variables},
                server::{Kind, Server},
            },
        },
        stream::Destination,
        url::Target,
    },
    error::{BoxError, BuildError, ConnectError},
    task::deadline,
};
use http::StatusCode;
use std::{fmt, io, time::Duration};
use tokio::{net::TcpStream, time::Instant};

/// The proxy through which a client connects: an HTTP proxy or a SOCKS5 proxy.
/// [`ClientBuilder::proxy`](crate::client::ClientBuilder::proxy) takes it.
///
/// `ws://` and `wss://` go through both kinds. The proxy resolves the name of the server, so this
/// machine does not need to. With `wss://`, the proxy sees only that name.
///
/// `Debug` does not show the user and the password, nor does an error.
///
/// ```standalone_crate
/// use wsx::{Client, client::Proxy};
///
/// let client = Client::builder("wss://station.example.com/ws")
///     .proxy(Proxy::new("http://box-7:secret@proxy.example.com:3128")?)
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    /// The proxy for `ws://`.
    plain: Option<Server>,
    /// The proxy for `wss://`.
    tls: Option<Server>,
    /// The servers that are dialled directly.
    except: Exceptions,
}

impl Proxy {
    /// Returns a proxy for each URL of a client.
    ///
    /// | URL of the proxy | protocol | default port |
    /// |---|---|---|
    /// | `http://host:port`, or `host:port` | HTTP `CONNECT` (RFC 9110 section 9.3.6) | 80 |
    /// | `socks5://host:port`, `socks5h://` or `socks://` | SOCKS5 (RFC 1928) | 1080 |
    ///
    /// `user:password@` before the host is sent to the proxy, with HTTP as Basic authentication
    /// (RFC 7617) and with SOCKS5 as in RFC 1929. Write special characters percent-encoded, such as
    /// `%40` for `@`. A path is ignored.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the part of the URL that is wrong, without its text. A proxy that
    /// speaks TLS by itself (`https://`) is an error too.
    pub fn new(url: impl AsRef<str>) -> Result<Self, BuildError> {
        let server = Server::parse(url.as_ref()).map_err(|why| problem(format!("its URL is wrong: {why}")))?;
        Ok(Self { plain: Some(server.clone()), tls: Some(server), except: Exceptions::default() })
    }

    /// Reads the proxies from the environment of the process, once.
    ///
    /// | variable | used for |
    /// |---|---|
    /// | `HTTPS_PROXY` | `wss://` |
    /// | `HTTP_PROXY` | `ws://`, unless `REQUEST_METHOD` is set |
    /// | `ALL_PROXY` | both, if the variable above is not set |
    /// | `NO_PROXY` | hosts that are dialled directly |
    ///
    /// The letter case of a name does not matter. Lower case takes precedence, as in curl. An empty
    /// value counts as not set. Without any variable, the client dials directly. The values have
    /// the form that [`new`](Self::new) takes.
    ///
    /// `NO_PROXY` is a list, separated by commas or spaces:
    ///
    /// | entry | matches |
    /// |---|---|
    /// | `example.com`, `.example.com` or `*.example.com` | the domain and every name below it |
    /// | `192.0.2.7` or `2001:db8::1` | the address, if the URL of the client has it |
    /// | `10.0.0.0/8` or `2001:db8::/32` | every such address of a network |
    /// | each of these with `:port` | only this port of it; an IPv6 address then needs brackets |
    /// | `*` | everything |
    ///
    /// `localhost` goes through the proxy too, unless `NO_PROXY` names it.
    ///
    /// In a CGI program, a header of a request becomes the variable `HTTP_PROXY`, and the peer
    /// would choose the proxy. `REQUEST_METHOD` shows such a program.
    ///
    /// ```standalone_crate
    /// let client = wsx::Client::builder("ws://127.0.0.1:9001/ws")
    ///     .proxy(wsx::client::Proxy::from_env()?)
    ///     .build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError`] names each variable whose value is wrong, without the value.
    pub fn from_env() -> Result<Self, BuildError> {
        Self::from_variables(&Variables::new(std::env::vars_os()))
    }

    fn from_variables(variables: &Variables) -> Result<Self, BuildError> {
        let mut problems = Vec::new();
        let mut server = |name| {
            let url = variables.get(name)?;
            let server =
                url.and_then(Server::parse).map_err(|why| problems.push(format!("the variable {name}: {why}")));
            server.ok()
        };
        let (plain, tls, all) = (server("HTTP_PROXY"), server("HTTPS_PROXY"), server("ALL_PROXY"));
        let except = match variables.get("NO_PROXY").transpose() {
            Ok(list) => Exceptions::parse(list.unwrap_or_default()),
            Err(why) => {
                problems.push(format!("the variable NO_PROXY: {why}"));
                Exceptions::default()
            }
        };
        if problems.is_empty() {
            Ok(Self { plain: plain.or_else(|| all.clone()), tls: tls.or(all), except })
        } else {
            Err(BuildError { subject: SUBJECT.to_owned(), problems })
        }
    }

    /// Returns the proxy for this URL, or `None` if it is dialled directly.
    pub(super) fn of(&self, target: &Target) -> Option<&Server> {
        let server = if target.tls.is_some() { &self.tls } else { &self.plain };
        server.as_ref().filter(|_| !self.except.contain(&target.destination))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("ws", &self.plain).field("wss", &self.tls).finish_non_exhaustive()
    }
}

const SUBJECT: &str = "the proxy";

fn problem(problem: String) -> BuildError {
    BuildError { subject: SUBJECT.to_owned(), problems: vec![problem] }
}

/// Connects to the destination through a proxy, within `limit`.
pub(super) async fn connect(
    proxy: &Server,
    destination: &Destination,
    source: &Source,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let start = Instant::now();
    let failed = |Failure { status, source }| ConnectError::Proxy {
        proxy: proxy.address.to_string(),
        address: destination.to_string(),
        status,
        source,
    };
    let mut stream = connect::tcp(&proxy.address, source, limit).await.map_err(|error| failed(error.into()))?;
    let rest = limit.saturating_sub(start.elapsed());
    let opened = deadline::timeout(rest, async {
        match proxy.kind {
            Kind::Http => http_connect::open(&mut stream, destination, proxy.credentials.as_ref()).await,
            Kind::Socks5 => socks::open(&mut stream, destination, proxy.credentials.as_ref()).await,
        }
    });
    let silent = || Failure::from(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {rest:.1?}")));
    opened.await.unwrap_or_else(|| Err(silent())).map_err(failed)?;
    Ok(stream)
}

/// Why there is not a connection through a proxy.
#[derive(Debug)]
struct Failure {
    /// The status with which an HTTP proxy rejected the connection.
    status: Option<StatusCode>,
    source: BoxError,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { status: None, source: error.into() }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { status: None, source: why.into() }
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        Self { status: None, source: why.into() }
    }
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Proxy, BuildError> {
        Proxy::from_variables(&Variables::new(variables.iter().map(|(name, value)| (name.into(), value.into()))))
    }

    /// The proxies for `ws://box:80/` and `wss://box:443/`.
    fn both(proxy: &Proxy) -> [String; 2] {
        let destination = || Destination { host: "box".to_owned(), port: 80 };
        assert!(!proxy.except.contain(&destination()));
        [&proxy.plain, &proxy.tls].map(|server| server.as_ref().map(|server| format!("{server:?}")).unwrap_or_default())
    }

    /// Row K12: `wss` is like `https`, and `ws` like `http`; the letter case does not matter.
    #[test]
    fn the_environment_has_a_proxy_for_each_scheme() {
        let (a, b) = ("http://a:1", "socks5://b:2");
        for (variables, expected) in [
            (&[][..], ["", ""]),
            (&[("HTTPS_PROXY", a)], ["", a]),
            (&[("HTTP_PROXY", a)], [a, ""]),
            (&[("all_proxy", b)], [b, b]),
            (&[("Https_Proxy", a), ("ALL_PROXY", b)], [b, a]),
            (&[("HTTPS_PROXY", b), ("https_proxy", a)], ["", a]),
            (&[("https_proxy", ""), ("HTTPS_PROXY", a)], ["", a]),
            (&[("HTTPS_PROXY", "")], ["", ""]),
            // In a CGI program, a header of the request becomes this variable.
            (&[("HTTP_PROXY", a), ("REQUEST_METHOD", "GET")], ["", ""]),
            (&[("HTTP_PROXY", a), ("HTTPS_PROXY", a), ("ALL_PROXY", b), ("REQUEST_METHOD", "GET")], [b, a]),
        ] {
            assert_eq!(both(&from(variables).unwrap()), expected, "{variables:?}");
        }
    }

    /// Row K12: a wrong variable is an error that names it. Dialling directly instead would hide
    /// it.
    #[test]
    fn a_wrong_variable_is_named_without_its_value() {
        let error = from(&[("https_proxy", "ftp://user:secret@a"), ("ALL_PROXY", "user:secret@a:b")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("HTTPS_PROXY: its scheme") && text.contains("ALL_PROXY: the text after"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    /// Row K12: the scheme of the URL decides which proxy a client uses.
    #[test]
    fn each_scheme_has_its_proxy() {
        let target = Target::parse("ws://c/").unwrap();
        for (variable, expected) in [("HTTP_PROXY", true), ("HTTPS_PROXY", false)] {
            assert_eq!(from(&[(variable, "a")]).unwrap().of(&target).is_some(), expected, "{variable}");
        }
    }

    /// Row K12: a server in `NO_PROXY` is dialled directly.
    #[test]
    fn exceptions_are_dialled_directly() {
        let proxy = from(&[("all_proxy", "a"), ("NO_PROXY", "b, 10.0.0.0/8")]).unwrap();
        for (url, direct) in [("ws://b/", true), ("ws://a.b:81/", true), ("ws://c/", false), ("ws://10.1.2.3/", true)] {
            assert_eq!(proxy.of(&Target::parse(url).unwrap()).is_none(), direct, "{url}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let proxy = Proxy::new("http://user:secret@a:3128").unwrap();
        let shown = format!("{proxy:?} {:?}", crate::Client::builder("ws://b").proxy(proxy.clone()));
        assert!(shown.contains("http://a:3128") && !shown.contains("user") && !shown.contains("secret"), "{shown}");
    }
}
