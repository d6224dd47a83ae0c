//! Dials a server once: resolves, connects, and makes the handshakes of TLS and WebSocket. It does
//! not reconnect; `session` does.
use crate::{
    catch_panic,
    client::{
        handshake,
        stream::{self, Connector, Socket},
        tls::Trust,
        url::Target,
    },
    config::Config,
    error::ConnectError,
};
use http::HeaderMap;
use std::io;

/// Dials. Returns a stream after its handshake, and the bytes after the server's answer.
pub(super) async fn dial(
    target: &Target,
    connector: Option<&Connector>,
    trust: &Trust,
    headers: &HeaderMap,
    config: &Config,
) -> Result<(Socket, Vec<u8>), ConnectError> {
    let Target { destination, tls, .. } = target;
    let dialled = match connector {
        Some(connector) => {
            let dialled = catch_panic::run(async { connector(destination.clone()).await }).await;
            dialled.unwrap_or_else(|| Err(io::Error::other("the program's connector panicked")))
        }
        None => stream::connect(destination, config).await,
    };
    let mut socket = dialled.map_err(|source| ConnectError::Dial { address: destination.to_string(), source })?;
    if let Some(name) = tls {
        socket = trust.connect(name, destination, socket).await?;
    }
    let early = handshake::perform(&mut socket, target, headers).await?;
    Ok((socket, early))
}
