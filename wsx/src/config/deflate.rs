//! The options of permessage-deflate: [`Config::deflate`](super::Config::deflate()).

/// How messages are compressed, if both ends can: permessage-deflate (RFC 7692).
///
/// Set it at both ends of wsx: the client offers it, and the hub accepts it. Browsers offer it on
/// their own. Telemetry that repeats itself shrinks to an eighth. A message is compressed when it
/// is written to its socket, which costs about 6 µs for a short one.
///
/// Compression shows an eavesdropper the length of what it compresses. `docs/SECURITY.md` says what
/// that reveals about a secret next to text of someone else, and how a type is left out:
/// `#[wsx(compress = never)]`.
///
/// The defaults are for fleets. A box repeats itself, so it compresses each message with what it
/// has sent before: its context. A hub has no context, so one compression serves a whole
/// broadcast.
///
/// Both ends of wsx read any parameters. These options are what this end offers, or answers. A
/// peer may ask for less memory, and then gets it.
///
/// With the defaults, an idle connection of a hub holds 1.4 KB more than without compression. With
/// both contexts it holds 2.4 KB more, and with both windows at 15 bits 67 KB more. Beside that,
/// each thread has two states of zlib: 192 KB for compressing (320 KB with 15 bits) and 47 KB for
/// inflating. `docs/benchmarks.md` has these figures and those below.
///
/// ```
/// use wsx::{Config, Deflate};
///
/// let config = Config::edge().deflate(Deflate::default().min_size(200));
/// assert_eq!(config.deflate.unwrap().client_window_bits, 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// Whether a client compresses a message with the messages that it has sent before
    /// (`client_no_context_takeover` of RFC 7692 is the opposite); default `true`.
    ///
    /// Each end keeps the last messages for that, up to the window. Without it, short messages
    /// shrink far less.
    pub client_context: bool,
    /// Whether the server does so; default `false`.
    ///
    /// With it, a broadcast is compressed once for each connection.
    pub server_context: bool,
    /// The window of a client: how far back it finds a repetition, as the exponent of a number of
    /// bytes; default 10, which is 1,024 bytes. It is between 9 and 15, and a value outside counts
    /// as the nearest.
    ///
    /// With [`client_context`](Self::client_context), each end keeps so many bytes for each
    /// connection: up to 1 KiB with 10, and 32 KiB with 15. Too low: longer messages repeat
    /// themselves unseen. Too high: each connection holds more memory, and each message of a
    /// context costs more time: about 39 µs with 15, and 6 µs with 10. Telemetry of 230 bytes
    /// shrinks to an eighth with either.
    pub client_window_bits: u8,
    /// The window of the server; otherwise as [`client_window_bits`](Self::client_window_bits).
    pub server_window_bits: u8,
    /// Minimum length of a message that is compressed, in bytes; default 64.
    ///
    /// Too low: messages without a context are compressed in vain, which costs 6 µs: those below 64
    /// bytes do not get shorter, and one of 75 bytes gets 3 bytes shorter. Too high: short
    /// messages, which a context shrinks to about 10 bytes, are sent as they are. With a context in
    /// each direction, 0 is a good value.
    pub min_size: usize,
    /// How much time is spent on a message, from 1 to 9; default 6. A value outside counts as the
    /// nearest.
    ///
    /// Too low: messages stay longer. Without a context, telemetry shrinks to 90 % with 1, and to
    /// 73 % with 6. Too high: a message costs more time for a few bytes. With a context, 1 takes
    /// half of the time of 6, and short messages get as short.
    pub level: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            client_context: true,
            server_context: false,
            client_window_bits: 10,
            server_window_bits: 10,
            min_size: 64,
            level: 6,
        }
    }
}

impl Deflate {
    /// Sets [`client_context`](Self::client_context).
    #[must_use]
    pub fn client_context(mut self, keeps: bool) -> Self {
        self.client_context = keeps;
        self
    }

    /// Sets [`server_context`](Self::server_context).
    #[must_use]
    pub fn server_context(mut self, keeps: bool) -> Self {
        self.server_context = keeps;
        self
    }

    /// Sets [`client_window_bits`](Self::client_window_bits).
    #[must_use]
    pub fn client_window_bits(mut self, bits: u8) -> Self {
        self.client_window_bits = bits;
        self
    }

    /// Sets [`server_window_bits`](Self::server_window_bits).
    #[must_use]
    pub fn server_window_bits(mut self, bits: u8) -> Self {
        self.server_window_bits = bits;
        self
    }

    /// Sets [`min_size`](Self::min_size), in bytes.
    #[must_use]
    pub fn min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets [`level`](Self::level).
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }
}
