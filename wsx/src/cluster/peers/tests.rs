use super::*;
use crate::cluster::packet::{By, End, Leave};

const ONE: NodeId = NodeId(1);
const SECOND: Duration = Duration::from_secs(1);

fn join(id: u64) -> Join {
    Join { id: id.to_string(), stamp: id, since: 0, address: None }
}

fn changes(ids: std::ops::Range<u64>) -> Vec<Change> {
    ids.map(|id| Change::Join(join(id))).collect()
}

fn ids(next: &Next) -> Vec<u64> {
    let id = |change: &Change| match change {
        Change::Join(join) => join.stamp,
        Change::Leave(leave) => leave.stamp,
    };
    next.changes.iter().map(id).collect()
}

/// A node that has said hello, with this many changes that are applied.
fn following(version: u64, now: Instant) -> Peers {
    let mut peers = Peers::default();
    let next = peers.hello(ONE, "one", version, 0, true, now);
    assert!(next.is_new && next.ask);
    assert_eq!(peers.part(ONE, version, 0, 1, vec![join(7)], now).boxes, Some(vec![join(7)]));
    peers
}

/// Row J4: changes in order are applied once.
#[test]
fn changes_in_order_are_applied_once() {
    let now = Instant::now();
    let mut peers = following(3, now);
    assert_eq!(ids(&peers.changes(ONE, 3, changes(3..5), now)), [3, 4]);
    assert_eq!(ids(&peers.changes(ONE, 4, changes(4..7), now)), [5, 6]);
    assert_eq!(peers.changes(ONE, 2, changes(2..5), now), Next::default());
    assert_eq!(peers.hello(ONE, "one", 7, 0, true, now), Next::default());
}

/// Row J4: a gap is fetched and the changes meanwhile come after it.
#[test]
fn a_gap_is_fetched_and_the_changes_meanwhile_come_after_it() {
    let now = Instant::now();
    let mut peers = following(3, now);
    let next = peers.changes(ONE, 5, changes(5..6), now);
    assert_eq!((next.ask, next.changes.len()), (true, 0));
    assert!(!peers.changes(ONE, 6, changes(6..7), now).ask, "asked already");
    assert_eq!(peers.part(ONE, 6, 1, 2, vec![join(2)], now), Next::default());
    assert_eq!(peers.part(ONE, 6, 1, 2, vec![join(2)], now), Next::default(), "the same part twice");
    let next = peers.part(ONE, 6, 0, 2, vec![join(1)], now);
    assert_eq!((next.boxes.as_deref(), ids(&next)), (Some(&[join(1), join(2)][..]), vec![6]));
    assert_eq!(peers.hello(ONE, "one", 7, 0, true, now), Next::default());
}

/// Row J4: a hello shows what is missing.
#[test]
fn a_hello_shows_what_is_missing() {
    let now = Instant::now();
    let mut peers = following(3, now);
    assert!(peers.hello(ONE, "one", 4, 0, true, now).ask);
    let mut peers = following(3, now);
    assert!(peers.hello(ONE, "one", 3, 0, false, now).ask, "another number of boxes");
    let mut peers = following(3, now);
    assert!(!peers.hello(ONE, "one", 2, 0, false, now).ask, "the boxes are newer than this");
}

/// Row J4: boxes that do not come are asked for again.
#[test]
fn boxes_that_do_not_come_are_asked_for_again() {
    let now = Instant::now();
    let mut peers = following(3, now);
    assert!(peers.hello(ONE, "one", 4, 0, true, now).ask);
    assert!(!peers.hello(ONE, "one", 4, 0, true, now + SECOND).ask);
    assert_eq!(peers.part(ONE, 4, 0, 2, vec![], now + SECOND), Next::default());
    assert!(!peers.hello(ONE, "one", 4, 0, true, now + 2 * SECOND).ask, "a part has come");
    assert!(peers.hello(ONE, "one", 4, 0, true, now + 3 * SECOND).ask);
    assert!(peers.part(ONE, 5, 0, 1, vec![], now + 3 * SECOND).boxes.is_some(), "of a newer version");
}

/// Row J4: the answer to an earlier request may come after that to a later one.
#[test]
fn boxes_that_are_older_than_the_map_are_ignored() {
    let now = Instant::now();
    let mut peers = following(5, now);
    assert!(peers.hello(ONE, "one", 6, 0, true, now).ask);
    assert_eq!(peers.part(ONE, 4, 0, 1, vec![], now), Next::default());
    assert!(peers.part(ONE, 6, 0, 1, vec![], now).boxes.is_some());
    assert_eq!(peers.part(ONE, 6, 0, 1, vec![], now), Next::default(), "nobody asked");
}

/// Row J11: what waits for the boxes is bounded.
#[test]
fn what_waits_for_the_boxes_is_bounded() {
    let now = Instant::now();
    let mut peers = following(0, now);
    let most = MAX_WAITING as u64;
    assert!(peers.changes(ONE, 1, changes(1..most), now).ask);
    assert!(!peers.changes(ONE, most, changes(most..most + 1), now).ask);
    assert!(peers.changes(ONE, most + 1, changes(0..1), now).ask, "asked anew");
    assert_eq!(peers.alive[&ONE].fetching.as_ref().map(|fetching| fetching.waiting.len()), Some(0));
    assert_eq!(peers.part(ONE, 1, 0, MAX_PARTS + 1, vec![], now), Next::default());
    assert_eq!(peers.alive[&ONE].fetching.as_ref().map(|fetching| fetching.parts.len()), Some(0));
    assert_eq!(peers.part(ONE, 1, 5, 3, vec![], now), Next::default(), "a part that is none of them");
}

/// Row J11: a node is known by its hello, which says everything before it.
#[test]
fn a_node_that_has_not_said_hello_takes_no_memory() {
    let (now, end) = (Instant::now(), End { code: 1000, reason: String::new(), by: By::Us });
    let mut peers = Peers::default();
    let leave = Change::Leave(Leave { id: "1".into(), stamp: 1, seen: 0, closed: end });
    assert_eq!(peers.changes(ONE, 0, vec![leave], now), Next::default());
    assert_eq!(peers.part(ONE, 0, 0, 1, vec![], now), Next::default());
    assert_eq!((peers.broadcast(ONE, 7, now), peers.names().len(), peers.remove(ONE)), (Some(0), 0, None));
    assert!(peers.alive.is_empty() && peers.lost.is_empty());
    assert_eq!(&*peers.name(ONE), "0000000000000001");
}

/// Row J7: each missing broadcast is counted once.
#[test]
fn each_missing_broadcast_is_counted_once() {
    let now = Instant::now();
    let mut peers = following(0, now);
    assert_eq!((peers.broadcast(ONE, 1, now), peers.broadcast(ONE, 4, now)), (Some(0), Some(2)));
    assert_eq!(peers.hello(ONE, "one", 0, 4, true, now).missed, 0);
    assert_eq!(peers.hello(ONE, "one", 0, 6, true, now).missed, 2);
    assert_eq!((peers.hello(ONE, "one", 0, 5, true, now).missed, peers.broadcast(ONE, 7, now)), (0, Some(0)));
    assert_eq!((peers.broadcast(ONE, 7, now), peers.broadcast(ONE, 3, now)), (None, None), "they come again");
    assert_eq!(peers.hello(ONE, "one", 0, u64::MAX, true, now).missed, u64::MAX - 7);
    assert_eq!(peers.broadcast(ONE, u64::MAX, now), None);
    let mut peers = Peers::default();
    assert_eq!(peers.hello(ONE, "one", 0, 9, true, now).missed, 0, "this node came later");
}

/// Row J7: a node that is lost goes on, if it is alive.
#[test]
fn the_broadcasts_of_a_node_that_was_lost_are_missing() {
    let now = Instant::now();
    let mut peers = following(0, now);
    peers.broadcast(ONE, 5, now);
    assert_eq!(peers.lose(ONE).as_deref(), Some("one"));
    assert_eq!((peers.broadcast(ONE, 7, now), peers.broadcast(ONE, 8, now)), (Some(1), Some(0)));
    let next = peers.hello(ONE, "one", 0, 10, true, now);
    assert_eq!((next.is_new, next.missed, peers.lost.len()), (true, 2, 0));
    for node in 0..1000 {
        peers.hello(NodeId(node), "it", 0, 0, true, now);
        peers.lose(NodeId(node));
        assert!(peers.lost.len() <= MAX_LOST);
    }
    assert_eq!((peers.lost.len(), peers.lose(ONE)), (MAX_LOST, None));
}

/// Row J10: a node that has just said hello may only be about to connect again.
#[test]
fn a_node_is_quiet_without_two_hellos() {
    let now = Instant::now();
    let peers = following(0, now);
    assert!(!peers.is_quiet(ONE, now + QUIET) && peers.is_quiet(ONE, now + QUIET + SECOND));
    assert!(!peers.is_quiet(NodeId(2), now + QUIET + SECOND), "it is not known");
}

/// Row J11: whoever may publish cannot fill the memory with nodes.
#[test]
fn the_number_of_nodes_is_bounded() {
    let now = Instant::now();
    let mut peers = following(0, now);
    for node in 2..2 * MAX_NODES as u64 {
        peers.hello(NodeId(node), "it", 0, 0, true, now);
    }
    assert_eq!(peers.alive.len(), MAX_NODES);
    assert_eq!(peers.hello(ONE, "one", 0, 7, true, now).missed, 7, "a known node is heard");
}

/// Row J4: parts of an earlier answer do not undo those of a later one.
#[test]
fn parts_that_were_sent_earlier_are_ignored() {
    let now = Instant::now();
    let mut peers = Peers::default();
    peers.hello(ONE, "one", 5, 0, true, now);
    assert_eq!(peers.part(ONE, 5, 0, 2, Vec::new(), now).boxes, None);
    assert_eq!(peers.part(ONE, 4, 0, 2, Vec::new(), now).boxes, None);
    assert_eq!(peers.part(ONE, 5, 1, 2, Vec::new(), now).boxes, Some(Vec::new()));
}

/// Row J10: a node is lost after its silence.
#[test]
fn a_node_is_lost_after_its_silence() {
    let now = Instant::now();
    let mut peers = following(0, now);
    assert!(peers.silent(now + SILENCE).is_empty());
    assert_eq!(peers.silent(now + SILENCE + SECOND), [ONE]);
    peers.broadcast(ONE, 1, now + SECOND);
    assert!(peers.silent(now + SILENCE + SECOND).is_empty());
    peers.hear_again(now + 10 * SECOND);
    assert!(peers.silent(now + 10 * SECOND + SILENCE).is_empty());
    assert_eq!(peers.remove(ONE).as_deref(), Some("one"));
    assert!(peers.lost.is_empty(), "it has left");
}
