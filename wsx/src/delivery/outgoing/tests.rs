use super::*;
use crate::{
    envelope::kept::KeptMessage,
    policy::{Delivery, Policy},
};
use bytes::Bytes;

const ROOM: Room = Room { messages: 10, bytes: 1000 };

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
    let (lane, number) = outgoing.accept(message, 1, ROOM).unwrap();
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
    let accept = |outgoing: &mut Outgoing| outgoing.accept(message(), 10, ROOM).unwrap().1;
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
