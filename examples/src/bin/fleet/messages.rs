//! What the station and its boxes say to each other.
//!
//! A box sends [`Telemetry`], [`RateChanged`] and, last of all, [`Farewell`]. The station sends [`SetRate`] and
//! [`Notice`]. A box names itself in the query of the handshake, as in `/ws?id=box-1`.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The path of the station's door.
pub(crate) const PATH: &str = "/ws";
/// The longest name of a box, in bytes.
pub(crate) const MAX_ID: usize = 32;
/// The fastest that a box samples, in samples a second.
pub(crate) const MAX_RATE: u32 = 50;

/// Whether a box may be called this. Such a name stands in a URL, and on a terminal, as it is.
pub(crate) fn is_box_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain)
}

/// Which of a box's messages this is. Every message from a box has one, and so the station sees what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// When the box's program started, in milliseconds since 1970: tells two programs of one name apart.
    pub(crate) run: u64,
    /// The connections of this run, counted from 1.
    pub(crate) session: u32,
    /// The messages of this session that were accepted for sending, counted from 1.
    pub(crate) number: u64,
    /// How many messages were accepted in all earlier sessions of this run.
    pub(crate) earlier: u64,
}

/// Box to station: what the host is doing.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(crate) struct Telemetry<'a> {
    pub(crate) stamp: Stamp,
    /// How many samples a second the box takes at present.
    pub(crate) per_second: u32,
    #[serde(borrow)]
    pub(crate) sample: Sample<'a>,
}

/// One look at the host. Borrows from the frame that it came in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample<'a> {
    /// Load of each core, in percent.
    pub(crate) cores: Vec<f32>,
    /// In bytes.
    pub(crate) memory_used: u64,
    /// In bytes.
    pub(crate) memory_total: u64,
    #[serde(borrow)]
    pub(crate) disks: Vec<Disk<'a>>,
    #[serde(borrow)]
    pub(crate) networks: Vec<Network<'a>>,
}

/// A mounted file system.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disk<'a> {
    #[serde(borrow)]
    pub(crate) mount: Cow<'a, str>,
    /// In bytes.
    pub(crate) free: u64,
    /// In bytes.
    pub(crate) total: u64,
}

/// The counters of a network interface since the host started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Network<'a> {
    #[serde(borrow)]
    pub(crate) interface: Cow<'a, str>,
    /// In bytes.
    pub(crate) received: u64,
    /// In bytes.
    pub(crate) sent: u64,
}

/// Box to station: the answer to [`SetRate`].
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(crate) struct RateChanged {
    pub(crate) stamp: Stamp,
    pub(crate) per_second: u32,
}

/// Box to station: the box closes after this message.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(crate) struct Farewell {
    pub(crate) stamp: Stamp,
    /// How many messages the connections of this run have accepted, this one left out.
    pub(crate) accepted: u64,
}

/// Station to one box: take so many samples a second from now on.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(crate) struct SetRate {
    /// From 1 to [`MAX_RATE`].
    pub(crate) per_second: u32,
}

/// Station to all boxes: something for people to read.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(crate) struct Notice<'a> {
    #[serde(borrow)]
    pub(crate) text: Cow<'a, str>,
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
