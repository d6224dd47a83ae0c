//! The two numberings of kept messages. It does not know messages.
use crate::{envelope::keys::Number, policy::Delivery};

/// A numbering of kept messages. Both are independent, so that the newest values need not wait for
/// a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Every message counts: `at_least_once`.
    Seq,
    /// The newest of each slot counts: `latest` and `state`.
    Latest,
}

impl Lane {
    pub(crate) fn of(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Latest | Delivery::State => Self::Latest,
            Delivery::AtLeastOnce | Delivery::AtMostOnce => Self::Seq,
        }
    }
}

impl Number {
    /// Returns the number of a message that is delivered like this.
    pub(crate) fn of(delivery: Delivery, number: u64) -> Self {
        match delivery {
            Delivery::State => Self::State(number),
            Delivery::Latest => Self::Latest(number),
            Delivery::AtLeastOnce | Delivery::AtMostOnce => Self::Seq(number),
        }
    }

    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::Seq(_) => Lane::Seq,
            Self::Latest(_) | Self::State(_) => Lane::Latest,
        }
    }

    pub(crate) fn value(self) -> u64 {
        match self {
            Self::Seq(number) | Self::Latest(number) | Self::State(number) => number,
        }
    }
}
