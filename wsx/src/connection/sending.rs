//! The future of a send: it moves a finished frame into the queue of a connection.
//!
//! It does not name the type of the message. So a message that must not be sent is one compiler
//! error at the call, and not a second one at the `.await`.
use crate::{
    connection::{
        handle::Handle,
        keeper::{Accepted, Accepting, Recipient},
        queue::{Beyond, PushError, Pushed, QueueClosed, Ticket},
        target::{Counted, Target, error_for},
    },
    envelope::{
        Outbound,
        frame::Encode as _,
        kept::{KeptMessage, TakeReply},
    },
    error::SendError,
    wire::{role::Role, write::Frame},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// A send. It resolves when the message is in the queue.
///
/// The message is already encoded. It is queued when this future is polled, not before.
///
/// # Cancel safety
///
/// Cancel safe. If this is dropped before its first poll, or while it waits for room, the message
/// is not sent. If room came after the last poll, the message is already queued, and is sent. A
/// program that must know which of both happened has to await this to the end.
#[derive(Debug)]
#[must_use = "a message is sent when this is awaited"]
pub struct Sending<'c> {
    /// The connection whose queue takes the frame.
    conn: Target<'c>,
    /// How far the send is.
    step: Step,
    /// The end of its client, if a client sends.
    client: Option<CancellationToken>,
    /// What an observer counts; `None` for a ping.
    counted: Option<Counted>,
    /// Where the message is when this is done.
    accepted: Accepted,
    /// How long the message may wait for room, and the timer of that wait.
    ttl: Option<(Duration, Option<Pin<Box<Sleep>>>)>,
}

/// The progress of a send.
#[derive(Debug)]
enum Step {
    /// Not yet polled.
    Frame(Bytes),
    /// The queue is full and has noted this send.
    Waiting(Ticket),
    /// Not yet polled, and kept until the peer has handled it.
    Kept(Box<(Recipient, KeptMessage)>),
    /// The store writes the message.
    Storing(Accepting),
    /// Returns this error at the first poll.
    Failed(SendError),
    /// Has returned its result.
    Done,
}

impl<'c> Sending<'c> {
    /// Ends the wait for room, and uses the reserve of the queue. Returns `None` for a send that
    /// does not wait.
    pub(crate) fn push_beyond(
        mut self,
        now: Instant,
        limit: Duration,
    ) -> Option<(&'c Handle, Result<Beyond, QueueClosed>)> {
        let (Step::Waiting(ticket), Target::Borrowed(conn)) =
            (std::mem::replace(&mut self.step, Step::Done), &self.conn)
        else {
            return None;
        };
        let conn = *conn;
        let result = match conn.queue().cancel(&ticket) {
            Some(frame) => conn.queue().push_beyond(frame, now, limit),
            // The queue has admitted the frame meanwhile, or was closed.
            None if conn.queue().was_admitted(&ticket) => Ok(Beyond::Queued),
            None => Err(QueueClosed),
        };
        Some((conn, result))
    }

    /// Returns the send of a frame that is not counted.
    pub(crate) fn on(conn: &'c Handle, frame: Result<Bytes, SendError>) -> Self {
        Self::new(Target::Borrowed(conn), frame.map_or_else(Step::Failed, Step::Frame), None)
    }

    /// Returns the send of a message.
    #[inline]
    pub(crate) fn message<M: Outbound + ?Sized>(conn: &'c Handle, message: &M) -> Self {
        if message.policy().is_kept() {
            return Self::kept(Recipient::of(conn), KeptMessage::of(message));
        }
        Self::on_frame(conn, message.encode(conn.role())).within(message.policy().ttl)
    }

    #[inline]
    pub(super) fn on_frame(conn: &'c Handle, frame: Result<Frame, SendError>) -> Self {
        let (step, counted) = split(conn, frame);
        Self::new(Target::Borrowed(conn), step, counted)
    }

    /// Returns the send of a message that is kept until the peer has handled it.
    #[cold]
    pub(crate) fn kept(recipient: Result<Recipient, SendError>, message: Result<KeptMessage, SendError>) -> Self {
        let step = match recipient.and_then(|recipient| Ok((recipient, message?))) {
            Ok(kept) => Step::Kept(Box::new(kept)),
            Err(error) => Step::Failed(error),
        };
        Self::new(Target::Missing, step, None)
    }

    /// Counts the send as a message of this type and length. The type is empty if it is not known.
    pub(crate) fn counted(mut self, message_type: &'static str, bytes: usize) -> Self {
        self.counted = Some(Counted { message_type, bytes });
        self
    }

    fn new(conn: Target<'c>, step: Step, counted: Option<Counted>) -> Self {
        Self { conn, step, client: None, counted, accepted: Accepted::Sent, ttl: None }
    }

    /// Sets how long the message may wait for room.
    #[inline]
    pub(crate) fn within(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl.map(|ttl| (ttl, None));
        self
    }

    /// Whether the message has waited for too long.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.ttl {
            None => Poll::Pending,
            Some((ttl, timer)) => timer.get_or_insert_with(|| Box::pin(sleep(*ttl))).as_mut().poll(cx),
        }
    }

    /// Where the message is, when this is done.
    pub(crate) fn accepted(&self) -> Accepted {
        self.accepted
    }
}

/// Returns the first step of the send of a message, and what is counted.
#[inline]
fn split(conn: &Handle, frame: Result<Frame, SendError>) -> (Step, Option<Counted>) {
    match frame {
        Ok(frame) if !conn.peer_reads(frame.message_type) => (Step::Failed(conn.withhold(frame.message_type)), None),
        Ok(mut frame) => {
            let counted = Counted::of(&frame);
            conn.mark(&mut frame);
            (Step::Frame(frame.into_bytes()), Some(counted))
        }
        Err(error) => (Step::Failed(error), None),
    }
}

impl Sending<'static> {
    /// Returns the send of a message that owns its connection, or the peer that keeps the message.
    #[inline]
    pub(crate) fn message_to<M: Outbound + ?Sized>(
        role: Role,
        message: &M,
        conn: impl FnOnce() -> Result<Handle, SendError>,
        recipient: impl FnOnce() -> Result<Recipient, SendError>,
    ) -> Self {
        if message.policy().is_kept() {
            return Self::kept(recipient(), KeptMessage::of(message));
        }
        Self::on_owned(conn(), message.encode(role)).within(message.policy().ttl)
    }

    /// Returns a send that owns its connection.
    pub(crate) fn on_owned(conn: Result<Handle, SendError>, frame: Result<Frame, SendError>) -> Self {
        let conn = match conn {
            Ok(conn) => conn,
            // A message that cannot be written is the first mistake.
            Err(missing) => return Self::new(Target::Missing, Step::Failed(frame.err().unwrap_or(missing)), None),
        };
        let (step, counted) = split(&conn, frame);
        Self::new(Target::Owned(conn), step, counted)
    }

    /// Makes this the send of a client. Between two connections it returns
    /// [`SendError::NotConnected`].
    pub(crate) fn of_client(mut self, stop: CancellationToken) -> Self {
        self.client = Some(stop);
        self
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = match (std::mem::replace(&mut this.step, Step::Done), this.conn.handle()) {
            (Step::Failed(error), _) => Err(error),
            (Step::Kept(kept), _) => {
                let (mut recipient, message) = *kept;
                match recipient.keep(message, None) {
                    Ok(kept) => {
                        this.accepted = if kept.may_leave { Accepted::Sent } else { Accepted::Kept };
                        this.step = Step::Storing(kept.accepting);
                        return Pin::new(this).poll(cx);
                    }
                    Err(error) => Err(error),
                }
            }
            (Step::Storing(Accepting::Done), _) => Ok(()),
            (Step::Storing(Accepting::Durable(mut durable)), _) => match Pin::new(&mut durable).poll(cx) {
                Poll::Pending => {
                    this.step = Step::Storing(Accepting::Durable(durable));
                    return Poll::Pending;
                }
                Poll::Ready(stored) => stored.unwrap_or(Err(SendError::Closed)),
            },
            (Step::Frame(frame), Some(conn)) => match conn.queue().push(frame, cx) {
                Ok(Pushed::Waiting(ticket, _)) => {
                    this.step = Step::Waiting(ticket);
                    // Begins the time of the wait.
                    let _ = this.poll_expired(cx);
                    return Poll::Pending;
                }
                Ok(Pushed::Queued(_)) => Ok(()),
                Err(QueueClosed) => Err(SendError::Closed),
            },
            (Step::Waiting(ticket), Some(conn)) => match conn.queue().poll_ticket(&ticket, cx) {
                Poll::Pending => {
                    // `false` if room came in this moment.
                    let is_over = this.ttl.is_some() && !conn.queue().was_admitted(&ticket);
                    this.step = Step::Waiting(ticket);
                    if !is_over || this.poll_expired(cx).is_pending() {
                        return Poll::Pending;
                    }
                    return this.expire();
                }
                Poll::Ready(queued) => queued.map_err(|QueueClosed| SendError::Closed),
            },
            (Step::Done, _) | (_, None) => unreachable!("a future is not polled after it is done"),
        };
        if let (Ok(()), Some(conn), Some(counted)) = (&result, this.conn.handle(), this.counted) {
            counted.report(conn);
        }
        Poll::Ready(result.map_err(|error| error_for(error, this.client.as_ref())))
    }
}

impl Sending<'_> {
    /// Ends a wait for room.
    fn expire(&mut self) -> Poll<Result<(), SendError>> {
        let (Step::Waiting(ticket), Some(conn)) = (std::mem::replace(&mut self.step, Step::Done), self.conn.handle())
        else {
            unreachable!("only a send that waits expires");
        };
        if !conn.queue().give_up(&ticket) {
            return Poll::Ready(Err(SendError::Expired));
        }
        if let Some(counted) = self.counted {
            counted.report(conn);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let (Step::Waiting(ticket), Some(conn)) = (&self.step, self.conn.handle()) {
            let is_queued = conn.queue().give_up(ticket);
            if let (true, Some(counted)) = (is_queued, self.counted) {
                counted.report(conn);
            }
        }
    }
}

/// Queues a message, if there is room. Keeps it, if its type declares that; then it may not be
/// durable yet.
#[inline]
pub(crate) fn try_send<M: Outbound + ?Sized>(conn: &Handle, message: &M) -> Result<(), SendError> {
    if message.policy().is_kept() {
        return try_keep(conn, KeptMessage::of(message)?);
    }
    try_send_frame(conn, message.encode(conn.role())?)
}

/// Keeps a message for the peer of a connection.
#[cold]
fn try_keep(conn: &Handle, message: KeptMessage) -> Result<(), SendError> {
    Recipient::of(conn)?.keep(message, None).map(drop)
}

impl TakeReply for Handle {
    fn keep_reply(&self, message: KeptMessage) -> Result<(), SendError> {
        try_keep(self, message)
    }

    #[inline]
    fn reads(&self, message_type: &str) -> bool {
        self.peer_reads(message_type)
    }

    #[cold]
    fn withheld(&self, message_type: &str) -> SendError {
        self.withhold(message_type)
    }
}

#[inline]
fn try_send_frame(conn: &Handle, mut frame: Frame) -> Result<(), SendError> {
    if !conn.peer_reads(frame.message_type) {
        return Err(conn.withhold(frame.message_type));
    }
    conn.mark(&mut frame);
    if conn.watch().is_some() {
        return try_send_watched(conn, frame);
    }
    try_push(conn, frame.into_bytes())
}

#[cold]
fn try_send_watched(conn: &Handle, frame: Frame) -> Result<(), SendError> {
    let counted = Counted::of(&frame);
    try_push(conn, frame.into_bytes())?;
    counted.report(conn);
    Ok(())
}

#[inline]
fn try_push(conn: &Handle, frame: Bytes) -> Result<(), SendError> {
    conn.try_push(frame).map_err(|error| match error {
        PushError::Full => SendError::Full,
        PushError::Closed => SendError::Closed,
    })
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        connection::{queue::Taken, watch::Watch},
        wire::{close_code::CloseCode, header::Opcode, role::Role, write},
    };
    use futures_util::FutureExt;
    use std::{
        pin::pin,
        sync::{Arc, Mutex},
    };

    /// A connection whose queue has room for one message.
    fn handle() -> Handle {
        Handle::new("".into(), Role::Server, &Config::default().queue_messages(1))
    }

    fn send<'c>(conn: &'c Handle, text: &'static str) -> Sending<'c> {
        Sending::on(conn, Ok(Bytes::from_static(text.as_bytes())))
    }

    fn frame(text: &str) -> Frame {
        let write = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(text.as_bytes());
            Ok::<_, SendError>(())
        };
        write::encode(Opcode::TEXT, Role::Server, "type", write).unwrap()
    }

    /// Takes all queued frames.
    fn taken(conn: &Handle) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match conn.queue().take() {
                Taken::Nothing => return all,
                Taken::One(frame) => all.extend(&frame),
                Taken::Many(batch) => all.extend(batch),
                Taken::Flush(_) => unreachable!("no test here flushes"),
            }
        }
    }

    /// Returns a send that waits for room.
    fn waiting<'c>(conn: &'c Handle, text: &'static str) -> Sending<'c> {
        let mut sending = send(conn, text);
        assert!((&mut sending).now_or_never().is_none());
        sending
    }

    #[test]
    fn a_send_is_queued_when_it_is_polled_and_waits_for_room() {
        let conn = handle();
        let first = send(&conn, "first");
        assert_eq!(taken(&conn), b"");
        assert!(matches!(first.now_or_never(), Some(Ok(()))));
        let (second, mut third) = (waiting(&conn, "second"), waiting(&conn, "third"));
        drop(second);
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(taken(&conn), b"firstthird", "a send that was dropped is not queued");
        assert!(matches!(pin!(third).now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn a_closed_queue_fails_a_send_and_a_client_may_get_another_connection() {
        for (is_client, stops, expected) in
            [(false, false, "closed"), (true, false, "not connected"), (true, true, "closed")]
        {
            let conn = handle();
            let stop = CancellationToken::new();
            let of = |sending: Sending<'static>| {
                if is_client { sending.of_client(stop.clone()) } else { sending }
            };
            let sending = |text: &'static str| of(Sending::on_owned(Ok(conn.clone()), Ok(frame(text))));
            assert!(matches!(sending("first").now_or_never(), Some(Ok(()))));
            let mut waits = sending("second");
            assert!((&mut waits).now_or_never().is_none());
            conn.close(CloseCode::NORMAL, String::new());
            if stops {
                stop.cancel();
            }
            for failed in [waits, sending("third")] {
                let error = failed.now_or_never().expect("it does not wait").unwrap_err();
                assert_eq!(error.to_string(), expected);
            }
        }
    }

    #[test]
    fn a_send_without_a_frame_or_a_connection_returns_the_error() {
        let conn = handle();
        let failed = |sending: Sending<'_>| sending.now_or_never().expect("it does not wait").unwrap_err().to_string();
        assert_eq!(
            failed(Sending::on(&conn, Err(SendError::PingTooLong(126)))),
            SendError::PingTooLong(126).to_string()
        );
        let missing = || SendError::NoSuchConnection("box-7".into());
        assert_eq!(failed(Sending::on_owned(Err(missing()), Ok(frame("")))), missing().to_string());
        let both = Sending::on_owned(Err(missing()), Err(SendError::PingTooLong(126)));
        assert_eq!(failed(both), SendError::PingTooLong(126).to_string());
        assert_eq!(taken(&conn), b"");
    }

    /// Row G1: a message that is delivered at most once waits for room until its time is over.
    #[tokio::test(start_paused = true)]
    async fn a_send_with_a_ttl_does_not_wait_for_longer() {
        let conn = handle();
        let ttl = Some(Duration::from_secs(5));
        assert!(Sending::on_frame(&conn, Ok(frame("first"))).within(ttl).await.is_ok());
        let start = Instant::now();
        let expired = Sending::on_frame(&conn, Ok(frame("second"))).within(ttl).await;
        assert!(matches!(expired, Err(SendError::Expired)) && start.elapsed() == Duration::from_secs(5));
        let mut waits = Sending::on_frame(&conn, Ok(frame("third"))).within(ttl);
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!(taken(&conn).len(), 2 * (2 + 5), "the second one is not sent");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(waits.await.is_ok(), "it was queued before");
    }

    /// Remembers the messages that were sent.
    #[derive(Default)]
    struct Sent(Mutex<Vec<(&'static str, usize)>>);

    impl Watch for Sent {
        fn compressed(&self, _: &Handle, _: &crate::connection::Compression) {}
        fn sent(&self, _: &Handle, message_type: &'static str, bytes: usize) {
            self.0.lock().unwrap().push((message_type, bytes));
        }

        fn queue_changed(&self, _: &Handle, _: usize, _: usize) {}
    }

    #[test]
    fn each_queued_message_is_reported_once() {
        let (conn, sent) = (handle(), Arc::new(Sent::default()));
        conn.set_watch(sent.clone());
        let reported = || std::mem::take(&mut *sent.0.lock().unwrap());
        let message = || Sending::on_frame(&conn, Ok(frame("text")));
        assert!(matches!(message().now_or_never(), Some(Ok(()))));
        assert_eq!(reported(), [("type", 4)]);
        let mut waits = message();
        assert!((&mut waits).now_or_never().is_none());
        assert!(matches!(try_send_frame(&conn, frame("text")), Err(SendError::Full)));
        assert_eq!(reported(), []);
        drop(waits);
        taken(&conn);
        assert_eq!(reported(), [], "it was not queued");

        try_send_frame(&conn, frame("long text")).unwrap();
        assert_eq!(reported(), [("type", 9)]);
        let (mut waits, mut dropped) = (message(), Sending::on(&conn, Ok(Bytes::from_static(b"frame"))).counted("", 5));
        assert!((&mut waits).now_or_never().is_none() && (&mut dropped).now_or_never().is_none());
        taken(&conn);
        assert_eq!(reported(), []);
        assert!(matches!(waits.now_or_never(), Some(Ok(()))));
        assert_eq!(reported(), [("type", 4)]);
        drop(dropped);
        assert_eq!(reported(), [("", 5)], "it was queued before the drop");

        assert!(matches!(send(&conn, "a ping").now_or_never(), Some(Ok(()))));
        let mut lost = message();
        assert!((&mut lost).now_or_never().is_none());
        conn.close(CloseCode::NORMAL, String::new());
        drop(lost);
        assert!(matches!(message().now_or_never(), Some(Err(SendError::Closed))));
        assert_eq!(reported(), [], "a close has dropped it");
    }

    #[test]
    fn a_broadcast_uses_the_reserve_for_a_send_that_waits() {
        let (conn, limit) = (handle(), Duration::from_secs(1));
        let beyond = |sending: Sending<'_>| sending.push_beyond(Instant::now(), limit).map(|(_, result)| result);
        assert!(matches!(send(&conn, "first").now_or_never(), Some(Ok(()))));
        assert!(matches!(beyond(waiting(&conn, "second")), Some(Ok(Beyond::Queued))));
        assert!(matches!(beyond(waiting(&conn, "third")), Some(Ok(Beyond::Full))));
        let admitted = waiting(&conn, "fourth");
        assert_eq!(taken(&conn), b"firstsecondfourth");
        assert!(matches!(beyond(admitted), Some(Ok(Beyond::Queued))));
        assert!(beyond(send(&conn, "not polled")).is_none());
        assert!(matches!(send(&conn, "fifth").now_or_never(), Some(Ok(()))));
        let closed = waiting(&conn, "sixth");
        conn.close(CloseCode::NORMAL, String::new());
        assert!(matches!(beyond(closed), Some(Err(QueueClosed))));
        assert_eq!(taken(&conn), b"fifth");
    }
}
