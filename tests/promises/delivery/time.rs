//! When a kept message expires, while the program runs and over a restart: rows G13 and
//! G15 of the specification.
use crate::memory_store::MemoryStore;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::advance;
use wsx::{Hub, SendError, delivery::Mailbox};
use wsx_tests::within;

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1h")]
struct Brief {
    n: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, full = drop_oldest)]
struct Sample {
    n: u32,
}

const DAY: i64 = 24 * 60 * 60;

fn hub(mailbox: Mailbox) -> Hub {
    Hub::builder().without_handlers().mailbox(mailbox).build().unwrap()
}

/// The remaining times to live of what waits for box-7, in seconds.
fn remaining(hub: &Hub) -> Vec<u64> {
    hub.waiting("box-7").iter().map(|waiting| waiting.ttl.unwrap().as_secs()).collect()
}

/// Row G13: while a program runs, its monotonic clock decides when a message expires.
#[tokio::test(start_paused = true)]
async fn a_message_expires_by_the_monotonic_clock() {
    let hub = hub(Mailbox::new());
    hub.send_to("box-7", &Brief { n: 1 }).await.unwrap();
    advance(Duration::from_secs(59 * 60)).await;
    hub.send_to("box-7", &Brief { n: 2 }).await.unwrap();
    assert_eq!(remaining(&hub), [60, 3600]);
    advance(Duration::from_secs(60)).await;
    assert_eq!(remaining(&hub), [3540]);
}

/// Row G15: what has expired for an absent peer makes room for the messages of others.
#[tokio::test(start_paused = true)]
async fn expired_messages_make_room_for_other_peers() {
    let hub = hub(Mailbox::new().messages(2));
    for id in ["a", "b"] {
        hub.send_to(id, &Brief { n: 1 }).await.unwrap();
    }
    assert!(matches!(hub.send_to("box-7", &Brief { n: 1 }).await, Err(SendError::OutboxFull)));
    advance(Duration::from_secs(3600)).await;
    for n in 1..=2 {
        hub.send_to("box-7", &Brief { n }).await.unwrap();
    }
    assert!(matches!(hub.send_to("box-7", &Brief { n: 3 }).await, Err(SendError::OutboxFull)));
}

/// Row G15: what has expired makes room before a message is dropped that has not.
#[tokio::test(start_paused = true)]
async fn expired_messages_make_room_before_live_ones() {
    let hub = hub(Mailbox::new().messages_per_peer(3));
    for n in 1..=2 {
        hub.send_to("box-7", &Brief { n }).await.unwrap();
    }
    hub.send_to("box-7", &Sample { n: 1 }).await.unwrap();
    advance(Duration::from_secs(3600)).await;
    hub.send_to("box-7", &Sample { n: 2 }).await.unwrap();
    let types: Vec<_> = hub.waiting("box-7").iter().map(|waiting| waiting.message_type.clone()).collect();
    assert_eq!(types, ["sample", "sample"]);
}

/// Row G28: the gaps of absent peers are bounded, in memory and in the store. The oldest one is
/// forgotten, also after a restart.
#[tokio::test]
async fn the_gaps_of_absent_peers_are_bounded() {
    const MOST: usize = 10_000;
    let store = MemoryStore::default();
    let before = hub(Mailbox::new().store(store.clone()));
    for id in 0..MOST + 10 {
        let id = id.to_string();
        within(before.send_to(&id, &Brief { n: 1 })).await.unwrap();
        assert_eq!(before.drop_waiting(&id), 1);
    }
    // It waits for the changes before it.
    within(before.send_to("last", &Brief { n: 1 })).await.unwrap();
    assert_eq!((store.keys("/skip/"), store.keys("/seq/")), (MOST, 1));
    assert_eq!((store.keys("out/9/skip/"), store.keys("out/10/skip/")), (0, 1));
    // A peer for which something waits again is not counted.
    for id in ["10", "11"] {
        within(before.send_to(id, &Brief { n: 2 })).await.unwrap();
    }
    within(before.send_to("more", &Brief { n: 1 })).await.unwrap();
    before.drop_waiting("more");
    within(before.send_to("last", &Brief { n: 2 })).await.unwrap();
    assert_eq!((store.keys("/skip/"), store.keys("out/10/skip/")), (MOST + 1, 1));
    drop(before);
    let after = hub(Mailbox::new().store(store.clone()));
    for id in ["new", "other", "third"] {
        within(after.send_to(id, &Brief { n: 3 })).await.unwrap();
        after.drop_waiting(id);
    }
    for id in ["10", "11"] {
        assert_eq!(after.drop_waiting(id), 1);
    }
    within(after.send_to("last", &Brief { n: 3 })).await.unwrap();
    assert_eq!((store.keys("/skip/"), store.keys("/seq/")), (MOST, 3));
}

/// Row G13: over a restart, the wall clock decides. A jump of a day, in either direction, neither
/// expires a message at once nor keeps it for longer than its time to live.
#[tokio::test]
async fn a_jump_of_the_wall_clock_does_not_expire_a_message_at_once() {
    let ranges = [
        // Ten minutes without power.
        (600, 2980..=3000),
        // A day, or a clock that was set forward by a day: a chance to be sent.
        (DAY, 50..=60),
        // A clock that was set back by a day: the downtime is not known.
        (-DAY, 3580..=3600),
        // A box without a battery for its clock, which began in 1970.
        (57 * 365 * DAY, 3580..=3600),
    ];
    for (ago, expected) in ranges {
        let store = MemoryStore::default();
        let before = hub(Mailbox::new().store(store.clone()));
        within(before.send_to("box-7", &Brief { n: 1 })).await.unwrap();
        drop(before);
        store.move_clock(ago);
        let after = hub(Mailbox::new().store(store));
        let [remaining] = remaining(&after)[..] else { panic!("{ago}: {:?}", after.waiting("box-7")) };
        assert!(expected.contains(&remaining), "{ago}: {remaining} s");
    }
}

/// Row G13: the chance after a long downtime is given once.
#[tokio::test]
async fn the_chance_after_a_long_downtime_is_given_once() {
    let store = MemoryStore::default();
    for n in 1..=2 {
        let hub = hub(Mailbox::new().store(store.clone()));
        within(hub.send_to("box-7", &Brief { n })).await.unwrap();
        assert_eq!(hub.waiting("box-7").len(), n as usize);
        drop(hub);
        store.move_clock(DAY);
    }
    let hub = hub(Mailbox::new().store(store));
    assert_eq!(hub.waiting("box-7").len(), 1, "the first message had its chance in the second run");
}

/// Row G13: the chance is given once also to a program that starts again and again, and sends
/// nothing.
#[tokio::test]
async fn a_program_that_only_starts_gets_older_too() {
    let store = MemoryStore::default();
    let first = hub(Mailbox::new().store(store.clone()));
    within(first.send_to("box-7", &Brief { n: 1 })).await.unwrap();
    drop(first);
    for _ in 0..2 {
        store.move_clock(DAY);
        drop(hub(Mailbox::new().store(store.clone())));
    }
    assert!(hub(Mailbox::new().store(store)).waiting("box-7").is_empty(), "it had its chance in the second run");
}
