//! Typed messages over WebSocket: derive a message, annotate a handler, get a hub and a client that reconnects.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use wsx::{Connection, Hub};
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Telemetry { celsius: f64 }
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Cmd { reboot: bool }
//!
//! /// Runs for each `{"type":"telemetry","data":{"celsius":…}}`; what it returns goes back to the sender.
//! #[wsx::handler("telemetry")]
//! async fn on_telemetry(msg: Telemetry, conn: Connection) -> Option<Cmd> {
//!     println!("{}: {} °C", conn.id(), msg.celsius);
//!     (msg.celsius > 90.0).then_some(Cmd { reboot: true })
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let door = Hub::new().ws_handler(wsx::unique_id, |_| {});
//!     door.listen(tokio::net::TcpListener::bind("127.0.0.1:9001").await?).await;
//!     Ok(())
//! }
//! ```
//!
//! # Delivery
//!
//! At most once, in order, on one connection. A send that returned `Ok` has its message in the queue; what is queued when
//! the link breaks is lost, and what is queued when either end closes is not.
//!
//! # Cancel safety
//!
//! A future of this library that is dropped before it is done has torn no message and doubled none, and what it belonged to
//! goes on. Each says for itself how much of its work is done by then.
//!
//! # Features
//!
//! `server`, `client` and `macros` are on by default. `hyper` makes the server's door a service of hyper, tower and axum.
//! `rustls` brings TLS: `wss://` in the client, and `WsHandler::listen_tls`.

#![cfg_attr(
    not(all(feature = "server", feature = "client")),
    allow(dead_code, reason = "one end alone does not use all of the engine that both share")
)]

mod catch_panic;
mod config;
mod error;
mod message;
mod observer;

mod protocol;

mod wire;

mod envelope;

mod connection;

mod dispatch;

mod task;

#[cfg(any(feature = "client", feature = "server"))]
mod handshake;

mod server;

#[cfg(feature = "client")]
mod client;

#[cfg(feature = "server")]
mod bench;
#[cfg(feature = "server")]
mod fuzz;
#[cfg(test)]
mod random;

pub use config::{Config, Heartbeat, TcpKeepalive};
pub use connection::closed::{CLOSE_REPLACED, Closed, ClosedBy};
pub use connection::conn::Conn;
pub use connection::sending::Sending;
pub use connection::{BoxFuture, Connection};
pub use dispatch::context::{Context, FromContext, Meta, State};
pub use dispatch::handler::{FromMessage, HandledOnceBy, IntoReply};
pub use dispatch::incoming::RawFrame;
pub use envelope::{Envelope, Outbound, SentBy};
pub use error::{BoxError, ConnectError, HandlerError, SendError, StartError};
pub use message::{AnyPeer, AnySide, Description, Message, MessageType, Receives, Sends, Side, Travel};
pub use observer::{Observer, PrintProblems, Setback};
pub use protocol::endpoint::{Endpoint, Untyped};
pub use server::hub::Hub;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ClientState, backoff::Backoff, stream::Destination};
#[cfg(all(feature = "server", feature = "rustls"))]
pub use server::tls::{PeerCertificates, Tls};
#[cfg(feature = "macros")]
pub use wsx_macros::{Endpoint, Message, handler, protocol};
#[cfg(feature = "server")]
pub use {
    server::handshake::{Identity, Reject, Subprotocol},
    server::upgrade::{HandshakeError, HubBuilder, PeerAddr, WsHandler, unique_id},
};

#[cfg(feature = "rustls")]
pub use rustls;
pub use tokio_tungstenite::tungstenite::{http, protocol::frame::coding::CloseCode};
pub use tokio_util::sync::CancellationToken;

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
