//! The trait of a message: a Rust type with a type string. It does not know the wire format or any
//! protocol.

/// A message: a Rust type and the envelope's `type` that it has on the wire.
///
/// Derive it with `#[derive(wsx::Message)]`, which is the only way to implement it.
///
/// The type string is the name in snake case. So a renamed type is another message on the wire.
/// `#[wsx(type = "…")]` sets a type string that stays.
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
    /// The envelope's `type`. It is not empty and does not begin with `__`.
    const TYPE: &'static str;
    /// A hash of the message's shape: of all that its JSON depends on and that the derive can see.
    ///
    /// The [derive](macro@crate::Message#the-fingerprint) says what it covers. The hash is not
    /// cryptographic.
    const FINGERPRINT: u64;
}

/// Prevents an implementation of [`Message`] by hand. The compiler finds the handler of a message
/// by a type that only the derive makes of the type string.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`wsx::Message` is implemented by hand for `{Self}`",
    label = "derive it instead",
    note = "write `#[derive(wsx::Message)]`, with `#[wsx(type = \"..\")]` for another type string than the name in snake case"
)]
pub trait Derived {}
