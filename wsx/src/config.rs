//! Every bound of a connection, with its default and the effect of a lower or higher value.
use std::time::Duration;

/// How much written data a TLS session keeps while its socket takes nothing, in bytes: one record of maximum length.
///
/// The progress of a flush cannot be seen, so the whole buffer must be written within [`Config::write_timeout`]. Any link of
/// 13 kbit/s does that in 10 s. The 64 KiB of rustls itself would need a link of 52 kbit/s.
#[cfg(feature = "rustls")]
pub(crate) const TLS_BUFFER: usize = 16 * 1024;

/// The bounds of a connection. Everything that a peer can make grow is bounded here.
///
/// ```
/// let config = wsx::Config::default().max_message_size(64 * 1024);
/// assert_eq!(config.queue_messages, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Maximum length of a received message, in bytes; default 2 MiB (row V1 of the specification).
    ///
    /// A longer message is rejected with close code 1009. Too low: valid messages end their connection. Too high: each
    /// connection may hold that much memory while a message arrives.
    pub max_message_size: usize,
    /// Maximum number of messages that wait for one peer; default 1,024 (row V1 of the specification).
    ///
    /// Too low: senders wait at every short stall. Too high: a dead peer holds more memory until the write timeout.
    pub queue_messages: usize,
    /// Maximum number of bytes that wait for one peer; default 4 MiB, which is twice 1,024 messages of 2 KiB, or two
    /// messages of maximum length.
    ///
    /// When the queue is empty, it accepts one message of any length.
    pub queue_bytes: usize,
    /// How long writing may make no progress before the connection ends; default 10 s (row V1 of the specification).
    ///
    /// Too low: a link that pauses is cut. Too high: a dead peer is noticed late, and holds its queue until then. Over TLS
    /// the progress of the last 16 KiB cannot be seen, so a link must be able to take that much within this time.
    ///
    /// A socket reports progress when it takes more. On Linux wsx lets at most 128 KiB wait unsent in the socket
    /// (`TCP_NOTSENT_LOWAT`), so that a slow link reports it in time. A stream that the program or hyper brings may hold
    /// megabytes and then take nothing for long: set that option on it too, or a longer timeout.
    pub write_timeout: Duration,
    /// How long closing may take in all; default 10 s. It includes queued messages, the close frames and a running handler.
    ///
    /// After that the socket is dropped, and a handler that still runs with it.
    pub close_timeout: Duration,
    /// How long a handshake may take in all, that of TLS included; default 10 s. A client's includes dialling.
    ///
    /// Too low: distant clients never connect. Too high: silent connections hold their sockets longer.
    pub handshake_timeout: Duration,
    /// Pings that find a dead link; default `None` (row B1 of the specification).
    pub heartbeat: Option<Heartbeat>,
    /// How long the operating system waits for the acknowledgement of written data before it ends the connection; default
    /// `None`, which is the system's own value, about 15 minutes on Linux.
    ///
    /// See [`tcp_user_timeout`](Self::tcp_user_timeout()).
    pub tcp_user_timeout: Option<Duration>,
    /// Probes of an idle connection by the operating system; default `None`, no probes.
    ///
    /// See [`tcp_keepalive`](Self::tcp_keepalive()).
    pub tcp_keepalive: Option<TcpKeepalive>,
}

/// When to ping a silent peer, and how long to wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// The peer is pinged after this time without a byte from it.
    pub interval: Duration,
    /// The connection ends after this time without a byte since the ping.
    pub timeout: Duration,
}

/// When the operating system probes an idle connection, and how often without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// The first probe is sent after this time without a byte in either direction.
    pub idle: Duration,
    /// The time between two probes.
    pub interval: Duration,
    /// The connection ends after this many probes without an answer.
    pub probes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 2 << 20,
            queue_messages: 1024,
            queue_bytes: 4 << 20,
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            heartbeat: None,
            tcp_user_timeout: None,
            tcp_keepalive: None,
        }
    }
}

impl Config {
    /// Sets [`max_message_size`](Self::max_message_size), in bytes.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets [`queue_messages`](Self::queue_messages).
    #[must_use]
    pub fn queue_messages(mut self, messages: usize) -> Self {
        self.queue_messages = messages;
        self
    }

    /// Sets [`queue_bytes`](Self::queue_bytes).
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Sets [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`close_timeout`](Self::close_timeout).
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Pings a peer that has been silent for `interval`, and ends the connection with 1006 if no byte arrives within
    /// `timeout` after that. So a link that died without a FIN or a reset is noticed within their sum.
    ///
    /// Any byte from the peer is a sign of life, so a busy link carries no pings. Over TLS the sign is a whole record, of up
    /// to 16 KiB. The pong reaches [`Connection::on_pong`](crate::Connection::on_pong) with an empty payload. While a
    /// handler of the connection runs, nothing is read, and silence does not count.
    ///
    /// 30 s and 10 s suit most links. Mobile networks forget a silent connection after some minutes; a radio that wakes for
    /// each ping drains a battery. Too low: a `timeout` below the slowest round trip ends healthy connections. Too high: a
    /// dead peer keeps its place for longer.
    ///
    /// The peer's connection answers a ping, whatever its handlers do. To prove that the peer's program works, let it send
    /// a message of its own: see `Client::send_every`.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.heartbeat = Some(Heartbeat { interval, timeout });
        self
    }

    /// Sets TCP's user timeout (RFC 5482): the operating system ends a connection whose written data has not been
    /// acknowledged for this long.
    ///
    /// It finds a dead link as soon as there is data to send, and costs no traffic. When there is nothing to send, only a
    /// [`heartbeat`](Self::heartbeat()) finds it. Linux counts from its first retransmission, which comes after 0.2 s or
    /// some round trips.
    ///
    /// From 1 ms to about 24 days; a value outside is taken as the nearest. 20 s to 30 s suit most links. Too low: a link
    /// that pauses is cut, and so is a peer that reads nothing for this long. Too high:
    /// [`write_timeout`](Self::write_timeout) and the heartbeat come first.
    ///
    /// It is set on the sockets that `Client` dials, that `WsHandler::serve` accepts, and that hyper hands over as TCP. A
    /// stream that the program brings is not changed. Only Linux and Android have this option; elsewhere this has no
    /// effect.
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }

    /// Turns on TCP's keepalive (RFC 9293 section 3.8.4): the operating system probes a connection that has been idle for
    /// `idle`, then every `interval`, and ends it when `probes` of them were not answered.
    ///
    /// It keeps the entry of a NAT alive, and finds a dead link without WebSocket pings. But a peer's system answers even
    /// if its program hangs, and a proxy answers in place of the peer; a [`heartbeat`](Self::heartbeat()) goes through to
    /// the peer. There are no probes while written data is not acknowledged: that wait is the user timeout's.
    ///
    /// Times are rounded up to whole seconds, from 1 s to about 9 hours, and there are 1 to 127 probes; a value outside is
    /// taken as the nearest. If [`tcp_user_timeout`](Self::tcp_user_timeout()) is set too, Linux ends the connection by
    /// that time instead of the number of probes.
    ///
    /// It is set on the same sockets as the user timeout. Some systems, such as OpenBSD and Solaris, keep their own interval
    /// and number.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Duration, interval: Duration, probes: u32) -> Self {
        self.tcp_keepalive = Some(TcpKeepalive { idle, interval, probes });
        self
    }
}
