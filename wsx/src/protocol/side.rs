//! The sides of a protocol, and which messages each may send and receive.

/// One end of a conversation; [`protocol!`](crate::protocol!) makes one type for each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a side of a protocol",
    label = "not a side",
    note = "the sides are the names before and after the arrows of a `wsx::protocol!` block, as in `Edge -> Server: Telemetry;`"
)]
pub trait Side: Send + Sync + 'static {
    /// The side's name, as written in the protocol.
    const NAME: &'static str;
    /// The protocol's name; empty for [`AnySide`].
    const PROTOCOL: &'static str;
    /// The types that this side receives, the reserved ones included. An empty list means any type.
    const INBOUND: &'static [&'static str];
    /// The side at the other end; [`AnyPeer`] if the protocol has several.
    type Peer: Send + Sync + 'static;
}

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

/// The peer of a side without a protocol, or of a side with several peers.
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
/// A side that a protocol declares; neither [`AnySide`] nor the protocol's own type is one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a side of a protocol",
    label = "not a side",
    note = "the sides are the names before and after the arrows of a `wsx::protocol!` block, as in `Edge -> Server: Telemetry;`"
)]
pub trait Declared: Side {}

#[diagnostic::do_not_recommend]
impl<M: ?Sized, From: ?Sized> Receives<M, From> for AnySide {}
