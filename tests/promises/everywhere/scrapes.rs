//! What a recorder learns of `MetricsObserver`.
//!
//! The recorder is that of the Prometheus exporter, for one thread. So the tests run on runtimes of
//! one thread.
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, ClusterEvent, Config, Connection, Deflate, Envelope,
    Hub, MetricsObserver, Observer, OverLimit,
};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, within};

/// A message that the tests send.
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Note {
    n: u32,
}

/// What a Prometheus server would read.
struct Scrape(PrometheusHandle);

impl Scrape {
    /// Returns the value of a series, which is 0 before its first event. `series` is written as in
    /// a scrape, with the labels in any order.
    fn value(&self, series: &str) -> f64 {
        let text = self.0.render();
        let value = text.lines().find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (sorted(found) == sorted(series)).then_some(value)
        });
        value.map_or(0.0, |value| value.parse().expect("a value is a number"))
    }

    /// Returns the lines of a metric, without comments.
    fn series(&self, name: &str) -> Vec<String> {
        self.0.render().lines().filter(|line| line.starts_with(&format!("{name}{{"))).map(str::to_owned).collect()
    }

    /// Waits until a series has this value. Reports come after the messages that they are about.
    async fn until(&self, series: &str, value: f64) {
        let waited = async {
            while self.value(series) != value {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waited).await.is_err() {
            panic!("{series} is not {value}: {}", self.0.render());
        }
    }
}

/// Returns the name and the labels of a series.
fn sorted(series: &str) -> (&str, BTreeSet<&str>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    (name, labels.trim_end_matches('}').split(',').collect())
}

/// Installs a recorder for this thread, until the guard is dropped.
macro_rules! scrape {
    ($scrape:ident) => {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0]).unwrap().build_recorder();
        let $scrape = Scrape(recorder.handle());
        let _guard = metrics::set_default_local_recorder(&recorder);
    };
}

async fn answers(_: serde_json::Value, _: Connection) -> Note {
    Note { n: 1 }
}

/// Row X10: messages and bytes, by direction and by the types of the program. A peer cannot make
/// labels.
#[tokio::test]
async fn messages_are_counted_by_direction_and_type() {
    scrape!(scrape);
    let fails = |_: serde_json::Value, _| async { Err::<(), _>("no") };
    let hub = Hub::builder().observer(MetricsObserver::new()).on("cmd", answers).on("fails", fails);
    let server = Server::start(hub.build().unwrap()).await;
    let mut peer = server.peer("box-7").await;
    let text = r#"{"ver":1,"type":"cmd","ts":0,"data":1}"#;
    peer.send(text).await;
    peer.send(text).await;
    assert_eq!(peer.receive_data().await.0, "note");
    assert_eq!(peer.receive_data().await.0, "note");
    for n in 0..300 {
        peer.send_envelope(&format!("hostile-{n}"), json!(null)).await;
    }
    peer.send("not an envelope").await;
    peer.send(Message::binary(vec![1, 2, 3])).await;
    peer.send_envelope("fails", json!(null)).await;
    peer.send_envelope("cmd", json!(null)).await;
    let reply = peer.text().await;
    scrape.until(r#"wsx_messages_total{direction="received",side="hub",type="cmd"}"#, 3.0).await;
    scrape.until(r#"wsx_messages_total{direction="received",side="hub",type="unknown"}"#, 302.0).await;
    scrape.until(r#"wsx_messages_total{direction="received",side="hub",type="fails"}"#, 1.0).await;
    scrape.until(r#"wsx_handler_failures_total{side="hub",reason="handler"}"#, 1.0).await;
    scrape.until(r#"wsx_handler_seconds_count{side="hub",type="cmd"}"#, 3.0).await;
    scrape.until(r#"wsx_messages_total{direction="sent",side="hub",type="note"}"#, 3.0).await;
    let bytes = (2 * text.len() + r#"{"ver":1,"type":"cmd","ts":1732969200,"data":null}"#.len()) as f64;
    scrape.until(r#"wsx_message_bytes_total{direction="received",side="hub",type="cmd"}"#, bytes).await;
    let bytes = (3 * reply.len()) as f64;
    scrape.until(r#"wsx_message_bytes_total{direction="sent",side="hub",type="note"}"#, bytes).await;
    assert!(!scrape.0.render().contains("hostile"), "a peer made a label");

    // A send, a try_send, a broadcast, an envelope with a constant type, and one whose type was
    // made at run time.
    let conn = server.hub.connection("box-7").unwrap();
    conn.send(&Note { n: 1 }).await.unwrap();
    conn.try_send(&Note { n: 1 }).unwrap();
    server.hub.send_to("box-7", &Note { n: 1 }).await.unwrap();
    assert_eq!(server.hub.broadcast(&Note { n: 1 }).await.unwrap(), 1);
    conn.send(&Envelope::with_type("constant", 1)).await.unwrap();
    conn.send(&Envelope::with_type(format!("hostile-{}", 1), 1)).await.unwrap();
    conn.send_bytes("text").await.unwrap();
    conn.send_binary([1]).await.unwrap();
    conn.ping(b"not a message").await.unwrap();
    scrape.until(r#"wsx_messages_total{direction="sent",side="hub",type="note"}"#, 7.0).await;
    scrape.until(r#"wsx_messages_total{direction="sent",side="hub",type="constant"}"#, 1.0).await;
    scrape.until(r#"wsx_messages_total{direction="sent",side="hub",type="unknown"}"#, 3.0).await;
    assert!(!scrape.0.render().contains("hostile"), "a type that was made at run time is a label");
    // A peer that does not read would take the time for closing.
    drop(peer);
    server.stop().await;
    scrape.until(r#"wsx_queued_messages{side="hub"}"#, 0.0).await;
}

/// Row X10: a program that names types at run time has a bounded number of labels.
#[tokio::test]
async fn the_number_of_types_is_bounded() {
    scrape!(scrape);
    let hub = Hub::builder().observer(MetricsObserver::new()).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    let conn = server.hub.connection("box-7").unwrap();
    for n in 0..300 {
        conn.register_handler(format!("type-{n}"), answers);
        peer.send_envelope(&format!("type-{n}"), json!(null)).await;
        peer.receive().await;
    }
    scrape.until(r#"wsx_messages_total{direction="received",side="hub",type="other"}"#, 44.0).await;
    scrape.until(r#"wsx_handler_seconds_count{side="hub",type="other"}"#, 44.0).await;
    let series = scrape.series("wsx_messages_total");
    let others: Vec<_> = series.iter().filter(|line| !line.contains("type-")).collect();
    assert_eq!((series.len(), others.len()), (256 + 2, 2), "{others:?}");
    // A peer that does not read would take the time for closing.
    drop(peer);
    server.stop().await;
}

/// Rows X10, X13: open connections, how they ended, and how handshakes ended. A peer chooses its
/// close code, but not a label.
#[tokio::test]
async fn connections_and_handshakes_are_counted_by_outcome() {
    scrape!(scrape);
    let hub = Hub::builder().observer(MetricsObserver::new()).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    Peer::try_connect(&format!("ws://{}/ws", server.address)).await.unwrap_err();
    scrape.until(r#"wsx_handshakes_total{outcome="rejected",side="hub"}"#, 1.0).await;
    scrape.until(r#"wsx_rejections_total{kind="build_id",side="hub",status="400"}"#, 1.0).await;
    for code in [1000_u16, 4321, 4999] {
        let mut peer = server.peer("box-7").await;
        scrape.until(r#"wsx_connections{side="hub"}"#, 1.0).await;
        let close = CloseFrame { code: code.into(), reason: "".into() };
        peer.send(Message::Close(Some(close))).await;
        peer.close().await;
        scrape.until(r#"wsx_connections{side="hub"}"#, 0.0).await;
    }
    drop(server.peer("box-7").await);
    scrape.until(r#"wsx_connections_closed_total{by="peer",code="1000",side="hub"}"#, 1.0).await;
    scrape.until(r#"wsx_connections_closed_total{by="peer",code="other",side="hub"}"#, 2.0).await;
    scrape.until(r#"wsx_connections_closed_total{by="link",code="1006",side="hub"}"#, 1.0).await;
    scrape.until(r#"wsx_handshakes_total{outcome="connected",side="hub"}"#, 4.0).await;
    server.stop().await;
}

/// Row X10: ids for which programs fight are counted, without a label of the peer.
#[tokio::test]
async fn contested_ids_are_counted() {
    scrape!(scrape);
    let hub = Hub::builder().observer(MetricsObserver::new()).contested_after(1, Duration::from_secs(3600));
    let server = Server::start(hub.without_handlers().build().unwrap()).await;
    let mut peers = Vec::new();
    for id in ["a", "b", "a", "b", "a", "a"] {
        peers.push(server.peer(id).await);
    }
    scrape.until("wsx_contested_ids_total", 1.0).await;
    peers.push(server.peer("b").await);
    scrape.until("wsx_contested_ids_total", 2.0).await;
    // A peer that does not read would take the time for closing.
    drop(peers);
    server.stop().await;
}

/// Rows X10, R17: peers that send more than their limit are counted, once in a minute.
#[tokio::test]
async fn connections_that_are_held_back_are_counted() {
    scrape!(scrape);
    let config = Config::default().receive_limit(100, 1 << 20, Duration::ZERO, OverLimit::Wait);
    let hub = Hub::builder().observer(MetricsObserver::new()).config(config).on("cmd", answers).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    for _ in 0..20 {
        peer.send_envelope("cmd", json!(null)).await;
    }
    scrape.until(r#"wsx_messages_total{direction="received",side="hub",type="cmd"}"#, 20.0).await;
    assert_eq!(scrape.value(r#"wsx_connections_held_back_total{side="hub"}"#), 1.0);
    // A peer that does not read would take the time for closing.
    drop(peer);
    server.stop().await;
}

/// Rows X10, Z9: compressed messages are counted in both directions, with their bytes before and
/// after, and the time.
#[tokio::test]
async fn compression_is_counted() {
    scrape!(scrape);
    let config = Config::default().deflate(Deflate::default());
    let hub = Hub::builder().observer(MetricsObserver::new()).config(config.clone());
    let hub = hub.on("text", |text: String, _: Connection| async move { Envelope::with_type("back", text) });
    let server = Server::start(hub.build().unwrap()).await;
    let client = Client::builder(server.url("box-7")).config(config).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let text = "the same words, ".repeat(50);
    for _ in 0..3 {
        client.send(&Envelope::with_type("text", text.clone())).await.unwrap();
    }
    for direction in ["sent", "received"] {
        let name = |metric: &str| format!(r#"wsx_{metric}_total{{direction="{direction}",side="hub"}}"#);
        scrape.until(&name("compressed_messages"), 3.0).await;
        let [plain, wire] =
            ["compressed_plain_bytes", "compressed_wire_bytes"].map(|metric| scrape.value(&name(metric)));
        assert!(plain > 3.0 * 800.0 && plain < 3.0 * 900.0, "{plain} bytes");
        assert!(wire > 0.0 && wire < plain / 5.0, "{wire} of {plain} bytes");
        assert!(scrape.value(&name("compression_nanoseconds")) > 0.0);
    }
    client.close();
    server.stop().await;
}

/// Row X10: a client counts its attempts by their outcome, and its connections after the first.
#[tokio::test]
async fn a_client_counts_failed_attempts_and_reconnects() {
    scrape!(scrape);
    let hub = Hub::builder().without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let backoff = Backoff::default().initial(Duration::from_millis(1));
    let build = |url: String| Client::builder(url).observer(MetricsObserver::new()).backoff(backoff.clone());
    let client = build(server.url("box-7")).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    scrape.until("wsx_reconnects_total", 0.0).await;
    scrape.until(r#"wsx_handshakes_total{outcome="connected",side="client"}"#, 1.0).await;
    for reconnects in [1.0, 2.0] {
        let conn = client.connection().unwrap();
        server.hub.connection("box-7").unwrap().close_with(CloseCode::SERVICE_RESTART, "");
        within(conn.closed()).await;
        scrape.until("wsx_reconnects_total", reconnects).await;
        within(client.connected()).await.unwrap();
        // The hub may still have the old connection.
        scrape.until(r#"wsx_connections{side="client"}"#, 1.0).await;
        within(async {
            while server.hub.connection("box-7").is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    client.close();
    within(client.closed()).await;
    assert_eq!(*client.state().borrow(), ClientState::Closed);
    scrape.until(r#"wsx_connections{side="client"}"#, 0.0).await;

    let refused = build(format!("ws://{}/ws", server.address)).give_up(|_| true).build().unwrap();
    within(refused.start(CancellationToken::new())).await.unwrap_err();
    scrape.until(r#"wsx_handshakes_total{outcome="rejected",side="client"}"#, 1.0).await;
    scrape.until(r#"wsx_rejections_total{kind="server",side="client",status="400"}"#, 1.0).await;
    let nobody = build("ws://127.0.0.1:1/ws".to_owned()).give_up(|_| true).build().unwrap();
    within(nobody.start(CancellationToken::new())).await.unwrap_err();
    scrape.until(r#"wsx_handshakes_total{outcome="dial",side="client"}"#, 1.0).await;
    server.stop().await;
}

/// Rows J9, X10: the events of a cluster are counted, without a label that another node chooses. A
/// hub without a cluster does not have these metrics.
#[test]
fn the_events_of_a_cluster_are_counted() {
    scrape!(scrape);
    let observer = MetricsObserver::new();
    assert!(!scrape.0.render().contains("\nwsx_cluster"), "{}", scrape.0.render());
    let name = || "hostile\nname".into();
    let unreachable = || ClusterEvent::Disconnected { reason: "hostile".into() };
    let metrics = ["connected", "nodes", "broadcasts_missed_total", "broadcasts_dropped_total", "nodes_lost_total"];
    let values = || metrics.map(|metric| scrape.value(&format!("wsx_cluster_{metric}")));
    observer.cluster_changed(&unreachable());
    for metric in metrics {
        assert!(scrape.0.render().contains(&format!("\nwsx_cluster_{metric} 0\n")), "{metric}");
    }
    for (event, expected) in [
        (unreachable(), [0.0, 0.0, 0.0, 0.0, 0.0]),
        (ClusterEvent::Connected, [1.0, 0.0, 0.0, 0.0, 0.0]),
        (ClusterEvent::NodeJoined { name: name() }, [1.0, 1.0, 0.0, 0.0, 0.0]),
        (ClusterEvent::NodeJoined { name: name() }, [1.0, 2.0, 0.0, 0.0, 0.0]),
        (ClusterEvent::BroadcastsMissed { name: name(), count: 7 }, [1.0, 2.0, 7.0, 0.0, 0.0]),
        (ClusterEvent::BroadcastsDropped { count: 3 }, [1.0, 2.0, 7.0, 3.0, 0.0]),
        (ClusterEvent::NodeLeft { name: name() }, [1.0, 1.0, 7.0, 3.0, 0.0]),
        (ClusterEvent::NodeLost { name: name() }, [1.0, 0.0, 7.0, 3.0, 1.0]),
        (ClusterEvent::PacketIgnored { reason: "hostile".into() }, [1.0, 0.0, 7.0, 3.0, 1.0]),
        (ClusterEvent::Connected, [1.0, 0.0, 7.0, 3.0, 1.0]),
        (unreachable(), [0.0, 0.0, 7.0, 3.0, 1.0]),
    ] {
        observer.cluster_changed(&event);
        assert_eq!(values(), expected, "{event:?}");
    }
    // A second hub of the process.
    MetricsObserver::new().cluster_changed(&ClusterEvent::Connected);
    observer.cluster_changed(&ClusterEvent::Connected);
    assert_eq!(scrape.value("wsx_cluster_connected"), 2.0);
    assert!(!scrape.0.render().contains("hostile"), "{}", scrape.0.render());
}

/// Row X10: a message that was queued before the end of a handshake leaves the gauge, even if the
/// handshake is aborted.
#[tokio::test]
async fn an_aborted_handshake_leaves_no_queued_messages() {
    scrape!(scrape);
    let hub = Hub::builder().observer(MetricsObserver::new()).without_handlers().build().unwrap();
    let queued = Log::default();
    let log = queued.clone();
    let handler = hub.ws_handler(query_id, move |conn| {
        conn.try_send(&Note { n: 1 }).unwrap();
        log.add(());
    });
    // The answer does not fit.
    let (near, mut far) = tokio::io::duplex(8);
    let handshake = tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    within(far.write_all(upgrade("/ws?id=box", "").as_bytes())).await.unwrap();
    queued.next().await;
    assert_eq!(scrape.value(r#"wsx_queued_messages{side="hub"}"#), 1.0);
    handshake.abort();
    assert!(handshake.await.unwrap_err().is_cancelled());
    assert_eq!(scrape.value(r#"wsx_queued_messages{side="hub"}"#), 0.0);
    assert!(hub.is_empty());
}

/// Row X10: queued messages are a gauge that returns to zero, also when a peer reads nothing and
/// its connection is cut. Sends that wait for room are counted once, when they have it.
#[tokio::test]
async fn queued_messages_are_counted_until_they_leave_or_their_connection_ends() {
    scrape!(scrape);
    let config = Config::default().queue_messages(8).queue_bytes(100_000_000).close_timeout(Duration::from_millis(50));
    // Encoding is slow in a test on a busy machine, and the silent peer must not be cut meanwhile.
    let config = config.write_timeout(Duration::from_secs(600));
    let hub = Hub::builder().observer(MetricsObserver::new()).config(config).without_handlers().build().unwrap();
    let server = Server::start(hub).await;
    let (mut reads, _silent) = (server.peer("reads").await, server.peer("silent").await);
    let silent = server.hub.connection("silent").unwrap();
    let long = Envelope::with_type("long", "x".repeat(1_000_000));
    let sent_series = r#"wsx_messages_total{direction="sent",side="hub",type="long"}"#;
    let mut sent = 0.0;
    // Until the buffers of the operating system are full, the task of the connection makes room.
    for _ in 0..100 {
        while silent.try_send(&long).is_ok() {
            sent += 1.0;
        }
        assert_eq!(scrape.value(r#"wsx_queued_messages{side="hub"}"#), 8.0);
        tokio::task::yield_now().await;
    }
    assert!(silent.try_send(&long).is_err(), "the system takes everything");
    let waits = silent.send(&long);
    tokio::pin!(waits);
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    assert_eq!(scrape.value(sent_series), sent, "the send that waits is not counted");
    server.hub.send_to("reads", &Note { n: 1 }).await.unwrap();
    reads.receive().await;
    silent.close();
    within(silent.closed()).await;
    sent += f64::from(u8::from(within(waits).await.is_ok()));
    scrape.until(r#"wsx_queued_messages{side="hub"}"#, 0.0).await;
    assert_eq!(scrape.value(sent_series), sent);
    // A peer that does not read would take the time for closing.
    drop((reads, _silent));
    server.stop().await;
}

/// Row X10: the page and the dashboard name exactly the metrics that the code has.
#[test]
fn the_page_and_the_dashboard_name_the_metrics_of_the_code() {
    /// Returns the words that begin as the metrics do.
    fn names(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("wsx_")).collect()
    }
    fn expressions<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
        match value {
            serde_json::Value::Object(object) => object.iter().for_each(|(key, value)| match (&**key, value) {
                ("expr", serde_json::Value::String(expression)) => found.push(expression),
                (_, value) => expressions(value, found),
            }),
            serde_json::Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
            _ => {}
        }
    }
    let code = include_str!("../../../wsx/src/observer/metrics/names.rs");
    let code: BTreeSet<_> = code.lines().filter(|line| line.contains("const ")).flat_map(names).collect();
    assert_eq!(code.len(), 30, "{code:?}");
    let page = include_str!("../../../docs/observability.md");
    let rows: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `wsx_")).flat_map(names).collect();
    assert_eq!(rows, code, "docs/observability.md");
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../examples/grafana/wsx.json")).unwrap();
    let mut queries = Vec::new();
    expressions(&dashboard, &mut queries);
    assert!(queries.len() > 20, "{queries:?}");
    let queried: BTreeSet<_> =
        queries.iter().flat_map(|query| names(query)).map(|name| name.trim_end_matches("_bucket")).collect();
    assert_eq!(queried, code, "examples/grafana/wsx.json");
}
