//! Requests under a model checker: their future, the table, the reader, and the end of the
//! connection, each in a thread of its own. `task/loom_tests.rs` says how the models work.
use crate::{
    closed::{Closed, ClosedBy},
    config::Config,
    connection::{
        asking::Asking,
        handle::Handle,
        loom_or_std::model::{block_on, check, lock},
        queue::{Queue, Taken},
        request_error::RequestError,
        requests::Writes,
    },
    dispatch::{program::Program, run::Scope},
    envelope::{Envelope, frame::Encode as _},
    error::SendError,
    message::{Derived, Message},
    protocol::endpoint::Untyped,
    task::{
        Task, end_unfinished,
        progress::Progress,
        read_loop::ReadLoop,
        transport::{Transport, unacknowledged::Unacknowledged},
        writer::Writer,
    },
    wire::{
        close_code::CloseCode,
        data_message::{DataMessage, Received},
        role::Role,
        violation::ReadError,
    },
};
use loom::{sync::Mutex, thread};
use serde::Deserialize;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

#[derive(Debug, Deserialize)]
struct Done(u32);

impl Derived for Done {}
impl Message for Done {
    const TYPE: &'static str = "done";
    const FINGERPRINT: u64 = 0;
}

type Outcome = Result<Done, RequestError>;

/// A connection whose queue holds this many messages.
fn connection(messages: usize) -> Handle {
    Handle::new("".into(), Role::Server, &Config::default().queue_messages(messages))
}

fn request(conn: &Handle) -> Asking<'_, Done> {
    Asking::on(conn, |keys| Envelope::with_type("what", 1).draft(keys))
}

fn reply(n: u32) -> DataMessage {
    DataMessage::Text(format!(r#"{{"type":"done","re":1,"data":{n}}}"#))
}

fn closed() -> Closed {
    Closed::new(CloseCode::ABNORMAL, "lost", ClosedBy::Link)
}

/// Takes everything out of the queue. Returns it as text.
fn take_all(conn: &Handle) -> String {
    let mut all = Vec::new();
    loop {
        match conn.queue().take() {
            Taken::Nothing => return String::from_utf8_lossy(&all).into_owned(),
            Taken::One(frame) => all.extend(&frame),
            Taken::Many(batch) => all.extend(batch),
            Taken::Flush(_) => {}
        }
    }
}

/// The reply, the end and the polls come in any order. The request has one outcome, and is woken
/// for it.
#[test]
fn a_request_ends_once_whatever_comes_first() {
    check(|| {
        let conn = connection(8);
        let asking = request(&conn);
        let peer = thread::spawn({
            let conn = conn.clone();
            move || {
                let is_answered = conn.requests().answer(1, reply(5)).is_ok();
                assert!(conn.requests().answer(1, reply(6)).is_err(), "a second reply");
                is_answered
            }
        });
        let end = thread::spawn({
            let conn = conn.clone();
            move || end_unfinished(&conn, closed())
        });
        let outcome: Outcome = block_on(asking);
        let is_answered = peer.join().expect("the peer ends");
        end.join().expect("the end ends");
        match outcome {
            Ok(Done(n)) => assert!(n == 5 && is_answered),
            // Nothing takes the frame.
            Err(RequestError::NotSent(SendError::Closed)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}

/// A request may be polled by one task and then by another. The last one has to be woken.
#[test]
fn a_request_is_woken_by_its_last_waker() {
    check(|| {
        let conn = connection(8);
        let mut asking = pin!(request(&conn));
        let peer = thread::spawn({
            let conn = conn.clone();
            move || conn.requests().answer(1, reply(5)).is_ok()
        });
        let first: Poll<Outcome> = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let outcome = match first {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => block_on(asking),
        };
        assert!(peer.join().expect("the peer ends"));
        assert!(matches!(outcome, Ok(Done(5))), "{outcome:?}");
    });
}

/// The peer gets a cancellation exactly if its reply came too late.
#[test]
fn a_dropped_request_is_cancelled_unless_its_reply_is_here() {
    check(|| {
        let conn = connection(8);
        let mut asking: Pin<Box<Asking<'_, Done>>> = Box::pin(request(&conn));
        assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let peer = thread::spawn({
            let conn = conn.clone();
            move || conn.requests().answer(1, reply(5)).is_ok()
        });
        drop(asking);
        let is_answered = peer.join().expect("the peer ends");
        let queued = take_all(&conn);
        assert!(queued.contains("\"what\""), "{queued}");
        assert_eq!(queued.contains("\"cancelled\""), !is_answered, "{queued}");
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}

/// The table is made by the first request, perhaps after the end. No request waits for its
/// deadline.
#[test]
fn no_request_waits_after_the_end() {
    for handler_runs in [true, false] {
        check(move || {
            let conn = connection(8);
            let program = thread::spawn({
                let conn = conn.clone();
                move || {
                    let outcome: Outcome = block_on(request(&conn));
                    outcome
                }
            });
            if handler_runs {
                // As the task does then.
                conn.drain();
                conn.end_requests(&closed(), Writes::Over);
            }
            end_unfinished(&conn, closed());
            let outcome = program.join().expect("the program ends");
            assert!(matches!(outcome, Err(RequestError::NotSent(SendError::Closed))), "{outcome:?}");
            assert!(!conn.awaits_reply(), "the table is empty");
        });
    }
}

/// Two requests are made at once. Each gets its own reply.
#[test]
fn each_of_two_requests_gets_its_own_reply() {
    check(|| {
        let conn = connection(8);
        let programs = [(); 2].map(|()| {
            let conn = conn.clone();
            thread::spawn(move || {
                let outcome: Outcome = block_on(request(&conn));
                outcome.expect("the peer answers").0
            })
        });
        // Until both are in the table.
        let mut rest: Vec<u32> = vec![1, 2];
        while !rest.is_empty() {
            rest.retain(|id| conn.requests().answer(u64::from(*id), reply(*id)).is_err());
            if !rest.is_empty() {
                thread::yield_now();
            }
        }
        let mut replies = programs.map(|program| program.join().expect("a program ends"));
        replies.sort_unstable();
        assert_eq!(replies, [1, 2]);
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}

/// A request whose deadline passes while it waits for room was not sent, exactly if its frame never
/// gets into the queue.
#[test]
fn a_request_without_room_is_sent_or_reported_as_not_sent() {
    check(|| {
        let conn = connection(1);
        conn.try_push(b"first".as_slice().into()).expect("there is room");
        let task = thread::spawn({
            let conn = conn.clone();
            move || take_all(&conn)
        });
        let outcome: Outcome = block_on(request(&conn).timeout(Duration::ZERO));
        let taken = task.join().expect("the task ends") + &take_all(&conn);
        match outcome {
            Err(RequestError::NotSent(SendError::Full)) => assert!(!taken.contains("\"what\""), "{taken}"),
            Err(RequestError::TimedOut) => assert!(taken.contains("\"what\""), "{taken}"),
            other => panic!("{other:?}"),
        }
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}

/// A socket whose peer answers each request as soon as it has its frame.
#[derive(Default)]
struct Wire(Mutex<Inbox>);

#[derive(Default)]
struct Inbox {
    replies: usize,
    reader: Option<Waker>,
}

impl Transport for Wire {
    fn poll_received(&self, _: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        let mut inbox = lock(&self.0);
        if inbox.replies > 0 {
            inbox.replies -= 1;
            return Poll::Ready(Ok(Received::Message(reply(5))));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn shrink(&self) {}

    fn poll_write(&self, frames: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let requests = String::from_utf8_lossy(frames).matches("\"what\"").count();
        let reader = {
            let mut inbox = lock(&self.0);
            inbox.replies += requests;
            if requests > 0 { inbox.reader.take() } else { None }
        };
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(frames.len()))
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

/// Runs the connection's task until its end, or until `is_done` holds after a poll.
fn run_task(conn: &Handle, is_done: &dyn Fn(&Context<'_>) -> bool) {
    let (wire, program) = (Wire::default(), Program::without_handlers(Untyped::default(), Config::default()));
    let (scope, progress) = (Scope { program: &program, hub: None }, Progress::new());
    let mut reader: Pin<Box<dyn Future<Output = ()> + '_>> =
        Box::pin(ReadLoop::new(&wire, conn, &scope, &progress).run());
    let mut task = Task {
        transport: &wire,
        conn,
        writer: Writer::new(Duration::from_secs(1)),
        reader: Pin::new(&mut reader),
        progress: &progress,
        waker: conn.reader_waker(),
        heartbeat: None,
        failed: None,
        reader_done: false,
        in_hub: false,
    };
    block_on(poll_fn(|cx| match task.poll_serve(cx) {
        Poll::Pending if !is_done(cx) => Poll::Pending,
        _ => Poll::Ready(()),
    }));
    end_unfinished(conn, closed());
}

/// The request wakes the writer, and the reply wakes the reader and then the request.
#[test]
fn a_reply_reaches_its_request_through_the_task() {
    check(|| {
        let conn = connection(8);
        let (done, wake) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(None::<Waker>)));
        let program = thread::spawn({
            let (conn, done, wake) = (conn.clone(), done.clone(), wake.clone());
            move || {
                let outcome: Outcome = block_on(request(&conn));
                *lock(&done) = true;
                let waker = lock(&wake).take();
                waker.into_iter().for_each(Waker::wake);
                outcome
            }
        });
        run_task(&conn, &|cx| {
            *lock(&wake) = Some(cx.waker().clone());
            *lock(&done)
        });
        let outcome = program.join().expect("the program ends");
        assert!(matches!(outcome, Ok(Done(5))), "{outcome:?}");
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}

/// A close and a reply come in any order.
#[test]
fn a_close_or_a_reply_ends_a_request() {
    check(|| {
        let conn = connection(8);
        let program = thread::spawn({
            let conn = conn.clone();
            move || {
                let outcome: Outcome = block_on(request(&conn));
                outcome
            }
        });
        let closer = thread::spawn({
            let conn = conn.clone();
            move || conn.close(CloseCode::NORMAL, String::new())
        });
        run_task(&conn, &|_| false);
        closer.join().expect("the closer ends");
        let outcome = program.join().expect("the program ends");
        let is_expected =
            matches!(&outcome, Ok(Done(5)) | Err(RequestError::NotSent(SendError::Closed) | RequestError::Ended(_)));
        assert!(is_expected, "{outcome:?}");
        assert!(!conn.awaits_reply(), "the table is empty");
    });
}
