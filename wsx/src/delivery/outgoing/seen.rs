//! What a program sees of the messages that wait for a peer. It does not change them.
use super::{Outgoing, Slot};
use crate::delivery::{message::Message, size::Size};

impl Outgoing {
    /// Returns the newest state of this type, and whether the peer has handled it.
    pub(in crate::delivery) fn state(&self, message_type: &str) -> Option<(&Message, bool)> {
        let slot = Slot { message_type: message_type.into(), key: None };
        let waiting = self.slots.get(&slot).and_then(|numbers| self.latest.get(numbers.last()?));
        let settled = || self.settled.get(message_type).map(|(_, message)| (message, true));
        waiting.map(|message| (message, false)).or_else(settled)
    }

    /// Returns the messages that wait, in the order in which they are sent.
    pub(in crate::delivery) fn waiting(&self) -> impl Iterator<Item = (u64, &Message)> {
        self.latest.iter().chain(&self.seq).map(|(number, message)| (*number, message))
    }

    pub(in crate::delivery) fn messages(&self) -> usize {
        self.seq.len() + self.latest.len()
    }

    /// Returns the number of messages that wait, and the bytes of all that is kept.
    pub(in crate::delivery) fn size(&self) -> Size {
        Size { messages: self.messages(), bytes: self.bytes }
    }

    /// Returns the number of messages that wait, and the bytes of all that is kept, counted anew.
    #[cfg(feature = "__internals")]
    pub(in crate::delivery) fn counted(&self) -> Size {
        let settled = self.settled.values().map(|(_, message)| message.len());
        let bytes = self.seq.values().chain(self.latest.values()).map(Message::len).chain(settled).sum();
        Size { messages: self.seq.len() + self.latest.len(), bytes }
    }
}
