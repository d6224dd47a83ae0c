use super::*;
use crate::{
    envelope::kept::KeptMessage,
    policy::{Delivery, Policy},
};
use bytes::Bytes;
use std::time::Duration;

const ROOM: Room = Room { messages: 10, bytes: 100_000 };

/// What a peer says that does not understand this type.
fn withheld(message_type: &str) -> Option<Arc<Verdict>> {
    Some(Arc::new(Verdict { withheld: vec![message_type.into()], ..Verdict::default() }))
}

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

/// Begins a connection to a peer that does not understand messages of type `new`, and has handled
/// this number of the first lane.
fn attach_old(outgoing: &mut Outgoing, handled: u64) {
    outgoing.attach(withheld("new"));
    assert!(matches!(next(outgoing), Some(Step::Begin { .. })));
    outgoing.acknowledged(handled, 0, &[], Time::default());
}

/// Begins a connection to a peer that understands all.
fn attach_new(outgoing: &mut Outgoing, handled: u64) {
    outgoing.attach(None);
    assert!(matches!(next(outgoing), Some(Step::Begin { .. })));
    outgoing.acknowledged(handled, 0, &[], Time::default());
}

/// Holds what is not understood, as the engine does with a store that has it at once.
fn hold(outgoing: &mut Outgoing) -> usize {
    assert!(matches!(next(outgoing), Some(Step::Hold)));
    let types = outgoing.hold();
    for record in outgoing.take_records() {
        let Record::Put(lane, number) = record else { panic!("{record:?}") };
        outgoing.stored(lane, number);
    }
    types.len()
}

/// Sends all that may be sent, and returns the numbers.
fn sent(outgoing: &mut Outgoing) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(step) = next(outgoing) {
        match step {
            Step::Message { number, .. } => numbers.push(number),
            Step::Skip { why: Why::Void, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    numbers
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
    outgoing.attach(None);
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
    outgoing.attach(None);
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

/// Row G30: nothing passes a message that the peer does not understand before the store has it as
/// held. After a crash, it would else count as handled.
#[test]
fn a_held_message_is_passed_when_the_store_has_it() {
    let policy = Policy::of(Delivery::AtLeastOnce);
    let mut outgoing = Outgoing::default();
    for kind in ["m", "new", "m", "new"] {
        accepted(&mut outgoing, sized(kind, policy, 40));
    }
    // The store may still not take this one, so it is not held yet.
    let late = outgoing.accept(sized("new", policy, 40), 1, ROOM).unwrap().place;
    attach_old(&mut outgoing, 0);
    assert!(matches!(next(&mut outgoing), Some(Step::Message { number: 1, .. })));
    assert!(matches!(next(&mut outgoing), Some(Step::Hold)));
    assert_eq!(outgoing.hold().len(), 2, "all that the store has");
    assert_eq!(outgoing.take_records(), [Record::Put(Lane::Seq, 2), Record::Put(Lane::Seq, 4)]);
    assert!(next(&mut outgoing).is_none());
    outgoing.stored(Lane::Seq, 2);
    assert!(matches!(next(&mut outgoing), Some(Step::Skip { from: 2, to: 2, why: Why::Void })));
    assert!(matches!(next(&mut outgoing), Some(Step::Message { number: 3, .. })));
    assert!(next(&mut outgoing).is_none());
    outgoing.acknowledged(3, 0, &[], Time::default());
    outgoing.stored(Lane::Seq, 4);
    outgoing.take_records();
    outgoing.stored(late.0, late.1);
    assert!(matches!(next(&mut outgoing), Some(Step::Skip { from: 4, to: 4, why: Why::Void })));
    assert_eq!(hold(&mut outgoing), 1);
    assert_eq!((numbers(&outgoing), outgoing.size().bytes), (vec![2, 4, 5], 120));
    assert!(outgoing.waiting().all(|(_, message)| message.is_held));
}

/// Row G30: a peer that understands them gets held messages with new numbers, which the store has
/// first. Those of the same type that came meanwhile stay behind them.
#[test]
fn held_messages_get_new_numbers_in_their_order() {
    let policy = Policy::of(Delivery::AtLeastOnce);
    let mut outgoing = Outgoing::default();
    for kind in ["new", "new", "m"] {
        accepted(&mut outgoing, sized(kind, policy, 40));
    }
    attach_old(&mut outgoing, 0);
    assert_eq!(hold(&mut outgoing), 2);
    assert_eq!(sent(&mut outgoing), [3]);
    outgoing.detach();
    for kind in ["m", "new", "m"] {
        accepted(&mut outgoing, sized(kind, policy, 40));
    }
    attach_new(&mut outgoing, 3);
    let moved = [(1, 7), (2, 8), (5, 9), (6, 10)];
    let records: Vec<_> = outgoing.take_records();
    let expected = moved.map(|(from, to)| [Record::Delete(Lane::Seq, from), Record::Put(Lane::Seq, to)]);
    assert_eq!(records[1..], *expected.as_flattened());
    assert_eq!(sent(&mut outgoing), [4]);
    moved.iter().for_each(|(_, to)| outgoing.stored(Lane::Seq, *to));
    assert_eq!(sent(&mut outgoing), [7, 8, 9, 10]);
}

/// Row G30: held messages count for the bounds, are the oldest of their type, and are replaced by
/// newer values.
#[test]
fn held_messages_make_room_first() {
    let mut outgoing = Outgoing::default();
    let dropping = Policy::of(Delivery::AtLeastOnce).dropping_oldest();
    let state = Policy::of(Delivery::State);
    accepted(&mut outgoing, sized("new", dropping, 40));
    accepted(&mut outgoing, sized("new", state, 50));
    attach_old(&mut outgoing, 0);
    assert_eq!(hold(&mut outgoing), 2);
    assert_eq!((outgoing.size().messages, outgoing.size().bytes), (2, 90));
    accepted(&mut outgoing, sized("new", dropping, 40));
    let full = Room { messages: 0, bytes: 0 };
    let Accepted { place, dropped } = outgoing.accept(sized("new", dropping, 40), 1, full).unwrap();
    assert_eq!((place, &*dropped), ((Lane::Seq, 4), &[Box::from("new")][..]), "3 is skipped instead of 1");
    assert!(outgoing.accept(sized("new", state, 51), 1, full).is_err());
    let (lane, number) = outgoing.accept(sized("new", state, 50), 1, full).unwrap().place;
    outgoing.stored(lane, number);
    assert_eq!(numbers(&outgoing), [2, 2, 4], "the newer state, and what is not held yet");
    assert_eq!(outgoing.state("new").unwrap().0.kept.text.len(), 50);
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
            match random.random_range(0..9) {
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
                3 if random.random_bool(0.5) => outgoing.attach(withheld("m")),
                3 => outgoing.attach(None),
                4 => outgoing.detach(),
                5 => {
                    while let Some(step) = outgoing.next(now) {
                        if matches!(step, Step::Expire) {
                            assert!(!outgoing.expire(now, 1).is_empty(), "seed {seed}: the pump would never end");
                        } else if matches!(step, Step::Hold) {
                            assert!(!outgoing.hold().is_empty(), "seed {seed}: the pump would never end");
                        }
                    }
                }
                6 => {
                    let last = random.random_range(0..=outgoing.last_seq);
                    let latest = random.random_range(0..=outgoing.last_latest);
                    outgoing.acknowledged(last, latest, &[], now);
                }
                7 => {
                    for record in outgoing.take_records() {
                        if let Record::Put(lane, number) = record {
                            outgoing.stored(lane, number);
                        }
                    }
                }
                _ => now = now.after(Duration::from_millis(random.random_range(1..20))),
            }
            if random.random_bool(0.3) {
                let before = outgoing.messages();
                let is_due = outgoing.first_expiry.is_some_and(|first| first <= now);
                let expired = outgoing.expire(now, 1).len();
                assert_eq!(outgoing.messages(), before - expired);
                assert!(is_due || expired == 0, "seed {seed}");
                let (seq, latest) = outgoing.sent();
                let waiting = outgoing.seq.range(seq + 1..).chain(outgoing.latest.range(latest + 1..));
                let waiting = waiting.map(|(_, message)| message).chain(outgoing.held.values());
                let first = waiting.filter_map(|message| message.expires).min();
                assert!(first.is_none_or(|first| first > now), "seed {seed}: a message has expired");
                assert!(outgoing.first_expiry.is_none_or(|first| first > now), "seed {seed}: each search visits all");
            }
        }
    }
}
