//! The heartbeat, on a paused clock. Whatever a peer sends and takes, and whenever: a peer that
//! gives a sign of life in time is not cut, and a dead peer is cut in time, after a ping.
use crate::{
    envelope::is_failure,
    frame::{self, BINARY, PING, PONG},
    input::Input,
    wire::{Takes, Wire, bounded, within},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use wsx::{
    __private::{Role, fuzz},
    ClosedBy, Config, Connection,
};

/// Maximum number of steps in one run.
const STEPS: usize = 64;
const WRITE_TIMEOUT: Duration = Duration::from_secs(7);
/// The two last looks, and the rounding of timers.
const SLACK: Duration = Duration::from_millis(300);
/// The close of a peer that has closed: its write, its answer, and the second of lingering.
const CLOSE: Duration = Duration::from_secs(7 + 10 + 10 + 1);

/// Input: one byte for the wire, two for the interval and the timeout, two for how much the peer
/// takes, then the steps.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let ways = input.byte();
    let interval = Duration::from_millis(100 + 300 * u64::from(input.byte()));
    let wait = Duration::from_millis(100 + 100 * u64::from(input.byte()));
    let most = usize::from(input.short());
    let role = if ways & 1 == 0 { Role::Server } else { Role::Client };
    let takes = if ways & 2 == 0 { Takes::Everything } else { Takes::UpTo(most) };
    bounded(4 << 20, || {
        let wire = Wire::new(Vec::new(), takes);
        let config = Config::default()
            .max_message_size(1000)
            .queue_messages(8)
            .queue_bytes(8000)
            .write_timeout(WRITE_TIMEOUT)
            .heartbeat(interval, wait);
        let (conn, task) = fuzz::connection(wire.clone(), role, Vec::new(), config);
        let (signs, end) = within(Duration::from_secs(24 * 3600), async {
            let ending = async {
                task.await;
                let end = Instant::now();
                // A blocked write that the end has dropped waits since then.
                (end, wire.waiting())
            };
            tokio::join!(act(&conn, &wire, role, &mut input), ending)
        });
        let closed = within(Duration::from_secs(1), conn.closed());
        judge(&wire, role, interval, wait, &signs, end, closed.by);
    });
}

/// The times of what happened.
struct Signs {
    /// When the connection opened, and when a byte arrived.
    received: Vec<Instant>,
    /// The last time when the program had sent something.
    sent: Instant,
}

/// Performs the steps. At the end, the peer is silent.
async fn act(conn: &Connection, wire: &Wire, role: Role, input: &mut Input<'_>) -> Signs {
    let mut signs = Signs { received: vec![Instant::now()], sent: Instant::now() };
    for _ in 0..STEPS {
        if input.0.is_empty() || conn.is_closed() {
            break;
        }
        let piece = match input.byte() % 8 {
            0 => input.bytes(1).to_vec(),
            1 => frame::encode(0x80 | PONG, role == Role::Server, &[]),
            2 => frame::encode(0x80 | PING, role == Role::Server, input.bytes(2)),
            3 => {
                let (first, length) = (input.byte(), usize::from(input.byte()));
                frame::encode(first, role == Role::Server, input.bytes(length))
            }
            4 => {
                let payload = vec![b'x'; usize::from(input.short() % 1000)];
                if timeout(Duration::from_millis(50), conn.send_binary(&payload)).await.is_ok() {
                    signs.sent = Instant::now();
                }
                Vec::new()
            }
            5 => {
                wire.take(usize::from(input.short()));
                Vec::new()
            }
            6 => {
                sleep(Duration::from_millis(10 * u64::from(input.byte()))).await;
                Vec::new()
            }
            _ => {
                sleep(Duration::from_millis(u64::from(input.short()))).await;
                Vec::new()
            }
        };
        if !piece.is_empty() && !conn.is_closed() {
            wire.send(piece);
            signs.received.push(Instant::now());
        }
    }
    signs
}

fn judge(
    wire: &Wire,
    role: Role,
    interval: Duration,
    wait: Duration,
    signs: &Signs,
    (end, waiting): (Instant, Option<Instant>),
    by: ClosedBy,
) {
    // A byte that arrived with the end is not a sign of life before it.
    let received = *signs.received.iter().rev().find(|at| **at < end).unwrap_or(&signs.received[0]);
    let alive = received.max(wire.progress().unwrap_or(received));
    let last = alive.max(signs.sent);
    let bound = interval + wait + WRITE_TIMEOUT + SLACK;
    match by {
        ClosedBy::Link => {
            let is_silent = end.duration_since(alive) >= interval + wait;
            let is_deaf = waiting.is_some_and(|since| end.duration_since(since) >= WRITE_TIMEOUT);
            assert!(
                is_silent || is_deaf,
                "a healthy peer was cut {:?} after a sign of life",
                end.duration_since(alive)
            );
            let frames = frame::decode(&wire.written(), role == Role::Client);
            let pinged = frames.iter().any(|frame| frame.opcode == PING);
            assert!(pinged || waiting.is_some(), "a peer was cut without a ping");
            assert!(frames.iter().all(|frame| [BINARY, PING, PONG].contains(&frame.opcode) || is_failure(frame)));
            assert!(
                end.saturating_duration_since(last) <= bound,
                "a dead peer was cut only after {:?}",
                end.duration_since(last)
            );
        }
        ClosedBy::Peer | ClosedBy::Us => {
            let took = end.saturating_duration_since(last);
            assert!(took <= bound + CLOSE, "the close took {took:?}");
        }
    }
}
