//! The only door for generated code. Nothing here is for users, and nothing here is stable.
#[cfg(feature = "server")]
pub use crate::bench::Bench;
pub use crate::{
    connection::HandlerResult,
    dispatch::context::{Context, FromContext, ViaContext, ViaPayload},
    dispatch::handler::{Call, Covers, HandledOnceBy, HandlerEntry, IntoReply, Outcome, Registration, StateKey},
    dispatch::incoming::Incoming,
    envelope::Envelope,
    error::HandlerError,
    message::{AnyPeer, AnySide, Description, Message, MessageType, Receives, Sends, Side, Travel},
    protocol::endpoint::{Endpoint, States, Untyped},
    server::hub::Hub,
    wire::frame::Frame,
};
use crate::{connection::closed::Closed, dispatch::context::State, dispatch::incoming::RawFrame, error::BoxError};
pub use inventory;
use serde::Deserialize;
pub use serde_json;
pub use std::{
    any::{Any, TypeId},
    boxed::Box,
    concat, file, line, module_path,
    option::Option,
    result::Result,
    vec::Vec,
};
use std::{future::Future, marker::PhantomData, rc::Rc, sync::Arc};
use tokio_tungstenite::tungstenite::protocol::Role;

/// For `tests/fuzz`.
#[cfg(feature = "server")]
pub mod fuzz {
    pub use crate::fuzz::{Read, connection, one_pass, two_passes};
}

/// What a handler on `E` needs of the compiler. As with [`Probe`], nothing is asked where `E` is no endpoint that could be
/// shared, so that this is reported once, by the check made for it.
#[derive(Debug)]
pub struct Handling<E>(PhantomData<E>);

impl<E: Endpoint + Send + Sync> Handling<E> {
    /// An argument, drawn from the context. `Via` is left to inference.
    ///
    /// # Errors
    ///
    /// As [`FromContext::from_context`].
    #[inline]
    pub fn extract<'f, T: FromContext<'f, E, Via>, Via>(context: &Context<'f, E>) -> Result<T, HandlerError> {
        T::from_context(context)
    }

    /// The outcome of an async handler.
    #[inline]
    pub fn pending<'f>(future: impl Future<Output = HandlerResult> + Send + 'f) -> Outcome<'f> {
        Outcome::Pending(Box::pin(future))
    }
}

/// What a program gets that does not compile for another reason.
pub trait NotHandling {
    /// See [`Handling`].
    ///
    /// # Errors
    ///
    /// None: it is never called.
    fn extract<T, C>(_: &C) -> Result<T, HandlerError> {
        unreachable!()
    }

    /// See [`Handling`].
    fn pending<'f>(_: impl Future<Output = HandlerResult> + 'f) -> Outcome<'f> {
        unreachable!()
    }
}
impl<E> NotHandling for Handling<E> {}

/// In place of the endpoint where an argument is refused by a check of its own: no endpoint, so nothing more is said of it.
#[derive(Debug)]
pub struct Refused;

/// What a handler of endpoint `E` returned, as a frame for the peer. `Via` is left to inference.
///
/// # Errors
///
/// The handler's own, and that the reply is no JSON.
#[inline]
pub fn reply<E: Endpoint, R: Returned<Via>, Via>(role: Role, returned: R) -> HandlerResult
where
    R::Sender<E::Side>: Sends<R::Message, E::Peer>,
{
    returned.into_reply(role)
}

/// What a handler of `__close__` returned.
///
/// # Errors
///
/// The handler's own.
#[inline]
pub fn no_reply<R: Unanswered>(returned: R) -> HandlerResult {
    returned.into_result().map_err(HandlerError::Handler)?;
    Ok(None)
}

/// [`IntoReply`], with a second way that no type takes: where there are two, the compiler names the returned type itself and
/// stops there, and does not go on to what could be sent.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a handler's return type",
    note = "a handler returns nothing, a message, an `Option` of one, or a `Result` of these",
    note = "a message has `#[derive(serde::Serialize, wsx::Message)]`; other data goes out as `wsx::Envelope::with_type(\"…\", ..)`",
    note = "the error of a `Result` is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait Returned<Via> {
    /// As [`IntoReply::Message`].
    type Message: ?Sized;
    /// As [`IntoReply::Sender`].
    type Sender<Side>;
    /// The frame.
    ///
    /// # Errors
    ///
    /// As [`reply`].
    fn into_reply(self, role: Role) -> HandlerResult;
}

/// The way of every type that can be returned.
#[derive(Debug)]
pub struct ViaReply;
/// The way that no type takes.
#[derive(Debug)]
pub struct ViaNone;
/// What no type is.
trait Never {}

#[diagnostic::do_not_recommend]
impl<R: IntoReply> Returned<ViaReply> for R {
    type Message = R::Message;
    type Sender<Side> = R::Sender<Side>;
    #[inline]
    fn into_reply(self, role: Role) -> HandlerResult {
        IntoReply::into_reply(self, role)
    }
}
#[diagnostic::do_not_recommend]
#[allow(private_bounds, reason = "no other crate may take this way")]
impl<R: Never> Returned<ViaNone> for R {
    type Message = Nothing;
    type Sender<Side> = AnySide;
    fn into_reply(self, _: Role) -> HandlerResult {
        unreachable!()
    }
}

/// What a handler of `__close__` may return.
#[diagnostic::on_unimplemented(
    message = "a handler of `__close__` cannot return `{Self}`",
    label = "the connection has ended, so there is nobody to reply to",
    note = "it returns nothing, or a `Result<(), E>` whose error is a `wsx::BoxError`, or any `std::error::Error` that is `Send` and `Sync`"
)]
pub trait Unanswered {
    /// The handler's own error.
    ///
    /// # Errors
    ///
    /// That one.
    fn into_result(self) -> Result<(), BoxError>;
}
impl Unanswered for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}
#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> Unanswered for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Checks nothing more than that `E` is an endpoint, where the error can point at its name.
pub const fn is_endpoint<E: Endpoint>() {}

/// Checks nothing more than that `S` is a side, where the error can point at its name.
pub const fn is_side<S: Side>() {}

/// Checks nothing more than that `M` is a message, where the error can point at its name.
pub const fn is_message<M: Message>() {}

/// Checks nothing more than the direction, where the error can point at the argument.
pub const fn receives<S: Receives<M, From>, From, M: ?Sized>() {}

/// Probes say what a type is without ever failing to compile: the inherent constant, which has a bound, wins over the
/// trait's, which has none. Works because handlers are never generic.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// What holds of a type that is nothing special.
pub trait Plain {
    /// The type string, if it is a message or the envelope of one.
    const MESSAGE: Option<&'static str> = None;
    /// The message's fingerprint, if it is one.
    const FINGERPRINT: Option<u64> = None;
    /// Whether it can be the payload.
    const PAYLOAD: bool = false;
    /// Whether drawing it reads the payload.
    const READS: bool = false;
    /// The state that it asks for.
    const STATE: Option<StateKey> = None;
    /// Whether it asks for the hub.
    const HUB: bool = false;
    /// Whether it is an endpoint, and can be shared as one.
    const ENDPOINT: bool = false;
    /// Whether it is a side.
    const SIDE: bool = false;
    /// Of a side and another: the other's name, if they speak with each other.
    const PEER: Option<&'static str> = None;
    /// The module that declares it, if it is an endpoint.
    const MODULE: &'static str = "";
    /// The type string of the message that it is made around.
    const WRAPPED: Option<&'static str> = None;
    /// Whether it says how a connection ended.
    const CLOSED: bool = false;
    /// Whether it is a frame as it came.
    const FRAME: bool = false;
}
impl<T: ?Sized> Plain for Probe<T> {}

impl<T: Message> Probe<T> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
    /// See [`Plain`].
    pub const FINGERPRINT: Option<u64> = Some(T::FINGERPRINT);
}
impl<T: Message> Probe<Envelope<T>> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
}
impl<T: Deserialize<'static>> Probe<T> {
    /// See [`Plain`].
    pub const PAYLOAD: bool = true;
    /// See [`Plain`].
    pub const READS: bool = true;
}
impl<T: Deserialize<'static>> Probe<Envelope<T>> {
    /// See [`Plain`].
    pub const READS: bool = true;
}
impl<T: 'static> Probe<State<T>> {
    /// See [`Plain`].
    pub const STATE: Option<StateKey> = Some(StateKey { id: TypeId::of::<T>, name: std::any::type_name::<T> });
}
impl<T: Endpoint + Send + Sync> Probe<T> {
    /// See [`Plain`].
    pub const ENDPOINT: bool = true;
}
impl<T: Side> Probe<T> {
    /// See [`Plain`].
    pub const SIDE: bool = true;
}
impl<S: SpeaksWith<P>, P> Probe<(S, P)> {
    /// See [`Plain`].
    pub const PEER: Option<&'static str> = Some(<S as SpeaksWith<P>>::NAME);
}
impl<T: Endpoint> Probe<T> {
    /// See [`Plain`].
    pub const MODULE: &'static str = T::MODULE;
}
impl Probe<Closed> {
    /// See [`Plain`].
    pub const CLOSED: bool = true;
}
impl Probe<RawFrame<'static>> {
    /// See [`Plain`].
    pub const FRAME: bool = true;
}
macro_rules! wrapper {
    ($($wrapper:ty),*) => {$(
        impl<T: Message> Probe<$wrapper> {
            /// See [`Plain`].
            pub const WRAPPED: Option<&'static str> = Some(T::TYPE);
        }
        impl<Here, T: Keyed<Here>> Wraps<Here> for $wrapper {
            type Key = T::Key;
        }
    )*};
}
wrapper!(&'static T, Option<T>, Vec<T>, Box<T>, Arc<T>, Rc<T>);
impl<E: Endpoint> Probe<Hub<E>> {
    /// See [`Plain`].
    pub const HUB: bool = true;
}
impl<E: Endpoint> Probe<&'static Hub<E>> {
    /// See [`Plain`].
    pub const HUB: bool = true;
}

/// The first type string among the arguments, or the other one.
#[must_use]
pub const fn first(found: &[Option<&'static str>], otherwise: &'static str) -> &'static str {
    let mut at = 0;
    while at < found.len() {
        if let Some(message_type) = found[at] {
            return message_type;
        }
        at += 1;
    }
    otherwise
}

/// Whether any is.
#[must_use]
pub const fn any(flags: &[bool]) -> bool {
    let mut at = 0;
    while at < flags.len() {
        if flags[at] {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether two type strings are the same.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether a probe found one.
#[must_use]
pub const fn is_some(text: Option<&'static str>) -> bool {
    text.is_some()
}

/// The text that a probe found. Where it found none, another check has said why.
#[must_use]
pub const fn found(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}

/// Fails to compile with these pieces as one text, for an error that names what the macro cannot know.
#[track_caller]
const fn refuse(pieces: &[&str]) -> ! {
    let (mut text, mut at, mut length) = ([0; 1024], 0, 0);
    while at < pieces.len() {
        let piece = pieces[at].as_bytes();
        let mut byte = 0;
        while byte < piece.len() && length < text.len() {
            text[length] = piece[byte];
            length += 1;
            byte += 1;
        }
        at += 1;
    }
    ensure(false, text.split_at(length).0);
    unreachable!()
}

/// Fails to compile unless the handler's type string is its message's.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_type(said: &str, own: &str) {
    if !same(said, own) {
        refuse(&["the handler says \"", said, "\", but its message's type is \"", own, "\""]);
    }
}

/// Fails to compile unless the side receives this type, which no argument stands for.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_inbound<S: Side>(has_message: bool, message_type: &str) {
    if !has_message && !is_among(S::INBOUND, message_type) {
        refuse(&["side `", S::NAME, "` of protocol `", S::PROTOCOL, "` never receives \"", message_type, "\""]);
    }
}

/// A side, and one that it exchanges messages with; `protocol!` says so.
pub trait SpeaksWith<Peer> {
    /// The peer's, as written in the protocol.
    const NAME: &'static str;
}

/// Fails to compile unless this side of a protocol speaks with this peer, and the peer goes by its own name: a complete
/// endpoint finds its messages by it. What is no side has been told so.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_peer<S: Side>(known: Option<&'static str>, said: &str) {
    match known {
        None if !S::PROTOCOL.is_empty() => refuse(&[
            "side `",
            S::NAME,
            "` does not speak with `",
            said,
            "`: no line of protocol `",
            S::PROTOCOL,
            "` is between them",
        ]),
        Some(name) if !same(name, said) => refuse(&[
            "the peer of side `",
            S::NAME,
            "` goes by another name here: call it `",
            name,
            "`, as the protocol does",
        ]),
        _ => {}
    }
}

/// Fails to compile if the type string at this place has come before on the way to this side.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_unique(side: &str, types: &[&str], at: usize) {
    if repeats(types, at) {
        let cure = "\"; give one of them another with `#[wsx(type = \"…\")]`";
        refuse(&["`", side, "` receives another message of the type \"", types[at], cure]);
    }
}

/// Fails to compile with this text unless it holds.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure(holds: bool, text: &[u8]) {
    if !holds {
        match std::str::from_utf8(text) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("a check of wsx failed"),
        }
    }
}

/// What [`ReservedProbe`] says of an endpoint without such a handler.
pub trait Unhandled<E> {
    /// The handler, if there is one.
    const ENTRY: Option<HandlerEntry<E>> = None;
}
/// Asks an endpoint for the handler of a reserved type, as [`Probe`] asks a type.
#[derive(Debug)]
pub struct ReservedProbe<E, Key>(PhantomData<(E, Key)>);
impl<E, Key> Unhandled<E> for ReservedProbe<E, Key> {}
impl<E, Key: HandledOnceBy<E>> ReservedProbe<E, Key> {
    /// See [`Unhandled`].
    pub const ENTRY: Option<HandlerEntry<E>> = Some(<Key as HandledOnceBy<E>>::ENTRY);
}

/// The entry as a complete endpoint lists it.
#[must_use]
pub fn listed<E: 'static>(entry: HandlerEntry<E>) -> Box<dyn Any> {
    Box::new(entry)
}

/// Adds the handler of a reserved type, if there is one.
pub fn list<E: 'static>(entries: &mut Vec<Box<dyn Any>>, entry: Option<HandlerEntry<E>>) {
    entries.extend(entry.map(listed));
}

/// The entry that stands in for a handler with a mistake, so that it is not reported as missing too.
#[must_use]
pub const fn mistaken<E>(message_type: &'static str) -> HandlerEntry<E> {
    HandlerEntry {
        message_type,
        call: |_| unreachable!(),
        payload: false,
        states: &[],
        takes_hub: false,
        name: "",
        file: "",
        line: 0,
    }
}

/// A message's type string as a type; the derive spells it.
///
/// `Here` is any type of the crate that asks. Without it the compiler would hold two handlers for possible duplicates,
/// since another crate's message might be given another key one day.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is the handler's only argument, and no message",
    label = "not a message",
    note = "derive `wsx::Message` for the payload, or name the type, as in `#[wsx::handler(\"telemetry\", ..)]`; what is drawn from \
            a connection, such as `Conn<'_, Side>` or `RawFrame<'_>`, stands beside a message, or in a handler of `\"__raw__\"`, \
            `\"__open__\"` or `\"__close__\"`"
)]
pub trait Keyed<Here = ()> {
    /// See [`MessageType`].
    type Key;
}

/// Stands in for a message where none is named, and where what is named is none.
#[derive(Debug)]
pub struct Nothing;
impl<Here> Keyed<Here> for Nothing {
    type Key = MessageType;
}
impl<Here, T: Keyed<Here>> Keyed<Here> for Envelope<T> {
    type Key = T::Key;
}

/// What is made around a message, and is none itself. The handler that takes it is refused, and its message is not to be
/// reported as missing too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is the handler's only argument, and no message",
    label = "not a message",
    note = "derive `wsx::Message` for the payload, or name the type, as in `#[wsx::handler(\"telemetry\", ..)]`"
)]
pub trait Wraps<Here> {
    /// See [`MessageType`].
    type Key;
}
/// Such a type where a message's is asked for.
#[derive(Debug)]
pub struct Wrapper<T>(PhantomData<T>);
#[diagnostic::do_not_recommend]
impl<Here, T: Wraps<Here>> Keyed<Here> for Wrapper<T> {
    type Key = T::Key;
}

/// What a literal spells, where no argument is a message.
#[derive(Debug)]
pub struct Spelled<K>(PhantomData<K>);
impl<Here, K> Keyed<Here> for Spelled<K> {
    type Key = K;
}

/// The type at a place of a tuple, which is one computation for the compiler where a key of letters is one for each.
/// For `Here` see [`Keyed`].
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
// The arguments of a handler, at most six, and what stands in for the message if none of them is one.
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

/// How many letters a [`MessageType`] spells.
const LETTERS: usize = 12;

/// What of a text is beyond the letters of its [`MessageType`].
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

/// Whether two module paths begin with the same crate.
#[must_use]
pub const fn same_crate(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    loop {
        let (end_a, end_b) = (at == a.len() || a[at] == b':', at == b.len() || b[at] == b':');
        if end_a || end_b {
            return end_a && end_b;
        }
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
}

/// Fowler–Noll–Vo, 64 bits.
#[must_use]
pub const fn hash(text: &str) -> u64 {
    let (bytes, mut hash, mut at) = (text.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    // A terminator, so that "ab", "c" differs from "a", "bc".
    (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

/// Adds a part to a fingerprint; the order counts.
#[must_use]
pub const fn mix(fingerprint: u64, part: u64) -> u64 {
    (fingerprint.rotate_left(23) ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A field's part: its own fingerprint if it is a message, else the name of its type.
#[must_use]
pub const fn field(fingerprint: Option<u64>, type_name: &str) -> u64 {
    match fingerprint {
        Some(fingerprint) => fingerprint,
        None => hash(type_name),
    }
}

/// Whether the text is among these; none at all means any.
#[must_use]
pub const fn is_among(texts: &[&str], text: &str) -> bool {
    let mut at = 0;
    while at < texts.len() {
        if same(texts[at], text) {
            return true;
        }
        at += 1;
    }
    texts.is_empty()
}

/// Whether the type string at this place has come before. What is no message has none, and repeats nothing.
#[must_use]
pub const fn repeats(types: &[&str], at: usize) -> bool {
    let mut before = 0;
    while before < at {
        if !types[at].is_empty() && same(types[before], types[at]) {
            return true;
        }
        before += 1;
    }
    false
}

/// Where among the arguments the message is; their number if nowhere.
#[must_use]
pub const fn position(found: &[Option<&'static str>]) -> usize {
    let mut at = 0;
    while at < found.len() && found[at].is_none() {
        at += 1;
    }
    at
}
