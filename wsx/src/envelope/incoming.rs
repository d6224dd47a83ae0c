//! An event for a handler: a received message, or the opening or end of its connection.
//!
//! It borrows the message. It does not know the connection or the handler.
use crate::{
    closed::Closed,
    envelope::{
        fast_path::Undecoded,
        keys::{Id, Keys},
        parse::Parsed,
    },
    wire::data_message::DataMessage,
};
use std::borrow::Cow;

/// The type of messages that are not an envelope: invalid JSON, a missing, reserved or repeated
/// key, or a binary message.
pub(crate) const RAW: &str = "__raw__";
/// The type of the event before the first message of a connection.
pub(crate) const OPEN: &str = "__open__";
/// The type of the event after the last message of a connection.
pub(crate) const CLOSE: &str = "__close__";
/// The type of envelopes whose own type does not have a handler.
pub(crate) const UNKNOWN: &str = "__unknown__";
/// The types that a handler may name although a peer cannot send them.
pub(crate) const RESERVED: [&str; 4] = [RAW, OPEN, CLOSE, UNKNOWN];

/// A received message, unchanged: its whole text, or its bytes.
///
/// A handler of any type may take it. For a handler of `__raw__` it is the only form of the
/// message, because the message is not an envelope.
///
/// ```
/// use wsx::{Connection, RawFrame};
///
/// #[wsx::handler("__raw__")]
/// fn on_raw(frame: RawFrame<'_>, conn: &Connection) {
///     let reason = frame.envelope_error().unwrap_or_default();
///     eprintln!("{} sent a message that is not an envelope: {reason}", conn.id());
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawFrame<'f> {
    /// A text message.
    Text(Cow<'f, str>),
    /// A binary message.
    Binary(Cow<'f, [u8]>),
}

impl<'f> RawFrame<'f> {
    /// Returns the bytes of a text or binary message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the reason why this is not an envelope, with the wrong key. Returns `None` for an
    /// envelope.
    ///
    /// The reason may quote the peer, so it can be as long as the message.
    #[must_use]
    pub fn envelope_error(&self) -> Option<String> {
        match self {
            Self::Text(text) => Parsed::explain(text).err().map(|error| error.to_string()),
            Self::Binary(_) => Some("it is a binary message: an envelope is a text message".to_owned()),
        }
    }

    /// Returns this message in memory that it owns.
    #[must_use]
    pub fn into_owned(self) -> RawFrame<'static> {
        match self {
            Self::Text(text) => RawFrame::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => RawFrame::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// Returns the same message, borrowed from this one.
    pub(crate) fn borrowed<'b>(&'b self) -> RawFrame<'b>
    where
        'f: 'b,
    {
        match self {
            Self::Text(text) => RawFrame::Text(Cow::Borrowed(text)),
            Self::Binary(bytes) => RawFrame::Binary(Cow::Borrowed(bytes)),
        }
    }
}

impl From<DataMessage> for RawFrame<'static> {
    fn from(message: DataMessage) -> Self {
        match message {
            DataMessage::Text(text) => Self::Text(Cow::Owned(text)),
            DataMessage::Binary(bytes) => Self::Binary(Cow::Owned(bytes)),
        }
    }
}

impl<'f> From<&'f DataMessage> for RawFrame<'f> {
    fn from(message: &'f DataMessage) -> Self {
        match message {
            DataMessage::Text(text) => Self::Text(Cow::Borrowed(text)),
            DataMessage::Binary(bytes) => Self::Binary(Cow::Borrowed(bytes)),
        }
    }
}

impl From<RawFrame<'_>> for DataMessage {
    fn from(frame: RawFrame<'_>) -> Self {
        match frame {
            RawFrame::Text(text) => Self::Text(text.into_owned()),
            RawFrame::Binary(bytes) => Self::Binary(bytes.into_owned()),
        }
    }
}

/// An event, parsed as far as its routing needs.
#[derive(Debug)]
pub struct Incoming<'f> {
    /// The type of the envelope, or a reserved type. It selects the handler.
    pub(crate) message_type: Cow<'f, str>,
    /// The key `ver`, as far as it was found; see `ver_and_ts`.
    ver: u32,
    /// The key `ts`, as far as it was found; see `ver_and_ts`.
    ts: i64,
    /// The id of the request, if this is one.
    pub(crate) request: Option<Id<'f>>,
    /// The payload. It is decoded later, into the type that the handler takes.
    pub(crate) data: Data<'f>,
    /// The whole message; `None` for the opening or end of a connection.
    pub(crate) frame: Option<&'f RawFrame<'f>>,
    /// The reason for the end of a connection; `None` for other events.
    pub(crate) closed: Option<&'f Closed>,
}

/// The payload, before it is decoded.
#[derive(Debug)]
pub(crate) enum Data<'f> {
    /// The JSON of the payload.
    Json(&'f str),
    /// The rest of a text that was parsed only up to its payload.
    Undecoded(Undecoded<'f>),
}

impl<'f> Incoming<'f> {
    /// Returns a received message, parsed completely. If it is not an envelope, its type is
    /// `__raw__`.
    pub(crate) fn message(frame: &'f RawFrame<'f>) -> Self {
        Self::with_keys(frame).0
    }

    /// As [`message`](Self::message), with the keys of a request or a reply.
    pub(crate) fn with_keys(frame: &'f RawFrame<'f>) -> (Self, Keys<'f>) {
        match frame.as_text().and_then(|text| Parsed::numbered(text).or_else(|| Parsed::parse(text).ok())) {
            Some(Parsed { ver, message_type, ts, keys, data }) => {
                let data = Data::Json(data);
                (Self { message_type, ver, ts, request: keys.id, data, frame: Some(frame), closed: None }, keys)
            }
            None => (Self { frame: Some(frame), ..Self::event(RAW) }, Keys::default()),
        }
    }

    /// Returns a received message for a handler, parsed only up to its payload. It may still prove
    /// not to be an envelope. `None` does not say anything about the message.
    pub(crate) fn by_shortcut(frame: &'f RawFrame<'f>) -> Option<Self> {
        let Parsed { ver, message_type, ts, keys, data } = Parsed::by_shortcut(frame.as_text()?)?;
        if keys.re.is_some() || keys.ttl == Some(0) {
            return None;
        }
        Some(Self {
            message_type,
            ver,
            ts,
            request: keys.id,
            data: Data::Undecoded(data),
            frame: Some(frame),
            closed: None,
        })
    }

    /// Returns `ver` and `ts`. If the text was parsed only up to its payload, they may come after
    /// it.
    pub(crate) fn ver_and_ts(&self) -> (u32, i64) {
        match &self.data {
            Data::Undecoded(data) if !data.has_ver_and_ts => {
                Parsed::parse(data.text).map_or((self.ver, self.ts), |parsed| (parsed.ver, parsed.ts))
            }
            _ => (self.ver, self.ts),
        }
    }

    /// Whether the complete text is an envelope, and not only the part before the payload. `false`
    /// if it has keys of a request after the payload.
    pub(crate) fn is_envelope(&self) -> bool {
        match &self.data {
            Data::Json(_) => true,
            Data::Undecoded(data) => Parsed::parse(data.text).is_ok_and(|parsed| !parsed.has_late_keys(data.text)),
        }
    }

    /// Returns the JSON of the payload of a message that was parsed completely.
    pub(crate) fn json(&self) -> &'f str {
        match &self.data {
            Data::Json(json) => json,
            Data::Undecoded(data) => Parsed::parse(data.text).map_or("null", |parsed| parsed.data),
        }
    }

    /// Returns the length of the message in bytes; 0 for the opening or end of a connection.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.map_or(0, |frame| frame.as_bytes().len())
    }

    pub(crate) fn open() -> Self {
        Self::event(OPEN)
    }

    pub(crate) fn close(closed: &'f Closed) -> Self {
        Self { closed: Some(closed), ..Self::event(CLOSE) }
    }

    fn event(message_type: &'static str) -> Self {
        Self {
            message_type: Cow::Borrowed(message_type),
            ver: 0,
            ts: 0,
            request: None,
            data: Data::Json("null"),
            frame: None,
            closed: None,
        }
    }
}
