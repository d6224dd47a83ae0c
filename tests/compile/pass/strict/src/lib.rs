//! A program under the strictest lints: what wsx generates passes them all.
#![forbid(unsafe_code, dead_code)]
#![deny(warnings, unused, missing_docs, missing_debug_implementations, unreachable_pub, unnameable_types)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wsx::{Connection, Envelope, Meta, SendError};

/// What a box measures.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    /// Which box.
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    /// How hot.
    pub celsius: f64,
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
        Edge -> Server: Telemetry<'_>;
        Server -> Edge: Cmd;
        Console -> Server: Cmd;
    }
}

/// The server's end.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Server)]
pub struct Station {
    limit: f64,
}

#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(
    station: &Station,
    message: Telemetry<'_>,
    conn: &Connection<Server>,
    meta: Meta<'_>,
) -> Result<Option<Cmd>, SendError> {
    if meta.ts == 0 {
        conn.send(&Cmd { reboot: false }).await?;
    }
    Ok((message.celsius > station.limit).then_some(Cmd { reboot: true }))
}

/// Documented, and public.
#[wsx::handler(on = Station)]
pub fn on_cmd(command: Envelope<Cmd>) {
    drop(command);
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(frame: wsx::RawFrame<'_>, conn: &wsx::Connection<Server>) {
    conn.close_with(wsx::CloseCode::POLICY_VIOLATION, format!("{} bytes of what?", frame.as_bytes().len()));
}

#[test]
fn a_strict_program_runs() {
    let station = Station { limit: 90.0 };
    assert_eq!(wsx::Hub::builder().endpoint(station).build().unwrap().handled_types(), ["__raw__", "cmd", "telemetry"]);
}
