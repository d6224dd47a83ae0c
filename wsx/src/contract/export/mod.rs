//! The files of a contract for others than Rust: types and a client for TypeScript, AsyncAPI, and a
//! reference for people. It does not know the lock file.
mod asyncapi;
mod client;
mod definitions;
mod difference;
mod envelopes;
mod exact;
mod folder;
mod links;
mod markdown;
mod model;
mod reference;
mod references;
mod talk;
mod types;
mod typescript;
mod wire_key;

use super::{
    check::{Mode, VARIABLE, finish},
    code::Code,
};
use crate::contract::Described;
use client::Language;
use folder::File;
use std::path::Path;
use talk::Sides;

/// Compares a folder with the files that a protocol makes, and panics if they are stale.
///
/// The folder is `contract` beside the `Cargo.toml` of the crate, or the path after the protocol,
/// from there. It has the files of one protocol. The [module](crate::contract#other-languages) says
/// what is in them.
///
/// The end that is not a hub dials. Its types are those of the files. A hub is the side after
/// `hub =`. Without that, it is the side with the name `Server` or `Hub`, or the only side with
/// several peers, or the side that receives the first message of the protocol.
///
/// ```no_run
/// # mod fleet {
/// #     #[derive(serde::Serialize, serde::Deserialize, wsx::contract::schemars::JsonSchema, wsx::Message)]
/// #     #[schemars(crate = "wsx::contract::schemars")]
/// #     pub struct Health { pub ok: bool }
/// #     wsx::protocol! { pub Fleet v1 { Edge -> Station: Health; } }
/// # }
/// # use fleet::{Fleet, Station};
/// wsx::contract::export!(Fleet);
/// wsx::contract::export!(Fleet, "web/generated");
/// wsx::contract::export!(Fleet, "web/generated", hub = Station);
/// ```
///
/// With `WSX_CONTRACT=accept`, it writes the files that are stale. `release` does the same.
///
/// # Panics
///
/// Panics if a file is stale or missing, if the folder cannot be read or written, or if a message
/// has no schema. The text has the first 40 lines of each difference, and says what to do.
#[macro_export]
#[doc(hidden)]
macro_rules! contract_export {
    ($protocol:ty) => {
        $crate::contract::export!($protocol, "contract")
    };
    ($protocol:ty, $folder:expr) => {
        $crate::contract::export_at::<$protocol>(
            ::std::env!("CARGO_MANIFEST_DIR"),
            $folder,
            $crate::__private::Option::None,
        )
    };
    ($protocol:ty, $folder:expr, hub = $side:ty) => {
        $crate::contract::export_at::<$protocol>(
            ::std::env!("CARGO_MANIFEST_DIR"),
            $folder,
            $crate::__private::Option::Some(<$side as $crate::protocol::Side>::NAME),
        )
    };
}

/// What [`export!`] does.
#[doc(hidden)]
#[track_caller]
pub fn export_at<P: Described>(root: &str, folder: &str, hub: Option<&'static str>) {
    let value = std::env::var(VARIABLE).unwrap_or_default();
    finish(export_as::<P>(&Path::new(root).join(folder), hub, &value));
}

/// What [`export!`] does with this value of `WSX_CONTRACT`: returns what it has written, if
/// anything, or what is wrong.
#[doc(hidden)]
pub fn export_as<P: Described>(
    folder: &Path,
    hub: Option<&'static str>,
    value: &str,
) -> Result<Option<String>, String> {
    export::<P>(folder, hub, Mode::of(value)?)
}

/// Compares the files of a protocol with a folder. Returns what was done to the folder.
fn export<P: Described>(folder: &Path, hub: Option<&'static str>, mode: Mode) -> Result<Option<String>, String> {
    let files = files::<P>(hub)?;
    folder::sync(folder, P::DESCRIPTION.name, &files, mode)
}

fn files<P: Described>(hub: Option<&'static str>) -> Result<Vec<File>, String> {
    // What has no shape has no type in another language either.
    Code::of::<P>()?.without_gaps()?;
    let description = P::DESCRIPTION;
    let docs = links::without_links(&docs(P::DOCS));
    let sides = Sides::of(description, hub)?;
    let definitions = types::definitions::<P>(&sides)?;
    let mut keys = Vec::new();
    for travel in description.messages {
        keys.push((*travel, wire_key::wire_key(&definitions, travel)?));
    }
    let wire_key = |travel: &_| keys.iter().find(|(own, _)| own == travel).and_then(|(_, key)| key.clone());
    let for_asyncapi = asyncapi::definitions::<P>(&sides)?;
    Ok(vec![
        File::new("asyncapi.json", asyncapi::asyncapi(&description, &docs, &sides, &for_asyncapi, wire_key)),
        File::new("client.js", client::client(&description, &sides, Language::JavaScript, wire_key)),
        File::new("client.ts", client::client(&description, &sides, Language::TypeScript, wire_key)),
        File::new("protocol.md", reference::reference(&description, &docs, &sides, &definitions)),
        File::new("store.js", client::store(&description, Language::JavaScript)),
        File::new("store.ts", client::store(&description, Language::TypeScript)),
        File::new("types.ts", types::types(&description, &sides, &definitions)),
    ])
}

/// The lines of a doc comment, without the space that begins each of them.
fn docs(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim().to_owned()
}
