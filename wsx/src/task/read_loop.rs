//! Reads messages and runs their handlers, one after the other, until the connection ends. It does
//! not write or close.
use crate::{
    connection::{
        Connection,
        handle::{Handle, Intake},
        sending::Sending,
    },
    dispatch::run::Scope,
    envelope::incoming::{Incoming, RawFrame},
    protocol::endpoint::Endpoint,
    task::transport::Transport,
    wire::{
        close_code::CloseCode,
        data_message::{DataMessage, Received},
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

/// After this many messages, the other connections of the thread get a turn, and the replies are
/// written.
const TURN: u32 = 128;

/// The reason why reading ended.
pub(super) enum ReadEnd {
    /// The peer sent a close frame.
    PeerClosed(Option<CloseFrame>),
    /// The input violates RFC 6455 or a limit. The connection is closed with this code.
    Rejected(CloseCode, String),
    /// A handler or an observer panicked.
    Panicked,
    /// The link broke.
    LinkLost(String),
}

/// Whether a handler is running, and whether its reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Handling {
    /// A handler is not running.
    Idle,
    /// The handler began before the close. A shutdown sends its reply before the close frame.
    ReplyOwed,
    /// The handler began after the close. Its reply is dropped.
    ReplyDropped,
}

/// A [`Handling`] that the reader sets and the rest of the task reads. An atomic, because both are
/// in one `Send` future.
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

    /// Notes that a handler starts.
    fn start(&self, conn: &Handle) {
        self.set(if conn.intake() == Intake::Open { Handling::ReplyOwed } else { Handling::ReplyDropped });
    }
}

/// Reads and handles one message after the other.
///
/// It owns the message while the handler runs, so the payload may borrow from it.
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
                // Owned, not borrowed: every idle connection has room for all that this future
                // holds.
                let frame = RawFrame::from(message);
                if conn.intake() != Intake::Shut {
                    handling.start(conn);
                    let answer = scope.message(conn, &frame).await;
                    reply(conn, answer, handling).await;
                }
                DataMessage::from(frame).recycle();
            }
            // The pong is already queued.
            Ok(Received::Ping) => {}
            Ok(Received::Pong(payload)) => conn.pong(&payload),
            Ok(Received::Close(close)) => return ReadEnd::PeerClosed(close),
            Err(error) => return end_of(&error),
        }
        turn += 1;
        if turn == TURN {
            turn = 0;
            // Not by a plain wake-up: here the runtime polls its sockets before it continues.
            yield_now().await;
        }
    }
}

/// Queues the reply of a handler that has returned.
async fn reply(conn: &Handle, reply: Option<Frame>, handling: &HandlingCell) {
    if let Some(reply) = reply {
        if conn.queue().try_append(reply.as_bytes()).is_err() {
            // Waits for room, and reads nothing meanwhile. A closing connection accepts the reply
            // only if the handler began before the close.
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

/// Returns how an error of the reader ends the connection.
fn end_of(error: &Error) -> ReadEnd {
    match (CloseCode::of_violation(error), error) {
        (Some(code), _) => ReadEnd::Rejected(code, error.to_string()),
        (None, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
            ReadEnd::LinkLost("the peer ended the stream without a close frame".into())
        }
        (None, error) => ReadEnd::LinkLost(error.to_string()),
    }
}
