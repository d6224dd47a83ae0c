//! The state of a client, which the program can watch, and whether a session of the client is
//! running. It does not know connections.
use crate::connection::loom_or_std::{AtomicBool, watch};
use std::{sync::atomic::Ordering, time::Duration};

/// The state of a client.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ClientState {
    /// Not connected, and not trying to connect: before `connect`, after a connection ended without
    /// reconnecting, or after the client gave up.
    Disconnected,
    /// Dialling, or in the handshake.
    Connecting {
        /// The number of the attempt since the last connection that lasted, from 1.
        attempt: u32,
    },
    /// Connected: messages can be sent.
    Connected,
    /// Waiting before the next attempt.
    Waiting {
        /// The number of the attempt that failed.
        attempt: u32,
        /// The length of the wait.
        delay: Duration,
    },
    /// Closed for good. A closed client cannot connect again.
    Closed,
}

/// The state, and two facts that distinguish an ended client from a new one.
///
/// ```text
///                 begin                 dialled
/// Disconnected ----------> Connecting -----------> Connected
///      ^   ^                 ^    |                    |
///      |   |         delay over   | failed             | ended
///      |   |                 |    v                    |
///      |   +-- gave up --- Waiting <-------------------+
///      +---------- ended, without reconnecting --------+
///
/// retry_now: from Waiting and Connected to Connecting, without a delay.
/// Closed: from any state, after `close` was called and the session has ended.
/// ```
#[derive(Debug)]
pub(super) struct Status {
    /// The value that the program watches.
    state: watch::Sender<ClientState>,
    /// Whether a session is running, from `connect` until the session has ended. A second `connect`
    /// waits meanwhile.
    running: AtomicBool,
    /// Whether `connect` has ever started to dial. Before that, `Disconnected` means a new client;
    /// after it, an ended one.
    begun: AtomicBool,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(ClientState::Disconnected),
            running: AtomicBool::new(false),
            begun: AtomicBool::new(false),
        }
    }

    /// Marks a session as running. Returns `false` if another session already runs.
    pub(super) fn begin(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    pub(super) fn set(&self, state: ClientState) {
        self.state.send_replace(state);
        if matches!(state, ClientState::Connecting { .. }) {
            // After the change of the state, so that a `Disconnected` from before is not taken for
            // an end.
            self.begun.store(true, Ordering::Release);
        }
    }

    /// Marks the session as ended.
    ///
    /// It does so under the lock of the state. A concurrent `close` is then either seen here, or
    /// sees that the session has ended. The next `connect` sets its state after this one.
    pub(super) fn end(&self, is_closed: impl FnOnce() -> bool) {
        self.state.send_modify(|state| {
            self.running.store(false, Ordering::Release);
            *state = if is_closed() { ClientState::Closed } else { ClientState::Disconnected };
        });
    }

    /// Marks the client as closed, if no session is running. Otherwise the end of the session does
    /// that.
    pub(super) fn close(&self) {
        self.state.send_if_modified(|state| {
            let ended = !self.running.load(Ordering::Acquire);
            ended && std::mem::replace(state, ClientState::Closed) != ClientState::Closed
        });
    }

    pub(super) fn now(&self) -> ClientState {
        *self.state.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ClientState> {
        self.state.subscribe()
    }

    /// Waits until `done` returns `true`, and returns the state. `done` takes the state and whether
    /// the client has ended.
    pub(super) async fn wait_for(&self, mut done: impl FnMut(&ClientState, bool) -> bool) -> ClientState {
        let mut states = self.subscribe();
        let seen = states.wait_for(|state| done(state, self.is_over(*state))).await;
        // The sender is in `self`, so waiting cannot fail.
        seen.map_or(ClientState::Closed, |state| *state)
    }

    /// Whether the client has ended: a session began, and none is running now.
    fn is_over(&self, state: ClientState) -> bool {
        match state {
            ClientState::Closed => true,
            ClientState::Disconnected => self.begun.load(Ordering::Acquire) && !self.running.load(Ordering::Acquire),
            _ => false,
        }
    }
}
