//! Typed messages over WebSocket: derive a message, annotate a handler, get a hub and a client that
//! reconnects.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use wsx::{Connection, Hub, StderrObserver};
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Telemetry { celsius: f64 }
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Cmd { reboot: bool }
//!
//! /// Runs for each `{"type":"telemetry","data":{"celsius":…}}`. Its result goes to the sender.
//! #[wsx::handler("telemetry")]
//! async fn on_telemetry(msg: Telemetry, conn: Connection) -> Option<Cmd> {
//!     println!("{}: {} °C", conn.id(), msg.celsius);
//!     (msg.celsius > 90.0).then_some(Cmd { reboot: true })
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::builder().observer(StderrObserver).build()?;
//!     hub.serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?).await;
//!     Ok(())
//! }
//! ```
//!
//! # In an axum router
//!
//! With the feature `hyper`, [`Hub::ws_handler`] returns a service for an axum router:
//!
//! ```no_run
//! # #[cfg(feature = "hyper")]
//! # async fn example() -> std::io::Result<()> {
//! let hub = wsx::Hub::new();
//! let upgrade = hub.ws_handler(wsx::unique_id, |_| {});
//! let app: axum::Router = axum::Router::new().route_service("/ws", upgrade);
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?, app).await
//! # }
//! ```
//!
//! [`WsHandler::upgrade`](server::WsHandler::upgrade) shows the graceful shutdown of such a
//! program.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `server` | yes | [`Hub`] with its listener |
//! | `client` | yes | [`Client`] |
//! | `macros` | yes | `#[wsx::handler]`, `protocol!` and the derives |
//! | `hyper` | no | the hub as a service of hyper, tower and axum |
//! | `axum` | no | `hyper`, and the peer's address from axum 0.8 |
//! | `outbox` | no | [`Disk`](https://docs.rs/wsx-rs/latest/wsx/delivery/struct.Disk.html): kept messages survive a restart and a power cut |
//! | `deflate` | no | [`Config::deflate`](https://docs.rs/wsx-rs/latest/wsx/struct.Config.html#method.deflate): permessage-deflate (RFC 7692) |
//! | `contract` | no | [`contract`](https://docs.rs/wsx-rs/latest/wsx/contract/index.html): compares a protocol with the versions that were released |
//! | `versions` | no | [`contract::released!`](https://docs.rs/wsx-rs/latest/wsx/contract/macro.released.html): an end knows what peers of other versions understand |
//! | `proxy` | no | `Client` through an HTTP or SOCKS5 proxy |
//! | `rustls` | no | TLS: `wss://` in the client, `serve_tls` on the hub |
//! | `testing` | no | [`testing`](https://docs.rs/wsx-rs/latest/wsx/testing/index.html): tests without a network, for dev-dependencies |
//! | `tungstenite` | no | `Connection::new` on a `WebSocketStream` of tokio-tungstenite |
//! | `tracing` | no | [`TracingObserver`](https://docs.rs/wsx-rs/latest/wsx/struct.TracingObserver.html): spans and events |
//! | `metrics` | no | [`MetricsObserver`](https://docs.rs/wsx-rs/latest/wsx/struct.MetricsObserver.html): counters, gauges and histograms |
//!
//! Every feature needs Rust 1.85 or later.
//!
//! # A crate for the protocol
//!
//! Without `client`, `server` and the features that build on them, wsx is its protocol half:
//! [`Message`], [`Envelope`], [`protocol!`] and [`wsx::protocol`](mod@protocol). It depends on
//! serde and `serde_json` alone, and not on tokio. A crate with the messages of both programs needs
//! only this half:
//!
//! ```toml
//! wsx = { package = "wsx-rs", path = "../wsx/wsx", default-features = false, features = ["macros"] }
//! ```
//!
//! Handlers and endpoints belong into the programs, which turn on `client` or `server`.
//!
//! # Build profiles
//!
//! wsx works with every `opt-level`, with LTO, and with `strip`. Handlers are collected in all of
//! them (row M12 of the specification).
//!
//! With `panic = "abort"`, a panic ends the process, also in a handler, in `build_id` or in an
//! observer. wsx can then not limit it to one connection. Everything else is the same. Use it only
//! if something starts the program again, such as systemd, and if the other connections may break.
//!
//! # One version in a program
//!
//! Each version of wsx collects its own handlers. In a program with two versions, a hub would miss
//! the handlers of the other version, without an error. So Cargo builds only one of them in a
//! workspace (row M11). With two it says that the package wsx "links to the native library `wsx`,
//! but it conflicts with a previous package". It names both, with the packages that depend on them.
//! Give these packages the same version of wsx, from the same source: a registry, a git tag or a
//! path. There is no native library.
//!
//! # Requests
//!
//! A request is a message whose sender waits for the reply. The protocol names the reply, and may
//! name a message with which the other end refuses. The compiler checks both ends:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//! use wsx::{CancellationToken, Client, Hub, Report, RequestError};
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Reboot { delay_s: u32 }
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Rebooted { uptime_s: u64 }
//!
//! #[derive(Debug, Serialize, Deserialize, wsx::Message)]
//! struct RebootRefused { why: String }
//!
//! wsx::protocol! {
//!     Fleet v1 { Server -> Edge: Reboot -> Rebooted | RebootRefused; }
//! }
//!
//! #[derive(wsx::Endpoint)]
//! #[wsx(side = Edge)]
//! struct EdgeBox;
//!
//! #[wsx::handler(on = EdgeBox)]
//! fn on_reboot(msg: Reboot) -> Result<Rebooted, RebootRefused> {
//!     if msg.delay_s > 60 {
//!         return Err(RebootRefused { why: "it takes too long".into() });
//!     }
//!     Ok(Rebooted { uptime_s: 86_400 })
//! }
//!
//! #[derive(wsx::Endpoint)]
//! #[wsx(side = Server)]
//! struct Station;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().endpoint(Station).build()?;
//! # let upgrade = hub.ws_handler(|_| async { Ok::<_, wsx::Rejection>("box-7") }, |_| {});
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # tokio::spawn(async move { upgrade.serve(listener).await });
//! # let edge = Client::builder(url).endpoint(EdgeBox).build()?;
//! # edge.start(CancellationToken::new()).await?;
//! // The client of `box-7` is connected, and has the endpoint `EdgeBox`.
//! let asked = hub.request("box-7", &Reboot { delay_s: 5 }).timeout(Duration::from_secs(30));
//! match asked.await {
//!     Ok(done) => println!("it had been up for {} s", done.uptime_s),
//!     Err(RequestError::Refused(refused)) => println!("it refuses: {}", refused.why),
//!     Err(error) => println!("{}", Report(&error)),
//! }
//! # let refused = hub.request("box-7", &Reboot { delay_s: 61 }).await;
//! # assert!(matches!(refused, Err(RequestError::Refused(_))));
//! # Ok(())
//! # }
//! ```
//!
//! - [`Hub::request`], [`Connection::request`] and [`Client::request`] ask. Without a protocol,
//!   each has a `request_as`, which names the reply.
//! - A handler may await a request to its own peer. From then on until its end, requests of the
//!   peer are handled beside it. So two ends can ask each other.
//! - Each request has a deadline. [`RequestError`] says whether the peer may have done the work.
//! - A message with an `id` is a request in any language: the specification has a peer in Python.
//!
//! # Delivery
//!
//! By default, a message is delivered at most once, and in order on one connection. When a send
//! returns `Ok`, its message is in the queue of the connection.
//!
//! If either end closes the connection, queued messages are still sent. If the link breaks, queued
//! messages are lost.
//!
//! A type can declare another delivery. Its messages are then kept until the peer has handled them,
//! also without a connection: a client keeps them in its outbox, and a hub in its mailbox.
//!
//! ```standalone_crate
//! use serde::{Deserialize, Serialize};
//! use wsx::{CancellationToken, Client, Hub, delivery::Accepted};
//!
//! /// Each reading counts.
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! #[wsx(delivery = at_least_once, ttl = "30d")]
//! struct Reading { watt_hours: u64 }
//!
//! /// The newest command of each valve counts.
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! #[wsx(delivery = latest, key = valve, ttl = "1h")]
//! struct Turn { valve: u32, is_open: bool }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().on("reading", |reading: Reading, _| async move {
//!     println!("{} Wh", reading.watt_hours);
//! });
//! let hub = hub.build()?;
//! # let upgrade = hub.ws_handler(|_| async { Ok::<_, wsx::Rejection>("box-7") }, |_| {});
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # tokio::spawn(async move { upgrade.serve(listener).await });
//! let accepted = hub.send_to("box-7", &Turn { valve: 1, is_open: true }).await?;
//! assert_eq!(accepted, Accepted::Kept); // the box is not connected
//!
//! let client = Client::builder(url).on("turn", |turn: Turn, _| async move {
//!     println!("valve {}: {}", turn.valve, turn.is_open);
//! });
//! let client = client.build()?;
//! client.send(&Reading { watt_hours: 1_500 }).await?; // waits for the connection
//! client.start(CancellationToken::new()).await?;
//! client.deliver(&Reading { watt_hours: 1_510 }).await?; // the hub has handled it
//! # Ok(())
//! # }
//! ```
//!
//! [`wsx::delivery`](delivery) has the moments that a program can await, what each survives and
//! costs, and what it says about duplicates, gaps and time. With `delivery = state`, the hub knows
//! the desired and the reported state of an absent box.
//!
//! The reply to a request proves that the peer has handled it. After [`RequestError::Ended`] and
//! [`RequestError::TimedOut`], the peer may have handled it or not. wsx does not send a request
//! again.
//!
//! # Cancel safety
//!
//! A future of wsx can be dropped at any of its await points (row X5 of the specification). No
//! message is then torn or duplicated, and its hub, client or connection goes on working. The docs
//! of each future say what is lost.
//!
//! # The path of a message
//!
//! The folders of the source, in the order in which a message meets them:
//!
//! ```text
//! a peer's bytes
//!   |  task         the one task that owns a connection's socket, from open to close
//!   |  wire         bytes <-> frames
//!   v
//! envelope          {"ver","type","ts","data"}: parsed up to its payload, and written
//!   |               a reply goes from here to its request, which waits in `connection`
//!   v
//! dispatch          type -> handler; makes its arguments, decodes the payload, runs the handler
//!   |
//!   v
//! a handler         the program's function; `protocol` checks its message, its sends and its reply
//!   |
//!   v
//! connection        the handle: a send encodes a message and queues its frame; the task writes it
//!   |               a request waits here for its reply
//!   v
//! delivery          for types that declare it: keeps a message until the peer has handled it, and
//!                   writes it on the next connection; numbers, acknowledgements, and the store
//!
//! observer          the program's hook for problems; `task`, `dispatch` and both ends call it
//! cluster           the hubs of several nodes, joined by NATS; the hub gives it its connections
//! server            the hub: a registry of connections, and the handshake that makes them
//! client            dials, shakes hands, and reconnects
//! testing           for tests: a peer in place of the task, and a link in place of TCP
//! ```
//!
//! A folder imports only from folders before it in this order: `protocol`, `contract`, `wire`,
//! `envelope`, `connection`, `observer`, `delivery`, `dispatch`, `handshake`, `task`, `cluster`,
//! `server`, `client`, `testing`. There is one exception: the hub and `dispatch` know each other,
//! because a handler may take `&Hub`.

// docs.rs marks each item with the feature that it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(docsrs, doc(auto_cfg(hide(feature = "__engine"))))]
#![cfg_attr(
    all(feature = "__engine", not(all(feature = "server", feature = "client", feature = "tungstenite"))),
    allow(dead_code, reason = "each of the three uses a part of the engine that they share")
)]

// The protocol half.
pub mod envelope;
pub mod message;
pub mod protocol;

#[cfg(feature = "versions")]
pub mod contract;

mod policy;

#[doc(inline)]
pub use envelope::Envelope;
pub use message::Message;
#[cfg(feature = "macros")]
pub use wsx_macros::{Message, protocol};

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;

// The engine.
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "nats")]
pub mod cluster;
#[cfg(feature = "__engine")]
pub mod connection;
#[cfg(feature = "__engine")]
pub mod delivery;
#[cfg(feature = "__engine")]
pub mod dispatch;
#[cfg(feature = "__engine")]
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "__engine")]
mod catch_panic;
#[cfg(feature = "__engine")]
mod closed;

#[cfg(feature = "__engine")]
mod config;
#[cfg(feature = "__engine")]
mod error;
#[cfg(any(feature = "client", feature = "server"))]
mod handshake;
#[cfg(feature = "__internals")]
mod internals;
#[cfg(feature = "__engine")]
mod observer;
#[cfg(feature = "__engine")]
mod task;
#[cfg(feature = "__engine")]
mod wire;

#[cfg(feature = "deflate")]
pub use config::Deflate;
#[cfg(feature = "__engine")]
#[doc(inline)]
pub use connection::Connection;
#[cfg(feature = "metrics")]
pub use observer::MetricsObserver;
#[cfg(feature = "tracing")]
pub use observer::TracingObserver;
#[cfg(feature = "__engine")]
pub use {
    closed::{Closed, ClosedBy},
    config::{Config, Heartbeat, OverLimit, ReceiveLimit, TcpKeepalive},
    connection::request_error::{PeerFailure, RequestError},
    dispatch::arguments::{Delivered, Meta, State},
    envelope::incoming::RawFrame,
    error::{BoxError, BuildError, ConnectError, HandlerError, Report, SendError},
    observer::{ClusterEvent, Interest, Misunderstood, Observer, RejectionKind, Setback, StderrObserver},
    protocol::endpoint::{Endpoint, Untyped},
    server::hub::Hub,
    wire::close_code::CloseCode,
};

#[cfg(feature = "client")]
#[doc(inline)]
pub use client::{Client, backoff::Backoff, state::ClientState};
#[cfg(all(feature = "server", feature = "rustls"))]
pub use server::tls::Tls;
#[cfg(feature = "server")]
pub use server::{identity::Identity, rejection::Rejection, upgrade::unique_id};
#[cfg(all(feature = "macros", feature = "__engine"))]
pub use wsx_macros::{Endpoint, handler};
#[cfg(all(feature = "macros", not(feature = "__engine")))]
#[doc(hidden)]
pub use wsx_macros::{EndpointWithoutEngine as Endpoint, handler_without_engine as handler};

#[cfg(feature = "rustls")]
pub use rustls;
#[cfg(feature = "tungstenite")]
pub use tokio_tungstenite;
#[cfg(feature = "__engine")]
pub use {http, tokio_util::sync::CancellationToken};
