//! What the reader of a task shows to the rest of the task: the running handler, and the end of the
//! conversation. It does not know the socket or the handlers.
//!
//! The reader is a future of its own, which the task only polls. So they share these values.
use crate::{
    connection::handle::Handle,
    wire::{close_code::CloseCode, close_frame::CloseFrame},
};
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

/// The reason why reading ended.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// The peer sent a close frame.
    PeerClosed(CloseFrame),
    /// The input violates RFC 6455 or a limit. The connection is closed with this code.
    Rejected(CloseCode, String),
    /// A handler or an observer panicked.
    Panicked,
    /// The link broke.
    LinkLost(String),
}

/// Whether a handler is running, and whether its reply is sent.
///
/// ```text
///         start                     done
///   Idle --------> ReplyOwed -----------------> Idle
///    ^    \                                      |
///    |     +-----> ReplyDropped -----------------+
///    |  start, after a close of this program
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Handling {
    /// A handler is not running.
    Idle,
    /// The handler began before any close of this program. Its reply is sent before the close
    /// frame.
    ReplyOwed,
    /// The handler began after a close of this program. Its reply is dropped.
    ReplyDropped,
}

/// The shared values. Atomics, because both futures are in one `Send` task.
#[derive(Debug)]
pub(super) struct Progress {
    /// A [`Handling`].
    handling: AtomicU8,
    /// Set when the reader has read everything. A handler and messages that wait may remain.
    end: OnceLock<Box<ReadEnd>>,
    /// Whether the buffer of waiting messages is full, so that nothing is read.
    paused: AtomicBool,
    /// Set by the task when a running handler has had its time.
    cut: AtomicBool,
    /// Whether the running handler has awaited a reply.
    asked: AtomicBool,
    /// Whether it is the handler of `__open__`.
    opening: AtomicBool,
    /// The handlers that run beside it.
    beside: AtomicU32,
    /// Those of them whose replies are sent before the close frame.
    owed_beside: AtomicU32,
    /// Those of them that handle a request while other handlers await replies.
    nested: AtomicU32,
    /// The nested ones that have awaited a reply.
    nested_asking: AtomicU32,
    /// The concurrent ones that have awaited a reply.
    concurrent_asking: AtomicU32,
    /// Whether the reply of one that has ended waits for room in the send queue.
    reply_waits: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            handling: AtomicU8::new(Handling::Idle as u8),
            end: OnceLock::new(),
            paused: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            opening: AtomicBool::new(false),
            beside: AtomicU32::new(0),
            owed_beside: AtomicU32::new(0),
            nested: AtomicU32::new(0),
            nested_asking: AtomicU32::new(0),
            concurrent_asking: AtomicU32::new(0),
            reply_waits: AtomicBool::new(false),
        }
    }

    pub(super) fn handling(&self) -> Handling {
        match self.handling.load(Ordering::Relaxed) {
            0 => Handling::Idle,
            1 => Handling::ReplyOwed,
            _ => Handling::ReplyDropped,
        }
    }

    /// Notes that a handler starts.
    pub(super) fn start(&self, conn: &Handle) {
        let handling = if conn.closing().is_none() { Handling::ReplyOwed } else { Handling::ReplyDropped };
        self.handling.store(handling as u8, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Notes whether the running handler is that of `__open__`. No message is handled beside it,
    /// because the program may still decide about the peer.
    pub(super) fn set_opening(&self, opening: bool) {
        self.opening.store(opening, Ordering::Relaxed);
    }

    /// Whether the handler of `__open__` runs.
    pub(super) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Relaxed)
    }

    /// Notes that the running handler awaits a reply.
    pub(super) fn set_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Notes that a handler beside the running one has started or ended. `is_owed` if its reply is
    /// sent before the close frame.
    pub(super) fn count_beside(&self, is_nested: bool, is_owed: bool, change: i32) {
        add(&self.beside, change);
        if is_owed {
            add(&self.owed_beside, change);
        }
        if is_nested {
            add(&self.nested, change);
        }
    }

    /// Notes that a handler beside the running one awaits a reply, or has ended after that.
    pub(super) fn count_asking(&self, is_nested: bool, change: i32) {
        add(if is_nested { &self.nested_asking } else { &self.concurrent_asking }, change);
    }

    /// Notes whether the reply of a handler beside the running one waits for room.
    pub(super) fn set_reply_waits(&self, waits: bool) {
        self.reply_waits.store(waits, Ordering::Relaxed);
    }

    /// Whether handlers run beside the running one, or their replies wait.
    pub(super) fn is_busy_beside(&self) -> bool {
        self.beside.load(Ordering::Relaxed) > 0 || self.reply_waits.load(Ordering::Relaxed)
    }

    /// Whether the reply of a handler beside the running one is sent before the close frame.
    pub(super) fn owes_beside(&self) -> bool {
        self.owed_beside.load(Ordering::Relaxed) > 0 || self.reply_waits.load(Ordering::Relaxed)
    }

    /// Returns how many of the peer's requests are handled while other handlers await replies.
    pub(super) fn nested(&self) -> u32 {
        self.nested.load(Ordering::Relaxed)
    }

    /// Whether a handler awaits a reply.
    pub(super) fn is_asking(&self) -> bool {
        let serial = self.handling() != Handling::Idle && self.asked.load(Ordering::Relaxed);
        serial || self.nested_asking.load(Ordering::Relaxed) > 0 || self.concurrent_asking.load(Ordering::Relaxed) > 0
    }

    /// Whether the next request of the peer may be handled beside the running handlers. They must
    /// all await replies: the peer may need this one to make them. A concurrent handler counts only
    /// if it awaits one, because it does not stand in the way of a message.
    pub(super) fn may_nest(&self) -> bool {
        let is_running = self.handling() != Handling::Idle;
        let all_ask = (!is_running || self.asked.load(Ordering::Relaxed))
            && self.nested() == self.nested_asking.load(Ordering::Relaxed);
        all_ask && self.is_asking() && !self.is_opening()
    }

    /// Notes that the reply of the handler was queued, or that there is not a reply. Reading goes
    /// on.
    pub(super) fn done(&self) {
        self.handling.store(Handling::Idle as u8, Ordering::Relaxed);
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Returns the reason why reading ended, if it has.
    pub(super) fn end(&self) -> Option<&ReadEnd> {
        self.end.get().map(|end| &**end)
    }

    /// Notes the end. The first one counts.
    pub(super) fn set_end(&self, end: ReadEnd) {
        let _ = self.end.set(Box::new(end));
    }

    /// Whether nothing is read because too many messages wait for their turn.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether the running handler has to be dropped.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Asks the reader to drop the running handler.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

/// Only the task of the connection changes a counter.
fn add(counter: &AtomicU32, change: i32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add_signed(change), Ordering::Relaxed);
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{config::Config, wire::role::Role};

    #[test]
    fn the_reply_of_a_handler_is_owed_unless_this_program_has_closed() {
        let (progress, conn) = (Progress::new(), Handle::new("".into(), Role::Server, &Config::default()));
        assert_eq!(progress.handling(), Handling::Idle);
        progress.start(&conn);
        assert_eq!(progress.handling(), Handling::ReplyOwed);
        progress.set_paused(true);
        assert!(progress.is_paused());
        progress.done();
        assert!(progress.handling() == Handling::Idle && !progress.is_paused());
        conn.close(CloseCode::NORMAL, String::new());
        progress.start(&conn);
        assert_eq!(progress.handling(), Handling::ReplyDropped);
    }

    #[test]
    fn the_first_end_counts() {
        let progress = Progress::new();
        assert!(progress.end().is_none() && !progress.is_cut());
        progress.set_end(ReadEnd::Panicked);
        progress.set_end(ReadEnd::LinkLost("later".into()));
        assert!(matches!(progress.end(), Some(ReadEnd::Panicked)));
        progress.cut();
        assert!(progress.is_cut());
    }
}
