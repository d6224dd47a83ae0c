//! The states of a queue: which senders may queue, which senders wait, and which of them must be
//! woken.
//!
//! It does not lock or wake. A method returns the wakers, and the queue calls them after it has
//! released its lock.
//!
//! Which senders may queue a frame:
//!
//! ```text
//!         close_to_sends              close
//!   Open ----------------> Replies ----------> Closed
//!    |                                           ^
//!    |                   close                   |
//!    +-------------------------------------------+
//! ```
//!
//! Whether a sender has to wake the task:
//!
//! ```text
//!             a frame is queued, the queue is closed, or the task is polled
//!   Parked --------------------------------------------------------------> Scheduled
//!     ^                                                                        |
//!     +------------------------------------------------------------------------+
//!                         the task finds nothing to write
//! ```
//!
//! Whether the task has to poll its reader:
//!
//! ```text
//!       no room for a control frame or a reply          there is room, or the queue is closed
//!   Idle -------------------------------> WaitsForRoom ---------------+
//!   ^  |                                       |                      v
//!   |  +---------------------------------------+-----------------> Called
//!   |                 the reader is woken                             |
//!   +-----------------------------------------------------------------+
//!                         the task polls its reader
//! ```
use crate::connection::queue::{
    Ticket,
    budget::Budget,
    buffer::{Bound, Buffer},
};
use bytes::Bytes;
use std::{collections::VecDeque, task::Waker, time::Duration};
use tokio::time::Instant;

/// Maximum number of waiting senders for which an empty list keeps memory.
const MAX_KEPT_WAITERS: usize = 4;

#[derive(Debug)]
pub(super) struct State {
    pub(super) buffer: Buffer,
    pub(super) access: Access,
    task: TaskState,
    reader: ReaderState,
    /// The task's waker. A wake-up takes it, and the task puts it back in its next poll. While it
    /// is missing, the task is certain to be polled again.
    waker: Option<Waker>,
    /// The senders that wait for room, in order of arrival.
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
    /// Since when the queue has been too full for broadcasts. It ends when half of the bounds is
    /// free, so a peer that is always nearly too slow stays in it.
    behind_since: Option<Instant>,
    /// Every lower ticket was queued or cancelled.
    admitted: u64,
    /// The number of messages that an observer knows. Its last value is [`NOT_REPORTED`].
    reported: u32,
}

/// The number of messages in a queue that is not reported any more.
const NOT_REPORTED: u32 = u32::MAX;

/// Which senders may queue a frame. A later variant allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Every sender.
    Open,
    /// Only the handlers, with their replies.
    Replies,
    /// Not a single one.
    Closed,
}

/// The result of a broadcast to a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    Queued,
    /// The reserve is full.
    Full,
    /// The queue has been too full for longer than the limit.
    TooLong,
}

/// Whether the task will take the queued frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskState {
    /// A sender has to wake the task.
    Parked,
    /// The task is running, or is certain to run.
    Scheduled,
}

/// Whether the reader has work to do. A task that only writes queued frames does not touch the
/// memory of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderState {
    Idle,
    /// The queue was too full for its control frame or its reply. It must be polled when there is
    /// room.
    WaitsForRoom,
    /// The next poll of the task polls it.
    Called,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    frame: Bytes,
    waker: Waker,
}

impl State {
    pub(super) fn new(bound: Bound, budget: Budget) -> Self {
        Self {
            buffer: Buffer::new(bound, budget),
            access: Access::Open,
            task: TaskState::Parked,
            // The first poll of the task starts its reader.
            reader: ReaderState::Called,
            waker: None,
            waiters: VecDeque::new(),
            next_ticket: 0,
            behind_since: None,
            admitted: 0,
            reported: 0,
        }
    }

    /// Returns the number of messages that was returned as the new one before, and the new one, if
    /// they differ.
    pub(super) fn report(&mut self) -> Option<(usize, usize)> {
        if self.reported == NOT_REPORTED {
            return None;
        }
        let now = u32::try_from(self.buffer.messages).unwrap_or(NOT_REPORTED).min(NOT_REPORTED - 1);
        let before = std::mem::replace(&mut self.reported, now);
        (before != now).then_some((before as usize, now as usize))
    }

    /// Reports an empty queue, and nothing after that.
    pub(super) fn end_reports(&mut self) -> Option<(usize, usize)> {
        let before = std::mem::replace(&mut self.reported, NOT_REPORTED);
        (before != 0 && before != NOT_REPORTED).then_some((before as usize, 0))
    }

    /// Whether a frame of this length can be queued without overtaking a sender that waits.
    #[inline]
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.waiters.is_empty() && self.buffer.has_room(length)
    }

    /// Queues the frame of a broadcast beyond the bounds, in the reserve.
    pub(super) fn push_beyond(&mut self, frame: Bytes, now: Instant, limit: Duration) -> Beyond {
        let since = *self.behind_since.get_or_insert(now);
        if now.duration_since(since) >= limit {
            return Beyond::TooLong;
        }
        if !self.buffer.has_reserve_for_frame(frame.len()) {
            return Beyond::Full;
        }
        self.buffer.push(frame);
        Beyond::Queued
    }

    /// Whether broadcasts do not wait for this queue, because it was full for too long already.
    pub(super) fn is_behind(&self) -> bool {
        self.behind_since.is_some()
    }

    /// Notes that frames were taken.
    #[inline]
    pub(super) fn taken(&mut self) {
        if self.behind_since.is_some() && self.buffer.is_half_empty() {
            self.behind_since = None;
        }
    }

    /// Keeps a sender and its frame until there is room.
    pub(super) fn wait(&mut self, frame: Bytes, waker: Waker) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back(Waiter { ticket, frame, waker });
        Ticket(ticket)
    }

    /// Returns the waker of a sender, if it still waits.
    pub(super) fn waker_of(&mut self, ticket: &Ticket) -> Option<&mut Waker> {
        let at = self.find(ticket)?;
        Some(&mut self.waiters[at].waker)
    }

    /// Whether the frame of a sender that no longer waits was queued. Otherwise a close dropped it.
    pub(super) fn was_admitted(&self, ticket: &Ticket) -> bool {
        ticket.0 < self.admitted
    }

    /// Removes a waiting sender.
    pub(super) fn cancel(&mut self, ticket: &Ticket) -> Option<(Bytes, Waker)> {
        let at = self.find(ticket)?;
        let waiter = self.waiters.remove(at)?;
        self.shrink_waiters();
        Some((waiter.frame, waiter.waker))
    }

    #[cfg(test)]
    pub(super) fn waiters_capacity(&self) -> usize {
        self.waiters.capacity()
    }

    /// Frees the memory of an empty list that was long before.
    fn shrink_waiters(&mut self) {
        if self.waiters.is_empty() && self.waiters.capacity() > MAX_KEPT_WAITERS {
            self.waiters = VecDeque::new();
        }
    }

    fn find(&self, ticket: &Ticket) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket.0, |waiter| waiter.ticket).ok()
    }

    /// Queues the frames of waiting senders, while there is room. Returns the wakers of these
    /// senders.
    #[inline]
    pub(super) fn admit_waiters(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.waiters.front().is_some_and(|first| self.buffer.has_room(first.frame.len())) {
            let first = self.waiters.pop_front().expect("there is a first waiter");
            self.buffer.push(first.frame);
            self.admitted = first.ticket + 1;
            wakers.push(first.waker);
        }
        if !wakers.is_empty() {
            self.shrink_waiters();
        }
        wakers
    }

    /// Closes the queue. Returns the wakers of the task and of the waiting senders.
    pub(super) fn close(&mut self, access: Access) -> impl Iterator<Item = Waker> + use<> {
        if self.access != Access::Closed {
            self.access = access;
        }
        if self.access == Access::Closed && self.reader == ReaderState::WaitsForRoom {
            // A reply that waits for room learns of the close.
            self.reader = ReaderState::Called;
        }
        let waiters = std::mem::take(&mut self.waiters);
        // The task is woken even if it is scheduled. If it is blocked in a write, it would
        // otherwise run only when the socket takes bytes, which may be much later.
        self.task = TaskState::Scheduled;
        waiters.into_iter().map(|waiter| waiter.waker).chain(self.waker.take())
    }

    /// Whether the task has to put its waker here, because it was taken or has changed.
    #[inline]
    pub(super) fn needs_waker(&self, waker: &Waker) -> bool {
        !self.waker.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Stores the waker. Returns the previous one.
    pub(super) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.waker.replace(waker)
    }

    /// Begins a poll of the task. Returns whether it has to poll its reader.
    #[inline]
    pub(super) fn begin_poll(&mut self) -> bool {
        self.task = TaskState::Scheduled;
        let is_called = self.reader == ReaderState::Called;
        if is_called {
            self.reader = ReaderState::Idle;
        }
        is_called
    }

    /// Notes that the task found nothing to write. The next sender wakes it.
    #[inline]
    pub(super) fn park(&mut self) {
        self.task = TaskState::Parked;
    }

    /// Notes that a frame was queued. Returns the task's waker, unless the task is scheduled.
    #[inline]
    pub(super) fn schedule(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.task, TaskState::Scheduled) {
            TaskState::Scheduled => None,
            TaskState::Parked => self.waker.take(),
        }
    }

    /// Notes that the queue was too full for a control frame or a reply.
    pub(super) fn wait_for_room(&mut self) {
        if self.reader == ReaderState::Idle {
            self.reader = ReaderState::WaitsForRoom;
        }
    }

    /// Notes that there is room again. Returns the task's waker, if its reader waits for that.
    #[inline]
    pub(super) fn room_for_reader(&mut self) -> Option<Waker> {
        if self.reader == ReaderState::WaitsForRoom { self.call_reader() } else { None }
    }

    /// Notes that the task has to poll its reader. Returns the task's waker, unless the reader was
    /// called before.
    ///
    /// The task is woken even if it runs or is blocked in a write, because it may have polled its
    /// reader already.
    pub(super) fn call_reader(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.reader, ReaderState::Called) {
            ReaderState::Called => None,
            ReaderState::Idle | ReaderState::WaitsForRoom => self.waker.take(),
        }
    }
}
