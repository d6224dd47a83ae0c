//! The connection: it breaks, falls silent, is closed, and comes back: row U10 of the
//! specification.
use crate::{
    hub_of,
    messages::Talk,
    page::{Page, Runtime},
    protocol::{Desk, Notice, Watch, Web},
};
use serde_json::json;
use tokio::net::TcpListener;
use wsx::{Backoff, CloseCode, Connection, Hub, Interest, Observer, http::request::Parts};
use wsx_tests::{
    KillableServer, Log, Server, query_id,
    weak_link::{WeakLink, Weakness},
    within,
};

/// Starts a server that can be killed.
pub(crate) async fn killable(address: &str, hub: Hub<Desk>) -> KillableServer {
    KillableServer::start(address, |listener: TcpListener| async move {
        hub.ws_handler(query_id, |_| {}).serve(listener).await;
    })
    .await
}

/// The server is killed and comes back. The page says since when it is down and why, dials again by
/// itself, and works as before.
pub(crate) async fn a_killed_server_is_found_again(runtime: Runtime) {
    let desk = Desk::default();
    let hub = hub_of(&desk).build().unwrap();
    let server = killable("127.0.0.1:0", hub).await;
    let address = server.address.clone();
    let mut page = Page::connected(runtime, &format!("ws://{address}/ws?id=page")).await;
    page.becomes("connected").await;
    server.kill().await;
    let down = page.becomes("waiting").await;
    assert_eq!(down["why"], "the link broke");
    let error = page.fails("send", json!({"type": "sample", "data": {}})).await;
    assert_eq!([&error["name"], &error["code"]], ["SendError", "not_connected"]);
    let error = page.fails("request", json!({"type": "hold", "data": {}})).await;
    assert_eq!([&error["name"], &error["code"]], ["RequestError", "not_connected"]);
    let later = page.becomes("waiting").await;
    assert_eq!([&later["since"], &later["why"]], [&down["since"], &json!("the server cannot be reached")]);

    let hub = hub_of(&desk).build().unwrap();
    let _server = killable(&address, hub.clone()).await;
    page.does("connected", json!({})).await;
    hub.send_to("page", &Notice { text: "back".to_owned() }).await.unwrap();
    assert_eq!(page.sees("notice").await["text"], "back");
}

/// A link that passes nothing more is noticed by the heartbeat, and its requests end. When the link
/// is back, so is the page.
pub(crate) async fn a_silent_link_is_noticed(runtime: Runtime) {
    let desk = Desk::default();
    let server = Server::start(hub_of(&desk).build().unwrap()).await;
    let link = WeakLink::start(&server.address, Weakness::default());
    let mut page = Page::start(runtime).await;
    let options = json!({"heartbeat": {"interval": 50, "timeout": 500}, "handshakeTimeout": 500});
    page.connect(&link.url(&server.url("page")), json!({ "options": options })).await;
    page.does("connected", json!({})).await;
    let request = page.begins("request", json!({"type": "hold", "data": {}})).await;
    desk.held.next().await;
    link.fall_silent();
    assert_eq!(page.becomes("waiting").await["why"], "the server is silent");
    assert_eq!(page.ends(request).await["code"], "ended");
    assert_eq!(page.becomes("waiting").await["why"], "no answer in time");
    link.heal();
    page.does("connected", json!({})).await;
}

/// Logs the lengths of the answers to heartbeats.
struct Beats(Log<usize>);

impl Observer for Beats {
    fn interest(&self) -> Interest {
        Interest::nothing().with_messages()
    }

    fn message_sent(&self, _: &Connection, message_type: &str, bytes: usize) {
        assert_eq!(message_type, "__unknown__");
        self.0.add(bytes);
    }
}

/// The heartbeat needs nothing of the server: it is a request that has already expired. A server
/// that answers it is kept. It is not a message without a handler there.
pub(crate) async fn a_silent_server_that_answers_is_kept(runtime: Runtime) {
    let (desk, beats) = (Desk::default(), Log::default());
    let hub = Hub::builder().endpoint(desk.clone()).observer((Watch(desk.seen.clone()), Beats(beats.clone())));
    let server = Server::start(hub.build().unwrap()).await;
    let mut page = Page::start(runtime).await;
    let options = json!({"heartbeat": {"interval": 20, "timeout": 20_000}});
    page.connect(&server.url("page"), json!({ "options": options })).await;
    page.does("connected", json!({})).await;
    for _ in 0..5 {
        let length = beats.next().await;
        assert!(length < 150, "an answer has {length} bytes");
    }
    assert_eq!((server.hub.ignored(), desk.seen.try_next()), (0, None));
    page.becomes("connected").await;
    assert!(!page.has_seen("problem") && !page.has_seen("state"), "the page keeps its connection");
}

/// A server that requires a newer page closes with 4426. The page does not come again.
pub(crate) async fn an_outdated_page_stops(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    talk.hub().connection("page").unwrap().close_with(CloseCode::from(4426), "Web v2 is required");
    let state = talk.page.becomes("outdated").await;
    assert_eq!(state["why"], "the server closed with 4426 Web v2 is required");
    talk.page.does("retry", json!({})).await;
    for (operation, message_type) in [("send", "sample"), ("deliver", "reading"), ("request", "hold")] {
        let error = talk.page.fails(operation, json!({"type": message_type, "data": {}})).await;
        assert_eq!(error["code"], "closed", "{error}");
    }
    assert_eq!(talk.page.fails("connected", json!({})).await["code"], "closed");
    assert!(!talk.page.has_seen("state"));
}

/// A page that another one has replaced waits for at least half of the longest wait, so that two
/// pages with one id do not replace each other all the time.
pub(crate) async fn a_replaced_page_waits_longer(runtime: Runtime) {
    let desk = Desk::default();
    let server = Server::start(hub_of(&desk).build().unwrap()).await;
    let mut page = Page::start(runtime).await;
    let backoff = json!({"initial": 1, "max": 1_000_000});
    page.connect(&server.url("page"), json!({"options": {"backoff": backoff}})).await;
    page.does("connected", json!({})).await;
    let _other = server.peer("page").await;
    let state = page.becomes("waiting").await;
    assert!(state["why"].as_str().unwrap().starts_with("the server closed with 4000"), "{state}");
    assert!(state["delay"].as_f64().unwrap() >= 500_000.0, "{state}");
    page.does("retry", json!({})).await;
    page.does("connected", json!({})).await;
}

/// The waits are those of the Rust client: the same formula and the same defaults.
pub(crate) async fn the_waits_are_those_of_the_rust_client(runtime: Runtime) {
    for random in [0.0, 0.3, 1.0] {
        let mut page = Page::start(runtime).await;
        // Nobody listens there.
        page.connect("ws://127.0.0.1:1/ws", json!({"random": random, "options": {"backoff": {}}})).await;
        for failures in 0..9 {
            let delay = page.becomes("waiting").await["delay"].as_f64().unwrap() / 1000.0;
            let expected = Backoff::default().delay(failures, random).as_secs_f64();
            assert!((delay - expected).abs() < 1e-6, "{delay} and not {expected} after {failures} failures");
            page.does("retry", json!({})).await;
        }
    }
}

/// A closed client says 1000, and stays closed.
pub(crate) async fn a_closed_client_stays_closed(runtime: Runtime) {
    let mut talk = Talk::open(runtime).await;
    let conn = talk.hub().connection("page").unwrap();
    let request = talk.page.begins("request", json!({"type": "hold", "data": {}})).await;
    talk.desk.held.next().await;
    talk.desk.released.notify_one();
    talk.page.ends(request).await;
    talk.page.does("close", json!({})).await;
    assert_eq!(u16::from(within(conn.closed()).await.code), 1000);
    assert_eq!(talk.page.becomes("closed").await["why"], "closed by the program");
    talk.page.does("retry", json!({})).await;
    assert_eq!(talk.page.fails("send", json!({"type": "sample", "data": {}})).await["code"], "closed");
    assert_eq!(talk.page.fails("deliver", json!({"type": "reading", "data": {"n": 1}})).await["code"], "closed");
    assert!(!talk.page.has_seen("state"));
}

/// The page names protocol, version and fingerprint in the query, beside the parameters of its URL.
pub(crate) async fn the_server_learns_protocol_and_version(runtime: Runtime) {
    let desk = Desk::default();
    let queries = Log::default();
    let hub = hub_of(&desk).build().unwrap();
    let log = queries.clone();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            log.add(request.uri.query().unwrap_or_default().to_owned());
            query_id(request)
        },
        |_| {},
    );
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let _page = Page::connected(runtime, &server.url("page%201")).await;
    let fingerprint = Web::DESCRIPTION.fingerprint;
    assert_eq!(queries.next().await, format!("id=page%201&wsx-protocol=Web.1.{fingerprint:016x}"));
}
