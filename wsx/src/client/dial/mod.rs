//! Dials a server once: resolves, connects, and makes the handshakes of TLS and WebSocket. It does
//! not reconnect; `reconnect` does.
pub(super) mod route;

mod connect;
#[cfg(feature = "proxy")]
pub(super) mod proxy;
mod race;
mod resolve;

use crate::{
    catch_panic,
    client::{
        dial::route::Route,
        handshake::{self, Opened, Request},
        stream::Socket,
        tls::Trust,
        url::Target,
    },
    config::Config,
    error::ConnectError,
};
use std::io;

/// Dials. Returns a stream after its handshake, and the server's answer.
pub(super) async fn dial(
    target: &Target,
    route: &Route,
    trust: &Trust,
    request: &Request<'_>,
    config: &Config,
) -> Result<(Socket, Opened), ConnectError> {
    let Target { destination, tls, .. } = target;
    let mut socket = Box::pin(route.connect(target, request.deadline, config)).await?;
    if let Some(name) = tls {
        // It runs the certificate verifier and the stream of the program.
        let made = catch_panic::run(Box::pin(trust.connect(name, destination, socket))).await;
        socket = made.unwrap_or_else(|| {
            let source = io::Error::other("the program's certificate verifier or stream panicked");
            Err(ConnectError::Tls { address: destination.to_string(), source })
        })?;
    }
    // It runs the stream of the program.
    let made = catch_panic::run(Box::pin(async {
        let opened = handshake::perform(&mut socket, target, request).await?;
        Ok((socket, opened))
    }));
    made.await.unwrap_or_else(|| Err(ConnectError::Handshake("the program's stream panicked".into())))
}
