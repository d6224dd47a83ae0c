//! A message: a Rust type with a type string. Knows no wire format and no protocol.

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
