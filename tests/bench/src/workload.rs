//! The work that the servers have to do.
use crate::{message::Kind, peers::Peer};
use clap::builder::PossibleValue;

/// One workload: what is sent, over how many connections, and when.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The heading of its table.
    pub(crate) title: &'static str,
    /// What the server does with a message of the load. `None` for requests, which the client of
    /// the peer sends.
    pub(crate) kind: Option<Kind>,
    /// Length of a message in bytes, envelope included; of a request, only its payload.
    pub(crate) length: usize,
    pub(crate) shape: Shape,
}

impl Workload {
    /// Whether the server's memory is a result, which takes a moment to become stable: the memory
    /// of connections, and the memory that remains after long messages.
    pub(crate) fn asks_for_memory(&self) -> bool {
        self.length >= LARGE || matches!(self.shape, Shape::Idle { .. } | Shape::Broadcast { .. })
    }

    /// Whether it measures requests, and so the server and the client.
    pub(crate) fn is_requests(&self) -> bool {
        matches!(self.shape, Shape::Requests { .. })
    }

    /// Returns the peer that all are compared with.
    pub(crate) fn reference(&self) -> Peer {
        if self.is_requests() { Peer::Jsonrpsee } else { Peer::Gorilla }
    }

    /// Whether `--quick` has time for it: 19,000 connections take a slow server three seconds.
    pub(crate) fn is_quick(&self) -> bool {
        !matches!(self.shape, Shape::Idle { connections } if connections > 5000)
    }
}

/// Which connection sends when.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Each connection sends this many messages, and as many again when all replies are back.
    Exchange { connections: usize, batch: u32 },
    /// One connection publishes to all, with this many publishes in progress.
    Broadcast { connections: usize, in_flight: usize },
    /// Connections stay open.
    Idle { connections: usize },
    /// Connections are opened.
    Handshake,
    /// Messages at a constant rate, over more and more connections.
    Growth { connections: &'static [usize] },
    /// Each connection has this many requests outstanding, and sends the next one with each reply.
    Requests { connections: usize, outstanding: u32 },
}

impl Shape {
    /// Returns the maximum number of connections.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Exchange { connections, .. }
            | Self::Broadcast { connections, .. }
            | Self::Idle { connections }
            | Self::Requests { connections, .. } => connections,
            Self::Handshake => 0,
            Self::Growth { connections } => connections.iter().copied().max().unwrap_or(0),
        }
    }
}

/// A message of at least this length is a long one.
const LARGE: usize = 100_000;
/// Below wsx's default limit of 2 MiB; other peers have higher limits.
const ALMOST_2_MIB: usize = (2 << 20) - 1024;

const BURSTS: Shape = Shape::Exchange { connections: 32, batch: 64 };
const MANY: Shape = Shape::Exchange { connections: 256, batch: 1 };
const ONE: Shape = Shape::Exchange { connections: 1, batch: 1 };

const fn workload(name: &'static str, title: &'static str, kind: Kind, length: usize, shape: Shape) -> Workload {
    Workload { name, title, kind: Some(kind), length, shape }
}

const fn requests(name: &'static str, title: &'static str, connections: usize, outstanding: u32) -> Workload {
    Workload { name, title, kind: None, length: 128, shape: Shape::Requests { connections, outstanding } }
}

/// In the order of the tables.
pub(crate) static ALL: [Workload; 19] = [
    workload(
        "burst-128-envelope",
        "32 connections in bursts of 64, 128 B, data passed through",
        Kind::Telemetry,
        128,
        BURSTS,
    ),
    workload(
        "burst-128-typed",
        "32 connections in bursts of 64, 128 B, decoded into a struct",
        Kind::Reading,
        128,
        BURSTS,
    ),
    workload(
        "burst-2k-envelope",
        "32 connections in bursts of 64, 2 KB, data passed through",
        Kind::Telemetry,
        2048,
        BURSTS,
    ),
    workload(
        "burst-2k-typed",
        "32 connections in bursts of 64, 2 KB, decoded into a struct",
        Kind::Reading,
        2048,
        BURSTS,
    ),
    workload(
        "many-256-envelope",
        "256 connections, one message outstanding on each, 200 B, data passed through",
        Kind::Telemetry,
        200,
        MANY,
    ),
    workload(
        "many-256-typed",
        "256 connections, one message outstanding on each, 200 B, decoded into a struct",
        Kind::Reading,
        200,
        MANY,
    ),
    workload(
        "ping-pong-envelope",
        "One connection, one message outstanding, 200 B, data passed through",
        Kind::Telemetry,
        200,
        ONE,
    ),
    workload(
        "ping-pong-typed",
        "One connection, one message outstanding, 200 B, decoded into a struct",
        Kind::Reading,
        200,
        ONE,
    ),
    requests("request-1", "One connection, one request outstanding, 128 B, decoded into a struct", 1, 1),
    requests("request-64", "32 connections, 64 requests outstanding on each, 128 B, decoded into a struct", 32, 64),
    workload(
        "broadcast-1k-1",
        "Broadcast of 200 B to 1,000 connections, one under way",
        Kind::Publish,
        200,
        Shape::Broadcast { connections: 1000, in_flight: 1 },
    ),
    workload(
        "broadcast-1k-16",
        "Broadcast of 200 B to 1,000 connections, 16 under way",
        Kind::Publish,
        200,
        Shape::Broadcast { connections: 1000, in_flight: 16 },
    ),
    workload(
        "broadcast-5k-1",
        "Broadcast of 200 B to 5,000 connections, one under way",
        Kind::Publish,
        200,
        Shape::Broadcast { connections: 5000, in_flight: 1 },
    ),
    workload("idle-5k", "5,000 idle connections", Kind::Telemetry, 200, Shape::Idle { connections: 5000 }),
    workload("idle-19k", "19,000 idle connections", Kind::Telemetry, 200, Shape::Idle { connections: 19_000 }),
    workload("handshake", "Handshakes, 64 at a time", Kind::Telemetry, 200, Shape::Handshake),
    workload(
        "large-100k",
        "One connection, one message outstanding, 100 KB, data passed through",
        Kind::Telemetry,
        100_000,
        ONE,
    ),
    workload(
        "large-2m",
        "One connection, one message outstanding, 2 MiB less 1 KiB, data passed through",
        Kind::Telemetry,
        ALMOST_2_MIB,
        ONE,
    ),
    workload(
        "growth",
        "200 B at 10,000 messages a second in all, over more and more connections",
        Kind::Telemetry,
        200,
        Shape::Growth { connections: &[100, 1000, 5000, 19_000] },
    ),
];

/// A workload's name on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name(pub(crate) &'static Workload);

impl clap::ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        static NAMES: [Name; ALL.len()] = {
            let mut names = [Name(&ALL[0]); ALL.len()];
            let mut at = 0;
            while at < ALL.len() {
                names[at] = Name(&ALL[at]);
                at += 1;
            }
            names
        };
        &NAMES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_its_peers_and_every_peer_its_workloads() {
        for workload in &ALL {
            assert!(workload.reference().runs(workload), "{}", workload.name);
            assert_eq!(workload.kind.is_none(), workload.is_requests(), "{}", workload.name);
        }
        for peer in Peer::ALL {
            assert!(ALL.iter().any(|workload| peer.runs(workload)), "{}", peer.name());
        }
    }
}
