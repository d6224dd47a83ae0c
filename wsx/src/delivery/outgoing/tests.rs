use super::*;
use crate::{envelope::kept::KeptMessage, policy::Policy};
use bytes::Bytes;

const ROOM: Room = Room { messages: 10, bytes: 1000 };

fn message() -> Message {
    let policy = Policy::of(Delivery::AtLeastOnce);
    let text = Bytes::from_static(b"{\"type\":\"m\",\"data\":1}");
    Message::new(KeptMessage::new("m".into(), policy, None, text).unwrap(), Time::default(), None)
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
