//! What a program sees of the messages that wait for a peer. It does not change them.
use super::{Outgoing, Slot};
use crate::delivery::{lane::Lane, message::Message, size::Size};

impl Outgoing {
    /// Returns the newest state of this type, and whether the peer has handled it.
    pub(in crate::delivery) fn state(&self, message_type: &str) -> Option<(&Message, bool)> {
        let slot = Slot { message_type: message_type.into(), key: None };
        let waiting = self.slots.get(&slot).and_then(|numbers| self.get(Lane::Latest, *numbers.last()?));
        let settled = || self.settled.get(message_type).map(|(_, message)| (message, true));
        waiting.map(|message| (message, false)).or_else(settled)
    }

    /// Returns the messages that wait, in the order in which they are sent, and then those that are
    /// held.
    pub(in crate::delivery) fn waiting(&self) -> impl Iterator<Item = (u64, &Message)> {
        let held = self.held.iter().map(|((_, number), message)| (*number, message));
        self.latest.iter().chain(&self.seq).map(|(number, message)| (*number, message)).chain(held)
    }

    pub(in crate::delivery) fn messages(&self) -> usize {
        self.seq.len() + self.latest.len() + self.held.len()
    }

    /// Returns the number of messages that wait, and the bytes of all that is kept.
    pub(in crate::delivery) fn size(&self) -> Size {
        Size { messages: self.messages(), bytes: self.bytes }
    }

    /// Returns the number of messages that wait, and the bytes of all that is kept, counted anew.
    #[cfg(feature = "__internals")]
    pub(in crate::delivery) fn counted(&self) -> Size {
        let settled = self.settled.values().map(|(_, message)| message.len());
        let waiting: Vec<usize> = self.waiting().map(|(_, message)| message.len()).collect();
        Size { messages: waiting.len(), bytes: waiting.into_iter().chain(settled).sum() }
    }
}
