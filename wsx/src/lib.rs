//! Typed messages over WebSocket: derive a message, annotate a handler, get a hub and a client that reconnects.
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
//! /// Runs for each `{"type":"telemetry","data":{"celsius":…}}`. The message that it returns goes back to the sender.
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
//! # Behind axum
//!
//! With the feature `hyper`, a hub is a service for an axum router:
//!
//! ```no_run
//! # #[cfg(feature = "hyper")]
//! # async fn example() -> std::io::Result<()> {
//! let hub = wsx::Hub::new();
//! let app: axum::Router = axum::Router::new().route_service("/ws", hub.ws_handler(wsx::unique_id, |_| {}));
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:9001").await?, app).await
//! # }
//! ```
//!
//! [`WsHandler::upgrade`](server::WsHandler::upgrade) has the graceful shutdown of such a program.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `server` | yes | [`Hub`] with its listener |
//! | `client` | yes | [`Client`] |
//! | `macros` | yes | `#[wsx::handler]`, `protocol!` and the derives |
//! | `hyper` | no | the hub as a service of hyper, tower and axum |
//! | `rustls` | no | TLS: `wss://` in the client, `serve_tls` on the hub |
//! | `tungstenite` | no | `Connection::new` on a `WebSocketStream` of tokio-tungstenite |
//!
//! Every feature needs Rust 1.85 or later.
//!
//! # Delivery
//!
//! At most once, in order, on one connection. A send that returned `Ok` has its message in the queue. Messages that are
//! queued when the link breaks are lost; those that are queued when either end closes are sent.
//!
//! # Cancel safety
//!
//! A future of this library that is dropped before it is done has torn no message and doubled none, and its hub, client or
//! connection goes on. Each says for itself how much of its work is done by then.
//!
//! # The path of a message
//!
//! The folders of the source are listed in the order in which a message meets them. Each imports only from those before it.
//!
//! ```text
//! a peer's bytes
//!   |  task         the one task that owns a connection's socket, from open to close
//!   |  wire         bytes <-> frames
//!   v
//! envelope          {"ver","type","ts","data"}: parsed up to its payload, and written
//!   |
//!   v
//! dispatch          type -> handler; takes the handler's arguments, decodes the payload, runs the handler
//!   |
//!   v
//! a handler         the program's function; what it may take, send and return is checked by `protocol`
//!   |
//!   v
//! connection        the handle: a send encodes its message and queues the frame; the task writes it
//!
//! server            the hub: a registry of connections, and the handshake that makes them
//! client            dials, makes the handshake, and reconnects
//! ```
//!
//! `server` and `client` stand at the end: both start the task. The hub and `dispatch` know each other, because a handler
//! may take `&Hub`.

// docs.rs marks each item with the feature that it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "server", feature = "client", feature = "tungstenite")),
    allow(dead_code, reason = "each of the three uses a part of the engine that they share")
)]

#[cfg(feature = "client")]
pub mod client;
pub mod connection;
pub mod dispatch;
pub mod envelope;
pub mod protocol;
pub mod server;

mod catch_panic;
mod closed;
mod config;
mod error;
#[cfg(any(feature = "client", feature = "server"))]
mod handshake;
mod message;
mod observer;
mod task;
#[cfg(feature = "__testing")]
mod testing;
mod wire;

pub use closed::{Closed, ClosedBy};
pub use config::{Config, Heartbeat, TcpKeepalive};
#[doc(inline)]
pub use connection::Connection;
pub use dispatch::arguments::{Meta, State};
#[doc(inline)]
pub use envelope::{Envelope, incoming::RawFrame};
pub use error::{BoxError, BuildError, ConnectError, HandlerError, Report, SendError};
pub use message::Message;
pub use observer::{Observer, Setback, StderrObserver};
pub use protocol::endpoint::{Endpoint, Untyped};
pub use server::hub::Hub;
pub use wire::close_code::CloseCode;

#[cfg(feature = "client")]
#[doc(inline)]
pub use client::{Client, backoff::Backoff, state::ClientState};
#[cfg(all(feature = "server", feature = "rustls"))]
pub use server::tls::Tls;
#[cfg(feature = "server")]
pub use server::{identity::Identity, rejection::Rejection, upgrade::unique_id};
#[cfg(feature = "macros")]
pub use wsx_macros::{Endpoint, Message, handler, protocol};

pub use http;
#[cfg(feature = "rustls")]
pub use rustls;
#[cfg(feature = "tungstenite")]
pub use tokio_tungstenite;
pub use tokio_util::sync::CancellationToken;

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
