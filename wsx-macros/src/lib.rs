//! The macros of wsx. Use them through the `wsx` crate, which documents what they make possible.
//!
//! # Layout
//!
//! `message`, `endpoint`, `protocol` and `handler` are a macro each: an entry point, and a file each for
//! parsing, checking and expanding. `shared` is what they have in common. Generated code names
//! `::wsx::__private` and nothing else, so that no import or shadowed name of the user's changes it.
//!
//! # A program that renames wsx
//!
//! A macro cannot know the name that `Cargo.toml` gives wsx. Without help it names `::wsx`, and rustc says "unresolved
//! import `wsx`: could not find `wsx` in the list of imported crates". Give each macro the name, as in
//! `#[wsx(crate = sockets)]`. Or write `extern crate sockets as wsx;` once, at the root of the crate.
use proc_macro::TokenStream;

mod endpoint;
mod handler;
mod message;
mod protocol;
mod shared;

/// Registers a function as the handler of a message type. The function itself stays as it is written.
///
/// ```text
/// #[wsx::handler("telemetry")]                 the type; optional when the payload derives `Message`
/// #[wsx::handler("telemetry", on = Station)]   on an endpoint of the program's own
/// #[wsx::handler(on = other::Station, foreign)] on an endpoint of another crate
/// #[wsx::handler(crate = sockets)]             where `Cargo.toml` names wsx `sockets`
/// ```
///
/// The arguments come in any order, at most six: the payload (any type with `Deserialize`, borrowed or owned),
/// `Connection`, `State<T>`, `Meta`, `Envelope<T>`, `RawFrame`, `&Hub`, the endpoint's value as `&Station`, where the endpoint
/// has a side `Conn<'_, Side>`, a connection that sends only what the side may, in `__close__` `Closed`, and whatever implements
/// `FromContext`. The function is sync or async, and returns nothing, a message for the sender, an `Option` of one, or a `Result`
/// of these.
///
/// Four types are reserved, and never come from a peer: `__raw__` handles the frames that are no envelope, `__unknown__`
/// the envelopes whose type has no handler, `__open__` runs before a connection's first message, `__close__` after its
/// last, and returns no message, as there is nobody to send it to. Of these only `__unknown__` has a payload, and only
/// `__raw__` and `__unknown__` have a frame.
#[proc_macro_attribute]
pub fn handler(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(args.into(), &item.into()).into()
}

/// Makes a struct or an enum a message, with its name in snake case as the type string.
///
/// ```text
/// #[wsx(type = "telemetry/v2")]   another type string
/// #[wsx(crate = sockets)]         where `Cargo.toml` names wsx `sockets`
/// ```
///
/// A message that is decoded may borrow text as `Cow<'a, str>` with `#[serde(borrow)]`. A `&'a str` or `&'a [u8]` anywhere in a
/// field's type is refused, since it cannot hold a JSON string with an escape in it; `#[wsx(never_escaped)]` on the field
/// says that none comes. The macro sees what the field spells: in a struct of its own, or behind a type alias, it
/// cannot see a `&'a str`, and such a message fails when an escape comes.
#[proc_macro_derive(Message, attributes(wsx))]
pub fn message(item: TokenStream) -> TokenStream {
    message::expand(&syn::parse_macro_input!(item)).into()
}

/// Makes a struct an endpoint: a type on which handlers register with `on = …`, and which they take as a reference.
///
/// ```text
/// #[wsx(side = Server)]                  the side of a protocol that it speaks for: every message that this side
///                                        receives must have a handler
/// #[wsx(side = Server, partial)]         some may be without
/// #[wsx(side = Server, peer = Console)]  where the protocol has several peers, the one that it speaks to
/// #[wsx(crate = sockets)]                where `Cargo.toml` names wsx `sockets`
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
///         Server -> Edge: Cmd, Notice;
///         /// Goes either way.
///         Edge <-> Server: Note;
///     }
/// }
/// ```
///
/// makes the types that are written here: `Fleet` with `VERSION`, `FINGERPRINT` and `DESCRIPTION`, the sides `Edge` and
/// `Server`, and for each side an enum of what it receives, `ServerInbound` and `EdgeInbound`, with a `decode`. A protocol
/// may have more than two sides; messages may come from other crates. What borrows is written with its lifetime, as in
/// `Telemetry<'_>`. A doc comment on a message goes to its place in the enum, one on a line to the enum of who receives it.
/// `#[wsx(crate = sockets)]` on it is for a program whose `Cargo.toml` names wsx `sockets`.
#[proc_macro]
pub fn protocol(input: TokenStream) -> TokenStream {
    protocol::expand(input.into()).into()
}
