//! What the observers at both ends learn of delivery: row G18 of the specification.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::advance;
use wsx::{
    CancellationToken, Client, Connection, Hub, Observer, SendError,
    delivery::{Gap, Mailbox, Outbox, Resumed, StoreError, Why},
};
use wsx_tests::{Log, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, full = drop_oldest, ttl = "1h")]
struct Sample {
    n: u32,
}

/// What an observer received.
#[derive(Debug, PartialEq)]
enum Event {
    Resumed(Resumed),
    Gap(Gap),
    Expired(String, String),
    Dropped(String, String),
    Failed(String, String, String),
    StoreFailed(String),
}

#[derive(Clone, Default)]
struct Events(Log<Event>);

impl Observer for Events {
    fn delivery_resumed(&self, _: &Connection, resumed: &Resumed) {
        self.0.add(Event::Resumed(*resumed));
    }
    fn delivery_gap(&self, _: &Connection, gap: &Gap) {
        self.0.add(Event::Gap(gap.clone()));
    }
    fn delivery_expired(&self, peer: &str, message_type: &str) {
        self.0.add(Event::Expired(peer.to_owned(), message_type.to_owned()));
    }
    fn delivery_dropped(&self, peer: &str, message_type: &str) {
        self.0.add(Event::Dropped(peer.to_owned(), message_type.to_owned()));
    }
    fn delivery_failed(&self, _: &Connection, message_type: &str, code: &str, message: &str) {
        self.0.add(Event::Failed(message_type.to_owned(), code.to_owned(), message.to_owned()));
    }
    fn store_failed(&self, error: &StoreError) {
        self.0.add(Event::StoreFailed(error.to_string()));
    }
}

impl Events {
    async fn gap(&self) -> Gap {
        match self.0.next().await {
            Event::Gap(gap) => gap,
            other => panic!("{other:?}"),
        }
    }

    async fn resumed(&self) -> Resumed {
        match self.0.next().await {
            Event::Resumed(resumed) => resumed,
            other => panic!("{other:?}"),
        }
    }
}

/// A hub that handles samples, except for number 13.
fn hub(events: &Events) -> Hub {
    let on_sample = |sample: Sample, _| async move { if sample.n == 13 { Err("an unlucky number") } else { Ok(()) } };
    Hub::builder().on("sample", on_sample).observer(events.clone()).build().unwrap()
}

fn client(url: &str, outbox: Outbox, events: &Events) -> Client {
    Client::builder(url).outbox(outbox).observer(events.clone()).build().unwrap()
}

/// Row G18: both ends learn of a gap, with the same numbers and the reason. The sender learns where
/// delivery resumes.
#[tokio::test]
async fn a_gap_is_reported_at_both_ends() {
    let (ours, theirs) = (Events::default(), Events::default());
    let server = Server::start(hub(&theirs)).await;
    let client = client(&server.url("box-7"), Outbox::new().messages(2), &ours);
    for n in 1..=3 {
        within(client.send(&Sample { n })).await.unwrap();
    }
    let last = client.deliver(&Sample { n: 4 });
    within(client.start(CancellationToken::new())).await.unwrap();
    within(last).await.unwrap();
    for _ in 0..2 {
        assert_eq!(ours.0.next().await, Event::Dropped(String::new(), "sample".to_owned()));
    }
    let resumed = ours.resumed().await;
    assert_eq!((resumed.handled, resumed.waiting), (0, 2));
    let (own, other) = (ours.gap().await, theirs.gap().await);
    assert_eq!((own.why, own.to - own.from, own.is_ours), (Why::Full, 1, true));
    assert_eq!((other.why, other.from, other.to, other.is_ours), (Why::Full, own.from, own.to, false));
    client.close();
    client.closed().await;
    assert_eq!((ours.0.try_next(), theirs.0.try_next()), (None, None));
}

/// Row G18: on the next connection, the sender learns of the last handled number.
#[tokio::test]
async fn the_sender_learns_where_delivery_resumes() {
    let events = Events::default();
    let server = Server::start(hub(&Events::default())).await;
    let client = client(&server.url("box-7"), Outbox::new(), &events);
    within(client.start(CancellationToken::new())).await.unwrap();
    within(client.deliver(&Sample { n: 1 })).await.unwrap();
    assert_eq!(events.resumed().await.handled, 0);
    server.hub.connection("box-7").unwrap().close();
    within(client.deliver(&Sample { n: 2 })).await.unwrap();
    let resumed = events.resumed().await;
    assert!(resumed.handled > 0 && resumed.waiting <= 1, "{resumed:?}");
    client.close();
}

/// Row G18: a handler that fails is reported to the observer of the sender.
#[tokio::test]
async fn a_failure_is_reported_to_the_sender() {
    let events = Events::default();
    let server = Server::start(hub(&Events::default())).await;
    let client = client(&server.url("box-7"), Outbox::new(), &events);
    within(client.start(CancellationToken::new())).await.unwrap();
    within(client.deliver(&Sample { n: 13 })).await.unwrap_err();
    events.resumed().await;
    let failed = Event::Failed("sample".to_owned(), "failed".to_owned(), "an unlucky number".to_owned());
    assert_eq!(events.0.next().await, failed);
    client.close();
}

/// Row G18: each message that expires is reported, when wsx notices it.
#[tokio::test(start_paused = true)]
async fn an_expired_message_is_reported() {
    let events = Events::default();
    let hub = Hub::builder().without_handlers().observer(events.clone()).build().unwrap();
    hub.send_to("box-7", &Sample { n: 1 }).await.unwrap();
    hub.send_to("box-7", &Sample { n: 2 }).await.unwrap();
    advance(Duration::from_secs(3601)).await;
    assert_eq!(events.0.try_next(), None);
    assert!(hub.waiting("box-7").is_empty());
    for _ in 0..2 {
        let expired = Event::Expired("box-7".to_owned(), "sample".to_owned());
        assert_eq!(events.0.try_next(), Some(expired));
    }
    assert_eq!(events.0.try_next(), None);
}

/// Row G18: each message that is dropped is reported at once, also while the peer is away.
#[tokio::test]
async fn a_dropped_message_is_reported() {
    let events = Events::default();
    let mailbox = Mailbox::new().messages_per_peer(2);
    let hub = Hub::builder().without_handlers().observer(events.clone()).mailbox(mailbox).build().unwrap();
    let dropped = || Event::Dropped("box-7".to_owned(), "sample".to_owned());
    for n in 1..=3 {
        assert_eq!(events.0.try_next(), None);
        hub.send_to("box-7", &Sample { n }).await.unwrap();
    }
    assert_eq!((events.0.try_next(), events.0.try_next()), (Some(dropped()), None));
    assert_eq!(hub.drop_waiting("box-7"), 2);
    assert_eq!([(); 3].map(|()| events.0.try_next()), [Some(dropped()), Some(dropped()), None]);
    assert_eq!(hub.drop_waiting("box-7"), 0);
    assert_eq!(events.0.try_next(), None);
}

/// Row G18: a store that fails is reported once, and again only after it has worked.
#[tokio::test]
async fn a_store_that_fails_is_reported_once() {
    let (events, store) = (Events::default(), MemoryStore::default());
    let mailbox = Mailbox::new().store(store.clone());
    let hub = Hub::builder().without_handlers().observer(events.clone()).mailbox(mailbox).build().unwrap();
    let failed = Event::StoreFailed("the test's disk is full".to_owned());
    for _ in 0..2 {
        store.set_full(true);
        for n in 1..=3 {
            let sent = within(hub.send_to("box-7", &Sample { n })).await;
            assert!(matches!(sent, Err(SendError::Store(_))), "{sent:?}");
        }
        assert_eq!(events.0.next().await, failed);
        store.set_full(false);
        within(hub.send_to("box-7", &Sample { n: 4 })).await.unwrap();
        assert_eq!(events.0.try_next(), None);
    }
}
