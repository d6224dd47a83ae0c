//! Redirects: where a `Location` leads, and whether the client goes there. It does not dial.
use crate::{
    catch_panic::Guarded,
    client::url::{Target, without_secrets},
    error::{ConnectError, cut},
};
use http::{
    HeaderMap, StatusCode, Uri,
    header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION},
};
use std::{borrow::Cow, fmt};

/// A redirect, as the policy of
/// [`follow_redirects`](crate::client::ClientBuilder::follow_redirects) sees it.
///
/// A relative `Location` is resolved first, and `http` counts as `ws`. A redirect from `wss` to
/// `ws` is never followed. Each attempt begins with the URL of the client again, also after a
/// permanent redirect. All redirects of an attempt share
/// [`Config::handshake_timeout`](crate::Config::handshake_timeout).
///
/// A server with another scheme, host or port does not receive the headers `Authorization`,
/// `Cookie` and `Proxy-Authorization`. It receives all other headers.
///
/// ```standalone_crate
/// let client = wsx::Client::builder("ws://fleet.example.com/ws")
///     .follow_redirects(3, |redirect| {
///         redirect.to.host().is_some_and(|host| host.ends_with(".fleet.example.com"))
///     })
///     .build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
///
/// `Debug` shows the URLs without user information, query and fragment.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The status of the answer: 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// The URL that was dialled.
    pub from: Uri,
    /// The new URL. Its scheme is `ws` or `wss`.
    pub to: Uri,
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, from, to } = self;
        let [from, to] = [from, to].map(|url| without_secrets(&url.to_string()));
        f.debug_struct("Redirect").field("status", status).field("from", &from).field("to", &to).finish()
    }
}

/// The redirects that a client follows.
pub(super) struct Follow {
    /// Maximum number of redirects in an attempt.
    pub(super) limit: usize,
    /// The decision of the program.
    pub(super) policy: Policy,
}

/// Decides whether the client follows a redirect.
type Policy = Guarded<Box<dyn Fn(&Redirect) -> bool + Send + Sync>>;

impl Follow {
    /// Returns the target of a redirect that the client follows, or the reason why it does not.
    fn decide(
        &self,
        status: StatusCode,
        from: &Target,
        to: &str,
        followed: usize,
    ) -> Result<Target, Cow<'static, str>> {
        let target = target(from, to)?;
        if followed >= self.limit {
            return Err(format!("the limit is {} in an attempt", self.limit).into());
        }
        let uri = |url: &str| url.parse::<Uri>().map_err(|error| error.to_string());
        let redirect = Redirect { status, from: uri(&from.url())?, to: uri(&target.url())? };
        match self.policy.call(|policy| policy(&redirect)) {
            Some(true) => Ok(target),
            Some(false) => Err("the policy of the program rejects it".into()),
            None => Err("the policy of the program panicked".into()),
        }
    }

    /// As [`decide`](Self::decide), for the answer of a server.
    pub(super) fn follow(
        &self,
        status: StatusCode,
        from: &Target,
        location: &str,
        followed: usize,
    ) -> Result<Target, ConnectError> {
        self.decide(status, from, location, followed).map_err(|why| ConnectError::Redirect {
            status,
            location: cut(&without_secrets(location)).into_owned(),
            why,
        })
    }
}

/// Returns the new URL of an answer that redirects (RFC 9110 section 15.4), with the scheme `ws` or
/// `wss`.
pub(super) fn location(status: StatusCode, headers: &HeaderMap, from: &Target) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    // `target` rejects a text that is not ASCII. The error shows it.
    let location = String::from_utf8_lossy(headers.get(LOCATION)?.as_bytes());
    Some(resolve(&from.url(), location.trim()))
}

/// Returns the target of a new URL, if a client may go there from this server.
pub(super) fn target(from: &Target, to: &str) -> Result<Target, Cow<'static, str>> {
    if !to.is_ascii() {
        return Err("it has a character that is not ASCII: the server has to percent-encode it".into());
    }
    let mut target = Target::parse(to)?;
    if let Some(url) = target.with_zone_of(from) {
        target = Target::parse(&url)?;
    }
    if from.tls.is_some() && target.tls.is_none() {
        return Err("it leads from wss to ws".into());
    }
    Ok(target)
}

/// Removes the headers that are for one server only, if the new server is another one. Every other
/// header of the program is sent to the new server too.
pub(super) fn strip(headers: &mut HeaderMap, from: &Target, to: &Target) {
    if !from.is_same_origin(to) {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
    }
}

/// Resolves a reference against a URL (RFC 3986 section 5.2), and replaces `http` by `ws`. A
/// fragment is dropped.
fn resolve(base: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let base = base.split('#').next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://").unwrap_or(("ws", base));
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let is_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    if let Some((own, rest)) = reference.split_once(':').filter(|(own, _)| is_scheme(own)) {
        return match own.to_ascii_lowercase().as_str() {
            "http" | "ws" => format!("ws:{rest}"),
            "https" | "wss" => format!("wss:{rest}"),
            _ => reference.to_owned(),
        };
    }
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}");
    }
    let (own_path, own_query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let (path, query) = match own_path {
        "" => (path.to_owned(), if own_query.is_empty() { query } else { own_query }),
        own if own.starts_with('/') => (without_dots(own), own_query),
        own => {
            let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
            let folder = if folder.is_empty() { "/" } else { folder };
            (without_dots(&format!("{folder}{own}")), own_query)
        }
    };
    format!("{scheme}://{authority}{path}{query}")
}

/// Resolves `.` and `..` in a path that begins with a slash (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row K21: the examples of RFC 3986 section 5.4.
    #[test]
    fn a_location_is_resolved_as_the_rfc_says() {
        for (reference, expected) in [
            ("g", "ws://a/b/c/g"),
            ("./g", "ws://a/b/c/g"),
            ("g/", "ws://a/b/c/g/"),
            ("/g", "ws://a/g"),
            ("//g", "ws://g"),
            ("//g:80/ws?x", "ws://g:80/ws?x"),
            ("?y", "ws://a/b/c/d;p?y"),
            ("g?y", "ws://a/b/c/g?y"),
            ("#s", "ws://a/b/c/d;p?q"),
            ("g#s", "ws://a/b/c/g"),
            ("g?y/../x#s", "ws://a/b/c/g?y/../x"),
            (";x", "ws://a/b/c/;x"),
            ("", "ws://a/b/c/d;p?q"),
            (".", "ws://a/b/c/"),
            ("./", "ws://a/b/c/"),
            ("..", "ws://a/b/"),
            ("../g", "ws://a/b/g"),
            ("../..", "ws://a/"),
            ("../../../g", "ws://a/g"),
            ("/./g", "ws://a/g"),
            ("/../g", "ws://a/g"),
            ("g.", "ws://a/b/c/g."),
            ("g;x=1/../y", "ws://a/b/c/y"),
            ("http://b/ws", "ws://b/ws"),
            ("HTTPS://b/ws", "wss://b/ws"),
            ("wss://b", "wss://b"),
            ("ftp://b/ws", "ftp://b/ws"),
            ("g?a:b", "ws://a/b/c/g?a:b"),
        ] {
            assert_eq!(resolve("ws://a/b/c/d;p?q", reference), expected, "{reference}");
        }
        assert_eq!(resolve("ws://a?q", "g"), "ws://a/g");
        assert_eq!(resolve("ws://a", "?y"), "ws://a?y");
        assert_eq!(resolve("wss://a/x", "//b/"), "wss://b/");
    }

    #[test]
    fn an_answer_redirects_only_with_its_status_and_a_location() {
        let from = Target::parse("ws://a/b").unwrap();
        let headers: HeaderMap = [(LOCATION, http::HeaderValue::from_static(" c "))].into_iter().collect();
        for status in [301, 302, 303, 307, 308] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(location(status, &headers, &from).as_deref(), Some("ws://a/c"));
            assert_eq!(location(status, &HeaderMap::new(), &from), None);
        }
        assert_eq!(location(StatusCode::NOT_MODIFIED, &headers, &from), None);
    }

    #[test]
    fn the_limit_and_the_policy_decide_about_a_redirect() {
        let from = Target::parse("ws://a/ws").unwrap();
        for (allows, followed, expected) in [(true, 1, ""), (true, 2, "the limit is 2"), (false, 0, "the policy")] {
            let follow = Follow { limit: 2, policy: Guarded::new(Box::new(move |_: &Redirect| allows)) };
            let error = follow.follow(StatusCode::FOUND, &from, "ws://b/ws", followed).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{error}");
        }
    }

    /// Row K21: no redirect takes the encryption away.
    #[test]
    fn a_redirect_leads_to_a_server_that_is_as_safe() {
        let leads = |from: &str, to: &str| target(&Target::parse(from).unwrap(), to).map(drop);
        leads("ws://a/ws", "ws://b/ws").unwrap();
        assert!(leads("ws://a/ws", "ftp://b/ws").is_err());
        #[cfg(feature = "rustls")]
        {
            leads("ws://a/ws", "wss://b/ws").unwrap();
            leads("wss://a/ws", "wss://b/ws").unwrap();
            assert_eq!(leads("wss://a/ws", "ws://a/ws").unwrap_err(), "it leads from wss to ws");
        }
    }

    /// Rows K14, K21: a server does not know the zone in which this machine reaches it.
    #[test]
    fn a_redirect_keeps_the_zone() {
        let from = Target::parse("ws://[fe80::1%25eth%20]:9001/ws").unwrap_err();
        assert!(from.contains("not the name of an interface"), "{from}");
        let from = Target::parse("ws://[fe80::1%25eth%2f0]:9001/ws?a").unwrap();
        let leads = |location: &str| {
            let to = location_of(location, &from);
            target(&from, &to).unwrap().url()
        };
        for (location, expected) in [
            ("/b", "ws://[fe80::1%25eth%2F0]:9001/b"),
            ("?b", "ws://[fe80::1%25eth%2F0]:9001/ws?b"),
            ("http://[fe80::1]:9001/b", "ws://[fe80::1%25eth%2F0]:9001/b"),
            ("http://[fe80:0::1]/b", "ws://[fe80:0::1%25eth%2F0]/b"),
            ("//[fe80::2]/b", "ws://[fe80::2%25eth%2F0]/b"),
            ("http://[fe80::2%25eth1]/b", "ws://[fe80::2%25eth1]/b"),
            ("http://[2001:db8::1]/b", "ws://[2001:db8::1]/b"),
            ("http://a/b", "ws://a/b"),
        ] {
            assert_eq!(leads(location), expected, "{location}");
        }
        let global = Target::parse("ws://a/ws").unwrap();
        assert_eq!(target(&global, "ws://[fe80::1]/b").unwrap().url(), "ws://[fe80::1]/b");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "secret".parse().unwrap());
        strip(&mut headers, &from, &target(&from, "ws://[fe80::1]:9001/b").unwrap());
        assert_eq!(headers.len(), 1, "it is the same server");
    }

    fn location_of(value: &str, from: &Target) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, value.parse().unwrap());
        location(StatusCode::FOUND, &headers, from).unwrap()
    }

    /// Row K21: the error about a long URL is short, and still has the reason.
    #[test]
    fn a_long_location_is_cut() {
        let follow = Follow { limit: 1, policy: Guarded::new(Box::new(|_: &Redirect| true)) };
        let from = Target::parse("ws://a/ws").unwrap();
        let long = "x".repeat(16_000);
        for (location, why) in [
            (format!("ftp://a/{long}"), "its scheme `ftp`"),
            (format!("ws://a:{long}/"), "'x' at character 8 is not part of a port"),
            (format!("ws://{long}:{}/", "9".repeat(16_000)), "is not a port"),
            (format!("ws://a:80:{long}/"), ""),
            (format!("ws://[{long}]/"), "not an IPv6 address"),
            (format!("ws://[fe80::1%{long}]/"), ""),
            (format!("wss://{long}/"), ""),
            (format!("{long}://a/"), "it has no scheme"),
        ] {
            let error = follow.follow(StatusCode::FOUND, &from, &location, 0).err().unwrap().to_string();
            assert!(error.len() < 1000 && error.contains(why), "{error}");
        }
    }

    /// Row K26: `Debug` shows no query.
    #[test]
    fn the_queries_of_a_redirect_are_not_shown() {
        let [from, to] = ["ws://a/ws?secret", "ws://b/ws?secret"].map(|url| url.parse().unwrap());
        let redirect = Redirect { status: StatusCode::FOUND, from, to };
        let shown = r#"Redirect { status: 302, from: "ws://a/ws", to: "ws://b/ws" }"#;
        assert_eq!(format!("{redirect:?}"), shown);
    }

    /// Row K21: credentials stay with their server.
    #[test]
    fn another_server_gets_no_credentials() {
        let sent = |from: &str, to: &str| {
            let mut headers = HeaderMap::new();
            for name in ["authorization", "cookie", "proxy-authorization", "x-box"] {
                headers.insert(http::HeaderName::from_static(name), "secret".parse().unwrap());
            }
            strip(&mut headers, &Target::parse(from).unwrap(), &Target::parse(to).unwrap());
            headers.len()
        };
        assert_eq!(sent("ws://a/ws", "ws://A:80/other?x"), 4);
        assert_eq!(sent("ws://a/ws", "ws://a:81/ws"), 1);
        assert_eq!(sent("ws://a/ws", "ws://b/ws"), 1);
        #[cfg(feature = "rustls")]
        assert_eq!(sent("ws://a:443/ws", "wss://a/ws"), 1);
    }
}
