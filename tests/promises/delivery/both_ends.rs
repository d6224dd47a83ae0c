//! A hub and a client of wsx, with connections that break.
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use wsx::{
    CancellationToken, Client, Hub, SendError,
    delivery::{Accepted, DeliveryError, Mailbox, Outbox},
};
use wsx_tests::{Log, Server, within};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = device)]
struct Temperature {
    device: String,
    celsius: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Command {
    n: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Settings {
    interval_s: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Reported {
    interval_s: u32,
}

wsx::protocol! {
    Fleet v1 {
        Edge -> Center: Reading, Temperature, Reported;
        Center -> Edge: Command, Settings;
    }
}

#[derive(Clone, Default, wsx::Endpoint)]
#[wsx(side = Center)]
struct Station {
    log: Log<String>,
    fails: Arc<AtomicBool>,
}

#[wsx::handler(on = Station)]
fn on_reading(station: &Station, reading: Reading) -> Result<(), &'static str> {
    station.log.add(format!("reading {}", reading.n));
    if station.fails.load(Ordering::Relaxed) { Err("no space") } else { Ok(()) }
}

#[wsx::handler(on = Station)]
fn on_temperature(station: &Station, temperature: Temperature) {
    station.log.add(format!("{} {}", temperature.device, temperature.celsius));
}

#[wsx::handler(on = Station)]
fn on_reported(station: &Station, reported: Reported) {
    station.log.add(format!("reported {}", reported.interval_s));
}

#[derive(Clone, Default, wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox {
    log: Log<String>,
}

#[wsx::handler(on = EdgeBox)]
fn on_command(edge: &EdgeBox, command: Command) {
    edge.log.add(format!("command {}", command.n));
}

#[wsx::handler(on = EdgeBox)]
fn on_settings(edge: &EdgeBox, settings: Settings) {
    edge.log.add(format!("settings {}", settings.interval_s));
}

fn hub(station: &Station) -> Hub<Station> {
    Hub::builder().endpoint(station.clone()).build().unwrap()
}

fn client(url: &str, edge: &EdgeBox) -> Client<EdgeBox> {
    Client::builder(url).endpoint(edge.clone()).build().unwrap()
}

/// Row G3: readings of an outage arrive in order, each once.
#[tokio::test]
async fn readings_of_an_outage_arrive_in_order() {
    let (station, edge) = (Station::default(), EdgeBox::default());
    let server = Server::start(hub(&station)).await;
    let client = client(&server.url("box-7"), &edge);
    for n in 0..100 {
        within(client.send(&Reading { n })).await.unwrap();
    }
    assert_eq!(client.waiting(), 100);
    within(client.start(CancellationToken::new())).await.unwrap();
    for n in 0..100 {
        assert_eq!(station.log.next().await, format!("reading {n}"));
    }
    within(client.deliver(&Reading { n: 100 })).await.unwrap();
    assert_eq!((station.log.next().await, client.waiting()), ("reading 100".to_owned(), 0));
    client.retry_now();
    within(client.deliver(&Reading { n: 101 })).await.unwrap();
    assert_eq!(station.log.next().await, "reading 101");
    client.close();
}

/// Row G3: commands wait for an absent box, and the result says so.
#[tokio::test]
async fn commands_wait_for_a_box() {
    let (station, edge) = (Station::default(), EdgeBox::default());
    let server = Server::start(hub(&station)).await;
    for n in 0..3 {
        assert_eq!(within(server.hub.send_to("box-7", &Command { n })).await.unwrap(), Accepted::Kept);
    }
    assert_eq!(server.hub.waiting("box-7").len(), 3);
    let client = client(&server.url("box-7"), &edge);
    within(client.start(CancellationToken::new())).await.unwrap();
    for n in 0..3 {
        assert_eq!(edge.log.next().await, format!("command {n}"));
    }
    assert_eq!(within(server.hub.send_to("box-7", &Command { n: 3 })).await.unwrap(), Accepted::Sent);
    within(server.hub.deliver("box-7", &Command { n: 4 })).await.unwrap();
    assert_eq!((edge.log.next().await, edge.log.next().await), ("command 3".to_owned(), "command 4".to_owned()));
    assert!(server.hub.waiting("box-7").is_empty());
    client.close();
}

/// Row G12: only the newest temperature of each device waits, and it comes before a backlog.
#[tokio::test]
async fn the_newest_of_each_key_comes_first() {
    let (station, edge) = (Station::default(), EdgeBox::default());
    let server = Server::start(hub(&station)).await;
    let client = client(&server.url("box-7"), &edge);
    within(client.send(&Reading { n: 1 })).await.unwrap();
    for celsius in 0..10 {
        for device in ["a", "b"] {
            within(client.send(&Temperature { device: device.to_owned(), celsius })).await.unwrap();
        }
    }
    assert_eq!(client.waiting(), 3);
    within(client.start(CancellationToken::new())).await.unwrap();
    for expected in ["a 9", "b 9", "reading 1"] {
        assert_eq!(station.log.next().await, expected);
    }
    client.close();
}

/// Row G14: a device shadow in three calls.
#[tokio::test]
async fn desired_and_reported_states_are_kept() {
    let (station, edge) = (Station::default(), EdgeBox::default());
    let server = Server::start(hub(&station)).await;
    for interval_s in 1..=2 {
        within(server.hub.set("box-7", &Settings { interval_s })).await.unwrap();
    }
    let newest = server.hub.deliver("box-7", &Settings { interval_s: 3 });
    assert!(!server.hub.state::<Settings>("box-7").unwrap().is_handled);
    let client = client(&server.url("box-7"), &edge);
    within(client.set(&Reported { interval_s: 1 })).await.unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert_eq!(edge.log.next().await, "settings 3");
    assert_eq!(station.log.next().await, "reported 1");
    within(client.deliver(&Reported { interval_s: 3 })).await.unwrap();
    within(newest).await.unwrap();
    client.close();
    client.closed().await;
    let reported = server.hub.state::<Reported>("box-7").unwrap();
    assert_eq!((reported.value.interval_s, reported.is_handled), (3, true));
    let desired = server.hub.state::<Settings>("box-7").unwrap();
    assert_eq!((desired.value.interval_s, desired.is_handled), (3, true));
    assert!(server.hub.state::<Settings>("box-8").is_none());
}

/// Row G6: a failed handler is reported to the sender, and the message is not sent again.
#[tokio::test]
async fn a_failed_handler_fails_the_delivery() {
    let (station, edge) = (Station::default(), EdgeBox::default());
    let server = Server::start(hub(&station)).await;
    let client = client(&server.url("box-7"), &edge);
    within(client.start(CancellationToken::new())).await.unwrap();
    station.fails.store(true, Ordering::Relaxed);
    let failed = within(client.deliver(&Reading { n: 1 })).await.unwrap_err();
    assert!(
        matches!(&failed, DeliveryError::Failed { code, message } if code == "failed" && message == "no space"),
        "{failed}"
    );
    station.fails.store(false, Ordering::Relaxed);
    within(client.deliver(&Reading { n: 2 })).await.unwrap();
    assert_eq!((station.log.next().await, station.log.next().await), ("reading 1".to_owned(), "reading 2".to_owned()));
    client.close();
}

/// Row G15: the outbox and the mailbox are bounded.
#[tokio::test]
async fn an_outbox_and_a_mailbox_are_bounded() {
    let client = Client::builder("ws://127.0.0.1:1/").outbox(Outbox::new().messages(2)).build().unwrap();
    for n in 0..2 {
        within(client.send(&Reading { n })).await.unwrap();
    }
    assert!(matches!(within(client.send(&Reading { n: 2 })).await, Err(SendError::OutboxFull)));
    let mailbox = Mailbox::new().messages_per_peer(2).messages(3);
    let hub = Hub::builder().without_handlers().mailbox(mailbox).build().unwrap();
    let mut accepted = Vec::new();
    for (id, n) in [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)] {
        accepted.push(within(hub.send_to(id, &Command { n })).await.is_ok());
    }
    assert_eq!(accepted, [true, true, false, true, false]);
    assert_eq!(hub.drop_waiting("a"), 2);
    within(hub.send_to("b", &Command { n: 1 })).await.unwrap();
}
