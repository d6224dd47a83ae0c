//! A program under every lint that it may set for itself, with items that it never uses. Generated
//! code passes all of them, and needs no exception where `forbid` allows none.
#![forbid(unsafe_code, dead_code)]
#![deny(warnings, unused, missing_docs, nonstandard_style, future_incompatible, let_underscore, keyword_idents)]
#![deny(rust_2018_idioms, rust_2021_compatibility, rust_2024_compatibility)]
#![deny(missing_debug_implementations, missing_copy_implementations, unreachable_pub, unnameable_types)]
#![deny(unused_qualifications, unused_lifetimes, unused_results, unused_import_braces, unused_macro_rules)]
#![deny(single_use_lifetimes, redundant_lifetimes, explicit_outlives_requirements, unit_bindings)]
#![deny(trivial_casts, trivial_numeric_casts, variant_size_differences, non_ascii_idents, meta_variable_misuse)]
use serde::{Deserialize, Serialize};
use wsx::{Connection, Endpoint, Envelope, Hub, Message, Meta, SendError, handler, protocol};

mod messages {
    use super::*;
    use std::borrow::Cow;
    /// A measurement by a box.
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Telemetry<'a> {
        /// Id of the box.
        #[serde(borrow)]
        pub(crate) device: Cow<'a, str>,
        /// Its temperature.
        pub(crate) celsius: f64,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Cmd {
        pub(crate) reboot: bool,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    #[wsx(type = "n")]
    pub(crate) struct Never {
        pub(crate) a: u8,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Log<'a> {
        #[serde(borrow)]
        pub(crate) unit: Cow<'a, str>,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Page {
        pub(crate) lines: Vec<u8>,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Denied {
        pub(crate) why: u8,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    #[wsx(delivery = latest, ttl = "90s", key = place)]
    pub(crate) struct Level<'a> {
        #[serde(borrow)]
        pub(crate) place: Cow<'a, str>,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    #[wsx(delivery = state)]
    pub(crate) struct Config {
        pub(crate) rate: u32,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Ping {
        pub(crate) n: u8,
    }
    #[derive(Debug, Serialize, Deserialize, Message)]
    pub(crate) struct Pong {
        pub(crate) n: u8,
    }
    protocol! {
        pub(crate) Fleet v1 {
            Edge -> Server: Telemetry<'_>, Never, Level<'_>;
            Server -> Edge: Cmd, Config;
            Console -> Server: Cmd, Log<'_> -> Page | Denied;
            Edge <-> Server: Ping -> Pong;
            Server -> Edge: Log<'_> -> Page | Denied;
        }
    }
}
use messages::*;

#[derive(Debug, Endpoint)]
#[wsx(side = Server)]
struct Station {
    limit: f64,
}

#[derive(Debug, Endpoint)]
#[wsx(side = Edge, peer = Server)]
struct Agent;

#[handler("telemetry", on = Station)]
async fn on_telemetry(
    station: &Station,
    message: Telemetry<'_>,
    conn: Connection<Server>,
    meta: Meta<'_>,
) -> Result<Option<Cmd>, SendError> {
    println!("{}", message.device);
    if meta.ts == 0 {
        conn.send(&Cmd { reboot: false }).await?;
    }
    Ok((message.celsius > station.limit).then_some(Cmd { reboot: true }))
}
#[handler(on = Station)]
fn on_cmd(command: Envelope<Cmd>) {
    drop(command);
}
#[handler(on = Agent)]
fn on_cmd2(command: Cmd) {
    println!("{}", command.reboot);
}
#[handler(on = Station)]
fn on_level(level: Level<'_>) -> Config {
    Config { rate: level.place.len() as u32 }
}
#[handler(on = Agent)]
fn on_config(config: Config) {
    println!("{}", config.rate);
}
#[handler(on = Station)]
fn on_never(command: Never) {
    println!("{}", command.a);
}
#[handler(on = Station, concurrent = 8)]
async fn on_ping(ping: Ping, station: &Station, conn: &Connection<Server>) -> Pong {
    println!("{} {}", station.limit, conn.id());
    Pong { n: ping.n }
}
#[handler(on = Station)]
fn on_log(log: Log<'_>, meta: Meta<'_>) -> Result<Page, Denied> {
    println!("{} {}", log.unit, meta.ts);
    Err(Denied { why: 1 })
}
#[handler(on = Agent)]
fn on_ping2(ping: Envelope<Ping>) -> Result<Pong, wsx::BoxError> {
    Ok(Pong { n: ping.data.n })
}
#[handler("log", on = Agent)]
async fn on_log2(log: Log<'_>, agent: &Agent) -> Result<Result<Page, Denied>, SendError> {
    println!("{} {agent:?}", log.unit);
    Ok(Ok(Page { lines: vec![] }))
}
#[handler("free")]
fn on_free(n: u8, s: wsx::State<u8>) {
    println!("{}{}", s.0, n);
}
#[handler("free2")]
async fn on_free2(n: Vec<u8>) -> Never {
    Never { a: n[0] }
}

#[handler("__raw__", on = Station)]
fn on_raw(frame: wsx::RawFrame<'_>, conn: &Connection<Server>) {
    conn.close_with(wsx::CloseCode::POLICY_VIOLATION, format!("{} unknown bytes", frame.as_bytes().len()));
}

fn main() {
    let station = Station { limit: 90.0 };
    drop(Hub::builder().endpoint(station).build());
    drop(Hub::builder().endpoint(Agent).build());
    drop(Hub::builder().state(1_u8).build());
}
