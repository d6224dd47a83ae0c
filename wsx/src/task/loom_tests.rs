//! The wake-ups of a connection under a model checker: senders, the socket, a close, and the task.
//!
//! loom runs each test once for every order in which the threads can take their locks, with a
//! bounded number of preemptions. It fails when all threads wait for each other: a lost wake-up is
//! a deadlock. Handle, sends, queue and the polling of the task are the real ones. The socket and
//! the reader's future only count. `tests/scripts/model.sh` runs it.
use super::{HandlingCell, ReadEnd, Task, Writer};
use crate::{
    config::Config,
    connection::{handle::Handle, queue::Queue, sending::Sending},
    error::SendError,
    task::transport::Transport,
    wire::{close_code::CloseCode, data_message::Received, header::Opcode, violation::ReadError, write},
};
use loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// The tests found every mistake that was made on purpose with at most two. `LOOM_MAX_PREEMPTIONS`
/// sets another number.
const PREEMPTIONS: usize = 3;
/// The first byte of the model's control frames. Messages have another one.
const PONG: u8 = 0x8a;

/// Runs `model` in every order.
fn check(model: impl Fn() + Send + Sync + 'static) {
    // The write timeout needs a clock. This one is paused.
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let clock = clock.expect("a clock needs no resource");
    let _entered = clock.enter();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    let orders = Arc::new(AtomicUsize::new(0));
    builder.check({
        let orders = orders.clone();
        move || {
            orders.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    println!("orders: {}", orders.load(Ordering::Relaxed));
}

/// A thread that a waker wakes.
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut woken = lock(&self.woken);
        while !std::mem::take(&mut *woken) {
            woken = self.changed.wait(woken).expect("no model panics under this lock");
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no model panics under this lock")
}

/// Polls only when woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Arc::new(Parker { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(parker.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

/// A socket. The peer sends pings, and each is answered by a pong.
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
        let reader = {
            let mut state = lock(&self.0);
            state.pings += pings;
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
    /// Reads the pings, and answers while there is room.
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        let mut state = lock(&self.0);
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

type Reading<'w> = Pin<Box<dyn Future<Output = ReadEnd> + 'w>>;

/// Runs `body` with the connection's task, in the same thread.
fn with_task<R>(conn: &Handle, wire: &Wire, body: impl FnOnce(&mut Task<'_, Wire, Reading<'_>>) -> R) -> R {
    let reader: Reading<'_> = Box::pin(async {
        match poll_fn(|cx| wire.poll_received(conn.queue(), cx)).await {
            Ok(_) => unreachable!("the model's socket gives no messages"),
            Err(error) => ReadEnd::LinkLost(error.to_string()),
        }
    });
    let (mut reader, writer) = (reader, Writer::new(Duration::from_secs(1)));
    let (reader, waker) = (Pin::new(&mut reader), conn.reader_waker());
    let handling = HandlingCell::new();
    body(&mut Task { transport: wire, conn, writer, reader, handling: &handling, waker, heartbeat: None, end: None })
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
