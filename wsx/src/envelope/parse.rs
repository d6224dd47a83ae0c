//! Reading an envelope: everything but its data, which is for the handler's type to read.
//!
//! There are two ways, and they give the same result for every text. [`Head::quick`] looks at what stands in front of the
//! data, so that [`Tail::decode`] reads the payload in the only pass over it. It gives up on all that is unusual, and on all
//! that is wrong; [`Head::parse`] reads any envelope, in a pass of its own, and is the one that says what is none.
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version that is written, and that is assumed where `ver` is missing.
pub(crate) const VERSION: u32 = 1;

/// An envelope before anybody has looked at its data: `D` is exactly the payload's text, or a [`Tail`].
#[derive(Debug)]
pub(crate) struct Head<'f, D = &'f str> {
    pub(crate) ver: u32,
    pub(crate) message_type: Cow<'f, str>,
    pub(crate) ts: i64,
    pub(crate) data: D,
}

/// The payload and what follows it. Nobody has looked at it, so the text may be no envelope at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail<'f> {
    /// The text from its beginning.
    pub(crate) whole: &'f str,
    at: usize,
    /// Whether `ver` and `ts` were both in front of the payload, and so cannot come behind it.
    pub(crate) complete: bool,
}

impl<'f> Head<'f, Tail<'f>> {
    /// The head of an envelope whose `data` comes last, as everyone writes it, with nothing unusual in front of it. `None`
    /// says nothing about the text: ask [`Head::parse`].
    pub(crate) fn quick(text: &'f str) -> Option<Self> {
        let (mut ver, mut message_type, mut ts) = (None, None, None);
        let mut scan = Scan { text, at: 0 };
        // Nearly all envelopes are written like this, without a space: compared piece by piece rather than byte by byte.
        let usual = scan.literal("{\"ver\":1,\"type\":");
        if usual {
            ver = Some(1);
            message_type = Some(scan.plain_string()?);
            if scan.literal(",\"ts\":") {
                ts = Some(scan.number::<18>()?);
            }
        }
        if !(usual && scan.literal(",\"data\":")) {
            scan.token(if usual { b',' } else { b'{' })?;
            loop {
                let key = scan.plain_string()?;
                scan.token(b':')?;
                match key {
                    "ver" if ver.is_none() => ver = Some(scan.number::<9>()?),
                    "type" if message_type.is_none() => message_type = Some(scan.plain_string()?),
                    "ts" if ts.is_none() => ts = Some(scan.number::<18>()?),
                    "data" => break,
                    _ => return None,
                }
                scan.token(b',')?;
            }
        }
        let data = Tail { whole: text, at: scan.at, complete: ver.is_some() && ts.is_some() };
        Some(Head {
            ver: ver.map_or(Some(VERSION), |ver| u32::try_from(ver).ok())?,
            message_type: Cow::Borrowed(message_type.filter(|message_type| is_for_peers(message_type))?),
            ts: ts.unwrap_or(0),
            data,
        })
    }
}

impl<'f> Head<'f> {
    /// Any envelope. An error means that the text is none.
    pub(crate) fn parse(text: &'f str) -> Result<Self, serde_json::Error> {
        // serde reads a struct from an array too, field by field; an envelope is an object.
        if !text.trim_start_matches(SPACE).starts_with('{') {
            return Err(serde::de::Error::custom("an envelope is a JSON object"));
        }
        let wire: Wire<'f> = serde_json::from_str(text)?;
        if !is_for_peers(&wire.message_type) {
            return Err(serde::de::Error::custom("a peer's type is not empty and does not begin with `__`"));
        }
        Ok(Head {
            ver: wire.ver,
            message_type: wire.message_type,
            ts: wire.ts,
            data: wire.data.map_or(MISSING, RawValue::get),
        })
    }

    /// As [`parse`](Self::parse), and the error names the key that it is about. Takes twice as long where there is one.
    pub(crate) fn explain(text: &'f str) -> Result<Self, serde_json::Error> {
        Self::parse(text).map_err(|plain| {
            let mut json = serde_json::Deserializer::from_str(text);
            match serde_path_to_error::deserialize::<_, Wire<'f>>(&mut json) {
                // Where the text is no JSON, its position says all.
                Err(error) if plain.is_data() && error.path().iter().len() > 0 => {
                    serde::de::Error::custom(format!("`{}`: {plain}", error.path()))
                }
                _ => plain,
            }
        })
    }
}

/// The envelope's keys.
#[derive(Deserialize)]
struct Wire<'f> {
    #[serde(default = "version")]
    ver: u32,
    // Not `&str`: that fails on a string with an escape in it.
    #[serde(borrow, rename = "type")]
    message_type: Cow<'f, str>,
    #[serde(default)]
    ts: i64,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'f RawValue>,
}

fn version() -> u32 {
    VERSION
}

/// A `null` that is there is some value too.
fn given<'f, D: serde::Deserializer<'f>>(value: D) -> Result<Option<&'f RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// What is read as the data of an envelope without any.
const MISSING: &str = "null";

/// An error in `data`, said of the whole text that the data was found in: with its place there, or that there is none.
pub(crate) fn in_text(error: serde_json::Error, data: &str, text: &str) -> serde_json::Error {
    let at = (data.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
    let Some(front) = at.and_then(|at| text.get(..at)) else {
        // What is not part of the text stands in for what is missing.
        return serde::de::Error::custom("the envelope has no `data`");
    };
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let Some(what) = said.strip_suffix(&format!(" at line {line} column {column}")) else { return error };
    let last_line = front.rsplit('\n').next().unwrap_or_default();
    let column = if line == 1 { column + last_line.len() } else { column };
    let line = line + front.matches('\n').count();
    // serde_json takes the place out of the words.
    serde::de::Error::custom(format!("{what} at line {line} column {column}"))
}

impl<'f> Tail<'f> {
    /// The payload, if nothing but the envelope's closing brace follows it. Anything else, a further key for example, is
    /// [`Head::parse`]'s to judge.
    pub(crate) fn decode<T: Deserialize<'f>>(self) -> Option<T> {
        let rest = &self.whole[self.at..];
        let mut json = serde_json::Deserializer::from_str(rest);
        let value = T::deserialize(&mut json).ok()?;
        // The deserializer itself does not tell where it stands; a stream of its further values does.
        let end = json.into_iter::<serde::de::IgnoredAny>().byte_offset();
        let (payload, after) = rest.split_at_checked(end)?;
        let closed = after.trim_start_matches(SPACE).strip_prefix('}')?.trim_start_matches(SPACE).is_empty();
        // A type that reads nothing does not make this a payload.
        (closed && !payload.trim_start_matches(SPACE).is_empty()).then_some(value)
    }
}

/// JSON's white space (RFC 8259 section 2).
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_for_peers(message_type: &str) -> bool {
    !message_type.is_empty() && !message_type.starts_with("__")
}

/// Steps through the plainest of JSON; `None` wherever it is not that plain.
struct Scan<'f> {
    text: &'f str,
    at: usize,
}

impl<'f> Scan<'f> {
    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// Exactly this, or nothing is taken.
    #[inline]
    fn literal(&mut self, literal: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    #[inline]
    fn token(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (*self.text.as_bytes().get(self.at)? == byte).then(|| self.at += 1)
    }

    /// A number of at most `DIGITS` digits (so that it fits), and nothing else: no sign, fraction or leading zero.
    #[inline]
    fn number<const DIGITS: usize>(&mut self) -> Option<i64> {
        self.skip_space();
        let (start, mut number) = (self.at, 0);
        while let Some(digit @ b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            if self.at - start == DIGITS {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let length = self.at - start;
        (length == 1 || (length > 1 && self.text.as_bytes()[start] != b'0')).then_some(number)
    }

    /// A string without escapes.
    #[inline]
    fn plain_string(&mut self) -> Option<&'f str> {
        self.token(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        // Exactly here, not behind white space: a line end inside of a string is none of JSON.
        if rest[length] != b'"' {
            return None;
        }
        let string = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use std::fmt::Debug;

    /// Row E1: only `type` is required; the order of the keys and unknown keys do not matter.
    #[test]
    fn an_envelope_is_read_with_what_it_has() {
        let head = Head::parse(r#" {"x":[1],"data":{"a":1.50},"type":"a\u0062"} "#).unwrap();
        assert_eq!((head.ver, &*head.message_type, head.ts, head.data), (1, "ab", 0, r#"{"a":1.50}"#));
        let head = Head::parse(r#"{"type":"a","ts":-5,"ver":7}"#).unwrap();
        assert_eq!((head.ver, head.ts, head.data), (7, -5, "null"));
    }

    /// Row E2: what is no envelope.
    #[test]
    fn what_is_no_envelope_is_refused_whole() {
        for text in [
            "",
            "x",
            "1",
            "null",
            "\"telemetry\"",
            "[]",
            r#"[1,"telemetry",5,{}]"#,
            "{}",
            r#"{"data":{}}"#,
            r#"{"type":5}"#,
            r#"{"type":null}"#,
            r#"{"type":""}"#,
            r#"{"type":"__raw__"}"#,
            r#"{"type":"__"}"#,
            r#"{"type":"\u005f_open__"}"#,
            r#"{"type":"a","type":"b"}"#,
            r#"{"type":"a","data":1,"data":2}"#,
            r#"{"type":"a","ts":"now"}"#,
            r#"{"type":"a","ts":1.5}"#,
            r#"{"type":"a","ver":"1"}"#,
            r#"{"type":"a","data":}"#,
            r#"{"type":"a"} x"#,
            r#"{"type":"a""#,
            r#"{"type":"a","data":{"b":1}"#,
        ] {
            assert!(Head::parse(text).is_err(), "{text}");
            assert!(one_pass::<serde_json::Value>(text).is_none(), "{text}");
        }
    }

    /// Row X4: who reads why a text is no envelope learns which key is at fault.
    #[test]
    fn the_key_that_is_at_fault_is_named() {
        for (text, why) in [
            (
                r#"{"ver":1.0,"type":"a"}"#,
                "`ver`: invalid type: floating point `1.0`, expected u32 at line 1 column 10",
            ),
            (r#"{"type":"a","ver":-1}"#, "`ver`: invalid value: integer `-1`, expected u32 at line 1 column 20"),
            (r#"{"type":7}"#, "`type`: invalid type: integer `7`, expected a string at line 1 column 9"),
            (r#"{"type":"a","ts":"now"}"#, "`ts`: invalid type: string \"now\", expected i64 at line 1 column 22"),
            (r#"{"data":{}}"#, "missing field `type` at line 1 column 11"),
            (r#"{"type":"a","type":"b"}"#, "duplicate field `type` at line 1 column 18"),
            (r#"{"type":"__raw__"}"#, "a peer's type is not empty and does not begin with `__`"),
            ("[]", "an envelope is a JSON object"),
        ] {
            assert_eq!(Head::explain(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    /// Row X4: whoever looks at what came in finds the place, and `null` is told from nothing.
    #[test]
    fn an_error_in_the_data_has_its_place_in_the_whole_text() {
        for (text, why) in [
            (r#"{"type":"a","data":"x"}"#, "invalid type: string \"x\", expected u32 at line 1 column 22"),
            ("{\"type\":\"a\",\n \"data\": true}", "invalid type: boolean `true`, expected u32 at line 2 column 13"),
            (r#"{"type":"a","data":null}"#, "invalid type: null, expected u32 at line 1 column 23"),
            (r#"{"type":"a"}"#, "the envelope has no `data`"),
        ] {
            let head = Head::parse(text).unwrap();
            let error = serde_json::from_str::<u32>(head.data).unwrap_err();
            assert_eq!(in_text(error, head.data, text).to_string(), why, "{text}");
        }
    }

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Telemetry<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        celsius: f64,
        #[serde(default)]
        ok: Option<bool>,
        tags: Vec<i16>,
        #[serde(borrow, default)]
        site: Cow<'a, str>,
    }

    type Read<T> = (u32, String, i64, T);

    /// `None` where the text is no envelope; otherwise its head, and the payload if it fits.
    fn two_passes<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<Option<T>>> {
        let head = Head::parse(text).ok()?;
        Some((head.ver, head.message_type.into(), head.ts, serde_json::from_str(head.data).ok()))
    }

    fn one_pass<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<T>> {
        let head = Head::quick(text)?;
        Some((head.ver, head.message_type.into(), head.ts, head.data.decode()?))
    }

    /// The one pass may only say yes, and then to the very same. Whether it did.
    fn agree<'f, T: Deserialize<'f> + PartialEq + Debug>(text: &'f str) -> bool {
        let Some((ver, message_type, ts, data)) = one_pass::<T>(text) else { return false };
        assert_eq!(two_passes::<T>(text), Some((ver, message_type, ts, Some(data))), "{text:?}");
        true
    }

    /// `&RawValue` has no equality.
    fn agree_on_raw(text: &str) {
        if let Some((.., data)) = one_pass::<&RawValue>(text) {
            let (.., same) = two_passes::<&RawValue>(text).unwrap_or_else(|| panic!("no envelope: {text:?}"));
            assert_eq!(same.map(RawValue::get), Some(data.get()), "{text:?}");
        }
    }

    const SEEDS: [&str; 9] = [
        r#"{"ver":1,"type":"telemetry","ts":1732969200,"data":{"id":"b7","celsius":21.5,"ok":true,"tags":[1,-2],"site":"x"}}"#,
        r#"{"ver": 1, "type": "telemetry", "ts": 1732969200, "data": {"id": "b\u0037", "celsius": 1e3, "tags": [], "more": {"a": [1, {"b": null}]}}}"#,
        r#"{"type":"telemetry","data":{"id":"b7","celsius":21,"tags":[3]}}"#,
        r#"{"type":"telemetry","ver":1,"data":{"id":"b7","celsius":21,"tags":[3]},"ts":5}"#,
        r#"{"ts":0,"ver":1,"type":"a","data":null}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":"text"}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":-12.5}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":7}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":[1,2,3],"id":9}"#,
    ];
    /// What a mutation inserts.
    const SCRAPS: [&str; 36] = [
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\r",
        "\t",
        "0",
        "1",
        "-",
        ".",
        "e",
        "null",
        "true",
        "__",
        "//",
        "}}",
        "\"ver\":1",
        ",\"type\":\"x\"",
        ",\"data\":1",
        ",\"ts\":2",
        "\"id\":\"é\"",
        "\\u00fc",
        "\\ud800",
        "\u{0}",
        "\u{a0}",
        "\u{1f600}",
        "99999999999",
        "1e400",
        "\"celsius\":NaN",
        ",\"more\":[{}]",
    ];

    fn mutated(rng: &mut SmallRng) -> String {
        let mut text: Vec<char> = SEEDS[rng.random_range(0..SEEDS.len())].chars().collect();
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..=text.len());
            let to = (at + rng.random_range(0..30)).min(text.len());
            match rng.random_range(0..4) {
                0 if at < text.len() => drop(text.remove(at)),
                1 => {
                    let copy = text[at..to].to_vec();
                    text.splice(at..at, copy);
                }
                2 => drop(text.drain(at..to)),
                _ => drop(text.splice(at..at, SCRAPS[rng.random_range(0..SCRAPS.len())].chars())),
            }
        }
        text.into_iter().collect()
    }

    /// Row E4: one pass and two give the same for every text, hostile ones included.
    #[test]
    fn one_pass_and_two_agree_on_mutated_frames() {
        let (mut rng, mut in_one_pass) = (SmallRng::seed_from_u64(1), 0);
        for _ in 0..100_000 {
            let text = mutated(&mut rng);
            in_one_pass += u32::from(agree::<Telemetry<'_>>(&text));
            agree::<serde_json::Value>(&text);
            agree::<Option<f64>>(&text);
            agree::<&str>(&text);
            agree::<Vec<u8>>(&text);
            agree_on_raw(&text);
        }
        assert!(in_one_pass > 5_000, "only {in_one_pass} frames were read in one pass: the test has lost its point");
    }

    #[test]
    fn deep_nesting_is_refused_at_the_same_depth_either_way() {
        for depth in 120..135 {
            let text = format!(r#"{{"ver":1,"type":"a","ts":0,"data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let fits = two_passes::<serde_json::Value>(&text).is_some_and(|(.., data)| data.is_some());
            assert_eq!(agree::<serde_json::Value>(&text), fits, "{depth}");
        }
    }

    #[test]
    fn a_payload_type_that_reads_nothing_makes_no_text_an_envelope() {
        #[derive(Debug, PartialEq)]
        struct Blind;
        impl<'de> Deserialize<'de> for Blind {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                Ok(Self)
            }
        }
        for seed in SEEDS {
            assert!(!agree::<Blind>(seed));
        }
        assert!(!agree::<Blind>(r#"{"type":"a","data":}"#));
    }
}
