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
    /// Too low: a link that pauses is cut. Too high: a dead peer is noticed late and holds its queue meanwhile.
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
    /// Any byte from the peer is a sign of life, so a busy link carries no pings. The pong reaches
    /// [`Connection::on_pong`](crate::Connection::on_pong) with an empty payload. 30 s and 10 s suit most links; mobile
    /// networks forget a silent connection after some minutes, and a radio that must wake for each ping drains a battery.
    ///
    /// Where the peer's program shall prove that it works, and not only its network stack, send a message of the
    /// application instead:
    ///
    /// ```
    /// # async fn example(client: wsx::Client) {
    /// #[derive(serde::Serialize, wsx::Message)]
    /// struct Heartbeat { uptime: u64 }
    ///
    /// let start = std::time::Instant::now();
    /// let mut beat = tokio::time::interval(std::time::Duration::from_secs(30));
    /// while !client.is_closed() {
    ///     beat.tick().await;
    ///     // Between two connections there is nobody to tell.
    ///     let _ = client.send(&Heartbeat { uptime: start.elapsed().as_secs() }).await;
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.heartbeat = Some(Heartbeat { interval, timeout });
        self
    }
}
