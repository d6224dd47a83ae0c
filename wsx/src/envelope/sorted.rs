//! Sorts a received message: for a handler, or for the table of requests.
//!
//! The reader sorts messages only while a handler waits, or a request waits for its reply. It does
//! not know handlers or requests.
use crate::envelope::{
    incoming::RawFrame,
    keys::{DeliveryKey, Id, Keys, Number},
    parse::Parsed,
};

/// A received message, by its keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sorted<'f> {
    /// A message for a handler.
    Message,
    /// A message for a handler, whose sender waits for the reply.
    Request {
        id: Id<'f>,
        /// How long the sender waits, in milliseconds.
        ttl: Option<u64>,
    },
    /// The reply to a request, or its failure.
    Reply(Id<'f>),
    /// The sender of this request does not wait any more.
    Cancel(Id<'f>),
    /// A message that this program sent has failed.
    Report,
    /// A message for a handler, whose sender keeps it until it is handled.
    Numbered(Number),
    /// The sender announces kept messages. The JSON of the key.
    Announcement(&'f str),
    /// The peer has handled kept messages. The JSON of the key.
    Acknowledgement(&'f str),
}

impl<'f> Sorted<'f> {
    /// Sorts a message. A text that is not an envelope is a message for the handler of `__raw__`,
    /// unless it begins like a reply.
    pub(crate) fn of(frame: &'f RawFrame<'f>) -> Self {
        let Some(text) = frame.as_text() else { return Self::Message };
        match Parsed::by_shortcut(text) {
            Some(Parsed { keys: keys @ Keys { re: Some(_), .. }, .. }) => Self::by(keys),
            Some(Parsed { keys: Keys { id: None, .. }, data, .. }) if !data.may_have_more_keys() => Self::Message,
            _ => Parsed::parse(text).map_or(Self::Message, |parsed| Self::by(parsed.keys)),
        }
    }

    /// Sorts a message, if it is a reply or an acknowledgement. It costs less than
    /// [`of`](Self::of).
    pub(crate) fn control(frame: &'f RawFrame<'f>) -> Option<Self> {
        let text = frame.as_text()?;
        let keys = match Parsed::by_shortcut(text) {
            Some(parsed) if parsed.keys.re.is_some() || !parsed.data.may_have_more_keys() => parsed.keys,
            _ if ["\"re\"", "\"ack\"", "\\u"].iter().any(|key| text.contains(key)) => Parsed::parse(text).ok()?.keys,
            _ => return None,
        };
        let sorted = Self::by(keys);
        matches!(sorted, Self::Reply(_) | Self::Acknowledgement(_)).then_some(sorted)
    }

    /// Sorts an envelope with these keys.
    pub(crate) fn by(keys: Keys<'f>) -> Self {
        match keys {
            Keys { re: Some(re), .. } => Self::Reply(re),
            Keys { err: Some(_), id: Some(id), .. } => Self::Cancel(id),
            Keys { err: Some(_), .. } => Self::Report,
            Keys { id: Some(id), ttl, .. } => Self::Request { id, ttl },
            Keys { delivery: Some(DeliveryKey::Number(number)), .. } => Self::Numbered(number),
            Keys { delivery: Some(DeliveryKey::Announcement(json)), .. } => Self::Announcement(json),
            Keys { delivery: Some(DeliveryKey::Acknowledgement(json)), .. } => Self::Acknowledgement(json),
            _ => Self::Message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows Q1 and Q4: the keys sort a message, wherever they stand.
    #[test]
    fn the_keys_sort_a_message_wherever_they_stand() {
        let id = |json| Id::from_json(json).unwrap();
        for (text, sorted) in [
            (r#"{"ver":1,"type":"a","ts":0,"data":{"id":1,"re":2,"err":3}}"#, Sorted::Message),
            (r#"{"ver":1,"type":"a","ts":0,"id":7,"ttl":5,"data":{}}"#, Sorted::Request { id: id("7"), ttl: Some(5) }),
            (r#"{"type":"a","data":{},"id":"x"}"#, Sorted::Request { id: id("\"x\""), ttl: None }),
            (r#"{"ver":1,"type":"a","ts":0,"re":7,"data":{}}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"a","data":{}, "re" : 7}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"a","data":{},"\u0072e":7}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"a","data":{},"i\u0064":7}"#, Sorted::Request { id: id("7"), ttl: None }),
            (r#"{"type":"a","re":7,"id":8,"err":{}}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"a","err":{"code":"x"},"re":7}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"cancel","id":7,"err":{"code":"cancelled"}}"#, Sorted::Cancel(id("7"))),
            (r#"{"type":"a","err":"any"}"#, Sorted::Report),
            (r#"{"type":"a","data":{},"err":"any"}"#, Sorted::Report),
            (r#"{"type":"a","re":7,"err":null,"data":1}"#, Sorted::Reply(id("7"))),
            (r#"{"type":"a","err":null}"#, Sorted::Message),
            (r#"{"type":"a","id":null}"#, Sorted::Message),
            (r#"{"type":"a","id":1.5}"#, Sorted::Message),
            ("no envelope", Sorted::Message),
            (r#"{"ver":1,"type":"a","ts":0,"id":7,"ttl":5,"data":"#, Sorted::Message),
            (r#"{"type":"a","id":7,"data":{},"type":"a"}"#, Sorted::Message),
            (r#"{"ver":1,"type":"a","ts":0,"re":7,"data":"#, Sorted::Reply(id("7"))),
        ] {
            let frame = RawFrame::Text(text.into());
            let is_control = matches!(sorted, Sorted::Reply(_) | Sorted::Acknowledgement(_));
            let control = Sorted::control(&frame);
            assert_eq!((control.is_some(), control.unwrap_or(Sorted::of(&frame))), (is_control, sorted), "{text}");
        }
    }
}
