//! Parses a usual envelope in one pass over its text: first the keys, then the payload as the
//! handler's type.
//!
//! It gives up on unusual and on wrong text, so it never decides that a text is not an envelope.
//! The full parse decides that. If the shortcut succeeds, both give the same result.
use crate::envelope::{
    keys::{DeliveryKey, Id, Keys, Number},
    parse::{Parsed, SPACE, VERSION, is_type_of_peer},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The payload and the text that follows it. Both are not parsed yet, so the text may not be an
/// envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Undecoded<'f> {
    /// The whole text.
    pub(crate) text: &'f str,
    /// The position where the payload begins.
    start: usize,
    /// Whether both `ver` and `ts` came before the payload. Otherwise they may follow it.
    pub(crate) has_ver_and_ts: bool,
}

impl<'f> Parsed<'f, Undecoded<'f>> {
    /// Parses the keys of an envelope whose `data` comes last, with nothing unusual before it.
    /// `None` does not say anything about the text: [`Parsed::parse`] decides.
    // Inlined: its result is large, and most of it is used at once.
    #[inline]
    pub(crate) fn by_shortcut(text: &'f str) -> Option<Self> {
        let (mut ver, mut message_type, mut ts, mut keys) = (None, None, None, Keys::default());
        let mut scan = Scan { text, at: 0 };
        // Nearly all envelopes begin like this, without a space. So pieces are compared, not single
        // bytes.
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
                    "id" if keys.id.is_none() => keys.id = Some(scan.id()?),
                    "re" if keys.re.is_none() => keys.re = Some(scan.id()?),
                    "ttl" if keys.ttl.is_none() => keys.ttl = Some(scan.number::<18>()?.unsigned_abs()),
                    "data" => break,
                    _ => return None,
                }
                scan.token(b',')?;
            }
        }
        let data = Undecoded { text, start: scan.at, has_ver_and_ts: ver.is_some() && ts.is_some() };
        Some(Parsed {
            ver: ver.map_or(Some(VERSION), |ver| u32::try_from(ver).ok())?,
            message_type: Cow::Borrowed(message_type.filter(|message_type| is_type_of_peer(message_type))?),
            ts: ts.unwrap_or(0),
            keys,
            data,
        })
    }
}

impl<'f> Parsed<'f> {
    /// Parses the whole envelope of a kept message, if it is as wsx writes it. `None` does not say
    /// anything about the text: [`Parsed::parse`] decides.
    pub(crate) fn numbered(text: &'f str) -> Option<Self> {
        let mut scan = Scan { text, at: 0 };
        scan.literal("{\"ver\":1,\"type\":").then_some(())?;
        let message_type = scan.plain_string()?;
        scan.literal(",\"ts\":").then_some(())?;
        let ts = scan.number::<18>()?;
        let number = if scan.literal(",\"seq\":") {
            Number::Seq
        } else if scan.literal(",\"latest\":") {
            Number::Latest
        } else {
            scan.literal(",\"state\":").then_some(Number::State)?
        };
        // Every number of so many digits may be that of a message, except for 0.
        let value = scan.number::<15>()?.unsigned_abs();
        scan.literal(",\"data\":").then_some(())?;
        let data = serde_json::from_str::<&RawValue>(text[scan.at..].strip_suffix('}')?).ok()?;
        (value > 0 && is_type_of_peer(message_type)).then(|| Parsed {
            ver: VERSION,
            message_type: Cow::Borrowed(message_type),
            ts,
            keys: Keys { delivery: Some(DeliveryKey::Number(number(value))), ..Keys::default() },
            data: data.get(),
        })
    }
}

impl<'f> Undecoded<'f> {
    /// Whether a key of a request, a reply or a delivery may follow the payload. `false` is
    /// certain: in a key of letters, each escape begins with `\u`.
    pub(crate) fn may_have_more_keys(self) -> bool {
        let rest = &self.text[self.start..];
        ["\"re\"", "\"id\"", "\"err\"", "\"ttl\"", "\"seq\"", "\"latest\"", "\"state\"", "\"ack\"", "\\u"]
            .iter()
            .any(|key| rest.contains(key))
    }

    /// Decodes the payload, if only the closing brace of the envelope follows it. [`Parsed::parse`]
    /// decides about everything else, such as another key.
    pub(crate) fn decode<T: Deserialize<'f>>(self) -> Option<T> {
        let rest = &self.text[self.start..];
        let mut json = serde_json::Deserializer::from_str(rest);
        let value = T::deserialize(&mut json).ok()?;
        // The deserializer does not report its position, but the iterator over its next values
        // does.
        let end = json.into_iter::<serde::de::IgnoredAny>().byte_offset();
        let (payload, after) = rest.split_at_checked(end)?;
        let closed = after.trim_start_matches(SPACE).strip_prefix('}')?.trim_start_matches(SPACE).is_empty();
        // serde_json does not check this for a type that asks for bytes.
        if may_have_control_characters(self.text, self.start, end) && has_control_character_in_string(payload) {
            return None;
        }
        // A type may read nothing. Then the payload may be missing.
        (closed && !payload.trim_start_matches(SPACE).is_empty()).then_some(value)
    }
}

/// Whether the payload may have control characters, which JSON allows as white space between values
/// only. It has `length` bytes from `start` on.
#[inline]
fn may_have_control_characters(text: &str, start: usize, length: usize) -> bool {
    // Blocks without an early end, so that the processor compares many bytes at a time.
    const BLOCK: usize = 32;
    let text = &text.as_bytes()[..start + length];
    let least = text[start..start + length / BLOCK * BLOCK].iter().fold(u8::MAX, |least, byte| least.min(*byte));
    // The remainder is compared together with bytes before it.
    let Some(last) = text.last_chunk::<BLOCK>() else { return true };
    let borrows = last.chunks_exact(8).filter_map(<[u8]>::first_chunk).fold(0, |borrows, bytes| {
        let word = u64::from_ne_bytes(*bytes);
        // The lowest byte that is less than 0x20 borrows from its top bit.
        borrows | (word.wrapping_sub(0x2020_2020_2020_2020) & !word)
    });
    least < 0x20 || borrows & 0x8080_8080_8080_8080 != 0
}

/// Whether a string in the JSON has a control character that is not escaped.
#[cold]
fn has_control_character_in_string(json: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string && byte < 0x20 {
            return true;
        }
        if byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = byte == b'\\' && !escaped;
    }
    false
}

/// Reads simple JSON. Every method returns `None` if the JSON is not simple.
struct Scan<'f> {
    /// The whole text.
    text: &'f str,
    /// The position of the next byte.
    at: usize,
}

impl<'f> Scan<'f> {
    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// Takes exactly this text, or nothing. Returns whether it was there.
    #[inline]
    fn literal(&mut self, literal: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Takes this byte, after white space.
    #[inline]
    fn token(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (*self.text.as_bytes().get(self.at)? == byte).then(|| self.at += 1)
    }

    /// Takes a number of at most `DIGITS` digits, which fits into an `i64`, without sign, fraction
    /// or leading zero.
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

    /// Takes an id without escapes, as JSON.
    #[inline]
    fn id(&mut self) -> Option<Id<'f>> {
        self.skip_space();
        let start = self.at;
        match self.text.as_bytes().get(start)? {
            b'"' => self.plain_string().map(|_| ())?,
            _ => self.number::<18>().map(|_| ())?,
        }
        Id::from_json(&self.text[start..self.at])
    }

    /// Takes a string without escapes.
    #[inline]
    fn plain_string(&mut self) -> Option<&'f str> {
        self.token(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        // Only here, and not after white space: JSON does not allow a line break in a string.
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
    use serde_json::value::RawValue;
    use std::fmt::Debug;

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

    /// `None` if the text is not an envelope. The payload is `None` if it does not fit.
    fn two_passes<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<Option<T>>> {
        let parsed = Parsed::parse(text).ok()?;
        Some((parsed.ver, parsed.message_type.into(), parsed.ts, serde_json::from_str(parsed.data).ok()))
    }

    fn one_pass<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<T>> {
        let parsed = Parsed::by_shortcut(text)?;
        Some((parsed.ver, parsed.message_type.into(), parsed.ts, parsed.data.decode()?))
    }

    /// If the one pass succeeds, both ways must agree. Returns whether it succeeded.
    fn agree<'f, T: Deserialize<'f> + PartialEq + Debug>(text: &'f str) -> bool {
        let Some((ver, message_type, ts, data)) = one_pass::<T>(text) else { return false };
        assert_eq!(two_passes::<T>(text), Some((ver, message_type, ts, Some(data))), "{text:?}");
        true
    }

    /// As `agree`: `&RawValue` cannot be compared.
    fn agree_on_raw(text: &str) {
        if let Some((.., data)) = one_pass::<&RawValue>(text) {
            let (.., same) = two_passes::<&RawValue>(text).unwrap_or_else(|| panic!("no envelope: {text:?}"));
            assert_eq!(same.map(RawValue::get), Some(data.get()), "{text:?}");
        }
    }

    /// As `agree`, for a kept message. Returns whether it was read in the short way.
    fn agree_on_number(text: &str) -> bool {
        let Some(short) = Parsed::numbered(text) else { return false };
        let all = |parsed: Parsed<'_>| format!("{parsed:?}");
        assert_eq!(all(short), all(Parsed::parse(text).expect("it is an envelope")), "{text:?}");
        true
    }

    const SEEDS: [&str; 15] = [
        r#"{"ver":1,"type":"telemetry","ts":1732969200,"data":{"id":"b7","celsius":21.5,"ok":true,"tags":[1,-2],"site":"x"}}"#,
        r#"{"ver": 1, "type": "telemetry", "ts": 1732969200, "data": {"id": "b\u0037", "celsius": 1e3, "tags": [], "more": {"a": [1, {"b": null}]}}}"#,
        r#"{"type":"telemetry","data":{"id":"b7","celsius":21,"tags":[3]}}"#,
        r#"{"type":"telemetry","ver":1,"data":{"id":"b7","celsius":21,"tags":[3]},"ts":5}"#,
        r#"{"ts":0,"ver":1,"type":"a","data":null}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":"text"}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":-12.5}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":7}"#,
        r#"{"ver":1,"type":"a","ts":0,"data":[1,2,3],"id":9}"#,
        r#"{"ver":1,"type":"telemetry","ts":1732969200,"seq":7,"data":{"id":"b7","celsius":21.5,"tags":[1,-2]}}"#,
        r#"{"ver":1,"type":"a","ts":0,"latest":900719925474099,"data":[1,2,3]}"#,
        r#"{"ver":1,"type":"a","ts":0,"state":1,"data": "text" }"#,
        r#"{"ver":1,"type":"a","ts":0,"seq":0,"data":1}"#,
        r#"{"ver":1,"type":"a","ts":0,"seq":9007199254740992,"data":1}"#,
        r#"{"ver":1,"type":"__open__","ts":0,"seq":1,"data":1}"#,
    ];
    /// The pieces that a mutation inserts.
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
        let (mut rng, mut in_one_pass, mut numbered) = (SmallRng::seed_from_u64(1), 0, 0);
        for _ in 0..100_000 {
            let text = mutated(&mut rng);
            in_one_pass += u32::from(agree::<Telemetry<'_>>(&text));
            agree::<serde_json::Value>(&text);
            agree::<Option<f64>>(&text);
            agree::<&str>(&text);
            agree::<Vec<u8>>(&text);
            agree::<Raw>(&text);
            agree_on_raw(&text);
            numbered += u32::from(agree_on_number(&text));
        }
        assert!(numbered > 5_000, "only {numbered} frames had a number: the test has lost its point");
        assert!(in_one_pass > 5_000, "only {in_one_pass} frames were read in one pass: the test has lost its point");
    }

    /// A payload that asks serde for bytes, or for borrowed bytes. It reads a whole JSON string.
    #[derive(Debug, PartialEq)]
    struct Raw(Vec<u8>);
    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl serde::de::Visitor<'_> for Bytes {
                type Value = Raw;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                    Ok(Raw(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Bytes)
        }
    }

    /// Row E4: `serde_json` accepts control characters for a type that asks for bytes, unless the
    /// text was parsed before.
    #[test]
    fn bytes_have_no_raw_control_characters_in_either_order() {
        type Nested = std::collections::BTreeMap<String, Vec<Raw>>;
        let read = |data: &str| {
            let texts = [r#"{"ver":1,"type":"a","ts":0,"data":DATA}"#, r#"{"data":DATA,"type":"a"}"#];
            texts.map(|text| {
                let text = text.replace("DATA", data);
                agree::<Raw>(&text);
                agree::<Nested>(&text);
                let fits = |text| two_passes::<Raw>(text).is_some_and(|(.., data)| data.is_some());
                let nested = |text| two_passes::<Nested>(text).is_some_and(|(.., data)| data.is_some());
                (one_pass::<Raw>(&text).is_some() || fits(&text), one_pass::<Nested>(&text).is_some() || nested(&text))
            })
        };
        for (data, bytes, nested) in [
            ("\"plain\"", true, false),
            ("\"a\\nb\\\\\"", true, false),
            ("\"a\nb\"", false, false),
            ("\"a\u{0}\"", false, false),
            ("\"\\\"\u{1f}\"", false, false),
            ("{\"a\":[\"b\",\"c\"]}", false, true),
            ("{\n\t\"a\" : [ \"b\\\\\",\r\n\"c\" ]\n}", false, true),
            ("{\"a\":[\"b\",\"\t\"]}", false, false),
        ] {
            assert_eq!(read(data), [(bytes, nested); 2], "{data:?}");
        }
        // White space is not a reason for a second pass.
        let pretty = "{\"ver\":1,\"type\":\"a\",\"ts\":0,\"data\":{\n\"a\":[\n\"b\"\n]\n}}";
        assert!(one_pass::<Nested>(pretty).is_some());
    }

    #[test]
    fn deep_nesting_is_rejected_at_the_same_depth_either_way() {
        for depth in 120..135 {
            let text = format!(r#"{{"ver":1,"type":"a","ts":0,"data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let fits = two_passes::<serde_json::Value>(&text).is_some_and(|(.., data)| data.is_some());
            assert_eq!(agree::<serde_json::Value>(&text), fits, "{depth}");
        }
    }

    #[test]
    fn a_payload_type_that_reads_nothing_does_not_make_a_text_an_envelope() {
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
