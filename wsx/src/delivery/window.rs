//! How much may be in progress to a peer that has not acknowledged it. It adapts to the link, so
//! that a backlog does not delay other messages. It knows numbers, and not messages.

/// The window never becomes smaller than this, in messages.
const MIN_MESSAGES: usize = 16;
/// The window never becomes smaller than this, in bytes. It is half a second at 64 kbit/s.
const MIN_BYTES: usize = 4 * 1024;
/// The window never becomes larger than this, in messages.
pub(super) const MAX_MESSAGES: usize = 1024;
/// The window never becomes larger than this, in bytes. With 100 ms to an acknowledgement, it
/// allows 2.6 MB in a second.
const MAX_BYTES: usize = 256 * 1024;
/// Below this wait in queues, in milliseconds, the window grows.
const SHORT: u64 = 250;
/// Above this wait in queues, in milliseconds, the window shrinks.
const LONG: u64 = 500;

/// The window of one connection.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Window {
    messages: usize,
    bytes: usize,
    /// The shortest time to an acknowledgement, in milliseconds: what an empty link needs.
    shortest: u64,
    /// When the window last became smaller.
    shrunk: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { messages: MIN_MESSAGES, bytes: MIN_BYTES, shortest: u64::MAX, shrunk: 0 }
    }
}

impl Window {
    /// Whether a message of this length may be sent, besides these. One message always may.
    pub(super) fn has_room(&self, messages: usize, bytes: usize, length: usize) -> bool {
        messages == 0 || (messages < self.messages && bytes.saturating_add(length) <= self.bytes)
    }

    /// Notes the acknowledgement of messages with this length in all. The last one was sent at
    /// `sent`. Times are in milliseconds.
    pub(super) fn acknowledged(&mut self, messages: usize, bytes: usize, sent: u64, now: u64) {
        let delay = now.saturating_sub(sent);
        self.shortest = self.shortest.min(delay);
        let waited = delay - self.shortest;
        if waited < SHORT {
            self.messages = (self.messages + messages).min(MAX_MESSAGES);
            self.bytes = (self.bytes + bytes).min(MAX_BYTES);
        } else if waited > LONG && sent >= self.shrunk {
            // What was sent before the last change does not know its effect.
            self.shrunk = now;
            self.messages = (self.messages / 2).max(MIN_MESSAGES);
            self.bytes = (self.bytes / 2).max(MIN_BYTES);
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Row G10: the window grows on a fast link up to its bounds.
    #[test]
    fn the_window_grows_while_acknowledgements_are_quick() {
        let mut window = Window::default();
        assert!(window.has_room(0, 0, 10 * MIN_BYTES), "one message always may be sent");
        assert!(window.has_room(15, 4000, 96) && !window.has_room(15, 4000, 97) && !window.has_room(16, 0, 1));
        window.acknowledged(16, 4096, 0, 20);
        assert!(window.has_room(31, 8000, 192) && !window.has_room(32, 0, 1));
        for _ in 0..100 {
            window.acknowledged(1000, 100_000, 100, 200);
        }
        assert!(window.has_room(MAX_MESSAGES - 1, MAX_BYTES - 1, 1));
        assert!(!window.has_room(MAX_MESSAGES, 0, 1) && !window.has_room(1, MAX_BYTES, 1));
    }

    /// Row G10: a wait in queues makes the window smaller, once for what was sent before.
    #[test]
    fn the_window_shrinks_once_for_each_long_wait() {
        let mut window = Window::default();
        window.acknowledged(100, 100_000, 0, 50);
        let bytes = window.bytes;
        window.acknowledged(1, 100, 100, 500);
        assert_eq!(window.bytes, bytes, "between the two times it stays");
        window.acknowledged(1, 100, 100, 700);
        window.acknowledged(1, 100, 600, 1400);
        assert_eq!(window.bytes, bytes / 2, "the second message was sent before the first change");
        for time in (2000..60_000).step_by(1000) {
            window.acknowledged(1, 100, time, time + 900);
        }
        assert_eq!((window.messages, window.bytes), (MIN_MESSAGES, MIN_BYTES));
    }
}
