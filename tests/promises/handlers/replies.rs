//! Row Q2 of the specification: the return value of a request's handler becomes its reply or its
//! refusal.
use serde::{Deserialize, Serialize};
use serde_json::json;
use wsx::{BoxError, Hub};
use wsx_tests::{Server as Listening, chain, recorder};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Update {
    version: u32,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Updated {
    seconds: f64,
}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(type = "update/refused")]
struct UpdateRefused {
    load: f64,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Reboot {
    delay: u32,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Rebooted {
    delay: u32,
}

wsx::protocol! {
    Fleet v1 {
        Server -> Edge: Update -> Updated | UpdateRefused, Reboot -> Rebooted;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

/// Fails with version 0. Refuses every other odd version: with a load of 0.5, or of NaN from
/// version 9 on.
#[wsx::handler(on = EdgeBox)]
async fn on_update(msg: Update) -> Result<Result<Updated, UpdateRefused>, BoxError> {
    match msg.version {
        0 => Err("there is no version 0".into()),
        odd if odd % 2 == 1 => Ok(Err(UpdateRefused { load: if odd < 9 { 0.5 } else { f64::NAN } })),
        even => Ok(Ok(Updated { seconds: f64::from(even) })),
    }
}

#[wsx::handler(on = EdgeBox)]
fn on_reboot(msg: Reboot) -> Result<Rebooted, std::num::TryFromIntError> {
    Ok(Rebooted { delay: u8::try_from(msg.delay)?.into() })
}

/// Row Q2: a handler of a request replies with the message of the protocol. Its errors go to the
/// observer, and a refusal has its own type and data there.
#[tokio::test]
async fn a_handler_replies_fails_or_refuses() {
    let (recorder, mut memory) = recorder();
    let server = Listening::start(Hub::builder().endpoint(EdgeBox).observer(recorder).build().unwrap()).await;
    let mut peer = server.peer("station").await;
    peer.send_envelope("reboot", json!({"delay": 3})).await;
    assert_eq!(peer.receive_data().await, ("rebooted".into(), json!({"delay": 3})));
    peer.send_envelope("reboot", json!({"delay": 300})).await;
    assert!(chain(&memory.handler_failed().await.2).contains("out of range"));

    peer.send_envelope("update", json!({"version": 2})).await;
    assert_eq!(peer.receive_data().await, ("updated".into(), json!({"seconds": 2.0})));
    peer.send_envelope("update", json!({"version": 0})).await;
    assert!(chain(&memory.handler_failed().await.2).ends_with("there is no version 0"));
    // A refusal is an answer, so the observer does not receive it.
    peer.send(json!({"type": "update", "id": 1, "data": {"version": 7}}).to_string()).await;
    let refused = peer.receive().await;
    assert_eq!(refused["err"]["code"], "update/refused");
    assert_eq!(refused["err"]["data"], json!({"load": 0.5}));
    // The refusal cannot be written.
    peer.send_envelope("update", json!({"version": 9})).await;
    let line = chain(&memory.handler_failed().await.2);
    assert!(line.contains("the message cannot be written as JSON: `load` is NaN"), "{line}");
}
