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
//! Each message, and each type inside of it, derives `schemars::JsonSchema`. The attributes of
//! serde are all that it needs.
//!
//! # When the code changes
//!
//! The test fails if the code does not agree with `wsx.lock`, which is beside the `Cargo.toml`. It
//! prints each change, and the end that breaks:
//!
//! ```text
//! Fleet is not as in wsx.lock:
//!
//!   message    field    change                    breaks
//!   telemetry  voltage  is missing, and is requi  new Server, which reads old Edge
//! ```
//!
//! | you run the test with | it does |
//! |---|---|
//! | nothing | compares; every difference is an error |
//! | `WSX_CONTRACT=accept` | writes the difference into the file, as the next version, if it breaks nobody who has a released version of the same number |
//! | `WSX_CONTRACT=release` | the same, and the version counts as released: it stays in the file |
//!
//! A change that breaks an end needs a higher version in `protocol!`. Commit the file with the
//! code.
//!
//! # Which end breaks
//!
//! The reader decides. If the server reads a message, a new required field breaks the new server,
//! which reads old boxes. If the box reads it, a new variant of an enum breaks the old box, which
//! reads new servers. A request is read by the end that is asked, and its reply by the end that
//! asks.
//!
//! Some things are not in a schema, and the test is careful about them:
//!
//! - `#[serde(alias = "..")]` and `#[serde(other)]` let a reader understand more. The test reports
//!   a change that they make harmless.
//! - `#[serde(with = "..")]` and implementations of serde by hand need a schema by hand, with
//!   `#[schemars(with = "..")]`.
//! - The meaning of a value, such as its unit, is not in its shape.
mod changes;
mod check;
mod describe;
mod fits;
mod lock;
mod node;
mod notation;
mod shape;
mod version;

pub use crate::contract_check as check;
pub use schemars;

use crate::protocol::Description;
use std::path::Path;

/// A protocol whose contract can be checked. [`protocol!`](crate::protocol!) implements it.
pub trait Described {
    /// The messages of the protocol.
    const DESCRIPTION: Description;
    /// Returns the schema of each message, by its type string.
    #[doc(hidden)]
    fn schemas() -> Vec<(&'static str, Option<SchemaOf>)>;
}

/// Returns the schema of a type.
#[doc(hidden)]
pub type SchemaOf = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

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

/// What [`check!`] does.
#[doc(hidden)]
#[track_caller]
pub fn check_at<P: Described>(folder: &str, path: &str) {
    let value = std::env::var(check::VARIABLE).unwrap_or_default();
    match check_as::<P>(&Path::new(folder).join(path), &value) {
        Ok(None) => {}
        Ok(Some(done)) => eprintln!("{done}"),
        Err(why) => panic!("{why}"),
    }
}

/// What [`check!`] does with this value of `WSX_CONTRACT`: returns what it has done to the file, if
/// anything, or what is wrong.
#[doc(hidden)]
pub fn check_as<P: Described>(path: &Path, value: &str) -> Result<Option<String>, String> {
    check::check::<P>(path, check::Mode::of(value)?)
}
