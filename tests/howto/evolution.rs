//! `docs/howto/evolution.md`: programs with two versions of a protocol talk: row D3 of the
//! specification.
#[expect(missing_debug_implementations, unnameable_types, reason = "the page shows it as the code of a library")]
mod v1;
#[expect(missing_debug_implementations, unnameable_types, reason = "the page shows it as the code of a library")]
mod v2;

use serde_json::json;
use wsx::{CancellationToken, Client, Connection, Hub, RequestError, client::ClientBuilder};
use wsx_tests::{Log, Peer, Server, recorder, round_trip, within};

/// A server of the first version. Each endpoint here writes down what it receives.
#[derive(wsx::Endpoint, Clone, Default)]
#[wsx(side = v1::Server)]
struct OldStation(Log<String>);

/// A box of the first version.
#[derive(wsx::Endpoint, Clone, Default)]
#[wsx(side = v1::Edge)]
struct OldBox(Log<String>);

/// A server of the second version.
#[derive(wsx::Endpoint, Clone, Default)]
#[wsx(side = v2::Server)]
struct NewStation(Log<String>);

/// A box of the second version.
#[derive(wsx::Endpoint, Clone, Default)]
#[wsx(side = v2::Edge)]
struct NewBox(Log<String>);

#[wsx::handler(on = OldStation)]
fn on_telemetry(station: &OldStation, msg: v1::Telemetry) {
    station.0.add(format!("{} {:?}", msg.celsius, msg.power));
}

#[wsx::handler(on = OldBox)]
fn on_old_cmd(edge: &OldBox, msg: v1::Cmd) {
    edge.0.add(format!("reboot {}", msg.reboot));
}

#[wsx::handler(on = NewStation)]
fn on_measurement(station: &NewStation, msg: v2::Measurement, conn: &Connection<v2::Server>) {
    let version = conn.peer_version().map_or("none".to_owned(), ToString::to_string);
    station.0.add(format!("{} {:?} {:?} from {version}", msg.temperature, msg.power, msg.humidity));
}

#[wsx::handler(on = NewStation)]
fn on_door_opened(station: &NewStation, _: v2::DoorOpened) {
    station.0.add("door opened".to_owned());
}

#[wsx::handler(on = NewBox)]
fn on_new_cmd(edge: &NewBox, msg: v2::Cmd) {
    edge.0.add(format!("reboot {} in {} s", msg.reboot, msg.delay_seconds));
}

#[wsx::handler(on = NewBox)]
fn on_diagnose(_: v2::Diagnose) -> v2::Diagnosis {
    v2::Diagnosis { free_bytes: 7 }
}

async fn connected<E: wsx::Endpoint>(client: ClientBuilder<E>) -> Client<E> {
    let client = client.build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    client
}

/// Row D3: a box of the first version works with a server of the second. It does not
/// handle the new request, and both ends learn that.
#[tokio::test]
async fn an_old_box_talks_to_a_new_server() {
    let station = NewStation::default();
    let server = Server::start(Hub::builder().endpoint(station.clone()).build().unwrap()).await;
    let (recorder, mut memory) = recorder();
    let edge = OldBox::default();
    let old = Client::builder(server.url("box-7")).endpoint(edge.clone()).observer(recorder);
    let old = connected(old).await;
    old.send(&v1::Telemetry { celsius: 21.5, power: v1::Power::Battery }).await.unwrap();
    assert_eq!(station.0.next().await, "21.5 Battery None from Fleet v1");
    let diagnosed = within(server.hub.request("box-7", &v2::Diagnose {})).await;
    assert!(matches!(diagnosed, Err(RequestError::NotHandled(_))));
    server.hub.send_to("box-7", &v2::Cmd { reboot: true, delay_seconds: 60 }).await.unwrap();
    assert_eq!(memory.message_ignored().await.1, "diagnose");
    assert_eq!(edge.0.next().await, "reboot true");
    round_trip(&server.hub.connection("box-7").unwrap().untyped()).await;
}

/// Row D3: a box of the second version works with a server of the first.
#[tokio::test]
async fn a_new_box_talks_to_an_old_server() {
    let (recorder, mut memory) = recorder();
    let station = OldStation::default();
    let hub = Hub::builder().endpoint(station.clone()).observer(recorder).build().unwrap();
    let server = Server::start(hub).await;
    let edge = NewBox::default();
    let new = Client::builder(server.url("box-7")).endpoint(edge.clone());
    let new = connected(new).await;
    let sunny = v2::Measurement { temperature: 30.0, power: v2::Power::Solar, humidity: Some(0.4) };
    new.send(&sunny).await.unwrap();
    assert_eq!(station.0.next().await, "30 Unknown");
    new.send(&v2::DoorOpened {}).await.unwrap();
    assert_eq!(memory.message_ignored().await, ("box-7".to_owned(), "door_opened".to_owned()));
    server.hub.send_to("box-7", &v1::Cmd { reboot: true }).await.unwrap();
    assert_eq!(edge.0.next().await, "reboot true in 0 s");
}

/// Row D3: two programs of the second version use everything that is new. A box that sends no
/// version is accepted, and data that does not fit does not end its connection.
#[tokio::test]
async fn a_box_without_a_version_is_accepted() {
    let (recorder, mut memory) = recorder();
    let station = NewStation::default();
    let server = Server::start(Hub::builder().endpoint(station.clone()).observer(recorder).build().unwrap()).await;
    let new = Client::builder(server.url("box-8")).endpoint(NewBox::default());
    let new = connected(new).await;
    let diagnosis = within(server.hub.request("box-8", &v2::Diagnose {})).await.unwrap();
    assert_eq!(diagnosis.free_bytes, 7);
    new.send(&v2::DoorOpened {}).await.unwrap();
    assert_eq!(station.0.next().await, "door opened");

    let mut peer = Peer::connect(&server.url("box-7")).await;
    peer.send_envelope("telemetry", json!({"celsius": "warm", "power": "mains"})).await;
    assert_eq!(memory.handler_failed().await.0, "box-7");
    peer.send_envelope("telemetry", json!({"celsius": 20.5, "power": "mains", "later": 1})).await;
    assert_eq!(station.0.next().await, "20.5 Mains None from none");
}

/// Row D3: the fingerprint changes with the version.
#[test]
fn the_versions_have_different_fingerprints() {
    assert_ne!(v1::Fleet::FINGERPRINT, v2::Fleet::FINGERPRINT);
}
