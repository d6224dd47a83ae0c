//! What two ends of different versions of a protocol do not understand of each other. It does not
//! know where that is written.

/// What this end and a peer of one version do not understand of each other. Each list is in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Verdict {
    /// The types that the peer does not understand of this end, so that they are withheld.
    pub(crate) withheld: Vec<Box<str>>,
    /// The types that this end does not understand of the peer.
    pub(crate) misread: Vec<Box<str>>,
    /// What the peer does not understand of other versions of this end, by [`written_by`]. A store
    /// may still have such messages.
    pub(crate) unread_of_others: Vec<Box<str>>,
}

/// Returns the name of a message that another version has written. A version has no `/`.
pub(crate) fn written_by(version: &str, message_type: &str) -> String {
    format!("{version}/{message_type}")
}

impl Verdict {
    /// Whether the peer understands messages of this type.
    pub(crate) fn reads(&self, message_type: &str) -> bool {
        !has(&self.withheld, message_type)
    }

    /// Whether the peer understands a message of this type that another version of this end has
    /// written. If nothing is known of that version, it does.
    pub(crate) fn reads_of(&self, version: &str, message_type: &str) -> bool {
        !has(&self.unread_of_others, &written_by(version, message_type))
    }
}

fn has(list: &[Box<str>], name: &str) -> bool {
    list.binary_search_by(|own| (**own).cmp(name)).is_ok()
}
