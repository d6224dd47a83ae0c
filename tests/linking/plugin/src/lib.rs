//! Handlers in a crate of their own, on the untyped endpoint and on another crate's. No code refers
//! to this crate.
use wsx_linking_endpoint::{Note, Open};

#[wsx::handler("plugged")]
fn on_plugged(_n: u8) {}

#[wsx::handler(on = Open, foreign)]
fn on_note(_note: Note) {}

#[cfg(feature = "twice")]
#[wsx::handler("health", on = Open, foreign)]
fn on_health(_health: wsx_linking_endpoint::Health) {}
