//! The macros of wsx. Use them through the `wsx` crate, which documents what they make possible.
//!
//! # Layout
//!
//! `message`, `endpoint`, `protocol` and `handler` are a macro each: an entry point, and a file
//! each for parsing, checking and expanding. `shared` is what they have in common.
//!
//! Generated code names `::wsx::__private` and nothing else, so no import or shadowed name of the
//! user's changes it. It stands in a constant without a name and asks for no exception from lints,
//! so that it is silent under `forbid` too.
use proc_macro::TokenStream;

mod endpoint;
mod handler;
mod message;
mod protocol;
mod shared;

/// Registers a function as the handler of a message type. The function itself stays as it is
/// written.
///
/// ```text
/// #[wsx::handler("telemetry")]                  the type; optional if the payload is a `Message`
/// #[wsx::handler("telemetry", on = Station)]    on an endpoint of the program's own
/// #[wsx::handler(on = Station, concurrent = 8)] up to 8 calls at a time for each connection
/// #[wsx::handler(on = other::Station, foreign)] on an endpoint of another crate
/// #[wsx::handler(crate = sockets)]              if `Cargo.toml` names wsx `sockets`
/// ```
///
/// The function is sync or async. It returns nothing, a message for the sender, an `Option` of one,
/// or a `Result` of these. The handler of a [request](#a-request) returns its reply. Its arguments
/// come in any order, at most six:
///
/// - the payload: any type with `Deserialize`, borrowed or owned;
/// - the connection: `&Connection`, and on an endpoint with a side `&Connection<Side>`, which sends
///   only what the side may;
/// - the endpoint's value as `&Station`, and `&Hub<Station>`;
/// - without an endpoint, `&Hub` and `State<T>`;
/// - `Meta`, `Envelope<T>`, `RawFrame`, and any type that implements `FromContext`.
///
/// A handler that moves the connection into a task takes it without the `&`: `conn:
/// Connection<Side>`. A reference lives as long as the call.
///
/// # One after another
///
/// The handlers of one connection run one after another, in the order of its messages. The handlers
/// of different connections run side by side.
///
/// While a handler waits at an `.await`, wsx reads on. It answers pings, and it notices a close or
/// a broken link at once: then `conn.is_closed()` is true, and `conn.closed()` returns. Later
/// messages wait in order, up to `Config::backlog_messages` and `Config::backlog_bytes`. When this
/// buffer is full, wsx stops reading.
///
/// So **a handler must not await a later message of its own connection**: it would wait until the
/// connection ends. Keep the state in the endpoint and return, so that the handler of that message
/// continues. Or spawn a task that waits. Or ask with a request: its reply does not wait for a
/// handler.
///
/// # A handler that asks
///
/// A handler may await `conn.request(..)`, on its own connection too. From then on until its end,
/// requests of the peer are handled beside it, in order. Other messages wait for it. While the
/// handler of `__open__` runs, requests wait too, because it may still decide about the peer. At
/// most `Config::max_requests` requests, 1,024 by default, are handled beside it. One more is
/// answered with `busy`. A request from a task that the handler spawned does not count.
///
/// # Concurrent handlers
///
/// With `concurrent = 8`, up to eight calls of this handler run at a time for each connection. The
/// number is 1 to 1,024. Later messages are handled meanwhile, and replies leave as they become
/// ready. When all eight calls run and another such message comes, it waits, and so do all messages
/// after it. It also waits while the messages of the running calls have `Config::backlog_bytes`. A
/// panic, a close and a shutdown have the same effect as for other handlers.
///
/// Such a handler is async, and takes its payload without lifetimes. It may still borrow the
/// connection, the endpoint and the hub.
///
/// # A request
///
/// If the protocol says `Reboot -> Rebooted`, a handler of `Reboot` on an endpoint with a side
/// returns `Rebooted`, or a `Result<Rebooted, E>`.
///
/// If the protocol says `Update -> Updated | UpdateRefused`, a handler of `Update` returns one of
/// these:
///
/// - `Updated`;
/// - `Result<Updated, UpdateRefused>`;
/// - `Result<Result<Updated, UpdateRefused>, E>`.
///
/// The handler of a request takes the message as an argument, even if its attribute names the type
/// string. An endpoint without a side does not know the protocol: its handlers return what they
/// like.
///
/// # A reply
///
/// If a handler returns an error, the sender of a request gets the text of its `Display`, cut at
/// 512 bytes. With `Config::report_failures`, the sender of another message gets it too.
///
/// A reply uses a reserve beyond the send queue, of `Config::queue_bytes`. It waits only when this
/// reserve is full too; then the next handler waits. If both ends send in a loop and answer with
/// replies that are longer than the messages, both reserves can fill, and neither end reads. The
/// connection then ends with the write timeout. Use requests for long replies, or raise
/// `Config::queue_bytes`.
///
/// A reply that cannot be sent, because the connection has ended, is reported to
/// `Observer::reply_dropped`.
///
/// # When the connection ends
///
/// If the peer closes or the link breaks, the running handler goes on, and messages that arrived
/// before are handled. Both have `Config::close_timeout`, 10 s by default. A handler that still
/// waits then is dropped at its `.await`, and `Observer::handler_dropped` receives it. So the state
/// of the program must be consistent at each `.await`. A task that the handler has spawned is not
/// dropped.
///
/// # Reserved types
///
/// Four types never come from a peer:
///
/// | type | the handler runs | and may take |
/// |---|---|---|
/// | `__open__` | before a connection's first message | neither payload nor `RawFrame` |
/// | `__close__` | after its last; it cannot reply | `Closed`, neither payload nor `RawFrame` |
/// | `__raw__` | for a frame that is not an envelope | `RawFrame`, not a payload |
/// | `__unknown__` | for an envelope whose type has no handler | a payload and `RawFrame` |
///
/// They need `on = Station` too, if the program's handlers are on an endpoint.
///
/// When a box reconnects, `__close__` for its old connection may run before or after `__open__` for
/// the new one. `Hub::is_connected` says whether the box is still, or again, connected.
///
/// # In a doctest
///
/// Since edition 2024, all doctests of a crate are one program. If two of them handle the same type
/// without an endpoint, a hub or a client in any of them reports "two handlers". Mark that doctest
/// with `standalone_crate`, which makes it a program of its own, or give each doctest an endpoint:
///
/// ````text
/// /// ```standalone_crate
/// /// #[wsx::handler("telemetry")]
/// /// fn on_telemetry(celsius: f64) {}
/// ///
/// /// let hub = wsx::Hub::builder().build()?;
/// /// # Ok::<_, wsx::BuildError>(())
/// /// ```
/// ````
///
/// # A program that renames wsx
///
/// A macro cannot see the name that `Cargo.toml` gives wsx. Without `crate = ..` it names `::wsx`,
/// and rustc says "unresolved import `wsx`: could not find `wsx` in the list of imported crates".
/// Give each macro the name, or write `extern crate sockets as wsx;` once, at the root of the
/// crate.
#[proc_macro_attribute]
pub fn handler(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(args.into(), &item.into()).into()
}

/// Replaces [`handler`] in a wsx without its engine.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn handler_without_engine(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut expanded = TokenStream::from(without_engine("`#[wsx::handler]`"));
    expanded.extend(item);
    expanded
}

/// Replaces [`endpoint`] in a wsx without its engine.
#[doc(hidden)]
#[proc_macro_derive(EndpointWithoutEngine, attributes(wsx))]
pub fn endpoint_without_engine(_: TokenStream) -> TokenStream {
    without_engine("`#[derive(wsx::Endpoint)]`").into()
}

fn without_engine(name: &str) -> proc_macro2::TokenStream {
    let why = format!(
        "{name} is not in the protocol half of wsx: turn on its feature `client` or `server`, or move this into the \
         program that does"
    );
    syn::Error::new(proc_macro2::Span::call_site(), why).into_compile_error()
}

/// Makes a struct or an enum a message.
///
/// ```text
/// #[wsx(type = "telemetry/v2")]           the type string; the name in snake case if it is not given
/// #[wsx(crate = sockets)]                 if `Cargo.toml` names wsx `sockets`
///
/// #[wsx(delivery = at_least_once)]        how its messages are delivered
/// #[wsx(delivery = latest, key = device)]
/// #[wsx(delivery = state)]
/// #[wsx(ttl = "90s")]                     how long a message may wait until it is sent
/// #[wsx(delivery = at_least_once, full = drop_oldest)]
///
/// #[wsx(always)]                          is also sent to peers of versions that may not understand it
/// #[wsx(compress = never)]                is sent as it is, also if the connection compresses
/// ```
///
/// # The type string is part of the protocol
///
/// `ChargeState` has the type string `charge_state`, so **renaming the Rust type renames the
/// message on the wire**. A peer with the old name then ignores it, and the compiler cannot know.
/// Before you rename a type that is in use, pin its type string with `#[wsx(type =
/// "charge_state")]`.
///
/// # Delivery
///
/// | `delivery` | a message | waits while its peer is away |
/// |---|---|---|
/// | `at_most_once` | is sent once, and lost if the connection breaks | no; this is the default |
/// | `at_least_once` | is kept until the peer has handled it | all, in order |
/// | `latest` | replaces an older one with the same `key` that waits | the newest of each key |
/// | `state` | is the newest value, which the receiver remembers | the newest |
///
/// The last three are *kept* messages: their types implement `wsx::message::Kept`. A type with
/// `delivery = state` also implements `wsx::message::State`.
///
/// - `ttl` is a whole number and `ms`, `s`, `m`, `h` or `d`, from `"1ms"` to `"365d"`. A message
///   that waits longer is dropped, and this is reported. Without it, a message does not expire. A
///   state never does. The send of a message that is
///   delivered at most once waits for room in the queue of its connection for that long.
/// - `key` names a field of the struct. Without it, the type has one newest message. Its value is
///   compared as JSON.
/// - `full` says what happens to a message of `at_least_once` if the store of waiting messages is
///   full. With `reject`, which is the default, its send returns an error. With `drop_oldest`, the
///   oldest waiting message makes room.
/// - `always` is for a message that brings an update: it is sent to peers of every version; see
///   `wsx::contract`.
/// - `compress = never` is for a message that has a secret: compression can reveal the secret to an
///   eavesdropper; see `wsx::Deflate`.
///
/// `Message::POLICY` has these options, to read. All but `compress` are part of the description and
/// of the fingerprint of a protocol, and none is part of the message's own fingerprint.
///
/// A request, a reply and a refusal of a protocol cannot have them: they belong to one connection,
/// and the request has a deadline. Each may have `compress = never`, and a request may have
/// `always`.
///
/// # The fingerprint
///
/// `Message::FINGERPRINT` is a number that changes when the JSON of the message changes:
///
/// - with the type string;
/// - with the name of a field or a variant, as serde writes it, and with its type;
/// - with a field that is added, removed, or moved to another variant;
/// - with the kind of a struct or a variant: unit, newtype, tuple, or named fields;
/// - with an option of serde that changes the JSON, or which JSON is accepted, such as `tag`,
///   `untagged`, `flatten`, `with`, `skip_serializing_if`, `default` or `alias`;
/// - with the fields of a message in a field, also inside of `Option`, `Vec`, a map, a tuple, an
///   array or `Box`. Messages may contain each other, so this goes eight messages deep.
///
/// It stays the same when the JSON stays the same:
///
/// - if named fields change places, or the variants of an enum that is not `untagged`;
/// - if a field borrows: `&T`, `Cow<'a, T>`, `Box<T>`, `Rc<T>` and `Arc<T>` count as `T`, `str` as
///   `String`, and `[T]` as `Vec<T>`;
/// - if a name of Rust changes and `#[serde(rename = "..")]` keeps the old name;
/// - with `borrow`, `bound`, `crate`, `expecting` and skipped fields.
///
/// **A type that does not derive `Message` counts only by its name**, as it is written: a path of
/// the standard library by its last part, a path like `other::Type` in full. So derive `Message`
/// for the types inside of a message too. A function in `with` or `skip_serializing_if` counts by
/// its name as well. A fingerprint may change although the JSON does not, for example from `(u8,
/// u8)` to `[u8; 2]`.
///
/// # Borrowed text
///
/// A message that is decoded may borrow text as `Cow<'a, str>` with `#[serde(borrow)]`. A `&'a str`
/// or `&'a [u8]` anywhere in a field's type is an error, since it cannot hold a JSON string with an
/// escape in it; `#[wsx(never_escaped)]` on the field allows it, for text without escapes. The
/// macro sees only the field's own type: in another struct, or behind a type alias, it does not
/// find a `&'a str`, and decoding such a message fails when an escape comes.
#[proc_macro_derive(Message, attributes(wsx))]
pub fn message(item: TokenStream) -> TokenStream {
    message::expand(&syn::parse_macro_input!(item)).into()
}

/// Makes a struct an endpoint: a type on which handlers register with `on = ..`, and which they
/// take as a reference.
///
/// ```text
/// #[wsx(side = Server)]                  the side of a protocol that it speaks for; each message
///                                        that the side receives must have a handler
/// #[wsx(side = Server, partial)]         messages may be without a handler
/// #[wsx(side = Server, peer = Console)]  the side that it speaks to, if the protocol has several
/// #[wsx(crate = sockets)]                if `Cargo.toml` names wsx `sockets`
/// ```
#[proc_macro_derive(Endpoint, attributes(wsx))]
pub fn endpoint(item: TokenStream) -> TokenStream {
    endpoint::expand(&syn::parse_macro_input!(item)).into()
}

/// Says who may send what to whom.
///
/// ```text
/// wsx::protocol! {
///     /// Edge fleet.
///     pub Fleet v1 {
///         Edge -> Server: Telemetry<'_>, Health;
///         Server -> Edge: Notice, Reboot -> Rebooted, Update -> Updated | UpdateRefused;
///         /// Goes either way.
///         Edge <-> Server: Note;
///     }
/// }
/// ```
///
/// This makes:
///
/// - `Fleet`, with `VERSION`, `FINGERPRINT` and `DESCRIPTION`;
/// - the sides `Edge` and `Server`;
/// - for each side an enum of the messages that it receives, `ServerInbound` and `EdgeInbound`,
///   with a `decode`.
///
/// A protocol may have more than two sides. Two protocols in one module need different names for
/// their sides.
///
/// # Requests
///
/// `Reboot -> Rebooted` makes `Reboot` a request: its sender waits for a `Rebooted`. With `Update
/// -> Updated | UpdateRefused`, the receiver may also refuse, with a message of yours. Requests
/// work in every direction, and on lines with `<->`. The compiler rejects:
///
/// - a handler of a request that returns another message, nothing, or an `Option`;
/// - a request that is only sent, and a message without a reply that is used as a request;
/// - a reply that is sent by itself, unless the protocol names it as a message too;
/// - a message with two forms: a request in one place and a plain message in another, or a request
///   with two different replies.
///
/// Requests, replies and refusals do not declare a `delivery` or a `ttl`. A request may declare
/// `always`.
///
/// A reply and a refusal need no handler, and they own their data: they are written without a
/// lifetime. The type string of a refusal is its code on the wire. So it cannot be `not_handled`,
/// `bad_data`, `failed`, `busy`, `expired`, `no_reply` or `cancelled`: wsx uses these itself.
///
/// # Messages
///
/// Each message derives `Serialize`, `Deserialize` and `wsx::Message`, and may come from another
/// crate. A message that borrows is written with its lifetime, as in `Telemetry<'_>`. A doc comment
/// on a message goes to its variant of the enum, one on a line to the enum itself.
///
/// `#[wsx(crate = sockets)]` on the protocol is for a program whose `Cargo.toml` names wsx
/// `sockets`.
#[proc_macro]
pub fn protocol(input: TokenStream) -> TokenStream {
    protocol::expand(input.into()).into()
}
