//! The outgoing queue of a connection: bounded in messages and bytes, first come first served.
//!
//! Senders only queue and wake; the connection's task takes. What the task itself queues, the replies, is copied together at
//! once into what one write takes, so that a reply needs no memory of its own. A sender that finds no room leaves its frame here
//! with its waker, and the taker moves it in: order is kept, no sender overtakes a waiting one, and a dropped
//! sender takes its frame back. Knows nothing of what the frames say.
mod sync;

use crate::connection::queue::sync::{Mutex, MutexGuard};
use bytes::Bytes;
use std::{
    cell::Cell,
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

/// How much may wait; see [`Config`](crate::Config).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Control frames (pongs) that wait at most. More are refused, and tungstenite then keeps the newest pong only, as
/// RFC 6455 section 5.5.3 allows: a peer that floods pings and reads nothing costs this much and no more.
const CONTROLS: usize = 4;
/// A deque with more room than this gives it back when it runs empty, so that an idle connection owns next to none.
const KEEP: usize = 64;

/// At most so many bytes leave in one write, unless one frame is longer.
pub(crate) const BATCH: usize = 64 * 1024;
/// A longer reply is queued by itself: it is written without another copy then.
const SHORT: usize = 16 * 1024;

thread_local! {
    /// For the next batch of this thread. The task that fills it writes it in the same poll, as long as its peer reads.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps the memory of a batch that was written.
pub(crate) fn recycle(mut batch: Vec<u8>) {
    batch.clear();
    SPARE.set(batch);
}

#[derive(Debug)]
pub(crate) struct Queue {
    /// Wakers are the user's code, or the runtime's: none is cloned, woken or dropped under this lock.
    state: Mutex<State>,
    bound: Bound,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// How many there are in `entries`.
    messages: usize,
    /// Sum of their lengths.
    bytes: usize,
    /// Ahead of `entries`, so that a full queue does not delay a pong.
    controls: VecDeque<Bytes>,
    /// A control frame was refused: the reader must be polled again when there is room.
    refused: bool,
    /// The reader has something to look at. A task that runs for what is queued alone leaves the reader's memory alone.
    reader: bool,
    /// Senders that found no room, in order of arrival.
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
    /// Every ticket below this one has moved in, or was given up.
    admitted: u64,
    /// The task runs, or is sure to: no need to wake it.
    scheduled: bool,
    /// Wakes the task. Taken out to wake, so that no lock is held meanwhile; the task puts it back.
    driver: Option<Waker>,
    closed: bool,
    /// Closed, but the reply of a handler that runs still comes in: once, and whether or not there is room.
    owed: bool,
}

#[derive(Debug)]
enum Entry {
    Frame(Bytes),
    /// Replies, one behind the other.
    Replies {
        bytes: Vec<u8>,
        messages: usize,
    },
}

impl Entry {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame,
            Self::Replies { bytes, .. } => bytes,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    frame: Bytes,
    /// Of a handler. At most one waits, as a connection handles one message at a time.
    reply: bool,
    waker: Waker,
}

/// A place among those that wait for room.
#[derive(Debug)]
pub(crate) struct Place(u64);

/// A frame that was not queued.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no room.
    Full,
    Closed,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    Nothing,
    /// One frame: written as it is, without a copy.
    One(Bytes),
    /// Several, copied one behind the other; [`recycle`] it.
    Many(Vec<u8>),
}

impl Queue {
    pub(crate) fn new(bound: Bound) -> Self {
        // A reader begins by itself.
        Self { state: Mutex::new(State { reader: true, ..State::default() }), bound }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code of the user's runs under this lock")
    }

    /// Queues the frame if there is room and nobody waits.
    pub(crate) fn try_push(&self, frame: Bytes) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if !state.waiting.is_empty() || !state.room(self.bound, frame.len()) {
            return Err(Refused::Full);
        }
        state.push(frame);
        let driver = state.schedule();
        drop(state);
        wake(driver);
        Ok(())
    }

    /// Queues a reply, for the connection's own task: it writes in the same poll, and so is not woken.
    pub(crate) fn try_append(&self, reply: &[u8]) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if reply.len() > SHORT || !state.waiting.is_empty() || !state.room(self.bound, reply.len()) {
            return Err(Refused::Full);
        }
        state.append(reply);
        Ok(())
    }

    /// Queues the frame, or leaves it here to be moved in when there is room. Whoever gives up must [`leave`](Self::leave).
    ///
    /// A `reply` is still taken where the close left room for one.
    pub(crate) fn push(&self, frame: Bytes, reply: bool, cx: &Context<'_>) -> Result<Option<Place>, Refused> {
        let mut waker = None;
        let mut state = self.lock();
        loop {
            let owed = reply && std::mem::take(&mut state.owed);
            if state.closed && !owed {
                return Err(Refused::Closed);
            }
            if owed || state.waiting.is_empty() && state.room(self.bound, frame.len()) {
                state.push(frame);
                let driver = state.schedule();
                drop(state);
                wake(driver);
                return Ok(None);
            }
            if let Some(waker) = waker.take() {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back(Waiting { ticket, frame, reply, waker });
                return Ok(Some(Place(ticket)));
            }
            // Few have to wait, so the waker is made only here, with the lock given up: there may be room after that.
            drop(state);
            waker = Some(cx.waker().clone());
            state = self.lock();
        }
    }

    /// Ready when the frame has moved in, or the queue was closed.
    pub(crate) fn poll_place(&self, place: &Place, cx: &Context<'_>) -> Poll<Result<(), Refused>> {
        // Ahead of the lock, as what is in it at the end is dropped behind that.
        let mut waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(at) = state.find(place) {
            std::mem::swap(&mut state.waiting[at].waker, &mut waker);
            return Poll::Pending;
        }
        // No longer waiting: moved in, or dropped by `close`.
        Poll::Ready(if place.0 < state.admitted { Ok(()) } else { Err(Refused::Closed) })
    }

    /// Takes a waiting frame back.
    pub(crate) fn leave(&self, place: &Place) {
        let mut state = self.lock();
        if let Some(at) = state.find(place) {
            let left = state.waiting.remove(at);
            // A long frame at the front may have kept shorter ones out.
            let senders = state.move_up(self.bound);
            let driver = if senders.is_empty() { None } else { state.schedule() };
            drop(state);
            drop(left);
            senders.into_iter().for_each(Waker::wake);
            wake(driver);
        }
    }

    /// False when too many wait already.
    pub(crate) fn push_control(&self, frame: &[u8]) -> bool {
        let mut state = self.lock();
        if state.controls.len() >= CONTROLS {
            state.refused = true;
            return false;
        }
        state.controls.push_back(Bytes::copy_from_slice(frame));
        true
    }

    /// Ends the queue for senders, those that wait included; what it holds still leaves. With `owed`, so does the reply of the
    /// handler that runs.
    pub(crate) fn close(&self, owed: bool) {
        let mut state = self.lock();
        state.closed = true;
        state.owed = owed;
        let mut waiting = std::mem::take(&mut state.waiting);
        if let Some(reply) = waiting.iter_mut().find(|waiting| owed && waiting.reply) {
            let frame = std::mem::take(&mut reply.frame);
            state.owed = false;
            state.push(frame);
        }
        // Woken even if it is sure to run again: that may be when a blocked socket takes something, and so late.
        state.scheduled = true;
        let driver = state.driver.take();
        drop(state);
        waiting.into_iter().for_each(|waiting| waiting.waker.wake());
        wake(driver);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The task runs: what is queued from now on leaves at the end of this poll. Whether the reader is to be polled too.
    pub(crate) fn begin(&self, waker: &Waker) -> bool {
        let mut replaced = None;
        let mut state = self.lock();
        // A task that nobody woke through here has its waker in its place.
        if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            drop(state);
            let driver = waker.clone();
            state = self.lock();
            replaced = state.driver.replace(driver);
        }
        state.scheduled = true;
        let reader = std::mem::take(&mut state.reader);
        drop(state);
        drop(replaced);
        reader
    }

    /// Something came for the reader: the task runs again, and polls it.
    pub(crate) fn wake_reader(&self) {
        let driver = self.lock().call_reader();
        wake(driver);
    }

    /// The task waits for its peer, so what stays here takes no more memory than it needs.
    pub(crate) fn settle(&self) {
        if let Some(Entry::Replies { bytes, .. }) = self.lock().entries.back_mut() {
            bytes.shrink_to_fit();
        }
    }

    /// The next frames, as many as one write takes and at least one; those that wait move up.
    ///
    /// On `Nothing` the task counts as parked, and the next sender wakes it.
    pub(crate) fn take(&self) -> Taken {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(first) = state.pop() else {
            state.scheduled = false;
            return Taken::Nothing;
        };
        let more = state.front().is_some_and(|second| first.bytes().len() + second <= BATCH);
        let taken = match first {
            Entry::Frame(frame) if !more => Taken::One(frame),
            first => {
                let mut batch = match first {
                    Entry::Replies { bytes, .. } => bytes,
                    Entry::Frame(frame) => {
                        let mut batch = SPARE.take();
                        batch.extend_from_slice(&frame);
                        batch
                    }
                };
                while state.front().is_some_and(|next| batch.len() + next <= BATCH) {
                    batch.extend_from_slice(state.pop().expect("there is a front").bytes());
                }
                Taken::Many(batch)
            }
        };
        let reader = if std::mem::take(&mut state.refused) { state.call_reader() } else { None };
        let senders = state.move_up(self.bound);
        if state.entries.is_empty() && state.entries.capacity() > KEEP {
            state.entries = VecDeque::new();
        }
        drop(guard);
        wake(reader);
        senders.into_iter().for_each(Waker::wake);
        taken
    }
}

impl State {
    /// One message is always admitted, however long.
    fn room(&self, bound: Bound, length: usize) -> bool {
        self.messages == 0 || (self.messages < bound.messages && self.bytes + length <= bound.bytes)
    }

    fn push(&mut self, frame: Bytes) {
        self.messages += 1;
        self.bytes += frame.len();
        self.entries.push_back(Entry::Frame(frame));
    }

    fn append(&mut self, reply: &[u8]) {
        self.messages += 1;
        self.bytes += reply.len();
        if let Some(Entry::Replies { bytes, messages }) = self.entries.back_mut() {
            if bytes.len() + reply.len() <= BATCH {
                bytes.extend_from_slice(reply);
                *messages += 1;
                return;
            }
        }
        let mut bytes = SPARE.take();
        bytes.extend_from_slice(reply);
        self.entries.push_back(Entry::Replies { bytes, messages: 1 });
    }

    /// Length of the next entry.
    fn front(&self) -> Option<usize> {
        self.controls.front().map(Bytes::len).or_else(|| self.entries.front().map(|entry| entry.bytes().len()))
    }

    fn pop(&mut self) -> Option<Entry> {
        if let Some(control) = self.controls.pop_front() {
            return Some(Entry::Frame(control));
        }
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.bytes().len();
        self.messages -= match &entry {
            Entry::Frame(_) => 1,
            Entry::Replies { messages, .. } => *messages,
        };
        Some(entry)
    }

    fn find(&self, place: &Place) -> Option<usize> {
        self.waiting.binary_search_by_key(&place.0, |waiting| waiting.ticket).ok()
    }

    /// Lets those that wait in, while there is room, and returns whom to wake for it.
    fn move_up(&mut self, bound: Bound) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.waiting.front().is_some_and(|first| self.room(bound, first.frame.len())) {
            let first = self.waiting.pop_front().expect("there is a front");
            self.push(first.frame);
            self.admitted = first.ticket + 1;
            wakers.push(first.waker);
        }
        wakers
    }

    /// The task's waker, unless the reader was called before. Taken whether the task runs or is blocked in a write, since the
    /// reader's turn in this poll may be over; without a waker the task is sure to run again.
    fn call_reader(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.reader, true) { None } else { self.driver.take() }
    }

    /// The task's waker, if the task does not run anyway.
    fn schedule(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.scheduled, true) { None } else { self.driver.take() }
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
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

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
        Queue::new(Bound { messages, bytes })
    }
    /// A frame that has to wait.
    fn waits(queue: &Queue, length: usize) -> Place {
        let place = queue.push(frame(length), false, &Context::from_waker(Waker::noop()));
        place.expect("the queue is open").expect("there is no room")
    }
    fn poll(queue: &Queue, place: &Place) -> Poll<Result<(), Refused>> {
        queue.poll_place(place, &Context::from_waker(Waker::noop()))
    }
    /// Takes all, of which one batch holds all that is queued at a time; the number of messages.
    fn drain(queue: &Queue) -> usize {
        let mut taken = 0;
        loop {
            let queued = queue.lock().messages;
            if matches!(queue.take(), Taken::Nothing) {
                return taken;
            }
            taken += queued;
        }
    }

    /// Rows C4 and V1: 1,024 messages fit, the next waits.
    #[test]
    fn a_full_queue_makes_the_sender_wait_and_room_lets_it_in() {
        let queue = queue(1024, usize::MAX);
        for _ in 0..1024 {
            assert!(queue.try_push(frame(1)).is_ok());
        }
        assert!(matches!(queue.try_push(frame(1)), Err(Refused::Full)));
        let place = waits(&queue, 1);
        assert!(poll(&queue, &place).is_pending());
        assert!(matches!(queue.take(), Taken::Many(batch) if batch.len() == 1024));
        assert!(matches!(poll(&queue, &place), Poll::Ready(Ok(()))));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn bytes_bound_the_queue_too_but_never_a_single_message() {
        let queue = queue(10, 100);
        assert!(queue.try_push(frame(500)).is_ok());
        assert!(matches!(queue.try_push(frame(1)), Err(Refused::Full)));
        assert_eq!(drain(&queue), 1);
        assert!(queue.try_push(frame(60)).is_ok());
        assert!(matches!(queue.try_push(frame(41)), Err(Refused::Full)));
        assert!(queue.try_push(frame(40)).is_ok());
    }

    #[test]
    fn nobody_overtakes_a_sender_that_waits() {
        let queue = queue(10, 100);
        queue.try_push(frame(90)).unwrap();
        waits(&queue, 50);
        assert!(matches!(queue.try_push(frame(1)), Err(Refused::Full)));
        // Nor does one that waits too, though there is room for it.
        waits(&queue, 1);
        assert!(matches!(queue.take(), Taken::One(frame) if frame.len() == 90));
        let state = queue.lock();
        assert_eq!(state.entries.iter().map(|entry| entry.bytes().len()).collect::<Vec<_>>(), [50, 1]);
    }

    #[test]
    fn a_dropped_sender_takes_its_frame_back_and_lets_shorter_ones_in() {
        let queue = queue(10, 100);
        queue.try_push(frame(90)).unwrap();
        let (long, short) = (waits(&queue, 50), waits(&queue, 5));
        assert!(poll(&queue, &short).is_pending());
        queue.leave(&long);
        assert!(matches!(poll(&queue, &short), Poll::Ready(Ok(()))));
        assert_eq!(drain(&queue), 2);
    }

    /// Row C4: a sender that waits learns of the close.
    #[test]
    fn closing_wakes_those_that_wait_with_an_error_and_keeps_what_was_accepted() {
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        let place = waits(&queue, 1);
        queue.close(false);
        assert!(matches!(poll(&queue, &place), Poll::Ready(Err(Refused::Closed))));
        assert!(matches!(queue.try_push(frame(1)), Err(Refused::Closed)));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn a_close_lets_the_reply_in_that_is_owed_and_no_other() {
        let cx = Context::from_waker(Waker::noop());
        // One that comes after the close.
        let late = queue(1, 100);
        late.try_push(frame(1)).unwrap();
        late.close(true);
        assert!(matches!(late.push(frame(1), false, &cx), Err(Refused::Closed)));
        assert!(matches!(late.push(frame(1), true, &cx), Ok(None)));
        assert!(matches!(late.push(frame(1), true, &cx), Err(Refused::Closed)));
        assert_eq!(drain(&late), 2);
        // One that waits already, behind another.
        let waiting = queue(1, 100);
        waiting.try_push(frame(1)).unwrap();
        let send = waits(&waiting, 1);
        waiting.push(frame(1), true, &cx).unwrap().expect("there is no room");
        waiting.close(true);
        assert!(matches!(poll(&waiting, &send), Poll::Ready(Err(Refused::Closed))));
        assert!(matches!(waiting.push(frame(1), true, &cx), Err(Refused::Closed)));
        assert_eq!(drain(&waiting), 2);
        // The time for it can be over.
        let over = queue(1, 100);
        over.close(true);
        over.close(false);
        assert!(matches!(over.push(frame(1), true, &cx), Err(Refused::Closed)));
    }

    /// A send that reports a failure must not arrive all the same: its caller will send again.
    #[test]
    fn a_frame_that_moved_in_right_before_the_close_counts_as_sent() {
        let queue = queue(1, 100);
        queue.try_push(frame(1)).unwrap();
        let (first, second) = (waits(&queue, 1), waits(&queue, 1));
        assert!(matches!(queue.take(), Taken::One(_)));
        queue.close(false);
        assert!(matches!(poll(&queue, &first), Poll::Ready(Ok(()))));
        assert!(matches!(poll(&queue, &second), Poll::Ready(Err(Refused::Closed))));
        assert_eq!(drain(&queue), 1);
    }

    #[test]
    fn a_parked_task_is_woken_once_for_many_frames() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin(&waker);
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 0, "the task runs anyway");
        assert_eq!(drain(&queue), 1);
        queue.try_push(frame(1)).unwrap();
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    /// A waker that looks at the queue when it is dropped, and then counts, as one may that owns a task with a sender in it.
    fn nosy(queue: &Arc<Queue>, count: &Arc<Count>) -> Waker {
        struct Nosy(Arc<Queue>, Arc<Count>);
        impl std::task::Wake for Nosy {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Nosy {
            fn drop(&mut self) {
                assert!(self.0.state.try_lock().is_ok(), "dropped under the lock");
                self.1.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        Arc::new(Nosy(queue.clone(), count.clone())).into()
    }

    #[test]
    fn no_waker_is_dropped_under_the_lock() {
        let (queue, count) = (Arc::new(queue(1, 100)), Arc::new(Count::default()));
        let nosy = || nosy(&queue, &count);
        let dropped = || count.0.load(Ordering::Relaxed);
        queue.begin(&nosy());
        queue.begin(&nosy());
        assert_eq!(dropped(), 1, "of two tasks' the older one");
        queue.try_push(frame(1)).unwrap();
        let place = queue.push(frame(1), false, &Context::from_waker(&nosy())).unwrap().unwrap();
        assert!(queue.poll_place(&place, &Context::from_waker(&nosy())).is_pending());
        assert_eq!(dropped(), 2, "of two of a sender's the older one");
        queue.leave(&place);
        assert_eq!(dropped(), 3);
        let place = queue.push(frame(1), false, &Context::from_waker(&nosy())).unwrap().unwrap();
        assert!(matches!(queue.take(), Taken::One(_)));
        assert_eq!(dropped(), 4, "that of a sender whose frame moved in");
        assert!(matches!(queue.poll_place(&place, &Context::from_waker(&nosy())), Poll::Ready(Ok(()))));
        assert_eq!(dropped(), 5);
        let _waits = queue.push(frame(1), false, &Context::from_waker(&nosy())).unwrap().unwrap();
        queue.close(false);
        assert_eq!(dropped(), 7, "the task's, and that of a sender who is turned away");
    }

    #[test]
    fn a_wake_for_what_is_queued_is_none_for_the_reader() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        assert!(queue.begin(&waker), "a reader begins by itself");
        drain(&queue);
        queue.try_push(frame(1)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!queue.begin(&waker));
    }

    /// Row C2: a slow peer does not stop reads.
    #[test]
    fn the_reader_is_called_while_the_task_is_blocked_in_a_write() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin(&waker);
        queue.wake_reader();
        queue.wake_reader();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "once, and though nothing was taken");
        assert!(queue.begin(&waker));
        assert!(!queue.begin(&waker));
    }

    #[test]
    fn room_for_a_refused_control_frame_calls_the_reader() {
        let (queue, count) = (queue(10, 100), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        queue.begin(&waker);
        for _ in 0..=CONTROLS {
            queue.push_control(b"pong");
        }
        drain(&queue);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.begin(&waker));
    }

    #[test]
    fn control_frames_go_first_and_only_a_few_wait() {
        let queue = queue(10, 100);
        queue.try_push(frame(7)).unwrap();
        for _ in 0..CONTROLS {
            assert!(queue.push_control(b"pong"));
        }
        assert!(!queue.push_control(b"pong"));
        assert!(matches!(queue.take(), Taken::Many(batch) if batch == b"pongpongpongpongxxxxxxx"));
    }

    #[test]
    fn a_queue_that_was_full_gives_its_memory_back() {
        let queue = queue(1024, usize::MAX);
        for _ in 0..1024 {
            queue.try_push(frame(1)).unwrap();
        }
        drain(&queue);
        assert_eq!(queue.lock().entries.capacity(), 0);
    }

    #[test]
    fn replies_and_what_others_send_leave_together_and_in_order() {
        let queue = queue(10, 100);
        queue.try_append(b"one").unwrap();
        queue.try_append(b"two").unwrap();
        queue.try_push(Bytes::from_static(b"three")).unwrap();
        queue.try_append(b"four").unwrap();
        assert!(matches!(queue.take(), Taken::Many(batch) if batch == b"onetwothreefour"));
        assert!(matches!(queue.take(), Taken::Nothing));
        let state = queue.lock();
        assert_eq!((state.messages, state.bytes), (0, 0), "what has left takes no room");
    }

    #[test]
    fn replies_are_bounded_as_all_messages_and_overtake_nobody() {
        let few = queue(2, 100);
        few.try_append(b"one").unwrap();
        few.try_append(b"two").unwrap();
        assert!(matches!(few.try_append(b"three"), Err(Refused::Full)));
        let short = queue(10, 5);
        short.try_append(b"four").unwrap();
        assert!(matches!(short.try_append(b"to"), Err(Refused::Full)));
        waits(&short, 2);
        assert!(matches!(short.try_append(b"-"), Err(Refused::Full)));
        assert!(matches!(short.take(), Taken::One(_) | Taken::Many(_)));
        assert_eq!(drain(&short), 1, "the one that waited has moved in");
        short.close(false);
        assert!(matches!(short.try_append(b"-"), Err(Refused::Closed)));
    }

    #[test]
    fn more_replies_than_one_write_takes_are_several_batches() {
        let queue = queue(usize::MAX, usize::MAX);
        let reply = [b'x'; SHORT];
        for _ in 0..9 {
            queue.try_append(&reply).unwrap();
        }
        for expected in [4, 4, 1] {
            assert!(matches!(queue.take(), Taken::Many(batch) if batch.len() == expected * SHORT));
        }
        assert!(matches!(queue.try_append(&[b'x'; SHORT + 1]), Err(Refused::Full)), "a long one is queued by itself");
    }

    /// A peer that reads nothing costs what waits for it, not the memory of a whole batch.
    #[test]
    fn replies_that_stay_take_no_more_memory_than_they_need() {
        recycle(Vec::with_capacity(BATCH));
        let queue = queue(10, 100);
        queue.try_append(b"one").unwrap();
        queue.settle();
        let state = queue.lock();
        assert!(matches!(state.entries.back(), Some(Entry::Replies { bytes, .. }) if bytes.capacity() == 3));
    }
}
