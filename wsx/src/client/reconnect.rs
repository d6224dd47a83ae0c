//! The reconnect loop: dials, serves a connection, waits, and dials again. It does not know HTTP or
//! TLS; `dial` does.
use crate::{
    catch_panic,
    client::{
        Client, Inner,
        dial::dial,
        options::Options,
        state::ClientState,
        stream::{self, Socket},
    },
    closed::{Closed, ClosedBy},
    connection::handle::{Handle, OnConnect},
    dispatch::run::Scope,
    error::ConnectError,
    observer::Setback,
    protocol::endpoint::Endpoint,
    task::{self, deadline, transport::socket::SocketTransport},
    wire::close_code::CloseCode,
};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

/// A session: all attempts and connections of one call of `connect`. Dropping it ends the session.
pub(super) struct Session<E: Endpoint> {
    /// A clone of the client, so that the session goes on when the program has dropped its own.
    client: Client<E>,
    /// Given to `connect`; closes the client.
    cancel: CancellationToken,
    /// Given to `connect`; runs for each new connection.
    register: OnConnect,
    /// How many attempts failed in a row since the last connection that lasted. The waits grow with
    /// it.
    failures: u32,
    /// Whether another client with the same id replaced the last connection.
    replaced: bool,
}

/// A connection after its handshake, and its transport.
type Dialled = (Handle, SocketTransport<Socket>);

/// When the next attempt begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// For the first connection.
    AtOnce,
    /// After a connection has ended.
    AfterWait,
}

impl<E: Endpoint> Session<E> {
    /// Begins a session. Returns an error if the client has problems or another session is running.
    pub(super) fn begin(
        client: &Client<E>,
        cancel: CancellationToken,
        register: OnConnect,
    ) -> Result<Self, ConnectError> {
        if let Err(error) = &client.0.target {
            return Err(error.clone().into());
        }
        if !client.0.status.begin() {
            return Err(ConnectError::AlreadyConnected);
        }
        Ok(Self { client: client.clone(), cancel, register, failures: 0, replaced: false })
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
            let attempt = self.failures.saturating_add(1);
            self.inner().status.set(ClientState::Connecting { attempt });
            match self.attempt().await {
                Ok(dialled) => return Ok(dialled),
                Err(error) if !self.options().reconnect || error.is_final() => return Err(error),
                Err(error) => {
                    let setback = Setback::Attempt(error);
                    let gives_up = self.gives_up(&setback);
                    let Setback::Attempt(error) = setback else { unreachable!("made above") };
                    if gives_up {
                        return Err(error);
                    }
                    self.wait(Some(&error)).await;
                }
            }
        }
    }

    /// Dials once: makes the headers, connects, and makes the handshakes, all within the handshake
    /// timeout.
    async fn attempt(&self) -> Result<Dialled, ConnectError> {
        let Inner { url, program, target, options, .. } = self.inner();
        let Options { headers, fixed_headers, route, trust, .. } = options;
        let target = target.as_ref().map_err(Clone::clone)?;
        let limit = program.config.handshake_timeout;
        // Boxed, as are its parts, because the guard doubles the size of a future.
        let dialled = catch_panic::run(Box::pin(deadline::timeout(limit, async {
            let mut all = fixed_headers.clone();
            if let Some(headers) = headers {
                let made = headers.run(|headers| headers()).await;
                let made = made.unwrap_or_else(|| Err("the program's `headers` function panicked".into()));
                all.extend(made.map_err(ConnectError::Headers)?);
            }
            dial(target, route, trust, &all, &program.config).await
        })));
        let panicked = || ConnectError::Handshake("the program's stream panicked when it was dropped".into());
        let dialled = dialled.await.ok_or_else(panicked)?;
        let (socket, early) = dialled.unwrap_or(Err(ConnectError::Timeout(limit)))?;
        let conn = Handle::new(url.as_str().into(), Role::Client, &program.config);
        program.watch(&conn);
        Ok((conn, SocketTransport::with_tcp(socket, stream::tcp, Role::Client, early, &program.config)))
    }

    /// Waits before the next attempt. `error` is the error of the last attempt, or `None` after an
    /// ended connection.
    async fn wait(&mut self, error: Option<&ConnectError>) {
        let Options { backoff, jitter, .. } = self.options();
        let random = jitter.call(|jitter| jitter()).unwrap_or_else(rand::random);
        let delay = match error {
            Some(ConnectError::Rejected { retry_after: Some(asked), .. }) => {
                backoff.delay_asked(self.failures, random, *asked)
            }
            None if self.replaced => backoff.delay_replaced(random),
            _ => backoff.delay(self.failures, random),
        };
        self.failures = self.failures.saturating_add(1);
        if let Some(error) = error {
            self.inner().program.observer.connect_failed(self.failures, delay, error);
        }
        self.inner().status.set(ClientState::Waiting { attempt: self.failures, delay });
        sleep(delay).await;
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
            let closed = self.serve(conn, transport).await;
            if !self.options().reconnect || self.is_stopped() || self.gives_up(&Setback::Ended(closed)) {
                break;
            }
            match self.next(Start::AfterWait).await {
                Ok(next) => {
                    (conn, transport) = next;
                    self.enter(&conn);
                }
                // Closed or gave up. The observer already knows it.
                Err(_) => break,
            }
        }
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

    /// Serves one connection from its first message to its end. Returns the reason for the end.
    async fn serve(&mut self, conn: Handle, transport: SocketTransport<Socket>) -> Closed {
        let inner = &self.client.0;
        let scope = Scope { program: &inner.program, hub: None };
        let since = Instant::now();
        let kill = CancellationToken::new();
        // The stream of the program's connector can panic here, also when it is dropped.
        let served = catch_panic::run(async {
            let mut transport = Some(transport);
            task::run(&mut transport, &conn, &scope, &kill).await;
        });
        tokio::pin!(served);
        tokio::select! {
            _ = &mut served => {}
            () = self.cancel.cancelled() => {
                inner.stop.cancel();
                conn.close(CloseCode::NORMAL, String::new());
                served.await;
            }
            () = inner.stop.cancelled() => {
                conn.close(CloseCode::NORMAL, String::new());
                served.await;
            }
        }
        inner.set_current(None);
        if since.elapsed() >= inner.options.backoff.stable_after {
            self.failures = 0;
        }
        let closed = conn.closed().await;
        self.replaced = closed.by == ClosedBy::Peer && closed.code == CloseCode::REPLACED;
        closed
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
    }
}
