//! One thing for a handler to look at: a frame that came in, or the opening or the end of its connection.
//!
//! Borrows from the frame, and knows neither the connection nor who handles it.
use crate::{
    closed::Closed,
    envelope::parse::{Head, Tail},
    wire::message::Message,
};
use std::borrow::Cow;

/// Handles every frame that is no envelope: bad JSON, no `type`, a reserved `type`, a key twice, or binary.
pub(crate) const RAW: &str = "__raw__";
/// Runs before the first message of a connection.
pub(crate) const OPEN: &str = "__open__";
/// Runs after the last message of a connection.
pub(crate) const CLOSE: &str = "__close__";
/// Handles the envelopes whose type has no handler of its own.
pub(crate) const UNKNOWN: &str = "__unknown__";
/// The types that handlers may name though no peer can send them.
pub(crate) const RESERVED: [&str; 4] = [RAW, OPEN, CLOSE, UNKNOWN];

/// A whole frame as it came, for the handlers of `__raw__` and `__unknown__`.
///
/// ```
/// use wsx::{Connection, RawFrame};
///
/// #[wsx::handler("__raw__")]
/// fn on_raw(frame: RawFrame<'_>, conn: &Connection) {
///     eprintln!("{} sent no envelope: {}", conn.id(), frame.envelope_error().unwrap_or_default());
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
    /// The message's bytes, of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The message's text, if it is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Why it is no envelope, with the key that is at fault; `None` where it is one. May quote the peer's text, and so be as
    /// long as the message.
    #[must_use]
    pub fn envelope_error(&self) -> Option<String> {
        match self {
            Self::Text(text) => Head::explain(text).err().map(|error| error.to_string()),
            Self::Binary(_) => Some("it is a binary message, and an envelope is a text message".to_owned()),
        }
    }

    /// The frame in memory of its own.
    #[must_use]
    pub fn into_owned(self) -> RawFrame<'static> {
        match self {
            Self::Text(text) => RawFrame::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => RawFrame::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// The same frame, borrowed from this one.
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

impl From<Message> for RawFrame<'static> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(Cow::Owned(text)),
            Message::Binary(bytes) => Self::Binary(Cow::Owned(bytes)),
        }
    }
}

impl From<RawFrame<'_>> for Message {
    fn from(frame: RawFrame<'_>) -> Self {
        match frame {
            RawFrame::Text(text) => Self::Text(text.into_owned()),
            RawFrame::Binary(bytes) => Self::Binary(bytes.into_owned()),
        }
    }
}

/// What came in, parsed as far as routing needs it.
#[derive(Debug)]
pub struct Incoming<'f> {
    /// The routing key: the envelope's type, or a reserved one.
    pub(crate) message_type: Cow<'f, str>,
    ver: u32,
    ts: i64,
    pub(crate) data: Data<'f>,
    /// Nothing for the opening and the end.
    pub(crate) frame: Option<&'f RawFrame<'f>>,
    /// Only at the end.
    pub(crate) closed: Option<&'f Closed>,
}

/// Where the payload is.
#[derive(Debug)]
pub(crate) enum Data<'f> {
    /// Its JSON.
    Exact(&'f str),
    /// Still part of a text of which only the head was read.
    Tail(Tail<'f>),
}

impl<'f> Incoming<'f> {
    /// A message of the peer's, or `__raw__`.
    pub(crate) fn message(frame: &'f RawFrame<'f>) -> Self {
        match frame.as_text().and_then(|text| Head::parse(text).ok()) {
            Some(Head { ver, message_type, ts, data }) => {
                let data = Data::Exact(data);
                Self { message_type, ver, ts, data, frame: Some(frame), closed: None }
            }
            None => Self { frame: Some(frame), ..Self::event(RAW) },
        }
    }

    /// A message of the peer's whose payload nobody has looked at, so that it may turn out to be `__raw__`. `None` says
    /// nothing about the frame.
    pub(crate) fn quick(frame: &'f RawFrame<'f>) -> Option<Self> {
        let Head { ver, message_type, ts, data } = Head::quick(frame.as_text()?)?;
        Some(Self { message_type, ver, ts, data: Data::Tail(data), frame: Some(frame), closed: None })
    }

    /// `ver` and `ts`, which in a text of which only the head was read may stand behind the payload.
    pub(crate) fn around(&self) -> (u32, i64) {
        match &self.data {
            Data::Tail(tail) if !tail.complete => {
                Head::parse(tail.whole).map_or((self.ver, self.ts), |head| (head.ver, head.ts))
            }
            _ => (self.ver, self.ts),
        }
    }

    /// Whether the whole text is an envelope, and not only its head.
    pub(crate) fn is_envelope(&self) -> bool {
        match &self.data {
            Data::Exact(_) => true,
            Data::Tail(tail) => Head::parse(tail.whole).is_ok(),
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
            data: Data::Exact("null"),
            frame: None,
            closed: None,
        }
    }
}
