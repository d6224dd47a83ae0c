//! A connection of a client without a socket, for `TestPeer`.
use crate::{
    client::{Client, inner::Inner, state::ClientState, urls::Attempt},
    connection::handle::Handle,
    dispatch::program::Program,
    error::ConnectError,
    protocol::endpoint::Endpoint,
    wire::role::Role,
};

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

    /// Ends the session that [`attach`](Self::attach) began.
    pub(crate) fn detach(&self) {
        self.0.set_current(None);
        self.0.status.end(|| self.is_closed());
    }
}
