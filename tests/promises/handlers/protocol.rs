//! Row M3 of the specification: a protocol that the compiler checks, at run time.
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;
use wsx::{CancellationToken, Client, Closed, Connection, Envelope, Hub, Message, RawFrame, SendError, protocol::Side};
use wsx_tests::{Log, Server as Listening, within};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Health {
    ok: bool,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}
#[derive(Serialize, Deserialize, wsx::Message)]
struct Note {
    text: String,
}

wsx::protocol! {
    /// The protocol of an edge fleet.
    Fleet v3 {
        Edge -> Server: Telemetry<'_>, Health;
        Server -> Edge: Cmd;
        Edge <-> Server: Note;
    }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = Server)]
struct Station {
    log: Log<String>,
}

#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(
    station: &Station,
    msg: Telemetry<'_>,
    conn: &Connection<Server>,
) -> Result<Option<Cmd>, SendError> {
    tokio::task::yield_now().await;
    conn.send(&Note { text: format!("thanks, {}", msg.device) }).await?;
    station.log.add(format!("{}: {}", msg.device, msg.celsius));
    Ok((msg.celsius > 90.0).then_some(Cmd { reboot: true }))
}

#[wsx::handler(on = Station)]
fn on_health(health: Envelope<Health>, station: &Station) {
    station.log.add(format!("health {}", health.data.ok));
}

#[wsx::handler(on = Station)]
fn on_note_up(note: Note) -> Note {
    Note { text: note.text.to_uppercase() }
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(frame: RawFrame<'_>, station: &Station) {
    station.log.add(format!("raw {}", frame.as_bytes().len()));
}

#[wsx::handler("__close__", on = Station)]
fn on_close(closed: Closed, station: &Station) {
    station.log.add(closed.to_string());
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = Edge)]
struct EdgeBox {
    log: Log<String>,
}

#[wsx::handler(on = EdgeBox)]
fn on_cmd(cmd: Cmd, edge: &EdgeBox) {
    edge.log.add(format!("reboot {}", cmd.reboot));
}

#[wsx::handler("note", on = EdgeBox)]
fn on_note_down(edge: &EdgeBox, note: Note) {
    edge.log.add(note.text);
}

/// Row M3: both ends in one program. Each message gets to its handler, and replies go back.
#[tokio::test]
async fn both_ends_of_a_protocol_talk() {
    let server = Listening::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let client = Client::builder(server.url("box-7")).endpoint(EdgeBox::default()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    let (station, edge) = (&server.hub.endpoint().log, &client.endpoint().log);
    client.send(&Telemetry { device: "b-ü".into(), celsius: 95.0 }).await.unwrap();
    assert_eq!(station.next().await, "b-ü: 95");
    assert_eq!(edge.next().await, "thanks, b-ü");
    assert_eq!(edge.next().await, "reboot true");
    client.send(&Envelope::from(Health { ok: true })).await.unwrap();
    assert_eq!(station.next().await, "health true");
    client.send(&Note { text: "up".into() }).await.unwrap();
    assert_eq!(edge.next().await, "UP");
    server.hub.send_to("box-7", &Cmd { reboot: false }).await.unwrap();
    assert_eq!(edge.next().await, "reboot false");
    assert_eq!(server.hub.broadcast(&Note { text: "all".into() }).await.unwrap(), 1);
    assert_eq!(edge.next().await, "all");
    client.connection().unwrap().untyped().send_bytes("junk").await.unwrap();
    assert_eq!(station.next().await, "raw 4");
    client.close();
    assert_eq!(station.next().await, "closed by the peer with 1000");
}

/// Row M3: the description of a protocol.
#[test]
fn a_protocol_describes_itself() {
    assert_eq!(Fleet::VERSION, 3);
    assert_eq!(<Server as Side>::NAME, "Server");
    assert_eq!(<Server as Side>::PROTOCOL, "Fleet");
    let lines: Vec<_> =
        Fleet::DESCRIPTION.messages.iter().map(|m| format!("{}>{}:{}", m.from, m.to, m.message_type)).collect();
    assert_eq!(
        lines,
        ["Edge>Server:telemetry", "Edge>Server:health", "Edge>Server:note", "Server>Edge:cmd", "Server>Edge:note"]
    );
    assert!(Fleet::DESCRIPTION.to_string().starts_with("Fleet v3 ("));
    let json = serde_json::to_value(Fleet::DESCRIPTION).unwrap();
    assert_eq!(json["messages"][0]["message_type"], "telemetry");
    // Not a number: JavaScript would round it.
    assert_eq!(json["fingerprint"], format!("{:016x}", Fleet::FINGERPRINT));
    let telemetry = format!("{:016x}", Fleet::DESCRIPTION.messages[0].fingerprint);
    assert_eq!(json["messages"][0]["fingerprint"], telemetry);
}

/// Row M3: the messages of a side as an enum, for a program that matches on them itself.
#[test]
fn an_inbound_enum_decodes_what_its_side_receives() {
    let data = json!({"device": "a\nb", "celsius": 1.5}).to_string();
    let Some(Ok(ServerInbound::Telemetry(telemetry))) = ServerInbound::decode("telemetry", &data) else {
        panic!("not decoded")
    };
    assert_eq!((&*telemetry.device, telemetry.celsius.to_string()), ("a\nb", "1.5".into()));
    assert!(ServerInbound::decode("cmd", "{}").is_none());
    assert!(matches!(EdgeInbound::decode("cmd", "{}"), Some(Err(_))));
    assert!(matches!(EdgeInbound::decode("note", r#"{"text":"x"}"#), Some(Ok(EdgeInbound::Note(_)))));
}

/// Makes modules with the same messages in different shapes.
macro_rules! shapes {
    ($($name:ident { $($item:item)* })*) => {$(
        mod $name {
            #![allow(dead_code, reason = "only the shapes are used")]
            $(
                #[derive(serde::Serialize, wsx::Message)]
                $item
            )*
        }
    )*};
}
shapes! {
    base { pub(super) struct Inner { a: u8 } pub(super) struct Outer { inner: Inner, b: u16 } }
    same { pub(super) struct Outer { b: u16, inner: super::base::Inner } }
    nested { pub(super) struct Inner { a: u16 } pub(super) struct Outer { inner: Inner, b: u16 } }
    renamed { pub(super) struct Outer { inner: super::base::Inner, #[serde(rename = "c")] b: u16 } }

    unit { pub(super) struct Outer; }
    empty { pub(super) struct Outer {} }
    empty_tuple { pub(super) struct Outer(); }
    first { pub(super) enum Outer { A { x: u8 }, B {} } }
    second { pub(super) enum Outer { A {}, B { x: u8 } } }
    owned { pub(super) struct Outer { text: String, list: Option<Vec<u8>> } }
    borrowed {
        pub(super) struct Outer<'a> { list: Option<&'a [u8]>, text: std::borrow::Cow<'a, str> }
    }

    list { pub(super) struct Inner { a: u8 } pub(super) struct Outer { inner: Vec<Option<Inner>> } }
    list_of_others { pub(super) struct Inner { b: u8 } pub(super) struct Outer { inner: Vec<Option<Inner>> } }
    map {
        pub(super) struct Inner { a: u8 }
        pub(super) struct Outer { inner: std::collections::BTreeMap<String, (u8, [Box<Inner>; 2])> }
    }
    map_of_others {
        pub(super) struct Inner { b: u8 }
        pub(super) struct Outer { inner: std::collections::BTreeMap<String, (u8, [Box<Inner>; 2])> }
    }
    tree { pub(super) struct Branch { leaf: u8, leaves: Vec<Outer> } pub(super) struct Outer { branch: Box<Branch> } }
    tree_of_others {
        pub(super) struct Branch { leaf: u16, leaves: Vec<Outer> }
        pub(super) struct Outer { branch: Box<Branch> }
    }
}

/// Row M4: a fingerprint changes with what the JSON depends on, also inside of other messages, and
/// with nothing else. The shapes of the macro have more classes.
#[test]
fn a_fingerprint_changes_when_the_wire_does() {
    assert_eq!(base::Outer::FINGERPRINT, same::Outer::FINGERPRINT);
    assert_eq!(owned::Outer::FINGERPRINT, borrowed::Outer::FINGERPRINT);
    let all = [
        base::Outer::FINGERPRINT,
        nested::Outer::FINGERPRINT,
        renamed::Outer::FINGERPRINT,
        unit::Outer::FINGERPRINT,
        empty::Outer::FINGERPRINT,
        empty_tuple::Outer::FINGERPRINT,
        first::Outer::FINGERPRINT,
        second::Outer::FINGERPRINT,
        owned::Outer::FINGERPRINT,
        list::Outer::FINGERPRINT,
        list_of_others::Outer::FINGERPRINT,
        map::Outer::FINGERPRINT,
        map_of_others::Outer::FINGERPRINT,
        tree::Outer::FINGERPRINT,
        tree_of_others::Outer::FINGERPRINT,
    ];
    let different: std::collections::BTreeSet<u64> = all.into();
    assert_eq!(different.len(), all.len(), "{all:x?}");
}

mod turned {
    //! The messages of the three sides below, on other lines.
    use super::{Cmd, Health, Note};
    wsx::protocol! {
        pub(super) Plant v1 {
            Controller -> Console: Note, Health;
            Console -> Controller: Cmd;
            Controller -> Machine: Cmd;
            Machine -> Controller: Health;
        }
    }
}
mod swapped {
    //! The same with one message in the other direction.
    use super::{Cmd, Health, Note};
    wsx::protocol! {
        pub(super) Plant v1 {
            Machine -> Controller: Health;
            Controller -> Machine: Cmd;
            Console -> Controller: Cmd, Note;
            Controller -> Console: Health;
        }
    }
}

mod requests {
    //! Protocols that differ only in the reply and the refusal of their message.
    macro_rules! protocols {
        ($($name:ident { $($answer:tt)* })*) => {$(
            pub(super) mod $name {
                #![allow(unused_imports, reason = "a protocol names some of the messages")]
                use super::super::{Cmd, Health, Note, Telemetry};
                wsx::protocol! {
                    pub(in super::super) Line v1 {
                        Server -> Edge: Cmd $($answer)*, Health;
                    }
                }
            }
        )*};
    }
    protocols! {
        plain {}
        replies { -> Note }
        replies_otherwise { -> Health }
        refuses { -> Note | Health }
        refuses_otherwise { -> Health | Note }
    }
}

/// Row M4: the reply and the refusal of a request belong to the fingerprint.
#[test]
fn a_protocols_fingerprint_depends_on_its_replies() {
    let all = [
        requests::plain::Line::FINGERPRINT,
        requests::replies::Line::FINGERPRINT,
        requests::replies_otherwise::Line::FINGERPRINT,
        requests::refuses::Line::FINGERPRINT,
        requests::refuses_otherwise::Line::FINGERPRINT,
    ];
    let different: std::collections::BTreeSet<u64> = all.into();
    assert_eq!(different.len(), all.len(), "{all:x?}");
}

/// Rows M3, Q2: a description has the reply and the refusal of each request, and a side receives
/// requests, not replies.
#[test]
fn a_request_is_described_with_its_reply() {
    let description = requests::refuses::Line::DESCRIPTION;
    let (cmd, note, health) = (Cmd::FINGERPRINT, Note::FINGERPRINT, Health::FINGERPRINT);
    let [request, plain] = description.messages else { panic!("{description}") };
    let [reply, refusal] = [request.reply.unwrap(), request.refusal.unwrap()];
    assert_eq!((reply.message_type, reply.fingerprint), ("note", note));
    assert_eq!((refusal.message_type, refusal.fingerprint), ("health", health));
    assert_eq!((plain.reply, plain.refusal), (None, None));
    let text = description.to_string();
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
    let request = format!("Server -> Edge: cmd -> note | health ({cmd:016x}, {note:016x}, {health:016x})");
    assert_eq!(lines, [request, format!("Server -> Edge: health ({health:016x})")]);
    let json = serde_json::to_value(description).unwrap();
    assert_eq!(json["messages"][0]["reply"], json!({"message_type": "note", "fingerprint": format!("{note:016x}")}));
    assert_eq!(json["messages"][1].get("reply"), None, "a plain message is described as before");
    assert_eq!(requests::refuses::Edge::INBOUND[..2], ["cmd", "health"]);
    assert!(requests::refuses::ServerInbound::decode("note", "{}").is_none());
    assert!(matches!(
        requests::refuses::EdgeInbound::decode("cmd", r#"{"reboot":true}"#),
        Some(Ok(requests::refuses::EdgeInbound::Cmd(_)))
    ));
}

/// Row M4: the order of a protocol's lines is not on the wire, but their directions are.
#[test]
fn a_protocols_fingerprint_depends_on_its_directions() {
    assert_eq!(three::Plant::FINGERPRINT, turned::Plant::FINGERPRINT);
    assert_ne!(three::Plant::FINGERPRINT, swapped::Plant::FINGERPRINT);
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = Server, partial)]
struct Keeper {
    log: Log<String>,
}
#[wsx::handler(on = Keeper)]
fn keep(health: Health, conn: &Connection<Server>, hub: Hub<Keeper>) {
    conn.set_extension(7_u8);
    let pongs = hub.clone();
    conn.on_pong(move |payload| pongs.endpoint().log.add(format!("pong {payload:?}")));
    let conn = conn.clone();
    tokio::spawn(async move {
        conn.clone().send(&Cmd { reboot: health.ok }).await.unwrap();
        conn.ping(b"!").await.unwrap();
        let before = conn.is_closed();
        let end = conn.closed().await;
        let log = &hub.endpoint().log;
        log.add(format!("{} {:?} {before} {} {end}", conn.id(), conn.extension::<u8>(), conn.is_closed()));
    });
}

/// Row M3: a connection of a side sends only what its side may send, has everything else that a
/// connection has, and may outlive its handler.
#[tokio::test]
async fn a_connection_of_a_side_can_be_kept() {
    let server = Listening::start(Hub::builder().endpoint(Keeper::default()).build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    peer.send_envelope("health", json!({"ok": true})).await;
    assert_eq!(peer.receive_data().await, ("cmd".into(), json!({"reboot": true})));
    let log = &server.hub.endpoint().log;
    // The peer's library answers the ping with its next read.
    assert!(peer.next().await.unwrap().unwrap().is_ping());
    server.hub.connection("box-7").unwrap().close();
    assert_eq!(peer.close().await.0, 1000);
    // The peer's answer leaves while it reads on.
    assert!(peer.next().await.is_none());
    assert_eq!(log.next().await, "pong [33]");
    assert_eq!(log.next().await, "box-7 Some(7) false true closed by us with 1000");
}

mod three {
    //! A protocol with three sides. The controller talks to machines and to consoles, each through
    //! a hub of its own.
    use super::{Cmd, Health, Note};
    wsx::protocol! {
        pub(super) Plant v1 {
            /// A line may have a doc comment, and so may a message. A comma may follow the last
            /// message.
            Machine -> Controller: Health;
            Controller -> Machine: Cmd,;
            Console -> Controller: Cmd;
            Controller -> Console:
                Health,
                /// For people.
                Note,
            ;
        }
    }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = three::Controller, peer = three::Machine)]
struct Machines {
    log: Log<String>,
}
#[wsx::handler(on = Machines)]
fn machine_health(health: Health, machines: &Machines) -> Cmd {
    machines.log.add(format!("machine {}", health.ok));
    Cmd { reboot: !health.ok }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = three::Controller, peer = three::Console)]
struct Consoles {
    log: Log<String>,
}
#[wsx::handler(on = Consoles)]
async fn console_cmd(cmd: Cmd, conn: Connection<three::Controller, three::Console>, consoles: &Consoles) -> Health {
    consoles.log.add(format!("console {}", cmd.reboot));
    conn.try_send(&Note { text: "done".into() }).unwrap();
    Health { ok: true }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = three::Controller)]
struct AnyPeerStation {}
#[wsx::handler(on = AnyPeerStation)]
fn any_health(_health: Health) {}
#[wsx::handler(on = AnyPeerStation)]
fn any_cmd(_cmd: Cmd, _conn: Connection<three::Controller>) -> Note {
    Note { text: "to the sender".into() }
}

/// Row M3: a protocol may have more than two sides. An endpoint talks to one of them, or to all.
#[tokio::test]
async fn a_protocol_may_have_three_sides() {
    let (machines, consoles) = (
        Hub::builder().endpoint(Machines::default()).build().unwrap(),
        Hub::builder().endpoint(Consoles::default()).build().unwrap(),
    );
    let (machines, consoles) = (Listening::start(machines).await, Listening::start(consoles).await);
    let (mut machine, mut console) = (machines.peer("m").await, consoles.peer("c").await);
    machine.send_envelope("health", json!({"ok": false})).await;
    assert_eq!(machine.receive_data().await, ("cmd".into(), json!({"reboot": true})));
    console.send_envelope("cmd", json!({"reboot": true})).await;
    assert_eq!(console.receive_data().await.0, "note");
    assert_eq!(console.receive_data().await.0, "health");
    machines.hub.send_to("m", &Cmd { reboot: true }).await.unwrap();
    consoles.hub.send_to("c", &Note { text: "x".into() }).await.unwrap();
    let any_peer = Listening::start(Hub::builder().endpoint(AnyPeerStation::default()).build().unwrap()).await;
    let mut any = any_peer.peer("a").await;
    any.send_envelope("cmd", json!({"reboot": true})).await;
    assert_eq!(any.receive_data().await.0, "note");
    any_peer.hub.send_to("a", &Cmd { reboot: true }).await.unwrap();
}

/// Row M3: `register`, the hub and the client give a connection of the endpoint's side; `untyped`
/// gives an untyped one.
#[tokio::test]
async fn register_sees_a_connection_of_the_side() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let upgrade = hub.ws_handler(wsx_tests::query_id, |conn: &Connection<Server>| {
        conn.try_send(&Cmd { reboot: true }).unwrap();
        assert_eq!(conn.untyped(), conn.untyped());
    });
    let server = Listening::start_at(hub, upgrade, "127.0.0.1:0").await;
    assert_eq!(server.peer("a").await.receive_data().await.0, "cmd");
}

mod asks_only {
    #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    pub(super) struct Read;
    #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    pub(super) struct Value(u32);
    wsx::protocol! { pub(super) Meters v1 { Reader -> Meter: Read -> Value; } }

    /// Its side receives nothing but replies.
    #[derive(wsx::Endpoint)]
    #[wsx(side = Reader)]
    pub(super) struct Desk;

    #[derive(wsx::Endpoint)]
    #[wsx(side = Meter, partial)]
    pub(super) struct Broken;
}

/// Row M3: an endpoint whose side receives no message needs no handler, and one that receives some
/// does.
#[test]
fn a_side_that_only_asks_needs_no_handler() {
    assert!(Hub::builder().endpoint(asks_only::Desk).build().is_ok());
    let error = Hub::builder().endpoint(asks_only::Broken).build().unwrap_err();
    assert!(error.to_string().contains("no handler was found"), "{error}");
}
