//! What a client is doing, for the program to watch, and whether anything of it still runs.
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::watch;

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ClientState {
    /// Not connected, and not about to be: before `connect`, after the end of a connection without reconnecting, and after
    /// giving up.
    Disconnected,
    /// Dialling.
    Connecting {
        /// The number of the attempt, from 1, since the last connection that lasted.
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
    /// Closed for good.
    Closed,
}

/// The state, and the facts that tell an end from a beginning.
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
/// Closed: from any state, once `close` was called and nothing runs.
/// ```
#[derive(Debug)]
pub(super) struct Status {
    state: watch::Sender<ClientState>,
    /// Between `connect` and the end of what it began.
    running: AtomicBool,
    /// Whether `connect` has ever begun anything: `Disconnected` is the beginning before, and an end after.
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

    /// Whether this call is the first one since the last end.
    pub(super) fn begin(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    pub(super) fn set(&self, state: ClientState) {
        self.state.send_replace(state);
        if matches!(state, ClientState::Connecting { .. }) {
            // After the state has changed: until then `Disconnected` is the beginning, from then on an end.
            self.begun.store(true, Ordering::Release);
        }
    }

    /// What `connect` began has ended. Under the state's lock: a `close` that comes at the same time either is seen here or
    /// sees that this has ended, and the next `connect` sets its state after this one.
    pub(super) fn end(&self, is_closed: impl FnOnce() -> bool) {
        self.state.send_modify(|state| {
            self.running.store(false, Ordering::Release);
            *state = if is_closed() { ClientState::Closed } else { ClientState::Disconnected };
        });
    }

    /// The client was closed. If nothing runs, that is its end.
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

    /// Waits until `done` holds of the state and of whether nothing runs any more. Returns the state.
    pub(super) async fn wait_for(&self, mut done: impl FnMut(&ClientState, bool) -> bool) -> ClientState {
        let mut states = self.subscribe();
        let seen = states.wait_for(|state| done(state, self.is_over(*state))).await;
        // The sender is in `self`, so waiting cannot fail.
        seen.map_or(ClientState::Closed, |state| *state)
    }

    /// Whether nothing that `connect` began still runs.
    fn is_over(&self, state: ClientState) -> bool {
        match state {
            ClientState::Closed => true,
            ClientState::Disconnected => self.begun.load(Ordering::Acquire),
            _ => false,
        }
    }
}
