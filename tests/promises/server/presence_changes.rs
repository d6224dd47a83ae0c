//! Who is connected, since when, from where, and why the others left: row S6 of the specification.
use crate::proxies::small;
use futures_util::{FutureExt, SinkExt};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode as PeerCode},
};
use wsx::{
    CloseCode, ClosedBy, Connection, Endpoint, Hub,
    server::{PeerStatus, PresenceChange, PresenceChanges},
};
use wsx_tests::{
    Log, Server,
    handshake::{head, upgrade},
    query_id, within,
};

const SECOND: Duration = Duration::from_secs(1);

fn hub() -> Hub {
    small().build().unwrap()
}

/// Connects in memory, and returns the peer's end after the handshake.
async fn connect<E: Endpoint>(hub: &Hub<E>, id: &str) -> DuplexStream {
    let (near, mut far) = tokio::io::duplex(4096);
    let handler = hub.ws_handler(query_id, |_| {});
    tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade(&format!("/ws?id={id}"), "").as_bytes()).await.unwrap();
    assert!(head(&mut far).await.starts_with("HTTP/1.1 101"));
    far
}

/// Waits until the hub does not have this id.
pub(crate) async fn gone<E: Endpoint>(hub: &Hub<E>, id: &str) {
    within(async {
        while let Some(conn) = hub.connection(id) {
            conn.closed().await;
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn next(changes: &mut PresenceChanges) -> Option<PresenceChange> {
    within(changes.recv()).await
}

async fn online(changes: &mut PresenceChanges) -> PeerStatus {
    match next(changes).await {
        Some(PresenceChange::Online(peer)) => peer,
        other => panic!("{other:?}, not an id that came online"),
    }
}

async fn offline(changes: &mut PresenceChanges) -> PeerStatus {
    match next(changes).await {
        Some(PresenceChange::Offline(peer)) => peer,
        other => panic!("{other:?}, not an id that went offline"),
    }
}

/// Returns the ids of the snapshot that must come next, and the number of missed changes.
async fn snapshot(changes: &mut PresenceChanges) -> (Vec<PeerStatus>, u64) {
    match next(changes).await {
        Some(PresenceChange::Snapshot { peers, missed }) => (peers, missed),
        other => panic!("{other:?}, not a snapshot"),
    }
}

/// Returns a reader that has received its first snapshot, which is empty.
async fn reader<E: Endpoint>(hub: &Hub<E>) -> PresenceChanges {
    let mut changes = hub.presence().changes();
    assert_eq!(snapshot(&mut changes).await, (vec![], 0));
    changes
}

/// Row S6: who, since when, last seen when, from where, and why the last connection closed.
#[tokio::test]
async fn the_presence_of_an_id_follows_its_connections() {
    let server = Server::start(hub()).await;
    let (presence, mut changes) = (server.hub.presence(), reader(&server.hub).await);
    assert_eq!((presence.get("box"), presence.snapshot()), (None, vec![]));
    // The clock of presence has whole seconds.
    let before = SystemTime::now() - 2 * SECOND;
    let mut peer = server.peer("box").await;
    let came = online(&mut changes).await;
    assert_eq!((&*came.id, came.online, &came.closed), ("box", true, &None));
    assert_eq!(came.address, Some(peer.0.get_ref().local_addr().unwrap()));
    assert!(came.since >= before && came.since <= SystemTime::now() && came.last_seen >= came.since, "{came:?}");
    assert_eq!(presence.get("box"), Some(came.clone()));
    let close = CloseFrame { code: PeerCode::Away, reason: "lunch".into() };
    within(peer.0.send(Message::Close(Some(close)))).await.unwrap();
    let left = offline(&mut changes).await;
    let closed = left.closed.clone().expect("it has closed");
    assert_eq!((&*left.id, left.online, left.address), ("box", false, came.address));
    assert_eq!((closed.code, &*closed.reason, closed.by), (CloseCode::GOING_AWAY, "lunch", ClosedBy::Peer));
    assert!(left.since >= came.since && left.last_seen >= came.last_seen);
    assert_eq!((presence.get("box"), presence.snapshot()), (Some(left.clone()), vec![left.clone()]));
    // A reader that comes later begins with the same state.
    let mut late = presence.changes();
    assert_eq!(snapshot(&mut late).await, (vec![left], 0));
    let again = server.peer("box").await;
    let back = online(&mut changes).await;
    assert_eq!((back.closed.as_ref(), back.address), (Some(&closed), Some(again.0.get_ref().local_addr().unwrap())));
    assert_eq!((presence.snapshot(), online(&mut late).await), (vec![back.clone()], back));
}

/// Row S6: every byte of the peer counts, such as a ping, and nothing else does.
#[tokio::test]
async fn last_seen_is_the_time_of_the_last_byte() {
    let server = Server::start(hub()).await;
    let mut peer = server.peer("box").await;
    let seen = || server.hub.presence().get("box").unwrap().last_seen;
    let first = seen();
    within(async {
        while SystemTime::now() < first + 2 * SECOND {
            server.hub.connection("box").unwrap().ping(b"").await.unwrap();
            sleep(SECOND / 10).await;
        }
    })
    .await;
    assert_eq!(seen(), first, "the peer has not read the pings yet");
    peer.send(Message::Ping("".into())).await;
    while !matches!(peer.next().await, Some(Ok(Message::Pong(_)))) {}
    assert!(seen() > first);
}

#[derive(wsx::Endpoint, Default)]
struct Station {
    events: Log<&'static str>,
    gate: Notify,
}

#[wsx::handler("__open__", on = Station)]
fn on_open(station: &Station) {
    station.events.add("open");
}

#[wsx::handler("__close__", on = Station)]
fn on_close(station: &Station, conn: &Connection, hub: &Hub<Station>) {
    // A handler may look while its connection ends.
    assert!(hub.presence().get(conn.id()).is_some());
    station.events.add("close");
}

#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station) {
    station.events.add("waiting");
    station.gate.notified().await;
}

/// Row S6: an id that is replaced does not go offline, though the old connection ends long after
/// the new one has opened.
#[tokio::test]
async fn a_replaced_id_stays_online() {
    let server = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    let (station, presence) = (server.hub.endpoint(), server.hub.presence());
    let mut changes = reader(&server.hub).await;
    let mut old = server.peer("box").await;
    let came = online(&mut changes).await;
    assert_eq!(station.events.next().await, "open");
    old.send_envelope("wait", serde_json::Value::Null).await;
    assert_eq!(station.events.next().await, "waiting");
    let new = server.peer("box").await;
    assert_eq!(station.events.next().await, "open");
    station.gate.notify_one();
    assert_eq!(old.close().await.0, 4000);
    drop(old);
    assert_eq!(station.events.next().await, "close");
    let here = presence.get("box").unwrap();
    let closed = here.closed.expect("the old connection has closed");
    assert_eq!(
        (here.online, here.since, closed.code, closed.by),
        (true, came.since, CloseCode::REPLACED, ClosedBy::Us)
    );
    assert_eq!(here.address, Some(new.0.get_ref().local_addr().unwrap()));
    // Nothing was reported in between.
    let _next = server.peer("next").await;
    assert_eq!(&*online(&mut changes).await.id, "next");
    drop(new);
    let left = offline(&mut changes).await;
    assert_eq!((&*left.id, left.closed.unwrap().by), ("box", ClosedBy::Link));
}

/// Row S6: an id stays online while its next connection is in its handshake, and is offline if the
/// handshake fails.
#[tokio::test]
async fn a_replacement_that_fails_ends_the_presence() {
    let (hub, shown) = (hub(), Log::default());
    let mut changes = reader(&hub).await;
    let mut old = connect(&hub, "box").await;
    online(&mut changes).await;
    let log = shown.clone();
    let handler = hub.ws_handler(query_id, move |conn| log.add(conn.id().to_owned()));
    // It takes the request byte by byte, and not the whole answer.
    let (near, mut far) = tokio::io::duplex(8);
    let serving = tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade("/ws?id=box", "").as_bytes()).await.unwrap();
    assert_eq!(shown.next().await, "box");
    // The close frame, 4000.
    let mut close = [0; 4];
    within(old.read_exact(&mut close)).await.unwrap();
    assert_eq!(close[2..], 4000_u16.to_be_bytes());
    drop(old);
    within(async {
        while hub.presence().get("box").unwrap().closed.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(hub.presence().get("box").unwrap().online && !hub.is_connected("box"));
    drop(far);
    assert!(within(serving).await.unwrap().is_err());
    let left = offline(&mut changes).await;
    assert_eq!((left.closed.unwrap().code, hub.presence().get("box").unwrap().online), (CloseCode::REPLACED, false));
    // The first connection of an id that fails is not reported at all.
    let handler = hub.ws_handler(query_id, |_| panic!("not this one"));
    let (near, mut far) = tokio::io::duplex(4096);
    tokio::spawn(async move { handler.serve_connection(near, None).await.map(drop) });
    far.write_all(upgrade("/ws?id=never", "").as_bytes()).await.unwrap();
    assert!(head(&mut far).await.starts_with("HTTP/1.1 500"));
    let _next = connect(&hub, "next").await;
    assert_eq!((&*online(&mut changes).await.id, hub.presence().get("never")), ("next", None));
}

/// Row S6: within the grace period, an id that comes and goes never goes offline. When it stays
/// away, it is offline after the grace period, and not before.
#[tokio::test(start_paused = true)]
async fn a_flapping_id_stays_online_within_its_grace_period() {
    let hub = small().presence_grace(60 * SECOND).build().unwrap();
    let mut changes = reader(&hub).await;
    let mut left = Instant::now();
    for round in 0..10 {
        let peer = connect(&hub, "box").await;
        if round == 0 {
            online(&mut changes).await;
        }
        drop(peer);
        gone(&hub, "box").await;
        left = Instant::now();
        let here = hub.presence().get("box").unwrap();
        assert_eq!((here.online, here.closed.unwrap().by, hub.ids().len()), (true, ClosedBy::Link, 0));
        sleep(59 * SECOND).await;
    }
    let away = offline(&mut changes).await;
    assert_eq!((&*away.id, left.elapsed().as_secs()), ("box", 60));
    // Nobody has to listen.
    drop(changes);
    drop(connect(&hub, "box").await);
    gone(&hub, "box").await;
    assert!(hub.presence().get("box").unwrap().online);
    sleep(61 * SECOND).await;
    assert!(!hub.presence().get("box").unwrap().online);
    // An id that returns after its grace period was offline.
    drop(connect(&hub, "box").await);
    gone(&hub, "box").await;
    let mut changes = hub.presence().changes();
    assert!(snapshot(&mut changes).await.0[0].online);
    tokio::time::advance(61 * SECOND).await;
    let _back = connect(&hub, "box").await;
    assert!(!offline(&mut changes).await.online && online(&mut changes).await.online);
}

/// Row S6: a shutdown takes every id offline, those in their grace period too. Then the changes
/// end.
#[tokio::test]
async fn a_shutdown_takes_every_id_offline() {
    let hub = small().presence_grace(3600 * SECOND).build().unwrap();
    let mut changes = reader(&hub).await;
    drop(connect(&hub, "gone").await);
    gone(&hub, "gone").await;
    let _peers = [connect(&hub, "a").await, connect(&hub, "b").await];
    for _ in 0..3 {
        online(&mut changes).await;
    }
    // Both peers read nothing, so they are cut off.
    hub.shutdown(Duration::ZERO).await;
    let mut codes = HashMap::new();
    for _ in 0..3 {
        let left = offline(&mut changes).await;
        codes.insert(left.id.to_string(), left.closed.unwrap().code);
    }
    assert_eq!(
        (codes["gone"], codes["a"], codes["b"]),
        (CloseCode::ABNORMAL, CloseCode::GOING_AWAY, CloseCode::GOING_AWAY)
    );
    assert_eq!((next(&mut changes).await, next(&mut changes).await), (None, None));
    assert!(hub.presence().snapshot().iter().all(|peer| !peer.online));
}

/// Row S6: the changes end with the last clone of a hub that was not shut down.
#[tokio::test]
async fn the_changes_end_with_the_hub() {
    let hub = hub();
    let (presence, mut changes) = (hub.presence(), reader(&hub).await);
    drop(connect(&hub, "box").await);
    gone(&hub, "box").await;
    drop(hub);
    online(&mut changes).await;
    offline(&mut changes).await;
    assert_eq!((next(&mut changes).await, presence.snapshot().len()), (None, 1));
    assert_eq!(format!("{presence:?} {changes:?}"), "Presence { .. } PresenceChanges { next: Some(2), .. }");
}

/// Row S6: an id is offline when its runtime has ended, even if its task was never polled.
#[test]
fn a_runtime_that_ends_takes_its_ids_offline() {
    let (hub, runtime) = (hub(), tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let far = runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(4096);
        far.write_all(upgrade("/ws?id=box", "").as_bytes()).await.unwrap();
        hub.ws_handler(query_id, |_| {}).serve_connection(near, None).await.unwrap();
        far
    });
    // The handshake is done, and the new task has not had its turn.
    let conn = hub.connection("box").unwrap();
    assert!(hub.is_connected("box") && conn.closed().now_or_never().is_none());
    drop((runtime, far));
    let closed = conn.closed().now_or_never().expect("it has closed");
    assert_eq!((hub.len(), closed.code, closed.by), (0, CloseCode::ABNORMAL, ClosedBy::Link));
    assert!(!hub.presence().get("box").unwrap().online);
}

/// Row S6: a reader that is too slow learns how much it has missed, and goes on with a snapshot.
#[tokio::test]
async fn a_slow_reader_gets_a_snapshot() {
    const TIMES: u64 = 600;
    let hub = hub();
    let mut changes = reader(&hub).await;
    for _ in 0..TIMES {
        drop(connect(&hub, "box").await);
        gone(&hub, "box").await;
    }
    let (peers, missed) = snapshot(&mut changes).await;
    assert_eq!((peers.len(), peers[0].online, missed), (1, false, 2 * TIMES));
    let _peer = connect(&hub, "box").await;
    online(&mut changes).await;
    // A reader that asks twice misses nothing: the first future is dropped.
    let mut none = Box::pin(changes.recv());
    assert!(futures_util::poll!(&mut none).is_pending());
    drop(none);
    let _next = connect(&hub, "next").await;
    assert_eq!(&*online(&mut changes).await.id, "next");
}

/// Row S6: strangers cannot fill the memory with ids.
#[tokio::test]
async fn a_bounded_number_of_absent_ids_is_remembered() {
    let hub = small().presence_grace(3600 * SECOND).max_absent(3).build().unwrap();
    let mut changes = reader(&hub).await;
    for n in 0..5 {
        drop(connect(&hub, &n.to_string()).await);
        online(&mut changes).await;
        gone(&hub, &n.to_string()).await;
        if n >= 3 {
            assert_eq!(*offline(&mut changes).await.id, (n - 3).to_string());
        }
    }
    let mut known: Vec<_> = hub.presence().snapshot().into_iter().map(|peer| peer.id.to_string()).collect();
    known.sort();
    assert_eq!(known, ["2", "3", "4"]);
}

/// Row S6: five thousand boxes come, are replaced, and go, all at the same time. A reader that only
/// follows the changes has the state of the hub in the end, and each id has changed in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_of_five_thousand_boxes_are_those_of_the_hub() {
    const BOXES: usize = 5000;
    let hub = hub();
    let mut changes = reader(&hub).await;
    let (staying, limit) = (Arc::new(Log::<DuplexStream>::default()), Arc::new(Semaphore::new(100)));
    let mut boxes = JoinSet::new();
    for n in 0..BOXES {
        let (hub, staying, limit) = (hub.clone(), staying.clone(), limit.clone());
        boxes.spawn(async move {
            let _turn = limit.acquire().await.unwrap();
            let id = format!("box-{n}");
            let first = connect(&hub, &id).await;
            // Some leave, some leave and return, some are replaced, and the others stay.
            match n % 4 {
                0 => drop(first),
                1 => {
                    drop(first);
                    staying.add(connect(&hub, &id).await);
                }
                2 => {
                    staying.add(connect(&hub, &id).await);
                    drop(first);
                }
                _ => staying.add(first),
            }
        });
    }
    let follow = async {
        let (mut state, mut missed_in_all) = (HashMap::<String, bool>::new(), 0);
        // A box that leaves and returns may be replaced instead, so the number of changes varies.
        let mut is_done = false;
        while !is_done || state.values().filter(|online| **online).count() != BOXES * 3 / 4 {
            tokio::select! {
                change = changes.recv() => match change.unwrap() {
                    PresenceChange::Snapshot { peers, missed } => {
                        missed_in_all += missed;
                        state = peers.into_iter().map(|peer| (peer.id.to_string(), peer.online)).collect();
                    }
                    PresenceChange::Online(peer) => {
                        assert_ne!(state.insert(peer.id.to_string(), true), Some(true), "{peer:?} was online");
                    }
                    PresenceChange::Offline(peer) => {
                        assert_eq!(state.insert(peer.id.to_string(), false), Some(true), "{peer:?} was offline");
                    }
                    other => panic!("{other:?}"),
                },
                joined = boxes.join_next(), if !is_done => match joined {
                    Some(result) => result.unwrap(),
                    None => is_done = true,
                },
            }
        }
        println!("{missed_in_all} changes came as a snapshot");
        state
    };
    let state = tokio::time::timeout(60 * SECOND, follow).await.expect("every change arrives");
    assert_eq!((state.len(), hub.len()), (BOXES, BOXES * 3 / 4));
    for peer in hub.presence().snapshot() {
        assert_eq!((peer.online, hub.is_connected(&peer.id)), (state[&*peer.id], peer.online), "{peer:?}");
    }
}
