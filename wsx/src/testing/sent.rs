//! The messages that a program sends to a `TestPeer`: taken out of the connection's queue, as its
//! task does, and read as its peer does. It does not know the types of messages.
use crate::{
    config::Config,
    connection::{handle::Handle, queue::Taken},
    delivery::deliveries::Deliveries,
    envelope::incoming::RawFrame,
    testing::{
        answers::Answers,
        kept::{Kept, Noted},
    },
    wire::{
        data_message::Received,
        read::{Reader, Silence},
        role::Role,
    },
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
};
use tokio::sync::Notify;

/// The messages that the program has sent, and the test has not taken.
#[derive(Debug)]
pub(super) struct Sent {
    /// The lock is held while messages are moved here, so that they keep their order.
    messages: Mutex<VecDeque<RawFrame<'static>>>,
    /// The answers to requests, which are then not among the messages.
    pub(super) answers: Answers,
    /// The messages that the program keeps until this peer has handled them.
    pub(super) kept: Kept,
    /// Notified after a change.
    pub(super) changed: Notify,
}

impl Sent {
    pub(super) fn new(deliveries: Deliveries) -> Self {
        let (messages, answers, changed) = (Mutex::default(), Answers::default(), Notify::new());
        Self { messages, answers, kept: Kept::new(deliveries), changed }
    }

    pub(super) fn messages(&self) -> MutexGuard<'_, VecDeque<RawFrame<'static>>> {
        self.messages.lock().expect("no code of the program runs under this lock")
    }

    /// Takes messages as soon as they are sent, so that the program never waits for its test.
    pub(super) async fn take_all(self: Arc<Self>, conn: Handle) {
        poll_fn(|cx| {
            conn.queue().begin_poll(cx.waker());
            self.take(&conn);
            self.changed.notify_one();
            Poll::<()>::Pending
        })
        .await;
    }

    /// Takes the messages out of the queue of a connection, as its task does.
    pub(super) fn take(&self, conn: &Handle) {
        // An acknowledgement makes room for the next kept messages.
        while self.take_queued(conn) {
            self.kept.acknowledge(conn);
        }
        conn.report_queue();
        if let Some(closed) = conn.closed_by_us() {
            // The peer answers a close at once.
            conn.set_closed(closed);
        }
    }

    /// Takes what the queue has. Returns whether there is something to acknowledge.
    fn take_queued(&self, conn: &Handle) -> bool {
        let mut messages = self.messages();
        let (mut requests, mut flushed) = (Vec::<Vec<_>>::new(), Vec::new());
        let mut is_kept = false;
        loop {
            let frames = match conn.queue().take() {
                Taken::Nothing => break,
                Taken::One(frame) => frame.to_vec(),
                Taken::Many(batch) => batch,
                Taken::Flush(mark) => {
                    flushed.push(mark);
                    continue;
                }
            };
            let (asked, others): (Vec<_>, Vec<_>) =
                read(peer_of(conn.role()), frames).into_iter().partition(|it| self.answers.has(it));
            for message in others {
                let noted = self.kept.note(&message);
                is_kept |= noted != Noted::Plain;
                if noted != Noted::Control {
                    messages.push_back(message);
                }
            }
            requests.push(asked);
        }
        drop(messages);
        // These run code of the test and wake tasks of the program, so not under the lock.
        requests.iter().flatten().for_each(|request: &RawFrame<'_>| self.answers.answer(conn, request));
        flushed.into_iter().for_each(|mark| drop(mark.set(())));
        is_kept
    }
}

/// Returns the messages in the bytes that `reader` receives.
pub(super) fn read(reader: Role, bytes: Vec<u8>) -> Vec<RawFrame<'static>> {
    let mut messages = Vec::new();
    let mut reader = Reader::new(reader, bytes, &Config::default().max_message_size(usize::MAX));
    while let Poll::Ready(Ok(received)) = reader.poll(&mut Silence) {
        if let Received::Message(message) = received {
            messages.push(message.into());
        }
    }
    reader.shrink();
    messages
}

pub(super) fn only(mut messages: Vec<RawFrame<'static>>) -> RawFrame<'static> {
    messages.pop().expect("a message is one frame")
}

pub(super) fn peer_of(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}
