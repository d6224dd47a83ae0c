//! Every bound of a connection, each with its default and what moving it costs.
use std::time::Duration;

/// How much of what is written a TLS session keeps while its socket takes nothing, in bytes: a record of the longest.
///
/// Of a flush nobody sees how far it is, so all of it has to leave within [`Config::write_timeout`]: any link of
/// 13 kbit/s does that in 10 s. rustls' own 64 KiB would take one of 52 kbit/s.
#[cfg(feature = "rustls")]
pub(crate) const TLS_BUFFER: usize = 16 * 1024;

/// The bounds of a connection. All that a peer can make grow is in here.
///
/// ```
/// let config = wsx::Config::default().max_message_size(64 * 1024);
/// assert_eq!(config.queue_messages, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Longest message that is read, in bytes; default 2 MiB (specification section 7).
    ///
    /// A longer one is refused with close code 1009. Too low: honest messages end their connection. Too high: each
    /// connection may hold that much memory while a message arrives.
    pub max_message_size: usize,
    /// Messages that wait for one peer; default 1,024 (specification section 7).
    ///
    /// Too low: senders wait at every short stall. Too high: a dead peer holds more until the write timeout.
    pub queue_messages: usize,
    /// Bytes that wait for one peer; default 4 MiB: 1,024 messages of 2 KiB fit twice, and two of the longest.
    ///
    /// One message is admitted whatever its length when nothing else waits.
    pub queue_bytes: usize,
    /// How long writing may make no progress before the connection ends; default 10 s (specification section 7).
    ///
    /// Too low: a link that pauses is cut. Too high: a dead peer is noticed late and holds its queue meanwhile. Over TLS the
    /// progress of the last 16 KiB is not seen: a link must be able to take as many within this time.
    ///
    /// A socket tells of progress when it takes more. On Linux wsx lets 128 KiB wait unsent in it (`TCP_NOTSENT_LOWAT`), so
    /// that one behind a slow link does so in time. A stream that the program brings, or hyper's, may hold megabytes and then
    /// take nothing for long: set that option on it too, or a longer timeout.
    pub write_timeout: Duration,
    /// How long closing may take in all; default 10 s: what is queued, the close frames, a handler that still runs.
    ///
    /// After that the socket is dropped, and a handler that still runs with it.
    pub close_timeout: Duration,
    /// How long a handshake may take in all, that of TLS included; default 10 s. The client's includes dialling.
    ///
    /// Too low: far clients never get in. Too high: silent connections hold their sockets longer.
    pub handshake_timeout: Duration,
    /// Pings that find a dead link; default none, as the specification's section 7 wants it.
    pub heartbeat: Option<Heartbeat>,
    /// How long the system lets what was written stay unacknowledged before it ends the connection; default `None`, the
    /// system's own, about 15 minutes on Linux.
    ///
    /// See [`tcp_user_timeout`](Self::tcp_user_timeout()).
    pub tcp_user_timeout: Option<Duration>,
    /// Probes of the system's on an idle connection; default `None`, no probes.
    ///
    /// See [`tcp_keepalive`](Self::tcp_keepalive()).
    pub tcp_keepalive: Option<TcpKeepalive>,
}

/// When to ping a silent peer, and how long to wait for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// After so long without a byte from the peer it is pinged.
    pub interval: Duration,
    /// After so long without a byte since then the connection ends.
    pub timeout: Duration,
}

/// When the system probes an idle connection, and how long it goes on without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// After so long without a byte in either direction the first probe leaves.
    pub idle: Duration,
    /// Between two probes.
    pub interval: Duration,
    /// After so many without an answer the connection ends.
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

    /// Pings a peer that has been silent for `interval`, and ends the connection with 1006 when not a byte has come within
    /// `timeout` after that: a link that died without a word, a cable pulled, is noticed within their sum.
    ///
    /// Any byte from the peer is a sign of life, over TLS any whole record, which has up to 16 KiB; so a busy link carries no
    /// pings. The pong reaches
    /// [`Connection::on_pong`](crate::Connection::on_pong) with an empty payload. 30 s and 10 s suit most links; mobile
    /// networks forget a silent connection after some minutes, and a radio that must wake for each ping drains a battery.
    ///
    /// While a handler of its own runs, a connection reads nothing, and silence does not count.
    ///
    /// Too low: a `timeout` that is shorter than the link's slowest round trip ends connections that live. Too high: a dead
    /// peer keeps its place for longer.
    ///
    /// A ping is answered by the peer's connection, whatever its handlers do. Where its program shall prove that it works,
    /// let it send a message of its own: see [`Client::send_every`](crate::Client::send_every).
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.heartbeat = Some(Heartbeat { interval, timeout });
        self
    }

    /// Sets TCP's user timeout (RFC 5482): the system ends a connection on which something that was written has not been
    /// acknowledged for so long. It finds a dead link as soon as there is something to say on it, and costs no traffic;
    /// where there is nothing to say, only a [`heartbeat`](Self::heartbeat()) finds it. Linux counts from when it first sends
    /// something again, which is 0.2 s or some round trips later.
    ///
    /// From 1 ms to about 24 days; what lies outside is taken as the nearest. 20 to 30 s suit most links. Too low: a link
    /// that pauses is cut, and so is a peer that reads nothing for so long. Too high: [`write_timeout`](Self::write_timeout)
    /// and the heartbeat come first.
    ///
    /// Set on the sockets that [`Client`](crate::Client) dials, that `WsHandler::listen` accepts, and that hyper hands over
    /// as TCP. A stream that the program brings itself stays as it is. Only Linux and Android have it; elsewhere nothing
    /// happens.
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }

    /// Turns on TCP's keepalive (RFC 9293 section 3.8.4): the system probes a connection that has been idle for `idle`, then
    /// each `interval`, and ends it when `probes` of them went unanswered. It keeps the entry of a NAT alive, and finds a
    /// dead link without WebSocket pings; but a peer's system answers even if its program hangs, and a proxy answers in
    /// place of the peer, where a [`heartbeat`](Self::heartbeat()) goes through. While something that was written is not
    /// acknowledged there are no probes: that wait is the user timeout's.
    ///
    /// Times are rounded up to whole seconds, from 1 s to about 9 hours, and there are 1 to 127 probes; what lies outside
    /// is taken as the nearest. Where [`tcp_user_timeout`](Self::tcp_user_timeout()) is set too, Linux ends the connection by
    /// that time instead of the number of probes.
    ///
    /// Set on the same sockets as the user timeout. Some systems, such as OpenBSD and Solaris, take no interval or number,
    /// and keep their own.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Duration, interval: Duration, probes: u32) -> Self {
        self.tcp_keepalive = Some(TcpKeepalive { idle, interval, probes });
        self
    }
}
