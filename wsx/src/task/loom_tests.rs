//! The wake-ups of a connection under a model checker: senders, the socket, a close, and the task.
//!
//! loom runs each test once for every order in which the threads can take their locks, with a
//! bounded number of preemptions. It fails when all threads wait for each other: a lost wake-up is
//! a deadlock. Handle, sends, queue, reader and the polling of the task are the real ones. Only the
//! socket is a model. `tests/scripts/model.sh` runs it.
use super::{Task, Writer, progress::Progress, read_loop::ReadLoop};
use crate::{
    config::Config,
    connection::{
        closure_handler::{OwnHandler, by_hand},
        handle::Handle,
        loom_or_std::model::{block_on, check, lock},
        queue::Queue,
        sending::Sending,
    },
    dispatch::{program::Program, run::Scope},
    envelope::Envelope,
    error::SendError,
    protocol::endpoint::Untyped,
    task::{
        progress::Handling,
        transport::{Transport, unacknowledged::Unacknowledged},
    },
    wire::{
        close_code::CloseCode,
        data_message::{DataMessage, Received},
        header::Opcode,
        role::Role,
        violation::ReadError,
        write,
    },
};
use loom::{sync::Mutex, thread};
use serde::de::IgnoredAny;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

/// The first byte of the model's control frames. Messages have another one.
const PONG: u8 = 0x8a;

/// The first byte of a reply's frame, whose payload begins with a brace.
const REPLY: u8 = b'{';

/// A socket. The peer sends pings, each of which is answered by a pong, and questions.
struct Wire(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether it takes bytes.
    open: bool,
    /// Whether it takes bytes after a ping was read, like the socket of a peer that sends before it
    /// reads.
    opens_for_reader: bool,
    written: Vec<u8>,
    writer: Option<Waker>,
    /// Pings that were received and not read.
    pings: usize,
    /// Questions that were received and not read.
    questions: usize,
    reader: Option<Waker>,
    /// Pongs that were queued.
    answered: usize,
}

impl Wire {
    fn open() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { open: true, ..State::default() })))
    }

    fn blocked() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn blocked_until_it_is_read() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { opens_for_reader: true, ..State::default() })))
    }

    /// The peer reads again.
    fn unblock(&self) {
        let writer = {
            let mut state = lock(&self.0);
            state.open = true;
            state.writer.take()
        };
        writer.into_iter().for_each(Waker::wake);
    }

    /// The peer sends pings.
    fn receive(&self, pings: usize) {
        self.receive_both(pings, 0);
    }

    /// The peer sends questions, then pings.
    fn receive_both(&self, pings: usize, questions: usize) {
        let reader = {
            let mut state = lock(&self.0);
            state.pings += pings;
            state.questions += questions;
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// Returns the first byte of each written message, and the number of pongs.
    fn written(&self) -> (Vec<u8>, usize) {
        let state = lock(&self.0);
        let (mut messages, mut pongs, mut rest) = (Vec::new(), 0, &state.written[..]);
        while let [first, length, behind @ ..] = rest {
            let (payload, next) = behind.split_at(usize::from(*length));
            match *first {
                PONG => pongs += 1,
                _ => messages.push(payload[0]),
            }
            rest = next;
        }
        (messages, pongs)
    }
}

impl Transport for Wire {
    /// Reads a question, or the pings, which it answers while there is room.
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        let mut state = lock(&self.0);
        if state.questions > 0 {
            state.questions -= 1;
            let question = r#"{"type":"question","data":null}"#.to_owned();
            return Poll::Ready(Ok(Received::Message(DataMessage::Text(question))));
        }
        while state.pings > 0 {
            state.open |= state.opens_for_reader;
            if !queue.push_control(&[PONG, 0]) {
                return Poll::Pending;
            }
            state.pings -= 1;
            state.answered += 1;
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn shrink(&self) {}

    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.open {
            state.written.extend_from_slice(frames);
            return Poll::Ready(Ok(frames.len()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn take_received(&self) -> bool {
        false
    }

    fn unacknowledged(&self) -> Option<Unacknowledged> {
        None
    }

    fn poll_discard(&self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

/// A connection whose queue holds this many messages.
fn connection(messages: usize) -> Handle {
    Handle::new("".into(), Role::Server, &Config::default().queue_messages(messages))
}

/// Sends a message of `length` bytes, each of which is its name.
fn send(conn: &Handle, name: u8, length: usize) -> Sending<'_> {
    Sending::on(conn, Ok(write::frame(Opcode::BINARY, Role::Server, &vec![name; length])))
}

/// Polls once, without a waker. Returns whether the send waits.
fn is_pending(sending: &mut Sending<'_>) -> bool {
    Pin::new(sending).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

type Reading<'w> = Pin<Box<dyn Future<Output = ()> + 'w>>;

/// Runs `body` with the connection's task, in the same thread.
fn with_task<R>(conn: &Handle, wire: &Wire, body: impl FnOnce(&mut Task<'_, Wire, Reading<'_>>) -> R) -> R {
    let program = Program::without_handlers(Untyped::default(), Config::default());
    let (scope, progress) = (Scope { program: &program, hub: None }, Progress::new());
    let mut reader: Reading<'_> = Box::pin(ReadLoop::new(wire, conn, &scope, &progress).run());
    body(&mut Task {
        transport: wire,
        conn,
        writer: Writer::new(Duration::from_secs(1)),
        reader: Pin::new(&mut reader),
        progress: &progress,
        waker: conn.reader_waker(),
        heartbeat: None,
        failed: None,
        reader_done: false,
        in_hub: false,
    })
}

/// Runs the task until everything is written and `done` accepts the written messages and pongs.
/// Returns the messages.
fn run_until(task: &mut Task<'_, Wire, Reading<'_>>, done: impl Fn(&[u8], usize) -> bool) -> Vec<u8> {
    block_on(poll_fn(|cx| {
        let Poll::Ready(written) = task.poll(cx) else { return Poll::Pending };
        written.expect("the model's socket does not break");
        let (messages, pongs) = task.transport.written();
        if done(&messages, pongs) { Poll::Ready(messages) } else { Poll::Pending }
    }))
}

#[test]
fn queued_messages_leave_in_order_and_every_send_resolves() {
    check(|| {
        let (conn, wire) = (connection(1), Wire::open());
        let senders = [b"ab".as_slice(), b"x"].map(|names| {
            let conn = conn.clone();
            thread::spawn(move || {
                for name in names {
                    block_on(send(&conn, *name, 1)).expect("nobody closes");
                }
            })
        });
        let sent = with_task(&conn, &wire, |task| run_until(task, |messages, _| messages.len() == 3));
        senders.into_iter().for_each(|sender| sender.join().expect("a sender ends"));
        assert!(matches!(&sent[..], b"abx" | b"axb" | b"xab"), "{sent:?}");
    });
}

/// The peer reads nothing until its ping was read.
#[test]
fn the_reader_is_polled_after_each_wake_while_a_write_is_blocked() {
    check(|| {
        let (conn, wire) = (connection(8), Wire::blocked_until_it_is_read());
        let peer = thread::spawn({
            let wire = wire.clone();
            move || (0..2).for_each(|_| wire.receive(1))
        });
        let sender = thread::spawn({
            let conn = conn.clone();
            move || block_on(send(&conn, b'a', 1)).expect("nobody closes")
        });
        with_task(&conn, &wire, |task| run_until(task, |messages, pongs| messages.len() == 1 && pongs == 2));
        peer.join().expect("the peer ends");
        sender.join().expect("the sender ends");
    });
}

#[test]
fn a_pong_without_room_leaves_when_there_is_room() {
    check(|| {
        let (conn, wire) = (connection(8), Wire::blocked());
        let peer = thread::spawn({
            let wire = wire.clone();
            move || {
                wire.receive(18);
                wire.unblock();
            }
        });
        with_task(&conn, &wire, |task| run_until(task, |_, pongs| pongs == 18));
        peer.join().expect("the peer ends");
    });
}

/// A send may be polled by one task and then by another. The last one has to be woken.
#[test]
fn a_waiting_sender_is_woken_by_its_last_waker() {
    check(|| {
        let (conn, wire) = (connection(1), Wire::open());
        block_on(send(&conn, b'a', 1)).expect("there is room");
        let sender = thread::spawn({
            let conn = conn.clone();
            move || {
                let mut sending = send(&conn, b'b', 1);
                if is_pending(&mut sending) {
                    block_on(sending).expect("nobody closes");
                }
            }
        });
        let sent = with_task(&conn, &wire, |task| run_until(task, |messages, _| messages.len() == 2));
        sender.join().expect("the sender ends");
        assert_eq!(sent, b"ab");
    });
}

/// The socket takes nothing until the short message is queued. So only the cancelled long one can
/// make room for it.
#[test]
fn a_cancelled_send_makes_way_for_the_next_ones() {
    check(|| {
        let conn = Handle::new("".into(), Role::Server, &Config::default().queue_bytes(100));
        let wire = Wire::blocked();
        let sent = with_task(&conn, &wire, |task| {
            // The blocked writer has the first message, the queue has the second.
            block_on(send(&conn, b'a', 50)).expect("there is room");
            assert!(task.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            block_on(send(&conn, b'b', 50)).expect("there is room");
            let cancelled = thread::spawn({
                let conn = conn.clone();
                move || is_pending(&mut send(&conn, b'l', 90))
            });
            let sender = thread::spawn({
                let (conn, wire) = (conn.clone(), wire.clone());
                move || {
                    block_on(send(&conn, b's', 5)).expect("nobody closes");
                    wire.unblock();
                }
            });
            let sent = run_until(task, |messages, _| messages.contains(&b's'));
            sender.join().expect("the sender ends");
            cancelled.join().expect("the sender ends");
            sent
        });
        // A send that was queued right before it was cancelled is sent, and only once.
        assert!(matches!(&sent[..], b"abs" | b"absl" | b"abls"), "{sent:?}");
    });
}

#[test]
fn a_close_wakes_the_blocked_task_and_every_waiting_sender() {
    check(|| {
        let (conn, wire) = (connection(1), Wire::blocked());
        let senders = [b'a', b'b'].map(|name| {
            let conn = conn.clone();
            thread::spawn(move || (name, block_on(send(&conn, name, 1))))
        });
        let closer = thread::spawn({
            let conn = conn.clone();
            move || conn.close(CloseCode::NORMAL, String::new())
        });
        let sent = with_task(&conn, &wire, |task| {
            block_on(poll_fn(|cx| task.poll_serve(cx)));
            wire.unblock();
            run_until(task, |_, _| true)
        });
        closer.join().expect("the closer ends");
        for (name, result) in senders.map(|sender| sender.join().expect("a sender ends")) {
            let times = sent.iter().filter(|sent| **sent == name).count();
            match result {
                Ok(()) => assert_eq!(times, 1, "accepted, and not sent once"),
                Err(SendError::Closed) => assert_eq!(times, 0, "rejected, and sent anyway"),
                Err(other) => panic!("{other}"),
            }
        }
    });
}

fn answer() -> Envelope<u8> {
    Envelope::with_type("answer", 1)
}

/// The queue has room for one reply at a time. The peer reads nothing until it has asked three
/// questions, and a sender takes room too.
#[test]
fn a_reply_that_waits_for_room_leaves_when_there_is_room() {
    check(|| {
        let conn = Handle::new("".into(), Role::Server, &Config::default().queue_bytes(1));
        conn.set_handler("question".to_owned(), by_hand(|_: IgnoredAny, _| async { answer() }));
        let wire = Wire::blocked();
        let peer = thread::spawn({
            let wire = wire.clone();
            move || {
                wire.receive_both(0, 3);
                wire.unblock();
            }
        });
        let sender = thread::spawn({
            let conn = conn.clone();
            move || block_on(send(&conn, b'a', 1)).expect("nobody closes")
        });
        let sent = with_task(&conn, &wire, |task| run_until(task, |messages, _| messages.len() == 4));
        peer.join().expect("the peer ends");
        sender.join().expect("the sender ends");
        assert_eq!(sent.iter().filter(|name| **name == REPLY).count(), 3);
    });
}

/// The peer never reads, so only the close can end the wait of the reply.
#[test]
fn a_close_ends_the_wait_of_a_reply() {
    check(|| {
        let conn = Handle::new("".into(), Role::Server, &Config::default().queue_bytes(1));
        conn.set_handler("question".to_owned(), by_hand(|_: IgnoredAny, _| async { answer() }));
        let wire = Wire::blocked();
        wire.receive_both(0, 3);
        let closer = thread::spawn({
            let conn = conn.clone();
            move || conn.close(CloseCode::NORMAL, String::new())
        });
        with_task(&conn, &wire, |task| {
            block_on(poll_fn(|cx| {
                let _ = task.poll(cx);
                let all_read = lock(&wire.0).questions == 0;
                let waits = task.progress.handling() != Handling::Idle;
                if conn.is_closed() && all_read && !waits { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
        closer.join().expect("the closer ends");
    });
}

/// Answers the first question after the signal, and the others at once.
fn answer_after(signalled: oneshot::Receiver<()>) -> Arc<dyn OwnHandler> {
    let signalled = std::sync::Mutex::new(Some(signalled));
    by_hand(move |_: IgnoredAny, _| {
        let signalled = signalled.lock().expect("nothing panics under this lock").take();
        async move {
            if let Some(signalled) = signalled {
                signalled.await.expect("the signal is sent");
            }
            answer()
        }
    })
}

/// The peer sends a question, then another one with a ping.
fn ask_twice(wire: &Arc<Wire>) -> thread::JoinHandle<()> {
    let wire = wire.clone();
    thread::spawn(move || {
        wire.receive_both(0, 1);
        wire.receive_both(1, 1);
    })
}

#[test]
fn a_handler_that_waits_is_polled_again_when_it_is_woken() {
    check(|| {
        let (conn, wire) = (connection(8), Wire::open());
        let (signal, signalled) = oneshot::channel();
        conn.set_handler("question".to_owned(), answer_after(signalled));
        let peer = ask_twice(&wire);
        let program = thread::spawn(move || signal.send(()).expect("the handler waits for it"));
        with_task(&conn, &wire, |task| run_until(task, |messages, pongs| messages.len() == 2 && pongs == 1));
        peer.join().expect("the peer ends");
        program.join().expect("the program ends");
    });
}

/// The handler ends only after the pong, so the reader has to go on while the handler waits.
#[test]
fn a_ping_is_answered_while_a_handler_waits() {
    check(|| {
        let (conn, wire) = (connection(8), Wire::open());
        let (signal, signalled) = oneshot::channel();
        conn.set_handler("question".to_owned(), answer_after(signalled));
        let peer = ask_twice(&wire);
        let signal = Cell::new(Some(signal));
        with_task(&conn, &wire, |task| {
            run_until(task, |messages, pongs| {
                if pongs == 1 {
                    signal.take().into_iter().for_each(|signal| signal.send(()).expect("the handler waits for it"));
                }
                messages.len() == 2 && pongs == 1
            })
        });
        peer.join().expect("the peer ends");
    });
}
