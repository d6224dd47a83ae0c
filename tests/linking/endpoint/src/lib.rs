//! A complete endpoint, whose table the type system collects, and a partial one that accepts
//! handlers of other crates.
use serde::{Deserialize, Serialize};

/// The health of a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Health {
    /// Whether the box works.
    pub ok: bool,
}

/// A note from a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Note {
    /// Its text.
    pub text: String,
}

wsx::protocol! {
    /// The protocol of an edge fleet.
    pub Fleet v1 {
        Edge -> Server: Health, Note;
    }
}

/// Handles everything that a server receives, in this crate.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server)]
pub struct Complete;

/// Handles some messages; other crates may add handlers.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server, partial)]
pub struct Open;

/// A module that only the compiler's table refers to.
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

/// Returns the types that each endpoint handles in this program: `complete`, `open` and `untyped`.
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
