//! A connection with its task, and the raw stream of its peer, for the unit tests of the task.
use crate::{
    config::Config,
    connection::{closure_handler::by_hand, handle::Handle},
    dispatch::{program::Program, run::Scope},
    envelope::Envelope,
    observer::{GuardedObserver, Observer, Silent},
    protocol::endpoint::{Endpoint, Untyped},
    task::{
        run,
        transport::{Transport, socket::SocketTransport},
    },
    wire::{close_code::CloseCode, role::Role},
};
use serde::de::IgnoredAny;
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const ASK: &[u8] = br#"{"type":"ask"}"#;

/// A server's connection with its task, and the raw stream of its peer.
pub(super) struct Running {
    pub(super) conn: Handle,
    pub(super) far: DuplexStream,
    pub(super) task: JoinHandle<()>,
    pub(super) kill: CancellationToken,
}

/// Starts a connection whose handler of `ask` replies after this time. The peer's stream holds
/// `room` bytes.
pub(super) fn start(config: Config, takes: Duration, room: usize) -> Running {
    start_with(config, takes, room, Silent, |transport| transport)
}

/// As [`start`], with an observer, and with a transport around that of the socket.
pub(super) fn start_with<T: Transport + 'static>(
    config: Config,
    takes: Duration,
    room: usize,
    observer: impl Observer,
    around: impl FnOnce(SocketTransport<DuplexStream>) -> T,
) -> Running {
    let mut program = Program::without_handlers(Untyped::default(), config);
    program.observer = GuardedObserver::new(observer);
    let running = start_program(program, room, around);
    running.conn.set_handler(
        "ask".into(),
        by_hand(move |_: IgnoredAny, _| async move {
            sleep(takes).await;
            Envelope::with_type("answer", 1)
        }),
    );
    running
}

/// As [`start_with`], with the handlers of this program.
pub(super) fn start_program<E: Endpoint, T: Transport + 'static>(
    program: Program<E>,
    room: usize,
    around: impl FnOnce(SocketTransport<DuplexStream>) -> T,
) -> Running {
    let conn = Handle::new("".into(), Role::Server, &program.config);
    let ((near, far), kill) = (duplex(room), CancellationToken::new());
    let mut transport = Some(around(SocketTransport::new(near, Role::Server, Vec::new(), &program.config)));
    let task = tokio::spawn({
        let (conn, kill) = (conn.clone(), kill.clone());
        async move { run(&mut transport, &conn, &Scope { program: &program, hub: None }, &kill).await }
    });
    Running { conn, far, task, kill }
}

/// Panics when the future is still pending after an hour of the paused clock.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    timeout(3600 * SECOND, future).await.expect("it does not take an hour")
}

/// Returns a frame of a client, with a mask of zeros.
pub(super) fn frame_of_a_client(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = 0x80 | u8::try_from(payload.len()).expect("a short frame");
    [&[first, length, 0, 0, 0, 0], payload].concat()
}

impl Running {
    /// Sends a frame of a client.
    pub(super) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.far.write_all(&frame_of_a_client(first, payload)).await.expect("the connection reads");
    }

    /// Reads a frame. Returns its first byte and its payload; `None` at the FIN.
    pub(super) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        within(self.far.read_exact(&mut header)).await.ok()?;
        let mut payload = vec![0; usize::from(header[1])];
        within(self.far.read_exact(&mut payload)).await.expect("a frame is complete");
        Some((header[0], payload))
    }

    /// Closes with this program's code 1000, and exchanges the close frames.
    pub(super) async fn close(&mut self) {
        self.conn.close(CloseCode::NORMAL, String::new());
        assert_eq!(self.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
        self.send(0x88, b"\x03\xe8").await;
        assert_eq!(self.frame().await, None, "our FIN");
    }
}
