//! A rolling upgrade of a fleet, step by step: boxes of three versions, servers of two, and at
//! every step what each pair understands: row U6 of the specification.
use super::{Event, Events, schemars};
use futures_util::{FutureExt, future::BoxFuture};
use std::{collections::BTreeMap, sync::LazyLock};
use wsx::{
    CancellationToken, Client, Endpoint, Hub, RequestError, SendError, contract::Released, protocol::PeerVersion,
};
use wsx_tests::{
    Log, Server,
    released::{release, released},
    within,
};

/// The protocol of the example fleet, as it was released first.
mod v1 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Telemetry {
        pub number: u64,
        pub memory: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct SetRate {
        pub per_second: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct RateSet {
        pub before: u8,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Notice {
        pub text: String,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(always)]
    pub(crate) struct Update {
        pub url: String,
    }
    wsx::protocol! {
        pub(crate) Fleet v1 {
            Edge -> Server: Telemetry;
            Server -> Edge: SetRate -> RateSet, Notice, Update;
        }
    }
}

/// A field more, which may be missing, and a request more.
mod v2 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Telemetry {
        pub number: u64,
        pub memory: u8,
        #[serde(default)]
        pub disk: Option<u8>,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Check {}
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Health {
        pub uptime_s: u64,
    }
    pub(crate) use super::v1::{Notice, RateSet, SetRate, Update};
    wsx::protocol! {
        pub(crate) Fleet v2 {
            Edge -> Server: Telemetry;
            Server -> Edge: SetRate -> RateSet, Check -> Health, Notice, Update;
        }
    }
}

/// The rate has another unit, and a notice has a level: both break older boxes.
mod v3 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct SetRate {
        pub per_minute: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct RateSet {
        pub before: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(crate) struct Notice {
        pub texts: Vec<String>,
    }
    pub(crate) use super::{
        v1::Update,
        v2::{Check, Health, Telemetry},
    };
    wsx::protocol! {
        pub(crate) Fleet v3 {
            Edge -> Server: Telemetry;
            Server -> Edge: SetRate -> RateSet, Check -> Health, Notice, Update;
        }
    }
}

/// The lock file as each version has it: without those that came later.
static RELEASED: LazyLock<[Released; 3]> =
    LazyLock::new(|| released([release::<v1::Fleet>, release::<v2::Fleet>, release::<v3::Fleet>]));

fn released_until(version: u32) -> Released {
    RELEASED[version as usize - 1]
}

/// What boxes have handled.
#[derive(Clone, Default)]
struct Handled(Log<String>);

macro_rules! edge {
    ($name:ident, $version:ident, $rate:expr, $notice:expr) => {
        #[derive(wsx::Endpoint)]
        #[wsx(side = $version::Edge)]
        struct $name(Handled);

        const _: () = {
            #[wsx::handler(on = $name)]
            fn on_rate(_msg: $version::SetRate) -> $version::RateSet {
                $version::RateSet { before: $rate }
            }
            #[wsx::handler(on = $name)]
            fn on_notice(this: &$name, msg: $version::Notice) {
                let read: fn(&$version::Notice) -> String = $notice;
                this.0.0.add(read(&msg));
            }
            #[wsx::handler(on = $name)]
            fn on_update(this: &$name, msg: $version::Update) {
                this.0.0.add(msg.url);
            }
        };
    };
}
edge!(Box1, v1, 1, |notice| notice.text.clone());
edge!(Box2, v2, 1, |notice| notice.text.clone());
edge!(Box3, v3, 180, |notice| notice.texts.join(" "));

#[wsx::handler(on = Box2)]
fn on_check2(_msg: v2::Check) -> v2::Health {
    v2::Health { uptime_s: 2 }
}
#[wsx::handler(on = Box3)]
fn on_check3(_msg: v3::Check) -> v3::Health {
    v3::Health { uptime_s: 3 }
}

#[derive(wsx::Endpoint)]
#[wsx(side = v1::Server)]
struct Station1(Handled);
#[derive(wsx::Endpoint)]
#[wsx(side = v3::Server)]
struct Station3(Handled);

#[wsx::handler(on = Station1)]
fn on_telemetry1(this: &Station1, msg: v1::Telemetry) {
    this.0.0.add(format!("{} {}", msg.number, msg.memory));
}
#[wsx::handler(on = Station3)]
fn on_telemetry3(this: &Station3, msg: v3::Telemetry) {
    this.0.0.add(format!("{} {}", msg.number, msg.memory));
}

/// A box of any version.
struct Running {
    version: u32,
    client: Box<dyn AnyBox>,
    handled: Handled,
    events: Events,
}

/// What the test does with a box.
trait AnyBox {
    fn report(&self, number: u64) -> BoxFuture<'_, Result<(), SendError>>;
    fn close(&self) -> BoxFuture<'_, ()>;
}

macro_rules! any_box {
    ($name:ident, $telemetry:expr) => {
        impl AnyBox for Client<$name> {
            fn report(&self, number: u64) -> BoxFuture<'_, Result<(), SendError>> {
                self.send(&$telemetry(number)).boxed()
            }
            fn close(&self) -> BoxFuture<'_, ()> {
                Client::close(self);
                self.closed().boxed()
            }
        }
    };
}
any_box!(Box1, |number| v1::Telemetry { number, memory: 50 });
any_box!(Box2, |number| v2::Telemetry { number, memory: 50, disk: Some(1) });
any_box!(Box3, |number| v3::Telemetry { number, memory: 50, disk: None });

/// Starts a box. It is in the hub on return.
async fn start(address: &str, id: &str, version: u32) -> Running {
    let (handled, events) = (Handled::default(), Events::default());
    let url = format!("ws://{address}/ws?id={id}");
    async fn dial<E: Endpoint>(url: String, endpoint: E, events: Events, released: Released) -> Client<E> {
        let client = Client::builder(url).endpoint(endpoint).observer(events).contract(released).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap();
        client
    }
    let (endpoint, observer) = (handled.clone(), events.clone());
    let client: Box<dyn AnyBox> = match version {
        1 => Box::new(dial(url, Box1(endpoint), observer, released_until(version)).await),
        2 => Box::new(dial(url, Box2(endpoint), observer, released_until(version)).await),
        _ => Box::new(dial(url, Box3(endpoint), observer, released_until(version)).await),
    };
    Running { version, client, handled, events }
}

/// A server of one of its two versions.
enum Station {
    One(Server<Station1>),
    Three(Server<Station3>),
}

/// The result of a request, as far as it counts here.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Replied(u32),
    TooOld(&'static str),
    NotUnderstood,
}

fn answer<T>(asked: Result<T, RequestError>, read: impl FnOnce(T) -> u32) -> Answer {
    match asked {
        Ok(reply) => Answer::Replied(read(reply)),
        Err(RequestError::NotSent(SendError::PeerTooOld { message_type, .. })) => {
            Answer::TooOld(if &*message_type == "set_rate" { "set_rate" } else { "check" })
        }
        Err(RequestError::BadData(_)) => Answer::NotUnderstood,
        Err(other) => panic!("{other:?}"),
    }
}

impl Station {
    async fn start(version: u32, address: &str, handled: &Handled, events: &Events) -> Self {
        let builder = || Hub::builder();
        match version {
            1 => {
                let hub = builder()
                    .endpoint(Station1(handled.clone()))
                    .observer(events.clone())
                    .contract(released_until(version));
                let hub = hub.build().unwrap();
                let upgrade = hub.ws_handler(wsx_tests::query_id, |_| {});
                Self::One(Server::start_at(hub, upgrade, address).await)
            }
            _ => {
                let hub = builder()
                    .endpoint(Station3(handled.clone()))
                    .observer(events.clone())
                    .contract(released_until(version));
                let hub = hub.build().unwrap();
                let upgrade = hub.ws_handler(wsx_tests::query_id, |_| {});
                Self::Three(Server::start_at(hub, upgrade, address).await)
            }
        }
    }

    fn address(&self) -> String {
        match self {
            Self::One(server) => server.address.clone(),
            Self::Three(server) => server.address.clone(),
        }
    }

    async fn stop(self) {
        match self {
            Self::One(server) => server.stop().await,
            Self::Three(server) => server.stop().await,
        }
    }

    fn versions(&self) -> BTreeMap<u32, usize> {
        let counted = match self {
            Self::One(server) => server.hub.versions(),
            Self::Three(server) => server.hub.versions(),
        };
        let number = |peer: Option<PeerVersion>| peer.map_or(0, |peer| peer.version);
        counted.into_iter().map(|(peer, count)| (number(peer), count)).collect()
    }

    /// Asks a box to change its rate, in the unit of this server.
    async fn set_rate(&self, id: &str) -> Answer {
        match self {
            Self::One(server) => {
                let asked = within(server.hub.request(id, &v1::SetRate { per_second: 5 })).await;
                answer(asked, |reply| reply.before.into())
            }
            Self::Three(server) => {
                let asked = within(server.hub.request(id, &v3::SetRate { per_minute: 300 })).await;
                answer(asked, |reply| reply.before)
            }
        }
    }

    /// Sends everyone a notice. Returns how many boxes get it.
    async fn notice(&self) -> usize {
        let sent = match self {
            Self::One(server) => server.hub.broadcast(&v1::Notice { text: "hello".into() }).await,
            Self::Three(server) => server.hub.broadcast(&v3::Notice { texts: vec!["hello".into()] }).await,
        };
        sent.unwrap()
    }

    async fn update(&self, id: &str) {
        let update = v1::Update { url: "https://a/next".into() };
        match self {
            Self::One(server) => drop(within(server.hub.send_to(id, &update)).await.unwrap()),
            Self::Three(server) => drop(within(server.hub.send_to(id, &update)).await.unwrap()),
        }
    }
}

/// Checks everything between the server and its boxes.
async fn check(version: u32, server: &Station, handled: &Handled, boxes: &BTreeMap<String, Running>, round: u64) {
    let mut expected = BTreeMap::new();
    boxes.values().for_each(|one| *expected.entry(one.version).or_default() += 1);
    assert_eq!(server.versions(), expected);
    // The rates and the notices of the third version are others.
    let agrees = |one: &Running| (version == 3) == (one.version == 3);
    // Who is newer is known to the newer end only.
    let withholds = |one: &Running| !agrees(one) && one.version < version;
    let reached = boxes.values().filter(|one| !withholds(one)).count();
    assert_eq!(server.notice().await, reached, "server v{version}");
    for (number, (id, one)) in (100 * round..).zip(boxes) {
        let pair = format!("server v{version}, {id} v{}", one.version);
        // Telemetry and updates have not broken.
        within(one.client.report(number)).await.unwrap();
        assert_eq!(handled.0.next().await, format!("{number} 50"), "{pair}");
        let rate = server.set_rate(id).await;
        if agrees(one) {
            let before = if one.version == 3 { 180 } else { 1 };
            assert_eq!(rate, Answer::Replied(before), "{pair}");
            assert_eq!(one.handled.0.next().await, "hello", "{pair}");
        } else if withholds(one) {
            assert_eq!(rate, Answer::TooOld("set_rate"), "{pair}");
        } else {
            assert_eq!(rate, Answer::NotUnderstood, "{pair}");
        }
        server.update(id).await;
        assert_eq!(one.handled.0.next().await, "https://a/next", "{pair}");
        if let Station::Three(server) = server {
            let health = within(server.hub.request(id, &v3::Check {})).await;
            let health = answer(health, |reply| u32::try_from(reply.uptime_s).unwrap());
            let expected = if one.version == 1 { Answer::TooOld("check") } else { Answer::Replied(one.version) };
            assert_eq!(health, expected, "{pair}");
        }
        let mut failed = Vec::new();
        while let Some(event) = one.events.0.try_next() {
            if let Event::Failed(message_type, _) = event {
                failed.push(message_type);
            }
        }
        let misread: &[&str] = if agrees(one) || withholds(one) { &[] } else { &["notice", "set_rate"] };
        assert_eq!(failed, misread, "{pair}");
    }
}

/// Goes through the steps, each a new version of the server or of one box.
async fn roll(steps: &[(&str, u32)]) {
    let (handled, events) = (Handled::default(), Events::default());
    let mut server_version = 1;
    let mut server = Station::start(1, "127.0.0.1:0", &handled, &events).await;
    let address = server.address();
    let mut boxes = BTreeMap::new();
    for id in ["box-a", "box-b", "box-c"] {
        boxes.insert(id.to_owned(), start(&address, id, 1).await);
    }
    check(server_version, &server, &handled, &boxes, 0).await;
    for (round, (who, version)) in (1..).zip(steps) {
        if *who == "server" {
            server.stop().await;
            server_version = *version;
            server = Station::start(*version, &address, &handled, &events).await;
            // Each client comes back by itself; a new one is quicker than its backoff.
            for (id, one) in &mut boxes {
                one.client.close().await;
                *one = start(&address, id, one.version).await;
            }
        } else {
            boxes[*who].client.close().await;
            boxes.insert((*who).to_owned(), start(&address, who, *version).await);
        }
        check(server_version, &server, &handled, &boxes, round).await;
    }
    // No box has sent what the server could not read.
    while let Some(event) = events.0.try_next() {
        assert!(!matches!(event, Event::Failed(..)), "{event:?}");
    }
}

/// The server first, then the boxes, one after the other and some over two versions.
#[tokio::test]
async fn the_server_is_upgraded_first() {
    roll(&[("server", 3), ("box-a", 2), ("box-b", 3), ("box-a", 3), ("box-c", 3)]).await;
}

/// The boxes first, then the server.
#[tokio::test]
async fn the_boxes_are_upgraded_first() {
    roll(&[("box-a", 2), ("box-b", 3), ("box-c", 2), ("server", 3), ("box-a", 3), ("box-c", 3)]).await;
}
