//! Labels, and what is sent to those who have one: row S7 of the specification.
use crate::presence_changes::gone;
use std::{collections::HashSet, time::Duration};
use tokio_tungstenite::tungstenite;
use wsx::{
    Hub, Identity, Rejection,
    http::request::Parts,
    server::{LabelError, WsHandler},
};
use wsx_tests::{Peer, Seen, Server, fleet::Cmd, fleet::Open, recorder};

/// Takes the id and the labels from the query: `/ws?id=box&label=a&label=b`.
async fn identify(request: Parts) -> Result<Identity, Rejection> {
    let query = request.uri.query().unwrap_or_default();
    let value = |pair: &str, key: &str| pair.strip_prefix(key).map(str::to_owned);
    let id = query.split('&').find_map(|pair| value(pair, "id=")).unwrap_or_default();
    let labels = query.split('&').filter_map(|pair| value(pair, "label="));
    let number = id.len();
    Ok(labels.fold(Identity::new(id), Identity::label).with(number))
}

fn handler(hub: &Hub<Open>) -> WsHandler<Open> {
    hub.ws_handler(identify, |_| {})
}

async fn start(hub: Hub<Open>) -> Server<Open> {
    let handler = handler(&hub);
    Server::start_at(hub, handler, "127.0.0.1:0").await
}

fn hub() -> Hub<Open> {
    Hub::builder().endpoint(Open).without_handlers().build().unwrap()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

const RESTART: Cmd = Cmd { reboot: true };

/// Row S7: a broadcast to a label reaches its connections, each once, and no others.
#[tokio::test]
async fn a_broadcast_to_a_label_reaches_its_connections_alone() {
    let server = start(hub()).await;
    let mut here = [server.peer("a&label=site-7&label=b").await, server.peer("b&label=site-7&label=site-7").await];
    let mut others = [server.peer("c&label=site-8").await, server.peer("d").await];
    assert_eq!(server.hub.broadcast_to("site-7", &RESTART).await.unwrap(), 2);
    assert_eq!(server.hub.broadcast_to("site-9", &RESTART).await.unwrap(), 0);
    for peer in &mut here {
        assert_eq!(peer.receive_data().await.0, "cmd");
    }
    // What a peer receives first shows that it received nothing before.
    assert_eq!(server.hub.broadcast(&Cmd { reboot: false }).await.unwrap(), 4);
    for peer in here.iter_mut().chain(&mut others) {
        assert_eq!(peer.receive_data().await.1["reboot"], false);
    }
    assert_eq!(sorted(server.hub.ids_of("site-7")), ["a", "b"]);
    assert_eq!((server.hub.ids_of("site-8"), server.hub.ids_of("")), (vec!["c".to_owned()], vec![]));
    assert_eq!(sorted(server.hub.labels_of("a")), ["b", "site-7"]);
    assert_eq!(
        (server.hub.labels_of("b").len(), server.hub.labels_of("d"), server.hub.labels_of("x")),
        (1, vec![], vec![])
    );
    let [a, b] = here;
    drop(a);
    gone(&server.hub, "a").await;
    assert_eq!(server.hub.ids_of("site-7"), ["b"]);
    assert_eq!((server.hub.broadcast_to("site-7", &RESTART).await.unwrap(), server.hub.ids_of("b")), (1, vec![]));
    drop(b);
}

/// Row S7: labels can change while the connection is open.
#[tokio::test]
async fn labels_can_change_later() {
    let server = start(hub()).await;
    let mut peer = server.peer("box&label=site-7").await;
    server.hub.add_label("box", "site-8").unwrap();
    server.hub.add_label("box", "site-8").unwrap();
    assert!(server.hub.remove_label("box", "site-7") && !server.hub.remove_label("box", "site-7"));
    assert_eq!(server.hub.broadcast_to("site-7", &RESTART).await.unwrap(), 0);
    assert_eq!(server.hub.broadcast_to("site-8", &RESTART).await.unwrap(), 1);
    assert_eq!(peer.receive_data().await.0, "cmd");
    // Any text is a label, such as one with the signs of a NATS subject.
    server.hub.add_label("box", "a.*.> \u{1F4E6}").unwrap();
    assert_eq!(server.hub.ids_of("a.*.> \u{1F4E6}"), ["box"]);
    assert_eq!(server.hub.add_label("nobody", "x"), Err(LabelError::NoSuchConnection("nobody".into())));
    assert!(!server.hub.remove_label("nobody", "x"));
    assert_eq!(server.hub.add_label("box", ""), Err(LabelError::Empty));
    let long = server.hub.add_label("box", &"x".repeat(129)).unwrap_err();
    assert_eq!(long.to_string(), "a label has 129 bytes, and the maximum is 128");
    for n in 0..14 {
        server.hub.add_label("box", &n.to_string()).unwrap();
    }
    let many = server.hub.add_label("box", "one more").unwrap_err();
    assert_eq!(
        (many.to_string().as_str(), server.hub.labels_of("box").len()),
        ("a connection has at most 16 labels", 16)
    );
}

/// Row S7: labels that the program has changed survive a replacement, and the grace period. Others
/// are those that `build_id` gave last.
#[tokio::test]
async fn changed_labels_stay_until_the_id_is_offline() {
    let server = start(
        Hub::builder().endpoint(Open).without_handlers().presence_grace(Duration::from_secs(3600)).build().unwrap(),
    )
    .await;
    let hub = &server.hub;
    let _first = server.peer("box&label=site-7").await;
    let second = server.peer("box&label=site-8").await;
    assert_eq!((hub.labels_of("box"), hub.ids_of("site-7")), (vec!["site-8".to_owned()], vec![]));
    hub.add_label("box", "canary").unwrap();
    let third = server.peer("box&label=site-9").await;
    assert_eq!(sorted(hub.labels_of("box")), ["canary", "site-8"]);
    assert!(hub.remove_label("box", "site-8"));
    drop((second, third));
    gone(hub, "box").await;
    assert_eq!((hub.labels_of("box"), hub.ids_of("canary")), (vec!["canary".to_owned()], vec![]));
    assert!(hub.presence().get("box").unwrap().online);
    // The program moves the box while it is away.
    hub.add_label("box", "site-10").unwrap();
    assert_eq!(hub.broadcast_to("site-10", &RESTART).await.unwrap(), 0);
    let mut back = server.peer("box&label=site-9").await;
    assert_eq!(sorted(hub.labels_of("box")), ["canary", "site-10"]);
    assert!(hub.remove_label("box", "site-10"));
    assert_eq!(hub.broadcast_to("canary", &RESTART).await.unwrap(), 1);
    assert_eq!(back.receive_data().await.0, "cmd");
    // Without a grace period, an id that has gone is offline.
    let server = start(self::hub()).await;
    let peer = server.peer("box&label=site-7").await;
    server.hub.add_label("box", "canary").unwrap();
    drop(peer);
    gone(&server.hub, "box").await;
    let _back = server.peer("box&label=site-7").await;
    assert_eq!(server.hub.labels_of("box"), ["site-7"]);
}

/// Row S7: a label of `build_id` that is not valid rejects the handshake, and both ends learn why.
#[tokio::test]
async fn labels_that_are_not_valid_reject_the_handshake() {
    let (recorder, mut memory) = recorder();
    let server = start(Hub::builder().endpoint(Open).without_handlers().observer(recorder).build().unwrap()).await;
    let many: String = (0..17).map(|n| format!("&label={n}")).collect();
    let long = format!("&label={}", "x".repeat(129));
    for (labels, why) in [
        ("&label=", "a label is empty"),
        (&long, "a label has 129 bytes, and the maximum is 128"),
        (&many, "a connection has at most 16 labels"),
    ] {
        let expected = format!("`build_id` set labels that are not valid: {why}");
        match Peer::try_connect(&server.url(&format!("box{labels}"))).await {
            Err(tungstenite::Error::Http(answer)) => {
                let body = String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap();
                assert_eq!((answer.status().as_u16(), body), (500, expected.clone()));
            }
            other => panic!("{other:?}"),
        }
        let rejected = |seen| if let Seen::HandshakeRejected(500, text) = seen { Some(text) } else { None };
        assert_eq!(memory.find(rejected).await, expected);
    }
    assert!(server.hub.is_empty());
}

/// Row S1: the program can look at all connections and their values, and send to each.
#[tokio::test]
async fn the_hub_lists_its_connections_with_their_values() {
    let server = start(hub()).await;
    let mut peers = [server.peer("a").await, server.peer("bb").await];
    let connections = server.hub.connections();
    let found: HashSet<_> = connections.iter().map(|conn| (conn.id(), conn.extension::<usize>())).collect();
    assert_eq!(found, HashSet::from([("a", Some(1)), ("bb", Some(2))]));
    for conn in connections {
        conn.send(&RESTART).await.unwrap();
    }
    for peer in &mut peers {
        assert_eq!(peer.receive_data().await.0, "cmd");
    }
}
