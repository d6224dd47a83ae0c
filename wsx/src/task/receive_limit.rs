//! Limits how much a peer sends: it holds back the reading, or ends it.
//!
//! It counts bytes and messages, and knows the clock. It does not know the socket. A connection
//! without a limit has nothing of this.
use crate::{
    config::{Config, OverLimit, ReceiveLimit},
    connection::{queue::Queue, token_bucket::TokenBucket},
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
    /// Whether inflated bytes were counted since a message was let through.
    has_inflated: bool,
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
            has_inflated: false,
        }))
    }

    /// Ready when another message may be handled.
    pub(super) fn poll_message(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_inflated {
            // Messages that were read together may inflate to far more bytes than were read.
            ready!(self.poll_read(queue, cx));
            self.has_inflated = false;
        }
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
        // A full bucket loses the tokens of a quiet time now. They must not come back after these
        // bytes have taken some. Their messages are counted without a look at the clock.
        let now = Instant::now();
        self.messages.refill(now);
        self.bytes.refill(now);
        count(&mut self.bytes, bytes as f64, &mut self.exceeded);
    }

    /// Counts the bytes that a message has more than its payload, because it was compressed.
    pub(super) fn count_inflated(&mut self, bytes: usize) {
        if bytes > 0 {
            count(&mut self.bytes, bytes as f64, &mut self.exceeded);
            self.has_inflated = true;
        }
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

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        connection::queue::{Bound, Budget, Taken},
        wire::{close_code::CloseCode, close_frame::CloseFrame},
    };
    use std::future::poll_fn;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the limiter of 2 messages and 100 bytes in a second, both at once after a quiet
    /// time.
    fn limiter(over: OverLimit) -> Box<ReceiveLimiter> {
        let config = Config::default().max_message_size(100 - MAX_HEADER).receive_limit(2, 100, SECOND, over);
        ReceiveLimiter::new(Role::Server, &config).expect("the configuration has a limit")
    }

    fn queue() -> Queue {
        Queue::new(Bound { messages: 10, bytes: 1000 }, Budget::default())
    }

    /// Polls once. Returns whether it is ready.
    async fn message_is_ready(limiter: &mut ReceiveLimiter, queue: &Queue) -> bool {
        poll_fn(|cx| Poll::Ready(limiter.poll_message(queue, cx))).await.is_ready()
    }

    async fn read_is_ready(limiter: &mut ReceiveLimiter, queue: &Queue) -> bool {
        poll_fn(|cx| Poll::Ready(limiter.poll_read(queue, cx))).await.is_ready()
    }

    /// Returns how many pongs were queued.
    fn pongs(queue: &Queue) -> usize {
        let frames = match queue.take() {
            Taken::One(frame) => frame.to_vec(),
            Taken::Many(batch) => batch,
            _ => return 0,
        };
        assert!(frames.chunks(2).all(|frame| frame == [0x8a, 0]), "{frames:?}");
        frames.len() / 2
    }

    fn counts(limiter: &mut ReceiveLimiter) -> bool {
        matches!(limiter.judge(Poll::Ready(Ok(Received::Ping))), Poll::Ready(Ok(Received::Ping)))
    }

    fn is_too_fast(judged: &Poll<Result<Received, ReadError>>) -> bool {
        let expected = Violation::TooFast { messages: 2, bytes: 100 };
        matches!(judged, Poll::Ready(Err(ReadError::Rejected(found))) if *found == expected)
    }

    #[test]
    fn a_connection_without_a_limit_has_no_limiter() {
        assert!(ReceiveLimiter::new(Role::Server, &Config::default()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_too_many_messages_is_held_back() {
        let (mut limiter, queue) = (limiter(OverLimit::Wait), queue());
        for _ in 0..2 {
            assert!(message_is_ready(&mut limiter, &queue).await && counts(&mut limiter));
        }
        assert!(!limiter.holds_back());
        assert!(!message_is_ready(&mut limiter, &queue).await);
        assert!(limiter.holds_back() && read_is_ready(&mut limiter, &queue).await, "bytes are counted apart");
        assert_eq!(pongs(&queue), 1);
        advance(Duration::from_millis(499)).await;
        assert!(!message_is_ready(&mut limiter, &queue).await);
        advance(Duration::from_millis(1)).await;
        assert!(message_is_ready(&mut limiter, &queue).await && counts(&mut limiter));
        assert!(!limiter.holds_back());
        assert!(!message_is_ready(&mut limiter, &queue).await);
        assert_eq!(pongs(&queue), 0, "less than 4 seconds after the last one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_held_back_for_long_gets_signs_of_life() {
        let (mut limiter, queue, start) = (limiter(OverLimit::Wait), queue(), Instant::now());
        assert!(read_is_ready(&mut limiter, &queue).await);
        limiter.count_bytes(1200);
        let mut signs = Vec::new();
        poll_fn(|cx| {
            let polled = limiter.poll_read(&queue, cx);
            signs.extend((0..pongs(&queue)).map(|_| start.elapsed().as_secs()));
            polled
        })
        .await;
        // A debt of 1,100 bytes, and a byte more.
        assert_eq!((start.elapsed(), signs), (Duration::from_millis(11_010), vec![0, 4, 8]));
        assert!(!limiter.judge(Poll::Pending).is_ready(), "it is not closed");
    }

    #[tokio::test(start_paused = true)]
    async fn one_burst_passes_after_a_quiet_time() {
        let (mut limiter, queue) = (limiter(OverLimit::Wait), queue());
        advance(10 * SECOND).await;
        limiter.count_bytes(4);
        for _ in 0..2 {
            assert!(message_is_ready(&mut limiter, &queue).await && counts(&mut limiter));
        }
        assert!(!message_is_ready(&mut limiter, &queue).await);
        advance(10 * SECOND).await;
        limiter.count_bytes(100);
        assert!(!read_is_ready(&mut limiter, &queue).await);
    }

    /// Row Z5: a message counts with its length before compression. Those that were read together
    /// with it wait.
    #[tokio::test(start_paused = true)]
    async fn inflated_bytes_count() {
        let (mut limiter, queue) = (limiter(OverLimit::Wait), queue());
        limiter.count_bytes(10);
        limiter.count_inflated(190);
        assert!(!message_is_ready(&mut limiter, &queue).await && limiter.holds_back());
        let start = Instant::now();
        poll_fn(|cx| limiter.poll_message(&queue, cx)).await;
        // A debt of 100 bytes, and a byte more.
        assert_eq!(start.elapsed(), Duration::from_millis(1010));
        assert!(message_is_ready(&mut limiter, &queue).await, "the debt is paid once");

        let mut limiter = self::limiter(OverLimit::Close);
        limiter.count_bytes(10);
        limiter.count_inflated(190);
        assert!(counts(&mut limiter), "a burst");
        limiter.count_inflated(1);
        assert!(is_too_fast(&limiter.judge(Poll::Ready(Ok(Received::Ping)))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_above_a_limit_is_closed() {
        let (mut limiter, queue) = (limiter(OverLimit::Close), queue());
        for _ in 0..2 {
            assert!(counts(&mut limiter) && counts(&mut limiter));
            // All have come back.
            advance(SECOND).await;
        }
        limiter.count_bytes(100);
        assert!(limiter.judge(Poll::Pending).is_pending(), "the bytes of the limit");
        assert!(message_is_ready(&mut limiter, &queue).await && read_is_ready(&mut limiter, &queue).await);
        limiter.count_bytes(1);
        assert!(is_too_fast(&limiter.judge(Poll::Pending)));
        let close = CloseFrame { code: CloseCode::NORMAL, reason: String::new() };
        let judged = limiter.judge(Poll::Ready(Ok(Received::Close(close))));
        assert!(matches!(judged, Poll::Ready(Ok(Received::Close(_)))), "the peer's own end counts");
        assert!(matches!(limiter.judge(Poll::Ready(Err(ReadError::Ended))), Poll::Ready(Err(ReadError::Ended))));

        let mut limiter = self::limiter(OverLimit::Close);
        assert!(counts(&mut limiter) && counts(&mut limiter));
        assert!(message_is_ready(&mut limiter, &queue).await);
        assert!(is_too_fast(&limiter.judge(Poll::Ready(Ok(Received::Ping)))));
        assert_eq!(pongs(&queue), 0);
    }
}
