//! What nodes say to each other: a line of JSON, and after it the payload of a message, if the
//! packet carries one. It does not know who sends a packet, or what a node does with it.
use crate::{
    closed::{Closed, ClosedBy},
    cluster::bus::NodeId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A packet from one node to another, or to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub(crate) enum Packet {
    /// To all, every second: the sender is alive.
    Hello {
        from: NodeId,
        /// What the program calls the sender.
        name: String,
        /// The number of changes of its boxes since its start.
        version: u64,
        /// The number of its boxes after these changes, if it knows that.
        len: Option<usize>,
        /// The number of broadcasts that it has published.
        broadcasts: u64,
    },
    /// To all: boxes came or went. `version` is the number of changes before these.
    Changes { from: NodeId, version: u64, changes: Vec<Change> },
    /// To all, with a payload: a broadcast, and its number, from 1.
    Broadcast {
        from: NodeId,
        number: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        #[serde(flatten)]
        message: Kind,
    },
    /// To all: the sender leaves, and has no boxes any more.
    Bye { from: NodeId },
    /// To one: `from` wants all boxes of the receiver.
    Boxes { from: NodeId },
    /// To one: a part of the boxes of `from`, as they were after `version` changes. The answer is a
    /// [`Verdict`].
    Part {
        from: NodeId,
        version: u64,
        /// The number of this part, from 0.
        part: u32,
        /// The number of parts.
        parts: u32,
        boxes: Vec<Join>,
    },
    /// To one, with a payload: a message for a box. The answer is a [`Verdict`].
    Send {
        id: String,
        /// How long the message may wait for room, in milliseconds.
        ttl: u64,
        #[serde(flatten)]
        message: Kind,
    },
    /// To one, with a payload: a request for a box. The answer is a [`Verdict`], with the reply as
    /// its payload.
    Ask {
        from: NodeId,
        /// The number of the request at the sender.
        call: u64,
        id: String,
        /// How long the sender waits for the reply, in milliseconds.
        timeout: u64,
        #[serde(flatten)]
        message: Kind,
    },
    /// To one: nobody waits for the reply to this request any more.
    Cancel { from: NodeId, call: u64 },
    /// To one: closes the connection of a box. The answer is a [`Verdict`].
    Close { id: String, code: u16, reason: String },
}

/// What a node knows of a message that it passes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// The type, if it is a constant of the program; otherwise empty.
    #[serde(rename = "type")]
    pub(crate) message_type: String,
    /// Whether it may be compressed.
    #[serde(rename = "shrink")]
    pub(crate) may_shrink: bool,
}

/// A box came to a node, or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Join(Join),
    Leave(Leave),
}

/// A box that a node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) id: String,
    /// When it connected: later connections of all nodes have higher stamps.
    pub(crate) stamp: u64,
    /// Since when it is online, in seconds since 1970.
    pub(crate) since: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<SocketAddr>,
}

/// A box that a node had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leave {
    pub(crate) id: String,
    /// The stamp of its [`Join`].
    pub(crate) stamp: u64,
    /// When it was last seen, in seconds since 1970.
    pub(crate) seen: u32,
    pub(crate) closed: End,
}

/// How a connection ended: [`Closed`](crate::Closed) between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) by: By,
}

/// [`ClosedBy`](crate::ClosedBy) between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    Us,
    Peer,
    Link,
}

impl From<&Closed> for End {
    fn from(closed: &Closed) -> Self {
        let by = match closed.by {
            ClosedBy::Us => By::Us,
            ClosedBy::Peer => By::Peer,
            ClosedBy::Link => By::Link,
        };
        Self { code: closed.code.into(), reason: closed.reason.clone(), by }
    }
}

impl From<End> for Closed {
    fn from(End { code, reason, by }: End) -> Self {
        let by = match by {
            By::Us => ClosedBy::Us,
            By::Peer => ClosedBy::Peer,
            By::Link => ClosedBy::Link,
        };
        Self::new(code.into(), reason, by)
    }
}

/// What a node answers about a message, a request or a close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is in the queue of the box, or the connection is being closed.
    Done,
    /// The payload is the reply, or the failure in its place.
    Replied,
    /// The node does not have this box any more.
    NotHere,
    Closed,
    Full,
    Expired,
    /// The box speaks a version that does not understand the message.
    TooOld {
        message_type: String,
        protocol: String,
        version: u32,
        fingerprint: u64,
    },
    /// The payload is not an envelope that wsx writes, so it was not sent.
    Invalid,
    /// The connection ended before the reply.
    Ended(End),
    TimedOut,
}

impl Change {
    /// Returns the length of the JSON, at most.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Join(join) => join.size(),
            Self::Leave(Leave { id, closed, .. }) => AROUND + ESCAPED * (id.len() + closed.reason.len()),
        }
    }
}

impl Join {
    /// Returns the length of the JSON, at most.
    pub(crate) fn size(&self) -> usize {
        AROUND + ESCAPED * self.id.len()
    }
}

/// The length of a change without its texts, at most.
const AROUND: usize = 200;
/// The length of an escaped character: `\u0000`.
const ESCAPED: usize = 6;

/// Returns how many of these fit into this many bytes, at least one.
pub(crate) fn fitting<T>(all: &[T], size: impl Fn(&T) -> usize, bytes: usize) -> usize {
    let mut sum = 0;
    let fits = |one: &&T| {
        sum += size(one);
        sum <= bytes
    };
    all.iter().take_while(fits).count().max(1).min(all.len())
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Writes a packet or a verdict, with the payload of a message.
pub(crate) fn encode(packet: &impl Serialize, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(128 + payload.len());
    serde_json::to_writer(&mut bytes, packet).expect("a packet has neither maps nor numbers that JSON lacks");
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// Reads a packet or a verdict, and returns it with the payload of its message.
pub(crate) fn decode<P: for<'de> Deserialize<'de>>(bytes: &Bytes) -> serde_json::Result<(P, Bytes)> {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let packet = serde_json::from_slice(&bytes[..end])?;
    Ok((packet, bytes.slice((end + 1).min(bytes.len())..)))
}
