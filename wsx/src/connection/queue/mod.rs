//! The outgoing queue of a connection: bounded in messages and bytes, first come first served.
//!
//! Senders queue frames and wake the task of the connection, and the task takes them. The task
//! itself queues replies. They are copied into one batch for the next write, so a reply does not
//! need its own memory. If the queue is full, a sender leaves its frame and its waker here. The
//! frame is queued when there is room. So the order is kept, and a new sender never overtakes a
//! waiting one. A dropped sender takes its frame back.
//!
//! It does not know the content of the frames or the socket.
mod budget;
mod buffer;
mod state;

pub(crate) use crate::connection::queue::{budget::Budget, buffer::Bound, state::Beyond};

use crate::connection::{
    loom_or_std::{Mutex, MutexGuard},
    queue::{
        buffer::Entry,
        state::{Access, State},
    },
};
use bytes::Bytes;
use std::{
    cell::Cell,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{sync::SetOnce, time::Instant};

/// Maximum length of one write, in bytes, unless a single frame is longer.
pub(crate) const BATCH: usize = 64 * 1024;
/// Maximum length of a reply that is copied. A longer reply is queued by itself and written without
/// a copy.
const MAX_COPIED_REPLY: usize = 16 * 1024;

/// Maximum length of a batch whose memory the thread keeps, in bytes. A batch grows by doubling.
const MAX_KEPT: usize = 2 * BATCH;

thread_local! {
    /// The memory for the next batch of this thread. A task fills and writes its batch in the same
    /// poll, as long as its peer reads.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps the memory of a written batch for the next batch of this thread.
pub(crate) fn recycle(mut batch: Vec<u8>) {
    batch.clear();
    if batch.capacity() <= MAX_KEPT {
        SPARE.set(batch);
    }
}

fn spare_batch() -> Vec<u8> {
    SPARE.take()
}

#[derive(Debug)]
pub(crate) struct Queue {
    /// Wakers run code of the application or the runtime. They are not cloned, woken or dropped
    /// under this lock.
    state: Mutex<State>,
}

/// Identifies a waiting sender.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// The reason why a frame was not queued.
#[derive(Debug)]
pub(crate) enum PushError {
    /// The queue is full.
    Full,
    Closed,
}

/// The queue does not take more frames.
#[derive(Debug)]
pub(crate) struct QueueClosed;

/// The result of a push. The number is that of the messages which were queued before, since the
/// connection began.
#[derive(Debug)]
pub(crate) enum Pushed {
    Queued(u64),
    /// The queue is full, and the sender waits. A sender that stops waiting must
    /// [`cancel`](Queue::cancel).
    Waiting(Ticket, u64),
}

/// The frames that [`Queue::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    Nothing,
    /// A single frame, which is written as it is.
    One(Bytes),
    /// Several frames in one piece of memory; [`recycle`] it.
    Many(Vec<u8>),
    /// All earlier frames were taken. It is set when the socket has taken them too.
    Flush(Flushed),
}

/// Is set when the socket has taken all frames that were queued before it.
pub(crate) type Flushed = Arc<SetOnce<()>>;

impl Queue {
    pub(crate) fn new(bound: Bound, budget: Budget) -> Self {
        Self { state: Mutex::new(State::new(bound, budget)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the application's code does not run under this lock")
    }

    /// Queues the frame if there is room and no sender waits.
    pub(crate) fn try_push(&self, frame: Bytes) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.access != Access::Open {
            return Err(PushError::Closed);
        }
        if !state.has_room(frame.len()) {
            return Err(PushError::Full);
        }
        state.buffer.push(frame);
        let task = state.schedule();
        drop(state);
        wake(task);
        Ok(())
    }

    /// Queues a short reply, with a copy. Only the connection's own task calls this. It is not
    /// woken, because it writes in the same poll.
    ///
    /// Replies have a reserve beyond the bounds. Otherwise two ends that both send and answer would
    /// wait for each other.
    pub(crate) fn try_append(&self, reply: &[u8]) -> Result<(), PushError> {
        if reply.len() > MAX_COPIED_REPLY {
            return Err(PushError::Full);
        }
        self.lock_for_reply(reply.len())?.buffer.append(reply);
        Ok(())
    }

    /// Queues a reply of any length, without a copy; otherwise as [`try_append`](Self::try_append).
    /// If the reserve is full, the reader is polled again when there is room.
    pub(crate) fn try_reply(&self, reply: &Bytes) -> Result<(), PushError> {
        self.lock_for_reply(reply.len())?.buffer.push(reply.clone());
        Ok(())
    }

    #[inline]
    fn lock_for_reply(&self, length: usize) -> Result<MutexGuard<'_, State>, PushError> {
        let mut state = self.lock();
        if state.access == Access::Closed {
            return Err(PushError::Closed);
        }
        if !state.buffer.has_reserve(length) {
            state.wait_for_room();
            return Err(PushError::Full);
        }
        Ok(state)
    }

    /// Queues a frame of a delivery, which has bounds of its own: those of its window.
    pub(crate) fn push_delivery(&self, frame: Bytes) -> Result<(), QueueClosed> {
        self.push_bounded_elsewhere(frame, Access::Open)
    }

    /// Whether the reserve for replies has room.
    pub(crate) fn has_reserve(&self) -> bool {
        self.lock().buffer.has_reserve_for_frame(0)
    }

    /// Queues an acknowledgement, also while the connection closes. The caller asks before whether
    /// the reserve [has room](Self::has_reserve).
    pub(crate) fn push_acknowledgement(&self, frame: Bytes) -> Result<(), QueueClosed> {
        self.push_bounded_elsewhere(frame, Access::Replies)
    }

    /// Queues a frame whose number is bounded by its sender, if the queue has this access or more.
    fn push_bounded_elsewhere(&self, frame: Bytes, least: Access) -> Result<(), QueueClosed> {
        let mut state = self.lock();
        if state.access > least {
            return Err(QueueClosed);
        }
        state.buffer.push(frame);
        let task = state.schedule();
        drop(state);
        wake(task);
        Ok(())
    }

    /// Queues the frame of a broadcast to a queue that is [full](PushError::Full).
    pub(crate) fn push_beyond(&self, frame: Bytes, now: Instant, limit: Duration) -> Result<Beyond, QueueClosed> {
        let mut state = self.lock();
        if state.access != Access::Open {
            return Err(QueueClosed);
        }
        let result = state.push_beyond(frame, now, limit);
        let task = state.schedule();
        drop(state);
        wake(task);
        Ok(result)
    }

    /// Queues a mark, which is set when the socket has taken all frames before it.
    pub(crate) fn flush(&self) -> Result<Flushed, QueueClosed> {
        let mut state = self.lock();
        if state.access != Access::Open {
            return Err(QueueClosed);
        }
        let flushed = state.buffer.push_flush();
        let task = state.schedule();
        drop(state);
        wake(task);
        Ok(flushed)
    }

    /// Puts a mark back that was taken, because the socket holds bytes back.
    pub(crate) fn put_back(&self, flushed: Flushed) {
        self.lock().buffer.entries.push_front(Entry::Flush(flushed));
    }

    /// Returns how many messages the task has taken, to write them, since the connection began.
    pub(crate) fn taken(&self) -> u64 {
        let state = self.lock();
        state.buffer.pushed - state.buffer.messages as u64
    }

    /// Whether broadcasts do not wait for this queue.
    pub(crate) fn is_behind(&self) -> bool {
        self.lock().is_behind()
    }

    /// Queues the frame, or keeps it here until there is room.
    pub(crate) fn push(&self, frame: Bytes, cx: &Context<'_>) -> Result<Pushed, QueueClosed> {
        let mut waker = None;
        let mut state = self.lock();
        loop {
            if state.access != Access::Open {
                return Err(QueueClosed);
            }
            if state.has_room(frame.len()) {
                let before = state.buffer.pushed;
                state.buffer.push(frame);
                let task = state.schedule();
                drop(state);
                wake(task);
                return Ok(Pushed::Queued(before));
            }
            if let Some(waker) = waker.take() {
                let before = state.buffer.pushed;
                return Ok(Pushed::Waiting(state.wait(frame, waker), before));
            }
            // Few senders have to wait, so the waker is cloned only here, without the lock. There
            // may be room after that.
            drop(state);
            waker = Some(cx.waker().clone());
            state = self.lock();
        }
    }

    /// Ready when the frame is queued, or when the queue was closed before that.
    pub(crate) fn poll_ticket(&self, ticket: &Ticket, cx: &Context<'_>) -> Poll<Result<(), QueueClosed>> {
        // Declared before the lock, so that the waker in it is dropped after the lock is released.
        let mut waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(known) = state.waker_of(ticket) {
            std::mem::swap(known, &mut waker);
            return Poll::Pending;
        }
        Poll::Ready(if state.was_admitted(ticket) { Ok(()) } else { Err(QueueClosed) })
    }

    /// Removes a waiting sender, and returns its frame.
    pub(crate) fn cancel(&self, ticket: &Ticket) -> Option<Bytes> {
        let mut state = self.lock();
        let (frame, waker) = state.cancel(ticket)?;
        // Shorter frames may have waited for this one.
        let senders = state.admit_waiters();
        let task = if senders.is_empty() { None } else { state.schedule() };
        drop(state);
        drop(waker);
        senders.into_iter().for_each(Waker::wake);
        wake(task);
        Some(frame)
    }

    /// Whether the frame of a sender that no longer waits was queued.
    pub(crate) fn was_admitted(&self, ticket: &Ticket) -> bool {
        self.lock().was_admitted(ticket)
    }

    /// Removes a waiting sender. Returns whether its frame was queued meanwhile, and so is sent.
    pub(crate) fn give_up(&self, ticket: &Ticket) -> bool {
        self.cancel(ticket).is_none() && self.was_admitted(ticket)
    }

    /// Queues a control frame before all messages. Returns `false` if the queue is full.
    pub(crate) fn push_control(&self, frame: &[u8]) -> bool {
        let mut state = self.lock();
        let has_room = state.buffer.push_control(frame);
        if !has_room {
            state.wait_for_room();
        }
        has_room
    }

    /// Closes the queue for all senders, including waiting ones, and for replies. Queued frames are
    /// still sent.
    pub(crate) fn close(&self) {
        self.close_to(Access::Closed);
    }

    /// Closes the queue for all senders, including waiting ones, but not for replies.
    pub(crate) fn close_to_sends(&self) {
        self.close_to(Access::Replies);
    }

    fn close_to(&self, access: Access) {
        let wakers = self.lock().close(access);
        wakers.for_each(Waker::wake);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().access != Access::Open
    }

    /// Begins a poll of the task. Frames that are queued from now on are sent at its end. Returns
    /// whether the task has to poll its reader.
    pub(crate) fn begin_poll(&self, waker: &Waker) -> bool {
        let mut replaced = None;
        let mut state = self.lock();
        // The waker is still here if the task was not woken through the queue.
        if state.needs_waker(waker) {
            drop(state);
            let waker = waker.clone();
            state = self.lock();
            replaced = state.set_waker(waker);
        }
        let polls_reader = state.begin_poll();
        drop(state);
        drop(replaced);
        polls_reader
    }

    /// Returns the number of queued messages as the last call returned it, and as it is now, if
    /// they differ. Under the lock, so that the differences of all calls add up.
    pub(crate) fn report(&self) -> Option<(usize, usize)> {
        self.lock().report()
    }

    /// As [`report`](Self::report), for a connection that has ended: now is 0, also after later
    /// calls.
    pub(crate) fn end_reports(&self) -> Option<(usize, usize)> {
        self.lock().end_reports()
    }

    /// Wakes the task, which then polls its reader.
    pub(crate) fn wake_reader(&self) {
        let task = self.lock().call_reader();
        wake(task);
    }

    /// Frees the memory that the queued frames do not fill, because the task waits for its peer.
    pub(crate) fn shrink(&self) {
        self.lock().buffer.shrink_replies();
    }

    /// Takes the next frames: at least one, and at most those of one write. Then queues the frames
    /// of waiting senders.
    ///
    /// After [`Taken::Nothing`] the task counts as parked, and the next sender wakes it.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.lock();
        let taken = state.buffer.take();
        if matches!(taken, Taken::Nothing) {
            state.park();
            return taken;
        }
        state.taken();
        let reader = state.room_for_reader();
        let senders = state.admit_waiters();
        state.buffer.shrink_if_empty();
        drop(state);
        wake(reader);
        senders.into_iter().for_each(Waker::wake);
        taken
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::queue::buffer::MAX_CONTROLS;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }
    fn queue(messages: usize, bytes: usize) -> Queue {
        Queue::new(Bound { messages, bytes }, Budget::default())
    }
    fn push_and_wait(queue: &Queue, length: usize, waker: &Waker) -> Ticket {
        match queue.push(frame(length), &Context::from_waker(waker)) {
            Ok(Pushed::Waiting(ticket, _)) => ticket,
            other => panic!("{other:?}, though there is no room"),
        }
    }
    /// Pushes a frame that has to wait.
    fn wait(queue: &Queue, length: usize) -> Ticket {
        push_and_wait(queue, length, Waker::noop())
    }
    fn poll(queue: &Queue, ticket: &Ticket) -> Poll<Result<(), QueueClosed>> {
        queue.poll_ticket(ticket, &Context::from_waker(Waker::noop()))
    }
    /// Takes everything, one batch at a time. Returns the number of messages.
    fn drain(queue: &Queue) -> usize {
        let mut taken = 0;
        loop {
            let queued = queue.lock().buffer.messages;
            if matches!(queue.take(), Taken::Nothing) {
                return taken;
            }
            taken += queued;
        }
    }

    /// Rows C4 and V1: 1,024 messages fit, and the next one waits.
    #[test]
    fn a_sender_waits_while_the_queue_is_full() {
        let queue = queue(1024, usize::MAX);
        for _ in 0..1024 {
            assert!(queue.try_push(frame(1)).is_ok());
        }
        assert!(matches!(queue.try_push(frame(1)), Err(PushError::Full)));
        let ticket = wait(&queue, 1);
        assert!(poll(&queue, &ticket).is_pending());
        assert!(matches!(queue.take(), Taken::Many(batch) if batch.len() == 1024));
        assert!(matches!(poll(&queue, &ticket), Poll::Ready(Ok(()))));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn bytes_bound_the_queue_but_not_a_single_message() {
        let queue = queue(10, 100);
        assert!(queue.try_push(frame(500)).is_ok());
        assert!(matches!(queue.try_push(frame(1)), Err(PushError::Full)));
        assert_eq!(drain(&queue), 1);
        assert!(queue.try_push(frame(60)).is_ok());
        assert!(matches!(queue.try_push(frame(41)), Err(PushError::Full)));
        assert!(queue.try_push(frame(40)).is_ok());
    }

    #[test]
    fn a_waiting_sender_is_not_overtaken() {
        let queue = queue(10, 100);
        queue.try_push(frame(90)).unwrap();
        wait(&queue, 50);
        assert!(matches!(queue.try_push(frame(1)), Err(PushError::Full)));
        // A sender that waits does not overtake it either, although there is room for its frame.
        wait(&queue, 1);
        assert!(matches!(queue.take(), Taken::One(frame) if frame.len() == 90));
        let state = queue.lock();
        assert_eq!(state.buffer.entries.iter().map(|entry| entry.bytes().len()).collect::<Vec<_>>(), [50, 1]);
    }

    #[test]
    fn a_cancelled_sender_makes_way_for_shorter_frames() {
        let queue = queue(10, 100);
        queue.try_push(frame(90)).unwrap();
        let (long, short) = (wait(&queue, 50), wait(&queue, 5));
        assert!(poll(&queue, &short).is_pending());
        queue.cancel(&long);
        assert!(matches!(poll(&queue, &short), Poll::Ready(Ok(()))));
        assert_eq!(drain(&queue), 2);
    }

    /// Row C4: a close ends the wait of a sender.
    #[test]
    fn a_close_fails_waiting_senders_and_keeps_queued_frames() {
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        let ticket = wait(&queue, 1);
        queue.close();
        assert!(matches!(poll(&queue, &ticket), Poll::Ready(Err(QueueClosed))));
        assert!(matches!(queue.try_push(frame(1)), Err(PushError::Closed)));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn a_queue_that_is_closed_to_sends_takes_replies() {
        let cx = Context::from_waker(Waker::noop());
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        let send = wait(&queue, 1);
        assert!(!queue.is_closed());
        queue.close_to_sends();
        assert!(queue.is_closed());
        assert!(matches!(poll(&queue, &send), Poll::Ready(Err(QueueClosed))));
        assert!(matches!(queue.push(frame(1), &cx), Err(QueueClosed)));
        assert!(matches!(queue.push_beyond(frame(1), Instant::now(), Duration::MAX), Err(QueueClosed)));
        queue.try_append(b"one").unwrap();
        queue.try_reply(&frame(90)).unwrap();
        assert_eq!(drain(&queue), 3);
        // The task has closed the queue before the reply.
        queue.close();
        queue.close_to_sends();
        assert!(queue.is_closed());
        assert!(matches!(queue.try_append(b"two"), Err(PushError::Closed)));
        assert!(matches!(queue.try_reply(&frame(1)), Err(PushError::Closed)));
    }

    /// A send that returns an error must not be delivered, because its caller sends again.
    #[test]
    fn a_frame_admitted_right_before_the_close_counts_as_sent() {
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        let (first, second) = (wait(&queue, 1), wait(&queue, 1));
        assert!(matches!(queue.take(), Taken::One(_)));
        queue.close();
        assert!(queue.was_admitted(&first) && !queue.was_admitted(&second));
        assert!(matches!(poll(&queue, &first), Poll::Ready(Ok(()))));
        assert!(matches!(poll(&queue, &second), Poll::Ready(Err(QueueClosed))));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn a_parked_task_is_woken_once_for_many_frames() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin_poll(&waker);
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 0, "the task runs already");
        assert_eq!(drain(&queue), 1);
        queue.try_push(frame(1)).unwrap();
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    /// A waker that takes the queue's lock when it is dropped. A real one does that if it owns a
    /// task with a sender in it.
    fn lock_checker(queue: &Arc<Queue>, count: &Arc<Count>) -> Waker {
        struct LockChecker(Arc<Queue>, Arc<Count>);
        impl std::task::Wake for LockChecker {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for LockChecker {
            fn drop(&mut self) {
                assert!(self.0.state.try_lock().is_ok(), "dropped under the lock");
                self.1.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        Arc::new(LockChecker(queue.clone(), count.clone())).into()
    }

    #[test]
    fn no_waker_is_dropped_under_the_lock() {
        let (queue, count) = (Arc::new(queue(1, 100)), Arc::new(Count::default()));
        let waker = || lock_checker(&queue, &count);
        let dropped = || count.0.load(Ordering::Relaxed);
        queue.begin_poll(&waker());
        queue.begin_poll(&waker());
        assert_eq!(dropped(), 1, "the waker of the first task");
        queue.try_push(frame(1)).unwrap();
        let ticket = push_and_wait(&queue, 1, &waker());
        assert!(queue.poll_ticket(&ticket, &Context::from_waker(&waker())).is_pending());
        assert_eq!(dropped(), 2, "the first waker of the sender");
        queue.cancel(&ticket);
        assert_eq!(dropped(), 3);
        let ticket = push_and_wait(&queue, 1, &waker());
        assert!(matches!(queue.take(), Taken::One(_)));
        assert_eq!(dropped(), 4, "the waker of an admitted sender");
        assert!(matches!(queue.poll_ticket(&ticket, &Context::from_waker(&waker())), Poll::Ready(Ok(()))));
        assert_eq!(dropped(), 5);
        let _waiting = push_and_wait(&queue, 1, &waker());
        queue.close();
        assert_eq!(dropped(), 7, "the wakers of the task and of a sender that failed");
    }

    #[test]
    fn a_queued_frame_does_not_poll_the_reader() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        assert!(queue.begin_poll(&waker), "the first poll starts the reader");
        drain(&queue);
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!queue.begin_poll(&waker));
    }

    /// Row C2: a slow peer does not stop reads.
    #[test]
    fn the_reader_is_woken_while_the_task_is_blocked_in_a_write() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin_poll(&waker);
        queue.wake_reader();
        queue.wake_reader();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "once, although the task has taken nothing");
        assert!(queue.begin_poll(&waker));
        assert!(!queue.begin_poll(&waker));
    }

    /// The task may be blocked in a write when its reader learns that the reply cannot be sent.
    #[test]
    fn a_close_calls_a_reader_that_waits_for_room_and_no_other() {
        for (waits, closes, is_called) in
            [(true, true, true), (false, true, false), (true, false, false), (false, false, false)]
        {
            let queue = queue(1, 10);
            queue.begin_poll(Waker::noop());
            queue.try_push(frame(20)).unwrap();
            if waits {
                assert!(matches!(queue.try_reply(&frame(1)), Err(PushError::Full)));
            }
            if closes {
                queue.close();
            } else {
                queue.close_to_sends();
            }
            assert_eq!(queue.begin_poll(Waker::noop()), is_called, "{waits}, {closes}");
        }
    }

    #[test]
    fn room_for_a_rejected_control_frame_wakes_the_reader() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin_poll(&waker);
        queue.push_control(b"pong");
        drain(&queue);
        assert_eq!(count.0.load(Ordering::Relaxed), 0, "there was room");
        for _ in 0..=MAX_CONTROLS {
            queue.push_control(b"pong");
        }
        drain(&queue);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.begin_poll(&waker));
    }

    #[test]
    fn control_frames_leave_first_and_are_bounded() {
        let queue = queue(10, 100);
        queue.try_push(frame(7)).unwrap();
        for _ in 0..MAX_CONTROLS {
            assert!(queue.push_control(b"pong"));
        }
        assert!(!queue.push_control(b"pong"));
        assert!(
            matches!(queue.take(), Taken::Many(batch) if batch == [b"pong".repeat(MAX_CONTROLS), vec![b'x'; 7]].concat())
        );
    }

    /// Row X10: the gauge of queued messages.
    #[test]
    fn the_reported_numbers_of_messages_add_up_to_zero() {
        let queue = queue(10, 100);
        assert_eq!(queue.report(), None);
        queue.try_push(frame(1)).unwrap();
        queue.try_append(b"reply").unwrap();
        assert_eq!(queue.report(), Some((0, 2)));
        assert_eq!(queue.report(), None);
        drain(&queue);
        queue.try_push(frame(1)).unwrap();
        assert_eq!(queue.report(), Some((2, 1)));
        queue.close();
        assert_eq!(queue.end_reports(), Some((1, 0)), "the message stays in the queue");
        assert_eq!((queue.report(), queue.end_reports()), (None, None));
    }

    #[test]
    fn an_empty_queue_gives_its_memory_back() {
        let queue = queue(1024, usize::MAX);
        for _ in 0..1024 {
            queue.try_push(frame(1)).unwrap();
        }
        drain(&queue);
        assert_eq!(queue.lock().buffer.entries.capacity(), 0);
    }

    /// Row V1: a storm of senders leaves nothing behind.
    #[test]
    fn an_empty_queue_keeps_no_memory_of_waiting_senders() {
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        for _ in 0..4 {
            wait(&queue, 1);
        }
        assert_eq!(drain(&queue), 5);
        assert_eq!(queue.lock().waiters_capacity(), 4, "few senders wait again in the same memory");
        queue.try_push(frame(1)).unwrap();
        let senders: Vec<_> = (0..100).map(|_| wait(&queue, 1)).collect();
        let rest = &senders[..50];
        rest.iter().for_each(|sender| assert!(queue.cancel(sender).is_some()));
        (0..50).for_each(|_| assert!(matches!(queue.take(), Taken::One(_))));
        assert_eq!(queue.lock().waiters_capacity(), 0);
        assert_eq!(drain(&queue), 1);
    }

    /// Row V1: the budget of a hub.
    #[test]
    fn beyond_the_budget_of_the_hub_each_queue_takes_one_message() {
        let budget = Budget::new(100);
        let queues = [(); 3].map(|()| Queue::new(Bound { messages: 10, bytes: 100 }, budget.clone()));
        let [first, second, third] = &queues;
        first.try_push(frame(90)).unwrap();
        second.try_push(frame(10)).unwrap();
        assert!(matches!(second.try_push(frame(1)), Err(PushError::Full)));
        assert!(matches!(second.try_append(b"1"), Err(PushError::Full)));
        third.try_push(frame(50)).unwrap();
        assert!(matches!(third.try_push(frame(1)), Err(PushError::Full)));
        assert_eq!(drain(third), 1);
        drop(queues);
        let last = Queue::new(Bound { messages: 10, bytes: 100 }, budget);
        last.try_push(frame(1)).unwrap();
        last.try_push(frame(99)).unwrap();
        assert!(matches!(last.try_push(frame(1)), Err(PushError::Full)), "queues that are gone do not count");
    }

    #[test]
    fn replies_and_sends_leave_together_and_in_order() {
        let queue = queue(10, 100);
        queue.try_append(b"one").unwrap();
        queue.try_append(b"two").unwrap();
        queue.try_push(Bytes::from_static(b"three")).unwrap();
        queue.try_append(b"four").unwrap();
        assert!(matches!(queue.take(), Taken::Many(batch) if batch == b"onetwothreefour"));
        assert!(matches!(queue.take(), Taken::Nothing));
        let state = queue.lock();
        assert_eq!((state.buffer.messages, state.buffer.bytes), (0, 0), "frames that have left take no room");
    }

    /// Row V1: replies do not wait for sends, and have a reserve of their own.
    #[test]
    fn replies_have_a_bounded_reserve_beyond_a_full_queue() {
        let (queue, count) = (queue(1, 100), Arc::new(Count::default()));
        queue.begin_poll(&Waker::from(count.clone()));
        queue.try_push(frame(100)).unwrap();
        let send = wait(&queue, 1);
        for _ in 0..4 {
            queue.try_append(&[b'r'; 20]).unwrap();
        }
        queue.try_reply(&frame(20)).unwrap();
        assert!(matches!(queue.try_append(b"-"), Err(PushError::Full)));
        assert!(matches!(queue.try_reply(&frame(1)), Err(PushError::Full)));
        assert!(poll(&queue, &send).is_pending());
        assert!(matches!(queue.take(), Taken::Many(batch) if batch.len() == 200));
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "the reader waits for room for its reply");
        assert!(matches!(poll(&queue, &send), Poll::Ready(Ok(()))));
        queue.try_reply(&frame(99)).unwrap();
    }

    #[test]
    fn broadcasts_have_a_bounded_reserve_beyond_a_full_queue() {
        let (queue, now) = (queue(10, 100), Instant::now());
        let (limit, later) = (Duration::from_secs(1), Duration::from_millis(999));
        queue.try_push(frame(100)).unwrap();
        assert!(!queue.is_behind());
        let many = Queue::new(Bound { messages: 2, bytes: 100 }, Budget::default());
        many.try_push(frame(1)).unwrap();
        let results = [(); 4].map(|()| many.push_beyond(frame(1), now, limit).unwrap());
        assert_eq!(results, [Beyond::Queued, Beyond::Queued, Beyond::Queued, Beyond::Full]);
        assert_eq!(queue.push_beyond(frame(50), now, limit).unwrap(), Beyond::Queued);
        assert!(queue.is_behind());
        assert_eq!(queue.push_beyond(frame(49), now + later, limit).unwrap(), Beyond::Queued);
        assert_eq!(queue.push_beyond(frame(2), now + later, limit).unwrap(), Beyond::Full);
        assert_eq!(queue.push_beyond(frame(1), now + limit, limit).unwrap(), Beyond::TooLong);
        drain(&queue);
        assert!(!queue.is_behind(), "a peer that has caught up begins anew");
        assert_eq!(queue.push_beyond(frame(1), now + limit, limit).unwrap(), Beyond::Queued);
    }

    #[test]
    fn a_queue_is_behind_until_half_of_it_is_free() {
        let queue = queue(10, 300_000);
        (0..3).for_each(|_| queue.try_push(frame(100_000)).unwrap());
        assert_eq!(queue.push_beyond(frame(1), Instant::now(), Duration::MAX).unwrap(), Beyond::Queued);
        for is_behind in [true, false, false] {
            assert!(matches!(queue.take(), Taken::One(_) | Taken::Many(_)));
            assert_eq!(queue.is_behind(), is_behind);
        }
    }

    #[test]
    fn replies_that_exceed_one_write_are_several_batches() {
        const LONGEST: usize = 16 * 1024;
        let queue = queue(usize::MAX, usize::MAX);
        for _ in 0..9 {
            queue.try_append(&[b'x'; LONGEST]).unwrap();
        }
        for expected in [4, 4, 1] {
            assert!(matches!(queue.take(), Taken::Many(batch) if batch.len() == expected * LONGEST));
        }
        let longer = queue.try_append(&[b'x'; LONGEST + 1]);
        assert!(matches!(longer, Err(PushError::Full)), "a long one is queued by itself");
    }

    #[test]
    fn the_thread_keeps_the_memory_of_a_batch_of_at_most_128_kib() {
        for (size, kept) in [(128 * 1024, 128 * 1024), (128 * 1024 + 1, 0)] {
            spare_batch();
            let mut batch = Vec::with_capacity(size);
            batch.push(1);
            recycle(batch);
            let spare = spare_batch();
            assert_eq!((spare.len(), spare.capacity()), (0, kept));
        }
    }

    /// A peer that reads nothing costs the memory of its queued frames, and not of a whole batch.
    #[test]
    fn replies_that_stay_use_only_the_memory_they_need() {
        recycle(Vec::with_capacity(BATCH));
        let queue = queue(10, 100);
        queue.try_append(b"one").unwrap();
        queue.shrink();
        let state = queue.lock();
        assert!(matches!(state.buffer.entries.back(), Some(Entry::Replies { bytes, .. }) if bytes.capacity() == 3));
    }

    /// Row K25: a mark ends a batch, counts as nothing, and is not there twice.
    #[test]
    fn a_mark_is_taken_after_the_frames_before_it() {
        let queue = Queue::new(Bound { messages: 10, bytes: usize::MAX }, Budget::default());
        queue.try_push(Bytes::from_static(b"a")).unwrap();
        queue.try_push(Bytes::from_static(b"b")).unwrap();
        let first = queue.flush().unwrap();
        for _ in 0..100 {
            assert!(Arc::ptr_eq(&first, &queue.flush().unwrap()));
        }
        queue.try_append(b"c").unwrap();
        let second = queue.flush().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        let held = |queue: &Queue| {
            let state = queue.lock();
            (state.buffer.entries.len(), state.buffer.messages)
        };
        assert_eq!(held(&queue), (5, 3));
        assert!(matches!(queue.take(), Taken::Many(batch) if batch == b"ab"));
        let Taken::Flush(taken) = queue.take() else { panic!("the mark is next") };
        queue.put_back(taken);
        assert!(matches!(queue.take(), Taken::Flush(taken) if Arc::ptr_eq(&taken, &first)));
        assert!(matches!(queue.take(), Taken::Many(batch) if batch == b"c"));
        assert!(matches!(queue.take(), Taken::Flush(_)));
        assert!(matches!(queue.take(), Taken::Nothing));
        queue.close_to_sends();
        assert!(queue.flush().is_err());
    }
}
