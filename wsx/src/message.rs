//! What may be said, and by whom.
//!
//! Knows no wire format: a message is a Rust type with a type string.

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
}

/// One end of a conversation.
pub trait Side: Send + Sync + 'static {
    /// As written where the side is declared.
    const NAME: &'static str;
}

/// `Self` is a side that sends `M`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not send `{M}`",
    label = "`{M}` does not travel in this direction"
)]
pub trait Sends<M: ?Sized> {}

/// `Self` is a side that receives `M`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` never receives `{M}`, so this handler could not run",
    label = "wrong direction: `{M}` is not sent to `{Self}`"
)]
pub trait Receives<M: ?Sized> {}

/// The side of an endpoint without a protocol: sends and receives everything.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AnySide;

impl Side for AnySide {
    const NAME: &'static str = "any";
}
impl<M: ?Sized> Sends<M> for AnySide {}
impl<M: ?Sized> Receives<M> for AnySide {}
