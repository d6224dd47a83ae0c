//! A panic, and the handlers that are dropped because of it.
use serde_json::{Value, json};
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tokio::runtime;
use wsx::Hub;
use wsx_tests::{Log, Peer, Server};

/// What handlers do beside the panic.
#[derive(Default, wsx::Endpoint)]
struct Works(Log<u32>);

/// Never ends.
#[wsx::handler("job", on = Works, concurrent = 4)]
async fn on_job(works: &Works, n: u32) {
    works.0.add(n);
    pending::<()>().await;
}

#[wsx::handler("panic", on = Works, concurrent = 4)]
async fn on_panic(works: &Works, n: u32) {
    works.0.add(n);
    tokio::task::yield_now().await;
    panic!("as a test wants it")
}

/// Panics before it returns a future.
#[wsx::handler("at_once", on = Works)]
fn on_at_once(_n: u32) {
    panic!("as a test wants it")
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("as a test wants it")
    }
}

/// Panics when its values are dropped.
#[wsx::handler("at_its_end", on = Works)]
async fn on_at_its_end(_n: u32) {
    let _value = PanicsWhenDropped;
    tokio::task::yield_now().await;
}

fn hub(log: &Log<u32>) -> Hub<Works> {
    Hub::builder().endpoint(Works(log.clone())).build().unwrap()
}

async fn begin(peer: &mut Peer) -> Value {
    peer.send(json!({"type": "delivery", "seq": {"epoch": "e", "first": 1, "last": 9}}).to_string()).await;
    peer.receive().await["ack"].clone()
}

async fn send(peer: &mut Peer, message_type: &str, number: u64) {
    peer.send(json!({"type": message_type, "seq": number, "data": number}).to_string()).await;
}

/// Rows G4 and G6: a panic counts as the failure of its own handler. The other handlers of the
/// connection are dropped, so their messages are sent again.
#[tokio::test]
async fn a_panic_is_the_failure_of_its_own_handler_alone() {
    let log = Log::default();
    let server = Server::start(hub(&log)).await;
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer).await["seq"], 0);
    for (message_type, number) in [("job", 1), ("job", 2), ("panic", 3)] {
        send(&mut peer, message_type, number).await;
        assert_eq!(u64::from(log.next().await), number);
    }
    assert_eq!(peer.close().await.0, 1011);
    let mut peer = server.peer("box-7").await;
    assert_eq!(begin(&mut peer).await, json!({"epoch": "e", "seq": 0, "latest": 0}));
    for (message_type, number) in [("job", 1), ("job", 2), ("panic", 3), ("job", 4)] {
        send(&mut peer, message_type, number).await;
    }
    let handled = [log.next().await, log.next().await, log.next().await];
    assert_eq!(handled, [1, 2, 4], "the panic is not repeated");
}

/// Row G6: a handler that panics has failed, also if its call panics, or the drop of its values.
#[tokio::test]
async fn a_panic_is_a_failure_wherever_it_comes() {
    let server = Server::start(hub(&Log::default())).await;
    for (handled, message_type) in ["panic", "at_once", "at_its_end"].into_iter().enumerate() {
        let mut peer = server.peer("box-7").await;
        assert_eq!(begin(&mut peer).await["seq"], handled);
        let number = handled as u64 + 1;
        send(&mut peer, message_type, number).await;
        assert_eq!(peer.close().await.0, 1011);
        let ack = begin(&mut server.peer("box-7").await).await;
        assert_eq!(ack["seq"], number);
        assert_eq!(ack["failed"], json!([{"seq": number, "code": "failed", "message": "the handler panicked"}]));
    }
}

/// Row G4: a handler that is dropped because the rest of the program panics has not failed.
#[test]
fn a_panic_of_the_program_is_not_a_failure_of_its_handlers() {
    let log = Log::default();
    let hub = hub(&log);
    let program = AssertUnwindSafe(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start(hub.clone()).await;
            let mut peer = server.peer("box-7").await;
            begin(&mut peer).await;
            send(&mut peer, "job", 1).await;
            assert_eq!(log.next().await, 1);
            panic!("as a test wants it");
        });
    });
    let panic = catch_unwind(program).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"as a test wants it"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(hub.clone()).await;
        let mut peer = server.peer("box-7").await;
        assert_eq!(begin(&mut peer).await, json!({"epoch": "e", "seq": 0, "latest": 0}));
        send(&mut peer, "job", 1).await;
        assert_eq!(log.next().await, 1);
    });
}
