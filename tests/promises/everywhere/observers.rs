//! What an observer learns beyond problems, and the spans of tracing.
//!
//! The subscriber is that of tracing-subscriber, for one thread. So the tests run on runtimes of
//! one thread.
use serde_json::json;
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tracing_subscriber::fmt::format::FmtSpan;
use wsx::{CancellationToken, Client, Connection, Hub, Interest, Observer, TracingObserver};
use wsx_tests::{
    Peer, Server, cluster_events,
    handshake::{head, status, upgrade},
    recorder, within,
};

/// A message that the tests send.
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Note {
    n: u32,
}

/// Row X12: a pair of observers receives every call, and a panic of one loses nothing of the other.
/// An observer that does not ask for messages does not receive them.
#[tokio::test]
async fn two_observers_are_one() {
    struct Panics;
    impl Observer for Panics {
        fn interest(&self) -> Interest {
            panic!("on purpose")
        }
        fn message_ignored(&self, _: &Connection, _: &str) {
            panic!("on purpose")
        }
    }
    #[derive(Clone, Default)]
    struct Counts(Arc<Mutex<Vec<String>>>);
    impl Observer for Counts {
        fn message_received(&self, _: &Connection, message_type: &str, bytes: usize) {
            self.0.lock().unwrap().push(format!("{message_type} {bytes}"));
        }
    }
    struct Asks(Counts);
    impl Observer for Asks {
        fn interest(&self) -> Interest {
            Interest::nothing().with_messages()
        }
        fn message_received(&self, conn: &Connection, message_type: &str, bytes: usize) {
            self.0.message_received(conn, message_type, bytes);
        }
    }
    for asks in [false, true] {
        let (recorder, mut memory) = recorder();
        let counts = Counts::default();
        let hub = Hub::builder().without_handlers();
        let hub = match asks {
            false => hub.observer((Panics, (counts.clone(), recorder))),
            true => hub.observer(((Asks(counts.clone()), Panics), recorder)),
        };
        let server = Server::start(hub.build().unwrap()).await;
        let mut peer = server.peer("box-7").await;
        peer.send(r#"{"ver":1,"type":"a","ts":0,"data":1}"#).await;
        assert_eq!(memory.message_ignored().await, ("box-7".to_owned(), "a".to_owned()));
        let expected: &[&str] = if asks { &["__unknown__ 36"] } else { &[] };
        assert_eq!(*counts.0.lock().unwrap(), expected);
        // A peer that does not read would take the time for closing.
        drop(peer);
        server.stop().await;
    }
}

/// Row X12: the list from which pairs pass calls on has every method of the trait, and each
/// observer of the library has those that it is documented to have.
#[test]
fn no_call_is_forgotten() {
    let methods = |text: &str| -> BTreeSet<String> {
        let starts = text.match_indices("    fn ").map(|(at, _)| &text[at + "    fn ".len()..]);
        let names = starts.filter(|rest| rest.contains("(&self"));
        names.map(|rest| rest.split('(').next().unwrap().to_owned()).collect()
    };
    let source = include_str!("../../../wsx/src/observer/mod.rs");
    let mut all = methods(&source[source.find("pub trait Observer").unwrap()..]);
    assert!(all.len() > 12, "{all:?}");
    let traced = include_str!("../../../wsx/src/observer/tracing.rs");
    assert_eq!(methods(&traced[traced.find("impl Observer").unwrap()..]), all, "TracingObserver");
    assert!(all.remove("interest"));
    let list = include_str!("../../../wsx/src/observer/calls.rs");
    let listed = list.lines().filter(|line| line.ends_with(");")).filter_map(|line| line.trim().split_once('('));
    assert_eq!(listed.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>(), all, "calls.rs");
}

/// What a subscriber has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits for a line with all these parts.
    async fn line(&self, parts: &[&str]) -> String {
        let found = async {
            loop {
                if let Some(line) = self.lines().into_iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        found.unwrap_or_else(|_| panic!("no line with {parts:?}: {:#?}", self.lines()))
    }
}

/// Installs a subscriber of tracing-subscriber for this thread. It writes each event with its
/// spans, and the end of each span.
fn subscribe(level: tracing::Level) -> (Written, tracing::subscriber::DefaultGuard) {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
    let subscriber = subscriber.with_max_level(level).with_span_events(FmtSpan::CLOSE).finish();
    (written, tracing::subscriber::set_default(subscriber))
}

/// The handlers of the tests of spans.
#[derive(wsx::Endpoint)]
struct Traced;

#[wsx::handler("sync", on = Traced)]
fn traced_sync(_n: u32) {
    tracing::info!("in the sync handler");
}

#[wsx::handler("async", on = Traced)]
async fn traced_async(_n: u32, conn: &Connection) {
    tracing::info!("before the await");
    tokio::time::sleep(Duration::from_millis(1)).await;
    tracing::info!(id = conn.id(), "after the await");
}

#[wsx::handler("__open__", on = Traced)]
async fn traced_open() {
    tracing::info!("in the opening");
}

/// Row X11: events of the program in a handler are in its span, which is in the span of its
/// connection, also after an await.
#[tokio::test]
async fn events_of_a_handler_are_in_its_span() {
    let (written, _guard) = subscribe(tracing::Level::INFO);
    let hub = Hub::builder().endpoint(Traced).observer(TracingObserver::new()).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    let mut other = server.peer("box-8").await;
    let kept = server.hub.connection("box-7").unwrap();
    peer.send_envelope("sync", json!(1)).await;
    peer.send_envelope("async", json!(1)).await;
    other.send_envelope("async", json!(1)).await;
    let address = peer.0.get_ref().local_addr().unwrap();
    let spans = |handler: &str| {
        format!(r#"connection{{side="hub" id=box-7 peer={address}}}:handler{{message_type={handler}}}: "#)
    };
    written.line(&[&spans("__open__"), "in the opening"]).await;
    written.line(&[&spans("sync"), "in the sync handler"]).await;
    written.line(&[&spans("async"), "before the await"]).await;
    written.line(&[&spans("async"), "after the await", "id=\"box-7\""]).await;
    written.line(&["id=box-8", ":handler{message_type=async}", "after the await", "id=\"box-8\""]).await;
    written.line(&[&spans("async"), "close"]).await;
    let connection = format!(r#"connection{{side="hub" id=box-7 peer={address}}}: "#);
    written.line(&[&connection, "wsx: connection opened"]).await;
    drop(peer);
    written.line(&["WARN", &connection, "wsx: connection closed code=1006"]).await;
    // The span ends with the connection, although the program keeps a handle.
    written.line(&[&connection, "wsx: close"]).await;
    drop(kept);
    // A peer that does not read would take the time for closing.
    drop(other);
    server.stop().await;
}

/// Row X11: the peer in a span is the one that a trusted proxy names.
#[tokio::test]
async fn a_span_names_the_peer_of_a_proxy() {
    let (written, _guard) = subscribe(tracing::Level::INFO);
    let hub = Hub::builder().endpoint(Traced).observer(TracingObserver::new()).trusted_proxies(["127.0.0.1"]);
    let server = Server::start(hub.build().unwrap()).await;
    let request = upgrade("/ws?id=box-7", "X-Forwarded-For: 192.0.2.1:4711\r\n");
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&head(&mut tcp).await), 101);
    written.line(&[r#"connection{side="hub" id=box-7 peer=192.0.2.1:4711}: wsx: connection opened"#]).await;
    // A peer that does not read would take the time for closing.
    drop(tcp);
    server.stop().await;
}

/// Row X11: a subscriber that only takes warnings has the spans too, so a warning names its
/// connection.
#[tokio::test]
async fn a_warning_names_its_connection_at_every_level() {
    let (written, _guard) = subscribe(tracing::Level::WARN);
    let hub = Hub::builder().endpoint(Traced).observer(TracingObserver::new()).build().unwrap();
    let server = Server::start(hub).await;
    let mut peer = server.peer("box-7").await;
    peer.send_envelope("unknown", json!(1)).await;
    written.line(&["WARN connection{", "id=box-7", "wsx: message ignored"]).await;
    // A peer that does not read would take the time for closing.
    drop(peer);
    server.stop().await;
}

/// Rows X11, X13: calls of the observer are events, without secrets and without forged lines. Those
/// for each message are made on request.
#[tokio::test]
async fn each_problem_is_an_event_in_the_span_of_its_connection() {
    let (written, _guard) = subscribe(tracing::Level::TRACE);
    let hub = Hub::builder().endpoint(Traced).observer(TracingObserver::new().with_messages()).build().unwrap();
    let server = Server::start(hub).await;
    Peer::try_connect(&format!("ws://{}/ws", server.address)).await.unwrap_err();
    written.line(&["WARN wsx: handshake rejected peer=127.0.0.1:", "kind=\"build_id\" status=400 reason=no id"]).await;
    let mut peer = server.peer("wss://a:s3cret@b").await;
    let span = "id=wss://…@b ";
    peer.send_envelope("a\nb?token=s3cret", json!(null)).await;
    written.line(&["WARN", span, r"wsx: message ignored message_type=a\nb?…"]).await;
    written.line(&["TRACE", span, "wsx: message received message_type=__unknown__ bytes="]).await;
    peer.send_envelope("sync", json!("a\nb")).await;
    written
        .line(&["WARN", span, r"wsx: handler failed message_type=sync error=the data does not fit u32 at `.`: "])
        .await;
    written.line(&["TRACE", span, "wsx: handler finished message_type=sync elapsed="]).await;
    peer.send("a\nb").await;
    written.line(&["WARN", span, "wsx: envelope rejected error="]).await;
    server.hub.broadcast(&Note { n: 1 }).await.unwrap();
    written.line(&["TRACE", span, "wsx: message sent message_type=note bytes="]).await;
    written.line(&["TRACE", span, "wsx: queue changed before=0 now=1"]).await;
    let url = "ws://127.0.0.1:1/ws?token=s3cret";
    let client = Client::builder(url).observer(TracingObserver::new()).give_up(|_| true).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap_err();
    written.line(&["ERROR wsx: client gave up error=cannot reach 127.0.0.1:1: "]).await;
    // A peer that does not read would take the time for closing.
    drop(peer);
    server.stop().await;
    let lines = written.lines();
    assert!(!lines.iter().any(|line| line.contains("s3cret") || line == "b"), "{lines:#?}");
}

/// Rows J9, X11: each event of a cluster is an event, and a warning if something is wrong. Text of
/// another node does not forge a line.
#[test]
fn the_events_of_a_cluster_are_events() {
    let (written, _guard) = subscribe(tracing::Level::TRACE);
    let observer = TracingObserver::new();
    cluster_events("a\nb").iter().for_each(|event| observer.cluster_changed(event));
    let lines = written.lines();
    let expected = [
        " INFO wsx: cluster changed event=NATS can be reached",
        r" WARN wsx: cluster changed event=NATS cannot be reached: a\nb",
        r#" INFO wsx: cluster changed event=node "a\nb" has joined"#,
        r#" INFO wsx: cluster changed event=node "a\nb" has shut down"#,
        r#" WARN wsx: cluster changed event=node "a\nb" is lost"#,
        r#" WARN wsx: cluster changed event=7 broadcasts of node "a\nb" are missing here"#,
        " WARN wsx: cluster changed event=3 broadcasts did not leave for the other nodes",
        r" WARN wsx: cluster changed event=a packet cannot be read: a\nb",
    ];
    assert_eq!(lines, expected);
}

/// Row X11: with the feature, but without the observer, there is not one span or event. With the
/// observer, messages make events on request alone.
#[tokio::test]
async fn without_the_observer_there_are_no_spans() {
    let (written, _guard) = subscribe(tracing::Level::TRACE);
    for observed in [false, true] {
        let hub = Hub::builder().endpoint(Traced);
        let hub = if observed { hub.observer(TracingObserver::new()) } else { hub };
        let server = Server::start(hub.build().unwrap()).await;
        let mut peer = server.peer("box-7").await;
        peer.send_envelope("sync", json!(1)).await;
        server.hub.broadcast(&Note { n: 1 }).await.unwrap();
        peer.receive().await;
        // A peer that does not read would take the time for closing.
        drop(peer);
        server.stop().await;
        let lines = written.lines();
        assert_eq!(lines.iter().any(|line| line.contains(" wsx: ")), observed, "{lines:#?}");
        let of_messages = |line: &String| line.contains("message sent") || line.contains("message received");
        assert!(!lines.iter().any(of_messages), "{lines:#?}");
    }
}
