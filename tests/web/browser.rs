//! What only a browser does: reloads, tabs, being offline, and the cache of pages that were left:
//! row U10 of the specification.
use crate::{
    messages::Talk,
    page::{Page, Runtime},
    protocol::Order,
};
use serde_json::json;
use wsx_tests::within;

/// The URL of nobody.
const NOBODY: &str = "ws://127.0.0.1:1/ws";

/// With a store, kept messages and the handled numbers outlive a reload of the page.
#[tokio::test]
async fn kept_messages_outlive_a_reload() {
    let mut talk = Talk::open(Runtime::Chromium).await;
    let url = talk.server.url("page");
    let page = &mut talk.page;
    page.does("close", json!({})).await;
    page.connect(NOBODY, json!({"store": "page"})).await;
    for n in 1..=20 {
        page.sends("reading", json!({ "n": n })).await;
    }
    for celsius in [1, 2] {
        page.sends("temperature", json!({"device": "north", "celsius": celsius})).await;
    }
    assert_eq!(page.does("waiting", json!({})).await, json!({"waiting": 21, "isDurable": true}));
    page.does("reload", json!({})).await;
    page.connect(&url, json!({"store": "page"})).await;
    assert_eq!(talk.desk.kept.next().await, "north 2");
    for n in 1..=20 {
        assert_eq!(talk.desk.kept.next().await, format!("reading {n}"));
    }
    let hub = talk.server.hub.clone();
    within(hub.deliver("page", &Order { n: 1 })).await.unwrap();
    page.delivers("settings", json!({"interval_s": 5})).await;
    assert_eq!(talk.desk.kept.next().await, "settings 5");
    // Nothing comes again, in either direction.
    page.does("reload", json!({})).await;
    page.connect(&url, json!({"store": "page"})).await;
    within(hub.deliver("page", &Order { n: 2 })).await.unwrap();
    page.delivers("reading", json!({"n": 21})).await;
    assert_eq!(talk.desk.kept.next().await, "reading 21");
    assert_eq!([page.sees("order").await["n"].take(), page.sees("order").await["n"].take()], [json!(1), json!(2)]);
    assert_eq!(page.does("waiting", json!({})).await, json!({"waiting": 0, "isDurable": true}));
    assert!(!page.has_seen("order") && !page.has_seen("page_error"));
}

/// Without a store, a reload loses what waits.
#[tokio::test]
async fn without_a_store_a_reload_loses_what_waits() {
    let mut page = Page::start(Runtime::Chromium).await;
    page.connect(NOBODY, json!({})).await;
    page.sends("reading", json!({"n": 1})).await;
    page.does("reload", json!({})).await;
    page.connect(NOBODY, json!({})).await;
    assert_eq!(page.does("waiting", json!({})).await, json!({"waiting": 0, "isDurable": false}));
}

/// A second tab does not touch the store of the first one: it has its messages in memory.
#[tokio::test]
async fn one_tab_has_the_store() {
    let mut page = Page::start(Runtime::Chromium).await;
    page.connect(NOBODY, json!({"store": "page"})).await;
    page.sends("reading", json!({"n": 1})).await;
    page.does("new_tab", json!({})).await;
    page.connect(NOBODY, json!({"store": "page"})).await;
    let problem = page.sees("problem").await;
    assert_eq!(problem["is"], "store_failed");
    assert_eq!(problem["error"], "Error: another tab uses the store \"wsx page\"");
    page.sends("reading", json!({"n": 2})).await;
    assert_eq!(page.does("waiting", json!({})).await, json!({"waiting": 1, "isDurable": false}));
}

/// A page that waits dials at once when the network is back.
#[tokio::test]
async fn a_page_that_is_online_again_dials_at_once() {
    let mut talk = Talk::open(Runtime::Chromium).await;
    let url = talk.server.url("page");
    let page = &mut talk.page;
    page.does("close", json!({})).await;
    // So long that the test fails without the event.
    let options = json!({"backoff": {"initial": 1_000_000, "max": 1_000_000}});
    page.connect(&url, json!({ "options": options })).await;
    page.does("connected", json!({})).await;
    let conn = talk.server.hub.connection("page").unwrap();
    conn.close();
    page.becomes("waiting").await;
    page.does("offline", json!({"offline": true})).await;
    page.does("offline", json!({"offline": false})).await;
    page.does("connected", json!({})).await;
    page.becomes("connected").await;
}

/// A page in the cache of pages that were left closes its connection, and dials when it is back.
#[tokio::test]
async fn a_page_that_was_left_comes_back() {
    let mut talk = Talk::open(Runtime::Chromium).await;
    let conn = talk.server.hub.connection("page").unwrap();
    talk.page.does("fire_pagehide", json!({})).await;
    assert_eq!(talk.page.becomes("waiting").await["why"], "the page is not shown");
    within(conn.closed()).await;
    talk.page.does("fire_pageshow", json!({})).await;
    talk.page.does("connected", json!({})).await;
}
