//! Peers of different versions of a protocol: rows U5 to U7 of the specification.
mod named;
mod required;
mod rolling;
mod withheld;

use std::sync::LazyLock;
use wsx::{
    Client, Connection, Hub, Misunderstood, Observer,
    contract::{Released, schemars},
    protocol::PeerVersion,
};
use wsx_tests::{
    Log, Server,
    released::{release, released},
    within,
};

/// The first version.
mod v1 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Reading {
        pub volts: f64,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Cmd {
        pub action: String,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Ask {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Said {
        pub text: String,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Reboot {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Rebooted {
        pub uptime_s: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(always)]
    pub(crate) struct Update {
        pub url: String,
    }
    wsx::protocol! {
        pub(crate) Fleet v1 {
            Edge -> Server: Reading, Ask -> Said;
            Server -> Edge: Cmd, Reboot -> Rebooted, Update;
        }
    }
}

/// The next version: it breaks in both directions, and has a message more.
mod v2 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Reading {
        pub volts: f64,
        pub phase: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Cmd {
        pub action: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Ask {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Said {
        pub number: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Reboot {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Rebooted {
        pub uptime_s: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(always)]
    pub(crate) struct Update {
        pub urls: Vec<String>,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Light {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Blink {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Blinked {}
    wsx::protocol! {
        pub(crate) Fleet v2 {
            Edge -> Server: Reading, Ask -> Said;
            Server -> Edge: Cmd, Reboot -> Rebooted, Update, Light, Blink -> Blinked;
        }
    }
}

/// The lock file with both versions.
static RELEASED: LazyLock<Released> = LazyLock::new(|| released([release::<v1::Fleet>, release::<v2::Fleet>])[1]);

/// What an observer learns of versions, and of messages that were not sent.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Differs { version: String, withheld: Vec<String>, misread: Vec<String>, is_known: bool },
    Withheld(String, String),
    Failed(String, String),
}

#[derive(Clone, Default)]
struct Events(Log<Event>);

impl Observer for Events {
    fn version_differs(&self, _: &Connection, peer: &PeerVersion, misunderstood: &Misunderstood<'_>) {
        let list = |types: &[Box<str>]| types.iter().map(ToString::to_string).collect();
        let (withheld, misread) = (list(misunderstood.withheld), list(misunderstood.misread));
        let version = peer.to_string();
        self.0.add(Event::Differs { version, withheld, misread, is_known: misunderstood.is_known });
    }

    fn message_withheld(&self, _: &Connection, message_type: &str, peer: &PeerVersion) {
        self.0.add(Event::Withheld(message_type.to_owned(), peer.to_string()));
    }

    fn handler_failed(&self, _: &Connection, message_type: &str, error: &wsx::HandlerError) {
        self.0.add(Event::Failed(message_type.to_owned(), wsx::Report(error).to_string()));
    }
}

/// What the handlers of a box have got.
type Got = Log<String>;

/// A box of the first version.
#[derive(wsx::Endpoint, Default)]
#[wsx(side = v1::Edge)]
struct OldBox(Got);

/// A box of the next version.
#[derive(wsx::Endpoint, Default)]
#[wsx(side = v2::Edge)]
struct NewBox(Got);

/// A server of the first version.
#[derive(wsx::Endpoint, Default)]
#[wsx(side = v1::Server)]
struct OldStation(Got);

/// A server of the next version.
#[derive(wsx::Endpoint, Default)]
#[wsx(side = v2::Server)]
struct NewStation(Got);

#[wsx::handler(on = OldBox)]
fn old_cmd(this: &OldBox, msg: v1::Cmd) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = OldBox)]
fn old_reboot(_msg: v1::Reboot) -> v1::Rebooted {
    v1::Rebooted { uptime_s: 7 }
}
#[wsx::handler(on = OldBox)]
fn old_update(this: &OldBox, msg: v1::Update) {
    this.0.add(format!("{msg:?}"));
}

#[wsx::handler(on = NewBox)]
fn new_cmd(this: &NewBox, msg: v2::Cmd) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = NewBox)]
fn new_reboot(_msg: v2::Reboot) -> v2::Rebooted {
    v2::Rebooted { uptime_s: 8 }
}
#[wsx::handler(on = NewBox)]
fn new_update(this: &NewBox, msg: v2::Update) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = NewBox)]
fn new_light(this: &NewBox, msg: v2::Light) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = NewBox)]
fn new_blink(_msg: v2::Blink) -> v2::Blinked {
    v2::Blinked {}
}

#[wsx::handler(on = OldStation)]
fn old_reading(this: &OldStation, msg: v1::Reading) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = OldStation)]
fn old_ask(_msg: v1::Ask) -> v1::Said {
    v1::Said { text: "one".into() }
}
#[wsx::handler(on = NewStation)]
fn new_reading(this: &NewStation, msg: v2::Reading) {
    this.0.add(format!("{msg:?}"));
}
#[wsx::handler(on = NewStation)]
fn new_ask(_msg: v2::Ask) -> v2::Said {
    v2::Said { number: 1 }
}

/// Connects a client with this id. It is in the hub on return.
async fn connect<E: wsx::Endpoint, H: wsx::Endpoint>(server: &Server<H>, id: &str, endpoint: E) -> Client<E> {
    let client = Client::builder(server.url(id)).endpoint(endpoint).build().unwrap();
    within(client.start(wsx::CancellationToken::new())).await.unwrap();
    client
}

/// A hub of the next version that knows the first one, and its events.
async fn new_server() -> (Server<NewStation>, Events) {
    let events = Events::default();
    let hub = Hub::builder().endpoint(NewStation::default()).observer(events.clone()).contract(*RELEASED);
    (Server::start(hub.build().unwrap()).await, events)
}
