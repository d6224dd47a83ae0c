//! Messages that a protocol has only as requests or replies, where a program sends them by
//! themselves.
//!
//! `protocol!` makes them [`SentBy`](crate::envelope::SentBy) on the condition that the side
//! implements one of these traits. A side never does, so the compiler reports the condition in the
//! words below.

use crate::envelope::Outbound;

/// A message that can be sent. The lifetime makes it a condition that the compiler decides late.
///
/// A request has two implementations of wsx's traits. Each has this condition, so that the compiler
/// reports a type that is not a message with the same words for both, and thus once.
pub trait Sendable<'f>: Outbound {}
impl<M: Outbound> Sendable<'_> for M {}

/// A side that may send the request `M` as a message without a reply.
#[diagnostic::on_unimplemented(
    message = "`{M}` is a request: ask with `request(..)`",
    label = "a request, which is not sent as a message",
    note = "the `wsx::protocol!` block gives `{M}` a reply, so that the sender waits for it"
)]
pub trait SendsWithoutReply<'f, M: ?Sized> {}

/// A side that may send the reply or the refusal `M` as a message by itself.
#[diagnostic::on_unimplemented(
    message = "`{M}` is a reply: return it from the handler of its request",
    label = "a reply, which is not sent by itself",
    note = "the `wsx::protocol!` block may also name `{M}` as a message, which is then sent by itself"
)]
pub trait SendsUnasked<'f, M: ?Sized> {}
