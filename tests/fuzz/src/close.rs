//! The close handshake. Whatever a program and its peer do, in any order: there is one close frame,
//! no frame after it, all accepted messages before it, and the connection closes in time.
use crate::{
    envelope::is_failure,
    frame::{self, BINARY, CLOSE, Frame, PING, TEXT},
    input::Input,
    wire::{Takes, Wire, bounded, within},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use wsx::{
    __private::{Role, fuzz},
    CloseCode, Closed, ClosedBy, Config, Connection, SendError,
};

/// Longest time from the close to the end: the defaults of the write and the close timeout, a
/// `__close__` handler that may take the close timeout as well, and the second for which the socket
/// lingers.
const END: Duration = Duration::from_secs(10 + 10 + 10 + 1);
/// Maximum number of steps in one run, so that only the connection decides how much memory is used.
const STEPS: usize = 64;

/// Input: one byte for the behaviour of the wire, two for how much it accepts, then the steps.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, most) = (input.byte(), usize::from(input.short()));
    let role = if ways & 1 == 0 { Role::Server } else { Role::Client };
    let takes = match ways >> 1 & 3 {
        0 | 1 => Takes::Everything,
        2 => Takes::Little(8 + most % 100),
        _ => Takes::UpTo(most),
    };
    bounded(4 << 20, || {
        let wire = Wire::new(Vec::new(), takes);
        let config = Config::default().max_message_size(1000).queue_messages(8).queue_bytes(8000);
        let (conn, task) = fuzz::connection(wire.clone(), role, Vec::new(), config);
        let (done, closed, took) = within(Duration::from_secs(3600), async {
            let acting = async {
                let done = act(&conn, &wire, role, &mut input).await;
                (done, Instant::now())
            };
            let ending = async {
                task.await;
                Instant::now()
            };
            let ((done, asked), closed_at) = tokio::join!(acting, ending);
            (done, conn.closed().await, closed_at.saturating_duration_since(asked))
        });
        assert!(took <= END, "the close took {took:?}");
        judge(role, takes, &done, &closed, &wire.written());
    });
}

/// What the program has done.
#[derive(Default)]
struct Done {
    /// The accepted messages, in order.
    sent: Vec<Frame>,
    /// The first call of `close_with`.
    asked: Option<(u16, String)>,
}

/// Performs the steps. In the end the program closes, and the peer may hang up.
async fn act(conn: &Connection, wire: &Wire, role: Role, input: &mut Input<'_>) -> Done {
    let mut done = Done::default();
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        match input.byte() % 9 {
            0 => wire.send(input.bytes(1).to_vec()),
            1 => {
                let length = usize::from(input.byte());
                wire.send(input.bytes(length).to_vec());
            }
            2 => {
                let (first, length) = (input.byte(), usize::from(input.byte()));
                wire.send(frame::encode(first, role == Role::Server, input.bytes(length)));
            }
            3 => {
                let payload = vec![b'x'; usize::from(input.byte())];
                let sent = timeout(Duration::from_secs(1), conn.send_bytes(&payload)).await;
                done.record(TEXT, payload, conn, sent);
            }
            4 => {
                let payload = vec![b'y'; usize::from(input.short() % 5000)];
                let sent = timeout(Duration::from_secs(1), conn.send_binary(&payload)).await;
                done.record(BINARY, payload, conn, sent);
            }
            5 => {
                let payload = input.bytes(3);
                let sent = timeout(Duration::from_secs(1), conn.ping(payload)).await;
                done.record(PING, payload.to_vec(), conn, sent);
            }
            6 => {
                let (code, length) = (input.short(), usize::from(input.byte()));
                let reason = String::from_utf8_lossy(input.bytes(length)).into_owned();
                done.close(conn, code, &reason);
            }
            7 => tokio::task::yield_now().await,
            _ => sleep(Duration::from_millis(u64::from(input.byte()) * 10)).await,
        }
    }
    done.close(conn, 1000, "");
    if input.byte() & 1 == 0 {
        wire.finish();
    }
    done
}

impl Done {
    fn record(
        &mut self,
        opcode: u8,
        payload: Vec<u8>,
        conn: &Connection,
        sent: Result<Result<(), SendError>, tokio::time::error::Elapsed>,
    ) {
        match sent {
            Ok(Ok(())) => {
                assert!(self.asked.is_none(), "a message was accepted after close");
                self.sent.push(Frame { opcode, payload });
            }
            Ok(Err(SendError::Closed)) => assert!(conn.is_closed(), "a send failed on an open connection"),
            Ok(Err(error)) => panic!("unexpected error: {error:?}"),
            // The send was dropped, so the message is not sent.
            Err(_) => {}
        }
    }

    fn close(&mut self, conn: &Connection, code: u16, reason: &str) {
        conn.close_with(CloseCode::from(code), reason);
        self.asked.get_or_insert_with(|| (code, reason.to_owned()));
    }
}

fn judge(role: Role, takes: Takes, done: &Done, closed: &Closed, written: &[u8]) {
    let frames = frame::decode(written, role == Role::Client);
    let close = frames.iter().find(|frame| frame.opcode == CLOSE);
    // A request of the peer gets a failure, which the program has not sent.
    let is_sent = |frame: &&Frame| [TEXT, BINARY, PING].contains(&frame.opcode) && !is_failure(frame);
    let sent: Vec<_> = frames.iter().filter(is_sent).cloned().collect();
    assert!(done.sent.starts_with(&sent), "only accepted messages are sent, in order");
    let code = u16::from(closed.code);
    // A peer may close with 1014, and a program may not.
    assert!(may_be_sent(code) || [1005, 1006, 1014].contains(&code), "{code} is not a valid close code");
    if closed.by == ClosedBy::Link {
        assert_eq!((code, close), (1006, None), "a broken link has no close frame");
        return;
    }
    if closed.by == ClosedBy::Us && ![1002, 1007, 1009].contains(&code) {
        let (asked, reason) = done.asked.as_ref().expect("the program closes in the end");
        assert_eq!(code, if may_be_sent(*asked) { *asked } else { 1000 }, "the program's own code");
        assert_eq!(&closed.reason, reason);
    }
    let Some(close) = close else {
        assert!(matches!(takes, Takes::UpTo(_)), "only a peer that stops reading receives no close frame");
        return;
    };
    assert_eq!(close.code(), code, "the peer and the program get the same code");
    let reason = close.payload.get(2..).unwrap_or_default();
    assert!(closed.reason.as_bytes().starts_with(reason), "{reason:?} is not the start of {:?}", closed.reason);
    assert!(std::str::from_utf8(reason).is_ok(), "a reason is UTF-8");
    assert_eq!(sent, done.sent, "accepted messages are sent before the close frame");
}

/// RFC 6455 section 7.4, with the codes that were registered since.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}
