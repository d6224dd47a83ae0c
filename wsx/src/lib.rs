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
//! # Layout
//!
//! A message goes through the modules in this order, and each imports only from those before it:
//! `error`, `authority`, `config`, `guard`, `tcp`, `message`, `admission`, `closed`, `endpoint`, `frame`, `head`, `envelope`, `heartbeat`,
//! `incoming`, `reader`, `sync`, `queue`, `connection`, `sending`, `conn`, `observer`, `hub`, `context`, `handler`, `router`,
//! `transport`, `drive`, then `standalone`; `handshake` and `server` (with `hyper` and `tls_server` behind it); `backoff`,
//! `socket`, `tls_client`, `dial` and `client`.
//!
//! # Features
//!
//! `server`, `client` and `macros` are on by default. `hyper` makes the server's door a service of hyper, tower and axum.
//! `rustls` brings TLS: `wss://` in the client, and `WsHandler::listen_tls`.

#![cfg_attr(
    not(all(feature = "server", feature = "client")),
    allow(dead_code, reason = "one end alone does not use all of the engine that both share")
)]

mod error;

#[cfg(any(feature = "client", feature = "server"))]
mod authority;
mod config;
mod message;
mod tcp;

mod admission;
mod closed;
mod endpoint;
mod envelope;
mod frame;
mod guard;
mod head;
mod heartbeat;
mod incoming;
mod queue;
mod reader;
mod sending;
mod sync;

mod conn;
mod connection;
mod hub;
mod observer;

mod context;
mod handler;
mod router;

#[cfg(test)]
mod random;

mod drive;
mod standalone;
mod transport;

#[cfg(feature = "server")]
mod bench;
#[cfg(feature = "server")]
mod fuzz;
#[cfg(feature = "server")]
mod handshake;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "server")]
mod server;
#[cfg(all(feature = "server", feature = "rustls"))]
mod tls_server;

#[cfg(feature = "client")]
mod backoff;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod dial;
#[cfg(feature = "client")]
mod socket;
#[cfg(feature = "client")]
#[cfg_attr(not(feature = "rustls"), path = "no_tls.rs")]
mod tls_client;

pub use closed::{CLOSE_REPLACED, Closed, ClosedBy};
pub use config::{Config, Heartbeat, TcpKeepalive};
pub use conn::Conn;
pub use connection::{BoxFuture, Connection};
pub use context::{Context, FromContext, Meta, State};
pub use endpoint::{Endpoint, Untyped};
pub use envelope::{Envelope, Outbound, SentBy};
pub use error::{BoxError, ConnectError, HandlerError, SendError, StartError};
pub use handler::{FromMessage, HandledOnceBy, IntoReply};
pub use hub::Hub;
pub use incoming::RawFrame;
pub use message::{AnyPeer, AnySide, Description, Message, MessageType, Receives, Sends, Side, Travel};
pub use observer::{Observer, PrintProblems, Setback};
pub use sending::Sending;

#[cfg(all(feature = "server", feature = "rustls"))]
pub use tls_server::{PeerCertificates, Tls};
#[cfg(feature = "macros")]
pub use wsx_macros::{Endpoint, Message, handler, protocol};
#[cfg(feature = "client")]
pub use {
    backoff::Backoff,
    client::{Client, ClientBuilder, ClientState},
    socket::Destination,
};
#[cfg(feature = "server")]
pub use {
    handshake::{Identity, Reject, Subprotocol},
    server::{HandshakeError, HubBuilder, PeerAddr, WsHandler, unique_id},
};

#[cfg(feature = "rustls")]
pub use rustls;
pub use tokio_tungstenite::tungstenite::{http, protocol::frame::coding::CloseCode};
pub use tokio_util::sync::CancellationToken;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
