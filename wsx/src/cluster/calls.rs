//! What this node does for others and has not finished: sends that wait for room, and requests that
//! wait for their replies. Both are bounded. It does not know what they do.
use crate::cluster::{
    bus::{Answerer, NodeId},
    packet::{self, Verdict},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use std::collections::HashMap;

/// Maximum number of sends and requests of other nodes that wait here. One more is answered with
/// [`Verdict::Full`]. As many as four hubs may have outstanding at one box each by default.
pub(super) const MAX_CALLS: usize = 4096;
/// Maximum number of bytes of their messages. Too low: a burst of long messages for slow boxes is
/// rejected. Too high: it fills the memory.
const MAX_BYTES: usize = 64 << 20;

/// The calls of other nodes.
#[derive(Default)]
pub(super) struct Calls {
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// What ends a request early, by the node that asked and its number there.
    requests: HashMap<(NodeId, u64), AbortHandle>,
    bytes: usize,
}

/// A call that is done, or was cancelled.
struct Finished {
    /// The answer, with what takes it.
    answer: Option<(Answerer, Bytes)>,
    request: Option<(NodeId, u64)>,
    bytes: usize,
}

impl Calls {
    /// Runs a call. `bytes` is the length of its message. `request` names it, so that it can be
    /// cancelled. An answer has at most `longest` bytes.
    pub(super) fn run(
        &mut self,
        answerer: Answerer,
        bytes: usize,
        request: Option<(NodeId, u64)>,
        longest: usize,
        call: impl FnOnce() -> BoxFuture<'static, (Verdict, Bytes)>,
    ) {
        if self.running.len() >= MAX_CALLS || self.bytes + bytes > MAX_BYTES {
            return answerer.answer(packet::encode(&Verdict::Full, &[]));
        }
        let mut call = call();
        // Most sends are done at once.
        if let Some((verdict, reply)) = (&mut call).now_or_never() {
            return answerer.answer(encode(&verdict, &reply, longest));
        }
        self.bytes += bytes;
        let call = match request {
            None => call.map(Some).boxed(),
            Some(request) => {
                let (handle, registration) = AbortHandle::new_pair();
                self.requests.insert(request, handle);
                Abortable::new(call, registration).map(Result::ok).boxed()
            }
        };
        let finish = move |done: Option<(Verdict, Bytes)>| Finished {
            answer: done.map(|(verdict, reply)| (answerer, encode(&verdict, &reply, longest))),
            request,
            bytes,
        };
        self.running.push(call.map(finish).boxed());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.running.len() + self.requests.len() + self.bytes
    }

    /// Cancels a request, because nobody waits for its reply.
    pub(super) fn cancel(&mut self, request: (NodeId, u64)) {
        if let Some(handle) = self.requests.remove(&request) {
            handle.abort();
        }
    }

    /// Waits until a call is done, and answers it. Never returns while there is none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        let Some(Finished { answer, request, bytes }) = self.running.next().await else {
            return std::future::pending().await;
        };
        self.bytes -= bytes;
        if let Some(request) = request {
            self.requests.remove(&request);
        }
        if let Some((answerer, bytes)) = answer {
            answerer.answer(bytes);
        }
    }
}

/// Returns an answer. A reply that does not fit into a packet is a failure, so that nobody waits
/// for it in vain.
fn encode(verdict: &Verdict, reply: &Bytes, longest: usize) -> Bytes {
    let answer = packet::encode(verdict, reply);
    if answer.len() <= longest {
        return answer;
    }
    let bytes = reply.len();
    let message = format!("the reply has {bytes} bytes, and NATS takes {longest} in a packet: raise its `max_payload`");
    let failure = serde_json::json!({"type": "", "re": 0, "err": {"code": "failed", "message": message}});
    packet::encode(&Verdict::Replied, failure.to_string().as_bytes())
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use std::{future, sync::mpsc, time::Duration};
    use tokio::{sync::oneshot, time::timeout};

    const ONE: NodeId = NodeId(1);

    type Answers = mpsc::Receiver<Verdict>;

    /// What takes one answer, and where it is then.
    fn answerer() -> (Answerer, Answers) {
        let (sender, answers) = mpsc::channel();
        let answer = move |bytes| {
            // Some tests do not wait for it.
            let _ = sender.send(packet::decode(&bytes).unwrap().0);
        };
        (Answerer(Box::new(answer)), answers)
    }

    /// Runs a call that ends when the sender does.
    fn run(calls: &mut Calls, bytes: usize, request: Option<(NodeId, u64)>) -> (oneshot::Sender<()>, Answers) {
        let ((answerer, answers), (sender, ends)) = (answerer(), oneshot::channel());
        calls.run(answerer, bytes, request, usize::MAX, || ends.map(|_| (Verdict::Done, Bytes::new())).boxed());
        (sender, answers)
    }

    async fn ends(calls: &mut Calls) -> bool {
        timeout(Duration::from_secs(1), calls.next()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_answered_when_it_is_done_and_leaves_nothing() {
        let mut calls = Calls::default();
        let (at_once, answers) = answerer();
        calls.run(at_once, 7, Some((ONE, 1)), usize::MAX, || future::ready((Verdict::NotHere, Bytes::new())).boxed());
        assert_eq!((answers.try_recv(), calls.len()), (Ok(Verdict::NotHere), 0));
        let (first, of_first) = run(&mut calls, 7, Some((ONE, 1)));
        let (second, of_second) = run(&mut calls, 7, None);
        assert!(!ends(&mut calls).await && of_first.try_recv().is_err());
        drop((first, second));
        assert!(ends(&mut calls).await && ends(&mut calls).await && !ends(&mut calls).await);
        assert_eq!((of_first.try_recv(), of_second.try_recv()), (Ok(Verdict::Done), Ok(Verdict::Done)));
        assert_eq!(calls.len(), 0);
    }

    /// Row J11: nobody waits for a reply that NATS would not carry.
    #[tokio::test(start_paused = true)]
    async fn a_reply_that_does_not_fit_is_a_failure() {
        let answered = |longest, waits: bool| {
            let (sender, answers) = mpsc::channel();
            let answerer = Answerer(Box::new(move |bytes| sender.send(bytes).unwrap()));
            let (mut calls, reply) = (Calls::default(), (Verdict::Replied, Bytes::from("x".repeat(1000))));
            async move {
                let call = async move {
                    if waits {
                        tokio::task::yield_now().await;
                    }
                    reply
                };
                calls.run(answerer, 7, Some((ONE, 1)), longest, || call.boxed());
                let _ = ends(&mut calls).await;
                packet::decode::<Verdict>(&answers.try_recv().unwrap()).unwrap()
            }
        };
        for waits in [false, true] {
            assert_eq!(answered(1100, waits).await.1.len(), 1000);
            let (verdict, failure) = answered(1000, waits).await;
            let text = String::from_utf8(failure.to_vec()).unwrap();
            assert!(
                verdict == Verdict::Replied && text.contains("the reply has 1000 bytes, and NATS takes 1000"),
                "{text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_cancelled_ends_without_an_answer() {
        let mut calls = Calls::default();
        let (call, answers) = run(&mut calls, 7, Some((ONE, 1)));
        calls.cancel((ONE, 2));
        calls.cancel((NodeId(2), 1));
        assert!(!ends(&mut calls).await && !call.is_closed());
        calls.cancel((ONE, 1));
        assert!(ends(&mut calls).await && call.is_closed());
        assert_eq!((answers.try_recv(), calls.len()), (Err(mpsc::TryRecvError::Disconnected), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_bounded_in_number_and_in_bytes() {
        let mut calls = Calls::default();
        let mut held: Vec<_> = (0..MAX_CALLS).map(|_| run(&mut calls, 1, None)).collect();
        assert_eq!(run(&mut calls, 1, None).1.try_recv(), Ok(Verdict::Full));
        held.pop();
        assert!(ends(&mut calls).await);
        let (_call, answers) = run(&mut calls, 1, None);
        assert!(answers.try_recv().is_err(), "there is room again");
        let mut calls = Calls::default();
        let _first = run(&mut calls, MAX_BYTES - 1, None);
        let _second = run(&mut calls, 1, None);
        assert_eq!(run(&mut calls, 1, None).1.try_recv(), Ok(Verdict::Full));
    }
}
