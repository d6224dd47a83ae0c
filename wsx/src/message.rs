//! A message: a Rust type with a type string. Knows no wire format and no protocol.

/// A typed message: the link between a Rust type and the envelope's `type`.
///
/// Derive it with `#[derive(wsx::Message)]`, which is the only way to implement it. The type string is the name in snake
/// case, so a renamed type is another message on the wire; `#[wsx(type = "…")]` gives a type string that stays.
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
pub trait Message: Derived {
    /// The envelope's `type`: never empty, and never beginning with `__`.
    const TYPE: &'static str;
    /// Changes when the type string, a field's name or type, or a serde attribute does. A field that is a message counts
    /// with its own fingerprint, any other by the name of its type. Not cryptographic.
    const FINGERPRINT: u64;
}

/// Keeps [`Message`] from being implemented by hand: the compiler finds a message's handler by a type that the derive
/// makes of the type string.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`wsx::Message` is implemented by hand for `{Self}`",
    label = "derive it instead",
    note = "write `#[derive(wsx::Message)]`, with `#[wsx(type = \"..\")]` for another type string than the name in snake case"
)]
pub trait Derived {}
