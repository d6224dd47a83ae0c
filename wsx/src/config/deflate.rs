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
/// The defaults are for fleets. A box repeats itself, so each of its messages may refer to the last
/// bytes of the messages before it. These bytes are the context. A hub has no context, so it
/// compresses a broadcast once for all connections.
///
/// A client offers these options, and a hub uses them in its answer. A peer may ask for smaller
/// windows or for no context, and this end then uses these. A client accepts any window and any
/// context of the server.
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
    /// Whether a message of the client may refer to earlier messages of the client; default `true`.
    /// `false` is `client_no_context_takeover` of RFC 7692.
    ///
    /// Each end keeps the last bytes of these messages, up to the window. Without a context, short
    /// messages shrink far less.
    pub client_context: bool,
    /// Whether a message of the server may refer to earlier messages of the server; default
    /// `false`. `false` is `server_no_context_takeover` of RFC 7692.
    ///
    /// With a context, a broadcast is compressed once for each connection.
    pub server_context: bool,
    /// Window of the client, as a power of two: 10 is 1,024 bytes, the default. A message can refer
    /// to this many bytes before it. A value below 9 counts as 9, and one above 15 as 15.
    ///
    /// With [`client_context`](Self::client_context), each end keeps at most one window for each
    /// connection: 1 KiB with 10, and 32 KiB with 15. Too low: a repetition in a longer message is
    /// not found. Too high: each connection holds more memory, and each message costs more time.
    /// With a context, telemetry of 230 bytes takes about 6 µs with 10, and 39 µs with 15. It
    /// shrinks to an eighth with either.
    pub client_window_bits: u8,
    /// The window of the server; otherwise as [`client_window_bits`](Self::client_window_bits).
    pub server_window_bits: u8,
    /// Minimum length of a message that is compressed, in bytes; default 64.
    ///
    /// Too low: without a context, each short message costs about 6 µs for nothing. A message below
    /// 64 bytes does not get shorter, and one of 75 bytes gets 3 bytes shorter. Too high: short
    /// messages are sent as they are, although a context shrinks a message of 75 bytes to 10. If
    /// both directions have a context, 0 is a good value.
    pub min_size: usize,
    /// Compression level of zlib, from 1 (fast) to 9 (small); default 6. A value below 1 counts as
    /// 1, and one above 9 as 9.
    ///
    /// Too low: messages shrink less. Without a context, telemetry shrinks to 90 % with 1, and to
    /// 73 % with 6. Too high: a message takes more time and gets hardly shorter. With a context and
    /// a window of 10 bits, 1 takes half of the time of 6, and telemetry gets as short.
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
