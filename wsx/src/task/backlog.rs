//! The messages that wait for the running handler, in order and bounded.
//!
//! It knows messages and their sizes. It does not know the socket or the handlers.
use crate::{config::Config, wire::data_message::DataMessage};
use std::collections::VecDeque;

/// Messages that were received while an earlier one was handled. It has no memory while it is
/// empty.
#[derive(Debug, Default)]
pub(super) struct Backlog(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<DataMessage>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, message: DataMessage) {
        let waiting = self.0.get_or_insert_default();
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
    }

    /// Takes the oldest message.
    pub(super) fn pop(&mut self) -> Option<DataMessage> {
        let waiting = self.0.as_mut()?;
        let message = waiting.messages.pop_front()?;
        waiting.bytes -= message.len();
        if waiting.messages.is_empty() {
            self.0 = None;
        }
        Some(message)
    }

    /// Whether another message has to wait in the socket. A message counts only when it is here, so
    /// the buffer may exceed its bytes by one message.
    pub(super) fn is_full(&self, config: &Config) -> bool {
        let Some(waiting) = &self.0 else { return config.backlog_messages == 0 };
        waiting.messages.len() >= config.backlog_messages || waiting.bytes >= config.backlog_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.messages.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> DataMessage {
        DataMessage::Binary(vec![0; length])
    }

    /// Row V1: the bounds on messages that wait for a handler.
    #[test]
    fn messages_and_bytes_bound_the_backlog() {
        let config = Config::default().backlog_messages(2).backlog_bytes(100);
        let mut backlog = Backlog::default();
        backlog.push(message(1));
        assert!(!backlog.is_full(&config));
        backlog.push(message(1));
        assert!(backlog.is_full(&config), "two messages");
        assert_eq!(backlog.pop().map(|first| first.len()), Some(1));
        backlog.push(message(99));
        assert!(backlog.is_full(&config));
        assert_eq!(backlog.pop().map(|second| second.len()), Some(1));
        assert!(!backlog.is_full(&config), "99 bytes wait");
        let mut long = Backlog::default();
        long.push(message(100));
        assert!(long.is_full(&config), "100 bytes");
        assert!(Backlog::default().is_full(&config.backlog_messages(0)));
    }

    #[test]
    fn an_empty_backlog_has_no_memory() {
        let mut backlog = Backlog::default();
        for length in 1..100 {
            backlog.push(message(length));
        }
        for length in 1..100 {
            assert_eq!((backlog.len(), backlog.pop().map(|next| next.len())), (100 - length, Some(length)));
        }
        assert!(backlog.pop().is_none() && backlog.0.is_none());
    }
}
