//! What a send or a request waits for if another node has the box. It does not know nodes.
use crate::{
    connection::asking::raw::Unanswered,
    wire::{data_message::DataMessage, write::Draft},
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

/// Sends a request to another node, within its timeout. The future returns the text of the reply.
/// If it is dropped, the request is cancelled.
pub(crate) struct Call(Box<dyn FnOnce(Draft, Duration) -> BoxFuture<'static, Answer> + Send + Sync>);

/// The reply of a request on another node, or why there is none.
type Answer = Result<DataMessage, Unanswered>;

impl Call {
    pub(crate) fn new(
        call: impl FnOnce(Draft, Duration) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(call))
    }

    pub(super) fn begin(self, request: Draft, timeout: Duration) -> Remote<Answer> {
        Remote::new((self.0)(request, timeout))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

/// A future that works on another node.
///
/// The mutex is never locked. It makes this `Sync`, as a send and a request are without the
/// feature.
pub(crate) struct Remote<T>(Mutex<BoxFuture<'static, T>>);

impl<T> Remote<T> {
    pub(crate) fn new(future: BoxFuture<'static, T>) -> Self {
        Self(Mutex::new(future))
    }
}

impl<T> Future for Remote<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Remote<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        closed::{Closed, ClosedBy},
        connection::{Asking, request_error::RequestError},
        envelope::{Envelope, frame::Encode as _},
        error::SendError,
        message::{Derived, Message},
        wire::close_code::CloseCode,
    };
    use futures_util::{FutureExt, future};
    use std::sync::Arc;
    use tokio::time::Instant;

    /// The reply that these tests expect.
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Done(u32);

    impl Derived for Done {}
    impl Message for Done {
        const TYPE: &'static str = "done";
        const FINGERPRINT: u64 = 0;
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns a request on another node, which does this.
    fn request(
        call: impl FnOnce(Draft, Duration) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Asking<'static, Done> {
        Asking::remote(SECOND, |keys| Envelope::with_type("what", 1).draft(keys), Call::new(call))
    }

    fn text(reply: &str) -> Answer {
        Ok(DataMessage::Text(reply.to_owned()))
    }

    /// Row J2: a reply of another node is read as one of this node.
    #[tokio::test]
    async fn the_answer_of_another_node_is_that_of_the_request() {
        for (answer, expected) in [
            (text(r#"{"type":"done","re":7,"data":5}"#), "Ok(Done(5))"),
            (text(r#"{"type":"what","re":7,"err":{"code":"not_handled","message":"no"}}"#), "Err(NotHandled(\"no\"))"),
            (Err(Unanswered::NoSuchConnection("box-7".into())), "Err(NoSuchConnection(\"box-7\"))"),
            (Err(Unanswered::NotSent(SendError::Full)), "Err(NotSent(Full))"),
            (Err(Unanswered::TimedOut), "Err(TimedOut)"),
        ] {
            let asked = request(|_, _| Box::pin(future::ready(answer))).await;
            assert_eq!(format!("{asked:?}"), expected);
        }
        let closed = Closed::new(CloseCode::GOING_AWAY, "bye", ClosedBy::Peer);
        let ended = Err(Unanswered::Ended(closed.clone()));
        let asked = request(|_, _| Box::pin(future::ready(ended))).await;
        assert!(matches!(asked, Err(RequestError::Ended(end)) if end == closed));
    }

    #[tokio::test]
    async fn the_other_node_gets_the_request_and_its_timeout_at_the_first_poll() {
        let (timeout, seen) = (Duration::from_micros(2_500), Arc::new(Mutex::new(Vec::new())));
        for set in [None, Some(timeout)] {
            let noted = seen.clone();
            let asking = request(move |draft, timeout| {
                let payload = String::from_utf8(draft.payload().to_vec()).unwrap();
                noted.lock().unwrap().push((draft.message_type(), payload, timeout));
                Box::pin(future::pending())
            });
            let mut asking = Box::pin(match set {
                Some(timeout) => asking.timeout(timeout),
                None => asking,
            });
            assert!(seen.lock().unwrap().is_empty());
            assert!((&mut asking).now_or_never().is_none() && (&mut asking).now_or_never().is_none());
            let calls = std::mem::take(&mut *seen.lock().unwrap());
            let [(message_type, payload, given)] = &*calls else { panic!("{calls:?}: not one call") };
            let ttl = if set.is_some() { "3" } else { "1000" };
            assert_eq!((*message_type, *given), ("what", set.unwrap_or(SECOND)));
            assert!(payload.contains(&format!(r#","id":0,"ttl":{ttl},"data":1"#)), "{payload}");
        }
    }

    /// Row J3: a node that does not answer does not hold a request for longer than its deadline.
    #[tokio::test(start_paused = true)]
    async fn a_request_on_another_node_ends_at_its_deadline() {
        let (start, dropped) = (Instant::now(), Arc::new(()));
        let held = dropped.clone();
        let asked = request(move |_, _| {
            Box::pin(async move {
                let _held = held;
                future::pending().await
            })
        });
        let asked = tokio::time::timeout(10 * SECOND, asked).await.expect("it has a deadline");
        assert!(matches!(asked, Err(RequestError::TimedOut)));
        assert_eq!((start.elapsed(), Arc::strong_count(&dropped)), (SECOND, 1), "the call has ended too");
    }

    /// Row J2: a request that is dropped drops its call.
    #[tokio::test]
    async fn a_request_that_is_dropped_drops_its_call() {
        let dropped = Arc::new(());
        for is_polled in [false, true] {
            let held = dropped.clone();
            let mut asking = Box::pin(request(move |_, _| {
                Box::pin(async move {
                    let _held = held;
                    future::pending().await
                })
            }));
            if is_polled {
                assert!((&mut asking).now_or_never().is_none());
            }
            assert_eq!(Arc::strong_count(&dropped), 2);
            drop(asking);
            assert_eq!(Arc::strong_count(&dropped), 1);
        }
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_written_is_not_sent_to_another_node() {
        let call = Call::new(|_, _| unreachable!("it has no envelope"));
        let asking: Asking<'_, Done> =
            Asking::remote(SECOND, |keys| Envelope::with_type("what", f64::NAN).draft(keys), call);
        assert!(matches!(asking.await, Err(RequestError::NotSent(SendError::Encode(_)))));
    }

    /// The feature `nats` does not take away what a program may do with these futures.
    #[test]
    fn a_future_that_works_on_another_node_can_be_shared_and_moved() {
        fn check<T: Send + Sync + Unpin>(_: &T) {}
        check(&Remote::new(Box::pin(future::ready(()))));
        fn is_shared<T: Send + Sync>(_: &T) {}
        is_shared(&request(|_, _| Box::pin(future::pending())));
    }
}
