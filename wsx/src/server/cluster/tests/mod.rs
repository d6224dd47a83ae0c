//! Hubs as nodes of one cluster, on a bus in this process. Its clock is that of tokio, which is
//! paused, so that these tests do not wait. `campaign` has the random faults.
mod campaign;

use super::*;
use crate::{
    closed::{Closed, ClosedBy},
    cluster::memory::Network,
    config::Config,
    connection::{handle::Intake, queue::Taken, request_error::RequestError},
    envelope::{Envelope, frame::Encode as _},
    message::{Derived, Message},
    observer::Observer,
    server::{OnDuplicate, PresenceChange, PresenceChanges},
    wire::{data_message::DataMessage, role::Role},
};
use futures_util::FutureExt;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
/// After this time without faults all nodes know the same: a hello, a fetch, and one that is asked
/// for again.
const CALM: Duration = Duration::from_secs(8);

/// The reply that these tests expect.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Done(u32);

impl Derived for Done {}
impl Message for Done {
    const TYPE: &'static str = "done";
    const FINGERPRINT: u64 = 0;
}

/// A list that several have.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl Noted {
    fn add(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Noted {
    fn cluster_changed(&self, event: &ClusterEvent) {
        self.add(event.to_string());
    }

    fn id_contested(&self, id: &str, _: Option<SocketAddr>, _: Option<SocketAddr>, replacements: u32) {
        self.add(format!("{id} is contested by {replacements}"));
    }
}

/// Ends the bus of a node that leaves.
struct Ends(Network, NodeId);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill(self.1);
    }
}

struct TestNode {
    me: NodeId,
    hub: Hub,
    seen: Noted,
}

/// What a node does with two connections of one id, and its grace period.
#[derive(Clone, Copy, Default)]
struct Options {
    on_duplicate: OnDuplicate,
    grace: Duration,
}

impl TestNode {
    fn join(net: &Network, me: u64, Options { on_duplicate, grace }: Options) -> Self {
        let (me, seen) = (NodeId(me), Noted::default());
        let builder = Hub::builder().config(Config::edge()).observer(seen.clone()).without_handlers();
        let hub = builder.on_duplicate(on_duplicate).presence_grace(grace).build().unwrap();
        hub.join_by(me, format!("node {}", me.0).into(), || {
            let (bus, events) = net.join(me);
            (bus, events, Box::new(Ends(net.clone(), me)))
        });
        Self { me, hub, seen }
    }

    /// Connects a box to this node, as a handshake does. `None`: it is rejected.
    fn connect(&self, id: &str) -> Option<TestBox> {
        self.connect_with(id, Duration::ZERO)
    }

    /// Connects a box whose task needs some time to notice that it was closed.
    fn connect_with(&self, id: &str, lingers: Duration) -> Option<TestBox> {
        let hub = self.hub.clone();
        let conn = hub
            .open(id.into(), vec!["all".into()], None, None, |older, is_elsewhere| {
                let is_taken = is_elsewhere || older.is_some_and(|older| !older.is_closed());
                if hub.rejects_duplicates() && is_taken { Err(()) } else { Ok(()) }
            })
            .ok()?;
        hub.start(&conn);
        let (got, gone) = (Noted::default(), CancellationToken::new());
        tokio::spawn(run(hub, conn.clone(), got.clone(), gone.clone(), lingers));
        Some(TestBox { conn, got, gone })
    }

    fn ids(&self) -> Vec<String> {
        let mut ids = self.hub.ids();
        ids.sort_unstable();
        ids
    }

    /// Returns the changes from now on.
    fn watch(&self) -> PresenceChanges {
        let mut changes = self.hub.presence().changes();
        assert!(matches!(changes.recv().now_or_never(), Some(Some(PresenceChange::Snapshot { .. }))));
        changes
    }

    /// Returns the changes since the last call.
    fn changes(changes: &mut PresenceChanges) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(Some(change)) = changes.recv().now_or_never() {
            match change {
                PresenceChange::Snapshot { .. } => {}
                PresenceChange::Online(peer) => all.push(format!("{} online", peer.id)),
                PresenceChange::Offline(peer) => {
                    let closed = peer.closed.map_or(0, |closed| u16::from(closed.code));
                    all.push(format!("{} offline {closed}", peer.id));
                }
            }
        }
        all
    }
}

struct TestBox {
    conn: Handle,
    got: Noted,
    /// The box closes its connection.
    gone: CancellationToken,
}

impl TestBox {
    fn leave(&self) {
        self.gone.cancel();
    }

    async fn closed(&self) -> (u16, ClosedBy) {
        let closed = timeout(20 * SECOND, self.conn.closed()).await.expect("it is closed");
        (closed.code.into(), closed.by)
    }
}

/// The task of a connection without a socket: notes what the box receives, and answers requests of
/// the type `ask`.
async fn run(hub: Hub, conn: Handle, got: Noted, gone: CancellationToken, lingers: Duration) {
    let ends = poll_fn(|cx| {
        conn.queue().begin_poll(cx.waker());
        loop {
            match conn.queue().take() {
                Taken::One(frame) => read(&conn, &frame, &got),
                Taken::Many(frames) => read(&conn, &frames, &got),
                Taken::Flush(flushed) => drop(flushed.set(())),
                Taken::Nothing => break,
            }
        }
        if conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    });
    let closed = tokio::select! {
        () = ends => {
            sleep(lingers).await;
            conn.closed_by_us().unwrap_or_else(|| Closed::new(CloseCode::ABNORMAL, "", ClosedBy::Link))
        }
        () = gone.cancelled() => Closed::new(CloseCode::NORMAL, "", ClosedBy::Peer),
    };
    conn.shut();
    conn.set_closed(closed.clone());
    hub.remove(&conn, &closed);
}

fn read(conn: &Handle, mut frames: &[u8], got: &Noted) {
    while !frames.is_empty() {
        let (head, length) = match frames[1] {
            126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
            length => (2, usize::from(length)),
        };
        let (frame, rest) = frames.split_at(head + length);
        frames = rest;
        if frame[0] != 0x81 {
            continue;
        }
        let message: serde_json::Value = serde_json::from_slice(&frame[head..]).unwrap();
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let error = message["err"]["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        got.add(format!("{} {}{error}", text("type"), message["data"]));
        if let (Some(id), "ask") = (message["id"].as_u64(), &*text("type")) {
            let reply = format!(r#"{{"type":"done","re":{id},"data":{}}}"#, message["data"]);
            let _ = conn.requests().answer(id, DataMessage::Text(reply));
        }
    }
}

fn message(data: u32) -> Envelope<u32> {
    Envelope::with_type("what", data)
}

/// Nodes that know each other.
async fn nodes<const N: usize>(options: Options) -> (Network, [TestNode; N]) {
    let net = Network::new();
    let nodes = std::array::from_fn(|n| TestNode::join(&net, n as u64 + 1, options));
    sleep(3 * SECOND).await;
    (net, nodes)
}

/// Waits until all nodes have this many boxes.
async fn until_len(nodes: &[TestNode], len: usize) {
    let all = async {
        while nodes.iter().any(|node| node.hub.len() != len) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(10 * SECOND, all).await.is_ok(), "{:?}", nodes.iter().map(TestNode::ids).collect::<Vec<_>>());
}

/// Checks the rules that hold while nothing happens.
fn check(nodes: &[TestNode], context: &str) {
    let mut held = BTreeMap::new();
    for node in nodes {
        for conn in node.hub.registry().connections() {
            let before = held.insert(conn.id().to_string(), node.me);
            assert_eq!(before, None, "{context}: {} has two connections", conn.id());
        }
    }
    let all: Vec<_> = held.keys().cloned().collect();
    for TestNode { me, hub, .. } in nodes {
        let mut ids = hub.ids();
        ids.sort_unstable();
        assert_eq!((ids, hub.len()), (all.clone(), all.len()), "{context}: the ids at {me}");
        for (id, at) in &held {
            assert!(hub.is_connected(id), "{context}: {id} at {me}");
            assert!(hub.presence().get(id).is_some_and(|peer| peer.online), "{context}: {id} at {me}");
            assert_eq!(hub.roster().node_of(id), (at != me).then_some(*at), "{context}: {id} at {me}");
        }
        let online = hub.presence().snapshot().into_iter().filter(|peer| peer.online).count();
        assert_eq!(online, all.len(), "{context}: the snapshot at {me}");
        let published = hub.roster().with_map(|map| map.directory.published().1.is_some());
        assert_eq!(published, Some(true), "{context}: {me} has changes that are not published");
        assert_eq!(hub.node().running(), 0, "{context}: {me} does something for another node");
        assert_eq!(hub.cluster().unwrap().nodes.len(), nodes.len() - 1, "{context}: the nodes at {me}");
    }
}

/// Row J5: each id has its later connection after a partition.
#[tokio::test(start_paused = true)]
async fn each_id_has_its_later_connection_after_a_partition() {
    let (net, nodes) = nodes::<3>(Options::default()).await;
    let older = nodes[0].connect("box").unwrap();
    until_len(&nodes, 1).await;
    net.cut(nodes[0].me);
    sleep(CALM).await;
    let newer = nodes[1].connect("box").unwrap();
    let alone = nodes[0].connect("alone").unwrap();
    sleep(CALM).await;
    assert!(!older.conn.is_closed() && nodes[0].ids() == ["alone", "box"] && nodes[2].ids() == ["box"]);
    net.heal(nodes[0].me);
    sleep(CALM).await;
    assert_eq!(older.closed().await, (4000, ClosedBy::Us));
    assert!(!newer.conn.is_closed() && !alone.conn.is_closed());
    check(&nodes, "after the partition");
    assert_eq!(nodes[2].hub.roster().node_of("box"), Some(nodes[1].me));
}

/// Row J5: each id keeps its older connection if the hub rejects the newer.
#[tokio::test(start_paused = true)]
async fn each_id_keeps_its_older_connection_if_the_hub_rejects_the_newer() {
    let options = Options { on_duplicate: OnDuplicate::RejectNew, ..Options::default() };
    let (net, nodes) = nodes::<3>(options).await;
    let older = nodes[0].connect("box").unwrap();
    until_len(&nodes, 1).await;
    assert!(nodes[1].connect("box").is_none());
    // A node whose bus is down knows of the older one, and cannot ask.
    net.set_up(nodes[1].me, false);
    tokio::task::yield_now().await;
    let newer = nodes[1].connect("box").unwrap();
    net.set_up(nodes[1].me, true);
    assert_eq!(newer.closed().await, (4000, ClosedBy::Us));
    net.cut(nodes[1].me);
    sleep(CALM).await;
    let newer = nodes[1].connect("box").unwrap();
    net.heal(nodes[1].me);
    assert_eq!(newer.closed().await, (4000, ClosedBy::Us));
    sleep(CALM).await;
    assert!(!older.conn.is_closed());
    check(&nodes, "at the end");
    older.leave();
    until_len(&nodes, 0).await;
    assert!(nodes[2].connect("box").is_some());
}

/// Row J4: a box that moves stays online and one that leaves goes offline once.
#[tokio::test(start_paused = true)]
async fn a_box_that_moves_stays_online_and_one_that_leaves_goes_offline_once() {
    let (_net, nodes) = nodes::<3>(Options::default()).await;
    let mut changes = nodes.each_ref().map(TestNode::watch);
    let mut older = nodes[0].connect("box").unwrap();
    until_len(&nodes, 1).await;
    let since = nodes[0].hub.presence().get("box").unwrap().since;
    for n in 1..9 {
        let newer = nodes[n % 3].connect_with("box", SECOND).unwrap();
        assert_eq!(older.closed().await, (4000, ClosedBy::Us));
        older = newer;
    }
    sleep(SECOND).await;
    check(&nodes, "after the moves");
    for (node, changes) in nodes.iter().zip(&mut changes) {
        assert_eq!(TestNode::changes(changes), ["box online"], "{}", node.me);
        assert_eq!(node.hub.presence().get("box").unwrap().since, since);
    }
    older.leave();
    until_len(&nodes, 0).await;
    sleep(SECOND).await;
    for (node, changes) in nodes.iter().zip(&mut changes) {
        assert_eq!(TestNode::changes(changes), ["box offline 1000"], "{}", node.me);
        let closed = node.hub.presence().get("box").unwrap().closed.unwrap();
        assert_eq!(closed, Closed::new(CloseCode::NORMAL, "", ClosedBy::Peer));
    }
}

/// Row J4: a box within its grace period may come back to another node.
#[tokio::test(start_paused = true)]
async fn a_box_within_its_grace_period_may_come_back_to_another_node() {
    let (_net, nodes) = nodes::<2>(Options { grace: 10 * SECOND, ..Options::default() }).await;
    let mut changes = nodes.each_ref().map(TestNode::watch);
    for n in 0..4 {
        let connection = nodes[n % 2].connect("box").unwrap();
        until_len(&nodes, 1).await;
        connection.leave();
        until_len(&nodes, 0).await;
        sleep(5 * SECOND).await;
        assert!(nodes.iter().all(|node| node.hub.presence().get("box").is_some_and(|peer| peer.online)));
    }
    sleep(10 * SECOND).await;
    for changes in &mut changes {
        assert_eq!(TestNode::changes(changes), ["box online", "box offline 1000"]);
    }
}

/// Row J10: the boxes of a lost node are offline until it is heard again.
#[tokio::test(start_paused = true)]
async fn the_boxes_of_a_lost_node_are_offline_until_it_is_heard_again() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    let _box = nodes[0].connect("box").unwrap();
    until_len(&nodes, 1).await;
    let mut changes = nodes[1].watch();
    nodes[1].seen.take();
    net.pause(nodes[0].me);
    sleep(4 * SECOND).await;
    assert_eq!(TestNode::changes(&mut changes), [""; 0], "not yet");
    sleep(4 * SECOND).await;
    assert_eq!(TestNode::changes(&mut changes), ["box offline 1006"]);
    assert_eq!(nodes[1].hub.cluster().unwrap().nodes.len(), 0);
    net.resume(nodes[0].me);
    sleep(3 * SECOND).await;
    assert_eq!(TestNode::changes(&mut changes), ["box online"]);
    check(&nodes, "heard again");
    // The subject of a node that has ended is known to have no reader.
    net.kill(nodes[0].me);
    // At first it may only be about to connect to NATS again.
    for expected in [&[][..], &["box offline 1006"]] {
        let sent = nodes[1].hub.send_to("box", &message(1)).await;
        assert!(matches!(sent, Err(SendError::NoSuchConnection(_))), "{sent:?}");
        assert_eq!(TestNode::changes(&mut changes), expected);
        sleep(3 * SECOND).await;
    }
    let lost = r#"node "node 1" is lost"#;
    assert_eq!(nodes[1].seen.take(), [lost, r#"node "node 1" has joined"#, lost]);
}

/// Row J10: a node whose bus is down cannot hear the others. They are not lost for that.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_hear_loses_nobody() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    let there = nodes[0].connect("box").unwrap();
    until_len(&nodes, 1).await;
    let mut changes = nodes[1].watch();
    net.set_up(nodes[1].me, false);
    sleep(60 * SECOND).await;
    assert!(nodes[1].hub.is_connected("box") && !nodes[1].hub.cluster().unwrap().connected);
    net.set_up(nodes[1].me, true);
    sleep(CALM).await;
    // A process that stood still hears nothing either.
    tokio::time::advance(60 * SECOND).await;
    sleep(CALM).await;
    assert_eq!(TestNode::changes(&mut changes), [""; 0]);
    check(&nodes, "up again");
    there.leave();
    until_len(&nodes, 0).await;
}

/// Row J10: a node that leaves takes its boxes offline at once.
#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_takes_its_boxes_offline_at_once() {
    let (_net, [stays, leaves]) = nodes::<2>(Options::default()).await;
    let _box = leaves.connect("box").unwrap();
    until_len(std::slice::from_ref(&stays), 1).await;
    stays.seen.take();
    leaves.hub.joined().unwrap().leave().await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!((stays.hub.len(), stays.seen.take()), (0, vec![r#"node "node 2" has shut down"#.to_owned()]));
    assert_eq!(stays.hub.presence().get("box").unwrap().closed.unwrap().code, CloseCode::ABNORMAL);
    assert!(!leaves.hub.cluster().unwrap().connected);
    let sent = leaves.hub.send_to("other", &message(1)).await;
    assert!(matches!(sent, Err(SendError::NodeUnreachable)), "{sent:?}");
    sleep(CALM).await;
    assert!(stays.seen.take().is_empty(), "it is not lost too");
}

/// Row J2: what is sent reaches the box on whichever node.
#[tokio::test(start_paused = true)]
async fn what_is_sent_reaches_the_box_on_whichever_node() {
    let (net, nodes) = nodes::<3>(Options::default()).await;
    let connection = nodes[1].connect("box").unwrap();
    until_len(&nodes, 1).await;
    net.set_delay(Duration::from_millis(30));
    for (n, node) in (0..).zip(&nodes) {
        node.hub.send_to("box", &message(n)).await.unwrap();
        let reply: Done = node.hub.request_as("box", &Envelope::with_type("ask", n)).await.unwrap();
        assert_eq!(reply, Done(n));
        assert_eq!(connection.got.take(), [format!("what {n}"), format!("ask {n}")]);
        let start = Instant::now();
        let sent = node.hub.send_to("nobody", &message(0)).await;
        assert!(matches!(sent, Err(SendError::NoSuchConnection(_))), "{sent:?}");
        let closed = node.hub.close("nobody", CloseCode::NORMAL, "").await;
        assert!(matches!(closed, Err(SendError::NoSuchConnection(_))), "{closed:?}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    nodes[2].hub.close("box", CloseCode::from(4001), "bye").await.unwrap();
    assert_eq!(connection.closed().await, (4001, ClosedBy::Us));
    until_len(&nodes, 0).await;
}

/// Row J2: the other nodes may not be heard yet.
#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_waited_for_when_the_bus_has_just_come_up() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    net.set_up(nodes[0].me, false);
    sleep(SECOND).await;
    let sent = nodes[0].hub.send_to("box", &message(1)).await;
    assert!(matches!(sent, Err(SendError::NodeUnreachable)), "{sent:?}");
    let asked = nodes[0].hub.request_as::<Done>("box", &message(1)).await;
    assert!(matches!(asked, Err(RequestError::NotSent(SendError::NodeUnreachable))), "{asked:?}");
    let connection = nodes[1].connect("box").unwrap();
    net.set_up(nodes[0].me, true);
    nodes[0].hub.send_to("box", &message(2)).await.unwrap();
    assert_eq!(connection.got.take(), ["what 2"]);
    net.set_up(nodes[0].me, false);
    net.set_up(nodes[0].me, true);
    let start = Instant::now();
    let sent = nodes[0].hub.send_to("nobody", &message(3)).await;
    assert!(matches!(sent, Err(SendError::NoSuchConnection(_))), "{sent:?}");
    assert!(start.elapsed() >= 2 * SECOND && start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
}

/// Row J3: a node that does not answer is waited for until the deadline.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_waited_for_until_the_deadline() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    let connection = nodes[1].connect("box").unwrap();
    until_len(&nodes, 1).await;
    net.lose_next_direct(nodes[1].me, 1);
    let start = Instant::now();
    let sent = nodes[0].hub.send_to("box", &message(1)).await;
    assert!(matches!(sent, Err(SendError::Unconfirmed)), "{sent:?}");
    assert_eq!(start.elapsed(), CONFIRMED);
    net.lose_next_direct(nodes[1].me, 1);
    let start = Instant::now();
    let asked = nodes[0].hub.request_as::<Done>("box", &message(2)).timeout(2 * SECOND).await;
    assert!(matches!(asked, Err(RequestError::TimedOut)), "{asked:?}");
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert!(connection.got.take().is_empty());
    check(&nodes, "after the time");
}

/// Row J2: a request that nobody waits for is cancelled at the other node.
#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_cancelled_at_the_other_node() {
    let (_net, nodes) = nodes::<2>(Options::default()).await;
    let connection = nodes[1].connect("box").unwrap();
    until_len(&nodes, 1).await;
    let asking = nodes[0].hub.request_as::<Done>("box", &message(1));
    assert!(timeout(SECOND, asking).await.is_err());
    sleep(SECOND).await;
    assert_eq!(connection.got.take(), ["what 1", "cancel null cancelled"]);
    assert!(!connection.conn.awaits_reply());
    // At its deadline it has ended at both nodes.
    let asked = nodes[0].hub.request_as::<Done>("box", &message(2)).timeout(SECOND).await;
    assert!(matches!(asked, Err(RequestError::TimedOut)), "{asked:?}");
    sleep(Duration::from_millis(100)).await;
    assert!(!connection.conn.awaits_reply());
    check(&nodes, "after the requests");
    connection.leave();
    let asking = nodes[0].hub.request_as::<Done>("box", &message(3)).await;
    assert!(matches!(
        asking,
        Err(RequestError::Ended(_) | RequestError::NoSuchConnection(_) | RequestError::NotSent(_))
    ));
}

/// Row J2: its old connection needs a long time to end, as that of a dead link does.
#[tokio::test(start_paused = true)]
async fn a_box_that_has_moved_is_found_at_its_new_node() {
    let (net, nodes) = nodes::<3>(Options::default()).await;
    let older = nodes[0].connect_with("box", 9 * SECOND).unwrap();
    until_len(&nodes, 1).await;
    net.set_delay(Duration::from_millis(10));
    let newer = nodes[1].connect("box").unwrap();
    // The third node still asks the first one.
    let sent = nodes[2].hub.send_to("box", &message(0));
    sleep(Duration::from_millis(15)).await;
    sent.await.unwrap();
    for (n, node) in (1..).zip(&nodes) {
        node.hub.send_to("box", &message(n)).await.unwrap();
        let reply: Done = node.hub.request_as("box", &Envelope::with_type("ask", n)).await.unwrap();
        assert_eq!(reply, Done(n));
    }
    assert!(older.conn.is_closed() && older.got.take().is_empty());
    assert_eq!(newer.got.take().len(), 7);
    nodes[0].hub.close("box", CloseCode::from(4001), "bye").await.unwrap();
    assert_eq!(newer.closed().await, (4001, ClosedBy::Us));
}

/// Row J6: a broadcast reaches every box once.
#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_every_box_once() {
    let (net, nodes) = nodes::<3>(Options::default()).await;
    let boxes = nodes.each_ref().map(|node| node.connect(&format!("box-{}", node.me.0)).unwrap());
    for (n, node) in (0..).zip(&nodes) {
        assert_eq!(node.hub.broadcast(&message(n)).await.unwrap(), 1, "those of this node");
        assert_eq!(node.hub.broadcast_to("all", &message(n + 10)).await.unwrap(), 1);
        node.hub.broadcast_to("others", &message(100)).await.unwrap();
    }
    sleep(SECOND).await;
    for receiver in &boxes {
        let mut got = receiver.got.take();
        assert!(got.chunks(2).all(|pair| pair[1] == pair[0].replace(' ', " 1")), "those of one node are in order");
        got.sort_unstable();
        assert_eq!(got, ["what 0", "what 1", "what 10", "what 11", "what 12", "what 2"]);
    }
    nodes.iter().for_each(|node| drop(node.seen.take()));
    // A gap in the middle, one at the end, and one while the node is lost.
    let missing = |count: u32| format!(r#"{count} broadcasts of node "node 1" are missing here"#);
    for _ in 0..2 {
        net.lose_next(nodes[1].me, 2);
        for n in 0..3 {
            nodes[0].hub.broadcast(&message(n)).await.unwrap();
        }
        sleep(3 * SECOND).await;
        assert_eq!((boxes[1].got.take().len(), nodes[1].seen.take()), (1, vec![missing(2)]));
    }
    net.cut(nodes[1].me);
    nodes[0].hub.broadcast(&message(0)).await.unwrap();
    sleep(CALM).await;
    nodes[0].hub.broadcast(&message(1)).await.unwrap();
    net.heal(nodes[1].me);
    sleep(CALM).await;
    assert!(nodes[1].seen.take().contains(&missing(2)));
    assert_eq!(nodes[1].hub.cluster().unwrap().missed, 6);
    assert_eq!((boxes[2].got.take().len(), nodes[2].hub.cluster().unwrap().missed), (8, 0));
}

/// Row J8: a broadcast does not wait for the bus.
#[tokio::test(start_paused = true)]
async fn a_broadcast_does_not_wait_for_the_bus() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    let boxes = nodes.each_ref().map(|node| node.connect(&format!("box-{}", node.me.0)).unwrap());
    let took = async |n: u32| {
        let start = Instant::now();
        assert_eq!(nodes[0].hub.broadcast(&message(n)).await.unwrap(), 1);
        start.elapsed()
    };
    net.set_full(nodes[0].me, true);
    assert_eq!(took(1).await, Duration::from_millis(100));
    // Nobody waits for this one.
    assert!(timeout(Duration::from_millis(10), nodes[0].hub.broadcast(&message(2))).await.is_err());
    let sent = nodes[0].hub.broadcast(&message(3));
    let (sent, ()) = tokio::join!(sent, async { net.set_full(nodes[0].me, false) });
    assert_eq!(sent.unwrap(), 1);
    sleep(2 * SECOND).await;
    net.set_up(nodes[0].me, false);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(took(4).await, Duration::ZERO);
    assert_eq!(nodes[0].hub.broadcast(&Envelope::with_type("x".repeat(600), "y".repeat(1 << 20))).await.ok(), None);
    sleep(2 * SECOND).await;
    net.set_up(nodes[0].me, true);
    sleep(3 * SECOND).await;
    assert_eq!(boxes[0].got.take(), ["what 1", "what 2", "what 3", "what 4"]);
    assert_eq!(boxes[1].got.take(), ["what 3"]);
    let is_count = |text: &&String| text.contains("broadcasts");
    let seen = |node: &TestNode| node.seen.take().iter().filter(is_count).cloned().collect::<Vec<_>>();
    assert_eq!(
        seen(&nodes[0]),
        ["2 broadcasts did not leave for the other nodes", "1 broadcasts did not leave for the other nodes"]
    );
    let missing = |count: u32| format!(r#"{count} broadcasts of node "node 1" are missing here"#);
    assert_eq!(seen(&nodes[1]), [missing(2), missing(1)]);
    assert_eq!((nodes[0].hub.cluster().unwrap().dropped, nodes[1].hub.cluster().unwrap().missed), (3, 3));
}

/// NATS may take short packets alone.
#[tokio::test(start_paused = true)]
async fn boxes_come_in_parts_and_a_message_that_is_too_long_is_an_error() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    net.set_max_payload(2048);
    let boxes: Vec<_> = (0..50).map(|n| nodes[0].connect(&format!("box-{n}")).unwrap()).collect();
    until_len(&nodes, 50).await;
    let [first, second] = nodes;
    let nodes = [first, second, TestNode::join(&net, 3, Options::default())];
    until_len(&nodes, 50).await;
    sleep(CALM).await;
    check(&nodes, "in parts");
    let long = Envelope::with_type("what", "x".repeat(2048));
    // It is in the packet twice.
    let long_type: &'static str = "x".repeat(950).leak();
    let of_a_long_type = Envelope::with_type(long_type, 1);
    let sent = nodes[1].hub.send_to("box-7", &long).await;
    assert!(matches!(sent, Err(SendError::TooLong { maximum: 2048, .. })), "{sent:?}");
    for broadcast in [nodes[0].hub.broadcast(&long).await, nodes[0].hub.broadcast(&of_a_long_type).await] {
        assert!(matches!(broadcast, Err(SendError::TooLong { maximum: 2048, .. })), "{broadcast:?}");
    }
    assert!(boxes.iter().all(|connection| connection.got.take().is_empty()), "nobody gets a part of it");
}

/// Row J10: a node that moves its boxes lets their handlers finish, also if a box is already back.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_finishes_although_its_box_is_back() {
    let (_net, nodes) = nodes::<2>(Options::default()).await;
    let older = nodes[0].connect_with("box", 10 * SECOND).unwrap();
    until_len(&nodes, 1).await;
    older.conn.close_draining(CloseCode::SERVICE_RESTART, "another server takes over");
    let newer = nodes[1].connect("box").unwrap();
    sleep(SECOND).await;
    assert!(older.conn.intake() == Intake::Draining && !newer.conn.is_closed());
}

/// Row J7: a broadcast that is dropped while the boxes of this node get it is counted.
#[tokio::test(start_paused = true)]
async fn a_broadcast_that_nobody_awaits_to_its_end_is_counted() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    net.set_full(nodes[0].me, true);
    let frame = message(1).encode(Role::Server).unwrap();
    drop(nodes[0].hub.publish(&frame, None).unwrap());
    assert_eq!(nodes[0].hub.cluster().unwrap().dropped, 1);
}

/// Row J11: what does not fit is missing, and the room comes back.
#[tokio::test(start_paused = true)]
async fn broadcasts_that_wait_for_the_boxes_are_bounded_in_bytes() {
    let (_net, nodes) = nodes::<2>(Options::default()).await;
    let long = Envelope::with_type("what", "x".repeat(512 << 10));
    // All of them arrive before the first one is handed out.
    for _ in 0..40 {
        nodes[0].hub.broadcast(&long).await.unwrap();
    }
    sleep(CALM).await;
    let missed = nodes[1].hub.cluster().unwrap().missed;
    // 16 MiB are 31 of these with their envelopes.
    assert_eq!(missed, 9);
    nodes[0].hub.broadcast(&long).await.unwrap();
    sleep(CALM).await;
    assert_eq!(nodes[1].hub.cluster().unwrap().missed, missed);
}

/// Row J5: programs that fight for an id are reported once.
#[tokio::test(start_paused = true)]
async fn programs_that_fight_for_an_id_are_reported_once() {
    for only_two in [true, false] {
        let (_net, nodes) = nodes::<3>(Options::default()).await;
        nodes.iter().for_each(|node| drop(node.seen.take()));
        for n in 0..12 {
            nodes[if only_two { n % 2 } else { n % 3 }].connect("box").unwrap();
            sleep(10 * SECOND).await;
        }
        let seen: Vec<_> = nodes.iter().map(|node| node.seen.take()).collect();
        // The seventh connection replaces for the sixth time.
        let expected: Vec<_> =
            (0..3).map(|n| if n == 0 { vec!["box is contested by 6".to_owned()] } else { vec![] }).collect();
        assert_eq!(seen, expected);
    }
}

/// Row J11: boxes that come and go, and nodes too.
#[tokio::test(start_paused = true)]
async fn churn_leaves_no_memory() {
    let (net, nodes) = nodes::<2>(Options::default()).await;
    for round in 0..20 {
        let third = TestNode::join(&net, 100 + round, Options::default());
        let boxes: Vec<_> = (0..50).map(|n| third.connect(&format!("box-{n}")).unwrap()).collect();
        until_len(&nodes, 50).await;
        let moved: Vec<_> = (0..50).map(|n| nodes[n % 2].connect(&format!("box-{n}")).unwrap()).collect();
        sleep(SECOND).await;
        assert!(boxes.iter().all(|connection| connection.conn.is_closed()));
        if round % 2 == 0 {
            third.hub.joined().unwrap().leave().await;
        } else {
            net.kill(third.me);
        }
        moved.iter().for_each(TestBox::leave);
        until_len(&nodes, 0).await;
        sleep(CALM).await;
    }
    check(&nodes, "after the churn");
    for node in &nodes {
        let nodes = node.hub.roster().with_map(|map| map.directory.nodes()).unwrap();
        assert_eq!(nodes, 1);
    }
}
