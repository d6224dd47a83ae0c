//! The control envelopes of delivery on the wire: begin, skip and acknowledgement. It does not know
//! who sends them.
use crate::{
    delivery::{Why, failed::Failed, lane::Lane},
    envelope::{
        clock,
        kept::KeptMessage,
        keys::{MAX_NUMBER, Number},
        parse::VERSION,
    },
};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;

/// The type of a control envelope. A peer that does not know delivery has no handler for it.
const TYPE: &str = "delivery";
/// Maximum length of an epoch, in bytes.
pub(crate) const MAX_EPOCH: usize = 64;

/// The value of `seq` in a control envelope.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement<'f> {
    #[serde(borrow)]
    pub(crate) epoch: Cow<'f, str>,
    /// The lowest number that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<u64>,
    /// The last number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<u64>,
    /// The first and the last number that are never sent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "range")]
    pub(crate) skip: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
}

/// The value of `ack`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Acknowledgement<'f> {
    #[serde(borrow)]
    pub(crate) epoch: Cow<'f, str>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) seq: u64,
    #[serde(default, deserialize_with = "number")]
    pub(crate) latest: u64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<FailedMessage<'f>>,
}

/// A message that counts as handled, although its handler failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FailedMessage<'f> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<u64>,
    #[serde(borrow)]
    code: Cow<'f, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    message: Cow<'f, str>,
}

impl<'f> From<&'f Failed> for FailedMessage<'f> {
    fn from(failed: &'f Failed) -> Self {
        let number = |lane| (failed.lane == lane).then_some(failed.number);
        Self {
            seq: number(Lane::Seq),
            latest: number(Lane::Latest),
            code: Cow::Borrowed(&failed.code),
            message: Cow::Borrowed(&failed.message),
        }
    }
}

impl FailedMessage<'_> {
    /// Returns the failure, if it names a message.
    pub(super) fn failed(&self) -> Option<Failed> {
        let (lane, number) = match (self.seq, self.latest) {
            (Some(number), None) => (Lane::Seq, number),
            (None, Some(number)) => (Lane::Latest, number),
            _ => return None,
        };
        Some(Failed { lane, number, code: (&*self.code).into(), message: (&*self.message).into() })
    }
}

impl<'f> Announcement<'f> {
    /// Returns one with the epoch alone.
    pub(crate) fn new(epoch: &'f str) -> Self {
        Self { epoch: Cow::Borrowed(epoch), first: None, last: None, skip: None, why: None }
    }

    /// Returns the control envelope.
    pub(crate) fn text(&self) -> String {
        text("seq", self)
    }
}

impl Acknowledgement<'_> {
    /// Returns the control envelope.
    pub(crate) fn text(&self) -> String {
        text("ack", self)
    }
}

/// Reads a number that may be that of a message. An envelope with a higher one is ignored.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= MAX_NUMBER { Ok(number) } else { Err(de::Error::custom("the number is too high")) }
}

/// Reads the first and the last number of a range.
fn range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(u64, u64)>, D::Error> {
    let (from, to) = Deserialize::deserialize(deserializer)?;
    let is_range = 1 <= from && from <= to && to <= MAX_NUMBER;
    if is_range { Ok(Some((from, to))) } else { Err(de::Error::custom("it is not a range of numbers")) }
}

fn text(key: &str, value: &impl Serialize) -> String {
    let value = serde_json::to_string(value).expect("strings and numbers are JSON");
    format!("{{\"ver\":{VERSION},\"type\":\"{TYPE}\",\"ts\":{},\"{key}\":{value}}}", clock::now())
}

/// Appends the envelope of a message with its number.
pub(crate) fn numbered(message: &KeptMessage, number: u64, to: &mut Vec<u8>) {
    let (before, after) = message.text.split_at(message.split);
    let key: &[u8] = match Number::of(message.policy.delivery, number) {
        Number::Seq(_) => b",\"seq\":",
        Number::Latest(_) => b",\"latest\":",
        Number::State(_) => b",\"state\":",
    };
    to.extend_from_slice(before);
    to.extend_from_slice(key);
    serde_json::to_writer(&mut *to, &number).expect("a number is JSON");
    to.extend_from_slice(after);
}
