//! States: what a restart and a peer that forgot leave of them, and their bounds.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use wsx::{
    CancellationToken, Client, Hub,
    delivery::{DeliveryError, Mailbox},
};
use wsx_tests::{Log, Server, within};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Wanted {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Shown {
    text: String,
}

fn hub(mailbox: Mailbox) -> Hub {
    Hub::builder().on("shown", |_: Shown, _| async {}).mailbox(mailbox).build().unwrap()
}

fn client(url: &str, log: &Log<String>) -> Client {
    let log = log.clone();
    let on_wanted = move |wanted: Wanted, _| {
        log.add(wanted.text);
        async {}
    };
    Client::builder(url).on("wanted", on_wanted).build().unwrap()
}

fn wanted(text: &str) -> Wanted {
    Wanted { text: text.to_owned() }
}

fn shown(text: &str) -> Shown {
    Shown { text: text.to_owned() }
}

/// Row G14: with a store, both states survive a restart of the hub. A peer that has handled its
/// state does not get it again; a peer that has forgotten it does.
#[tokio::test]
async fn states_survive_a_restart_of_the_hub() {
    let (store, log) = (MemoryStore::default(), Log::default());
    let server = Server::start(hub(Mailbox::new().store(store.clone()))).await;
    within(server.hub.set("box-7", &wanted("open"))).await.unwrap();
    let first = client(&server.url("box-7"), &log);
    within(first.start(CancellationToken::new())).await.unwrap();
    assert_eq!(log.next().await, "open");
    within(first.deliver(&shown("open"))).await.unwrap();
    within(server.hub.deliver("box-7", &wanted("closed"))).await.unwrap();
    assert_eq!(log.next().await, "closed");
    first.close();
    first.closed().await;
    server.stop().await;

    let server = Server::start(hub(Mailbox::new().store(store))).await;
    let state = server.hub.state::<Wanted>("box-7").unwrap();
    assert_eq!((state.value, state.is_handled), (wanted("closed"), true));
    assert_eq!(server.hub.state::<Shown>("box-7").unwrap().value, shown("open"));
    // In memory: it does not remember that it has handled anything.
    let second = client(&server.url("box-7"), &log);
    within(second.start(CancellationToken::new())).await.unwrap();
    assert_eq!(log.next().await, "closed");
    second.close();
}

/// Row G14: a client does not get a state that it has handled again.
#[tokio::test]
async fn a_handled_state_is_not_sent_again() {
    let log = Log::default();
    let server = Server::start(hub(Mailbox::new())).await;
    let client = client(&server.url("box-7"), &log);
    within(client.start(CancellationToken::new())).await.unwrap();
    within(server.hub.deliver("box-7", &wanted("open"))).await.unwrap();
    assert_eq!(log.next().await, "open");
    server.hub.connection("box-7").unwrap().close();
    // After a new connection, in the same lane of numbers.
    within(server.hub.deliver("box-7", &wanted("closed"))).await.unwrap();
    assert_eq!(log.next().await, "closed");
    client.close();
}

/// Row G15: the states that a peer sends are bounded. One that does not fit is a failed message.
#[tokio::test]
async fn the_states_of_a_peer_are_bounded() {
    let server = Server::start(hub(Mailbox::new().bytes_per_peer(100))).await;
    let client = client(&server.url("box-7"), &Log::default());
    within(client.start(CancellationToken::new())).await.unwrap();
    within(client.deliver(&shown("short"))).await.unwrap();
    let failed = within(client.deliver(&shown(&"long".repeat(100)))).await;
    assert!(matches!(&failed, Err(DeliveryError::Failed { code, .. }) if code == "full"), "{failed:?}");
    assert_eq!(server.hub.state::<Shown>("box-7").unwrap().value, shown("short"));
    client.close();
}
