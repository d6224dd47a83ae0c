//! A failure on the wire: the key `err` of an envelope. It does not know what failed.
use crate::{
    envelope::{
        clock,
        codes::{BAD_DATA, CANCELLED, FAILED},
        keys::{Id, Sent},
        parse::VERSION,
    },
    error::{HandlerError, Report},
    wire::{
        header::Opcode,
        role::Role,
        write::{self, Frame},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, convert::Infallible};

/// Maximum length of the text of a failure, in bytes. A longer one is cut.
pub(crate) const MAX_TEXT: usize = 512;
/// Maximum length of the type in a failure, in bytes. The peer may have sent a longer one.
const MAX_TYPE: usize = 128;

/// The type of a cancellation. A peer that does not know cancellations has no handler for it.
const CANCEL: &str = "cancel";

/// The value of `err`.
#[derive(Debug, Serialize)]
pub(crate) struct Failure<'f> {
    /// What kind of failure it is. A peer may send any text.
    pub(crate) code: Cow<'f, str>,
    /// A text for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) message: Cow<'f, str>,
    /// The payload of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'f RawValue>,
}

impl<'f> Failure<'f> {
    pub(crate) fn new(code: &'static str, message: impl Into<Cow<'f, str>>) -> Self {
        Self { code: Cow::Borrowed(code), message: cut(message.into(), MAX_TEXT), data: None }
    }

    /// Returns the failure of a handler.
    pub(crate) fn of(error: &'f HandlerError) -> Self {
        match error {
            HandlerError::Decode { .. } => Self::new(BAD_DATA, Report(error).to_string()),
            HandlerError::Refused { code, data } => {
                Self { code: Cow::Borrowed(code), message: Cow::Borrowed("refused"), data: Some(data) }
            }
            HandlerError::Handler(error) => Self::new(FAILED, error.to_string()),
            HandlerError::Reply(_) | HandlerError::Argument { .. } => Self::new(FAILED, Report(error).to_string()),
        }
    }

    /// Reads any JSON as a failure. JSON that is not an object with these keys is the message.
    pub(crate) fn from_json(err: &'f str) -> Self {
        #[derive(Deserialize)]
        struct Fields<'f> {
            #[serde(borrow)]
            code: Cow<'f, str>,
            #[serde(borrow, default)]
            message: Option<Cow<'f, str>>,
            #[serde(borrow, default)]
            data: Option<&'f RawValue>,
        }
        // serde also accepts an array in place of a struct.
        match serde_json::from_str::<Fields<'f>>(err) {
            Ok(Fields { code, message, data }) if err.starts_with('{') => {
                Self { code: cut(code, MAX_TYPE), message: cut(message.unwrap_or_default(), MAX_TEXT), data }
            }
            _ => Self { code: Cow::Borrowed(""), message: cut(Cow::Borrowed(err), MAX_TEXT), data: None },
        }
    }

    /// Returns the frame of this failure: of the request with this id, or of a message that is not
    /// a request.
    pub(crate) fn frame(&self, role: Role, message_type: &str, request: Option<Id<'_>>) -> Frame {
        self.write(role, message_type, request.map_or(Sent::Message, Sent::Reply))
    }

    /// Returns the frame that cancels a request.
    pub(crate) fn cancellation(role: Role, id: u64) -> Frame {
        Self::new(CANCELLED, "").write(role, CANCEL, Sent::Cancel(id))
    }

    fn write(&self, role: Role, message_type: &str, keys: Sent<'_>) -> Frame {
        let message_type = cut(Cow::Borrowed(message_type), MAX_TYPE);
        let text = serde_json::to_string(&*message_type).expect("a string is JSON");
        let err = serde_json::to_string(self).expect("strings and checked JSON are JSON");
        let written = write::encode(Opcode::TEXT, role, "", |buffer| {
            buffer.extend_from_slice(format!("{{\"ver\":{VERSION},\"type\":{text},\"ts\":{}", clock::now()).as_bytes());
            keys.write(buffer).expect("the buffer grows");
            buffer.extend_from_slice(format!(",\"err\":{err}}}").as_bytes());
            Ok::<_, Infallible>(())
        });
        match written {
            Ok(frame) => frame,
            Err(never) => match never {},
        }
    }
}

/// Cuts a text between two characters.
fn cut(text: Cow<'_, str>, maximum: usize) -> Cow<'_, str> {
    if text.len() <= maximum {
        return text;
    }
    let mut end = maximum;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row Q1: a failure of any shape is read.
    #[test]
    fn a_failure_of_any_shape_is_read() {
        let whole = Failure::from_json(r#"{"code":"full","message":"no r\u006fom","data":{"free":0},"more":1}"#);
        assert_eq!(
            (&*whole.code, &*whole.message, whole.data.map(RawValue::get)),
            ("full", "no room", Some(r#"{"free":0}"#))
        );
        for err in ["5", "\"broken\"", "[]", r#"["busy"]"#, "{}", r#"{"code":7}"#, r#"{"code":"a","code":"b"}"#, "true"]
        {
            let read = Failure::from_json(err);
            assert_eq!((&*read.code, &*read.message), ("", err));
        }
        let long = format!("\"{}\"", "ü".repeat(MAX_TEXT));
        assert_eq!(Failure::from_json(&long).message.len(), MAX_TEXT - 1, "cut between two characters");
    }
}
