//! What may be said, and by whom.
//!
//! Knows no wire format: a message is a Rust type with a type string.
use serde::Serialize;
use std::fmt;

/// A typed message: the link between a Rust type and the envelope's `type`.
///
/// Derive it with `#[derive(wsx::Message)]`; the type string is the name in snake case unless
/// `#[wsx(type = "…")]` gives another.
///
/// ```
/// use wsx::Message;
///
/// #[derive(serde::Serialize, wsx::Message)]
/// struct ChargeState { percent: u8 }
/// assert_eq!(ChargeState::TYPE, "charge_state");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a wsx message",
    label = "not a message",
    note = "add `#[derive(wsx::Message)]` to `{Self}`"
)]
pub trait Message {
    /// The envelope's `type`: never empty, and never beginning with `__`.
    const TYPE: &'static str;
    /// Changes when the type string, a field's name or type, or a serde attribute does. A field that is a message counts
    /// with its own fingerprint, any other by the name of its type. Not cryptographic.
    const FINGERPRINT: u64;
}

/// A type string as a type, which the compiler prints letter by letter: `MessageType<'c', 'm', 'd'>`. Errors show it, programs
/// have no use for it.
///
/// What is longer than 12 letters counts by its hash.
#[derive(Debug)]
pub struct MessageType<
    const A: char = '\0',
    const B: char = '\0',
    const C: char = '\0',
    const D: char = '\0',
    const E: char = '\0',
    const F: char = '\0',
    const G: char = '\0',
    const H: char = '\0',
    const I: char = '\0',
    const J: char = '\0',
    const K: char = '\0',
    const L: char = '\0',
    const REST: u64 = 0,
>;

/// One end of a conversation; [`protocol!`](crate::protocol) makes one type for each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no side of a protocol",
    label = "not a side",
    note = "the sides are the names before and after the arrows of a `wsx::protocol!` block, as in `Edge -> Server: Telemetry;`"
)]
pub trait Side: Send + Sync + 'static {
    /// As written in the protocol.
    const NAME: &'static str;
    /// The protocol's name; empty for [`AnySide`].
    const PROTOCOL: &'static str;
    /// The types that this side receives, the reserved ones included; empty means any.
    const INBOUND: &'static [&'static str];
    /// The side at the other end: [`AnyPeer`] where the protocol knows several.
    type Peer: Send + Sync + 'static;
}

/// `Self` is a side that sends `M` to side `To`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not send `{M}` to `{To}`",
    label = "`{M}` does not travel in this direction",
    note = "the `wsx::protocol!` block says which side sends which message"
)]
pub trait Sends<M: ?Sized, To: ?Sized> {}

/// `Self` is a side that receives `M` from side `From`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` never receives `{M}` from `{From}`, so this handler could not run",
    label = "wrong direction: `{M}` is not sent to `{Self}` by `{From}`",
    note = "the `wsx::protocol!` block says which side sends which message"
)]
pub trait Receives<M: ?Sized, From: ?Sized> {}

/// The side of an endpoint without a protocol: sends and receives everything.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AnySide;

/// Whoever is at the other end.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AnyPeer;

#[diagnostic::do_not_recommend]
impl Side for AnySide {
    const NAME: &'static str = "any";
    const PROTOCOL: &'static str = "";
    const INBOUND: &'static [&'static str] = &[];
    type Peer = AnyPeer;
}
/// A side that a protocol declares; [`AnySide`] is none.
#[doc(hidden)]
pub trait Declared {}

#[diagnostic::do_not_recommend]
impl<M: ?Sized, To: ?Sized> Sends<M, To> for AnySide {}
#[diagnostic::do_not_recommend]
impl<M: ?Sized, From: ?Sized> Receives<M, From> for AnySide {}

/// What a protocol says, in a form to print or to serialize.
///
/// ```
/// # mod fleet {
/// #     #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// #     pub struct Health { pub ok: bool }
/// #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
/// # }
/// # use fleet::Fleet;
/// println!("{}", Fleet::DESCRIPTION);
/// assert_eq!(Fleet::DESCRIPTION.messages[0].message_type, "health");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The protocol's name.
    pub name: &'static str,
    /// Its version.
    pub version: u32,
    /// Changes whenever a message or its direction does, as far as [`Message::FINGERPRINT`] sees: of a field's type that is no
    /// message, only the name counts.
    pub fingerprint: u64,
    /// Every message, in the order of the protocol.
    pub messages: &'static [Travel],
}

/// One message of a [`Description`], in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Travel {
    /// The side that sends it.
    pub from: &'static str,
    /// The side that receives it.
    pub to: &'static str,
    /// The type string.
    pub message_type: &'static str,
    /// The message's own.
    pub fingerprint: u64,
}

impl Travel {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(from: &'static str, to: &'static str, message_type: &'static str, fingerprint: u64) -> Self {
        Self { from, to, message_type, fingerprint }
    }
}

impl Description {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, version: u32, fingerprint: u64, messages: &'static [Travel]) -> Self {
        Self { name, version, fingerprint, messages }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} ({:016x})", self.name, self.version, self.fingerprint)?;
        self.messages.iter().try_for_each(|message| {
            write!(f, "\n  {} -> {}: {} ({:016x})", message.from, message.to, message.message_type, message.fingerprint)
        })
    }
}
