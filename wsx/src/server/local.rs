//! The boxes of this hub, for the messages that other nodes pass on. It does not know the other
//! nodes, or how the messages come.
mod types;

use crate::{
    cluster::{
        local::{Forwarded, Local},
        packet::{Kind, Verdict},
    },
    connection::{Sending, asking::raw::RawAsking, handle::Handle},
    envelope::passed_on::PassedOn,
    error::SendError,
    protocol::endpoint::Endpoint,
    server::{
        broadcast::broadcast,
        hub::{Hub, inner::WeakHub},
        local::types::constant,
    },
};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use serde::ser::Error as _;
use std::time::Duration;

/// A hub, as the other nodes use it. The hub ends when the program has dropped it.
///
/// The calls are made in a tokio runtime with timers.
pub(crate) struct LocalBoxes<E>(WeakHub<E>);

impl<E: Endpoint> LocalBoxes<E> {
    pub(crate) fn of(hub: &Hub<E>) -> Self {
        Self(hub.downgrade())
    }

    /// Returns the connection with this id, unless it ends while another node has the id.
    fn get(&self, id: &str) -> Option<Handle> {
        let hub = self.0.upgrade()?;
        hub.registry().get(id).filter(|conn| !hub.has_moved(id, conn))
    }

    /// Returns the box for a message, if it understands the message.
    fn get_for(&self, id: &str, Kind { message_type, .. }: &Kind) -> Result<Handle, Verdict> {
        let conn = self.get(id).ok_or(Verdict::NotHere)?;
        // The type of the frame may be empty.
        if conn.peer_reads(message_type) { Ok(conn) } else { Err(Verdict::of_error(&conn.withhold(message_type))) }
    }
}

impl<E: Endpoint> Local for LocalBoxes<E> {
    /// If the queue has no room for this time, the verdict is [`Verdict::Expired`]: the node that
    /// asks knows whether the time is the `ttl` of the type.
    fn send(&self, id: &str, message: Forwarded, ttl: Duration) -> BoxFuture<'static, Verdict> {
        let conn = match self.get_for(id, &message.kind) {
            Ok(conn) => conn,
            Err(verdict) => return ready(verdict).boxed(),
        };
        let Some(envelope) = passed_on(&message) else { return ready(Verdict::Invalid).boxed() };
        let sending = Sending::on_owned(Ok(conn), Ok(envelope.frame())).within(Some(ttl));
        polled_once(sending.map(Verdict::of_send).boxed())
    }

    fn ask(&self, id: &str, message: Forwarded, timeout: Duration) -> BoxFuture<'static, (Verdict, Bytes)> {
        let conn = match self.get_for(id, &message.kind) {
            Ok(conn) => conn,
            Err(verdict) => return ready((verdict, Bytes::new())).boxed(),
        };
        let asking = RawAsking::on_owned(Ok(conn), Some(timeout), |keys| {
            let request = passed_on(&message).and_then(|envelope| envelope.request(keys));
            request.ok_or_else(|| SendError::Encode(serde_json::Error::custom("not a request of wsx")))
        });
        polled_once(asking.map(Verdict::of_reply).boxed())
    }

    fn close(&self, id: &str, code: u16, reason: &str) -> Verdict {
        let Some(conn) = self.get(id) else { return Verdict::NotHere };
        conn.close(code.into(), reason.to_owned());
        Verdict::Done
    }

    fn broadcast(&self, message: Forwarded, label: Option<String>) -> BoxFuture<'static, ()> {
        let Some(hub) = self.0.upgrade() else { return ready(()).boxed() };
        polled_once(Box::pin(async move {
            let Some(envelope) = passed_on(&message) else { return };
            broadcast(&hub, envelope.frame(), &message.kind.message_type, label.as_deref()).await;
        }))
    }
}

/// Returns the envelope of a message, if it is text.
fn passed_on(Forwarded { kind, envelope }: &Forwarded) -> Option<PassedOn<'_>> {
    PassedOn::new(envelope, constant(&kind.message_type), kind.may_shrink)
}

/// Polls a future now, so that the messages of one sender are queued in the order of their calls.
fn polled_once<T: Send + 'static>(mut future: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    match (&mut future).now_or_never() {
        Some(done) => ready(done).boxed(),
        None => future,
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::{Closed, ClosedBy},
        cluster::packet::{By, End},
        config::Config,
        connection::{
            Compression,
            handle::PeerProtocol,
            queue::Taken,
            requests::Writes,
            watch::{Watch, WatchWithheld},
        },
        envelope::Envelope,
        protocol::{PeerVersion, verdict},
        wire::{close_code::CloseCode, data_message::DataMessage},
    };
    use std::sync::{Arc, Mutex};
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    /// What the observer has learned.
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Seen {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl Watch for Seen {
        fn sent(&self, conn: &Handle, message_type: &'static str, bytes: usize) {
            self.0.lock().unwrap().push(format!("{} {message_type} {bytes}", conn.id()));
        }

        fn queue_changed(&self, _: &Handle, _: usize, _: usize) {}
        fn compressed(&self, _: &Handle, _: &Compression) {}
    }

    impl WatchWithheld for Seen {
        fn withheld(&self, conn: &Handle, message_type: &str, peer: &PeerVersion) {
            self.0.lock().unwrap().push(format!("{} withheld {message_type} {peer}", conn.id()));
        }
    }

    fn hub(config: Config) -> (Hub, LocalBoxes<impl Endpoint>) {
        let hub = Hub::builder().config(config).without_handlers().build().unwrap();
        let boxes = LocalBoxes::of(&hub);
        (hub, boxes)
    }

    /// Opens a box with this label. Its task does not run.
    fn open(hub: &Hub, id: &str, label: &str) -> (Handle, Arc<Seen>) {
        let Ok(conn) = hub.open(id.into(), vec![label.into()], None, None, |_, _| Ok::<_, ()>(())) else {
            panic!("the hub has room")
        };
        hub.start(&conn);
        let seen = Arc::new(Seen::default());
        conn.set_watch(seen.clone());
        (conn, seen)
    }

    /// A box in a hub whose queues have room for this many messages.
    fn one_box(messages: usize) -> (Hub, LocalBoxes<impl Endpoint>, Handle, Arc<Seen>) {
        let (hub, boxes) = hub(Config::default().queue_messages(messages));
        let (conn, seen) = open(&hub, "box-7", "site-1");
        (hub, boxes, conn, seen)
    }

    /// Makes this the version of a box, which does not understand this type.
    fn set_outdated(conn: &Handle, seen: &Arc<Seen>, withheld: &str) {
        let verdict = verdict::Verdict { withheld: vec![withheld.into()], ..verdict::Verdict::default() };
        let version = PeerVersion::new("fleet", 1, 7);
        conn.set_peer_protocol(Arc::new(PeerProtocol { version, verdict: Some(verdict.into()), watch: seen.clone() }));
    }

    fn forwarded(message_type: &str, envelope: &str) -> Forwarded {
        let kind = Kind { message_type: message_type.to_owned(), may_shrink: true };
        Forwarded { kind, envelope: Bytes::copy_from_slice(envelope.as_bytes()) }
    }

    fn message(data: &str) -> Forwarded {
        forwarded("what", &format!(r#"{{"ver":1,"type":"what","ts":5,"data":"{data}"}}"#))
    }

    fn request() -> Forwarded {
        forwarded("what", r#"{"ver":1,"type":"what","ts":5,"id":0,"ttl":1,"data":1}"#)
    }

    /// Takes the queued frames, and returns their texts.
    fn texts(conn: &Handle) -> Vec<String> {
        let (mut all, mut texts) = (Vec::new(), Vec::new());
        loop {
            match conn.queue().take() {
                Taken::Nothing => break,
                Taken::One(frame) => all.extend(&frame),
                Taken::Many(batch) => all.extend(batch),
                Taken::Flush(_) => unreachable!("no test here flushes"),
            }
        }
        let mut rest = &*all;
        while let [first, length, after @ ..] = rest {
            assert_eq!(*first, 0x81, "one text frame of a server, not marked");
            let length = usize::from(*length);
            assert!(length < 126, "the messages here are short");
            texts.push(String::from_utf8(after[..length].to_vec()).unwrap());
            rest = &after[length..];
        }
        texts
    }

    /// Returns the data of the queued messages.
    fn data(conn: &Handle) -> Vec<String> {
        let texts = texts(conn).into_iter();
        texts.map(|text| Envelope::<String>::parse(&text).unwrap().data).collect()
    }

    /// Row J2: the other nodes are answered in order, although their answers are awaited in any
    /// order.
    #[tokio::test]
    async fn messages_are_queued_in_the_order_of_their_calls() {
        let (_hub, boxes, conn, seen) = one_box(2);
        let sends = ["one", "two", "three", "four"].map(|data| boxes.send("box-7", message(data), SECOND));
        assert_eq!(seen.take(), ["box-7 what 43"; 2], "two are queued before any is awaited");
        for send in sends.into_iter().rev() {
            let waiting = tokio::spawn(send);
            tokio::task::yield_now().await;
            if !waiting.is_finished() {
                assert_eq!(data(&conn), ["one", "two", "three", "four"]);
            }
            assert_eq!(waiting.await.unwrap(), Verdict::Done);
        }
        assert_eq!(seen.take().len(), 2);
    }

    /// Row J2: a message waits for room for its time.
    #[tokio::test(start_paused = true)]
    async fn a_message_waits_for_room_for_its_time() {
        let (_hub, boxes, conn, seen) = one_box(1);
        assert_eq!(boxes.send("box-7", message("first"), SECOND).await, Verdict::Done);
        let start = Instant::now();
        let second = tokio::time::timeout(10 * SECOND, boxes.send("box-7", message("second"), SECOND));
        assert_eq!(second.await, Ok(Verdict::Expired));
        assert_eq!(start.elapsed(), SECOND);
        drop(boxes.send("box-7", message("third"), SECOND));
        assert_eq!((data(&conn), seen.take().len()), (vec!["first".to_owned()], 1));
    }

    /// Row J2: a box that is not here gets nothing.
    #[tokio::test]
    async fn a_box_that_is_not_here_gets_nothing() {
        let (hub, boxes, conn, _) = one_box(1);
        assert_eq!(boxes.send("box-8", message("a"), SECOND).await, Verdict::NotHere);
        assert_eq!(boxes.ask("box-8", request(), SECOND).await, (Verdict::NotHere, Bytes::new()));
        assert_eq!(boxes.close("box-8", 1001, ""), Verdict::NotHere);
        assert!(!conn.is_closed());
        assert_eq!(boxes.close("box-7", 4001, "bye"), Verdict::Done);
        let closing = conn.closing().expect("it was closed");
        assert_eq!((u16::from(closing.code), &*closing.reason), (4001, "bye"));
        assert_eq!(boxes.send("box-7", message("a"), SECOND).await, Verdict::Closed);
        assert_eq!(boxes.ask("box-7", request(), SECOND).await.0, Verdict::Closed);
        drop(hub);
        assert_eq!(boxes.send("box-7", message("a"), SECOND).await, Verdict::NotHere, "the hub has ended");
        boxes.broadcast(message("a"), None).await;
    }

    /// Row J2: a type that is too long for a constant is withheld too.
    #[tokio::test]
    async fn a_box_does_not_get_what_it_does_not_understand() {
        for message_type in ["what", &"x".repeat(300)] {
            let (_hub, boxes, conn, seen) = one_box(8);
            set_outdated(&conn, &seen, message_type);
            let too_old = Verdict::TooOld {
                message_type: message_type.to_owned(),
                protocol: "fleet".into(),
                version: 1,
                fingerprint: 7,
            };
            let of_type = |of: Forwarded| forwarded(message_type, std::str::from_utf8(&of.envelope).unwrap());
            assert_eq!(boxes.send("box-7", of_type(message("a")), SECOND).await, too_old);
            assert_eq!(boxes.ask("box-7", of_type(request()), SECOND).await, (too_old, Bytes::new()));
            assert_eq!(seen.take(), vec![format!("box-7 withheld {message_type} fleet v1"); 2]);
            assert_eq!(boxes.send("box-7", forwarded("other", "{}"), SECOND).await, Verdict::Done);
            assert_eq!((texts(&conn), seen.take()), (vec!["{}".to_owned()], vec!["box-7 other 2".to_owned()]));
        }
    }

    /// Row J2: a request has the id and the time of this node.
    #[tokio::test]
    async fn a_request_has_the_id_and_the_time_of_this_node() {
        let (_hub, boxes, conn, seen) = one_box(8);
        let _first = conn.requests().add(10).unwrap();
        for (reply, id) in
            [(r#"{"type":"done","re":2,"data":5}"#, 2), (r#"{"type":"what","re":3,"err":{"code":"failed"}}"#, 3)]
        {
            let asked = boxes.ask("box-7", request(), Duration::from_micros(1500));
            let expected = format!(r#"{{"ver":1,"type":"what","ts":5,"id":{id},"ttl":2,"data":1}}"#);
            assert_eq!(seen.take(), [format!("box-7 what {}", expected.len())]);
            assert_eq!(texts(&conn), [expected]);
            conn.requests().answer(id, DataMessage::Text(reply.into())).unwrap();
            assert_eq!(asked.await, (Verdict::Replied, Bytes::from_static(reply.as_bytes())));
        }
    }

    /// Row J2: a request without a reply ends.
    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_reply_ends() {
        let (hub, boxes) = hub(Config::default().queue_messages(1).max_requests(2));
        let (conn, _) = open(&hub, "box-7", "site-1");
        let start = Instant::now();
        assert_eq!(boxes.ask("box-7", request(), SECOND).await.0, Verdict::TimedOut);
        assert_eq!(boxes.ask("box-7", request(), SECOND).await.0, Verdict::Full, "its queue has no room");
        assert_eq!(start.elapsed(), 2 * SECOND);
        let taken = || assert!(matches!(conn.queue().take(), Taken::One(_)));
        taken();
        let first = boxes.ask("box-7", request(), SECOND);
        taken();
        let second = boxes.ask("box-7", request(), SECOND);
        assert_eq!(boxes.ask("box-7", request(), SECOND).await.0, Verdict::Full, "too many wait for replies");
        // The task does not take the second one.
        let closed = Closed::new(CloseCode::GOING_AWAY, "bye", ClosedBy::Peer);
        conn.shut();
        conn.end_requests(&closed, Writes::Over);
        let end = End { code: 1001, reason: "bye".into(), by: By::Peer };
        assert_eq!((first.await.0, second.await.0), (Verdict::Ended(end), Verdict::Closed));
    }

    /// Row J2: as a request of this node, a request of another node ends with its future.
    #[tokio::test]
    async fn a_request_that_is_dropped_is_cancelled_at_the_box() {
        let (_hub, boxes, conn, _) = one_box(8);
        let asked = boxes.ask("box-7", request(), SECOND);
        assert_eq!(texts(&conn).len(), 1);
        drop(asked);
        let cancelled = texts(&conn);
        assert!(cancelled.len() == 1 && cancelled[0].contains(r#""id":1,"err":{"code":"cancelled"}"#), "{cancelled:?}");
        assert!(!conn.awaits_reply());
    }

    /// Row J2: another program may publish on the subject of a node.
    #[tokio::test]
    async fn what_is_not_an_envelope_is_not_sent() {
        let (_hub, boxes, conn, seen) = one_box(8);
        let binary = || Forwarded { envelope: Bytes::from_static(b"\xff"), ..message("") };
        assert_eq!(boxes.send("box-7", binary(), SECOND).await, Verdict::Invalid);
        boxes.broadcast(binary(), None).await;
        for request in [binary(), message("without an id")] {
            assert_eq!(boxes.ask("box-7", request, SECOND).await, (Verdict::Invalid, Bytes::new()));
        }
        assert!(texts(&conn).is_empty() && seen.take().is_empty() && !conn.awaits_reply());
    }

    /// Row J6: a broadcast goes to the boxes of this node.
    #[tokio::test]
    async fn a_broadcast_goes_to_the_boxes_of_this_node() {
        let (hub, boxes, conn, _) = one_box(8);
        let (other, _) = open(&hub, "box-8", "site-2");
        let all = boxes.broadcast(message("all"), None);
        let some = boxes.broadcast(message("some"), Some("site-2".into()));
        boxes.broadcast(message("nobody"), Some("site-3".into())).await;
        assert_eq!(data(&conn), ["all"], "it does not wait for a poll");
        assert_eq!(data(&other), ["all", "some"]);
        all.await;
        some.await;
    }

    /// Row J6: a full box does not hold up the boxes of another node.
    #[tokio::test(start_paused = true)]
    async fn a_broadcast_does_not_wait_for_a_full_box() {
        let (hub, boxes, conn, _) = one_box(1);
        boxes.send("box-7", message("before"), SECOND).await;
        let (other, _) = open(&hub, "box-8", "site-1");
        let broadcast = boxes.broadcast(message("all"), None);
        assert_eq!(data(&other), ["all"]);
        tokio::time::timeout(SECOND, broadcast).await.expect("it waits for a part of a second");
        assert_eq!(data(&conn), ["before", "all"], "the reserve takes it");
    }

    /// Row J6: a type that is too long for a constant is withheld too.
    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn a_broadcast_leaves_out_a_box_that_does_not_understand_it() {
        // A hub that compresses looks at each box.
        let (hub, boxes) = hub(Config::default().deflate(crate::config::Deflate { min_size: 1, ..Default::default() }));
        let (old, seen) = open(&hub, "box-7", "");
        let (new, _) = open(&hub, "box-8", "");
        let long = "x".repeat(300);
        set_outdated(&old, &seen, &long);
        boxes.broadcast(forwarded(&long, "{}"), None).await;
        assert_eq!((texts(&old), texts(&new)), (vec![], vec!["{}".to_owned()]));
        assert_eq!(seen.take(), [format!("box-7 withheld {long} fleet v1")]);
    }

    /// Row J2: a message is compressed as one of this node.
    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn a_message_is_compressed_as_one_of_this_node() {
        use crate::wire::{
            deflate::{Agreed, Stream},
            header::MARK,
        };
        let (_hub, boxes, conn, _) = one_box(8);
        let stream = Stream { window_bits: 15, keeps_context: true, level: 6 };
        conn.set_compression(Some(Agreed { own: Some(stream), peer: stream, min_size: 0 }));
        for (may_shrink, mark) in [(true, MARK), (false, 0)] {
            for is_request in [false, true] {
                let mut passed = if is_request { request() } else { message("a") };
                passed.kind.may_shrink = may_shrink;
                if is_request {
                    drop(boxes.ask("box-7", passed, SECOND));
                } else {
                    assert_eq!(boxes.send("box-7", passed, SECOND).await, Verdict::Done);
                }
                let first = match conn.queue().take() {
                    Taken::One(frame) => frame[0],
                    // The request, and its cancellation.
                    Taken::Many(batch) => batch[0],
                    other => panic!("{other:?}: not a message"),
                };
                assert_eq!(first & MARK, mark, "{may_shrink} {is_request}");
            }
        }
    }
}
