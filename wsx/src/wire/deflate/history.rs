//! The last bytes of the compressed messages of one direction: the context of the next one.

/// The end of all compressed messages so far, before their compression. Messages that were sent as
/// they are do not belong to it (RFC 7692 section 7.2.3).
#[derive(Debug)]
pub(super) struct History {
    bytes: Vec<u8>,
    /// Maximum number of bytes; 0 if messages do not continue each other.
    window: usize,
}

impl History {
    pub(super) fn new(window: usize) -> Self {
        Self { bytes: Vec::new(), window }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a message. The memory is never larger than the window.
    pub(super) fn push(&mut self, message: &[u8]) {
        let new = &message[message.len().saturating_sub(self.window)..];
        let kept = self.bytes.len().min(self.window - new.len());
        self.bytes.drain(..self.bytes.len() - kept);
        self.bytes.reserve_exact(new.len());
        self.bytes.extend_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row Z4: a context is never larger than its window.
    #[test]
    fn it_has_the_last_bytes_and_no_more_memory_than_the_window() {
        for window in [0, 1, 7, 8, 100] {
            let mut history = History::new(window);
            let mut all = Vec::new();
            for length in [0, 3, 3, 1, 0, 9, 2, 8, 40, 1] {
                let message: Vec<u8> = (0..length).map(|i| (all.len() + i) as u8).collect();
                all.extend_from_slice(&message);
                history.push(&message);
                assert_eq!(history.bytes(), &all[all.len().saturating_sub(window)..], "window {window}");
                assert!(history.bytes.capacity() <= window, "{} bytes, window {window}", history.bytes.capacity());
            }
        }
    }
}
