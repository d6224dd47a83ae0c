//! The code and the configuration of `docs/cluster.md`: rows J1 and J12 of the specification.
#[expect(unreachable_pub, reason = "the page shows it as the code of a program")]
#[path = "page/hub.rs"]
mod hub;

use serde_json::json;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::sleep;
use wsx::{ClusterEvent, Envelope, Hub, Observer, cluster::Nats};
use wsx_cluster_tests::NatsServer;
use wsx_tests::{
    Log, Server,
    page::{blocks, page},
    within,
};
use wsx_tls_tests::Authority;

/// Returns a file that the page shows.
fn shown(file: &str) -> String {
    let page = page("docs/cluster.md");
    let block = blocks(&page).into_iter().find(|block| block.file == Some(file));
    block.unwrap_or_else(|| panic!("the page does not show {file}")).text
}

/// A NATS server with the configuration of the page, its URL, and the file with its authority.
fn server() -> (NatsServer, String, PathBuf) {
    let mut server = NatsServer::stopped();
    let authority = Authority::default();
    let issued = authority.issue(&[&server.address().ip().to_string()]);
    // It writes the files.
    let _ = server.with_tls(&issued.pem, &issued.key_pem());
    let certificates = server.folder().join("authority.pem");
    fs::write(&certificates, authority.pem()).unwrap();
    let folder = server.folder().to_str().expect("a path in UTF-8").to_owned();
    server.restart_with(&shown("nats-server.conf").replace("/etc/nats", &folder));
    let url = server.url().replace("nats://", "tls://");
    (server, url, certificates)
}

/// Waits until a hub is connected and sees this number of other nodes.
async fn until(hub: &Hub, nodes: usize) {
    within(async {
        loop {
            let status = hub.cluster().expect("it is a node");
            if status.connected && status.nodes.len() == nodes {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Row J1: the page shows the code that is tested here.
#[test]
fn the_page_shows_the_tested_code() {
    assert_eq!(shown("hub.rs"), include_str!("page/hub.rs"));
}

/// Rows J1, J2, J12: with TLS, accounts and the permissions of the page, the hubs of a plant find
/// each other, and not those of another plant with the same namespace. A message of more than 1 MiB
/// passes, as the page says.
#[tokio::test]
async fn hubs_with_the_configuration_of_the_page_find_each_other() {
    let (_nats, url, authority) = server();
    let node = || hub::node(&url, "the password of plant 7", &authority).expect("the options are right");
    let (one, two) = (Server::start(node()).await, Server::start(node()).await);
    let other = Nats::connect(&url).unwrap().root_certificates(&authority).unwrap();
    let other = other.user_and_password("hub-8", "the password of plant 8");
    let other = Hub::builder().cluster(other).without_handlers().build().unwrap();
    until(&one.hub, 1).await;
    until(&two.hub, 1).await;
    until(&other, 0).await;

    let mut peer = one.peer("box-7").await;
    within(async {
        while !two.hub.is_connected("box-7") {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!other.is_connected("box-7"));
    let long = "x".repeat(1_500_000);
    within(two.hub.send_to("box-7", &Envelope::with_type("long", &long))).await.unwrap();
    assert_eq!(peer.receive_data().await, ("long".to_owned(), json!(long)));
    assert_eq!(other.cluster().expect("it is a node").nodes, Vec::<Arc<str>>::new());
    // A peer that does not read would take the time for closing.
    drop(peer);
    one.stop().await;
    two.stop().await;
}

/// Row J12: a user that the configuration of the page does not have is told what to check, and an
/// unencrypted connection is refused.
#[tokio::test]
async fn the_configuration_of_the_page_rejects_others() {
    struct Reasons(Log<String>);
    impl Observer for Reasons {
        fn cluster_changed(&self, event: &ClusterEvent) {
            self.0.add(event.to_string());
        }
    }
    let (_nats, url, authority) = server();
    let trusting = || Nats::connect(&url).unwrap().root_certificates(&authority).unwrap();
    for (nats, expected) in [
        (trusting().user_and_password("hub", "the password of plant 8"), "check its user and password"),
        (trusting(), "check its user and password"),
        (Nats::connect(&url).unwrap().user_and_password("hub", "the password of plant 7"), "`root_certificates`"),
        (trusting().user_and_password("hub-8", "the password of plant 8").namespace("other").unwrap(), "\"other.>\""),
    ] {
        let reasons = Log::default();
        let observer = Reasons(reasons.clone());
        let hub = Hub::builder().cluster(nats).observer(observer).without_handlers().build().unwrap();
        let reason = within(reasons.next()).await;
        let start = "NATS cannot be reached: ";
        // What the program has to do is not cut off.
        assert!(reason.starts_with(start) && reason.replace('\\', "").contains(expected), "{expected}: {reason}");
        assert!(!reason.contains("the password"), "{reason}");
        drop(hub);
    }
}
