//! The keys of an envelope that connect a reply with its request: `id`, `re`, `ttl` and `err`.
//!
//! It knows their values on the wire. It does not know who waits for a reply.
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;
use std::fmt;

/// Maximum length of an id that is a string, in bytes, as it is written on the wire. A UUID has 36
/// bytes.
pub(crate) const MAX_ID: usize = 128;

/// The id of a request: the JSON that the asking end chose. A reply repeats it unchanged.
///
/// It is a string of at most 128 bytes, or an integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id<'f>(&'f str);

impl<'f> Id<'f> {
    /// Returns the id, if this JSON is one.
    pub(crate) fn from_json(json: &'f str) -> Option<Self> {
        let is_id = match json.strip_prefix('"') {
            Some(rest) => rest.len() <= MAX_ID + 1,
            None => {
                let digits = json.strip_prefix('-').unwrap_or(json);
                json.len() <= MAX_ID && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
        };
        is_id.then_some(Self(json))
    }

    /// Returns the JSON.
    #[cfg(feature = "__engine")]
    pub(crate) fn json(self) -> &'f str {
        self.0
    }

    /// Returns the number, if this is an id that wsx makes.
    #[cfg(feature = "__engine")]
    pub(crate) fn number(self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Id<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Self::from_json(json)
            .ok_or_else(|| D::Error::custom(format!("expected an integer or a string of at most {MAX_ID} bytes")))
    }
}

/// These keys of an envelope that was received.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(not(feature = "__engine"), expect(dead_code, reason = "the protocol half only checks these keys"))]
pub(crate) struct Keys<'f> {
    /// The id of the request. The sender waits for a reply that repeats it.
    pub(crate) id: Option<Id<'f>>,
    /// The id of the request that this answers.
    pub(crate) re: Option<Id<'f>>,
    /// How long the sender waits for the reply, in milliseconds.
    pub(crate) ttl: Option<u64>,
    /// The JSON of a failure.
    pub(crate) err: Option<&'f str>,
    /// The key of delivery, if there is one.
    pub(crate) delivery: Option<DeliveryKey<'f>>,
}

/// A key of an envelope that belongs to delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryKey<'f> {
    /// `seq`, `latest` or `state` with a number: the envelope has a message.
    Number(Number),
    /// The JSON of `seq`, which is an object: the envelope has none.
    Announcement(&'f str),
    /// The JSON of `ack`.
    Acknowledgement(&'f str),
}

/// The highest number of a kept message: 2⁵³ − 1, the highest integer that every JSON parser knows.
/// So the number after it does not overflow either.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The number of a message that its sender keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// `seq`: every message counts.
    Seq(u64),
    /// `latest`: the newest message counts.
    Latest(u64),
    /// `state`: the newest message counts, and the receiver remembers it.
    State(u64),
}

impl<'f> DeliveryKey<'f> {
    /// Returns the key, from the JSON of all four. A value of another shape is not an error: a peer
    /// may use these names.
    pub(crate) fn of(
        seq: Option<&'f str>,
        latest: Option<&'f str>,
        state: Option<&'f str>,
        ack: Option<&'f str>,
    ) -> Option<Self> {
        let number = |json: &str| json.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number));
        if let Some(ack) = ack.filter(|ack| ack.starts_with('{')) {
            return Some(Self::Acknowledgement(ack));
        }
        if let Some(seq) = seq {
            if seq.starts_with('{') {
                return Some(Self::Announcement(seq));
            }
            if let Some(number) = number(seq) {
                return Some(Self::Number(Number::Seq(number)));
            }
        }
        let latest = latest.and_then(number).map(Number::Latest);
        latest.or_else(|| state.and_then(number).map(Number::State)).map(Self::Number)
    }
}

/// These keys of an envelope that is sent.
#[derive(Debug, Clone, Copy)]
pub enum Sent<'k> {
    /// A message without them.
    Message,
    /// A request with this id, and the time that its sender waits, in milliseconds.
    Request {
        /// The key `id`.
        id: u64,
        /// The key `ttl`.
        ttl: u64,
    },
    /// The reply to the request with this id.
    Reply(Id<'k>),
    /// The end of the request with this id, which does not wait any more.
    Cancel(u64),
}

impl Sent<'_> {
    /// Appends the keys, each after a comma.
    #[inline]
    pub(super) fn write(self, buffer: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Message => {}
            Self::Request { id, ttl } => {
                buffer.extend_from_slice(b",\"id\":");
                serde_json::to_writer(&mut *buffer, &id)?;
                buffer.extend_from_slice(b",\"ttl\":");
                serde_json::to_writer(&mut *buffer, &ttl)?;
            }
            Self::Reply(Id(json)) => {
                buffer.extend_from_slice(b",\"re\":");
                buffer.extend_from_slice(json.as_bytes());
            }
            Self::Cancel(id) => {
                buffer.extend_from_slice(b",\"id\":");
                serde_json::to_writer(&mut *buffer, &id)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row Q1: an id is an integer or a string of at most 128 bytes.
    #[test]
    fn an_id_is_an_integer_or_a_short_string() {
        let longest = format!("\"{}\"", "x".repeat(MAX_ID));
        for json in ["0", "7", "-7", "18446744073709551616", "\"\"", "\"a b\"", "\"\\u0061\"", &longest] {
            assert_eq!(Id::from_json(json).map(|id| id.0), Some(json));
        }
        let (too_long, too_many) = (format!("\"{}\"", "x".repeat(MAX_ID + 1)), "1".repeat(MAX_ID + 1));
        for json in ["null", "true", "1.5", "1e3", "-", "[]", "{}", &too_long, &too_many] {
            assert_eq!(Id::from_json(json), None, "{json}");
        }
    }
}
