//! A protocol and an endpoint in a crate of their own, for the mistakes under `compile/fail`.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a box measures.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    /// Which box.
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    /// How hot.
    pub celsius: f64,
}

/// How a box is.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Health {
    /// Well or not.
    pub ok: bool,
}

/// What a box is to do.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Cmd {
    /// Start anew.
    pub reboot: bool,
}

wsx::protocol! {
    /// Edge fleet.
    pub Fleet v1 {
        Edge -> Server: Telemetry<'_>, Health;
        Server -> Edge: Cmd;
    }
}

/// An endpoint of this crate, open to handlers of others.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server, partial)]
pub struct Open;
