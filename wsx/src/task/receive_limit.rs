//! Limits how much a peer sends: it holds back the reading, or ends it.
//!
//! It counts bytes and messages, and knows the clock. It does not know the socket. A connection
//! without a limit has nothing of this.
use crate::{
    config::{Config, OverLimit, ReceiveLimit},
    connection::queue::Queue,
    task::token_bucket::TokenBucket,
    wire::{
        data_message::Received,
        header::{MAX_HEADER, Opcode},
        role::Role,
        violation::{ReadError, Violation},
        write::frame,
    },
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// While a peer is held back, it gets a pong that it did not ask for (RFC 6455 section 5.5.3), at
/// most once in this time. Its own pings wait behind its messages, and a peer with a heartbeat must
/// not take that for a dead link. A shorter timeout than this is not usual.
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);

/// The minimum time between two reports of a connection that is held back. A peer that sends a
/// little more than its limit is held back for a moment again and again.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The limit of one connection, and the messages and bytes that count for it.
#[derive(Debug)]
pub(super) struct ReceiveLimiter {
    limit: ReceiveLimit,
    role: Role,
    messages: TokenBucket,
    bytes: TokenBucket,
    /// Wakes the reader when it may go on. It exists only while the peer is held back.
    timer: Option<Pin<Box<Sleep>>>,
    /// The time of the last pong that the peer did not ask for.
    last_sign: Option<Instant>,
    /// Whether the peer was held back since the last look at its bytes. If it has sent some by
    /// then, they have waited.
    was_held_back: bool,
    /// The time of the last report to the observer.
    last_report: Option<Instant>,
    /// Whether the observer has to receive a report.
    report_is_due: bool,
    /// Whether the peer has sent more than the limit allows, and is closed for that.
    exceeded: bool,
}

impl ReceiveLimiter {
    /// Returns the limiter of a connection, if the connection is limited.
    pub(super) fn new(role: Role, config: &Config) -> Option<Box<Self>> {
        let limit = config.receive_limit?;
        let bucket = |per_second: u32, least: f64| {
            let rate = f64::from(per_second.max(1));
            TokenBucket::full(rate, (rate * limit.burst.as_secs_f64()).max(least), Instant::now())
        };
        // One message of maximum length always passes a full bucket.
        let longest = config.max_message_size.saturating_add(MAX_HEADER);
        Some(Box::new(Self {
            limit,
            role,
            messages: bucket(limit.messages_per_second, 1.0),
            bytes: bucket(limit.bytes_per_second, u32::try_from(longest).unwrap_or(u32::MAX).into()),
            timer: None,
            last_sign: None,
            was_held_back: false,
            last_report: None,
            report_is_due: false,
            exceeded: false,
        }))
    }

    /// Ready when another message may be handled.
    pub(super) fn poll_message(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_token(|limiter| &mut limiter.messages, queue, cx)
    }

    /// Ready when more bytes may be read.
    pub(super) fn poll_read(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_token(|limiter| &mut limiter.bytes, queue, cx)
    }

    /// Ready when this bucket has a token.
    fn poll_token(
        &mut self,
        bucket: fn(&mut Self) -> &mut TokenBucket,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // Usually there is a token, and the clock is not read.
        if bucket(self).has_token() || self.limit.over == OverLimit::Close {
            return Poll::Ready(());
        }
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            let now = Instant::now();
            let Some(wait) = bucket(self).wait(now) else { return Poll::Ready(()) };
            self.was_held_back = true;
            if is_due(self.last_sign, SIGN_OF_LIFE, now) {
                self.last_sign = Some(now);
                // A full queue is a sign of life too.
                let _ = queue.push_control(&frame(Opcode::PONG, self.role, &[]));
            }
            // A long wait has several signs.
            self.timer = Some(Box::pin(sleep(wait.min(SIGN_OF_LIFE))));
        }
    }

    /// Whether the peer is held back, so that its silence says nothing.
    pub(super) fn holds_back(&self) -> bool {
        self.timer.is_some()
    }

    /// Notes whether bytes or a message of the peer were there after it was held back. Otherwise it
    /// has sent what it may, and not more.
    fn note_wait(&mut self, something_waited: bool) {
        if std::mem::take(&mut self.was_held_back) && something_waited {
            let now = Instant::now();
            if is_due(self.last_report, REPORT_INTERVAL, now) {
                (self.last_report, self.report_is_due) = (Some(now), true);
            }
        }
    }

    /// Whether the observer has to receive a report that the peer is held back. This is `true` once
    /// for a report.
    pub(super) fn take_report(&mut self) -> bool {
        std::mem::take(&mut self.report_is_due)
    }

    /// Counts received bytes.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.note_wait(bytes > 0);
        count(&mut self.bytes, bytes as f64, &mut self.exceeded);
    }

    /// Counts a message or control frame. Returns the result for the reader, which is an error if
    /// the connection has to end.
    pub(super) fn judge(&mut self, received: Poll<Result<Received, ReadError>>) -> Poll<Result<Received, ReadError>> {
        if !self.holds_back() {
            self.note_wait(received.is_ready());
        }
        match &received {
            Poll::Ready(Ok(Received::Close(_)) | Err(_)) => return received,
            Poll::Ready(Ok(_)) => count(&mut self.messages, 1.0, &mut self.exceeded),
            Poll::Pending => {}
        }
        if self.exceeded && self.limit.over == OverLimit::Close {
            let ReceiveLimit { messages_per_second: messages, bytes_per_second: bytes, .. } = self.limit;
            return Poll::Ready(Err(Violation::TooFast { messages, bytes }.into()));
        }
        received
    }
}

/// Whether this time has passed since the last time, if there was one.
fn is_due(last: Option<Instant>, after: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= after)
}

/// Takes tokens. Notes whether there was none.
fn count(bucket: &mut TokenBucket, tokens: f64, exceeded: &mut bool) {
    *exceeded |= !bucket.has_token() && bucket.wait(Instant::now()).is_some();
    bucket.take(tokens);
}
