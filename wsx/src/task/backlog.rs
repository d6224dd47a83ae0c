//! The messages that wait for the running handler, in order and bounded.
//!
//! It knows messages and their sizes. It does not know the socket or the handlers.
use crate::{config::Config, wire::data_message::DataMessage};
use std::collections::VecDeque;
use tokio::time::Instant;

/// Messages that were received while an earlier one was handled. It has no memory while it is
/// empty.
#[derive(Debug, Default)]
pub(super) struct Backlog(Option<Box<Waiting>>);

/// Two lists, so that a request can be taken before earlier messages. Each entry has its number in
/// the order of arrival.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(u64, DataMessage)>,
    requests: VecDeque<(u64, Request)>,
    arrived: u64,
    bytes: usize,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: DataMessage,
    /// The JSON of its id, for a cancellation.
    pub(super) id: Box<str>,
    /// When the peer does not wait for the reply any more.
    pub(super) deadline: Option<Instant>,
}

/// A message whose turn has come.
#[derive(Debug)]
pub(super) enum Next {
    Message(DataMessage),
    Request(Request),
}

/// How many bytes a message counts beyond its length while a handler asks: its own memory is a
/// small part of a short message.
const OVERHEAD: usize = 64;

impl Backlog {
    pub(super) fn push(&mut self, mut message: DataMessage) {
        message.shrink();
        let (waiting, at) = self.arrive(message.len());
        waiting.messages.push_back((at, message));
    }

    pub(super) fn push_request(&mut self, mut request: Request) {
        request.message.shrink();
        let (waiting, at) = self.arrive(request.message.len());
        waiting.requests.push_back((at, request));
    }

    /// Counts a message. Returns its number.
    fn arrive(&mut self, length: usize) -> (&mut Waiting, u64) {
        let waiting = self.0.get_or_insert_default();
        waiting.bytes += length;
        waiting.arrived += 1;
        let at = waiting.arrived;
        (waiting, at)
    }

    /// Takes the oldest message.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Next> {
        if self.0.is_some() { self.pop_waiting() } else { None }
    }

    #[inline(never)]
    fn pop_waiting(&mut self) -> Option<Next> {
        let Waiting { messages, requests, .. } = &mut **self.0.as_mut()?;
        let message_is_first = match (messages.front(), requests.front()) {
            (Some((message, _)), Some((request, _))) => message < request,
            (message, _) => message.is_some(),
        };
        if !message_is_first {
            return self.pop_request().map(Next::Request);
        }
        let (_, message) = messages.pop_front()?;
        self.leave(message.len());
        Some(Next::Message(message))
    }

    /// Returns the oldest request.
    pub(super) fn first_request(&self) -> Option<&Request> {
        self.0.as_ref()?.requests.front().map(|(_, request)| request)
    }

    /// Takes the oldest request.
    pub(super) fn pop_request(&mut self) -> Option<Request> {
        let (_, request) = self.0.as_mut()?.requests.pop_front()?;
        self.leave(request.message.len());
        Some(request)
    }

    /// Removes the request with this id, because the peer does not wait for it any more.
    pub(super) fn cancel(&mut self, id: &str) {
        let Some(waiting) = &mut self.0 else { return };
        let Some(at) = waiting.requests.iter().position(|(_, request)| &*request.id == id) else { return };
        let (_, request) = waiting.requests.remove(at).expect("found above");
        self.leave(request.message.len());
    }

    /// Counts a message that was taken.
    fn leave(&mut self, length: usize) {
        let Some(waiting) = &mut self.0 else { return };
        waiting.bytes -= length;
        if waiting.messages.is_empty() && waiting.requests.is_empty() {
            self.0 = None;
        }
    }

    /// Whether another message has to wait in the socket. A message counts only when it is here, so
    /// the buffer may exceed its bytes by one message.
    ///
    /// Requests have a maximum number of their own. While a handler asks, only bytes count, because
    /// its reply comes after all these messages. `asking` has the bytes of the messages that are
    /// handled beside it; it is `None` if no handler asks.
    pub(super) fn is_full(&self, config: &Config, asking: Option<usize>) -> bool {
        let Some(Waiting { messages, requests, bytes, .. }) = self.0.as_deref() else {
            return config.backlog_messages == 0 && asking.is_none();
        };
        if let Some(beside) = asking {
            let overhead = (messages.len() + requests.len()) * OVERHEAD;
            return bytes + beside + overhead >= config.asking_backlog_bytes.max(config.backlog_bytes);
        }
        messages.len() >= config.backlog_messages || *bytes >= config.backlog_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.messages.len() + waiting.requests.len())
    }

    /// Returns the number of requests that wait.
    pub(super) fn requests(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.requests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> DataMessage {
        DataMessage::Binary(vec![0; length])
    }

    fn taken(next: &Option<Next>) -> Option<usize> {
        next.as_ref().map(|next| match next {
            Next::Message(message) | Next::Request(Request { message, .. }) => message.len(),
        })
    }

    fn request(id: &str, length: usize) -> Request {
        Request { message: message(length), id: id.into(), deadline: None }
    }

    /// Row Q4: a request can be taken before earlier messages, and keeps its place until then.
    #[test]
    fn a_request_can_be_taken_before_earlier_messages() {
        let mut backlog = Backlog::default();
        backlog.push(message(1));
        backlog.push_request(request("7", 2));
        backlog.push(message(3));
        backlog.push_request(request("8", 4));
        backlog.push_request(request("9", 5));
        assert_eq!((backlog.len(), backlog.requests()), (5, 3));
        assert_eq!(backlog.pop_request().map(|first| first.message.len()), Some(2));
        backlog.cancel("7");
        backlog.cancel("9");
        assert_eq!([(); 4].map(|()| taken(&backlog.pop())), [Some(1), Some(3), Some(4), None]);
        assert!(backlog.0.is_none());
    }

    /// Row Q5: while a handler asks, a bound in bytes holds, which counts short messages too.
    #[test]
    fn bytes_bound_what_waits_while_a_handler_asks() {
        let config = Config::default().backlog_messages(1).backlog_bytes(100).asking_backlog_bytes(1000);
        let mut backlog = Backlog::default();
        let fit = std::iter::repeat_with(|| {
            let fits = !backlog.is_full(&config, Some(0));
            backlog.push(message(0));
            fits
        });
        assert_eq!(fit.take_while(|fits| *fits).count(), 1000usize.div_ceil(OVERHEAD));
        assert!(backlog.is_full(&config, None));
        let mut long = Backlog::default();
        long.push_request(request("7", 1000 - OVERHEAD));
        assert!(long.is_full(&config, Some(0)));
        assert_eq!(long.pop_request().map(|request| request.message.len()), Some(1000 - OVERHEAD));
        long.push(message(0));
        assert!(!long.is_full(&config, Some(999 - OVERHEAD)) && long.is_full(&config, Some(1000 - OVERHEAD)));
        assert!(!Backlog::default().is_full(&config.backlog_messages(0), Some(0)));
    }

    /// Row V1: the bounds on messages that wait for a handler.
    #[test]
    fn messages_and_bytes_bound_the_backlog() {
        let config = Config::default().backlog_messages(2).backlog_bytes(100);
        let mut backlog = Backlog::default();
        backlog.push(message(1));
        assert!(!backlog.is_full(&config, None));
        backlog.push(message(1));
        assert!(backlog.is_full(&config, None), "two messages");
        assert_eq!(taken(&backlog.pop()), Some(1));
        backlog.push(message(99));
        assert!(backlog.is_full(&config, None));
        assert_eq!(taken(&backlog.pop()), Some(1));
        assert!(!backlog.is_full(&config, None), "99 bytes wait");
        let mut long = Backlog::default();
        long.push(message(100));
        assert!(long.is_full(&config, None), "100 bytes");
        assert!(Backlog::default().is_full(&config.backlog_messages(0), None));
    }

    /// Row Z5: a message that waits has no more memory than it counts.
    #[test]
    fn a_message_that_waits_has_no_spare_memory() {
        let spare = |length| {
            let mut bytes = Vec::with_capacity(512);
            bytes.resize(length, 0);
            DataMessage::Binary(bytes)
        };
        let mut backlog = Backlog::default();
        for length in [0, 1, 398, 399, 512] {
            backlog.push(spare(length));
            backlog.push_request(Request { message: spare(length), ..request("7", 0) });
        }
        while let Some(Next::Message(message) | Next::Request(Request { message, .. })) = backlog.pop() {
            let DataMessage::Binary(bytes) = message else { unreachable!("all are binary") };
            assert_eq!(bytes.capacity(), if bytes.len() < 399 { bytes.len() } else { 512 });
        }
    }

    #[test]
    fn an_empty_backlog_has_no_memory() {
        let mut backlog = Backlog::default();
        for length in 1..100 {
            backlog.push(message(length));
        }
        for length in 1..100 {
            assert_eq!((backlog.len(), taken(&backlog.pop())), (100 - length, Some(length)));
        }
        assert!(backlog.pop().is_none() && backlog.0.is_none());
    }
}
