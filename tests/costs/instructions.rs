//! Counts the instructions of the engine's operations with callgrind, which gives the same figure
//! on a busy machine as on an idle one. Each operation has a budget, and the run fails when one
//! exceeds it by more than 5 %.
//!
//! ```text
//! ./tests/scripts/instructions.sh
//! ```
//!
//! A budget is the last measured cost of the operation. Raise it only with a reason in the commit.
//! Lower it whenever the operation has become cheaper: the run prints the new figure.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the macros of gungraun generate public items, and take arguments by value"
)]
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, future::Future, hint::black_box, pin::pin, task::Poll};
use wsx::__private::Bench;
use wsx::{Connection, Envelope, Hub};

/// How often each benchmark repeats its work, so that one-time costs do not matter.
const TIMES: usize = 100;

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
    humidity: f64,
    battery: u8,
    uptime: u64,
    online: bool,
    readings: Vec<i32>,
    #[serde(borrow)]
    note: Cow<'a, str>,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Health {
    ok: bool,
    load: f32,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    restart: bool,
    after: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Reading {
    device: String,
    celsius: f64,
    volts: Option<f32>,
    uptime: u64,
}

wsx::protocol! {
    Measured v1 {
        Edge -> Server: Telemetry<'_>, Health;
        Server -> Edge: Cmd, Reading;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(message: Telemetry<'_>) -> Cmd {
    Cmd { restart: message.online, after: u32::from(message.battery) }
}
#[wsx::handler(on = Station)]
async fn on_health(message: Health) {
    black_box(message.ok);
}

/// Passes raw data through.
#[wsx::handler("pass")]
fn pass(envelope: Envelope<&RawValue>) -> Envelope<&RawValue> {
    envelope
}

fn telemetry(readings: usize) -> Telemetry<'static> {
    Telemetry {
        device: "box-7".into(),
        celsius: 21.5,
        humidity: 40.25,
        battery: 87,
        uptime: 1_732_969_200,
        online: true,
        readings: (0..).map(|n| n * 37 % 4096).take(readings).collect(),
        note: "behind the weir".into(),
    }
}

const HEALTH: &str = r#"{"ver":1,"type":"health","ts":1732969200,"data":{"ok":true,"load":0.5}}"#;

/// Returns a payload for an envelope of about this many bytes.
fn payload(bytes: usize) -> String {
    serde_json::to_string(&telemetry(bytes.saturating_sub(200) * 2 / 9)).expect("telemetry can be encoded")
}

/// Returns an envelope as an edge box writes it.
fn text(message_type: &str, bytes: usize) -> String {
    let data = payload(bytes);
    format!(r#"{{"ver":1,"type":"{message_type}","ts":1732969200,"data":{data}}}"#)
}

fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the future does not wait"),
    }
}

/// Returns the bytes of a client that sends `TIMES` text messages, each a masked frame.
fn frames(bytes: usize) -> Vec<u8> {
    let mask = [7, 11, 13, 17];
    let text = text("telemetry", bytes);
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(text.len()).expect("the text is short").to_be_bytes());
    frame.extend_from_slice(&mask);
    frame.extend(text.bytes().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame.repeat(TIMES)
}

/// The first run fills the thread's buffers.
fn reader(frames: Vec<u8>) -> (Bench<Station>, Vec<u8>) {
    let bench = Bench::new(Hub::builder().endpoint(Station).build().unwrap());
    assert_eq!(bench.read(frames.clone()), TIMES);
    (bench, frames)
}
fn station(text: String) -> (Bench<Station>, String) {
    let bench = Bench::new(Hub::builder().endpoint(Station).build().unwrap());
    at_once(bench.dispatch(&text));
    (bench, text)
}
fn untyped(text: String) -> (Bench<wsx::Untyped>, String) {
    let bench = Bench::new(Hub::new());
    at_once(bench.dispatch(&text));
    (bench, text)
}
fn queue() -> Bench<Station> {
    let bench = Bench::new(Hub::builder().endpoint(Station).build().unwrap());
    for _ in 0..TIMES {
        bench.queue(&Cmd { restart: true, after: 5 });
        bench.reply(&Cmd { restart: true, after: 5 });
    }
    bench.take();
    bench
}
fn readings(volts: Option<f32>) -> (Bench<Station>, Reading) {
    (queue(), Reading { device: "box-7".to_owned(), celsius: 21.5, volts, uptime: 1_732_969_200 })
}
fn members(connections: usize) -> (Bench<Station>, Vec<Connection>) {
    let bench = Bench::new(Hub::builder().endpoint(Station).build().unwrap());
    let members = bench.join(connections);
    at_once(bench.hub().broadcast(&Cmd { restart: true, after: 5 })).expect("the command can be encoded");
    (bench, members)
}

/// Allows 5 % over the budget.
fn budget(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions * 105 / 100)]);
    config.tool(callgrind);
    config
}

// From masked frames to messages.
#[library_benchmark]
#[bench::of_200_bytes(args = (frames(200)), setup = reader, teardown = drop, config = budget(59_539))]
#[bench::of_2_kb(args = (frames(2048)), setup = reader, teardown = drop, config = budget(213_963))]
fn read((bench, frames): (Bench<Station>, Vec<u8>)) -> Bench<Station> {
    assert_eq!(black_box(bench.read(black_box(frames))), TIMES);
    bench
}

// The whole envelope with raw data: the cost of an unusual frame.
#[library_benchmark]
#[bench::of_200_bytes(args = (text("telemetry", 200)), config = budget(613_920))]
#[bench::of_2_kb(args = (text("telemetry", 2048)), config = budget(8_783_018))]
fn parse(frame: String) {
    for _ in 0..TIMES {
        black_box(Envelope::<&RawValue>::parse(black_box(&frame)).expect("the text is an envelope"));
    }
}

// The data alone, the lower limit of a dispatch.
#[library_benchmark]
#[bench::of_200_bytes(args = (payload(200)), config = budget(327_416))]
#[bench::of_2_kb(args = (payload(2048)), config = budget(8_328_580))]
fn decode(data: String) {
    for _ in 0..TIMES {
        black_box(serde_json::from_str::<Telemetry<'_>>(black_box(&data)).expect("the data fits"));
    }
}

// From the text to the finished frame of the reply.
#[library_benchmark]
#[bench::of_200_bytes(args = (text("telemetry", 200)), setup = station, teardown = drop, config = budget(493_624))]
#[bench::of_2_kb(args = (text("telemetry", 2048)), setup = station, teardown = drop, config = budget(8_487_046))]
#[bench::of_an_async_handler(args = (HEALTH.to_owned()), setup = station, teardown = drop, config = budget(186_420))]
fn dispatch((bench, text): (Bench<Station>, String)) -> Bench<Station> {
    for _ in 0..TIMES {
        black_box(at_once(bench.dispatch(black_box(&text))));
    }
    bench
}

// The same for data that is passed through.
#[library_benchmark]
#[bench::of_200_bytes(args = (text("pass", 200)), setup = untyped, teardown = drop, config = budget(396_020))]
#[bench::of_2_kb(args = (text("pass", 2048)), setup = untyped, teardown = drop, config = budget(4_478_067))]
fn dispatch_raw((bench, text): (Bench<wsx::Untyped>, String)) -> Bench<wsx::Untyped> {
    for _ in 0..TIMES {
        black_box(at_once(bench.dispatch(black_box(&text))));
    }
    bench
}

// Encoding, queueing and taking all messages of one write.
#[library_benchmark]
#[bench::of_a_small_message(args = (), setup = queue, teardown = drop, config = budget(125_767))]
fn encode_and_queue(bench: Bench<Station>) -> Bench<Station> {
    for _ in 0..TIMES {
        black_box(bench.queue(black_box(&Cmd { restart: true, after: 5 })));
    }
    assert!(bench.take() > TIMES * 50);
    bench
}

// The same for replies.
#[library_benchmark]
#[bench::of_a_small_message(args = (), setup = queue, teardown = drop, config = budget(86_678))]
fn reply(bench: Bench<Station>) -> Bench<Station> {
    for _ in 0..TIMES {
        black_box(bench.reply(black_box(&Cmd { restart: true, after: 5 })));
    }
    assert!(bench.take() > TIMES * 50);
    bench
}

// The same for a message with floats, with and without a `null`, which may stand for NaN.
#[library_benchmark]
#[bench::without_a_null(args = (Some(0.5)), setup = readings, teardown = drop, config = budget(168_561))]
#[bench::with_a_null(args = (None), setup = readings, teardown = drop, config = budget(150_061))]
fn reply_of_floats((bench, reading): (Bench<Station>, Reading)) -> (Bench<Station>, Reading) {
    for _ in 0..TIMES {
        black_box(bench.reply(black_box(&reading)));
    }
    assert!(bench.take() > TIMES * 50);
    (bench, reading)
}

// One message into the queues of all connections.
#[library_benchmark]
#[bench::to_1000(args = (1000), setup = members, teardown = drop, config = budget(140_431))]
fn broadcast((bench, members): (Bench<Station>, Vec<Connection>)) -> (Bench<Station>, Vec<Connection>) {
    let sent = at_once(bench.hub().broadcast(black_box(&Cmd { restart: true, after: 5 })));
    assert_eq!(sent.expect("the command can be encoded"), members.len());
    (bench, members)
}

fn labelled(connections: usize) -> (Bench<Station>, Vec<Connection>) {
    let (bench, members) = members(connections);
    for conn in &members[..10] {
        bench.hub().add_label(conn.id(), "ten").expect("the connection is open");
    }
    (bench, members)
}

// One message into the queues of ten connections, among many others.
#[library_benchmark]
#[bench::of_100(args = (100), setup = labelled, teardown = drop, config = budget(3_585))]
#[bench::of_5000(args = (5000), setup = labelled, teardown = drop, config = budget(3_585))]
fn broadcast_to_ten((bench, members): (Bench<Station>, Vec<Connection>)) -> (Bench<Station>, Vec<Connection>) {
    let sent = at_once(bench.hub().broadcast_to("ten", black_box(&Cmd { restart: true, after: 5 })));
    assert_eq!(sent.expect("the command can be encoded"), 10);
    (bench, members)
}

library_benchmark_group!(
    name = engine,
    benchmarks = [
        read,
        parse,
        decode,
        dispatch,
        dispatch_raw,
        encode_and_queue,
        reply,
        reply_of_floats,
        broadcast,
        broadcast_to_ten
    ]
);
main!(library_benchmark_groups = engine);
