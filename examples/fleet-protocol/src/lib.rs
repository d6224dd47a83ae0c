//! What the example fleet's station and boxes say to each other: the messages, and who sends which.
//!
//! A crate of its own, which both programs use, and so neither can say what the other does not understand. A box names
//! itself in the query of the handshake, as in `/ws?id=box-1`.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

wsx::protocol! {
    /// A fleet of boxes that watch their hosts, and the station that watches the boxes.
    pub Fleet v1 {
        Edge -> Server: Telemetry<'_>, RateChanged, Farewell;
        Server -> Edge: SetRate, Notice<'_>;
    }
}

/// The path of the station's door.
pub const PATH: &str = "/ws";
/// The longest name of a box, in bytes.
pub const MAX_ID: usize = 32;
/// The fastest that a box samples, in samples a second.
pub const MAX_RATE: u32 = 50;

/// Whether a box may be called this. Such a name stands in a URL, and on a terminal, as it is.
#[must_use]
pub fn is_box_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain)
}

/// Which of a box's messages this is. Every message from a box has one, and so the station sees what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// When the box's program started, in milliseconds since 1970: tells two programs of one name apart.
    pub run: u64,
    /// The connections of this run, counted from 1.
    pub session: u32,
    /// The messages of this session that were accepted for sending, counted from 1.
    pub number: u64,
    /// How many messages were accepted in all earlier sessions of this run.
    pub earlier: u64,
}

/// What the host is doing.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    /// Which message this is.
    pub stamp: Stamp,
    /// How many samples a second the box takes at present.
    pub per_second: u32,
    /// What it saw.
    #[serde(borrow)]
    pub sample: Sample<'a>,
}

/// One look at the host. Borrows from the frame that it came in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sample<'a> {
    /// Load of each core, in percent.
    pub cores: Vec<f32>,
    /// In bytes.
    pub memory_used: u64,
    /// In bytes.
    pub memory_total: u64,
    /// Those that are mounted.
    #[serde(borrow)]
    pub disks: Vec<Disk<'a>>,
    /// Its interfaces.
    #[serde(borrow)]
    pub networks: Vec<Network<'a>>,
}

/// A mounted file system.
#[derive(Debug, Serialize, Deserialize)]
pub struct Disk<'a> {
    /// Where it is mounted.
    #[serde(borrow)]
    pub mount: Cow<'a, str>,
    /// In bytes.
    pub free: u64,
    /// In bytes.
    pub total: u64,
}

/// The counters of a network interface since the host started.
#[derive(Debug, Serialize, Deserialize)]
pub struct Network<'a> {
    /// Its name.
    #[serde(borrow)]
    pub interface: Cow<'a, str>,
    /// In bytes.
    pub received: u64,
    /// In bytes.
    pub sent: u64,
}

/// The answer to [`SetRate`].
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct RateChanged {
    /// Which message this is.
    pub stamp: Stamp,
    /// In samples a second.
    pub per_second: u32,
}

/// The box closes after this message.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Farewell {
    /// Which message this is.
    pub stamp: Stamp,
    /// How many messages the connections of this run have accepted, this one left out.
    pub accepted: u64,
}

/// Take so many samples a second from now on.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct SetRate {
    /// From 1 to [`MAX_RATE`].
    pub per_second: u32,
}

/// Something for people to read.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Notice<'a> {
    /// As it is shown.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::is_box_id;

    #[test]
    fn a_box_id_needs_no_escaping() {
        assert!(is_box_id("box-1") && is_box_id("Edge_7.north"));
        for refused in ["", "box 1", "box&1", "bäx", "box\n", &"x".repeat(33)] {
            assert!(!is_box_id(refused), "{refused:?}");
        }
    }
}
