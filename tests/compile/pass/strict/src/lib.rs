//! A program under the strictest lints: generated code passes all of them.
#![forbid(unsafe_code, dead_code)]
#![deny(warnings, unused, missing_docs, missing_debug_implementations, unreachable_pub, unnameable_types)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wsx::{Connection, Envelope, Meta, SendError};

/// A measurement by a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    /// Id of the box.
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    /// Its temperature.
    pub celsius: f64,
}

/// A command to a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Cmd {
    /// Whether the box has to restart.
    pub reboot: bool,
}

/// A request for a part of a log.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Log<'a> {
    /// Name of the log.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
}

/// A part of a log.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Page {
    /// The lines of the log.
    pub lines: Vec<String>,
}

/// The log is not shown.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Denied {
    /// The reason.
    pub why: String,
}

wsx::protocol! {
    /// The protocol of an edge fleet.
    pub Fleet v1 {
        Edge -> Server: Telemetry<'_>;
        Server -> Edge: Cmd;
        Console -> Server: Cmd;
        Edge <-> Server: Log<'_> -> Page | Denied;
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

/// Has docs, and is public.
#[wsx::handler(on = Station)]
pub fn on_cmd(command: Envelope<Cmd>) {
    drop(command);
}

#[wsx::handler(on = Station)]
async fn on_log(log: Log<'_>, conn: &Connection<Server>) -> Result<Page, Denied> {
    conn.closed().await;
    Err(Denied { why: log.unit.into_owned() })
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(frame: wsx::RawFrame<'_>, conn: &wsx::Connection<Server>) {
    conn.close_with(wsx::CloseCode::POLICY_VIOLATION, format!("{} unknown bytes", frame.as_bytes().len()));
}

#[test]
fn a_strict_program_runs() {
    let station = Station { limit: 90.0 };
    assert_eq!(
        wsx::Hub::builder().endpoint(station).build().unwrap().handled_types(),
        ["__raw__", "cmd", "log", "telemetry"]
    );
}
