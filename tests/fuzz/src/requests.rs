//! Requests, replies and cancellations of any shape, in any order, through a connection of either
//! role whose handlers reply, wait, fail and ask back. Each request of the peer gets one answer,
//! each request of the program has one outcome in time, and no request is left in the table.
use crate::{
    envelope::{Keys, keys},
    frame::{self, CLOSE, TEXT},
    input::Input,
    wire::{Takes, Wire, bounded, within},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::{JoinSet, LocalSet, yield_now},
    time::{Instant, sleep},
};
use wsx::{
    __private::{Role, fuzz},
    Config, Connection, Envelope, RequestError,
};

/// Maximum number of steps in one run.
const STEPS: usize = 48;
/// The longest flood.
const FLOOD: usize = 600;
/// The timeout of each request of the program.
const TIMEOUT: Duration = Duration::from_millis(700);

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Done(i64);

/// Input: one byte for the behaviour of the wire, two for the bounds, then the steps.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (ways, most, backlog) = (input.byte(), usize::from(input.byte() % 16), usize::from(input.byte()));
    let role = if ways & 1 == 0 { Role::Server } else { Role::Client };
    let takes = if ways & 2 == 0 { Takes::Everything } else { Takes::Little(8 + backlog) };
    bounded(8 << 20, || {
        let wire = Wire::new(Vec::new(), takes);
        let mut config = Config::default()
            .max_message_size(4000)
            .queue_messages(8)
            .queue_bytes(2000 << (ways >> 2 & 3))
            .backlog_messages(1 + backlog)
            .max_requests(most)
            .report_failures(ways & 64 != 0);
        config.asking_backlog_bytes = 1 << 20;
        let (conn, task) = fuzz::connection(wire.clone(), role, Vec::new(), config);
        let made = Made::default();
        register(&conn, &made);
        let mut peer = Peer { wire: wire.clone(), role, texts: Vec::new() };
        let is_open = within(
            Duration::from_secs(3600),
            LocalSet::new().run_until(async {
                let served = tokio::task::spawn_local(task);
                act(&conn, &made, &mut peer, &mut input).await;
                let is_open = !conn.is_closed();
                if ways & 128 == 0 {
                    conn.close();
                }
                wire.finish();
                served.await.expect("the task does not panic");
                conn.closed().await;
                is_open
            }),
        );
        assert_eq!(fuzz::outstanding(&conn), 0, "a request is left");
        judge(role, &peer.texts, made.get(), is_open && matches!(takes, Takes::Everything), &wire.written());
    });
}

/// Adds the handlers.
fn register(conn: &Connection, made: &Made) {
    conn.register_handler("double", |n: i64, _| async move { Envelope::with_type("done", n.wrapping_mul(2)) });
    conn.register_handler("wait", |n: u16, _| async move {
        sleep(Duration::from_millis(u64::from(n % 2000))).await;
        Envelope::with_type("done", n)
    });
    conn.register_handler("fail", |_: serde_json::Value, _| async { Err::<Done, _>("as a test wants it") });
    conn.register_handler("note", |_: serde_json::Value, _| async {});
    let made = made.clone();
    conn.register_handler("ask", move |n: u8, conn: Connection| {
        let made = made.clone();
        async move {
            let mut last = Envelope::with_type("done", 0);
            for _ in 0..n % 3 {
                if let Ok(Done(n)) = ask(&conn, &made).await {
                    last = Envelope::with_type("done", n);
                }
            }
            last
        }
    });
}

/// How many requests the program has made.
#[derive(Clone, Default)]
struct Made(Arc<AtomicUsize>);

impl Made {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask(conn: &Connection, made: &Made) -> Result<Done, RequestError> {
    made.add();
    let start = Instant::now();
    let result = conn.request_as::<Done>(&Envelope::with_type("what", 1)).timeout(TIMEOUT).await;
    let elapsed = start.elapsed();
    assert!(elapsed <= TIMEOUT + Duration::from_millis(2), "a request took {elapsed:?}");
    result
}

struct Peer {
    wire: Wire,
    role: Role,
    /// The texts that it has sent.
    texts: Vec<String>,
}

impl Peer {
    fn send(&mut self, text: String) {
        let masked = self.role == Role::Server;
        self.wire.send(frame::encode(0x80 | TEXT, masked, text.as_bytes()));
        self.texts.push(text);
    }
}

/// An id of many shapes, right and wrong.
fn id(input: &mut Input<'_>) -> String {
    let n = input.byte();
    match input.byte() % 12 {
        0..=4 => (n % 16).to_string(),
        5 => format!("-{n}"),
        6 => format!("\"{}\"", n % 8),
        7 => format!("\"{}\"", "x".repeat(usize::from(n))),
        8 => "1".repeat(usize::from(n)),
        9 => format!("\"\\u00{n:02x}\""),
        10 => ["null", "1.5", "1e2", "true", "[]", "{}", "07", "-0"][usize::from(n % 8)].to_owned(),
        _ => String::from_utf8_lossy(input.bytes(usize::from(n % 20))).into_owned(),
    }
}

/// Performs the steps.
async fn act(conn: &Connection, made: &Made, peer: &mut Peer, input: &mut Input<'_>) {
    let (mut asking, mut flooded) = (JoinSet::new(), false);
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        let types = ["double", "wait", "fail", "note", "ask", "nothing", "cancel", "done"];
        let step = input.byte();
        let message_type = types[usize::from(step >> 4) % types.len()];
        match step & 15 {
            0 => {
                let length = usize::from(input.byte());
                let text = String::from_utf8_lossy(input.bytes(length)).into_owned();
                peer.send(text);
            }
            1 | 2 => {
                let (id, n) = (id(input), input.byte());
                peer.send(format!(r#"{{"ver":1,"type":"{message_type}","ts":5,"id":{id},"data":{n}}}"#));
            }
            3 => {
                let (id, ttl, n) = (id(input), input.short(), input.byte());
                peer.send(format!(r#"{{"type":"{message_type}","id":{id},"ttl":{ttl},"data":{n}}}"#));
            }
            4 => {
                let (id, n) = (id(input), input.byte());
                peer.send(format!(r#"{{"type":"{message_type}","data":{n},"id":{id}}}"#));
            }
            5 | 6 => {
                let (id, n) = (id(input), input.byte());
                peer.send(format!(r#"{{"ver":1,"type":"done","ts":5,"re":{id},"data":{n}}}"#));
            }
            7 => {
                let (id, length) = (id(input), usize::from(input.byte() % 64));
                let err = String::from_utf8_lossy(input.bytes(length)).into_owned();
                peer.send(format!(r#"{{"type":"{message_type}","re":{id},"err":{err}}}"#));
            }
            8 => {
                let id = id(input);
                peer.send(format!(r#"{{"type":"cancel","id":{id},"err":{{"code":"cancelled"}}}}"#));
            }
            9 if !flooded => {
                flooded = true;
                let first = usize::from(input.short());
                for id in 0..usize::from(input.short()) % FLOOD {
                    peer.send(format!(r#"{{"type":"{message_type}","id":{},"data":1}}"#, 1000 + first + id));
                }
            }
            10 => {
                let (conn, made) = (conn.clone(), made.clone());
                asking.spawn_local(async move { ask(&conn, &made).await.is_ok() });
            }
            11 => {
                made.add();
                let asking = conn.request_as::<Done>(&Envelope::with_type("what", 1));
                // Dropped, sometimes after its first poll.
                let patience = Duration::from_millis(u64::from(input.byte() % 8));
                let _ = tokio::time::timeout(patience, asking).await;
            }
            12 => peer.send(format!(r#"{{"type":"{message_type}","data":{}}}"#, input.byte())),
            13 => conn.close(),
            14 => yield_now().await,
            _ => sleep(Duration::from_millis(u64::from(input.byte()) * 4)).await,
        }
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("a request does not panic");
    }
    // Every handler ends, and every request of one too.
    sleep(Duration::from_secs(1800)).await;
}

/// Checks the answers of the connection. `complete` says that the connection had the time for all.
fn judge(role: Role, texts: &[String], made: usize, complete: bool, written: &[u8]) {
    let (mut asked, mut cancelled) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    for text in texts {
        match keys(text) {
            Some(Keys { id: Some(id), re: None, err: None, .. }) => *asked.entry(id.to_owned()).or_default() += 1,
            Some(Keys { id: Some(id), re: None, err: Some(_), .. }) => {
                cancelled.insert(id.to_owned());
            }
            _ => {}
        }
    }
    let (mut answered, mut own) = (BTreeMap::<String, usize>::new(), 0);
    for frame in frame::decode(written, role == Role::Client) {
        if frame.opcode != TEXT {
            assert!(frame.opcode >= CLOSE, "only envelopes and control frames are written");
            continue;
        }
        let text = String::from_utf8(frame.payload).expect("text is UTF-8");
        let keys = keys(&text).unwrap_or_else(|| panic!("it writes {text:?}, which is no envelope"));
        match keys {
            Keys { re: Some(re), .. } => *answered.entry(re.to_owned()).or_default() += 1,
            Keys { id: Some(_), err: None, .. } => own += 1,
            _ => {}
        }
    }
    for (id, count) in &answered {
        let requests = asked.get(id).copied().unwrap_or_default();
        assert!(*count <= requests, "{count} answers to {requests} requests with the id {id}");
    }
    if complete {
        for (id, count) in asked.iter().filter(|(id, _)| !cancelled.contains(*id)) {
            assert_eq!(answered.get(id), Some(count), "the answers to the id {id}");
        }
    }
    assert!(own <= made, "{own} requests are written, and {made} were made");
}
