//! The contract of a protocol: what each released version says on the wire, and which end a change
//! breaks.
//!
//! A fleet is never upgraded all at once. So old boxes talk to new servers, and new boxes to old
//! servers. A **lock file** has the shape of every version that was released, in both directions. A
//! test compares the code with it:
//!
//! ```no_run
//! # mod fleet {
//! #     #[derive(serde::Serialize, serde::Deserialize, wsx::contract::schemars::JsonSchema, wsx::Message)]
//! #     #[schemars(crate = "wsx::contract::schemars")]
//! #     pub struct Health { pub ok: bool }
//! #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
//! # }
//! # use fleet::Fleet;
//! #[test]
//! fn the_contract_holds() {
//!     wsx::contract::check!(Fleet);
//! }
//! ```
//!
//! Each message, and each type inside of it, derives `JsonSchema` of schemars 1. The attributes of
//! serde are all that it needs. If the programs are to be built without schemars, write
//! `#[cfg_attr(test, derive(JsonSchema))]`, and put the check among the unit tests of the same
//! crate.
//!
//! # When the code changes
//!
//! The test fails if the code does not agree with `wsx.lock`, which is beside the `Cargo.toml`. It
//! prints each change, and the end that breaks:
//!
//! ```text
//! Fleet is not as in wsx.lock:
//!
//!   message    field    change                       breaks
//!   telemetry  voltage  is missing, and is required  new Server, which reads old Edge
//!
//! if this is meant, run this test with WSX_CONTRACT=accept, and commit the file
//! ```
//!
//! | you run the test with | it does |
//! |---|---|
//! | nothing | compares; every difference is an error |
//! | `WSX_CONTRACT=accept` | writes the difference into the file, as the next version, which replaces another one that was not released |
//! | `WSX_CONTRACT=release` | the same, and the version counts as released: it stays in the file |
//!
//! No version may break a peer with a released version of the same number. Such a change needs a
//! higher version in `protocol!`. Commit the file with the code. The file also has the fingerprints
//! of each version, because a change of Rust alone may change them.
//!
//! # Which end breaks
//!
//! The reader decides. If the server reads a message, a new required field breaks the new server,
//! which reads old boxes. If the box reads it, a new variant of an enum breaks the old box, which
//! reads new servers. A request is read by the end that is asked, and its reply by the end that
//! asks. A message that is new breaks nothing by itself: an old peer does not know it, and ignores
//! it.
//!
//! # Mixed versions
//!
//! The lock file also serves the programs. [`released!`] takes it into a program, with the feature
//! `versions`. schemars is then not needed.
//!
//! ```
//! # mod fleet {
//! #     #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
//! #     pub struct Health { pub ok: bool }
//! #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
//! # }
//! use wsx::{Hub, contract::Released};
//! # use fleet::*;
//!
//! # #[derive(wsx::Endpoint)]
//! # #[wsx(side = Server)]
//! # struct Station;
//! # #[wsx::handler(on = Station)]
//! # fn on_health(_health: Health) {}
//! // In a program: const RELEASED: Released = wsx::contract::released!("wsx.lock");
//! fn hub(released: Released) -> Result<Hub<Station>, wsx::BuildError> {
//!     Hub::builder().endpoint(Station).contract(released).build()
//! }
//! # fn main() {}
//! ```
//!
//! Each end names its protocol, version and fingerprint in the handshake, also without the file;
//! see [`PeerVersion`](crate::protocol::PeerVersion). [`Hub::versions`](crate::Hub::versions)
//! counts the peers of each version. With the file, an end knows what each released version
//! understands:
//!
//! - Every peer is accepted. [`Observer::version_differs`](crate::Observer::version_differs)
//!   reports one that does not understand everything, or whose version is not in the file.
//! - A message that the peer does not understand is not sent. The send returns
//!   [`SendError::PeerTooOld`](crate::SendError::PeerTooOld) with the message and the version. So
//!   does a request, and the reply of a handler fails. A broadcast leaves the peer out.
//! - Everything else goes on. So an outdated box still receives its update.
//! - A type with `#[wsx(always)]` is sent to every peer.
//! - A peer whose version is not in the file gets everything. Mostly it is newer, and its own file
//!   has the version of this end. What it cannot read fails there, and a request returns
//!   [`RequestError::BadData`](crate::RequestError::BadData).
//!
//! A message that the peer does not know is withheld too. The peer would ignore it, and the sender
//! would not learn that. [`HubBuilder::require`](crate::server::HubBuilder::require) rejects old
//! versions, when no box speaks them any more.
//!
//! # What a schema does not say
//!
//! The check is careful about these. It reports a break although a reader may understand more:
//!
//! - `#[serde(alias = "..")]` and `#[serde(other)]`;
//! - `skip_serializing_if` on an `Option`, beside a reader that does not take null;
//! - a format, such as that of an IP address, beside another type with the same texts.
//!
//! The check does not see these. Look at them yourself:
//!
//! - `#[serde(with = "..")]` and implementations of serde by hand: give their schema by
//!   `#[schemars(with = "..")]`. An `Option` with `with` is required, unless it has
//!   `#[serde(default)]` too.
//! - A type that reads only some texts, and has the schema of `String`, such as `SocketAddr`. Give
//!   it a format: `#[schemars(extend("format" = "socket-address"))]`.
//! - The widths of integers that are keys of a map. Keys of an enum with documented variants, which
//!   count as strings.
//! - Integer keys and 128-bit numbers below `#[serde(flatten)]`, a tag or `untagged`, which serde
//!   cannot read.
//! - The tag of a struct with `#[serde(tag = "..")]`.
//! - The meaning of a value, such as its unit.
//!
//! A value that may be any JSON, such as a `serde_json::Value`, is an error that names the field.
//! `#[schemars(extend("x-wsx-any" = true))]` on the field says that it is meant. So is a keyword of
//! JSON Schema that wsx does not know.
//!
//! # Other languages
//!
//! A second line writes what other programs need, and says when it is stale:
//!
//! ```no_run
//! # mod fleet {
//! #     #[derive(serde::Serialize, serde::Deserialize, wsx::contract::schemars::JsonSchema, wsx::Message)]
//! #     #[schemars(crate = "wsx::contract::schemars")]
//! #     pub struct Health { pub ok: bool }
//! #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
//! # }
//! # use fleet::Fleet;
//! #[test]
//! fn the_contract_holds() {
//!     wsx::contract::check!(Fleet);
//!     wsx::contract::export!(Fleet, "web/generated");
//! }
//! ```
//!
//! | file | it has |
//! |---|---|
//! | `types.ts` | the types of the messages in TypeScript, and an interface for each side that dials |
//! | `client.ts` | a client for browsers and Node, with a constant for each of these sides |
//! | `client.js` | the same, for pages without a build step |
//! | `store.ts`, `store.js` | for pages that keep messages also while they are closed |
//! | `asyncapi.json` | the protocol in AsyncAPI 3.0.0, as the hub sees it |
//! | `protocol.md` | a reference for people |
//!
//! Commit the files, and run the test with `WSX_CONTRACT=accept` after a change. The docs of the
//! Rust types are in all of them.
//!
//! - What a program receives has the type that Rust writes, and what it sends has the type that
//!   Rust reads. A type that is used in both ways, and differs, has two names: `Stamp` and
//!   `StampSent`. Mostly an `Option` makes the difference: it is always written, but need not be
//!   sent.
//! - Integers of 64 bits or more are `Int64`, which is `number | bigint`: a number up to 2⁵³ − 1,
//!   and a bigint beyond. In JSON for JavaScript, a bound or a default beyond 2⁵³ − 1 is a string.
//! - In `types.ts`, a map beside named fields, as of `#[serde(flatten)]`, also has the types of
//!   these fields, because TypeScript cannot express it otherwise. An array with more than 16
//!   elements has any length.
//! - The docs of a message's type are its description. A link of rustdoc becomes plain code.
#[cfg(feature = "contract")]
mod changes;
#[cfg(feature = "contract")]
mod check;
#[cfg(feature = "contract")]
mod code;
#[cfg(feature = "contract")]
mod describe;
#[cfg(feature = "contract")]
mod export;
mod released;
#[cfg(feature = "__engine")]
mod verdict;

#[cfg(any(feature = "contract", feature = "__engine"))]
#[cfg_attr(
    not(feature = "contract"),
    allow(dead_code, reason = "only a check describes types, and writes a lock file")
)]
mod locked;

pub use crate::contract_released as released;
#[cfg(feature = "contract")]
#[doc(hidden)]
pub use export::{export_as, export_at};
pub use released::Released;
#[cfg(feature = "__engine")]
pub(crate) use verdict::Verdicts;
#[cfg(feature = "contract")]
pub use {crate::contract_check as check, crate::contract_export as export, schemars};

#[cfg(feature = "contract")]
use crate::protocol::Description;
#[cfg(feature = "contract")]
use std::path::Path;

#[cfg(feature = "contract")]
/// A protocol whose contract can be checked. [`protocol!`](crate::protocol!) implements it.
pub trait Described {
    /// The messages of the protocol.
    const DESCRIPTION: Description;
    /// The lines of the docs of the protocol.
    #[doc(hidden)]
    const DOCS: &'static [&'static str];
    /// Returns the schemas of each message, its reply and its refusal, in the order of the
    /// description.
    #[doc(hidden)]
    fn schemas() -> Vec<[Option<SchemaOf>; 3]>;
}

#[cfg(feature = "contract")]
/// Returns the schema of a type.
#[doc(hidden)]
pub type SchemaOf = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

#[cfg(feature = "contract")]
/// Compares a protocol with its lock file, and panics if they do not agree.
///
/// The file is `wsx.lock` beside the `Cargo.toml` of the crate, or the path after the protocol,
/// from there. The [module](crate::contract) says how to change it.
///
/// ```no_run
/// # mod fleet {
/// #     #[derive(serde::Serialize, serde::Deserialize, wsx::contract::schemars::JsonSchema, wsx::Message)]
/// #     #[schemars(crate = "wsx::contract::schemars")]
/// #     pub struct Health { pub ok: bool }
/// #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
/// # }
/// # use fleet::Fleet;
/// wsx::contract::check!(Fleet);
/// wsx::contract::check!(Fleet, "contracts/fleet.lock");
/// ```
///
/// # Panics
///
/// Panics if the code does not agree with the file, if the file is missing or damaged, or if a
/// message has no schema. The text says what to do.
#[macro_export]
#[doc(hidden)]
macro_rules! contract_check {
    ($protocol:ty) => {
        $crate::contract::check!($protocol, "wsx.lock")
    };
    ($protocol:ty, $path:expr) => {
        $crate::contract::check_at::<$protocol>(::std::env!("CARGO_MANIFEST_DIR"), $path)
    };
}

#[cfg(feature = "contract")]
/// What [`check!`] does.
#[doc(hidden)]
#[track_caller]
pub fn check_at<P: Described>(folder: &str, path: &str) {
    let value = std::env::var(check::VARIABLE).unwrap_or_default();
    check::finish(check_as::<P>(&Path::new(folder).join(path), &value));
}

#[cfg(feature = "contract")]
/// What [`check!`] does with this value of `WSX_CONTRACT`: returns what it has done to the file, if
/// anything, or what is wrong.
#[doc(hidden)]
pub fn check_as<P: Described>(path: &Path, value: &str) -> Result<Option<String>, String> {
    check::check::<P>(path, check::Mode::of(value)?)
}
