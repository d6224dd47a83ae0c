//! An event for a handler: a received frame, or the opening or the end of its connection.
//!
//! Borrows from the frame, and knows neither the connection nor the handler.
use crate::{
    closed::Closed,
    envelope::{parse::Parsed, shortcut::Undecoded},
    wire::message::DataMessage,
};
use std::borrow::Cow;

/// The type of frames that are not an envelope: bad JSON, no `type`, a reserved `type`, a key
/// twice, or binary.
pub(crate) const RAW: &str = "__raw__";
/// The type of the event before the first message of a connection.
pub(crate) const OPEN: &str = "__open__";
/// The type of the event after the last message of a connection.
pub(crate) const CLOSE: &str = "__close__";
/// The type of envelopes whose own type has no handler.
pub(crate) const UNKNOWN: &str = "__unknown__";
/// The types that a handler may name although a peer cannot send them.
pub(crate) const RESERVED: [&str; 4] = [RAW, OPEN, CLOSE, UNKNOWN];

/// A received frame, unchanged. A handler of any type may take it; a handler of `__raw__` has
/// nothing else to take.
///
/// ```
/// use wsx::{Connection, RawFrame};
///
/// #[wsx::handler("__raw__")]
/// fn on_raw(frame: RawFrame<'_>, conn: &Connection) {
///     eprintln!("{} sent a frame that is not an envelope: {}", conn.id(), frame.envelope_error().unwrap_or_default());
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
    /// Returns the message's bytes, of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the message's text, if it is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns why it is not an envelope, with the key that is wrong; `None` if it is one. The text
    /// may quote the peer, and so be as long as the message.
    #[must_use]
    pub fn envelope_error(&self) -> Option<String> {
        match self {
            Self::Text(text) => Parsed::explain(text).err().map(|error| error.to_string()),
            Self::Binary(_) => Some("it is a binary message: an envelope is a text message".to_owned()),
        }
    }

    /// Returns the frame in memory of its own.
    #[must_use]
    pub fn into_owned(self) -> RawFrame<'static> {
        match self {
            Self::Text(text) => RawFrame::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => RawFrame::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// Returns the same frame, borrowed from this one.
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

impl From<RawFrame<'_>> for DataMessage {
    fn from(frame: RawFrame<'_>) -> Self {
        match frame {
            RawFrame::Text(text) => Self::Text(text.into_owned()),
            RawFrame::Binary(bytes) => Self::Binary(bytes.into_owned()),
        }
    }
}

/// An event, parsed as far as routing needs it.
#[derive(Debug)]
pub struct Incoming<'f> {
    /// The routing key: the envelope's type, or a reserved one.
    pub(crate) message_type: Cow<'f, str>,
    ver: u32,
    ts: i64,
    pub(crate) data: Data<'f>,
    /// `None` for the opening and the end.
    pub(crate) frame: Option<&'f RawFrame<'f>>,
    /// Only for the end.
    pub(crate) closed: Option<&'f Closed>,
}

/// The payload, before it is decoded.
#[derive(Debug)]
pub(crate) enum Data<'f> {
    /// Its JSON.
    Json(&'f str),
    /// Still part of a text that was parsed only up to here.
    Undecoded(Undecoded<'f>),
}

impl<'f> Incoming<'f> {
    /// A message of the peer, parsed whole, or `__raw__`.
    pub(crate) fn message(frame: &'f RawFrame<'f>) -> Self {
        match frame.as_text().and_then(|text| Parsed::parse(text).ok()) {
            Some(Parsed { ver, message_type, ts, data }) => {
                let data = Data::Json(data);
                Self { message_type, ver, ts, data, frame: Some(frame), closed: None }
            }
            None => Self { frame: Some(frame), ..Self::event(RAW) },
        }
    }

    /// A message of the peer, parsed only up to its payload, so it may still turn out to be
    /// `__raw__`. `None` says nothing about the frame.
    pub(crate) fn by_shortcut(frame: &'f RawFrame<'f>) -> Option<Self> {
        let Parsed { ver, message_type, ts, data } = Parsed::by_shortcut(frame.as_text()?)?;
        Some(Self { message_type, ver, ts, data: Data::Undecoded(data), frame: Some(frame), closed: None })
    }

    /// Returns `ver` and `ts`. In a text that was parsed only up to its payload, they may follow
    /// the payload.
    pub(crate) fn ver_and_ts(&self) -> (u32, i64) {
        match &self.data {
            Data::Undecoded(data) if !data.has_ver_and_ts => {
                Parsed::parse(data.text).map_or((self.ver, self.ts), |parsed| (parsed.ver, parsed.ts))
            }
            _ => (self.ver, self.ts),
        }
    }

    /// Whether the whole text is an envelope, and not only the part before the payload.
    pub(crate) fn is_envelope(&self) -> bool {
        match &self.data {
            Data::Json(_) => true,
            Data::Undecoded(data) => Parsed::parse(data.text).is_ok(),
        }
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
            data: Data::Json("null"),
            frame: None,
            closed: None,
        }
    }
}
