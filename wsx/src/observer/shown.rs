//! Makes text of others safe to print: in one line, short, and without secrets of a URL. It does
//! not know where the text is printed.
use crate::closed::Closed;
use std::{
    fmt::{self, Write},
    ops::ControlFlow,
};

/// Maximum length of a shown text, in bytes. A longer one is cut.
const MAX_SHOWN: usize = 256;
/// Maximum length of the start of a text that is read, in bytes, so that a long text takes no more
/// memory. The word at its end is left out, because its secrets may be behind it.
const MAX_READ: usize = 64 * 1024;
/// Maximum number of causes of an error that are shown. Only the errors of a program have more.
const MAX_CAUSES: usize = 8;
/// Stands for text that is left out.
const OMITTED: char = '…';

/// A text that the peer, a library or the program chose, as it is safe to print.
///
/// - Control characters, line breaks and characters without a shape are escaped, as `{:?}` escapes
///   them. A backslash is escaped too.
/// - The query, the fragment and the user info of a URL are left out, because they may have a
///   token or a password.
/// - The result has at most 256 bytes.
pub(super) struct Shown<'t>(pub(super) &'t dyn fmt::Display);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut start = Start { text: String::new(), is_whole: true };
        // An error means that the text is longer.
        let _ = write!(start, "{}", self.0);
        let mut shown = String::new();
        let is_cut = without_secrets(&start, &mut |piece| {
            for character in piece.chars() {
                let before = shown.len();
                match character {
                    '"' | '\'' | OMITTED => shown.push(character),
                    other => shown.extend(other.escape_debug()),
                }
                if shown.len() > MAX_SHOWN - OMITTED.len_utf8() {
                    shown.truncate(before);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .is_break();
        f.write_str(&shown)?;
        if is_cut { f.write_char(OMITTED) } else { Ok(()) }
    }
}

/// An error and its causes, separated by colons. Each is [`Shown`].
pub(super) struct ShownError<'e>(pub(super) &'e dyn std::error::Error);

impl fmt::Display for ShownError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.0))?;
        let causes = std::iter::successors(self.0.source(), |error| error.source());
        causes.take(MAX_CAUSES).try_for_each(|cause| write!(f, ": {}", Shown(&cause)))
    }
}

/// The end of a connection, with its reason [`Shown`].
pub(super) struct ShownClosed<'c>(pub(super) &'c Closed);

impl fmt::Display for ShownClosed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Closed { code, reason, by } = self.0;
        write!(f, "closed by {} with {code}", by.name())?;
        if reason.is_empty() { Ok(()) } else { write!(f, " (\"{}\")", Shown(reason)) }
    }
}

/// The start of a text, with at most [`MAX_READ`] bytes.
struct Start {
    text: String,
    /// Whether it is the whole text.
    is_whole: bool,
}

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_READ - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.is_whole = false;
        Err(fmt::Error)
    }
}

/// Receives the parts of a text one after the other, and stops when it has enough.
type Visit<'v> = dyn FnMut(&str) -> ControlFlow<()> + 'v;

/// Visits the parts of the text that may be printed, with `…` where something was left out.
///
/// A text is split at white space and at quotes, as they stand around a URL in an error.
fn without_secrets(Start { text, is_whole }: &Start, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (mut start, mut after_backslash) = (0, false);
    for (at, character) in text.char_indices() {
        let is_quote = matches!(character, '"' | '`' | '<' | '>') && !after_backslash;
        if is_quote || character.is_whitespace() {
            word_without_secrets(&text[start..at], visit)?;
            start = at + character.len_utf8();
            visit(&text[at..start])?;
        }
        after_backslash = character == '\\' && !after_backslash;
    }
    if *is_whole { word_without_secrets(&text[start..], visit) } else { visit("…") }
}

/// Visits the parts of one word. A word is treated as a URL even if it only has a part of one, such
/// as the path and the query of a request.
fn word_without_secrets(word: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let scheme = word.find("//").map(|at| at + "//".len());
    let (before, rest) = word.split_at(scheme.unwrap_or(0));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_pair = |text: &str| text.contains(':');
    let user = authority.rfind('@').filter(|at| scheme.is_some() || is_pair(&authority[..*at]));
    let host = user.map_or(authority, |at| &authority[at + 1..]);
    visit(before)?;
    // In a password that was not escaped, a `/`, a `?` or a `#` looks like the end of the
    // authority.
    if path.contains('@') && !is_host(host) {
        return visit("…");
    }
    if user.is_some() {
        visit("…@")?;
    }
    visit(host)?;
    match path.find(['?', '#']) {
        Some(at) if at + 1 < path.len() && (scheme.is_some() || user.is_some() || path[at..].contains('=')) => {
            visit(&path[..=at])?;
            visit("…")
        }
        _ => visit(path),
    }
}

/// Whether a text can be a host with or without a port.
fn is_host(text: &str) -> bool {
    let after_brackets = text.rfind(']').map_or(text, |at| &text[at..]);
    after_brackets.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Shown(&text).to_string()
    }

    /// Row X9: escapes.
    #[test]
    fn a_text_is_one_line_and_a_backslash_is_not_ambiguous() {
        assert_eq!(shown("no such \"box\", isn't it"), "no such \"box\", isn't it");
        assert_eq!(shown("a\nwsx: b\r\t\u{1b}[2J\u{0}"), r"a\nwsx: b\r\t\u{1b}[2J\0");
        assert_eq!(shown(r"a\n"), r"a\\n");
        // A line separator, a right-to-left override, and a space without a width.
        assert_eq!(shown("a\u{2028}\u{202e}\u{200b}b"), r"a\u{2028}\u{202e}\u{200b}b");
        assert_eq!(shown("23 °C, 水"), "23 °C, 水");
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let of = |character: &str, count: usize| shown(&character.repeat(count));
        assert_eq!(of("x", 253), "x".repeat(253));
        assert_eq!(of("x", 254), "x".repeat(253) + "…");
        assert_eq!(of("水", 1_000), "水".repeat(84) + "…");
        assert_eq!(of("\u{202e}", 1_000), r"\u{202e}".repeat(31) + "…");
    }

    /// Nothing is added after the cut, even if a shorter character would fit.
    #[test]
    fn a_cut_text_ends_there() {
        assert_eq!(shown(&("a".repeat(250) + "\u{202e} bcd")), "a".repeat(250) + "…");
    }

    /// Row X9: a long text takes a bounded memory, and the word at its bound keeps its secrets.
    #[test]
    fn only_the_start_of_a_long_text_is_read() {
        struct Spaces;
        impl fmt::Display for Spaces {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // It never ends by itself.
                (0..u64::MAX).try_for_each(|_| f.write_char(' '))
            }
        }
        assert_eq!(shown(&" ".repeat(2 * 1024 * 1024)), " ".repeat(253) + "…");
        assert_eq!(Shown(&Spaces).to_string(), " ".repeat(253) + "…");
        let long = format!("wss://box:{}@hub/ws", "secret".repeat(MAX_READ));
        assert_eq!(shown(&format!("cannot dial {long}")), "cannot dial …");
    }

    /// Row X9: what a URL may have beside its host and path.
    #[test]
    fn a_url_has_neither_its_query_nor_its_user() {
        for (text, expected) in [
            ("wss://hub.example/ws?id=box-7&token=secret", "wss://hub.example/ws?…"),
            ("wss://box:secret@hub.example:9001/ws", "wss://…@hub.example:9001/ws"),
            ("wss://secret@hub.example/ws#secret", "wss://…@hub.example/ws#…"),
            ("wss://box:se/cr?e#t@hub.example/ws?secret", "wss://…"),
            ("wss://hub.example:80/ws?mail=secret@secret", "wss://hub.example:80/ws?…"),
            ("wss://[::1]:80/@ws?secret", "wss://[::1]:80/@ws?…"),
            ("wss://[::]:80/@ws?", "wss://[::]:80/@ws?"),
            ("wss://hub.example/ws?", "wss://hub.example/ws?"),
            ("//box:secret@hub/ws", "//…@hub/ws"),
            ("WSS://hub.example?'secret';(secret)", "WSS://hub.example?…"),
            ("cannot dial \"ws://a/?t=secret\": why?", "cannot dial \"ws://a/?…\": why?"),
            ("cannot dial \"ws://a/?t=\\\"secret\": why?", "cannot dial \"ws://a/?…\": why?"),
            ("http://a:secret@proxy:3128, then ws://b?secret", "http://…@proxy:3128, then ws://b?…"),
            ("GET /ws?token=secret HTTP/1.1", "GET /ws?… HTTP/1.1"),
            ("box:secret@hub/ws?secret", "…@hub/ws?…"),
            ("box:sec?ret@hub", "…"),
            ("really? ask ops@example.com", "really? ask ops@example.com"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    /// A URL is cut by its secrets before it is cut by its length.
    #[test]
    fn a_long_url_has_no_secrets() {
        let long = format!("wss://{}:secret@hub/ws?{}", "u".repeat(10_000), "secret".repeat(1_000));
        assert_eq!(shown(&long), "wss://…@hub/ws?…");
    }

    #[test]
    fn the_end_of_a_connection_is_shown_with_its_reason() {
        use crate::{closed::ClosedBy, wire::close_code::CloseCode};
        let shown = |reason| ShownClosed(&Closed::new(CloseCode::NORMAL, reason, ClosedBy::Peer)).to_string();
        assert_eq!(shown(""), "closed by the peer with 1000");
        assert_eq!(shown("a\nb"), r#"closed by the peer with 1000 ("a\nb")"#);
    }

    #[test]
    fn an_error_has_a_bounded_number_of_causes() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a\nb")
            }
        }
        impl std::error::Error for Endless {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(self)
            }
        }
        assert_eq!(ShownError(&Endless).to_string(), [r"a\nb"; 1 + MAX_CAUSES].join(": "));
    }
}
