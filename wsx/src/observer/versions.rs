//! What an observer learns of a peer of another version. It does not know lock files.

/// What two ends of different versions do not understand of each other, for
/// [`Observer::version_differs`](crate::Observer::version_differs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misunderstood<'m> {
    /// The types that this end sends and the peer does not understand, in alphabetical order. They
    /// are withheld.
    pub withheld: &'m [Box<str>],
    /// The types that the peer sends and this end does not understand, in alphabetical order. They
    /// go to `__raw__`, to `__unknown__`, or fail to decode.
    pub misread: &'m [Box<str>],
    /// Whether the lock file of this end has the version of the peer. If not, both lists are empty,
    /// and nothing is withheld.
    pub is_known: bool,
}
