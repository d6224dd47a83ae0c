//! A connection of a client without a socket, for `TestPeer`.
use crate::{
    client::{Client, inner::Inner, state::ClientState, urls::Attempt},
    connection::handle::Handle,
    dispatch::program::Program,
    error::ConnectError,
    protocol::endpoint::Endpoint,
    wire::role::Role,
};
use std::{future::Future, sync::Arc};

impl<E: Endpoint> Client<E> {
    pub(crate) fn program(&self) -> &Program<E> {
        &self.0.program
    }

    /// Makes the client connected, without a session. It does not reconnect.
    pub(crate) async fn attach(&self) -> Result<Handle, ConnectError> {
        let Inner { program, targets, options, status, .. } = &*self.0;
        let targets = targets.as_ref().map_err(Clone::clone)?;
        let target = targets.next(0, Attempt { failures: 0, redirect: None }).await?;
        if self.is_closed() {
            return Err(ConnectError::Closed);
        }
        if !status.begin() {
            return Err(ConnectError::AlreadyConnected);
        }
        status.set(ClientState::Connecting { attempt: 1 });
        let conn = Handle::new(target.id.clone(), Role::Client, &program.config);
        program.watch(&conn);
        if let Some(register) = &options.on_connect {
            register.call(|register| register(&conn)).expect("the program's `on_connect` panicked");
        }
        self.0.set_current(Some(conn.clone()));
        status.set(ClientState::Connected);
        Ok(conn)
    }

    /// Ends the session when the program has closed the connection and the client, although the
    /// peer still lives. The future does not keep the client alive.
    pub(crate) fn detach_when_closed(&self, conn: Handle) -> impl Future<Output = ()> + Send + use<E> {
        let (client, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        async move {
            // First, so that the program has finished closing the connection.
            conn.closed().await;
            stop.cancelled().await;
            if let Some(client) = client.upgrade() {
                Self(client).detach();
            }
        }
    }

    /// Ends the session that [`attach`](Self::attach) began.
    pub(crate) fn detach(&self) {
        self.0.set_current(None);
        self.0.status.end(|| self.is_closed());
        self.0.end_if_closed();
    }
}
