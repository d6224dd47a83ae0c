//! Envelopes: reading in one pass and in two passes gives the same result, which is that of an
//! independent reader written from the specification's table.
use crate::frame::Frame;
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
    // Keys of requests and replies, wherever they stand.
    let expected_keys = keys(&text).map(|keys| (keys.id, keys.re, keys.ttl, keys.err));
    assert_eq!(fuzz::keys_in_two_passes(&text), expected_keys, "the keys in two passes");
    if let Some(keys) = fuzz::keys_in_one_pass(&text) {
        assert_eq!(Some(keys), expected_keys, "the keys in one pass");
    }
    let sorted = fuzz::sorted(&text);
    match keys(&text) {
        Some(keys) => assert_eq!(sorted, keys.sorted(), "a message is sorted by its keys"),
        // The text after `re` is looked at later.
        None => assert!(sorted == "Message" || sorted.starts_with("Reply("), "{sorted}"),
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

/// The keys of a request or a reply. Ids and a failure are JSON.
#[derive(Default)]
pub(crate) struct Keys<'t> {
    pub(crate) id: Option<&'t str>,
    pub(crate) re: Option<&'t str>,
    pub(crate) ttl: Option<u64>,
    pub(crate) err: Option<&'t str>,
    /// How a message with a key of delivery is sorted.
    pub(crate) delivery: Option<String>,
}

impl Keys<'_> {
    fn sorted(&self) -> String {
        match (self.re, self.err, self.id) {
            (Some(re), _, _) => format!("Reply({re})"),
            (None, Some(_), Some(id)) => format!("Cancel({id})"),
            (None, Some(_), None) => "Report".to_owned(),
            (None, None, Some(id)) => format!("Request {{ id: {id}, ttl: {:?} }}", self.ttl),
            (None, None, None) => self.delivery.clone().unwrap_or_else(|| "Message".to_owned()),
        }
    }
}

/// Returns how a message with these values of the keys of delivery is sorted. A value of another
/// shape is ignored.
fn delivery(seq: Option<&str>, latest: Option<&str>, state: Option<&str>, ack: Option<&str>) -> Option<String> {
    let object = |json: Option<&str>| json.filter(|json| json.starts_with('{')).map(|json| format!("{json:?}"));
    let number = |json: Option<&str>| json?.parse().ok().filter(|number| (1..1_u64 << 53).contains(number));
    let numbered = |name: &str, json| number(json).map(|number: u64| format!("Numbered({name}({number}))"));
    let acknowledged = object(ack).map(|json| format!("Acknowledgement({json})"));
    let announced = || object(seq).map(|json| format!("Announcement({json})"));
    let numbers = || numbered("Seq", seq).or_else(|| numbered("Latest", latest)).or_else(|| numbered("State", state));
    acknowledged.or_else(announced).or_else(numbers)
}

/// Returns these keys, if the text is an envelope.
pub(crate) fn keys(text: &str) -> Option<Keys<'_>> {
    read(text).map(|(_, keys)| keys)
}

/// Whether this is the answer to a request without a reply.
pub(crate) fn is_failure(frame: &Frame) -> bool {
    frame.text().and_then(keys).is_some_and(|keys| keys.re.is_some() && keys.err.is_some())
}

/// Whether this acknowledges kept messages.
pub(crate) fn is_acknowledgement(frame: &Frame) -> bool {
    let delivery = |text| keys(text).and_then(|keys| keys.delivery);
    frame.text().and_then(delivery).is_some_and(|delivery| delivery.starts_with("Acknowledgement"))
}

fn expected(text: &str) -> Option<Read<&str>> {
    read(text).map(|(read, _)| read)
}

/// Reads an envelope by the table of the specification: an object with known keys, each at most
/// once, and of its type.
fn read(text: &str) -> Option<(Read<&str>, Keys<'_>)> {
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
    let id = |key| {
        let value = one(key)?;
        value.is_none_or(is_id).then_some(value)
    };
    let keys = Keys {
        id: id("id")?,
        re: id("re")?,
        ttl: one("ttl")?.map(serde_json::from_str).transpose().ok()?,
        err: one("err")?.filter(|err| *err != "null"),
        delivery: delivery(one("seq")?, one("latest")?, one("state")?, one("ack")?),
    };
    let is_for_peers = !message_type.is_empty() && !message_type.starts_with("__");
    is_for_peers.then_some(((ver, message_type, ts, data), keys))
}

/// Whether this JSON is an id: a string of at most 128 bytes between its quotes, or an integer of
/// at most 128.
fn is_id(json: &str) -> bool {
    let is_integer = || json.strip_prefix('-').unwrap_or(json).bytes().all(|byte| byte.is_ascii_digit());
    if json.starts_with('"') { json.len() <= 130 } else { json.len() <= 128 && is_integer() }
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
                    let known =
                        ["ver", "type", "ts", "data", "id", "re", "ttl", "err", "seq", "latest", "state", "ack"]
                            .contains(&&*key);
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
