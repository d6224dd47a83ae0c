//! Parses any envelope in a separate pass over the text. It decides which text is an envelope, and
//! gives the reason if one is not.
//!
//! It does not read the payload: the handler's type decodes that in a second pass. `shortcut` needs
//! one pass, and returns the same result or none.
use crate::envelope::keys::{DeliveryKey, Id, Keys};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version of the envelope's format. It is also assumed if `ver` is missing.
pub(crate) const VERSION: u32 = 1;

/// An envelope whose payload is not decoded. `D` is the JSON of the payload, or the rest of the
/// text that the shortcut leaves.
#[derive(Debug)]
pub(crate) struct Parsed<'f, D = &'f str> {
    pub(crate) ver: u32,
    pub(crate) message_type: Cow<'f, str>,
    pub(crate) ts: i64,
    #[cfg_attr(not(feature = "__engine"), expect(dead_code, reason = "the protocol half only checks these keys"))]
    pub(crate) keys: Keys<'f>,
    pub(crate) data: D,
}

impl<'f> Parsed<'f> {
    /// Parses an envelope. An error means that the text is not an envelope.
    pub(crate) fn parse(text: &'f str) -> Result<Self, serde_json::Error> {
        // serde also accepts an array in place of a struct. An envelope must be an object.
        if !text.trim_start_matches(SPACE).starts_with('{') {
            return Err(serde_json::Error::custom("an envelope is a JSON object"));
        }
        let fields: Fields<'f> = serde_json::from_str(text)?;
        if !is_type_of_peer(&fields.message_type) {
            return Err(serde_json::Error::custom("`type` must not be empty or begin with `__`"));
        }
        Ok(Parsed {
            ver: fields.ver,
            message_type: fields.message_type,
            ts: fields.ts,
            keys: Keys {
                id: fields.id,
                re: fields.re,
                ttl: fields.ttl,
                err: fields.err.map(RawValue::get),
                delivery: DeliveryKey::of(
                    fields.seq.map(RawValue::get),
                    fields.latest.map(RawValue::get),
                    fields.state.map(RawValue::get),
                    fields.ack.map(RawValue::get),
                ),
            },
            data: fields.data.map_or(MISSING_DATA, RawValue::get),
        })
    }

    /// Whether a key of a request or a reply follows the payload in the text.
    #[cfg(feature = "__engine")]
    pub(crate) fn has_late_keys(&self, text: &str) -> bool {
        let Keys { id, re, ttl, err, delivery } = self.keys;
        if id.is_none() && re.is_none() && ttl.is_none() && err.is_none() && delivery.is_none() {
            return false;
        }
        let end = (self.data.as_ptr() as usize + self.data.len()).checked_sub(text.as_ptr() as usize);
        end.and_then(|end| text.get(end..)).is_none_or(|after| after.trim_matches(SPACE) != "}")
    }

    /// As [`parse`](Self::parse), but the error names the wrong key. Finding the key takes as long
    /// as parsing.
    pub(crate) fn explain(text: &'f str) -> Result<Self, serde_json::Error> {
        Self::parse(text).map_err(|plain| match serde_json::from_str::<NamingFields<'_>>(text) {
            // An error in the JSON itself has a position, which is enough.
            Err(naming) if plain.is_data() && naming.to_string().starts_with('`') => naming,
            _ => plain,
        })
    }
}

/// The keys of an envelope.
#[derive(Deserialize)]
struct Fields<'f> {
    #[serde(default = "version")]
    ver: u32,
    // Not `&str`, which cannot hold a string with an escape.
    #[serde(borrow, rename = "type")]
    message_type: Cow<'f, str>,
    #[serde(default)]
    ts: i64,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<Id<'f>>,
    #[serde(borrow, default, deserialize_with = "present")]
    re: Option<Id<'f>>,
    #[serde(default, deserialize_with = "present")]
    ttl: Option<u64>,
    // `null` is no failure: peers send it with a reply.
    #[serde(borrow, default)]
    err: Option<&'f RawValue>,
    #[serde(borrow, default)]
    seq: Option<&'f RawValue>,
    #[serde(borrow, default)]
    latest: Option<&'f RawValue>,
    #[serde(borrow, default)]
    state: Option<&'f RawValue>,
    #[serde(borrow, default)]
    ack: Option<&'f RawValue>,
}

fn version() -> u32 {
    VERSION
}

/// As [`Fields`], but the error of a value names its key.
#[derive(Deserialize)]
#[allow(dead_code, reason = "only the error is of interest")]
struct NamingFields<'f> {
    #[serde(default, deserialize_with = "ver")]
    ver: u32,
    #[serde(rename = "type", deserialize_with = "message_type")]
    message_type: String,
    #[serde(default, deserialize_with = "ts")]
    ts: i64,
    #[serde(default)]
    data: IgnoredAny,
    #[serde(borrow, default, deserialize_with = "id")]
    id: Option<Id<'f>>,
    #[serde(borrow, default, deserialize_with = "re")]
    re: Option<Id<'f>>,
    #[serde(default, deserialize_with = "ttl")]
    ttl: Option<u64>,
    #[serde(default)]
    err: IgnoredAny,
}

fn ver<'f, D: Deserializer<'f>>(value: D) -> Result<u32, D::Error> {
    value_of("ver", value)
}

fn message_type<'f, D: Deserializer<'f>>(value: D) -> Result<String, D::Error> {
    value_of("type", value)
}

fn ts<'f, D: Deserializer<'f>>(value: D) -> Result<i64, D::Error> {
    value_of("ts", value)
}

fn id<'f, D: Deserializer<'f>>(value: D) -> Result<Option<Id<'f>>, D::Error> {
    value_of("id", value).map(Some)
}

fn re<'f, D: Deserializer<'f>>(value: D) -> Result<Option<Id<'f>>, D::Error> {
    value_of("re", value).map(Some)
}

fn ttl<'f, D: Deserializer<'f>>(value: D) -> Result<Option<u64>, D::Error> {
    value_of("ttl", value).map(Some)
}

/// `serde_json` takes line and column out of the message.
fn value_of<'f, T: Deserialize<'f>, D: Deserializer<'f>>(key: &str, value: D) -> Result<T, D::Error> {
    T::deserialize(value).map_err(|error| D::Error::custom(format!("`{key}`: {error}")))
}

/// Distinguishes a `null` from a missing key.
fn present<'f, T: Deserialize<'f>, D: Deserializer<'f>>(value: D) -> Result<Option<T>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// The payload of an envelope without `data`.
const MISSING_DATA: &str = "null";

/// Returns the error of decoding `data`, with the line and column of the whole text. If `data` is
/// missing, the error says that.
pub(crate) fn locate_in_text(error: serde_json::Error, data: &str, text: &str) -> serde_json::Error {
    let at = (data.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
    let Some(before) = at.and_then(|at| text.get(..at)) else {
        // Data outside of the text is [`MISSING_DATA`].
        return serde_json::Error::custom("the envelope has no `data`");
    };
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let Some(problem) = message.strip_suffix(&format!(" at line {line} column {column}")) else { return error };
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    let column = if line == 1 { column + last_line.len() } else { column };
    let line = line + before.matches('\n').count();
    // serde_json takes line and column out of the message.
    serde_json::Error::custom(format!("{problem} at line {line} column {column}"))
}

/// The white space of JSON (RFC 8259 section 2).
pub(super) const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether a peer may send this type. Types that begin with `__` are reserved for events.
pub(super) fn is_type_of_peer(message_type: &str) -> bool {
    !message_type.is_empty() && !message_type.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row E1: only `type` is required; the order of the keys and unknown keys do not matter.
    #[test]
    fn an_envelope_is_read_with_what_it_has() {
        let parsed = Parsed::parse(r#" {"x":[1],"data":{"a":1.50},"type":"a\u0062"} "#).unwrap();
        assert_eq!((parsed.ver, &*parsed.message_type, parsed.ts, parsed.data), (1, "ab", 0, r#"{"a":1.50}"#));
        let parsed = Parsed::parse(r#"{"type":"a","ts":-5,"ver":7}"#).unwrap();
        assert_eq!((parsed.ver, parsed.ts, parsed.data), (7, -5, "null"));
    }

    /// Row E2: a text that is not an envelope is rejected.
    #[test]
    fn a_text_that_is_not_an_envelope_is_rejected_whole() {
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
            assert!(Parsed::parse(text).is_err(), "{text}");
            let one_pass = Parsed::by_shortcut(text).and_then(|parsed| parsed.data.decode::<serde_json::Value>());
            assert!(one_pass.is_none(), "{text}");
        }
    }

    /// Row X4: the error of a text that is not an envelope names the wrong key.
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
            (r#"{"type":"__raw__"}"#, "`type` must not be empty or begin with `__`"),
            ("[]", "an envelope is a JSON object"),
        ] {
            assert_eq!(Parsed::explain(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    /// Row X4: the error has the position in the whole text, and `null` differs from a missing key.
    #[test]
    fn an_error_in_the_data_has_its_place_in_the_whole_text() {
        for (text, why) in [
            (r#"{"type":"a","data":"x"}"#, "invalid type: string \"x\", expected u32 at line 1 column 22"),
            ("{\"type\":\"a\",\n \"data\": true}", "invalid type: boolean `true`, expected u32 at line 2 column 13"),
            (r#"{"type":"a","data":null}"#, "invalid type: null, expected u32 at line 1 column 23"),
            (r#"{"type":"a"}"#, "the envelope has no `data`"),
        ] {
            let parsed = Parsed::parse(text).unwrap();
            let error = serde_json::from_str::<u32>(parsed.data).unwrap_err();
            assert_eq!(locate_in_text(error, parsed.data, text).to_string(), why, "{text}");
        }
    }
}
