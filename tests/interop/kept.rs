//! Kept messages between wsx and a peer in Python, which is a box of our hub and a station of our
//! client. The links break.
use super::{ANY_PORT, End, Language, Peer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::VecDeque, path::Path, time::Duration};
use tokio::process::Command;
use wsx::{
    Backoff, CancellationToken, Client, Connection, Hub, Observer,
    delivery::{Delivering, DeliveryError, Gap, Why},
};
use wsx_tests::{Log, Server, within};

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = device)]
struct Temperature {
    device: String,
    celsius: i32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Settings {
    interval_s: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Note {
    n: u32,
}

/// Our endpoint, the same for the hub and for the client. It logs what it handles.
#[derive(wsx::Endpoint, Clone, Default)]
struct Keeper {
    log: Log<String>,
    gaps: Log<Gap>,
}

#[wsx::handler(on = Keeper)]
fn on_reading(keeper: &Keeper, Reading { n }: Reading) -> Result<(), &'static str> {
    keeper.log.add(format!("reading {n}"));
    if n == 13 { Err("an unlucky number") } else { Ok(()) }
}

#[wsx::handler(on = Keeper)]
fn on_temperature(keeper: &Keeper, temperature: Temperature) {
    keeper.log.add(format!("{} {}", temperature.device, temperature.celsius));
}

#[wsx::handler(on = Keeper)]
fn on_settings(keeper: &Keeper, settings: Settings) {
    keeper.log.add(format!("settings {}", settings.interval_s));
}

#[wsx::handler(on = Keeper)]
fn on_note(keeper: &Keeper, Note { n }: Note) -> Note {
    keeper.log.add(format!("note {n}"));
    Note { n: n + 1 }
}

#[derive(Clone)]
struct Gaps(Log<Gap>);

impl Observer for Gaps {
    fn delivery_gap(&self, _: &Connection, gap: &Gap) {
        self.0.add(gap.clone());
    }
}

/// Our end.
enum Ours {
    Hub(Hub<Keeper>),
    Client(Client<Keeper>),
}

impl Ours {
    /// Keeps a message.
    async fn send<M: wsx::message::Kept + Serialize + Sync>(&self, message: &M) {
        match self {
            Self::Hub(hub) => drop(within(hub.send_to("box-7", message)).await.unwrap()),
            Self::Client(client) => within(client.send(message)).await.unwrap(),
        }
    }

    fn deliver<M: wsx::message::Kept + Serialize + Sync>(&self, message: &M) -> Delivering {
        match self {
            Self::Hub(hub) => hub.deliver("box-7", message),
            Self::Client(client) => client.deliver(message),
        }
    }
}

/// A peer in Python and our end, which are not connected.
struct Both {
    peer: Peer,
    /// The events of the peer that nobody has waited for. Their order to others does not count.
    events: VecDeque<Value>,
    end: End,
    url: String,
    ours: Ours,
    keeper: Keeper,
}

impl Both {
    async fn apart(end: End) -> Self {
        let keeper = Keeper::default();
        let gaps = Gaps(keeper.gaps.clone());
        let mut peer = Peer::run(Language::Python, "delivery_peer.py");
        let (ours, url) = match end {
            End::Client => {
                let hub = Hub::builder().endpoint(keeper.clone()).observer(gaps).build().unwrap();
                let server = Server::start(hub).await;
                (Ours::Hub(server.hub.clone()), server.url("box-7"))
            }
            End::Server => {
                let (host, port) = ANY_PORT;
                peer.ask(json!({"op": "listen", "host": host, "port": port})).await;
                let url = format!("ws://{host}:{}/ws", peer.receives("listening").await["port"]);
                let backoff = Backoff::default().initial(Duration::from_millis(20)).max(Duration::from_millis(20));
                let client = Client::builder(&url).endpoint(keeper.clone()).observer(gaps).backoff(backoff);
                (Ours::Client(client.build().unwrap()), url)
            }
        };
        Self { peer, events: VecDeque::new(), end, url, ours, keeper }
    }

    /// Connects the two for the first time, or after `cut`.
    async fn connect(&mut self) {
        match &self.ours {
            Ours::Hub(_) => self.peer.ask(json!({"op": "connect", "url": self.url})).await,
            // After the first time, the client reconnects by itself.
            Ours::Client(client) => drop(within(client.start(CancellationToken::new())).await.unwrap()),
        }
        self.peer_receives("open").await;
    }

    /// Breaks the link, and connects again.
    async fn reconnect(&mut self) {
        self.peer.ask(json!({"op": "cut"})).await;
        self.peer_receives("close").await;
        match self.end {
            End::Client => self.connect().await,
            End::Server => drop(self.peer_receives("open").await),
        }
    }

    /// Makes the peer keep a message.
    async fn peer_keeps(&mut self, key: &str, message_type: &str, data: Value) {
        self.peer
            .ask(json!({"op": "keep", "key": key, "type": message_type, "of": data["device"], "data": data}))
            .await;
    }

    /// Returns the next event of this kind.
    async fn peer_receives(&mut self, kind: &str) -> Value {
        if let Some(at) = self.events.iter().position(|event| event["event"] == kind) {
            return self.events.remove(at).expect("it is there");
        }
        loop {
            let event = self.peer.next(kind).await;
            if event["event"] == kind {
                return event;
            }
            self.events.push_back(event);
        }
    }

    /// Returns the data of the next message that the peer handles.
    async fn peer_handles(&mut self) -> Value {
        self.peer_receives("handled").await["data"].take()
    }
}

/// Rows G3, G4, G7, G9: over a link that breaks, each message is handled once and in order, in both
/// directions.
async fn delivers_over_a_link_that_breaks(end: End) {
    const ROUNDS: u32 = 6;
    const MESSAGES: u32 = 30;
    let mut both = Both::apart(end).await;
    for n in 0..ROUNDS * MESSAGES {
        both.peer_keeps("seq", "reading", json!({"n": 1000 + n})).await;
        both.ours.send(&Reading { n: 1000 + n }).await;
        match n {
            0 => both.connect().await,
            _ if n % MESSAGES == 0 => both.reconnect().await,
            _ => {}
        }
    }
    for n in 0..ROUNDS * MESSAGES {
        assert_eq!(both.keeper.log.next().await, format!("reading {}", 1000 + n));
        assert_eq!(both.peer_handles().await, json!({"n": 1000 + n}));
    }
    both.reconnect().await;
    within(both.ours.deliver(&Reading { n: 1 })).await.unwrap();
    both.peer_keeps("seq", "reading", json!({"n": 2})).await;
    assert_eq!((both.peer_handles().await, both.keeper.log.next().await), (json!({"n": 1}), "reading 2".to_owned()));
    assert!(both.keeper.gaps.try_next().is_none());
}

/// Row G7: a number that comes again is a duplicate, also on the next connection.
async fn is_not_handled_twice(end: End) {
    let mut both = Both::apart(end).await;
    both.connect().await;
    for n in 1..=3 {
        both.peer_keeps("seq", "reading", json!({"n": n})).await;
        assert_eq!(both.keeper.log.next().await, format!("reading {n}"));
        if n == 2 {
            both.reconnect().await;
        }
        let again = json!({"type": "reading", "seq": n, "data": {"n": 100 + n}});
        both.peer.ask(json!({"op": "send_text", "text": again.to_string()})).await;
    }
    both.peer_keeps("seq", "reading", json!({"n": 4})).await;
    assert_eq!(both.keeper.log.next().await, "reading 4");
}

/// Rows G5, G6: a handler that fails is in the acknowledgement, and its message does not come
/// again.
async fn tells_and_learns_that_a_handler_failed(end: End) {
    let mut both = Both::apart(end).await;
    both.peer.ask(json!({"op": "fail", "type": "temperature"})).await;
    both.connect().await;
    let temperature = Temperature { device: "north".to_owned(), celsius: -4 };
    match within(both.ours.deliver(&temperature)).await {
        Err(DeliveryError::Failed { code, message }) => {
            assert_eq!((&*code, &*message), ("failed", "asked to fail: temperature"));
        }
        other => panic!("{other:?}"),
    }
    for n in [13, 14] {
        both.peer_keeps("seq", "reading", json!({"n": n})).await;
    }
    both.peer_keeps("latest", "unknown", json!({})).await;
    let failure = both.peer_receives("failed").await;
    assert_eq!(
        [&failure["seq"], &failure["code"], &failure["message"]],
        [&json!(1), &json!("failed"), &json!("an unlucky number")]
    );
    let failure = both.peer_receives("failed").await;
    assert_eq!([&failure["latest"], &failure["code"]], [&json!(1), &json!("not_handled")]);
    both.reconnect().await;
    both.peer_keeps("seq", "reading", json!({"n": 15})).await;
    for n in 13..16 {
        assert_eq!(both.keeper.log.next().await, format!("reading {n}"));
    }
}

/// Row G12: after an outage the newest value of each key comes first, and the older ones never.
async fn exchanges_the_newest_values_first(end: End) {
    let mut both = Both::apart(end).await;
    both.peer_keeps("seq", "reading", json!({"n": 1})).await;
    both.ours.send(&Reading { n: 1 }).await;
    for (device, celsius) in [("north", 1), ("south", 2), ("north", 3)] {
        both.peer_keeps("latest", "temperature", json!({"device": device, "celsius": celsius})).await;
        both.ours.send(&Temperature { device: device.to_owned(), celsius }).await;
    }
    both.connect().await;
    for expected in ["south 2", "north 3", "reading 1"] {
        assert_eq!(both.keeper.log.next().await, expected);
    }
    for expected in
        [json!({"device": "south", "celsius": 2}), json!({"device": "north", "celsius": 3}), json!({"n": 1})]
    {
        assert_eq!(both.peer_handles().await, expected);
    }
}

/// Rows G4, G14: a state is sent once it is set, and not again at a connect, unless the receiver
/// has forgotten it. `hub.state` returns what the peer sent.
async fn gets_a_state_until_it_has_handled_it(end: End) {
    let mut both = Both::apart(end).await;
    for interval_s in [10, 60] {
        both.ours.send(&Settings { interval_s }).await;
        both.peer_keeps("state", "settings", json!({"interval_s": interval_s + 1})).await;
    }
    both.connect().await;
    assert_eq!(both.peer_handles().await, json!({"interval_s": 60}));
    assert_eq!(both.keeper.log.next().await, "settings 61");
    within(both.ours.deliver(&Reading { n: 1 })).await.unwrap();
    both.reconnect().await;
    within(both.ours.deliver(&Reading { n: 2 })).await.unwrap();
    both.peer.ask(json!({"op": "lose", "what": "inbox"})).await;
    both.reconnect().await;
    for expected in [json!({"n": 1}), json!({"n": 2}), json!({"interval_s": 60})] {
        assert_eq!(both.peer_handles().await, expected);
    }
    if let Ours::Hub(hub) = &both.ours {
        let state = hub.state::<Settings>("box-7").unwrap();
        assert_eq!((state.value.interval_s, state.is_handled), (61, true));
    }
}

/// Row G8: a message that is not sent leaves a gap, and the receiver learns its numbers and why.
async fn explains_a_hole(end: End) {
    let mut both = Both::apart(end).await;
    for n in 1..=6 {
        both.peer_keeps("seq", "reading", json!({"n": n})).await;
    }
    for (number, why) in [(2, "expired"), (4, "void"), (5, "eaten by a mouse")] {
        both.peer.ask(json!({"op": "drop", "number": number, "why": why})).await;
    }
    both.connect().await;
    for n in [1, 3, 6] {
        assert_eq!(both.keeper.log.next().await, format!("reading {n}"));
    }
    for (number, why) in [(2, Why::Expired), (5, Why::Unknown)] {
        let gap = both.keeper.gaps.next().await;
        assert_eq!((gap.from, gap.to, gap.why, gap.is_ours), (number, number, why, false));
    }
}

/// Row G8: the hub explains the numbers of messages that the program dropped.
async fn learns_what_the_hub_dropped(end: End) {
    let mut both = Both::apart(end).await;
    let Ours::Hub(hub) = &both.ours else { panic!("only a hub drops messages") };
    for n in 1..=3 {
        within(hub.send_to("box-7", &Reading { n })).await.unwrap();
    }
    assert_eq!(hub.drop_waiting("box-7"), 3);
    both.ours.send(&Reading { n: 4 }).await;
    both.connect().await;
    let gap = both.peer_receives("gap").await;
    assert_eq!(
        (gap["why"].as_str(), gap["last"].as_u64().unwrap() - gap["first"].as_u64().unwrap()),
        (Some("dropped"), 2)
    );
    assert_eq!(both.peer_handles().await, json!({"n": 4}));
    let ours = both.keeper.gaps.next().await;
    assert_eq!([ours.from, ours.to], [gap["first"].as_u64().unwrap(), gap["last"].as_u64().unwrap()]);
    assert!(ours.is_ours);
}

/// Rows G3, G7: a peer that has lost its outbox has a new epoch, and its numbers are not taken for
/// those that it used before. One that has lost its inbox gets what it has not acknowledged.
async fn begins_anew_without_its_outbox(end: End) {
    let mut both = Both::apart(end).await;
    both.connect().await;
    for n in 1..=3 {
        both.peer_keeps("seq", "reading", json!({"n": n})).await;
        assert_eq!(both.keeper.log.next().await, format!("reading {n}"));
    }
    both.peer.ask(json!({"op": "lose", "what": "outbox"})).await;
    both.peer_keeps("seq", "reading", json!({"n": 4})).await;
    both.reconnect().await;
    assert_eq!(both.keeper.log.next().await, "reading 4");
}

/// Row G11: a peer that does not know delivery gets no kept message, and everything else works.
async fn gets_no_kept_message_without_knowing_them(language: Language, end: End) {
    let mut both = Both::apart(end).await;
    let Ours::Hub(hub) = &both.ours else { panic!("the peer is a client") };
    within(hub.send_to("box-7", &Reading { n: 1 })).await.unwrap();
    let mut plain = Peer::connected(language, &both.url).await;
    let begin = plain.receives("message").await["text"].take();
    let begin: Value = serde_json::from_str(begin.as_str().unwrap()).unwrap();
    assert_eq!([&begin["type"], &begin["seq"]["first"]], [&json!("delivery"), &begin["seq"]["last"]]);
    plain.sends("note", json!({"n": 2})).await;
    assert_eq!(plain.receives_data("note").await, json!({"n": 3}));
    assert_eq!((both.keeper.log.next().await, hub.waiting("box-7").len()), ("note 2".to_owned(), 1));
    // When the box is updated, it gets what has waited.
    both.connect().await;
    assert_eq!(both.peer_handles().await, json!({"n": 1}));
}

/// Rows G4, G7: the peer works with itself too. The test in Python has the promises.
#[tokio::test]
async fn a_box_and_a_station_in_python_deliver_to_each_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let mut python = Command::new(folder.join(".venv/bin/python"));
    let status = within(python.arg(folder.join("delivery_test.py")).kill_on_drop(true).status()).await;
    assert!(status.expect("Python starts").success(), "its words are above");
}

/// Makes a test for each promise, with the peer at this end.
macro_rules! keep {
    ($module:ident, $with:tt: $($promise:ident)+) => {
        mod $module {
            #[allow(unused_imports, reason = "one of them names no language")]
            use super::super::{End, Language};
            $(#[tokio::test]
            async fn $promise() {
                super::$promise $with.await;
            })+
        }
    };
}

keep! { a_box, (End::Client):
    delivers_over_a_link_that_breaks
    is_not_handled_twice
    tells_and_learns_that_a_handler_failed
    exchanges_the_newest_values_first
    gets_a_state_until_it_has_handled_it
    explains_a_hole
    learns_what_the_hub_dropped
    begins_anew_without_its_outbox
}
keep! { a_station, (End::Server):
    delivers_over_a_link_that_breaks
    is_not_handled_twice
    tells_and_learns_that_a_handler_failed
    exchanges_the_newest_values_first
    gets_a_state_until_it_has_handled_it
    explains_a_hole
    begins_anew_without_its_outbox
}
keep! { plain_python, (Language::Python, End::Client): gets_no_kept_message_without_knowing_them }
keep! { plain_node, (Language::Node, End::Client): gets_no_kept_message_without_knowing_them }
