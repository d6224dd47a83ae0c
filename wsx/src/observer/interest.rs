//! What an observer wants to know beyond problems.

/// What an observer wants to know beyond problems;
/// [`Observer::interest`](crate::Observer::interest) returns it.
///
/// By default that is nothing, because the rest costs time for each message.
///
/// ```
/// struct Count(std::sync::atomic::AtomicU64);
///
/// impl wsx::Observer for Count {
///     fn interest(&self) -> wsx::Interest {
///         wsx::Interest::nothing().with_messages()
///     }
///     fn message_received(&self, _: &wsx::Connection, _: &str, bytes: usize) {
///         self.0.fetch_add(bytes as u64, std::sync::atomic::Ordering::Relaxed);
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    pub(crate) messages: bool,
    pub(crate) spans: bool,
}

impl Interest {
    /// Returns the interest of an observer that only receives problems.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { messages: false, spans: false }
    }

    /// Adds each message. The observer then receives
    /// [`message_received`](crate::Observer::message_received),
    /// [`handler_finished`](crate::Observer::handler_finished),
    /// [`message_sent`](crate::Observer::message_sent),
    /// [`queue_changed`](crate::Observer::queue_changed) and
    /// [`messages_compressed`](crate::Observer::messages_compressed).
    #[must_use]
    pub const fn with_messages(mut self) -> Self {
        self.messages = true;
        self
    }

    /// Adds spans of `tracing`: one for each connection, and inside of it one for each handler.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub const fn with_spans(mut self) -> Self {
        self.spans = true;
        self
    }

    /// Returns everything that one of the two wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { messages: self.messages || other.messages, spans: self.spans || other.spans }
    }

    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_has_what_was_added() {
        let (nothing, messages) = (Interest::nothing(), Interest::nothing().with_messages());
        let (spans, all) = (Interest { spans: true, ..nothing }, Interest { messages: true, spans: true });
        assert!(nothing.is_nothing() && !messages.is_nothing() && !spans.is_nothing());
        for (one, other, both) in [(nothing, nothing, nothing), (messages, nothing, messages), (messages, spans, all)] {
            assert_eq!((one.or(other), other.or(one)), (both, both));
        }
    }
}
