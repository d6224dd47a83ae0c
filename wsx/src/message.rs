//! The trait of a message: a Rust type with a type string and a policy. It does not know the wire
//! format or any protocol.
pub use crate::policy::{Compress, Delivery, Full, Policy};

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
///
/// A type can declare how its messages are delivered. Otherwise they are delivered at most once.
///
/// ```
/// use wsx::{Message, message::Delivery};
///
/// #[derive(serde::Serialize, wsx::Message)]
/// #[wsx(delivery = at_least_once, ttl = "1h")]
/// struct Meter { watt_hours: u64 }
/// assert_eq!(Meter::POLICY.delivery, Delivery::AtLeastOnce);
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
    /// How messages of this type are delivered: at most once, unless the
    /// [derive](macro@crate::Message#delivery) has a `delivery`.
    const POLICY: Policy = Policy::AT_MOST_ONCE;
    /// Returns the JSON of the field that `#[wsx(key = ..)]` names. Of the messages with the same
    /// one, the newest counts.
    // Not a method: a program's own trait may have one of this name.
    #[doc(hidden)]
    #[inline]
    fn slot(_message: &Self) -> Option<String> {
        None
    }
}

/// A message that is kept until the peer has handled it: a type with `#[wsx(delivery = ..)]`, other
/// than `at_most_once`.
///
/// The derive of [`Message`] implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not kept: it is delivered at most once",
    label = "not a kept message",
    note = "declare it on the type, with `#[derive(wsx::Message)]` and `#[wsx(delivery = at_least_once)]`, or `send` it"
)]
pub trait Kept: Message + DeclaresKept {}

/// A message that is a state: a type with `#[wsx(delivery = state)]`.
///
/// The derive of [`Message`] implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state",
    label = "not a state",
    note = "declare it on the type, with `#[derive(wsx::Message)]` and `#[wsx(delivery = state)]`"
)]
pub trait State: Kept + DeclaresState {}

/// Prevents an implementation of [`Message`] by hand. The compiler finds the handler of a message
/// by a type that only the derive makes of the type string.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`wsx::Message` is implemented by hand for `{Self}`",
    label = "derive it instead",
    note = "write `#[derive(wsx::Message)]`, with `#[wsx(type = \"..\")]` for another type string than the name in snake case"
)]
pub trait Derived {}

/// Prevents an implementation of [`Kept`] by hand.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`wsx::message::Kept` is implemented by hand for `{Self}`",
    label = "declare it instead",
    note = "write `#[wsx(delivery = at_least_once)]` on the type"
)]
pub trait DeclaresKept {}

/// Prevents an implementation of [`State`] by hand.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`wsx::message::State` is implemented by hand for `{Self}`",
    label = "declare it instead",
    note = "write `#[wsx(delivery = state)]` on the type"
)]
pub trait DeclaresState {}
