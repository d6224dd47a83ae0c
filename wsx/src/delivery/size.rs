//! How much waits for a peer, and how much room is left. It does not know messages.

/// The room that is left for messages of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// A number of messages, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Size {
    /// Adds the change of a part.
    pub(super) fn change(&mut self, before: Self, after: Self) {
        self.messages = self.messages + after.messages - before.messages;
        self.bytes = self.bytes + after.bytes - before.bytes;
    }
}
