//! Runs the handler of a message, and reports problems to the observer. It does not know the
//! socket.
use crate::{
    connection::{Connection, handle::Handle},
    delivery::deliveries::End,
    dispatch::{arguments::Delivered, context::Context, program::Program, registration::Outcome, router::Found},
    envelope::{
        codes,
        failure::Failure,
        incoming::{CLOSE, Incoming, OPEN, RAW, RawFrame, UNKNOWN},
        keys::{Keys, Number},
        reply::HandlerResult,
        sorted::Sorted,
    },
    error::HandlerError,
    protocol::endpoint::Endpoint,
    server::hub::Hub,
    wire::write::Frame,
};
use std::future::poll_fn;

/// The program and the hub in which the messages of a connection are handled.
pub(crate) struct Scope<'a, E> {
    /// The handlers and their state.
    pub(crate) program: &'a Program<E>,
    /// The hub of the connection; `None` at a client.
    pub(crate) hub: Option<&'a Hub<E>>,
}

impl<E: Endpoint> Scope<'_, E> {
    /// Runs the handler of a message to its end. Returns the finished frame of the reply.
    pub(crate) async fn message<'f>(&self, conn: &Handle, frame: &'f RawFrame<'f>) -> Option<Frame> {
        // This block and its own await keep the future small: an idle connection carries room for
        // the larger of both ways, not for both.
        {
            let undecoded = Incoming::by_shortcut(frame);
            if let Some(incoming) = &undecoded {
                let context = self.context(conn, incoming);
                if let Some((message_type, outcome)) = self.call_reader(&context) {
                    let result = match outcome {
                        Outcome::Ready(result) => result,
                        Outcome::Pending(future) => future.await,
                    };
                    return self.reply(&context, message_type, result);
                }
            }
        }
        match self.sort(conn, frame) {
            Ok((incoming, None)) => self.event(conn, &incoming).await,
            // Boxed, so that other connections do not carry its room.
            Ok((incoming, Some(number))) => Box::pin(self.numbered(conn, &incoming, number)).await,
            Err(failure) => failure,
        }
    }

    /// Handles a message that its sender keeps until then, unless it was handled before. Its
    /// failure is part of the acknowledgement.
    async fn numbered(&self, conn: &Handle, incoming: &Incoming<'_>, number: Number) -> Option<Frame> {
        self.numbered_outcome(conn, incoming, number).await?.ok().flatten()
    }

    /// As [`numbered`](Self::numbered), but returns the handler's result, or `None` if no handler
    /// ran.
    async fn numbered_outcome(&self, conn: &Handle, incoming: &Incoming<'_>, number: Number) -> Option<HandlerResult> {
        let mut handling = self.program.deliveries.start(conn, number)?;
        let (epoch, number) = handling.identity();
        let delivered = Delivered { epoch, number };
        let context = Context { delivered: Some(&delivered), ..self.context(conn, incoming) };
        let Some((message_type, outcome)) = handling.run(|| self.call(&context)) else {
            handling.end(&End::Failed(codes::NOT_HANDLED, "no handler takes this type"));
            return None;
        };
        let result = match outcome {
            Outcome::Ready(result) => result,
            Outcome::Pending(mut future) => {
                let result = poll_fn(|cx| handling.run(|| future.as_mut().poll(cx))).await;
                // Its values may panic too.
                handling.run(|| drop(future));
                result
            }
        };
        match &result {
            Ok(_) if message_type == UNKNOWN => {
                handling.end(&End::Failed(codes::NOT_HANDLED, "no handler takes this type"));
                return None;
            }
            Ok(_) => handling.end(&End::Handled(message_type, incoming.json())),
            Err(error) => {
                self.report(conn, message_type, error);
                let failure = Failure::of(error);
                handling.end(&End::Failed(&failure.code, &failure.message));
            }
        }
        Some(result)
    }

    /// Parses a message completely. If it is not for a handler, returns the answer to it.
    fn sort<'f>(
        &self,
        conn: &Handle,
        frame: &'f RawFrame<'f>,
    ) -> Result<(Incoming<'f>, Option<Number>), Option<Frame>> {
        let (incoming, keys) = Incoming::with_keys(frame);
        match Sorted::by(keys) {
            Sorted::Request { ttl: Some(0), .. } => {
                return Err(self.failure(conn, &incoming, &Failure::new(codes::EXPIRED, "its deadline has passed")));
            }
            Sorted::Message | Sorted::Request { .. } => return Ok((incoming, None)),
            Sorted::Numbered(number) => return Ok((incoming, Some(number))),
            Sorted::Announcement(json) => self.program.deliveries.announced(conn, json),
            Sorted::Acknowledgement(json) => self.program.deliveries.acknowledged(conn, json),
            Sorted::Reply(_) => self.unexpected(conn, &incoming),
            // A request that still waits is found by the reader.
            Sorted::Cancel(_) => {}
            Sorted::Report => self.peer_failed(conn, &incoming, keys),
        }
        Err(None)
    }

    /// Returns how many calls of the message's handler may run at a time, if that is more than one,
    /// with its type. A closure of the connection itself is serial.
    #[inline]
    pub(crate) fn concurrency(&self, conn: &Handle, frame: &RawFrame<'_>) -> Option<(&str, usize)> {
        if self.program.router.has_concurrent() { self.find_concurrency(conn, frame) } else { None }
    }

    #[inline(never)]
    fn find_concurrency(&self, conn: &Handle, frame: &RawFrame<'_>) -> Option<(&str, usize)> {
        let found = match Incoming::by_shortcut(frame) {
            Some(incoming) => self.program.router.concurrency(&incoming.message_type)?,
            None => self.program.router.concurrency(&Incoming::message(frame).message_type)?,
        };
        // Only now is the whole text parsed. Its beginning may be that of an envelope, and yet it
        // is for the serial handler of `__raw__`.
        let (incoming, keys) = Incoming::with_keys(frame);
        let is_for_handler = incoming.message_type != RAW
            && matches!(Sorted::by(keys), Sorted::Message | Sorted::Request { .. } | Sorted::Numbered(_));
        (is_for_handler && conn.own_handler(found.0).is_none()).then_some(found)
    }

    /// As [`message`](Self::message), for a message that was parsed completely, or for the opening
    /// or end of a connection.
    pub(crate) async fn event(&self, conn: &Handle, incoming: &Incoming<'_>) -> Option<Frame> {
        let context = self.context(conn, incoming);
        let Some((message_type, outcome)) = self.call(&context) else {
            return self.failure(conn, incoming, &Failure::new(codes::NOT_HANDLED, "no handler takes this type"));
        };
        let result = match outcome {
            Outcome::Ready(result) => result,
            Outcome::Pending(future) => future.await,
        };
        self.reply(&context, message_type, result)
    }

    /// As [`event`](Self::event), but returns the handler's result, or `None` if there is no
    /// handler. With a number, the message is one that its sender keeps.
    #[cfg(feature = "testing")]
    pub(crate) async fn outcome(
        &self,
        conn: &Handle,
        incoming: &Incoming<'_>,
        number: Option<Number>,
    ) -> Option<HandlerResult> {
        if let Some(number) = number {
            return self.numbered_outcome(conn, incoming, number).await;
        }
        let context = self.context(conn, incoming);
        let (message_type, outcome) = self.call(&context)?;
        let result = match outcome {
            Outcome::Ready(result) => result,
            Outcome::Pending(future) => future.await,
        };
        if let Err(error) = &result {
            self.report(conn, message_type, error);
        }
        Some(result)
    }

    fn context<'f>(&'f self, conn: &'f Handle, incoming: &'f Incoming<'f>) -> Context<'f, E> {
        Context { endpoint: &self.program.endpoint, hub: self.hub, conn, incoming, delivered: None }
    }

    /// Calls the handler of a message that was parsed only up to its payload. Returns `None` if the
    /// handler does not read the payload, or is not annotated.
    #[inline]
    fn call_reader<'f>(&'f self, context: &'f Context<'f, E>) -> Option<(&'f str, Outcome<'f>)> {
        match self.program.router.find(context.conn, &context.incoming.message_type)? {
            (message_type, Found::Annotated(entry)) if entry.payload => {
                let outcome = if self.program.interest.is_nothing() {
                    (entry.call)(context)
                } else {
                    self.watched(context, message_type, || (entry.call)(context))
                };
                // A handler that got its arguments has read the payload, and so the whole message.
                // Otherwise the message may not be an envelope at all.
                let is_envelope = !matches!(outcome, Outcome::Ready(Err(_))) || context.incoming.is_envelope();
                is_envelope.then_some((message_type, outcome))
            }
            _ => None,
        }
    }

    /// Calls the handler of a message. A message without a handler is not an error; it is counted.
    fn call<'f>(&'f self, context: &'f Context<'f, E>) -> Option<(&'f str, Outcome<'f>)> {
        let Context { conn, incoming, .. } = *context;
        let router = &self.program.router;
        let key = &*incoming.message_type;
        let found = router.find(conn, key);
        let (message_type, found) = match key {
            OPEN | CLOSE => found?,
            // An envelope whose type does not have a handler goes to `__unknown__`.
            _ => match found.or_else(|| if key == RAW { None } else { router.find(conn, UNKNOWN) }) {
                Some(found) => found,
                None => {
                    self.ignored(conn, incoming);
                    return None;
                }
            },
        };
        let call = || match found {
            Found::ByHand(handler) => Outcome::Pending(handler.call(conn, incoming)),
            Found::Annotated(entry) => (entry.call)(context),
        };
        let outcome =
            if self.program.interest.is_nothing() { call() } else { self.watched(context, message_type, call) };
        Some((message_type, outcome))
    }

    /// Counts a message without a handler, and reports it to the observer.
    fn ignored(&self, conn: &Handle, incoming: &Incoming<'_>) {
        let Program { observer, .. } = self.program;
        self.program.count_ignored();
        if self.program.interest.messages {
            observer.message_received(Connection::of(conn), UNKNOWN, incoming.bytes());
        }
        match incoming.frame {
            Some(frame) if incoming.message_type == RAW => observer.envelope_rejected(Connection::of(conn), frame),
            _ => observer.message_ignored(Connection::of(conn), &incoming.message_type),
        }
    }

    /// Returns the reply of a handler. Reports an error to the observer, and returns it as a
    /// failure if the peer wants to know.
    #[inline]
    fn reply(&self, context: &Context<'_, E>, message_type: &str, result: HandlerResult) -> Option<Frame> {
        match result {
            Ok(None) if context.incoming.request.is_none() => None,
            Ok(Some(frame)) => Some(frame),
            result => self.no_reply(context, message_type, result.as_ref().err()),
        }
    }

    /// Returns the failure of a handler that has no reply.
    #[cold]
    fn no_reply(&self, context: &Context<'_, E>, message_type: &str, error: Option<&HandlerError>) -> Option<Frame> {
        let Context { conn, incoming, .. } = *context;
        let failure = match error {
            None if message_type == UNKNOWN => Failure::new(codes::NOT_HANDLED, "no handler takes this type"),
            None => Failure::new(codes::NO_REPLY, "the handler of this type does not reply"),
            Some(error) => Failure::of(error),
        };
        if let Some(error) = error {
            self.report(conn, message_type, error);
        }
        self.failure(conn, incoming, &failure)
    }

    /// Reports an error of a handler. A refusal is an answer, and not a problem.
    fn report(&self, conn: &Handle, message_type: &str, error: &HandlerError) {
        if !matches!(error, HandlerError::Refused { .. }) {
            self.program.observer.handler_failed(Connection::of(conn), message_type, error);
        }
    }

    /// Returns the frame that tells the peer of a failure: always for a request, and for other
    /// messages if the program wants that.
    pub(crate) fn failure(&self, conn: &Handle, incoming: &Incoming<'_>, failure: &Failure<'_>) -> Option<Frame> {
        let is_envelope = incoming.frame.is_some() && incoming.message_type != RAW;
        let is_reported =
            incoming.request.is_some() || (is_envelope && self.program.config.report_failures && conn.may_report());
        is_reported.then(|| failure.frame(conn.role(), &incoming.message_type, incoming.request))
    }

    /// Counts a reply that no request waits for. Reports the first one of a connection.
    fn unexpected(&self, conn: &Handle, incoming: &Incoming<'_>) {
        self.program.count_ignored();
        if conn.is_first_unexpected() {
            self.program.observer.reply_unexpected(Connection::of(conn), &incoming.message_type);
        }
    }

    /// Reports the failure of a message that this program has sent.
    fn peer_failed(&self, conn: &Handle, incoming: &Incoming<'_>, keys: Keys<'_>) {
        let Failure { code, message, .. } = Failure::from_json(keys.err.unwrap_or_default());
        self.program.observer.peer_failed(Connection::of(conn), &incoming.message_type, &code, &message);
    }
}
