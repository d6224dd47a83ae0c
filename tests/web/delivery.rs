//! Kept messages in both directions, over links that break.
use crate::{
    hub_of,
    messages::Talk,
    page::{Page, Runtime},
    protocol::{Desk, Gauge, Order, Wish},
    reconnecting::killable,
};
use serde_json::json;
use std::{fs, path::PathBuf};
use wsx::delivery::{DeliveryError, Disk, Mailbox};
use wsx_tests::{
    Server,
    weak_link::{WeakLink, Weakness},
    within,
};

/// A hub and a page, with a link between them that the test cuts.
struct Linked {
    talk: Talk,
    link: WeakLink,
}

impl Linked {
    async fn open(runtime: Runtime) -> Self {
        let desk = Desk::default();
        let server = Server::start(hub_of(&desk).build().unwrap()).await;
        let link = WeakLink::start(&server.address, Weakness::default());
        let page = Page::connected(runtime, &link.url(&server.url("page"))).await;
        Self { talk: Talk { server, desk, page }, link }
    }

    /// Breaks the link, and waits until the page has noticed it.
    async fn cut(&mut self) {
        self.talk.page.becomes("connected").await;
        self.link.cut();
        self.talk.page.becomes("waiting").await;
    }
}

/// The messages of the page wait while it is away. Each is handled once, in order.
pub(crate) async fn readings_of_an_outage_arrive_once_and_in_order(runtime: Runtime) {
    let Linked { mut talk, link } = Linked::open(runtime).await;
    for n in 0..120 {
        talk.page.sends("reading", json!({ "n": 1000 + n })).await;
        if n % 30 == 29 {
            link.cut();
        }
    }
    for n in 0..120 {
        assert_eq!(talk.desk.kept.next().await, format!("reading {}", 1000 + n));
    }
    talk.page.delivers("reading", json!({"n": 1})).await;
    assert_eq!(talk.desk.kept.next().await, "reading 1");
    assert_eq!(talk.page.does("waiting", json!({})).await, json!({"waiting": 0, "isDurable": false}));
    assert!(talk.desk.kept.try_next().is_none() && talk.desk.seen.try_next().is_none());
}

/// The messages of the hub wait while the page is away. Each is handled once, in order.
pub(crate) async fn orders_of_an_outage_arrive_once_and_in_order(runtime: Runtime) {
    let Linked { mut talk, link } = Linked::open(runtime).await;
    let hub = talk.hub().clone();
    for n in 0..120 {
        let _ = hub.send_to("page", &Order { n: 1000 + n }).await.unwrap();
        if n % 30 == 29 {
            link.cut();
        }
    }
    for n in 0..120 {
        assert_eq!(talk.page.sees("order").await["n"], 1000 + n);
    }
    within(hub.deliver("page", &Order { n: 1 })).await.unwrap();
    assert_eq!(talk.page.sees("order").await["n"], 1);
    assert!(!talk.page.has_seen("order") && !talk.page.has_seen("problem"));
}

/// The server is killed while the page sends, and comes back with its store.
pub(crate) async fn a_killed_server_gets_each_reading_once(runtime: Runtime) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("web {}", runtime as u8));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let desk = Desk::default();
    let hub = || {
        let mailbox = Mailbox::new().store(Disk::open(folder.join("mailbox.db")).unwrap());
        hub_of(&desk).mailbox(mailbox).build().unwrap()
    };
    let mut server = killable("127.0.0.1:0", hub()).await;
    let address = server.address.clone();
    let mut page = Page::connected(runtime, &format!("ws://{address}/ws?id=page")).await;
    for round in 0..3 {
        for n in 0..20 {
            page.sends("reading", json!({ "n": 1000 + 40 * round + n })).await;
        }
        page.delivers("reading", json!({ "n": 1020 + 40 * round })).await;
        server.kill().await;
        for n in 21..40 {
            page.sends("reading", json!({ "n": 1000 + 40 * round + n })).await;
        }
        server = killable(&address, hub()).await;
    }
    for n in 0..120 {
        assert_eq!(desk.kept.next().await, format!("reading {}", 1000 + n));
    }
    page.delivers("reading", json!({"n": 1})).await;
    assert_eq!(desk.kept.next().await, "reading 1");
    assert!(desk.seen.try_next().is_none());
}

/// After an outage the newest value of each key comes first, and the older ones never.
pub(crate) async fn the_newest_of_each_key_comes_first(runtime: Runtime) {
    let mut linked = Linked::open(runtime).await;
    linked.link.fall_silent();
    linked.cut().await;
    let Linked { mut talk, link } = linked;
    talk.page.sends("reading", json!({"n": 1})).await;
    let older =
        talk.page.begins("deliver", json!({"type": "temperature", "data": {"device": "north", "celsius": 1}})).await;
    for (device, celsius) in [("south", 2), ("north", 3)] {
        talk.page.sends("temperature", json!({"device": device, "celsius": celsius})).await;
    }
    assert_eq!(talk.page.ends(older).await["code"], "superseded");
    let hub = talk.hub().clone();
    let _ = hub.send_to("page", &Order { n: 1 }).await.unwrap();
    for (place, value) in [("north", 1), ("south", 2), ("north", 3)] {
        let _ = hub.send_to("page", &Gauge { place: place.to_owned(), value }).await.unwrap();
    }
    link.heal();
    for expected in ["south 2", "north 3", "reading 1"] {
        assert_eq!(talk.desk.kept.next().await, expected);
    }
    for (place, value) in [("south", 2), ("north", 3)] {
        let seen = talk.page.sees("gauge").await;
        assert_eq!((&seen["place"], &seen["value"]), (&json!(place), &json!(value)));
    }
    assert_eq!(talk.page.sees("order").await["n"], 1);
}

/// A state is sent until it is handled, and again to a server that has forgotten it.
pub(crate) async fn a_state_is_sent_until_it_is_handled(runtime: Runtime) {
    let desk = Desk::default();
    let server = killable("127.0.0.1:0", hub_of(&desk).build().unwrap()).await;
    let address = server.address.clone();
    let mut page = Page::connected(runtime, &format!("ws://{address}/ws?id=page")).await;
    page.delivers("settings", json!({"interval_s": 10})).await;
    assert_eq!(desk.kept.next().await, "settings 10");
    page.does("retry", json!({})).await;
    page.delivers("reading", json!({"n": 1})).await;
    assert_eq!(desk.kept.next().await, "reading 1", "the state is not sent again");
    server.kill().await;
    let hub = hub_of(&desk).build().unwrap();
    let _server = killable(&address, hub.clone()).await;
    assert_eq!(desk.kept.next().await, "settings 10", "the new server has forgotten it");
    page.does("connected", json!({})).await;
    within(hub.deliver("page", &Wish { level: 7 })).await.unwrap();
    assert_eq!(page.sees("wish").await["level"], 7);
    page.does("retry", json!({})).await;
    within(hub.deliver("page", &Order { n: 2 })).await.unwrap();
    assert_eq!(page.sees("order").await["n"], 2);
    assert!(!page.has_seen("wish"));
}

/// A handler that fails is in the acknowledgement, and its message does not come again.
pub(crate) async fn a_failed_handler_fails_the_delivery(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    let error = talk.page.fails("deliver", json!({"type": "reading", "data": {"n": 13}})).await;
    assert_eq!([&error["name"], &error["code"], &error["peerCode"]], ["DeliveryError", "failed", "failed"], "{error}");
    assert_eq!(talk.page.sees("problem").await["message"], "an unlucky number");
    let failed = within(talk.hub().deliver("page", &Order { n: 13 })).await;
    assert!(
        matches!(&failed, Err(DeliveryError::Failed { code, message }) if code == "failed" && message == "an unlucky number"),
        "{failed:?}"
    );
    talk.page.does("retry", json!({})).await;
    within(talk.hub().deliver("page", &Order { n: 14 })).await.unwrap();
    assert_eq!(talk.page.sees("order").await["n"], 14);
}

/// The outbox is bounded in messages and in characters.
pub(crate) async fn a_full_outbox_rejects_a_reading(runtime: Runtime) {
    let mut page = Page::start(runtime).await;
    let options = json!({"outboxMessages": 3, "outboxLength": 1000});
    // Nobody listens there.
    page.connect("ws://127.0.0.1:1/ws", json!({ "options": options })).await;
    for n in 0..3 {
        page.sends("reading", json!({ "n": n })).await;
    }
    let error = page.fails("send", json!({"type": "reading", "data": {"n": 3}})).await;
    assert_eq!([&error["name"], &error["code"]], ["SendError", "outbox_full"]);
    let page = &mut Page::start(runtime).await;
    page.connect("ws://127.0.0.1:1/ws", json!({"options": {"outboxLength": 1000}})).await;
    let long = json!({"type": "temperature", "data": {"device": "x".repeat(800), "celsius": 1}});
    for _ in 0..2 {
        page.does("send", long.clone()).await;
    }
    let error = page.fails("send", json!({"type": "reading", "data": {"n": 1, "text": "x".repeat(200)}})).await;
    assert_eq!(error["code"], "outbox_full");
}
