use super::*;
use crate::{
    envelope::kept::KeptMessage,
    policy::{Delivery, Policy},
};
use bytes::Bytes;
use std::time::Duration;

const ROOM: Room = Room { messages: 10, bytes: 100_000 };

fn message() -> Message {
    let policy = Policy::of(Delivery::AtLeastOnce);
    let text = Bytes::from_static(b"{\"type\":\"m\",\"data\":1}");
    Message::new(KeptMessage::new("m".into(), policy, None, text).unwrap(), Time::default(), None)
}

/// Returns a message of this many bytes.
fn sized(kind: &str, policy: Policy, bytes: usize) -> Message {
    let text = format!("{{\"type\":\"{kind}\",\"data\":1");
    let text = format!("{text:<width$}}}", width = bytes - 1);
    Message::new(
        KeptMessage::new(kind.to_owned().into(), policy, None, Bytes::from(text)).unwrap(),
        Time::default(),
        None,
    )
}

/// Accepts a message, and notes that it is stored.
fn accepted(outgoing: &mut Outgoing, message: Message) -> u64 {
    let (lane, number) = outgoing.accept(message, 1, ROOM).unwrap().place;
    outgoing.stored(lane, number);
    number
}

fn numbers(outgoing: &Outgoing) -> Vec<u64> {
    outgoing.waiting().map(|(number, _)| number).collect()
}

fn next(outgoing: &mut Outgoing) -> Option<Step<'_>> {
    outgoing.next(Time::default())
}

/// Row G3: the number of a message that is not durable may be given to another one after a crash.
/// So the peer must not take it, or one before it, for handled.
#[test]
fn a_hole_before_a_message_is_explained_when_the_message_is_durable() {
    let mut outgoing = Outgoing::default();
    let accept = |outgoing: &mut Outgoing| outgoing.accept(message(), 10, ROOM).unwrap().place.1;
    assert_eq!(accept(&mut outgoing), 10);
    outgoing.stored(Lane::Seq, 10);
    outgoing.attach();
    assert!(matches!(next(&mut outgoing), Some(Step::Begin { first: 10, last: 10 })));
    outgoing.acknowledged(5, 0, &[], Time::default());
    assert!(matches!(next(&mut outgoing), Some(Step::Skip { from: 6, to: 9, why: Why::Void })));
    assert!(matches!(next(&mut outgoing), Some(Step::Message { number: 10, .. })));

    assert_eq!((accept(&mut outgoing), accept(&mut outgoing)), (11, 12));
    outgoing.refused(Lane::Seq, 11);
    assert!(next(&mut outgoing).is_none());
    outgoing.stored(Lane::Seq, 12);
    assert!(matches!(next(&mut outgoing), Some(Step::Skip { from: 11, to: 11, why: Why::Void })));
    assert!(matches!(next(&mut outgoing), Some(Step::Message { number: 12, .. })));
    let records = outgoing.take_records();
    assert_eq!(records, [Record::Withdraw(Lane::Seq, 11)], "nothing else remembers it");
    assert_eq!(outgoing.size().messages, 2);
}

/// Row G15: messages make room only for one that then has it. A message that does not fit anyway
/// costs nothing.
#[test]
fn a_message_that_does_not_fit_drops_nothing() {
    let policy = Policy::of(Delivery::AtLeastOnce);
    let dropping = policy.dropping_oldest();
    let mut outgoing = Outgoing::default();
    for kind in ["m", "other", "m", "m"] {
        accepted(&mut outgoing, sized(kind, policy, 40));
    }
    let left = |bytes| Room { messages: 10, bytes };
    for (bytes, room) in [(200, left(40)), (161, left(40)), (1000, left(0))] {
        assert!(outgoing.accept(sized("m", dropping, bytes), 1, room).is_err());
        assert_eq!(numbers(&outgoing), [1, 2, 3, 4]);
    }
    assert!(outgoing.accept(sized("m", policy, 41), 1, left(40)).is_err(), "it drops nothing");
    assert!(outgoing.accept(sized("new", dropping, 41), 1, left(40)).is_err(), "it drops only its type");
    assert_eq!((numbers(&outgoing), outgoing.take_records()), (vec![1, 2, 3, 4], Vec::new()));
    outgoing.accept(sized("m", dropping, 120), 1, left(40)).unwrap();
    assert_eq!((numbers(&outgoing), outgoing.size().bytes), (vec![2, 4, 5], 200));
    outgoing.accept(sized("m", dropping, 40), 1, Room { messages: 0, bytes: 1000 }).unwrap();
    assert_eq!(numbers(&outgoing), [2, 5, 6]);
}

/// Row G15: a message on its way is dropped only if no other one makes room: the peer may handle
/// it.
#[test]
fn messages_on_their_way_are_dropped_last() {
    let dropping = Policy::of(Delivery::AtLeastOnce).dropping_oldest();
    let mut outgoing = Outgoing::default();
    for number in 1..=2 {
        assert_eq!(accepted(&mut outgoing, sized("m", dropping, 1400)), number);
    }
    let full = Room { messages: 0, bytes: 10_000 };
    outgoing.attach();
    assert!(matches!(next(&mut outgoing), Some(Step::Begin { .. })));
    outgoing.acknowledged(0, 0, &[], Time::default());
    for number in 1..=2 {
        assert!(matches!(next(&mut outgoing), Some(Step::Message { number: own, .. }) if own == number));
    }
    for number in 3..=4 {
        assert_eq!(accepted(&mut outgoing, sized("m", dropping, 1400)), number);
    }
    for left in [[1, 2, 4, 5], [1, 2, 5, 6]] {
        outgoing.accept(sized("m", dropping, 1400), 1, full).unwrap();
        assert_eq!(numbers(&outgoing), left);
    }
    let empty = Room { messages: 1, bytes: 0 };
    outgoing.accept(sized("m", dropping, 3 * 1400), 1, empty).unwrap();
    assert_eq!(numbers(&outgoing), [2, 7]);
    // Without a connection, the oldest is the first one.
    outgoing.detach();
    outgoing.accept(sized("m", dropping, 1400), 1, ROOM).unwrap();
    outgoing.accept(sized("m", dropping, 1400), 1, full).unwrap();
    assert_eq!(numbers(&outgoing), [7, 8, 9]);
}

/// Row G13: whatever happens to the messages, those that have expired are found, except for those
/// on their way. A search visits the messages only if one has expired.
#[test]
fn random_messages_expire_in_time() {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    let policies = [Delivery::AtLeastOnce, Delivery::Latest, Delivery::State].map(Policy::of);
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut outgoing, mut now) = (Outgoing::default(), Time::default());
        for _ in 0..100 {
            match random.random_range(0..8) {
                0..=2 => {
                    let policy = policies[random.random_range(0..3)];
                    let mut message = sized("m", policy, 40);
                    if random.random_bool(0.7) {
                        message.expires = Some(now.after(Duration::from_millis(random.random_range(1..50))));
                    }
                    if let Ok(Accepted { place: (lane, number), .. }) = outgoing.accept(message, 1, ROOM) {
                        outgoing.stored(lane, number);
                    }
                }
                3 => outgoing.attach(),
                4 => outgoing.detach(),
                5 => {
                    while let Some(step) = outgoing.next(now) {
                        if matches!(step, Step::Expire) {
                            assert!(!outgoing.expire(now).is_empty(), "seed {seed}: the pump would never end");
                        }
                    }
                }
                6 => {
                    let last = random.random_range(0..=outgoing.last_seq);
                    let latest = random.random_range(0..=outgoing.last_latest);
                    outgoing.acknowledged(last, latest, &[], now);
                }
                _ => now = now.after(Duration::from_millis(random.random_range(1..20))),
            }
            if random.random_bool(0.3) {
                let before = outgoing.messages();
                let is_due = outgoing.first_expiry.is_some_and(|first| first <= now);
                let expired = outgoing.expire(now).len();
                assert_eq!(outgoing.messages(), before - expired);
                assert!(is_due || expired == 0, "seed {seed}");
                let (seq, latest) = outgoing.sent();
                let waiting = outgoing.seq.range(seq + 1..).chain(outgoing.latest.range(latest + 1..));
                let first = waiting.filter_map(|(_, message)| message.expires).min();
                assert!(first.is_none_or(|first| first > now), "seed {seed}: a message has expired");
                assert!(outgoing.first_expiry.is_none_or(|first| first > now), "seed {seed}: each search visits all");
            }
        }
    }
}
