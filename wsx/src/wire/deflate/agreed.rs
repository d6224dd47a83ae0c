//! What both ends of a connection agreed on. It does not know headers.

/// The parameters of both directions, as this end needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// How this end compresses. `None` if it does not, because the peer allows only the window of
    /// 256 bytes, which zlib does not have.
    pub(crate) own: Option<Stream>,
    /// How the peer compresses.
    pub(crate) peer: Stream,
    /// Minimum length of a message that this end compresses, in bytes.
    pub(crate) min_size: usize,
}

/// The parameters of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// The window, as the exponent of a number of bytes: 8 to 15.
    pub(crate) window_bits: u8,
    /// Whether a message may continue those before it.
    pub(crate) keeps_context: bool,
    /// How much time is spent on a message: 1 to 9.
    pub(crate) level: u8,
}

impl Stream {
    /// Returns the number of bytes that one message needs of those before it.
    pub(super) fn context(self) -> usize {
        if self.keeps_context { 1 << self.window_bits } else { 0 }
    }
}
