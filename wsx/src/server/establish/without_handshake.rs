//! A connection without a socket, for `TestPeer`.
use crate::{
    connection::handle::Handle,
    protocol::endpoint::Endpoint,
    server::{establish::enter, hub::Hub, identity::Identity, rejection::Rejection},
};

/// Adds a connection without a socket and without a task. The caller runs its handlers, and removes
/// it.
pub(crate) fn without_handshake<E: Endpoint>(hub: &Hub<E>, identity: Identity) -> Result<Handle, Rejection> {
    let mut entered = enter(&hub.ws_handler(crate::unique_id, |_| {}), identity, None, None, None)?;
    entered.running = true;
    hub.start(&entered.conn);
    Ok(entered.conn.clone())
}
