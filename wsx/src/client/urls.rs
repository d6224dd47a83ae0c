//! The URLs of a client: one, a list, or a function that returns one for each attempt. It decides
//! which URL an attempt dials, and does not dial.
use crate::{
    catch_panic::Guarded,
    client::url::{Target, without_secrets},
    error::{BoxError, ConnectError},
};
use futures_util::future::BoxFuture;
use std::{borrow::Cow, fmt, future::Future};

/// Maximum number of URLs in a list. A client with more stations should ask one of them, in
/// [`Urls::per_attempt`].
const MAX_URLS: usize = 16;

/// The URLs that a client dials: one, a list, or a function.
///
/// A `&str` or a `String` is one URL. A `Vec` or an array of them is a list of at most 16.
///
/// A client dials the URLs of a list in their order, and begins with the first:
///
/// - After a failed attempt, the next attempt dials the next URL. The first follows the last.
/// - After a connection that lasted [`Backoff::stable_after`](crate::Backoff::stable_after), the
///   client dials the same URL again. So a restart of a station does not move its clients.
/// - After a shorter connection, it dials the next URL.
///
/// Each attempt is preceded by a wait, also an attempt at another URL, so that a fleet does not
/// fall on its second station all at once. The waits grow once per round: while no URL of the list
/// was dialled twice, each wait is as long as the first. A `Retry-After` of one server delays the
/// next attempt, whichever URL it dials.
///
/// ```standalone_crate
/// let stations = ["wss://a.example.com/ws", "wss://b.example.com/ws"];
/// # let stations = ["ws://a.example.com/ws", "ws://b.example.com/ws"];
/// let client = wsx::Client::builder(stations).build()?;
/// # Ok::<_, wsx::BuildError>(())
/// ```
pub struct Urls(pub(super) Source);

/// The URLs as the program gave them.
pub(super) enum Source {
    List(Vec<String>),
    PerAttempt(MakeUrl),
}

/// Returns the URL of one attempt.
type MakeUrl = Guarded<Box<dyn Fn(Attempt) -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync>>;

/// An attempt to connect, as the function of [`Urls::per_attempt`] sees it.
///
/// `Debug` shows the URL without user information, query and fragment.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of attempts that failed in a row before this one. A connection that did not last
    /// counts too. So it is 0 at the first attempt, and after a connection that lasted
    /// [`Backoff::stable_after`](crate::Backoff::stable_after).
    pub failures: u32,
    /// The new URL, if the server answered the previous attempt with a redirect. Its scheme is `ws`
    /// or `wss`. A URL that cannot be dialled is not shown, nor a step from `wss` to `ws`.
    ///
    /// The server chose it. Check its host before you return it, because the next handshake sends
    /// the headers of this client there, `Authorization` included.
    pub redirect: Option<String>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redirect = self.redirect.as_deref().map(without_secrets);
        f.debug_struct("Attempt").field("failures", &self.failures).field("redirect", &redirect).finish()
    }
}

impl Urls {
    /// Returns URLs that a function makes, one for each attempt. Use it for a token in the query
    /// that expires, or to ask a directory for the nearest station.
    ///
    /// The function runs at each attempt, within
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout), which also includes the
    /// dial. An error, a panic or a URL that cannot be dialled is a failed attempt, with
    /// [`ConnectError::Url`].
    ///
    /// ```standalone_crate
    /// use wsx::{Client, client::Urls};
    ///
    /// async fn fresh_token() -> Result<String, std::io::Error> {
    ///     Ok("…".to_owned())
    /// }
    ///
    /// let urls = Urls::per_attempt(|attempt| async move {
    ///     let station = if attempt.failures % 2 == 0 { "a" } else { "b" };
    ///     Ok(format!("ws://{station}.example.com/ws?token={}", fresh_token().await?))
    /// });
    /// let client = Client::builder(urls).build()?;
    /// # Ok::<_, wsx::BuildError>(())
    /// ```
    #[must_use]
    pub fn per_attempt<F, Fut>(url: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self(Source::PerAttempt(Guarded::new(Box::new(move |attempt| Box::pin(url(attempt))))))
    }

    /// Checks each URL. The errors name every problem.
    pub(super) fn parse(self) -> Result<Targets, Vec<String>> {
        let list = match self.0 {
            Source::PerAttempt(function) => return Ok(Targets::PerAttempt(function)),
            Source::List(list) => list,
        };
        if list.is_empty() || list.len() > MAX_URLS {
            return Err(vec![format!("a client has {} URLs: give it from 1 to {MAX_URLS}", list.len())]);
        }
        let (mut targets, mut problems) = (Vec::with_capacity(list.len()), Vec::new());
        for url in list {
            match Target::parse(&url) {
                Ok(target) => targets.push(target),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Targets::List(targets)) } else { Err(problems) }
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::List(urls) => f.debug_list().entries(urls.iter().map(|url| without_secrets(url))).finish(),
            Source::PerAttempt(_) => f.write_str("per attempt"),
        }
    }
}

impl From<&str> for Urls {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}

impl From<&String> for Urls {
    fn from(url: &String) -> Self {
        url.to_owned().into()
    }
}

impl From<String> for Urls {
    fn from(url: String) -> Self {
        Self(Source::List(vec![url]))
    }
}

impl<U: Into<String>> From<Vec<U>> for Urls {
    fn from(urls: Vec<U>) -> Self {
        // `parse` checks the length.
        Self(Source::List(urls.into_iter().map(Into::into).collect()))
    }
}

impl<U: Into<String>, const N: usize> From<[U; N]> for Urls {
    fn from(urls: [U; N]) -> Self {
        Self(Source::List(urls.into_iter().map(Into::into).collect()))
    }
}

/// The URLs of a client that was built.
pub(super) enum Targets {
    /// Not empty.
    List(Vec<Target>),
    PerAttempt(MakeUrl),
}

impl Targets {
    /// Returns the number of attempts after which a URL was certainly dialled twice.
    pub(super) fn round(&self) -> u32 {
        match self {
            Self::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX),
            Self::PerAttempt(_) => 1,
        }
    }

    /// Returns the URL of an attempt. `turn` counts the changes to the next URL.
    pub(super) async fn next(&self, turn: usize, attempt: Attempt) -> Result<Cow<'_, Target>, ConnectError> {
        match self {
            Self::List(list) => Ok(Cow::Borrowed(&list[turn % list.len()])),
            Self::PerAttempt(function) => {
                let made = function.run(|function| function(attempt)).await;
                let made = made.unwrap_or_else(|| Err("the program's function for the URL panicked".into()));
                let url = made.map_err(ConnectError::Url)?;
                Target::parse(&url).map(Cow::Owned).map_err(|why| ConnectError::Url(why.into()))
            }
        }
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => f.debug_list().entries(list.iter().map(|target| &target.id)).finish(),
            Self::PerAttempt(_) => f.write_str("per attempt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_used_in_turn_and_a_function_for_each_attempt() {
        let attempt = |failures| Attempt { failures, redirect: None };
        let list = Urls::from(["ws://a/", "ws://b/", "ws://c/"]).parse().ok().unwrap();
        assert_eq!(list.round(), 3);
        for (turn, expected) in [(0, "ws://a/"), (1, "ws://b/"), (2, "ws://c/"), (3, "ws://a/"), (7, "ws://b/")] {
            assert_eq!(&*list.next(turn, attempt(0)).await.unwrap().id, expected);
        }
        let made = Urls::per_attempt(|attempt| async move { Ok(format!("ws://{}/", attempt.failures)) });
        let made = made.parse().ok().unwrap();
        assert_eq!((made.round(), &*made.next(5, attempt(7)).await.unwrap().id), (1, "ws://7/"));
    }

    #[test]
    fn a_list_has_from_one_to_the_maximum_of_urls() {
        for (length, is_valid) in [(0, false), (1, true), (MAX_URLS, true), (MAX_URLS + 1, false)] {
            assert_eq!(Urls::from(vec!["ws://a/"; length]).parse().is_ok(), is_valid, "{length}");
        }
        assert_eq!(
            Urls::from(["ws://a/", "not a URL", "neither"]).parse().err().map(|problems| problems.len()),
            Some(2)
        );
    }

    /// Row K26: `Debug` shows no query.
    #[test]
    fn the_query_of_a_new_url_is_not_shown() {
        let attempt = Attempt { failures: 1, redirect: Some("ws://a/ws?secret".into()) };
        assert_eq!(format!("{attempt:?}"), r#"Attempt { failures: 1, redirect: Some("ws://a/ws") }"#);
        let urls = || Urls::from(["ws://a/ws?secret", "ws://b/"]);
        assert_eq!(format!("{:?}", urls()), r#"["ws://a/ws", "ws://b/"]"#);
        assert_eq!(format!("{:?}", urls().parse().ok().unwrap()), r#"["ws://a/ws", "ws://b/"]"#);
        let made = || Urls::per_attempt(|_| async { Ok("ws://a/ws?secret".to_owned()) });
        assert_eq!(format!("{:?} {:?}", made(), made().parse().ok().unwrap()), "per attempt per attempt");
    }
}
