//! The reconnect loop: makes attempts, serves a connection, waits, and tries again. It does not
//! dial; `attempt` does.
use crate::{
    catch_panic,
    client::{
        Client, Inner,
        attempt::{Dialled, Turn, attempt},
        options::Options,
        state::ClientState,
        stream::Socket,
        urls::Targets,
    },
    closed::{Closed, ClosedBy},
    connection::handle::{Handle, OnConnect},
    dispatch::run::Scope,
    error::ConnectError,
    observer::Setback,
    protocol::endpoint::Endpoint,
    task::{self, transport::socket::SocketTransport},
    wire::close_code::CloseCode,
};
use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A session: all attempts and connections of one call of `connect`. Dropping it ends the session.
pub(super) struct Session<E: Endpoint> {
    /// A clone of the client, so that the session goes on when the program has dropped its own.
    client: Client<E>,
    /// Given to `connect`; closes the client.
    cancel: CancellationToken,
    /// Given to `connect`; runs for each new connection.
    register: OnConnect,
    /// Whether another client with the same id replaced the last connection.
    was_replaced: bool,
    /// The place of the next attempt.
    turn: Turn,
    /// Changes when the program calls `retry_now`.
    retry: watch::Receiver<()>,
    /// The connections that `retry_now` has replaced, until their handlers have ended.
    replaced: TaskTracker,
    /// Ends the handlers of the last connection that was replaced.
    kill_replaced: CancellationToken,
}

/// When the next attempt begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// For the first connection, and after `retry_now`.
    AtOnce,
    /// After a connection has ended.
    AfterWait,
}

impl<E: Endpoint> Session<E> {
    /// Returns a session. The caller has marked it as running.
    pub(super) fn new(client: &Client<E>, cancel: CancellationToken, register: OnConnect) -> Self {
        Self {
            client: client.clone(),
            cancel,
            register,
            was_replaced: false,
            turn: Turn::default(),
            // A `retry_now` from before the session has no effect.
            retry: client.0.retry.subscribe(),
            replaced: TaskTracker::new(),
            kill_replaced: CancellationToken::new(),
        }
    }

    /// Makes the first connection, then spawns the loop.
    pub(super) async fn connect(mut self) -> Result<(), ConnectError> {
        let (conn, transport) = self.next(Start::AtOnce).await?;
        // Before this returns, so that the caller can send at once.
        self.enter(&conn);
        tokio::spawn(self.run(conn, transport));
        Ok(())
    }

    /// Makes the next connection, unless the client is closed or cancelled before.
    async fn next(&mut self, mut start: Start) -> Result<Dialled, ConnectError> {
        let (stop, cancel) = (self.inner().stop.clone(), self.cancel.clone());
        loop {
            // Values of the program that are dropped here may panic.
            let next = catch_panic::run(Box::pin(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(ConnectError::Closed),
                    () = cancel.cancelled() => Err(ConnectError::Closed),
                    dialled = self.attempts(start) => dialled,
                }
            }));
            if let Some(next) = next.await {
                return next;
            }
            start = Start::AfterWait;
        }
    }

    /// Dials until an attempt succeeds, or the options do not allow another one.
    async fn attempts(&mut self, start: Start) -> Result<Dialled, ConnectError> {
        if start == Start::AfterWait {
            self.wait(None).await;
        }
        loop {
            let number = self.turn.failures.saturating_add(1);
            self.inner().status.set(ClientState::Connecting { attempt: number });
            let made = tokio::select! {
                biased;
                // The path of the attempt may be dead.
                () = retry_now(&mut self.retry) => continue,
                made = attempt(&self.client.0, &mut self.turn) => made,
            };
            match made {
                Ok(dialled) => return Ok(dialled),
                Err(error) if !self.options().reconnect || error.is_final() => return Err(error),
                Err(error) => {
                    let setback = Setback::Attempt(error);
                    let gives_up = self.gives_up(&setback);
                    let Setback::Attempt(error) = setback else { unreachable!("made above") };
                    if gives_up {
                        return Err(error);
                    }
                    self.turn.changes = self.turn.changes.wrapping_add(1);
                    self.wait(Some(&error)).await;
                }
            }
        }
    }

    /// Waits before the next attempt, unless the program calls `retry_now`. `error` is the error of
    /// the last attempt, or `None` after an ended connection.
    async fn wait(&mut self, error: Option<&ConnectError>) {
        let Options { backoff, jitter, .. } = self.options();
        let random = jitter.call(|jitter| jitter()).unwrap_or_else(rand::random);
        let rounds = self.turn.failures / self.inner().targets.as_ref().map_or(1, Targets::round);
        let delay = match error {
            Some(ConnectError::Rejected { retry_after: Some(asked), .. }) => {
                backoff.delay_asked(rounds, random, *asked)
            }
            None if self.was_replaced => backoff.delay_replaced(random),
            _ => backoff.delay(rounds, random),
        };
        self.turn.failures = self.turn.failures.saturating_add(1);
        let failures = self.turn.failures;
        if let Some(error) = error {
            self.inner().program.observer.connect_failed(failures, delay, error);
        }
        self.inner().status.set(ClientState::Waiting { attempt: failures, delay });
        tokio::select! {
            () = retry_now(&mut self.retry) => {}
            () = sleep(delay) => {}
        }
    }

    /// Whether the program's `give_up` stops the client; the observer then learns it. A panic
    /// counts as `false`.
    fn gives_up(&self, setback: &Setback) -> bool {
        let given_up = match &self.options().give_up {
            Some(decide) => decide.call(|decide| decide(setback)).unwrap_or(false),
            None => false,
        };
        if given_up {
            self.inner().program.observer.client_gave_up(setback);
        }
        given_up
    }

    /// Serves one connection after the other, until the client stops.
    async fn run(mut self, mut conn: Handle, mut transport: SocketTransport<Socket>) {
        loop {
            let start = match self.serve(conn, transport).await {
                None => Start::AtOnce,
                Some(closed) => {
                    if !self.options().reconnect || self.is_stopped() || self.gives_up(&Setback::Ended(closed)) {
                        break;
                    }
                    Start::AfterWait
                }
            };
            match self.next(start).await {
                Ok(next) => {
                    (conn, transport) = next;
                    self.enter(&conn);
                }
                // Closed or gave up. The observer already knows it.
                Err(_) => break,
            }
        }
        if !self.is_stopped() {
            // The handlers of a replaced connection may still run for a while. The end of the
            // session sets the state of a closed client.
            self.inner().status.set(ClientState::Disconnected);
        }
        self.replaced.close();
        self.replaced.wait().await;
    }

    /// Shows a new connection to the program, and makes it the target of sends.
    fn enter(&self, conn: &Handle) {
        let on_connect = self.options().on_connect.as_ref();
        let shown = on_connect.is_none_or(|register| register.call(|register| register(conn)).is_some())
            && self.register.call(|register| register(conn)).is_some();
        if !shown {
            conn.close(CloseCode::INTERNAL_ERROR, "internal error".into());
        }
        self.inner().set_current(Some(conn.clone()));
        self.inner().status.set(ClientState::Connected);
    }

    /// Serves one connection from its first message to its end. Returns the reason for the end, or
    /// `None` if the program called `retry_now`. The handlers of that connection then go on in a
    /// task of their own.
    async fn serve(&mut self, conn: Handle, transport: SocketTransport<Socket>) -> Option<Closed> {
        let since = Instant::now();
        let kill = CancellationToken::new();
        let mut served = self.served(conn.clone(), transport, kill.clone());
        let inner = &self.client.0;
        let mut replaced = false;
        tokio::select! {
            // In this order, so that a client that is closed does not replace its connection.
            biased;
            () = &mut served => {}
            () = self.cancel.cancelled() => {
                inner.stop.cancel();
                conn.close(CloseCode::NORMAL, String::new());
                served.as_mut().await;
            }
            () = inner.stop.cancelled() => {
                conn.close(CloseCode::NORMAL, String::new());
                served.as_mut().await;
            }
            () = retry_now(&mut self.retry), if inner.options.reconnect => replaced = true,
        }
        inner.set_current(None);
        if since.elapsed() >= inner.options.backoff.stable_after {
            self.turn.failures = 0;
            // The wait after it counts one failure.
            self.turn.lasted = !replaced;
        } else if !replaced {
            self.turn.changes = self.turn.changes.wrapping_add(1);
        }
        self.was_replaced = false;
        if replaced {
            conn.abandon("the program called `retry_now`");
            // So at most one replaced connection waits for its handlers.
            std::mem::replace(&mut self.kill_replaced, kill).cancel();
            self.replaced.spawn(served);
            return None;
        }
        let closed = conn.closed().await;
        self.was_replaced = closed.by == ClosedBy::Peer && closed.code == CloseCode::REPLACED;
        Some(closed)
    }

    /// Returns the future that runs a connection. It does not borrow the session.
    fn served(
        &self,
        conn: Handle,
        transport: SocketTransport<Socket>,
        kill: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let client = self.client.clone();
        Box::pin(async move {
            // The stream of the program's connector can panic here, also when it is dropped.
            let _ = catch_panic::run(async {
                let scope = Scope { program: &client.0.program, hub: None };
                let mut transport = Some(transport);
                task::run(&mut transport, &conn, &scope, &kill).await;
            })
            .await;
        })
    }

    fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.client.is_closed()
    }

    fn inner(&self) -> &Inner<E> {
        &self.client.0
    }

    fn options(&self) -> &Options {
        &self.client.0.options
    }
}

impl<E: Endpoint> Drop for Session<E> {
    fn drop(&mut self) {
        let inner = &self.client.0;
        inner.set_current(None);
        if self.cancel.is_cancelled() {
            inner.stop.cancel();
        }
        inner.status.end(|| inner.stop.is_cancelled());
        inner.end_if_closed();
    }
}

/// Waits for a call of `retry_now` that the session has not seen.
async fn retry_now(retry: &mut watch::Receiver<()>) {
    // The client has the sender, and the session has the client.
    retry.changed().await.expect("the client lives as long as its session");
}
