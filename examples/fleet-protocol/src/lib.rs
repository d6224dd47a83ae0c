//! The protocol of the example fleet: the messages, and which side sends them.
//!
//! Both programs depend on this crate, so the compiler checks each end against the other.
pub mod bill;
pub mod dashboard;

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, net::SocketAddr, num::NonZero};

wsx::protocol! {
    /// Boxes that report on their hosts, and the server that watches the boxes.
    pub Fleet v1 {
        Edge -> Server: Telemetry<'_>, Incident<'_>;
        Server -> Edge: SetRate -> RateSet, CheckHealth -> Health, Notice<'_>, Beat<'_>;
    }
}

/// Every version that was released, so that both ends know what the other one understands.
pub const RELEASED: wsx::contract::Released = wsx::contract::released!("fleet.lock");

/// The server's path for WebSocket connections.
pub const PATH: &str = "/ws";

/// Returns a valid name of a box, which needs no escaping in the URL's query (`/ws?id=box-1`).
///
/// # Errors
///
/// A sentence about valid names.
pub fn box_id(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = (1..=32).contains(&text.len()) && text.bytes().all(plain);
    if valid { Ok(text.to_owned()) } else { Err("a name has 1 to 32 letters, digits, '.', '_' and '-'") }
}

/// Numbers a message. Every message of a box has a number, so the server can count lost messages.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stamp {
    /// Start of the box's program, in milliseconds since 1970.
    pub run: u64,
    /// Number of the connection in this run, from 1.
    pub session: u32,
    /// Number of the message in this run, from 1. Only messages accepted for sending count.
    pub number: u64,
}

/// A sample of the host.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Telemetry<'a> {
    /// Number of this message.
    pub stamp: Stamp,
    /// Sampling rate of the box, in samples per second.
    pub per_second: NonZero<u8>,
    /// Load of each core, in percent.
    pub cores: Vec<u8>,
    /// Used memory, in percent.
    pub memory: u8,
    /// Mount point of the fullest disk.
    #[serde(borrow)]
    pub disk: Cow<'a, str>,
    /// Used space of that disk, in percent.
    pub disk_used: u8,
    /// Bytes that all network interfaces have received since the host started.
    pub received: u64,
    /// Bytes that all network interfaces have sent since the host started.
    pub sent: u64,
    /// Messages that wait in the outbox of the box. Older boxes do not report it.
    #[serde(default)]
    pub outbox: Option<u32>,
}

/// Something that happened to a box. The box keeps it until the server has handled it, also while
/// the server is away.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
pub struct Incident<'a> {
    /// A sentence for people.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// Sets the sampling rate of a box.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SetRate {
    /// Samples per second.
    pub per_second: NonZero<u8>,
}

/// The reply to [`SetRate`].
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateSet {
    /// The rate before, in samples per second.
    pub before: NonZero<u8>,
}

/// Asks a box for its health.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckHealth {}

/// The reply to [`CheckHealth`].
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// Time since the host started, in seconds.
    pub uptime_s: u64,
    /// Mean number of processes that ran or were ready to run in the last minute.
    pub load: f64,
    /// Address of the server to which the box is connected. Older boxes do not report it.
    #[serde(default)]
    pub server: Option<SocketAddr>,
}

/// A sign of life for all boxes. Its number shows a box which ones it has missed.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Beat<'a> {
    /// Name of the server.
    #[serde(borrow)]
    pub server: Cow<'a, str>,
    /// Start of the server's program, in milliseconds since 1970.
    pub run: u64,
    /// Number of the message in this run, from 1.
    pub number: u64,
}

/// A text for people. The server keeps it until the box has handled it, also while the box is away.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
pub struct Notice<'a> {
    /// The text.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::box_id;

    /// The lock files have what boxes in the field say.
    #[test]
    fn the_contracts_hold() {
        wsx::contract::check!(super::Fleet, "fleet.lock");
        wsx::contract::check!(super::bill::Billing, "bill.lock");
        wsx::contract::check!(super::dashboard::Dashboard, "dashboard.lock");
    }

    /// The folder has what programs in other languages need.
    #[test]
    fn the_files_for_other_languages_are_fresh() {
        wsx::contract::export!(super::Fleet, "contract/fleet");
        wsx::contract::export!(super::bill::Billing, "contract/bill");
        wsx::contract::export!(super::dashboard::Dashboard, "contract/dashboard");
    }

    #[test]
    fn a_box_id_needs_no_escaping() {
        assert!(box_id("box-1").is_ok() && box_id("Edge_7.north").is_ok());
        for invalid in ["", "box 1", "box&1", "bäx", "box\n", &"x".repeat(33)] {
            assert!(box_id(invalid).is_err(), "{invalid:?}");
        }
    }
}
