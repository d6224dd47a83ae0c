//! The server: the hub, and the handshake that turns an upgrade request into one of its
//! connections.
//!
//! # A full hub
//!
//! A hub with [`max_connections`](HubBuilder::max_connections) still accepts a connection that
//! replaces one with the same id, so that a box can reconnect before its old link is known to be
//! dead. The replaced connection counts until it has closed. Until then a hub may exceed the limit
//! by a sixteenth of it, and by at least one.
//!
//! Over TLS a full hub decides about one handshake for 64 places of
//! [`max_handshakes`](HubBuilder::max_handshakes) at a time. It closes others before TLS.
//!
//! # Handshakes in progress
//!
//! At [`max_handshakes`](HubBuilder::max_handshakes), a new connection takes the place of an older
//! one. The older one is closed with 503, or before TLS without an answer. A handshake gives way
//! when it is a second old, if its peer has not sent a complete request or is receiving a
//! rejection. With fewer than 1,000 places, the second is a millisecond for each place. An address
//! with more than a quarter of the places gives way to others at once, also while `build_id` runs.
//!
//! A new connection for which no other gives way waits. Each listener holds one such connection,
//! and the others wait in the queue of the operating system. [`WsHandler::serve_connection`] does
//! not wait, but answers 503.
//!
//! # Behind a proxy
//!
//! The hub sees the peers of a proxy at the address of the proxy.
//! [`trusted_proxies`](HubBuilder::trusted_proxies) names the proxies that may name their peers:
//!
//! ```standalone_crate
//! let hub = wsx::Hub::builder()
//!     .trusted_proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])
//!     .max_connections_per_address(4)
//!     .without_handlers()
//!     .build()?;
//! # Ok::<_, wsx::BuildError>(())
//! ```
//!
//! A trusted proxy names its peer in the header `X-Forwarded-For`, or in `Forwarded` (RFC 7239).
//! The address of the peer is the right-most one in the header that is not trusted too. Limits, the
//! observer and `build_id` receive it instead of the address of the proxy, and the proxy itself has
//! no limit. Headers of other peers are ignored.
//!
//! A request is rejected with 400 if its header does not name an address at that place, or if both
//! headers are there and name different ones. Without any of the two headers, the request is the
//! proxy's own, such as a health check.
//!
//! Limits that apply before the request, such as [`max_handshakes`](HubBuilder::max_handshakes), do
//! not know the peer until the request has arrived. With
//! [`proxy_protocol`](HubBuilder::proxy_protocol) they know it earlier. The header of that protocol
//! comes before TLS, within [`Config::handshake_timeout`](crate::Config::handshake_timeout). It
//! names the peer, whose HTTP headers count only if it is a trusted proxy too. If it names none,
//! the peer is the proxy, without HTTP headers.
//!
//! A trusted proxy that does not send a header of the PROXY protocol is rejected with 400, or
//! closed before TLS. Other peers must not send one. A header has at most 107 bytes, or 1,040 in
//! version 2. In an HTTP server of the program, that server has to read it.
//!
//! # Health checks
//!
//! A load balancer asks each server whether it can take more connections.
//! [`health`](HubBuilder::health) answers at a path, and [`Hub::drain`](crate::Hub::drain) changes
//! the answer before a shutdown:
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn asked_to_stop() {}
//! # async fn example(listener: tokio::net::TcpListener) -> Result<(), wsx::BuildError> {
//! let hub = wsx::Hub::builder().health("/healthz").without_handlers().build()?;
//! let serving = tokio::spawn({
//!     let hub = hub.clone();
//!     async move { hub.serve(listener).await }
//! });
//! asked_to_stop().await;
//! hub.drain();
//! // The load balancer checks every two seconds, and needs three failures.
//! tokio::time::sleep(Duration::from_secs(7)).await;
//! hub.shutdown(Duration::from_secs(10)).await;
//! # drop(serving);
//! # Ok(())
//! # }
//! ```
//!
//! An upgrade to WebSocket is not a health check, so boxes may connect at the same path. Health
//! checks are not connections, and the observer does not receive them. They do take a place of
//! [`max_handshakes`](HubBuilder::max_handshakes), and count for their address until they are
//! answered, unless it is one of the [`trusted_proxies`](HubBuilder::trusted_proxies).
//!
//! In an HTTP server of the program, its router can have a page with
//! [`Hub::is_draining`](crate::Hub::is_draining). Or mount the [`WsHandler`] at this path too.
//!
//! # Ids
//!
//! `build_id` makes the id of a connection from its upgrade request, or rejects the request:
//!
//! ```standalone_crate
//! # use wsx::{Hub, Rejection, http::{StatusCode, request::Parts}};
//!
//! async fn device_id(request: Parts) -> Result<String, Rejection> {
//!     let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
//!     id.map(str::to_owned).ok_or(Rejection::new(StatusCode::BAD_REQUEST, "no id"))
//! }
//!
//! let upgrade = Hub::new().ws_handler(device_id, |conn| println!("{} is here", conn.id()));
//! ```
//!
//! A new connection replaces an older one with the same id, which is closed with
//! [`CloseCode::REPLACED`](crate::CloseCode::REPLACED). So ids must be unique. Two boxes with one
//! id, for example from the same disk image, replace each other forever, because each reconnects.
//! [`Observer::id_contested`](crate::Observer::id_contested) reports them, and
//! [`HubBuilder::on_duplicate`] rejects the newer one instead.
//!
//! # Broadcasts
//!
//! A broadcast does not wait for slow connections:
//!
//! - If queues are full, this waits for them, for at most 100 ms in all. That slows down a
//!   program which broadcasts faster than its peers read.
//! - After that time a queue is behind, until half of it is free. Later broadcasts do not wait
//!   for it. They use its reserve, which has the size of
//!   [`queue_bytes`](crate::Config::queue_bytes).
//! - A connection whose reserve stays full for another 100 ms, or that was behind for
//!   [`lag_timeout`](crate::Config::lag_timeout), is closed with
//!   [`CloseCode::TRY_AGAIN_LATER`](crate::CloseCode::TRY_AGAIN_LATER). The observer sees that
//!   code in `connection_closed`.
//!
//!
//! # Shutdown
//!
//! During [`Hub::shutdown`](crate::Hub::shutdown):
//!
//! - [`WsHandler::serve`] stops accepting and returns. Handshakes in progress get 503. Then the
//!   port is closed. If a load balancer checks the server, call
//!   [`Hub::drain`](crate::Hub::drain) first.
//! - Sends return [`SendError::Closed`](crate::SendError::Closed) from the beginning.
//! - A node of a `cluster` closes its connections one after the other with 1012, if it sees
//!   another node. This takes at most 5 s, or half of `grace` if that is shorter.
//! - Messages that a peer sent before it learned of the close are handled, unless a handler
//!   closes the connection.
//! - The reply of a handler that began before the shutdown is sent. The close waits for it for up
//!   to a quarter of [`Config::close_timeout`](crate::Config::close_timeout). Replies of
//!   later handlers are dropped, and reported to
//!   [`Observer::reply_dropped`](crate::Observer::reply_dropped).
//! - A handler that still runs when the time of its connection is over is dropped at its
//!   `.await`, and reported to
//!   [`Observer::handler_dropped`](crate::Observer::handler_dropped).
//! - A connection that exceeds its `close_timeout` is dropped, and not counted. So a `grace` of
//!   10 s, the default of `close_timeout`, gives each connection all the time that it can have; a
//!   node of a cluster needs 5 s more.
//!   Too low: slow peers lose queued messages.
//! - When `grace` expires, frames that the socket takes at once are written, including the
//!   close frame. `__close__` handlers have another second. A `grace` of zero does this at
//!   once.
#[cfg(feature = "server")]
mod accept_loop;
pub(crate) mod admission;
mod broadcast;
#[cfg(feature = "server")]
pub(crate) mod builder;
#[cfg(feature = "nats")]
mod cluster;
#[cfg_attr(feature = "deflate", path = "compressed/enabled.rs")]
#[cfg_attr(not(feature = "deflate"), path = "compressed/disabled.rs")]
mod compressed;
mod duplicates;
mod elsewhere;
#[cfg(feature = "server")]
pub(crate) mod establish;
#[cfg(feature = "server")]
mod handshake;
#[cfg(feature = "server")]
mod http;
pub(crate) mod hub;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "server")]
pub(crate) mod identity;
mod ingress;
mod labels;
mod lifecycle;
#[cfg(feature = "nats")]
pub(crate) mod local;
#[cfg(feature = "server")]
mod options;
#[cfg(feature = "server")]
mod origin;
mod pace;
#[cfg(feature = "server")]
mod peer_address;
mod places;
mod presence;
mod registry;
#[cfg(feature = "server")]
pub(crate) mod rejection;
mod roster;
mod sending_to;
mod shutdown;
#[cfg(feature = "server")]
mod subprotocol;
#[cfg(all(feature = "server", feature = "rustls"))]
pub(crate) mod tls;
#[cfg(feature = "server")]
pub(crate) mod upgrade;
#[cfg(feature = "server")]
mod versions;

pub use crate::error::LabelError;
pub use presence::{PeerStatus, Presence, PresenceChange, PresenceChanges};
pub use sending_to::SendingTo;
#[cfg(all(feature = "server", feature = "rustls"))]
pub use tls::PeerCertificates;
#[cfg(feature = "server")]
pub use {
    builder::HubBuilder,
    duplicates::OnDuplicate,
    upgrade::{HandshakeError, PeerAddr, WsHandler},
};

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
