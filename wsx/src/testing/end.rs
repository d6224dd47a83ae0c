//! The program that a `TestPeer` tests: a hub or a client.
use crate::{
    client::Client, closed::Closed, connection::handle::Handle, dispatch::run::Scope, protocol::endpoint::Endpoint,
    server::hub::Hub,
};
use futures_util::future::{BoxFuture, ready};

/// The end of a connection that is tested.
pub(super) enum End<E: Endpoint> {
    Hub(Hub<E>),
    Client(Client<E>),
}

impl<E: Endpoint> End<E> {
    pub(super) fn scope(&self) -> Scope<'_, E> {
        match self {
            Self::Hub(hub) => Scope { program: hub.program(), hub: Some(hub) },
            Self::Client(client) => Scope { program: client.program(), hub: None },
        }
    }

    /// Notes that a message of the peer has arrived, as the task of a connection does for a hub.
    pub(super) fn receive(&self, conn: &Handle) {
        if let Self::Hub(_) = self {
            conn.set_seen();
        }
    }

    /// Returns a future that disconnects a client when the program closes it. So the program can
    /// wait for its end while the peer lives.
    pub(super) fn detach_when_closed(&self, conn: &Handle) -> BoxFuture<'static, ()> {
        match self {
            Self::Hub(_) => Box::pin(ready(())),
            Self::Client(client) => Box::pin(client.detach_when_closed(conn.clone())),
        }
    }

    /// Removes the connection from its hub, before the handler of `__close__`.
    pub(super) fn leave(&self, conn: &Handle, closed: &Closed) {
        if let Self::Hub(hub) = self {
            hub.remove(conn, closed);
        }
    }

    /// Disconnects a client, after the handler of `__close__`.
    pub(super) fn detach(&self) {
        if let Self::Client(client) = self {
            client.detach();
        }
    }
}
