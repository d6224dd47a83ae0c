//! What both ends of a connection agreed on. It does not know headers.
use crate::config::Deflate;

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

/// How the messages of one direction are compressed. This is not a DEFLATE stream of zlib.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// The window, as a power of two: 8 is 256 bytes, and 15 is 32 KiB.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to the messages before it.
    pub(crate) keeps_context: bool,
    /// Compression level of zlib: 1 to 9.
    pub(crate) level: u8,
}

impl Stream {
    /// The smallest window of zlib, as an exponent. A peer may ask for 8, and then gets no
    /// compressed messages.
    pub(crate) const MIN_BITS: u8 = 9;
    /// The largest window of RFC 7692, which holds without a parameter.
    pub(crate) const MAX_BITS: u8 = 15;

    pub(crate) fn new(window_bits: u8, keeps_context: bool, options: &Deflate) -> Self {
        Self { window_bits, keeps_context, level: options.level.clamp(1, 9) }
    }

    /// Returns how a hub with these options compresses, unless its peer asks for less.
    pub(crate) fn of_server(options: &Deflate) -> Self {
        Self::new(options.server_window_bits.clamp(Self::MIN_BITS, Self::MAX_BITS), options.server_context, options)
    }

    /// Returns the number of bytes that one message needs of those before it.
    pub(super) fn context(self) -> usize {
        if self.keeps_context { 1 << self.window_bits } else { 0 }
    }
}
