//! Hubs on several nodes that behave as one, joined by NATS.
//!
//! A node is one hub of a cluster, and a box is a peer. A program on any node reaches a box by its
//! id, whichever node the box is connected to. The boxes do not notice the cluster.
//!
//! ```no_run
//! use wsx::{Envelope, Hub, SendError, StderrObserver, cluster::Nats};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nats = Nats::connect("tls://nats-1.example:4222,tls://nats-2.example:4222")?
//!     .user_and_password("hub", "a password");
//! let hub = Hub::builder().observer(StderrObserver).cluster(nats).without_handlers().build()?;
//!
//! match hub.send_to("box-7", &Envelope::with_type("reboot", ())).await {
//!     Ok(_) => println!("it is queued at the node that has the box"),
//!     Err(SendError::NoSuchConnection(_)) => println!("no node has the box"),
//!     Err(SendError::NodeUnreachable) => println!("not sent: NATS is away"),
//!     Err(SendError::Unconfirmed) => println!("it may have been sent"),
//!     Err(error) => println!("not sent: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `docs/cluster.md` explains it in full, with NATS, its accounts and a rolling deploy.
//!
//! # What reaches other nodes
//!
//! - `send_to`, `request` and `close` reach the box of any node, with the same types and errors.
//!   Messages to a box of this node do not pass NATS, and never wait for it.
//! - `broadcast` and `broadcast_to` reach the boxes of all nodes. They return the number of this
//!   node. Broadcasts are not confirmed. They are numbered, and the observer learns of gaps:
//!   [`ClusterEvent::BroadcastsMissed`] and [`ClusterEvent::BroadcastsDropped`].
//! - `ids`, `len`, `is_connected` and `presence` know the boxes of all nodes.
//! - An id has one connection in the cluster: the later one, or the older one with
//!   [`OnDuplicate::RejectNew`](crate::server::OnDuplicate).
//!
//! These know this node alone: `connections`, `connection`, `versions`, `ids_of`, `labels_of`,
//! `add_label` and `remove_label`. Labels that the program has changed do not follow a box to
//! another node.
//!
//! **Kept messages and states stay at the node whose program sends them.** The box gets them when
//! it connects to that node. A broadcast of a kept type reaches the boxes of this node.
//!
//! # Bounds
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | a message between nodes | `max_payload` of NATS, 1 MiB by default, and 8 MiB at most | [`SendError::TooLong`](crate::SendError::TooLong), for a broadcast too |
//! | the confirmation of a send or a close | 5 s | [`SendError::Unconfirmed`](crate::SendError::Unconfirmed) |
//! | the silence of a node | 5 s | its boxes are offline |
//! | sends and requests of other nodes that wait here | 4,096 and 64 MiB | [`SendError::Full`](crate::SendError::Full) there |
//! | broadcasts of other nodes that wait here | 1,024 and 16 MiB | they are missed, and reported |
//!
//! `docs/SECURITY.md` has the others. Whoever can publish to the subjects of the namespace is a
//! node, so NATS needs TLS and an account for the hubs alone.
//!
//! # How it works
//!
//! The node does not know sockets; `server` gives it the hub.
//!
//! ```text
//!   hub --send, request, close--> Cluster ---ask---> Bus ---> the node that has the box
//!   hub --broadcast------------->         -publish->          all other nodes
//!
//!   Bus --events--> Node --messages--> Local (the hub: its connections)
//!                        --the map---> Boxes (the hub: presence and the directory)
//! ```
mod address;
mod boxes;
mod bus;
mod calls;
mod directory;
mod events;
mod joined;
pub(crate) mod local;
#[cfg(test)]
pub(crate) mod memory;
mod nats;
mod node;
pub(crate) mod packet;
mod peers;
mod shared;
mod verdict;

use std::time::Duration;

/// How long a send or a close waits until the node that has the box has confirmed it. Then the
/// message may have been sent. Too low: a node that is busy for a moment is not waited for. Too
/// high: the program waits for a node that has just died.
pub(crate) const CONFIRMED: Duration = Duration::from_secs(5);

pub(crate) use nats::start;
pub use shared::ClusterStatus;
#[doc(inline)]
pub use {
    crate::observer::ClusterEvent,
    nats::{Nats, NatsError},
};
pub(crate) use {
    boxes::{Boxes, Holder},
    bus::{Bus, NodeId},
    directory::{Claim, Directory, Effect},
    events::Events,
    joined::Cluster,
    local::Forwarded,
    packet::{Change, Join, Leave},
};
