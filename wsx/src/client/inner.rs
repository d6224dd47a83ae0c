//! The state that all clones of a client share. It does not dial.
#[cfg(feature = "__internals")]
use crate::delivery::deliveries::Deliveries;
use crate::{
    client::{
        Client,
        options::Options,
        state::{ClientState, Status},
        urls::{Targets, Urls},
    },
    connection::{
        Asking,
        asking::Failed,
        handle::{Handle, delivery::server_name},
        keeper::Recipient,
    },
    dispatch::{
        program::{Program, ProgramBuilder},
        router::{NoHandlers, Owner},
    },
    envelope::keys::Sent,
    error::{BuildError, SendError},
    protocol::endpoint::Endpoint,
    wire::write::Draft,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The state of a client.
pub(super) struct Inner<E: Endpoint> {
    /// The endpoint, its handlers, the bounds and the observer, for all connections of this client.
    pub(super) program: Program<E>,
    /// The URLs, or the problems that prevent a start. Only [`Client::new`] makes a client with
    /// problems.
    pub(super) targets: Result<Targets, BuildError>,
    /// The options that a hub does not have.
    pub(super) options: Options,
    /// The connection that sends go to; `None` between two connections.
    pub(super) current: Mutex<Option<Handle>>,
    /// The state that the program watches, and whether a session is running.
    pub(super) status: Status,
    /// Changed by `retry_now`.
    pub(super) retry: watch::Sender<()>,
    /// Triggered by `close`, so that the session and waiting sends end.
    pub(super) stop: CancellationToken,
}

impl<E: Endpoint> Inner<E> {
    /// Checks the URLs and the options, and collects the handlers.
    pub(super) fn new(urls: Urls, mut program: ProgramBuilder<E>, options: Options) -> Arc<Self> {
        options.problems(|problem| program.problem(problem));
        let targets = urls.parse().map_err(|problems| problems.into_iter().for_each(|why| program.problem(why))).ok();
        let (program, result) = program.build(Owner::Client, NoHandlers::Allowed);
        let inner = Arc::new(Self {
            program,
            targets: result.map(|()| targets.expect("a wrong URL is among the problems")),
            options,
            current: Mutex::new(None),
            status: Status::new(),
            retry: watch::Sender::new(()),
            stop: CancellationToken::new(),
        });
        let weak = Arc::downgrade(&inner);
        inner.program.deliveries.set_present(move |_| weak.upgrade()?.current().clone());
        inner
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Option<Handle>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_current(&self, conn: Option<Handle>) {
        let ended = std::mem::replace(&mut *self.current(), conn);
        // Dropped after the lock is released. With the last handle, values of the application are
        // dropped, and their code may take this lock.
        drop(ended);
    }

    /// Ends the waits for the server, if the client was closed.
    pub(super) fn end_if_closed(&self) {
        if self.status.now() == ClientState::Closed {
            self.program.deliveries.end();
        }
    }
}

impl<E: Endpoint> Client<E> {
    /// Returns the server, for which a send keeps a message.
    pub(super) fn recipient(&self) -> Result<Recipient, SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let inner = self.0.clone();
        let conn = Box::new(move || inner.current().clone());
        Ok(Recipient { keeper: self.0.program.keeper(), peer: server_name().clone(), conn })
    }

    /// Asks the server on the current connection.
    pub(super) fn ask<R, F>(&self, encode: impl FnOnce(Sent<'_>) -> Result<Draft, SendError>) -> Asking<'static, R, F> {
        let conn = self.0.current().clone().ok_or(Failed::NotSent(SendError::Closed));
        Asking::on_owned(conn, encode).of_client(self.0.stop.clone())
    }
}

#[cfg(feature = "__internals")]
impl<E: Endpoint> Client<E> {
    /// Returns the kept messages, for tests.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.0.program.deliveries
    }
}
