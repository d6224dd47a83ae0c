//! The envelope `{"ver":1,"type":"telemetry","ts":1732969200,"data":{…}}`: the one file that knows its wire format.
//!
//! Reading borrows from the frame; `data` stays raw JSON until somebody asks for a type.
use crate::{
    error::SendError,
    frame::{self, Kind},
    message::{Message, Sends},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// The version that is written, and that is assumed where `ver` is missing.
const VERSION: u32 = 1;

/// A message with what travels around it. `Envelope` alone carries raw JSON, `Envelope<Telemetry>` the typed payload.
///
/// As a handler's argument it gives payload and metadata together; anywhere a message can be sent, an envelope can.
///
/// ```
/// use wsx::Envelope;
///
/// #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// struct Cmd { reboot: bool }
///
/// let envelope = Envelope::from(Cmd { reboot: true });
/// assert_eq!(envelope.message_type, "cmd");
///
/// let raw = Envelope::with_type("loose", serde_json::json!({"any": "thing"}));
/// let text = serde_json::to_string(&raw)?;
/// assert_eq!(Envelope::<serde_json::Value>::parse(&text)?.data["any"], "thing");
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Envelope<T = Box<RawValue>> {
    /// Version of the envelope's format; 1.
    pub ver: u32,
    /// The routing key.
    #[serde(rename = "type")]
    pub message_type: Cow<'static, str>,
    /// When the message was made, in seconds since 1970-01-01 UTC; 0 where the sender did not say.
    pub ts: i64,
    /// The payload.
    pub data: T,
}

impl<T> Envelope<T> {
    /// An envelope of this type, made now. The type is not looked at: a peer may have any.
    pub fn with_type(message_type: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self { ver: VERSION, message_type: message_type.into(), ts: now(), data }
    }

    /// Reads an envelope, as a hub or a client does.
    ///
    /// # Errors
    ///
    /// When the text is no envelope (see the specification, E1), or its data is no `T`.
    pub fn parse<'f>(text: &'f str) -> Result<Self, serde_json::Error>
    where
        T: Deserialize<'f>,
    {
        let head = Head::parse(text)?;
        Ok(Self {
            ver: head.ver,
            message_type: Cow::Owned(head.message_type.into_owned()),
            ts: head.ts,
            data: serde_json::from_str(head.data)?,
        })
    }
}

impl<M: Message> From<M> for Envelope<M> {
    fn from(message: M) -> Self {
        Self::with_type(M::TYPE, message)
    }
}

/// An envelope before anybody has looked at its data.
#[derive(Debug)]
pub(crate) struct Head<'f> {
    pub(crate) ver: u32,
    pub(crate) message_type: Cow<'f, str>,
    pub(crate) ts: i64,
    /// Exactly the payload's text, a JSON value.
    pub(crate) data: &'f str,
}

impl<'f> Head<'f> {
    /// An error means that the text is no envelope.
    pub(crate) fn parse(text: &'f str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Wire<'f> {
            #[serde(default = "version")]
            ver: u32,
            // Not `&str`: that fails on a string with an escape in it.
            #[serde(borrow, rename = "type")]
            message_type: Cow<'f, str>,
            #[serde(default)]
            ts: i64,
            #[serde(borrow, default)]
            data: Option<&'f RawValue>,
        }
        fn version() -> u32 {
            VERSION
        }
        // serde reads a struct from an array too, field by field; an envelope is an object.
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(serde::de::Error::custom("an envelope is a JSON object"));
        }
        let wire: Wire<'f> = serde_json::from_str(text)?;
        if wire.message_type.is_empty() || wire.message_type.starts_with("__") {
            return Err(serde::de::Error::custom("a peer's type is not empty and does not begin with `__`"));
        }
        Ok(Head {
            ver: wire.ver,
            message_type: wire.message_type,
            ts: wire.ts,
            data: wire.data.map_or("null", RawValue::get),
        })
    }
}

/// What can be sent: a [`Message`], or an [`Envelope`] of anything that serializes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "neither a message nor an envelope",
    note = "add `#[derive(serde::Serialize, wsx::Message)]` to `{Self}`, or send `Envelope::with_type(\"…\", …)`"
)]
pub trait Outbound {
    /// What the protocol's directions are checked for.
    type Message: ?Sized;
    /// The finished frame.
    #[doc(hidden)]
    fn encode(&self, role: Role) -> Result<Bytes, SendError>;
}

#[diagnostic::do_not_recommend]
impl<M: Message + Serialize> Outbound for M {
    type Message = M;
    fn encode(&self, role: Role) -> Result<Bytes, SendError> {
        text_frame(role, VERSION, M::TYPE, now(), self)
    }
}

impl<T: Serialize> Outbound for Envelope<T> {
    type Message = T;
    fn encode(&self, role: Role) -> Result<Bytes, SendError> {
        text_frame(role, self.ver, &self.message_type, self.ts, &self.data)
    }
}

/// Something that side `S` may send to side `To`. It follows from the protocol, and stands on the message rather than on
/// the side so that an error names the message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "neither a message nor an envelope",
    note = "add `#[derive(serde::Serialize, wsx::Message)]` to `{Self}`, or send `Envelope::with_type(\"…\", …)`"
)]
pub trait SentBy<S, To>: Outbound {}

impl<M: Outbound + ?Sized, S: Sends<M::Message, To>, To> SentBy<S, To> for M {}

fn text_frame<T: Serialize + ?Sized>(
    role: Role,
    ver: u32,
    message_type: &str,
    ts: i64,
    data: &T,
) -> Result<Bytes, SendError> {
    frame::encode(Kind::Text, role, |buffer| {
        // By hand, since the keys need no escaping and their order is part of the format.
        buffer.extend_from_slice(b"{\"ver\":");
        serde_json::to_writer(&mut *buffer, &ver)?;
        buffer.extend_from_slice(b",\"type\":");
        serde_json::to_writer(&mut *buffer, message_type)?;
        buffer.extend_from_slice(b",\"ts\":");
        serde_json::to_writer(&mut *buffer, &ts)?;
        buffer.extend_from_slice(b",\"data\":");
        serde_json::to_writer(&mut *buffer, data)?;
        buffer.push(b'}');
        Ok(())
    })
    .map_err(SendError::Encode)
}

/// Seconds since 1970; a clock that stands before that counts as 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(frame: &Bytes) -> &str {
        std::str::from_utf8(&frame[2..]).unwrap()
    }

    /// Row E1: the keys, their order, and the data untouched.
    #[test]
    fn an_envelope_is_written_as_the_specification_has_it() {
        let data = RawValue::from_string(r#"{ "a": 1.50, "b":[ ] }"#.into()).unwrap();
        let envelope = Envelope { ver: 1, message_type: "telemetry".into(), ts: 1_732_969_200, data };
        let frame = envelope.encode(Role::Server).unwrap();
        assert_eq!(text_of(&frame), r#"{"ver":1,"type":"telemetry","ts":1732969200,"data":{ "a": 1.50, "b":[ ] }}"#);
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text_of(&frame));
    }

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
        }
    }

    #[test]
    fn a_type_with_a_quote_in_it_is_escaped() {
        let frame = Envelope { ver: 1, message_type: "a\"b".into(), ts: 0, data: () }.encode(Role::Server).unwrap();
        assert_eq!(Head::parse(text_of(&frame)).unwrap().message_type, "a\"b");
    }
}
