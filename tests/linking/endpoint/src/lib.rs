//! A complete endpoint, whose table the type system holds, and one that is open to handlers of other crates.
use serde::{Deserialize, Serialize};

/// How a box is.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Health {
    /// Well or not.
    pub ok: bool,
}

/// What a box says.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Note {
    /// In words.
    pub text: String,
}

wsx::protocol! {
    /// Edge fleet.
    pub Fleet v1 {
        Edge -> Server: Health, Note;
    }
}

/// Handles all that a server receives, in this crate.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server)]
pub struct Complete;

/// Handles a part; other crates may add to it.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server, partial)]
pub struct Open;

/// A module that nothing refers to but the compiler's table.
mod handlers {
    use super::{Complete, Health, Note, Open};

    #[wsx::handler(on = Complete)]
    fn on_health(_health: Health) {}

    #[wsx::handler(on = Complete)]
    fn on_note(_note: Note) {}

    #[wsx::handler("__raw__", on = Complete)]
    fn on_raw(_frame: wsx::RawFrame<'_>) {}

    #[wsx::handler(on = Open)]
    fn open_health(_health: Health) {}
}

/// What each endpoint handles, and what the untyped one does, in this program: `complete`, `open` and `untyped`.
#[must_use]
pub fn report() -> String {
    let types = |types: Vec<String>| types.join(" ");
    let complete = wsx::Hub::builder().endpoint(Complete).build().unwrap();
    let open = wsx::Hub::builder().endpoint(Open).without_handlers().build();
    let untyped = wsx::Hub::builder().without_handlers().build();
    let open = open.map_or_else(|error| error.to_string(), |hub| types(hub.handled_types()));
    let untyped = untyped.map_or_else(|error| error.to_string(), |hub| types(hub.handled_types()));
    format!("complete: {}\nopen: {open}\nuntyped: {untyped}\n", types(complete.handled_types()))
}
