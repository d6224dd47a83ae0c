//! What a peer of another version does not understand is withheld, and everything else goes on.
use super::{Event, Events, NewBox, NewStation, OldBox, OldStation, RELEASED, connect, new_server, v1, v2};
use wsx::{CancellationToken, Client, Hub, Report, RequestError, SendError, testing::TestPeer};
use wsx_tests::{Server, within};

fn differs(version: &str, withheld: &[&str], misread: &[&str]) -> Event {
    let list = |types: &[&str]| types.iter().map(ToString::to_string).collect();
    Event::Differs { version: version.into(), withheld: list(withheld), misread: list(misread), is_known: true }
}

fn too_old(error: &SendError) -> (&str, String) {
    match error {
        SendError::PeerTooOld { message_type, peer } => (message_type, peer.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Row U6: a send of what the box cannot read is an error that names the message and the version;
/// other messages, requests and those marked `always` go on.
#[tokio::test]
async fn an_outdated_box_gets_what_it_understands() {
    let (server, events) = new_server().await;
    let hub = &server.hub;
    let at_box = Events::default();
    let old = Client::builder(server.url("old")).endpoint(OldBox::default()).observer(at_box.clone()).build().unwrap();
    within(old.start(CancellationToken::new())).await.unwrap();
    let all = ["blink", "cmd", "light", "said"];
    assert_eq!(events.0.next().await, differs("Fleet v1", &all, &["reading"]));

    let cmd = v2::Cmd { action: 1 };
    let error = within(hub.send_to("old", &cmd)).await.unwrap_err();
    assert_eq!(too_old(&error), ("cmd", "Fleet v1".to_owned()));
    assert_eq!(Report(&error).to_string(), r#"the peer speaks Fleet v1, which does not understand "cmd""#);
    assert_eq!(events.0.next().await, Event::Withheld("cmd".into(), "Fleet v1".into()));
    let conn = hub.connection("old").unwrap();
    assert_eq!(too_old(&within(conn.send(&v2::Light {})).await.unwrap_err()).0, "light");
    assert_eq!(too_old(&conn.try_send(&cmd).unwrap_err()).0, "cmd");
    match within(hub.request("old", &v2::Blink {})).await {
        Err(RequestError::NotSent(error)) => assert_eq!(too_old(&error).0, "blink"),
        other => panic!("{other:?}"),
    }
    for message_type in ["light", "cmd", "blink"] {
        assert_eq!(events.0.next().await, Event::Withheld(message_type.into(), "Fleet v1".into()));
    }
    assert_eq!(within(hub.request("old", &v2::Reboot {})).await.unwrap().uptime_s, 7);
    within(hub.send_to("old", &v2::Update { urls: vec!["https://a/1".into()] })).await.unwrap();
    // The box gets it, although its handler cannot take it.
    let Event::Failed(message_type, why) = at_box.0.next().await else { panic!("it was not handled") };
    assert!(message_type == "update" && why.contains("missing field `url`"), "{message_type}: {why}");
}

/// Row U6: a broadcast goes to those that understand it.
#[tokio::test]
async fn a_broadcast_leaves_outdated_boxes_out() {
    let (server, events) = new_server().await;
    let old = connect(&server, "old", OldBox::default()).await;
    let new = connect(&server, "new", NewBox::default()).await;
    let silent = server.peer("silent").await;
    let _ = events.0.next().await;
    let accepted = within(server.hub.broadcast(&v2::Cmd { action: 3 })).await.unwrap();
    assert_eq!(accepted, 2, "the new box, and the peer that has not named a version");
    assert_eq!(events.0.next().await, Event::Withheld("cmd".into(), "Fleet v1".into()));
    assert_eq!(new.endpoint().0.next().await, "Cmd { action: 3 }");
    assert_eq!(within(server.hub.request("old", &v2::Reboot {})).await.unwrap().uptime_s, 7);
    assert_eq!(old.endpoint().0.try_next(), None, "a reply comes after everything that was sent before");
    drop(silent);
}

/// Row U6: the reply of a handler that the peer cannot read fails the request, and is reported.
#[tokio::test]
async fn a_reply_that_the_box_cannot_read_is_a_failure() {
    let (server, events) = new_server().await;
    let old = connect(&server, "old", OldBox::default()).await;
    let _ = events.0.next().await;
    let failed = within(old.request(&v1::Ask {})).await.unwrap_err();
    assert!(matches!(&failed, RequestError::Failed(_)), "{failed:?}");
    assert_eq!(events.0.next().await, Event::Withheld("said".into(), "Fleet v1".into()));
    let text = r#"the reply was not sent: the peer speaks Fleet v1, which does not understand "said""#;
    assert_eq!(events.0.next().await, Event::Failed("ask".into(), text.into()));
}

/// Row U6: a box that is newer than its server knows that, because the server does not.
#[tokio::test]
async fn a_new_box_withholds_from_an_old_server() {
    let events = Events::default();
    let hub = Hub::builder().endpoint(OldStation::default()).observer(events.clone()).contract(*RELEASED);
    let server = Server::start(hub.build().unwrap()).await;
    let at_box = Events::default();
    let client = Client::builder(server.url("new")).endpoint(NewBox::default()).observer(at_box.clone());
    let client = client.contract(*RELEASED).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert_eq!(at_box.0.next().await, differs("Fleet v1", &[], &["cmd", "said", "update"]));
    within(client.send(&v2::Reading { volts: 230.0, phase: 1 })).await.unwrap();
    assert_eq!(server.hub.endpoint().0.next().await, "Reading { volts: 230.0 }");
    assert_eq!(events.0.next().await, differs("Fleet v2", &["cmd", "said"], &[]));
}

/// Row U6: without the lock file, or for a version that it does not have, nothing is withheld.
#[tokio::test]
async fn an_unknown_version_gets_everything() {
    let server = Server::start(Hub::builder().endpoint(NewStation::default()).build().unwrap()).await;
    let old = connect(&server, "old", OldBox::default()).await;
    within(server.hub.send_to("old", &v2::Light {})).await.unwrap();
    drop(old);

    let (server, events) = new_server().await;
    let url = format!("{}&wsx-protocol=Fleet.9.00000000000000ff", server.url("next"));
    let _peer = wsx_tests::Peer::connect(&url).await;
    let unknown =
        Event::Differs { version: "Fleet v9".into(), withheld: Vec::new(), misread: Vec::new(), is_known: false };
    assert_eq!(events.0.next().await, unknown);
    within(server.hub.send_to("next", &v2::Light {})).await.unwrap();
}

/// Row U6: a test without a network has one version.
#[tokio::test]
async fn a_test_peer_names_no_version() {
    let hub = Hub::builder().endpoint(NewStation::default()).contract(*RELEASED).build().unwrap();
    let peer = TestPeer::connect(&hub, "box-7").await.unwrap();
    assert_eq!(hub.connection("box-7").unwrap().peer_version(), None);
    drop(peer);
}

/// Row U6: a file that does not fit is a problem of `build`, at both ends.
#[test]
fn a_lock_file_that_does_not_fit_is_a_problem_of_the_builder() {
    let other = wsx::contract::Released::__new(r#"{"wsx.lock": 1, "protocol": "Other", "versions": []}"#);
    let text = "contract: this is the lock file of Other, and the endpoint speaks Fleet";
    let error = Hub::builder().endpoint(NewStation::default()).contract(other).build().unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
    let error = Client::builder("ws://a/ws").endpoint(NewBox::default()).contract(other).build().unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
    let error = Hub::builder().contract(*RELEASED).without_handlers().build().unwrap_err();
    assert!(error.to_string().contains("contract: `Untyped` is not the endpoint of a protocol"), "{error}");
}
