//! The sides of a protocol, and the messages that each side may send and receive.
use crate::protocol::answer::{Anything, Mistaken};

/// One end of a conversation. [`protocol!`](crate::protocol!) makes a type for each side.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a side of a protocol",
    label = "not a side",
    note = "the sides are the names before and after the arrows of a `wsx::protocol!` block, as in `Edge -> Server: Telemetry;`"
)]
pub trait Side: Send + Sync + 'static {
    /// The name of the side, as written in the protocol.
    const NAME: &'static str;
    /// The name of the protocol. It is empty for [`AnySide`].
    const PROTOCOL: &'static str;
    /// The version of the protocol. It is 0 for [`AnySide`].
    #[doc(hidden)]
    const VERSION: u32 = 0;
    /// The fingerprint of the protocol. It is 0 for [`AnySide`].
    #[doc(hidden)]
    const FINGERPRINT: u64 = 0;
    /// The types that this side receives, including the reserved ones. An empty list means any
    /// type.
    const INBOUND: &'static [&'static str];
    /// The types of the requests that this side receives.
    #[doc(hidden)]
    const REQUESTS: &'static [&'static str] = &[];
    /// The side at the other end, or [`AnyPeer`] if the protocol has several.
    type Peer: Send + Sync + 'static;
}

/// The side `Self` may receive `M` from the side `From`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` never receives `{M}` from `{From}`, so this handler would never run",
    label = "`{From}` does not send `{M}` to `{Self}`",
    note = "the `wsx::protocol!` block says which side sends which message"
)]
pub trait Receives<M: ?Sized, From: ?Sized> {
    /// The answer that the protocol expects from the handler.
    #[doc(hidden)]
    type Answer;
}

/// The side of an endpoint without a protocol. It may send and receive every message.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AnySide;

/// The peer of an endpoint without a protocol, or of a side that has several peers.
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
/// A side that a protocol declares. [`AnySide`] is not one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a side of a protocol",
    label = "not a side",
    note = "the sides are the names before and after the arrows of a `wsx::protocol!` block, as in `Edge -> Server: Telemetry;`"
)]
pub trait Declared: Side {}

#[diagnostic::do_not_recommend]
impl<M: ?Sized, From: ?Sized> Receives<M, From> for AnySide {
    type Answer = Anything;
}

/// Replaces the side of a handler with a mistake, where the reply is checked. Another check reports
/// the mistake.
#[doc(hidden)]
#[derive(Debug)]
pub struct Stray;

#[diagnostic::do_not_recommend]
impl<M: ?Sized, From: ?Sized> Receives<M, From> for Stray {
    type Answer = Mistaken;
}
