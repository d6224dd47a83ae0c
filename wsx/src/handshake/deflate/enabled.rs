//! The negotiation of permessage-deflate (RFC 7692 section 7.1): the offer of a client, the answer
//! of a server, and what both make of it.
//!
//! It works on headers. It does not know frames.
use crate::{
    config::{Config, Deflate},
    error::cut,
    wire::deflate::{Agreed, Stream},
};
use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_EXTENSIONS};
use std::fmt::Write as _;

const NAME: &str = "permessage-deflate";
/// The parameters of an offer or of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner value is missing if the client only says that it understands the parameter.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads the parameters of an offer or an answer. Returns `None` if they are not valid:
    /// unknown, given twice, or without their value.
    fn parse(text: &str) -> Option<Self> {
        let mut read = Self::default();
        for parameter in text.split(';').map(str::trim_ascii) {
            let (name, value) = match parameter.split_once('=') {
                None => (parameter, None),
                Some((name, value)) => (name.trim_ascii_end(), Some(unquoted(value.trim_ascii_start())?)),
            };
            let once = match (&*name.to_ascii_lowercase(), value) {
                ("server_no_context_takeover", None) => !std::mem::replace(&mut read.server_no_context_takeover, true),
                ("client_no_context_takeover", None) => !std::mem::replace(&mut read.client_no_context_takeover, true),
                ("server_max_window_bits", Some(value)) => {
                    read.server_max_window_bits.replace(window_bits(value)?).is_none()
                }
                ("client_max_window_bits", None) => read.client_max_window_bits.replace(None).is_none(),
                ("client_max_window_bits", Some(value)) => {
                    read.client_max_window_bits.replace(Some(window_bits(value)?)).is_none()
                }
                _ => false,
            };
            if !once {
                return None;
            }
        }
        Some(read)
    }

    /// Returns the extension with these parameters.
    fn header(&self) -> HeaderValue {
        let mut text = NAME.to_owned();
        if self.server_no_context_takeover {
            text.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            text.push_str("; client_no_context_takeover");
        }
        if let Some(bits) = self.server_max_window_bits {
            let _ = write!(text, "; server_max_window_bits={bits}");
        }
        match self.client_max_window_bits {
            None => {}
            Some(None) => text.push_str("; client_max_window_bits"),
            Some(Some(bits)) => {
                let _ = write!(text, "; client_max_window_bits={bits}");
            }
        }
        HeaderValue::try_from(text).expect("the names and numbers are visible ASCII")
    }
}

/// Returns the value of a parameter, which may be quoted (RFC 6455 section 9.1).
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        None => Some(value),
        Some(rest) => rest.strip_suffix('"'),
    }
}

/// Reads a window: a number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    let bits = value.parse().ok().filter(|_| is_number)?;
    (8..=Stream::MAX_BITS).contains(&bits).then_some(bits)
}

/// Returns the extensions in these headers, as their texts.
fn extensions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    // No parameter that is known has a comma in its value.
    lines.flat_map(|line| line.to_str().unwrap_or_default().split(',')).map(str::trim_ascii)
}

/// Returns the parameters of this extension, if it is permessage-deflate and they are valid.
fn parameters(extension: &str) -> Option<Parameters> {
    let (name, rest) = extension.split_once(';').map_or((extension, None), |(name, rest)| (name, Some(rest)));
    if !name.trim_ascii_end().eq_ignore_ascii_case(NAME) {
        return None;
    }
    rest.map_or(Some(Parameters::default()), Parameters::parse)
}

/// The window of an option, as zlib has it.
fn bits_of(option: u8) -> u8 {
    option.clamp(Stream::MIN_BITS, Stream::MAX_BITS)
}

/// Returns what both ends agreed on. `own` and `peer` are the window and the context of each.
fn agreed(own: (u8, bool), peer: (u8, bool), options: &Deflate) -> Agreed {
    Agreed {
        own: (own.0 >= Stream::MIN_BITS).then(|| Stream::new(own.0, own.1, options)),
        peer: Stream::new(peer.0, peer.1, options),
        min_size: options.min_size,
    }
}

/// Returns the offer of a client.
pub(crate) fn offer(config: &Config) -> Option<HeaderValue> {
    let options = config.deflate?;
    let server_bits = bits_of(options.server_window_bits);
    let parameters = Parameters {
        server_no_context_takeover: !options.server_context,
        client_no_context_takeover: !options.client_context,
        // Without a context, the window of the server costs this end nothing. Not every server
        // knows the parameter, and one that does not has to decline.
        server_max_window_bits: (options.server_context && server_bits < Stream::MAX_BITS).then_some(server_bits),
        // Without a value, as browsers offer it: some servers decline a value below their own.
        client_max_window_bits: Some(None),
    };
    Some(parameters.header())
}

/// Returns what a server agrees on, and its answer: the first offer that is valid.
pub(crate) fn answer(config: &Config, headers: &HeaderMap) -> Option<(Agreed, HeaderValue)> {
    let options = config.deflate?;
    let offer = extensions(headers).find_map(parameters)?;
    let server_bits = bits_of(options.server_window_bits);
    let server_bits = offer.server_max_window_bits.map_or(server_bits, |asked| asked.min(server_bits));
    let server_context = options.server_context && !offer.server_no_context_takeover;
    let allowed = bits_of(options.client_window_bits);
    // A client that does not know the parameter has the largest window.
    let client_bits = offer.client_max_window_bits.map(|most| most.unwrap_or(Stream::MAX_BITS).min(allowed));
    let client_context = options.client_context
        && !offer.client_no_context_takeover
        && (client_bits.is_some() || allowed == Stream::MAX_BITS);
    let answer = Parameters {
        server_no_context_takeover: !server_context,
        client_no_context_takeover: !client_context,
        server_max_window_bits: (offer.server_max_window_bits.is_some()
            || (server_context && server_bits < Stream::MAX_BITS))
            .then_some(server_bits),
        client_max_window_bits: client_bits.map(Some),
    };
    let client = (client_bits.unwrap_or(Stream::MAX_BITS), client_context);
    Some((agreed((server_bits, server_context), client, &options), answer.header()))
}

/// Returns the parameters that the answer of the server selects, or `None` if the server declined.
/// The error says what is wrong with the answer.
pub(crate) fn accept(config: &Config, headers: &HeaderMap) -> Result<Option<Agreed>, String> {
    let Some(options) = config.deflate else { return super::not_requested(headers) };
    let mut all = extensions(headers);
    let Some(extension) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err("the server selected more than one extension, but one was offered".to_owned());
    }
    let wrong = || format!("the server selected the extension {:?}, which was not offered", cut(extension));
    let answer = parameters(extension).ok_or_else(wrong)?;
    let client_bits = match answer.client_max_window_bits {
        None => bits_of(options.client_window_bits),
        // An answer has to name the window.
        Some(None) => return Err(wrong()),
        Some(Some(most)) => most.min(bits_of(options.client_window_bits)),
    };
    let client_context = options.client_context && !answer.client_no_context_takeover;
    let server = (answer.server_max_window_bits.unwrap_or(Stream::MAX_BITS), !answer.server_no_context_takeover);
    Ok(Some(agreed((client_bits, client_context), server, &options)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(line).unwrap())).collect()
    }

    /// The own stream and that of the peer, each as its window and whether it has a context. The
    /// own window is 0 if this end does not compress.
    fn shown(agreed: &Agreed) -> [(u8, bool); 2] {
        let shown = |stream: Stream| (stream.window_bits, stream.keeps_context);
        [agreed.own.map_or((0, false), shown), shown(agreed.peer)]
    }

    fn configured(options: Deflate) -> Config {
        Config::default().deflate(options)
    }

    /// Row Z2: what the hub makes of an offer, with the defaults.
    #[test]
    fn the_first_valid_offer_is_answered() {
        const DEFAULT: &str = "; server_no_context_takeover; client_max_window_bits=10";
        let none = "; server_no_context_takeover; client_no_context_takeover";
        for (offered, expected, agreed) in [
            // Browsers, and npm `ws` and Python `websockets` with their defaults.
            ("permessage-deflate; client_max_window_bits", DEFAULT, [(10, false), (10, true)]),
            // A client whose window is always the largest would cost 32 KiB.
            ("permessage-deflate", none, [(10, false), (15, false)]),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                none,
                [(10, false), (15, false)],
            ),
            (
                "permessage-deflate; client_max_window_bits=9",
                "; server_no_context_takeover; client_max_window_bits=9",
                [(10, false), (9, true)],
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                "; server_no_context_takeover; client_max_window_bits=8",
                [(10, false), (8, true)],
            ),
            ("permessage-deflate; client_max_window_bits=15", DEFAULT, [(10, false), (10, true)]),
            (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
                "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
                [(9, false), (10, true)],
            ),
            (
                "permessage-deflate; server_max_window_bits=15; client_max_window_bits",
                "; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10",
                [(10, false), (10, true)],
            ),
            (
                "permessage-deflate; server_max_window_bits=8",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
                [(0, false), (15, false)],
            ),
            ("Permessage-Deflate ;  CLIENT_max_window_bits = \"12\"", DEFAULT, [(10, false), (10, true)]),
            (
                "x-webkit-deflate-frame, permessage-deflate; mode=7, permessage-deflate; client_max_window_bits",
                DEFAULT,
                [(10, false), (10, true)],
            ),
        ] {
            let (found, header) = answer(&configured(Deflate::default()), &headers(&[offered])).expect(offered);
            assert_eq!(header, format!("permessage-deflate{expected}"), "{offered}");
            assert_eq!(shown(&found), agreed, "{offered}");
        }
        let lines = headers(&["foo", "permessage-deflate; client_max_window_bits"]);
        assert!(answer(&configured(Deflate::default()), &lines).is_some(), "the second line counts");
    }

    /// Row Z2: an offer that RFC 7692 does not allow is declined.
    #[test]
    fn an_offer_with_a_mistake_is_declined() {
        for parameters in [
            "",
            "unknown",
            "server_no_context_takeover; server_no_context_takeover",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=+10",
            "server_max_window_bits=\"10",
            "server_max_window_bits=",
            "client_max_window_bits=0",
            "client_max_window_bits=300",
            "client_max_window_bits; client_max_window_bits=10",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&configured(Deflate::default()), &headers(&[&offer])), None, "{offer}");
        }
        for other in ["", "deflate", "permessage-deflate2", "permessage-bzip2; client_max_window_bits"] {
            assert_eq!(answer(&configured(Deflate::default()), &headers(&[other])), None, "{other}");
        }
        assert_eq!(answer(&Config::default(), &headers(&["permessage-deflate"])), None, "it is off");
    }

    /// Row Z2: whatever both ends are configured to, they agree on the same.
    #[test]
    fn a_client_and_a_hub_of_wsx_agree_on_the_same() {
        let all = [8, 9, 10, 15, 16].into_iter().flat_map(|bits| {
            [false, true].map(|context| {
                let options = Deflate::default().client_window_bits(bits).server_context(context);
                [options, options.server_window_bits(bits).client_context(context)]
            })
        });
        let all: Vec<Deflate> = all.flatten().collect();
        for client in &all {
            for hub in &all {
                let case = format!("{client:?} {hub:?}");
                let header = |value| [(SEC_WEBSOCKET_EXTENSIONS, value)].into_iter().collect::<HeaderMap>();
                let offered = header(offer(&configured(*client)).expect("it is on"));
                let (at_hub, answered) = answer(&configured(*hub), &offered).expect(&case);
                let at_client = accept(&configured(*client), &header(answered)).expect(&case).expect(&case);
                let [[hub_sends, hub_reads], [client_sends, client_reads]] = [at_hub, at_client].map(|end| shown(&end));
                for (sends, reads) in [(hub_sends, client_reads), (client_sends, hub_reads)] {
                    assert!((9..=15).contains(&sends.0) && sends.0 <= reads.0 && sends.1 <= reads.1, "{case}");
                }
                assert!(!client_sends.1 || (client.client_context && hub.client_context), "{case}");
                assert!(!hub_sends.1 || (client.server_context && hub.server_context), "{case}");
                assert!(!hub_reads.1 || hub_reads.0 <= hub.client_window_bits.clamp(9, 15), "{case}");
                assert_eq!(accept(&configured(*client), &HeaderMap::new()), Ok(None), "the hub may decline");
            }
        }
    }

    /// Row Z2: the offer of a client, and what the default asks for.
    #[test]
    fn a_client_offers_its_options() {
        let offered = |options| offer(&configured(options)).unwrap();
        let default = Deflate::default();
        assert_eq!(offered(default), "permessage-deflate; server_no_context_takeover; client_max_window_bits");
        assert_eq!(
            offered(default.server_context(true).client_context(false)),
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits"
        );
        assert_eq!(
            offered(default.server_context(true).server_window_bits(15).client_window_bits(15)),
            "permessage-deflate; client_max_window_bits"
        );
        assert_eq!(offer(&Config::default()), None);
    }

    /// Row Z2: the answers of other servers.
    #[test]
    fn an_answer_is_held_against_the_rfc() {
        let agreed = |answer: &str| {
            let agreed = accept(&configured(Deflate::default()), &headers(&[answer]));
            agreed.map(|agreed| agreed.as_ref().map(shown))
        };
        for (answer, expected) in [
            ("permessage-deflate", [(10, true), (15, true)]),
            ("permessage-deflate; server_no_context_takeover", [(10, true), (15, false)]),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", [(10, false), (15, false)]),
            ("permessage-deflate; client_max_window_bits=9; server_max_window_bits=11", [(9, true), (11, true)]),
            ("permessage-deflate; client_max_window_bits=15", [(10, true), (15, true)]),
            ("permessage-deflate; client_max_window_bits=8", [(0, false), (15, true)]),
        ] {
            assert_eq!(agreed(answer), Ok(Some(expected)), "{answer}");
        }
        for answer in [
            "x",
            "",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; x",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ] {
            let why = agreed(answer).unwrap_err();
            assert!(why.contains("was not offered"), "{answer}: {why}");
        }
        let two = accept(&configured(Deflate::default()), &headers(&["permessage-deflate", "permessage-deflate"]));
        assert!(two.unwrap_err().contains("more than one"));
        let off = accept(&Config::default(), &headers(&["permessage-deflate"]));
        assert!(off.unwrap_err().contains("no extension was requested"));
    }
}
