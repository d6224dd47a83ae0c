//! A `TestPeer` takes part in delivery: row D10.
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use wsx::{Client, Delivered, HandlerError, Hub, testing::TestPeer};
use wsx_tests::within;

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Command {
    n: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Shown {
    text: String,
}

wsx::protocol! {
    Metering v1 {
        Meter -> Office: Reading, Shown;
        Office -> Meter: Command;
    }
}

#[derive(Default, wsx::Endpoint)]
#[wsx(side = Office)]
struct Station {
    numbers: Mutex<Vec<u64>>,
}

#[wsx::handler(on = Station)]
fn on_reading(station: &Station, reading: Reading, delivered: Delivered) -> Result<Option<Command>, &'static str> {
    station.numbers.lock().unwrap().push(delivered.number);
    match reading.n {
        0 => Err("no reading"),
        1 => Ok(Some(Command { n: 1 })),
        _ => Ok(None),
    }
}

#[wsx::handler(on = Station)]
fn on_shown(_: Shown) {}

#[derive(wsx::Endpoint)]
#[wsx(side = Meter)]
struct EdgeBox;

#[wsx::handler(on = EdgeBox)]
fn on_command(_: Command) {}

/// What waits for a box goes to its peer, which handles it at once.
#[tokio::test(start_paused = true)]
async fn a_test_peer_handles_what_the_program_keeps() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    for n in 0..1000 {
        hub.send_to("box-7", &Command { n }).await.unwrap();
    }
    let mut edge = TestPeer::connect(&hub, "box-7").await.unwrap();
    for n in 0..1000 {
        assert_eq!(edge.next::<Command>().await, Command { n });
    }
    assert!(hub.waiting("box-7").is_empty());
    within(hub.deliver("box-7", &Command { n: 1000 })).await.unwrap();
    assert_eq!(edge.try_next(), Some(Command { n: 1000 }));
    assert!(edge.try_next::<Command>().is_none(), "the envelopes of delivery are not for a test");
    drop(edge);
    hub.send_to("box-7", &Command { n: 1001 }).await.unwrap();
    assert_eq!(hub.waiting("box-7").len(), 1, "without a peer, it waits");
}

/// What a peer delivers has a number, like the message of a box.
#[tokio::test(start_paused = true)]
async fn a_test_peer_delivers_kept_messages() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let mut edge = TestPeer::connect(&hub, "box-7").await.unwrap();
    let handled = edge.deliver(&Reading { n: 1 }).await.unwrap();
    assert_eq!(handled.reply::<Command>(), None, "its reply is kept too");
    assert_eq!(edge.next::<Command>().await, Command { n: 1 });
    let error = edge.deliver(&Reading { n: 0 }).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Handler(error) if error.to_string() == "no reading"), "{error}");
    edge.deliver(&Reading { n: 2 }).await.unwrap();
    assert_eq!(*hub.endpoint().numbers.lock().unwrap(), [1, 2, 3]);
    let shown = Shown { text: "open".into() };
    edge.deliver(&shown).await.unwrap();
    assert_eq!(hub.state::<Shown>("box-7").unwrap().value, shown);
    assert!(edge.try_next::<Command>().is_none(), "acknowledgements are not for a test");
}

/// The outbox of a client goes to the peer that is its server.
#[tokio::test(start_paused = true)]
async fn a_test_peer_is_the_server_of_an_outbox() {
    let client = Client::builder("ws://station/ws").endpoint(EdgeBox).build().unwrap();
    client.send(&Reading { n: 1 }).await.unwrap();
    client.set(&Shown { text: "open".into() }).await.unwrap();
    assert_eq!(client.waiting(), 2);
    let mut station = TestPeer::accept(&client).await.unwrap();
    assert_eq!(station.next::<Shown>().await.text, "open");
    assert_eq!(station.next::<Reading>().await, Reading { n: 1 });
    assert_eq!(client.waiting(), 0);
    within(client.deliver(&Reading { n: 2 })).await.unwrap();
}
