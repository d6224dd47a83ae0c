//! The records of a store: keys and values of messages, numbers and the clock. It does not know who
//! writes them.
//!
//! ```text
//! epoch                          the epoch, a text
//! clock                          {"ms":..,"wall":..}
//! out/PEER/seq/NUMBER            {"type":..,"delivery":..,"at":..} and the envelope in the next line
//! out/PEER/latest/NUMBER         the same
//! out/PEER/skip/FIRST            {"to":..,"why":..}
//! in/PEER/EPOCH                  {"seq":..,"latest":..,"failed":[[LANE,FIRST,LAST,CODE],..]}
//! state/PEER/TYPE                {"at":..} and the data in the next line
//! ```
//!
//! A client has one peer, whose name is empty. A `/` or `%` in a name is `%2F` or `%25`.
use crate::{
    delivery::{Change, Time, Why, failed::Stored, lane::Lane, message::Message},
    envelope::kept::KeptMessage,
    policy::{Compress, Delivery, Policy},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

/// A record that was read.
#[derive(Debug)]
pub(super) enum Read {
    Epoch(Box<str>),
    Clock { last: Time, wall: u64 },
    Message { peer: String, lane: Lane, number: u64, message: StoredMessage },
    Skip { peer: String, from: u64, to: u64, why: Why },
    Handled { peer: String, epoch: Box<str>, numbers: [u64; 2], failed: Vec<Stored<Box<str>>> },
    State { peer: String, message_type: Box<str>, at: Time, data: Bytes },
}

/// A message of the store.
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) kept: KeptMessage,
    pub(super) at: Time,
    pub(super) expires: Option<Time>,
    /// Whether it is a state that the peer has handled.
    pub(super) is_settled: bool,
    /// Whether it waits for a peer that understands it.
    pub(super) is_held: bool,
    /// What the program spoke that wrote it, if that is known.
    pub(super) by: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct Head<'r> {
    #[serde(rename = "type", borrow)]
    message_type: Cow<'r, str>,
    delivery: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    slot: Option<Cow<'r, str>>,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    settled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// What the program speaks that writes it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    by: Option<Cow<'r, str>>,
    /// Whether it must not be compressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plain: bool,
}

#[derive(Serialize, Deserialize)]
struct Clock {
    ms: u64,
    wall: u64,
}

#[derive(Serialize, Deserialize)]
struct Skip {
    to: u64,
    why: Why,
}

#[derive(Serialize, Deserialize)]
struct Handled<C> {
    seq: u64,
    latest: u64,
    /// The failures up to these numbers that the peer may not know.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Stored<C>>,
}

#[derive(Serialize, Deserialize)]
struct At {
    at: u64,
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

fn put(key: String, value: impl Into<Bytes>) -> Change {
    Change::Put { key, value: value.into() }
}

pub(super) fn epoch(epoch: &str) -> Change {
    put("epoch".to_owned(), epoch.to_owned())
}

pub(super) fn clock(now: Time, wall: u64) -> Change {
    put("clock".to_owned(), json(&Clock { ms: now.millis(), wall }))
}

/// Returns the record of a message of a program that speaks `own`.
pub(super) fn message(
    peer: &str,
    lane: Lane,
    number: u64,
    message: &Message,
    is_settled: bool,
    own: Option<&str>,
) -> Change {
    let kept = &message.kept;
    let mut value = json(&Head {
        message_type: Cow::Borrowed(&kept.message_type),
        delivery: code_of(kept.policy.delivery),
        ttl: kept.policy.ttl.and_then(|ttl| u64::try_from(ttl.as_millis()).ok()),
        slot: kept.slot.as_deref().map(Cow::Borrowed),
        at: message.at.millis(),
        expires: message.expires.map(Time::millis),
        settled: is_settled,
        held: message.is_held,
        by: message.by.as_deref().or(own).map(Cow::Borrowed),
        plain: !kept.policy.compress.is_allowed(),
    });
    value.push(b'\n');
    value.extend_from_slice(&kept.text);
    put(key_of(peer, lane, number), value)
}

pub(super) fn delete_message(peer: &str, lane: Lane, number: u64) -> Change {
    Change::Delete { key: key_of(peer, lane, number) }
}

pub(super) fn skip(peer: &str, from: u64, to: u64, why: Why) -> Change {
    put(skip_key(peer, from), json(&Skip { to, why }))
}

pub(super) fn delete_skip(peer: &str, from: u64) -> Change {
    Change::Delete { key: skip_key(peer, from) }
}

pub(super) fn handled(peer: &str, epoch: &str, [seq, latest]: [u64; 2], failed: Vec<Stored<&str>>) -> Change {
    put(format!("in/{}/{}", escape(peer), escape(epoch)), json(&Handled { seq, latest, failed }))
}

pub(super) fn delete_handled(peer: &str, epoch: &str) -> Change {
    Change::Delete { key: format!("in/{}/{}", escape(peer), escape(epoch)) }
}

pub(super) fn state(peer: &str, message_type: &str, at: Time, data: &[u8]) -> Change {
    let mut value = json(&At { at: at.millis() });
    value.push(b'\n');
    value.extend_from_slice(data);
    put(format!("state/{}/{}", escape(peer), escape(message_type)), value)
}

/// Reads a record. Returns `None` if this version does not write such a record.
pub(super) fn read(key: &str, value: &[u8]) -> Option<Read> {
    let mut parts = key.split('/');
    let kind = parts.next()?;
    let names: Vec<String> = parts.map(unescape).collect::<Option<_>>()?;
    match (kind, &*names) {
        ("epoch", []) => Some(Read::Epoch(std::str::from_utf8(value).ok()?.into())),
        ("clock", []) => {
            let Clock { ms, wall } = serde_json::from_slice(value).ok()?;
            Some(Read::Clock { last: Time::from_millis(ms), wall })
        }
        ("out", [peer, lane, number]) => {
            let (peer, number) = (peer.clone(), number.parse().ok()?);
            let lane = match &**lane {
                "seq" => Lane::Seq,
                "latest" => Lane::Latest,
                "skip" => {
                    let Skip { to, why } = serde_json::from_slice(value).ok()?;
                    return Some(Read::Skip { peer, from: number, to, why });
                }
                _ => return None,
            };
            Some(Read::Message { peer, lane, number, message: stored_message(value)? })
        }
        ("in", [peer, epoch]) => {
            let Handled { seq, latest, failed } = serde_json::from_slice(value).ok()?;
            Some(Read::Handled { peer: peer.clone(), epoch: (&**epoch).into(), numbers: [seq, latest], failed })
        }
        ("state", [peer, message_type]) => {
            let (head, data) = lines(value)?;
            let At { at } = serde_json::from_slice(head).ok()?;
            let data = Bytes::copy_from_slice(data);
            let at = Time::from_millis(at);
            Some(Read::State { peer: peer.clone(), message_type: (&**message_type).into(), at, data })
        }
        _ => None,
    }
}

fn stored_message(value: &[u8]) -> Option<StoredMessage> {
    let (head, text) = lines(value)?;
    let head: Head<'_> = serde_json::from_slice(head).ok()?;
    let mut policy = Policy::of(delivery_of(head.delivery)?);
    policy.ttl = head.ttl.map(Duration::from_millis);
    policy.compress = if head.plain { Compress::Never } else { Compress::Allowed };
    std::str::from_utf8(text).ok()?;
    let slot = head.slot.map(|slot| (&*slot).into());
    let kept = KeptMessage::new(head.message_type.into_owned().into(), policy, slot, Bytes::copy_from_slice(text))?;
    let expires = head.expires.map(Time::from_millis);
    let at = Time::from_millis(head.at);
    Some(StoredMessage {
        kept,
        at,
        expires,
        is_settled: head.settled,
        is_held: head.held,
        by: head.by.map(|by| (&*by).into()),
    })
}

/// Returns the first line and the rest.
fn lines(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    Some((&value[..end], &value[end + 1..]))
}

/// The code of a delivery in a store, which later versions keep.
fn code_of(delivery: Delivery) -> u8 {
    match delivery {
        Delivery::AtMostOnce => 0,
        Delivery::AtLeastOnce => 1,
        Delivery::Latest => 2,
        Delivery::State => 3,
    }
}

fn delivery_of(code: u8) -> Option<Delivery> {
    [Delivery::AtLeastOnce, Delivery::Latest, Delivery::State].into_iter().find(|delivery| code_of(*delivery) == code)
}

fn key_of(peer: &str, lane: Lane, number: u64) -> String {
    let lane = match lane {
        Lane::Seq => "seq",
        Lane::Latest => "latest",
    };
    format!("out/{}/{lane}/{number}", escape(peer))
}

fn skip_key(peer: &str, from: u64) -> String {
    format!("out/{}/skip/{from}", escape(peer))
}

fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['/', '%']) { name.replace('%', "%25").replace('/', "%2F").into() } else { name.into() }
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        text.push(match part.get(..2)? {
            "25" => '%',
            "2F" => '/',
            _ => return None,
        });
        text += &part[2..];
    }
    Some(text)
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Row Z10: a type that must not be compressed stays so in the store, and a record without the
    /// word may be compressed, as those of an earlier wsx.
    #[test]
    fn a_record_says_whether_its_message_may_be_compressed() {
        for (policy, has_word) in
            [(Policy::of(Delivery::AtLeastOnce), false), (Policy::of(Delivery::AtLeastOnce).never_compressed(), true)]
        {
            let text = Bytes::from_static(br#"{"type":"note","data":1}"#);
            let kept = KeptMessage::new("note".into(), policy, None, text).expect("it has data");
            let note = Message::new(kept, Time::from_millis(1), None);
            let Change::Put { key, value } = message("box-7", Lane::Seq, 7, &note, false, None) else {
                panic!("a message is put")
            };
            assert_eq!(value.windows(7).any(|window| window == b"\"plain\""), has_word);
            let Some(Read::Message { message, .. }) = read(&key, &value) else { panic!("it is a message") };
            assert_eq!(message.kept.policy, policy);
        }
    }
}
