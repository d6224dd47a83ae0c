//! The envelope `{"ver":1,"type":"telemetry","ts":1732969200,"data":{…}}`: its Rust type, and how
//! it is written. It does not know handlers or connections.
mod asked_by;
pub(crate) mod clock;
pub(crate) mod codes;
#[cfg(feature = "__engine")]
pub(crate) mod failure;
#[cfg(feature = "__engine")]
pub(crate) mod fast_path;
mod finite;
#[cfg(feature = "__engine")]
pub(crate) mod frame;
#[cfg(feature = "__engine")]
pub(crate) mod incoming;
#[cfg(feature = "__engine")]
pub(crate) mod kept;
pub(crate) mod keys;
pub(crate) mod parse;
#[cfg(feature = "nats")]
pub(crate) mod passed_on;
#[cfg(feature = "__engine")]
pub(crate) mod payload;
#[cfg(feature = "__engine")]
pub(crate) mod reply;
#[cfg(feature = "__engine")]
pub(crate) mod sorted;

use crate::{
    envelope::{
        keys::Sent,
        parse::{Parsed, VERSION},
    },
    message::{Message, Policy},
    protocol::side::{AnySide, Declared, Receives},
};
pub use asked_by::{AskedBy, Refusal};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The JSON object on the wire, with its payload. `Envelope` alone has raw JSON;
/// `Envelope<Telemetry>` has a typed payload.
///
/// A handler can take it as an argument, and so gets the payload and the other keys together. It
/// can be sent like a message.
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
    /// The version of the envelope's format, which is 1.
    pub ver: u32,
    /// The type of the message. It selects the handler.
    #[serde(rename = "type")]
    pub message_type: Cow<'static, str>,
    /// The time when the message was made, in seconds since 1970-01-01 UTC. It is 0 if the sender
    /// did not set it.
    pub ts: i64,
    /// The payload.
    pub data: T,
    /// How it is delivered, if it was made of a message that declares it.
    #[serde(skip)]
    declared: Option<Declaration>,
}

/// The policy of a message, in its envelope.
#[derive(Debug, Clone)]
struct Declaration {
    policy: &'static Policy,
    /// See [`Message::slot`].
    slot: Option<Box<str>>,
}

impl<T> Envelope<T> {
    /// Returns an envelope with this type and the current time. The type is not checked, because a
    /// peer may use any type. It is delivered at most once.
    pub fn with_type(message_type: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self { ver: VERSION, message_type: message_type.into(), ts: clock::now(), data, declared: None }
    }

    /// Parses an envelope, as a hub or a client does.
    ///
    /// # Errors
    ///
    /// An error of serde, if the text is not an envelope (row E1 of the specification), or if its
    /// data does not fit `T`. Line and column are those of the whole text.
    pub fn parse<'f>(text: &'f str) -> Result<Self, serde_json::Error>
    where
        T: Deserialize<'f>,
    {
        let parsed = Parsed::explain(text)?;
        Ok(Self {
            ver: parsed.ver,
            message_type: Cow::Owned(parsed.message_type.into_owned()),
            ts: parsed.ts,
            data: serde_json::from_str(parsed.data).map_err(|error| parse::locate_in_text(error, parsed.data, text))?,
            declared: None,
        })
    }
}

impl<M: Message> From<M> for Envelope<M> {
    fn from(message: M) -> Self {
        let declared = const { !M::POLICY.is_default() }
            .then(|| Declaration { policy: const { &M::POLICY }, slot: M::slot(&message).map(String::into_boxed_str) });
        Self { declared, ..Self::with_type(M::TYPE, message) }
    }
}

/// A side that receives a message may take it in its envelope.
#[diagnostic::do_not_recommend]
impl<S: Declared + Receives<M, From>, M, From: ?Sized> Receives<Envelope<M>, From> for S {
    type Answer = <S as Receives<M, From>>::Answer;
}

/// A type that can be sent: a [`Message`], or an [`Envelope`] with data of any type that implements
/// `Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message that can be sent",
    label = "not a message with `Serialize`",
    note = "add `#[derive(serde::Serialize, wsx::Message)]` to `{Self}`"
)]
pub trait Outbound {
    /// Returns the type string, if it is a constant of the program; otherwise an empty one.
    #[doc(hidden)]
    fn constant_type(&self) -> &'static str;
    /// Returns how it is delivered.
    #[doc(hidden)]
    fn policy(&self) -> Policy;
    /// Returns the JSON of the message's key. See [`Message::slot`].
    #[doc(hidden)]
    fn slot(&self) -> Option<String>;
    /// Appends the envelope as JSON, with these keys.
    #[doc(hidden)]
    fn write_envelope(&self, buffer: &mut Vec<u8>, keys: Sent<'_>) -> serde_json::Result<()>;
}

#[diagnostic::do_not_recommend]
impl<M: Message + Serialize> Outbound for M {
    #[inline]
    fn constant_type(&self) -> &'static str {
        M::TYPE
    }

    #[inline]
    fn policy(&self) -> Policy {
        M::POLICY
    }

    #[inline]
    fn slot(&self) -> Option<String> {
        M::slot(self)
    }

    #[inline]
    fn write_envelope(&self, buffer: &mut Vec<u8>, keys: Sent<'_>) -> serde_json::Result<()> {
        write(buffer, VERSION, const { TypeKey::constant(M::TYPE) }, clock::now(), keys, self)
    }
}

impl<T: Serialize> Outbound for Envelope<T> {
    fn constant_type(&self) -> &'static str {
        match self.message_type {
            Cow::Borrowed(constant) => constant,
            // It may be text of a peer, which the program passes on.
            Cow::Owned(_) => "",
        }
    }

    fn policy(&self) -> Policy {
        self.declared.as_ref().map_or(Policy::AT_MOST_ONCE, |declared| *declared.policy)
    }

    fn slot(&self) -> Option<String> {
        self.declared.as_ref()?.slot.as_deref().map(str::to_owned)
    }

    fn write_envelope(&self, buffer: &mut Vec<u8>, keys: Sent<'_>) -> serde_json::Result<()> {
        let message_type = match &self.message_type {
            Cow::Borrowed(constant) => TypeKey::constant(constant),
            Cow::Owned(text) => TypeKey { text, is_plain: text.bytes().all(is_plain_byte) },
        };
        write(buffer, self.ver, message_type, self.ts, keys, &self.data)
    }
}

/// A message that the side `S` may send to the side `To`. The protocol decides this.
///
/// The trait is on the message and not on the side, so that a compiler error names the message.
///
/// A request and its reply are not sent by themselves: see [`AskedBy`].
///
/// A generic function that sends any message should return the
/// [`Sending`](crate::connection::Sending), and not be an `async fn`. The type of an `async fn`
/// contains the type of the message. So a message in the wrong direction would cause two errors: at
/// the call and at the `.await`.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct Health { ok: bool }
/// # wsx::protocol! { Fleet v1 { Edge -> Server: Health; } }
/// # #[derive(wsx::Endpoint)]
/// # #[wsx(side = Edge)]
/// # struct EdgeBox;
/// use wsx::{Client, connection::Sending, envelope::SentBy};
///
/// fn report<M: SentBy<Edge, Server>>(client: &Client<EdgeBox>, message: &M) -> Sending<'static> {
///     println!("reports");
///     client.send(message)
/// }
/// # let client = Client::builder("ws://127.0.0.1:9001").endpoint(EdgeBox).build()?;
/// # drop(report(&client, &Health { ok: true }));
/// # Ok::<_, wsx::BuildError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent from `{S}` to `{To}`",
    label = "not a message that may be sent here",
    note = "a message has `#[derive(serde::Serialize, wsx::Message)]`; the `wsx::protocol!` block says which side sends it",
    note = "without a protocol, other data can be sent as `Envelope::with_type(\"..\", ..)`"
)]
pub trait SentBy<S, To>: Outbound {}

/// Without a protocol, every message may be sent.
impl<M: Outbound + ?Sized, To> SentBy<AnySide, To> for M {}
/// A side that may send a message may also send its envelope.
impl<T: Serialize + SentBy<S, To>, S: Declared, To> SentBy<S, To> for Envelope<T> {}

/// The start of an envelope of [`VERSION`], up to its type.
const USUAL_START: &[u8] = b"{\"ver\":1,\"type\":\"";

/// The type of an envelope that is written.
#[derive(Clone, Copy)]
struct TypeKey<'t> {
    text: &'t str,
    /// Whether JSON does not need escapes for it.
    is_plain: bool,
}

impl TypeKey<'static> {
    const fn constant(text: &'static str) -> Self {
        Self { text, is_plain: is_plain(text) }
    }
}

/// Appends an envelope. This does not use a derive: the keys need no escapes, and their order is
/// part of the format.
#[inline]
fn write<T: Serialize + ?Sized>(
    buffer: &mut Vec<u8>,
    ver: u32,
    TypeKey { text, is_plain }: TypeKey<'_>,
    ts: i64,
    keys: Sent<'_>,
    data: &T,
) -> serde_json::Result<()> {
    if ver == VERSION && is_plain {
        buffer.extend_from_slice(USUAL_START);
        buffer.extend_from_slice(text.as_bytes());
        buffer.extend_from_slice(b"\",\"ts\":");
    } else {
        buffer.extend_from_slice(b"{\"ver\":");
        serde_json::to_writer(&mut *buffer, &ver)?;
        buffer.extend_from_slice(b",\"type\":");
        serde_json::to_writer(&mut *buffer, text)?;
        buffer.extend_from_slice(b",\"ts\":");
    }
    serde_json::to_writer(&mut *buffer, &ts)?;
    keys.write(buffer)?;
    buffer.extend_from_slice(b",\"data\":");
    finite::write(buffer, data)?;
    buffer.push(b'}');
    Ok(())
}

/// Whether JSON does not need escapes for this text. That is true for nearly every type, and faster
/// to check than to escape. For the type of a message, the compiler checks it.
const fn is_plain(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        if !is_plain_byte(*byte) {
            return false;
        }
        rest = after;
    }
    true
}

const fn is_plain_byte(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(envelope: &impl Outbound) -> String {
        let mut buffer = Vec::new();
        envelope.write_envelope(&mut buffer, Sent::Message).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    /// Row E1: the keys, their order, and the unchanged payload.
    #[test]
    fn an_envelope_is_written_as_the_specification_has_it() {
        let data = RawValue::from_string(r#"{ "a": 1.50, "b":[ ] }"#.into()).unwrap();
        let envelope = Envelope { ver: 1, message_type: "telemetry".into(), ts: 1_732_969_200, data, declared: None };
        let text = written(&envelope);
        assert_eq!(text, r#"{"ver":1,"type":"telemetry","ts":1732969200,"data":{ "a": 1.50, "b":[ ] }}"#);
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
    }

    #[test]
    fn a_type_with_a_quote_in_it_is_escaped() {
        let text = written(&Envelope { ver: 1, message_type: "a\"b".into(), ts: 0, data: (), declared: None });
        assert_eq!(Parsed::parse(&text).unwrap().message_type, "a\"b");
    }
}
