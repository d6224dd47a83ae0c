//! Counts the allocations of a message: row M3 of the specification.
use allocation_counter::measure;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, future::Future, pin::pin, task::Poll};
use wsx::__private::Bench;
use wsx::{CancellationToken, Client, Connection, Hub};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Slow<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Ping {
    n: u32,
}
wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Telemetry<'_>, Slow<'_>;
        Edge <-> Server: Ping;
    }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = Server)]
struct Station {
    hottest: std::sync::Mutex<f64>,
}
#[wsx::handler(on = Station)]
fn on_telemetry(station: &Station, msg: Telemetry<'_>) {
    assert!(matches!(msg.device, Cow::Borrowed("box-7")));
    let mut hottest = station.hottest.lock().expect("no thread panics with the lock held");
    *hottest = hottest.max(msg.celsius);
}
#[wsx::handler(on = Station)]
async fn on_slow(msg: Slow<'_>, _conn: &Connection<Server>) {
    assert_eq!(msg.device, "box-7");
}
#[wsx::handler(on = Station)]
fn on_ping(ping: Ping) -> Ping {
    ping
}

/// Returns the allocations of one message, from its text to the return of its handler.
fn allocations(bench: &Bench<Station>, text: &str, replies: bool) -> u64 {
    let once = || {
        let mut dispatch = pin!(bench.dispatch(text));
        let poll = dispatch.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(poll, Poll::Ready(replies));
    };
    // The first message fills the thread's buffers.
    once();
    measure(once).count_total
}

/// Row M3: parsing, routing, decoding and a sync handler allocate nothing. An async handler
/// allocates its future. A reply uses the thread's buffers.
#[test]
fn a_sync_dispatch_allocates_nothing_and_an_async_one_its_box() {
    let bench = Bench::new(Hub::builder().endpoint(Station::default()).build().unwrap());
    let text = |kind: &str, data: &str| format!(r#"{{"ver":1,"type":"{kind}","ts":1732969200,"data":{data}}}"#);
    assert_eq!(allocations(&bench, &text("telemetry", r#"{"device":"box-7","celsius":21.5}"#), false), 0);
    assert_eq!(allocations(&bench, &text("slow", r#"{"device":"box-7"}"#), false), 1);
    assert_eq!(allocations(&bench, &text("unknown", "1"), false), 0);
    assert_eq!(allocations(&bench, &text("ping", r#"{"n":1}"#), true), 0);
}

/// The endpoint of both ends of a request.
#[derive(wsx::Endpoint)]
struct Both;
#[derive(Serialize, Deserialize, wsx::Message)]
struct Add {
    a: u32,
    b: u32,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Sum {
    sum: u32,
}
#[wsx::handler(on = Both)]
fn on_add(Add { a, b }: Add) -> Sum {
    Sum { sum: a + b }
}

/// Row Q8: a request allocates the memory of its frame in the send queue. The entry in the table,
/// the deadline, the handler, the reply and its decoding allocate nothing.
#[test]
fn a_request_allocates_its_frame() {
    const REQUESTS: u32 = 100;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let hub = Hub::builder().endpoint(Both).build().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { hub.serve(listener).await });
        Client::builder(url).endpoint(Both).build().unwrap().start(CancellationToken::new()).await.unwrap()
    });
    let ask = || {
        runtime.block_on(async {
            for a in 0..REQUESTS {
                let sum: Sum = client.request_as(&Add { a, b: 1 }).await.unwrap();
                assert_eq!(sum.sum, a + 1);
            }
        });
    };
    // The first requests fill the buffers of the thread.
    ask();
    let counted = measure(ask);
    // The runtime itself may allocate now and then.
    assert_eq!(counted.count_total / u64::from(REQUESTS), 1, "{counted:?}");
}
