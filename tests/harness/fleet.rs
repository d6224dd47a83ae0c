//! A protocol and an endpoint in a crate of their own, for the tests under `compile/fail`.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A measurement by a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    /// Id of the box.
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    /// Its temperature.
    pub celsius: f64,
}

/// The health of a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Health {
    /// Whether the box works.
    pub ok: bool,
}

/// A command to a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Cmd {
    /// Whether the box has to restart.
    pub reboot: bool,
}

wsx::protocol! {
    /// The protocol of an edge fleet.
    pub Fleet v1 {
        Edge -> Server: Telemetry<'_>, Health;
        Server -> Edge: Cmd;
    }
}

/// An endpoint of this crate that accepts handlers from other crates.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server, partial)]
pub struct Open;
