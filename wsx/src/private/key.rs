//! Type strings as types.
use super::{fingerprint::hash, mistaken};
use crate::{
    envelope::Envelope,
    message::{Derived, Message},
    protocol::{MessageType, handled::HandledOnceBy},
};
use serde::{Deserialize, Serialize};
use std::{any::Any, marker::PhantomData};

/// A message's type string as a type; the derive implements it.
///
/// `Here` is any type of the crate that asks. Without it, the compiler would take two handlers for
/// possible duplicates, because another crate could change the key of its message.
#[diagnostic::on_unimplemented(
    message = "the handler has no message: `{Self}` is not one",
    label = "not a message",
    note = "derive `wsx::Message` for the payload, or name the type, as in `#[wsx::handler(\"telemetry\", ..)]`",
    note = "a handler of `__raw__`, `__open__` or `__close__` takes no message: it names that type"
)]
pub trait Keyed<Here = ()> {
    /// See [`MessageType`].
    type Key;
}

/// Replaces a message that is missing, where another error reports it.
#[derive(Debug)]
pub struct Nothing;
/// The key of [`Nothing`]. Each handler has another one, so that two mistakes are not a conflict.
#[derive(Debug)]
pub struct NoKey<Here>(PhantomData<Here>);
impl<Here> Keyed<Here> for Nothing {
    type Key = NoKey<Here>;
}
impl<Here, T: Keyed<Here>> Keyed<Here> for Envelope<T> {
    type Key = T::Key;
}

/// Replaces a type of a protocol that is not a message. It counts as handled, since another error
/// reports it.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotAMessage;
/// The key of [`NotAMessage`], which every endpoint handles.
#[derive(Debug)]
pub struct HandledAnyway;
impl<Here> Keyed<Here> for NotAMessage {
    type Key = HandledAnyway;
}
#[diagnostic::do_not_recommend]
impl Derived for NotAMessage {}
#[diagnostic::do_not_recommend]
impl Message for NotAMessage {
    const TYPE: &'static str = "";
    const FINGERPRINT: u64 = 0;
}
impl<E> HandledOnceBy<E> for HandledAnyway {
    const ENTRY: fn() -> Box<dyn Any> = mistaken;
}

/// A type around a message, which is not a message itself. The handler that takes it is rejected,
/// and its message is not to be reported as missing too.
#[diagnostic::on_unimplemented(
    message = "the handler has no message: `{Self}` is not one",
    label = "not a message",
    note = "derive `wsx::Message` for the payload, or name the type, as in `#[wsx::handler(\"telemetry\", ..)]`"
)]
pub trait Wraps<Here> {
    /// See [`MessageType`].
    type Key;
}
/// Such a type, where a message is needed.
#[derive(Debug)]
pub struct Wrapper<T>(PhantomData<T>);
#[diagnostic::do_not_recommend]
impl<Here, T: Wraps<Here>> Keyed<Here> for Wrapper<T> {
    type Key = T::Key;
}

/// The key that a literal spells, in a handler without a message.
#[derive(Debug)]
pub struct Spelled<K>(PhantomData<K>);
impl<Here, K> Keyed<Here> for Spelled<K> {
    type Key = K;
}

/// The type at a place of a tuple. The compiler computes it once, and not once for each letter of a
/// key. For `Here` see [`Keyed`].
pub trait At<const PLACE: usize, Here> {
    /// The type there.
    type Type;
}
macro_rules! at {
    ($($place:literal $picked:ident of $($all:ident)*,)*) => {$(
        impl<Here, $($all),*> At<$place, Here> for ($($all,)*) {
            type Type = $picked;
        }
    )*};
}
// The arguments of a handler, at most six, and a stand-in for the message if none of them is one.
at! {
    0 A of A,
    0 A of A B, 1 B of A B,
    0 A of A B C, 1 B of A B C, 2 C of A B C,
    0 A of A B C D, 1 B of A B C D, 2 C of A B C D, 3 D of A B C D,
    0 A of A B C D E, 1 B of A B C D E, 2 C of A B C D E, 3 D of A B C D E, 4 E of A B C D E,
    0 A of A B C D E F, 1 B of A B C D E F, 2 C of A B C D E F, 3 D of A B C D E F, 4 E of A B C D E F,
    5 F of A B C D E F,
    0 A of A B C D E F G, 1 B of A B C D E F G, 2 C of A B C D E F G, 3 D of A B C D E F G, 4 E of A B C D E F G,
    5 F of A B C D E F G, 6 G of A B C D E F G,
}

/// Number of letters that a [`MessageType`] spells.
const LETTERS: usize = 12;

/// The part of a text that its [`MessageType`] does not spell.
#[must_use]
pub const fn rest(text: &str) -> u64 {
    if text.len() <= LETTERS { 0 } else { hash(text) }
}

/// The keys of the reserved types.
pub type RawKey = MessageType<'_', '_', 'r', 'a', 'w', '_', '_'>;
/// See [`RawKey`].
pub type OpenKey = MessageType<'_', '_', 'o', 'p', 'e', 'n', '_', '_'>;
/// See [`RawKey`].
pub type CloseKey = MessageType<'_', '_', 'c', 'l', 'o', 's', 'e', '_', '_'>;
/// See [`RawKey`].
pub type UnknownKey = MessageType<'_', '_', 'u', 'n', 'k', 'n', 'o', 'w', 'n', '_', '_'>;

/// `Then` if the condition holds, `Else` if not.
pub trait If<const CONDITION: bool, Then: ?Sized, Else: ?Sized> {
    /// The choice.
    type Type: ?Sized;
}
impl<Then: ?Sized, Else: ?Sized> If<true, Then, Else> for () {
    type Type = Then;
}
impl<Then: ?Sized, Else: ?Sized> If<false, Then, Else> for () {
    type Type = Else;
}
