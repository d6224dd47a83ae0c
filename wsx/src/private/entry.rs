//! The handlers of a complete endpoint, found by the compiler.
use super::Keyed;
use crate::protocol::handled::HandledOnceBy;
use std::any::Any;

/// A side whose message `M` has a handler on endpoint `E`.
#[diagnostic::on_unimplemented(
    message = "`{E}` has no handler for `{M}`",
    label = "no `#[wsx::handler(on = {E})]` takes `{M}`",
    note = "side `{Self}` receives `{M}`: write the handler, or say `partial` in the endpoint's `#[wsx(side = {Self}, partial)]`"
)]
pub trait Covers<E, M> {
    /// As [`HandledOnceBy::ENTRY`].
    const ENTRY: fn() -> Box<dyn Any>;
}

#[diagnostic::do_not_recommend]
impl<S, E, M: Keyed<Key: HandledOnceBy<E>>> Covers<E, M> for S {
    const ENTRY: fn() -> Box<dyn Any> = <M::Key as HandledOnceBy<E>>::ENTRY;
}

/// The entry of a handler with a mistake, so that its message is not reported as missing too.
#[must_use]
pub fn mistaken() -> Box<dyn Any> {
    unreachable!()
}
