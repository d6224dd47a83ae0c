//! The subjects of a node. All of them begin with the namespace, so that one permission of a NATS
//! user covers them.
use crate::cluster::bus::NodeId;
use async_nats::Subject;

/// The subjects of one node.
#[derive(Debug)]
pub(super) struct Subjects {
    namespace: String,
    /// All nodes read it.
    pub(super) all: Subject,
    /// This node alone reads it.
    pub(super) own: Subject,
    /// The answers to this node come to subjects that begin with this, and end with a number.
    replies: String,
    /// Where the probes of this node to itself come from.
    pub(super) probe: Subject,
    /// The answers to any node of this namespace begin with this.
    all_replies: String,
}

impl Subjects {
    pub(super) fn new(namespace: &str, node: NodeId) -> Self {
        let replies = format!("{namespace}.reply.{node}.");
        Self {
            namespace: namespace.into(),
            all: format!("{namespace}.all").into(),
            own: format!("{namespace}.node.{node}").into(),
            probe: format!("{replies}probe").into(),
            replies,
            all_replies: format!("{namespace}.reply."),
        }
    }

    /// What the user of this node needs a permission for.
    pub(super) fn permission(&self) -> String {
        format!("{}.>", self.namespace)
    }

    /// The subject that a node reads.
    pub(super) fn of(&self, node: NodeId) -> Subject {
        format!("{}.node.{node}", self.namespace).into()
    }

    /// The subject of the answer to a question.
    pub(super) fn reply(&self, number: u64) -> Subject {
        format!("{}{number}", self.replies).into()
    }

    /// The subjects of all answers to this node.
    pub(super) fn own_replies(&self) -> Subject {
        format!("{}*", self.replies).into()
    }

    /// The number of the question that this is the subject of an answer to.
    pub(super) fn number(&self, reply: &Subject) -> Option<u64> {
        reply.strip_prefix(&*self.replies)?.parse().ok()
    }

    /// Whether this is the subject of an answer to a node. A packet from elsewhere does not make
    /// this node publish to other subjects.
    pub(super) fn is_reply(&self, subject: &Subject) -> bool {
        subject.starts_with(&self.all_replies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row J12: every subject begins with the namespace.
    #[test]
    fn every_subject_begins_with_the_namespace() {
        let subjects = Subjects::new("wsx", NodeId(0xab));
        let shown = |subject: &Subject| subject.to_string();
        assert_eq!(shown(&subjects.all), "wsx.all");
        assert_eq!(shown(&subjects.own), "wsx.node.00000000000000ab");
        assert_eq!(shown(&subjects.of(NodeId(0xab))), shown(&subjects.own));
        assert_eq!(shown(&subjects.own_replies()), "wsx.reply.00000000000000ab.*");
        assert_eq!(subjects.number(&subjects.reply(7)), Some(7));
        assert_eq!(subjects.number(&subjects.probe), None);
        assert!(subjects.is_reply(&subjects.probe) && subjects.is_reply(&Subjects::new("wsx", NodeId(1)).reply(1)));
        assert!(!subjects.is_reply(&subjects.own) && !subjects.is_reply(&Subjects::new("other", NodeId(1)).reply(1)));
    }
}
