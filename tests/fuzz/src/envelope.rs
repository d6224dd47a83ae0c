//! Envelopes: reading in one pass and in two passes gives the same result, which is that of an
//! independent reader written from the specification's table.
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt};
use wsx::{__private::fuzz, Envelope};

/// Input: the text of an envelope, from any bytes.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let expected = expected(&text);
    let two_passes = fuzz::two_passes(&text).map(|(ver, message_type, ts, data)| (ver, message_type.into(), ts, data));
    assert_eq!(two_passes, expected, "two passes");
    agree::<serde_json::Value>(&text, expected.as_ref());
    agree::<Telemetry<'_>>(&text, expected.as_ref());
    agree::<BTreeMap<Cow<'_, str>, Vec<Option<f64>>>>(&text, expected.as_ref());
    agree::<&str>(&text, expected.as_ref());
    agree::<Vec<u8>>(&text, expected.as_ref());
    agree::<Bytes>(&text, expected.as_ref());
    agree::<()>(&text, expected.as_ref());
    // `RawValue` has no equality.
    if let Some((ver, message_type, ts, data)) = fuzz::one_pass::<&RawValue>(&text) {
        assert_eq!(Some((ver, message_type.into(), ts, data.get())), expected, "the text of the data");
    }
    // With the public function.
    let parsed = Envelope::<&RawValue>::parse(&text).ok();
    let parsed = parsed.map(|envelope| (envelope.ver, envelope.message_type.into(), envelope.ts, envelope.data.get()));
    assert_eq!(parsed, expected, "the public function");
}

type Read<T> = (u32, String, i64, T);

/// One pass may give up. If it succeeds, the result must be the same.
fn agree<'t, T: Deserialize<'t> + PartialEq + fmt::Debug>(text: &'t str, expected: Option<&Read<&'t str>>) {
    let Some((ver, message_type, ts, data)) = fuzz::one_pass::<T>(text) else { return };
    let expected =
        expected.map(|(ver, message_type, ts, data)| (*ver, &**message_type, *ts, serde_json::from_str(data).ok()));
    assert_eq!(expected, Some((ver, &*message_type, ts, Some(data))), "one pass");
}

/// A payload that asks serde for bytes.
#[derive(Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Telemetry<'t> {
    #[serde(borrow)]
    id: Cow<'t, str>,
    celsius: f64,
    #[serde(default)]
    ok: Option<bool>,
    #[serde(default)]
    tags: Vec<i16>,
}

/// Reads an envelope by the table of the specification: an object with known keys, each at most
/// once, and of its type.
fn expected(text: &str) -> Option<Read<&str>> {
    let Entries(entries) = serde_json::from_str(text).ok()?;
    let one = |key: &str| {
        let mut found = entries.iter().filter(|(name, _)| name == key).map(|(_, value)| value.get());
        let first = found.next();
        // With a key twice it is not an envelope.
        found.next().is_none().then_some(first)
    };
    let ver = one("ver")?.map_or(Ok(1), serde_json::from_str).ok()?;
    let ts = one("ts")?.map_or(Ok(0), serde_json::from_str).ok()?;
    let message_type: String = serde_json::from_str(one("type")??).ok()?;
    let data = one("data")?.unwrap_or("null");
    let is_for_peers = !message_type.is_empty() && !message_type.starts_with("__");
    is_for_peers.then_some((ver, message_type, ts, data))
}

/// The entries of an object, in order, with their values unchanged.
struct Entries<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let known = ["ver", "type", "ts", "data"].contains(&&*key);
                    if known {
                        entries.push((key, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
