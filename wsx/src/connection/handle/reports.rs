//! What the observer of a program learns from a handle: each message, the length of the queue, and
//! the span of the connection.
#[cfg(feature = "tracing")]
use crate::connection::handle::lock;
use crate::connection::{handle::Handle, watch::Watch};
use std::sync::Arc;

impl Handle {
    /// Sets the observer of each message, before the first one.
    pub(crate) fn set_watch(&self, watch: Arc<dyn Watch>) {
        let _ = self.extra().watch.set(watch);
    }

    /// Returns the observer of each message, if the program's observer wants that.
    #[inline]
    pub(crate) fn watch(&self) -> Option<&dyn Watch> {
        self.0.extra.get()?.watch.get().map(|watch| &**watch)
    }

    /// Reports a message that was queued. The bytes are those of the message without its header.
    #[inline]
    pub(crate) fn report_sent(&self, message_type: &'static str, bytes: usize) {
        if let Some(watch) = self.watch() {
            watch.sent(self, message_type, bytes);
            self.report_queue();
        }
    }

    /// Reports the length of the queue, if it has changed.
    #[inline]
    pub(crate) fn report_queue(&self) {
        if let Some(watch) = self.watch() {
            if let Some((before, now)) = self.0.queue.report() {
                watch.queue_changed(self, before, now);
            }
        }
    }

    /// Reports the end of the queue.
    pub(crate) fn end_reports(&self) {
        if let Some(watch) = self.watch() {
            if let Some((before, now)) = self.0.queue.end_reports() {
                watch.queue_changed(self, before, now);
            }
        }
    }

    /// Sets the span of the connection.
    #[cfg(feature = "tracing")]
    pub(crate) fn set_span(&self, span: tracing::Span) {
        let replaced = lock(&self.extra().span).replace(span);
        drop(replaced);
    }

    /// Ends the span of the connection.
    #[cfg(feature = "tracing")]
    pub(crate) fn end_span(&self) {
        let ended = self.0.extra.get().and_then(|extra| lock(&extra.span).take());
        drop(ended);
    }

    /// Returns the span of the connection. It is disabled before `set_span`, and after the end.
    #[cfg(feature = "tracing")]
    pub(crate) fn span(&self) -> tracing::Span {
        let span = self.0.extra.get().and_then(|extra| lock(&extra.span).clone());
        span.unwrap_or_else(tracing::Span::none)
    }
}
