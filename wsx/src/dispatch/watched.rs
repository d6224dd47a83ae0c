//! Calls a handler whose program has an observer that wants to know of each message, or a span for
//! each handler.
use crate::{
    connection::{Connection, handle::Handle},
    dispatch::{context::Context, program::Program, registration::Outcome, run::Scope},
    observer::spans::HandlerSpan,
    protocol::endpoint::Endpoint,
};
use tokio::time::Instant;

impl<E: Endpoint> Scope<'_, E> {
    /// Calls a handler in its span. Reports its message, and the end of the handler.
    ///
    /// Kept out of the way of other programs, which pay one test for it.
    #[cold]
    #[inline(never)]
    pub(super) fn watched<'f>(
        &'f self,
        context: &'f Context<'f, E>,
        message_type: &'f str,
        call: impl FnOnce() -> Outcome<'f>,
    ) -> Outcome<'f> {
        let Context { conn, incoming, .. } = *context;
        let span = if self.program.interest.spans { HandlerSpan::new(conn, message_type) } else { HandlerSpan::none() };
        let start = Instant::now();
        let outcome = span.in_scope(call);
        if matches!(outcome, Outcome::Ready(Err(_))) && !incoming.is_envelope() {
            // The handler has not run: this message goes to the handler of `__raw__`.
            return outcome;
        }
        let Program { interest, observer, .. } = self.program;
        if interest.messages && incoming.frame.is_some() {
            observer.message_received(Connection::of(conn), message_type, incoming.bytes());
        }
        match outcome {
            Outcome::Ready(result) => {
                self.finished(conn, message_type, start);
                Outcome::Ready(result)
            }
            Outcome::Pending(future) => Outcome::Pending(Box::pin(async move {
                let result = span.instrument(future).await;
                self.finished(conn, message_type, start);
                result
            })),
        }
    }

    fn finished(&self, conn: &Handle, message_type: &str, start: Instant) {
        let Program { interest, observer, .. } = self.program;
        if interest.messages {
            observer.handler_finished(Connection::of(conn), message_type, start.elapsed());
        }
    }
}
