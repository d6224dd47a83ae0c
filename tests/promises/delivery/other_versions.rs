//! Kept messages for a peer of another version of the protocol: row G30 of the specification.
use crate::memory_store::MemoryStore;
use std::{fs, path::PathBuf, sync::LazyLock, time::Duration};
use tokio::time::{advance, pause, resume};
use wsx::{
    CancellationToken, Client, Connection, Endpoint, Hub, Observer,
    contract::{Released, schemars},
    delivery::{Accepted, DeliveryError, Disk, Gap, Mailbox, Outbox, Why},
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
    #[wsx(delivery = at_least_once)]
    pub(crate) struct Reading {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once)]
    pub(crate) struct Cmd {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = state)]
    pub(crate) struct Mode {
        pub level: u32,
    }
    wsx::protocol! {
        pub(crate) Fleet v1 {
            Edge -> Server: Reading;
            Server -> Edge: Cmd, Mode;
        }
    }
}

/// The next version: each end sends more, and the state is another one.
mod v2 {
    use super::schemars::{self, JsonSchema};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once)]
    pub(crate) struct Reading {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once)]
    pub(crate) struct Detail {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once)]
    pub(crate) struct Cmd {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once, ttl = "1h")]
    pub(crate) struct Light {
        pub n: u32,
    }
    #[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = state)]
    pub(crate) struct Mode {
        pub name: String,
    }
    wsx::protocol! {
        pub(crate) Fleet v2 {
            Edge -> Server: Reading, Detail;
            Server -> Edge: Cmd, Light, Mode;
        }
    }
}

/// The lock file with both versions.
static RELEASED: LazyLock<Released> = LazyLock::new(|| released([release::<v1::Fleet>, release::<v2::Fleet>])[1]);

/// A box of the first version.
#[derive(wsx::Endpoint, Default, Clone)]
#[wsx(side = v1::Edge)]
struct OldBox(Log<String>);

/// A box of the next version.
#[derive(wsx::Endpoint, Default, Clone)]
#[wsx(side = v2::Edge)]
struct NewBox(Log<String>);

/// A server of the first version.
#[derive(wsx::Endpoint, Default, Clone)]
#[wsx(side = v1::Server)]
struct OldStation(Log<String>);

/// A server of the next version.
#[derive(wsx::Endpoint, Default, Clone)]
#[wsx(side = v2::Server)]
struct NewStation(Log<String>);

#[wsx::handler(on = OldBox)]
fn old_cmd(this: &OldBox, msg: v1::Cmd) {
    this.0.add(format!("cmd {}", msg.n));
}
#[wsx::handler(on = OldBox)]
fn old_mode(this: &OldBox, msg: v1::Mode) {
    this.0.add(format!("mode {}", msg.level));
}
#[wsx::handler(on = NewBox)]
fn new_cmd(this: &NewBox, msg: v2::Cmd) {
    this.0.add(format!("cmd {}", msg.n));
}
#[wsx::handler(on = NewBox)]
fn new_light(this: &NewBox, msg: v2::Light) {
    this.0.add(format!("light {}", msg.n));
}
#[wsx::handler(on = NewBox)]
fn new_mode(this: &NewBox, msg: v2::Mode) {
    this.0.add(format!("mode {}", msg.name));
}
#[wsx::handler(on = OldStation)]
fn old_reading(this: &OldStation, msg: v1::Reading) {
    this.0.add(format!("reading {}", msg.n));
}
#[wsx::handler(on = NewStation)]
fn new_reading(this: &NewStation, msg: v2::Reading) {
    this.0.add(format!("reading {}", msg.n));
}
#[wsx::handler(on = NewStation)]
fn new_detail(this: &NewStation, msg: v2::Detail) {
    this.0.add(format!("detail {}", msg.n));
}

/// The messages that were not sent, with the versions of their peers, and the gaps.
#[derive(Clone, Default)]
struct Events {
    withheld: Log<String>,
    gaps: Log<Why>,
}

impl Observer for Events {
    fn message_withheld(&self, _: &Connection, message_type: &str, peer: &PeerVersion) {
        self.withheld.add(format!("{message_type} for {peer}"));
    }
    fn delivery_gap(&self, _: &Connection, gap: &Gap) {
        self.gaps.add(gap.why);
    }
}

fn hub(mailbox: Mailbox, events: &Events) -> Hub<NewStation> {
    let hub = Hub::builder().endpoint(NewStation::default()).mailbox(mailbox).observer(events.clone());
    hub.contract(*RELEASED).build().unwrap()
}

async fn connect<E: Endpoint + Clone>(
    server: &Server<NewStation>,
    endpoint: &E,
    store: &MemoryStore,
) -> (Client<E>, Events) {
    let events = Events::default();
    let outbox = Outbox::new().store(store.clone());
    let client = Client::builder(server.url("box-7")).endpoint(endpoint.clone()).outbox(outbox);
    let client = client.observer(events.clone()).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    (client, events)
}

async fn end<E: Endpoint>(server: &Server<NewStation>, (client, _): (Client<E>, Events)) {
    client.close();
    within(client.closed()).await;
    within(async {
        while server.hub.connection("box-7").is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn waiting(hub: &Hub<NewStation>) -> Vec<(String, bool)> {
    hub.waiting("box-7").into_iter().map(|waiting| (waiting.message_type, waiting.is_held)).collect()
}

/// Row G30: an old box gets what it understands. The rest is held, also over a restart of the hub,
/// and the updated box gets it once and in order.
#[tokio::test]
async fn a_box_gets_the_rest_after_its_update() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("held-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mailbox = || Mailbox::new().store(Disk::open(folder.join("mailbox.db")).unwrap());
    let (events, store) = (Events::default(), MemoryStore::default());
    let (old, new) = (OldBox::default(), NewBox::default());

    let server = Server::start(hub(mailbox(), &events)).await;
    let conn = connect(&server, &old, &store).await;
    for n in [1, 3] {
        let hub = &server.hub;
        assert_eq!(within(hub.send_to("box-7", &v2::Cmd { n })).await.unwrap(), Accepted::Sent);
        assert_eq!(within(hub.send_to("box-7", &v2::Light { n: n + 1 })).await.unwrap(), Accepted::Kept);
    }
    within(server.hub.deliver("box-7", &v2::Cmd { n: 5 })).await.unwrap();
    for n in [1, 3, 5] {
        assert_eq!(old.0.next().await, format!("cmd {n}"));
    }
    for _ in 0..2 {
        assert_eq!(events.withheld.next().await, "light for Fleet v1");
    }
    let both_held = [("light".to_owned(), true), ("light".to_owned(), true)];
    assert_eq!(waiting(&server.hub), both_held);
    end(&server, conn).await;
    server.stop().await;

    let server = Server::start(hub(mailbox(), &events)).await;
    assert_eq!(waiting(&server.hub), both_held);
    // This one comes while the box is away, and must not overtake the others.
    assert_eq!(within(server.hub.send_to("box-7", &v2::Light { n: 6 })).await.unwrap(), Accepted::Kept);
    within(server.hub.send_to("box-7", &v2::Cmd { n: 7 })).await.unwrap();
    let conn = connect(&server, &old, &store).await;
    within(server.hub.deliver("box-7", &v2::Cmd { n: 8 })).await.unwrap();
    assert_eq!([old.0.next().await, old.0.next().await], ["cmd 7", "cmd 8"]);
    assert_eq!(events.withheld.next().await, "light for Fleet v1");
    end(&server, conn).await;

    within(server.hub.send_to("box-7", &v2::Light { n: 9 })).await.unwrap();
    let conn = connect(&server, &new, &store).await;
    within(server.hub.deliver("box-7", &v2::Light { n: 10 })).await.unwrap();
    for n in [2, 4, 6, 9, 10] {
        assert_eq!(new.0.next().await, format!("light {n}"));
    }
    assert_eq!((new.0.try_next(), old.0.try_next()), (None, None));
    assert_eq!((waiting(&server.hub), events.withheld.try_next()), (vec![], None), "each is reported once");
    assert_eq!((events.gaps.try_next(), conn.1.gaps.try_next()), (None, None), "nothing is missing");
    end(&server, conn).await;
    server.stop().await;
    fs::remove_dir_all(&folder).unwrap();
}

/// Row G30: the outbox of a new box holds what an old server does not understand, and the updated
/// server gets it.
#[tokio::test]
async fn a_server_gets_the_rest_after_its_update() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("held-box-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (old, new, events) = (OldStation::default(), NewStation::default(), Events::default());
    let server = Server::start(Hub::builder().endpoint(old.clone()).build().unwrap()).await;
    let address = server.address.clone();
    let client = || {
        let outbox = Outbox::new().store(Disk::open(folder.join("outbox.db")).unwrap());
        let client = Client::builder(server.url("box-7")).endpoint(NewBox::default()).outbox(outbox);
        client.observer(events.clone()).contract(*RELEASED).build().unwrap()
    };
    let first = client();
    within(first.start(CancellationToken::new())).await.unwrap();
    for n in [1, 2] {
        within(first.send(&v2::Detail { n })).await.unwrap();
        within(first.deliver(&v2::Reading { n })).await.unwrap();
        assert_eq!(old.0.next().await, format!("reading {n}"));
        assert_eq!(events.withheld.next().await, "detail for Fleet v1");
    }
    assert_eq!(first.waiting(), 2);
    first.close();
    within(first.closed()).await;
    drop(first);

    let second = client();
    within(second.start(CancellationToken::new())).await.unwrap();
    let third = second.deliver(&v2::Detail { n: 3 });
    within(second.deliver(&v2::Reading { n: 3 })).await.unwrap();
    assert_eq!(old.0.next().await, "reading 3");
    server.stop().await;
    let hub = Hub::builder().endpoint(new.clone()).build().unwrap();
    let upgrade = hub.ws_handler(wsx_tests::query_id, |_| {});
    let server = Server::start_at(hub, upgrade, &address).await;
    second.retry_now();
    within(third).await.unwrap();
    for n in 1..=3 {
        assert_eq!(new.0.next().await, format!("detail {n}"));
    }
    assert_eq!((new.0.try_next(), old.0.try_next(), second.waiting()), (None, None, 0));
    second.close();
    within(second.closed()).await;
    server.stop().await;
    drop(second);
    fs::remove_dir_all(&folder).unwrap();
}

/// Row G30: of a state, the newest is held. A box that does not understand it does not get it, also
/// if another version has handled it.
#[tokio::test]
async fn the_newest_state_is_held() {
    let (events, store) = (Events::default(), MemoryStore::default());
    let (old, new) = (OldBox::default(), NewBox::default());
    let server = Server::start(hub(Mailbox::new(), &events)).await;
    let mode = |name: &str| v2::Mode { name: name.to_owned() };
    let conn = connect(&server, &old, &store).await;
    let first = server.hub.deliver("box-7", &mode("eco"));
    within(server.hub.deliver("box-7", &v2::Cmd { n: 1 })).await.unwrap();
    assert_eq!(within(server.hub.set("box-7", &mode("full"))).await.unwrap(), Accepted::Kept);
    assert!(matches!(within(first).await, Err(DeliveryError::Superseded)));
    within(server.hub.deliver("box-7", &v2::Cmd { n: 2 })).await.unwrap();
    let state = server.hub.state::<v2::Mode>("box-7").unwrap();
    assert_eq!((&*state.value.name, state.is_handled, server.hub.waiting("box-7").len()), ("full", false, 1));
    end(&server, conn).await;

    let conn = connect(&server, &new, &store).await;
    assert_eq!(new.0.next().await, "mode full");
    within(server.hub.deliver("box-7", &mode("eco"))).await.unwrap();
    assert_eq!(new.0.next().await, "mode eco");
    end(&server, conn).await;

    // Without the memory of the new box, so that the hub would send its state again.
    let conn = connect(&server, &old, &MemoryStore::default()).await;
    within(server.hub.deliver("box-7", &v2::Cmd { n: 3 })).await.unwrap();
    assert_eq!([(); 3].map(|()| old.0.try_next().unwrap()), ["cmd 1", "cmd 2", "cmd 3"]);
    assert_eq!(waiting(&server.hub), [("mode".to_owned(), true)]);
    end(&server, conn).await;
    let _new = connect(&server, &new, &MemoryStore::default()).await;
    assert_eq!(new.0.next().await, "mode eco");
}

/// Row G30: a held message expires in its time, and may be dropped. The box learns of the gap, and
/// a delivery ends with the reason.
#[tokio::test]
async fn a_held_message_that_leaves_is_reported() {
    let (events, store) = (Events::default(), MemoryStore::default());
    let (old, new) = (OldBox::default(), NewBox::default());
    let server = Server::start(hub(Mailbox::new(), &events)).await;
    let hub = &server.hub;
    let conn = connect(&server, &old, &store).await;
    let mut dropped = hub.deliver("box-7", &v2::Light { n: 1 });
    within(hub.deliver("box-7", &v2::Cmd { n: 2 })).await.unwrap();
    within(dropped.accepted()).await.unwrap();
    assert_eq!(hub.drop_waiting("box-7"), 1);
    assert!(matches!(within(dropped).await, Err(DeliveryError::Dropped)));
    // Also the old box learns of it.
    assert_eq!([events.gaps.next().await, conn.1.gaps.next().await], [Why::Dropped; 2]);

    let expired = hub.deliver("box-7", &v2::Light { n: 3 });
    within(hub.deliver("box-7", &v2::Cmd { n: 4 })).await.unwrap();
    assert_eq!(waiting(hub), [("light".to_owned(), true)]);
    end(&server, conn).await;
    pause();
    advance(Duration::from_secs(3600)).await;
    assert_eq!(waiting(hub), []);
    resume();
    assert!(matches!(within(expired).await, Err(DeliveryError::Expired)));
    let conn = connect(&server, &new, &store).await;
    assert_eq!([events.gaps.next().await, conn.1.gaps.next().await], [Why::Expired; 2]);
    within(hub.deliver("box-7", &v2::Light { n: 5 })).await.unwrap();
    assert_eq!((new.0.next().await, new.0.try_next()), ("light 5".to_owned(), None));
}

/// Row G30: a message that waits in the store may be of an earlier version of the hub. The version
/// that wrote it decides who understands it.
#[tokio::test]
async fn the_writer_of_a_stored_message_decides() {
    let (store, events, boxes) = (MemoryStore::default(), Events::default(), MemoryStore::default());
    let mailbox = || Mailbox::new().store(store.clone());
    let (old, new) = (OldBox::default(), NewBox::default());
    let before = Hub::builder().endpoint(OldStation::default()).mailbox(mailbox()).contract(*RELEASED).build().unwrap();
    within(before.set("box-7", &v1::Mode { level: 3 })).await.unwrap();
    before.shutdown(Duration::from_secs(1)).await;
    drop(before);

    // The hub is upgraded first, as it should be. The new box does not understand the old state.
    let server = Server::start(hub(mailbox(), &events)).await;
    let conn = connect(&server, &new, &boxes).await;
    assert_eq!(events.withheld.next().await, "mode for Fleet v2");
    within(server.hub.deliver("box-7", &v2::Cmd { n: 1 })).await.unwrap();
    assert_eq!(([new.0.next().await], new.0.try_next()), (["cmd 1".to_owned()], None));
    end(&server, conn).await;
    // The old one does.
    let conn = connect(&server, &old, &MemoryStore::default()).await;
    assert_eq!(old.0.next().await, "mode 3");
    end(&server, conn).await;
    server.stop().await;
}
