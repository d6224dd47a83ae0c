//! Reads messages and runs their handlers, one after the other, until the connection ends.
use crate::{
    connection::{
        Connection,
        handle::{Handle, Intake},
        sending::Sending,
    },
    dispatch::scope::Scope,
    envelope::incoming::{Incoming, RawFrame},
    protocol::endpoint::Endpoint,
    task::transport::Transport,
    wire::{
        close_code::CloseCode,
        message::{DataMessage, Received},
        write::Frame,
    },
};
use std::{
    future::poll_fn,
    sync::atomic::{AtomicU8, Ordering},
};
use tokio::task::yield_now;
use tokio_tungstenite::tungstenite::{
    error::{Error, ProtocolError},
    protocol::CloseFrame,
};

/// After this many messages the other connections of the thread have a turn, and the replies are written.
const TURN: u32 = 128;

/// Why reading ended.
pub(super) enum ReadEnd {
    /// The peer sent a close frame.
    PeerClosed(Option<CloseFrame>),
    /// The peer broke RFC 6455 or a limit. We close with this code.
    Rejected(CloseCode, String),
    /// A handler or an observer panicked.
    Panicked,
    /// The link broke.
    LinkLost(String),
}

/// Whether a handler runs, and what becomes of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Handling {
    /// No handler runs.
    Idle,
    /// The handler started before any close. Its reply is sent before the close frame of a shutdown.
    ReplyOwed,
    /// The handler started after a close. Its reply is dropped.
    ReplyDropped,
}

/// A [`Handling`] that the reading half of the task sets and the other half looks at.
pub(super) struct HandlingCell(AtomicU8);

impl HandlingCell {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Handling::Idle as u8))
    }

    pub(super) fn get(&self) -> Handling {
        match self.0.load(Ordering::Relaxed) {
            0 => Handling::Idle,
            1 => Handling::ReplyOwed,
            _ => Handling::ReplyDropped,
        }
    }

    fn set(&self, handling: Handling) {
        self.0.store(handling as u8, Ordering::Relaxed);
    }

    /// A handler starts.
    fn start(&self, conn: &Handle) {
        self.set(if conn.intake() == Intake::Open { Handling::ReplyOwed } else { Handling::ReplyDropped });
    }
}

/// Reads and handles one message after the other. Owns the frame while its handler runs, so payloads may borrow from it.
pub(super) async fn read<E: Endpoint, T: Transport>(
    transport: &T,
    conn: &Handle,
    scope: &Scope<'_, E>,
    handling: &HandlingCell,
) -> ReadEnd {
    handling.start(conn);
    scope.program.observer.connection_opened(Connection::of(conn));
    let opening = scope.event(conn, &Incoming::open()).await;
    reply(conn, opening, handling).await;
    let mut turn = 0;
    loop {
        match poll_fn(|cx| transport.poll_received(conn.queue(), cx)).await {
            Ok(Received::Message(message)) => {
                // Owned and not borrowed: every idle connection has the room for what this future holds.
                let frame = RawFrame::from(message);
                if conn.intake() != Intake::Shut {
                    handling.start(conn);
                    let answer = scope.message(conn, &frame).await;
                    reply(conn, answer, handling).await;
                }
                DataMessage::from(frame).recycle();
            }
            // The pong is queued already.
            Ok(Received::Ping) => {}
            Ok(Received::Pong(payload)) => conn.pong(&payload),
            Ok(Received::Close(close)) => return ReadEnd::PeerClosed(close),
            Err(error) => return end_of(&error),
        }
        turn += 1;
        if turn == TURN {
            turn = 0;
            // Not by a wake: the runtime looks at its sockets before this continues.
            yield_now().await;
        }
    }
}

/// Queues the reply of a handler that has returned.
async fn reply(conn: &Handle, reply: Option<Frame>, handling: &HandlingCell) {
    if let Some(reply) = reply {
        if conn.queue().try_append(reply.as_bytes()).is_err() {
            // Waits for room, and meanwhile reads nothing. A connection that closes takes only a reply that it owes.
            let sending = Sending::on(conn, Ok(reply.into_bytes()));
            let _ = match handling.get() {
                Handling::ReplyOwed => sending.of_handler(),
                Handling::Idle | Handling::ReplyDropped => sending,
            }
            .await;
        }
    }
    handling.set(Handling::Idle);
}

/// How an error of the reader ends the connection.
fn end_of(error: &Error) -> ReadEnd {
    match (CloseCode::of_violation(error), error) {
        (Some(code), _) => ReadEnd::Rejected(code, error.to_string()),
        (None, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
            ReadEnd::LinkLost("the peer ended the stream without a close frame".into())
        }
        (None, error) => ReadEnd::LinkLost(error.to_string()),
    }
}
