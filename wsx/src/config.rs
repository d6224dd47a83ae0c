//! The bounds of a connection, each with its default and the effect of a lower or higher value. It
//! does not know what applies them.
mod defaults;
#[cfg(feature = "deflate")]
mod deflate;
mod receive_limit;
mod silence;

#[cfg(all(feature = "rustls", any(feature = "client", feature = "server")))]
pub(crate) use defaults::TLS_BUFFER;
#[cfg(feature = "deflate")]
pub use deflate::Deflate;
pub use receive_limit::{OverLimit, ReceiveLimit};
pub use silence::{Heartbeat, TcpKeepalive};

use std::time::Duration;

/// The bounds of a connection. Each resource that a peer could use up has a bound here (row V1 of
/// the specification).
///
/// [`Config::default`] suits a local network. Use [`Config::edge`] on real links.
///
/// ```
/// let config = wsx::Config::default().max_message_size(64 * 1024);
/// assert_eq!(config.queue_messages, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Maximum length of a received message, in bytes; default 2 MiB.
    ///
    /// A longer message is rejected with close code 1009. Too low: valid messages end their
    /// connection. Too high: each connection may hold that much memory while a message arrives.
    pub max_message_size: usize,
    /// Maximum number of messages in a connection's send queue; default 1,024 (row C4 of the
    /// specification).
    ///
    /// Too low: senders wait at every short pause of the link. Too high: a dead peer holds more
    /// memory until the write timeout.
    pub queue_messages: usize,
    /// Maximum number of bytes in a connection's send queue; default 4 MiB. That is twice the size
    /// of 1,024 messages of 2 KiB, or two messages of maximum length.
    ///
    /// An empty queue accepts one message of any length. Replies of handlers, and broadcasts to a
    /// full queue, have a reserve of as many bytes again. Two ends may both send in a loop and
    /// answer each message, if the replies are not longer than the messages. With longer ones, two
    /// ends whose reserves are both full wait for each other, until the write timeout. Use requests
    /// for long replies: their number is bounded, and wsx reads on for their replies.
    ///
    /// Too low: senders wait although few messages are queued. Too high: a dead peer holds more
    /// memory until the write timeout.
    pub queue_bytes: usize,
    /// Maximum number of received messages that wait while an earlier one is handled; default
    /// 1,024, as many as in the send queue. More wait in the buffer of the operating system.
    ///
    /// Handlers of a connection run one after another. Meanwhile wsx reads on: it answers pings,
    /// and notices the end of the connection. When this buffer is full, wsx stops reading until the
    /// handler is done, and the heartbeat does not count the silence.
    ///
    /// Too low: a peer that sends while a handler waits does not get its pings answered, and the
    /// end of the connection is noticed late. With 0, nothing is read while a handler waits. Too
    /// high: a slow handler holds more memory.
    pub backlog_messages: usize,
    /// Maximum number of bytes in these messages; default 2 MiB, one message of maximum length.
    ///
    /// A message counts when it has arrived, so the bytes may exceed this by one message. The
    /// messages of concurrent handlers have as many bytes of their own; then more calls wait. Too
    /// low and too high: as [`backlog_messages`](Self::backlog_messages). Above
    /// [`queue_bytes`](Self::queue_bytes), the replies to the messages that wait may not fit into
    /// their reserve.
    pub backlog_bytes: usize,
    /// How long a request waits for its reply; default 10 s. The future of a request can set
    /// another time with [`timeout`](crate::connection::Asking::timeout).
    ///
    /// The peer does not start a request that has waited there for this time. Too low: a slow
    /// handler replies in vain. Too high: the asking program waits longer for a box that is busy.
    pub request_timeout: Duration,
    /// Maximum number of requests of this program that wait on one connection; default 1,024. More
    /// fail at once with [`SendError::Full`](crate::SendError::Full).
    ///
    /// As many requests of the peer may wait for a handler, and as many more are handled at a time
    /// while handlers await replies. More are answered at once with the code `busy`. Too low:
    /// requests fail although the peer is fast. Too high: a peer that does not reply holds more
    /// memory.
    pub max_requests: usize,
    /// Maximum number of bytes in the messages that wait while this program awaits a reply, and in
    /// the requests that are handled beside a handler that does; default 16 MiB. In that time it
    /// replaces [`backlog_messages`](Self::backlog_messages), and
    /// [`backlog_bytes`](Self::backlog_bytes) if it is higher. When the requests beside the handler
    /// have this many bytes, one more is answered with the code `busy`.
    ///
    /// The reply comes after everything that the peer has sent before: up to 8 MiB in its send
    /// queue and the reserve, and 6 MB in the buffers of the operating systems. If this buffer is
    /// full, wsx stops reading, and the request ends at its deadline. Each message counts 64 bytes
    /// more than its length. Too low: requests time out while the peer sends much. Too high: such a
    /// peer holds more memory.
    pub asking_backlog_bytes: usize,
    /// Whether the peer learns that a message of its own has failed; default `false`, and `true` in
    /// [`Config::edge`]. Such a message has data that does not fit, no handler, or a handler that
    /// failed.
    ///
    /// The peer's observer receives it as [`peer_failed`](crate::Observer::peer_failed). At most 10
    /// reports leave in a second. A failed request is always reported, as its reply.
    pub report_failures: bool,
    /// How long a connection may be too slow for the broadcasts of its hub; default 10 s. Then it
    /// is closed with [`CloseCode::TRY_AGAIN_LATER`](crate::CloseCode::TRY_AGAIN_LATER) (row S3 of
    /// the specification).
    ///
    /// The time starts when a broadcast has waited for the full send queue in vain, and ends when
    /// half of the queue is free. Too low: a connection that pauses is closed. Too high: its queue
    /// holds memory longer. See [`Hub::broadcast`](crate::Hub::broadcast).
    pub lag_timeout: Duration,
    /// Maximum time without progress of a write; default 10 s. Then the connection ends.
    ///
    /// There is progress when the socket takes more bytes, or when the peer's system acknowledges
    /// more. There is also progress while lost packets are sent again, if packets of the peer
    /// arrive. On Linux wsx asks the kernel for the last two, up to four times within this time,
    /// and once more at its end. So a link of 10 kbit/s passes a message of 300 KB with the
    /// default. A process that was stopped reads its sockets first, and then decides.
    ///
    /// The acknowledged bytes are not known on systems other than Linux, in a sandbox without
    /// netlink sockets, and for streams of the program or of hyper that are neither a tokio
    /// `TcpStream` nor the TLS of wsx on one. Such a stream may hold megabytes, and then take
    /// nothing for a long time; over TLS it must take 16 KiB within this time. Set a longer timeout
    /// for it, or set `TCP_NOTSENT_LOWAT` on its socket, as wsx does on its own: 128 KiB.
    ///
    /// Too low: a link that pauses is cut. Too high: a dead peer is noticed late, and holds its
    /// queue until then.
    pub write_timeout: Duration,
    /// Maximum time for closing; default 10 s. It includes the queued messages, a running handler,
    /// the messages that were received before, and the close frames.
    ///
    /// After this time the socket is dropped. A handler that still runs is dropped at its `.await`,
    /// and [`Observer::handler_dropped`](crate::Observer::handler_dropped) receives it. After a
    /// close frame of the peer, replies are sent within a quarter of this time. Later ones go to
    /// [`Observer::reply_dropped`](crate::Observer::reply_dropped). If the link broke, all replies
    /// go there, and handlers have the same time.
    ///
    /// Too low: a slow link loses queued messages, and slow handlers are cut off. Too high: a dead
    /// peer holds its socket longer, and a handler that hangs holds its memory longer.
    pub close_timeout: Duration,
    /// Maximum time for a handshake, including TLS; default 10 s. At a client it includes dialling.
    ///
    /// Too low: distant clients never connect. Too high: silent connections hold their sockets
    /// longer.
    pub handshake_timeout: Duration,
    /// When to ping a silent peer; default `None`, which means never (row B1 of the specification).
    ///
    /// See [`heartbeat`](Self::heartbeat()).
    pub heartbeat: Option<Heartbeat>,
    /// How long the operating system waits for the acknowledgement of written data; default `None`,
    /// which means the time of the system. On Linux that is about 15 minutes.
    ///
    /// See [`tcp_user_timeout`](Self::tcp_user_timeout()).
    pub tcp_user_timeout: Option<Duration>,
    /// When the operating system probes an idle connection; default `None`, which means never. See
    /// [`tcp_keepalive`](Self::tcp_keepalive()).
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How much the peer may send; default `None`, which means any amount.
    ///
    /// See [`receive_limit`](Self::receive_limit()).
    pub receive_limit: Option<ReceiveLimit>,
    /// How messages are compressed; default `None`, which means not at all. See [`Deflate`].
    #[cfg(feature = "deflate")]
    pub deflate: Option<Deflate>,
}

impl Config {
    /// Returns the bounds for real links: mobile networks, NATs, proxies and load balancers (row B2
    /// of the specification). Use it at both ends.
    ///
    /// With [`Config::default`], wsx sends nothing that the program did not send. A box whose link
    /// died silently then goes on sending into nothing, with `Ok`, for up to 15 minutes. These
    /// bounds differ, and each can be changed:
    ///
    /// - [`heartbeat`](Self::heartbeat()): 25 s and 10 s. Load balancers and NATs drop a connection
    ///   that is silent for 60 s, and some for 30 s. Each end learns of a dead link within 35 s. An
    ///   idle connection costs at most 6 bytes each way in 25 s, besides the headers of TCP and IP.
    /// - [`tcp_user_timeout`](Self::tcp_user_timeout()): 30 s. The operating system ends a
    ///   connection whose data is not acknowledged, also while a slow handler stops the heartbeat.
    ///   30 s are enough for a train in a tunnel, or for the change of a radio cell.
    /// - [`tcp_keepalive`](Self::tcp_keepalive()): after 30 s, every 10 s, up to 3 probes. It finds
    ///   a dead link while a slow handler stops the heartbeat and there is nothing to send.
    /// - [`receive_limit`](Self::receive_limit()): 1,000 messages and 4 MiB in a second, after a
    ///   burst of 10 s, then [`OverLimit::Wait`]. A box sends far less, and 4 MiB are 32 Mbit/s,
    ///   more than most mobile uplinks carry. A box that runs wild then costs its server a percent
    ///   of a core, and no message is lost.
    /// - [`report_failures`](Self::report_failures()): `true`. Someone who looks at a box learns
    ///   why the server ignores it.
    ///
    /// All other bounds are those of [`Config::default`].
    ///
    /// ```
    /// let config = wsx::Config::edge().max_message_size(64 * 1024);
    /// assert_eq!(config.heartbeat.unwrap().interval.as_secs(), 25);
    /// ```
    #[must_use]
    pub fn edge() -> Self {
        let seconds = Duration::from_secs;
        Self::default()
            .heartbeat(seconds(25), seconds(10))
            .tcp_user_timeout(seconds(30))
            .tcp_keepalive(seconds(30), seconds(10), 3)
            .receive_limit(1000, 4 << 20, seconds(10), OverLimit::Wait)
            .report_failures(true)
    }

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

    /// Sets [`backlog_messages`](Self::backlog_messages).
    #[must_use]
    pub fn backlog_messages(mut self, messages: usize) -> Self {
        self.backlog_messages = messages;
        self
    }

    /// Sets [`backlog_bytes`](Self::backlog_bytes).
    #[must_use]
    pub fn backlog_bytes(mut self, bytes: usize) -> Self {
        self.backlog_bytes = bytes;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`max_requests`](Self::max_requests).
    #[must_use]
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.max_requests = requests;
        self
    }

    /// Sets [`asking_backlog_bytes`](Self::asking_backlog_bytes), in bytes.
    #[must_use]
    pub fn asking_backlog_bytes(mut self, bytes: usize) -> Self {
        self.asking_backlog_bytes = bytes;
        self
    }

    /// Sets [`report_failures`](Self::report_failures).
    #[must_use]
    pub fn report_failures(mut self, report: bool) -> Self {
        self.report_failures = report;
        self
    }

    /// Sets [`lag_timeout`](Self::lag_timeout).
    #[must_use]
    pub fn lag_timeout(mut self, timeout: Duration) -> Self {
        self.lag_timeout = timeout;
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

    /// Sets the heartbeat: wsx pings a peer that has been silent for `interval`. Without a sign of
    /// life within `timeout` after the ping, the connection ends with code 1006 (row R1 of the
    /// specification).
    ///
    /// So a link that died silently is noticed within the sum of both times. [`edge`](Self::edge)
    /// has 25 s and 10 s. Too low: a `timeout` below the slowest round trip ends healthy
    /// connections. A short `interval` drains the battery of a radio that wakes for each ping. Too
    /// high: a dead peer keeps its place longer. Mobile networks forget a silent connection after
    /// some minutes.
    ///
    /// Any byte from the peer is a sign of life, so a busy link carries no pings. Over TLS the sign
    /// is a whole record of up to 16 KiB. If messages wait to be written, progress of this write is
    /// a sign of life too, as for [`write_timeout`](Self::write_timeout): a peer that takes a long
    /// message slowly is alive. `timeout` begins when the ping has left. While the buffer of
    /// [`backlog_messages`](Self::backlog_messages) is full, wsx does not read, and silence does
    /// not count. The pong reaches [`Connection::on_pong`](crate::Connection::on_pong) with an
    /// empty payload.
    ///
    /// The peer's wsx answers a ping even if the peer's handlers hang. A message of the application
    /// proves that its program works: see `Client::send_every`.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.heartbeat = Some(Heartbeat { interval, timeout });
        self
    }

    /// Sets the user timeout of TCP (RFC 5482): the operating system ends a connection whose
    /// written data is not acknowledged within `timeout` (row R6 of the specification).
    ///
    /// It finds a dead link when there is data to send, and costs no traffic. Without data to send,
    /// only a [`heartbeat`](Self::heartbeat()) finds it. Linux counts from its first
    /// retransmission, after 0.2 s or a few round trips.
    ///
    /// The range is 1 ms to about 24 days; a value outside counts as the nearer bound. 20 s to 30 s
    /// suit most links. Too low: a link that pauses is cut, and so is a peer that does not read for
    /// this long. Too high: [`write_timeout`](Self::write_timeout) and the heartbeat end the
    /// connection earlier.
    ///
    /// It applies to the TCP sockets that `Client` dials, that `Hub::serve` and `WsHandler::serve`
    /// accept, and that hyper hands over. Streams of the program are not changed. Only Linux and
    /// Android have this option; on other systems it has no effect.
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }

    /// Sets the keepalive of TCP (RFC 9293 section 3.8.4): the operating system probes a connection
    /// that has been idle for `idle`, then every `interval`. It ends the connection after `probes`
    /// unanswered probes (row R6 of the specification).
    ///
    /// Keepalive keeps the entry of a NAT alive, and finds a dead link without WebSocket pings. But
    /// the peer's system answers even if its program hangs, and a proxy answers in place of the
    /// peer. A [`heartbeat`](Self::heartbeat()) reaches the peer itself. While written data is not
    /// acknowledged, there are no probes; the user timeout applies then.
    ///
    /// Times are rounded up to whole seconds, from 1 s to about 9 hours. The number of probes is 1
    /// to 127. A value outside counts as the nearer bound. If
    /// [`tcp_user_timeout`](Self::tcp_user_timeout()) is set too, Linux ends the connection after
    /// that time, and ignores the number of probes. Too low: a healthy link that pauses is cut. Too
    /// high: a dead link is noticed late.
    ///
    /// It applies to the same sockets as the user timeout. Some systems, such as OpenBSD and
    /// Solaris, keep their own interval and number.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Duration, interval: Duration, probes: u32) -> Self {
        self.tcp_keepalive = Some(TcpKeepalive { idle, interval, probes });
        self
    }

    /// Limits how much the peer may send in a second, in messages and in bytes (row R17 of the
    /// specification). 0 counts as 1.
    ///
    /// After a quiet time, the peer may send at once what it could send in `burst`, and at least
    /// one message of maximum length. Pings and pongs count as messages, and the bytes include
    /// the headers of frames. Over TLS, its records do not count.
    ///
    /// [`OverLimit`] says what happens beyond it.
    ///
    /// Too low: healthy peers are slowed down or closed. Below 8 KiB in a second, the peer's write
    /// timeout may end the connection, because wsx reads up to 64 KiB at once. Too high: a peer
    /// that runs wild keeps a core busy. Without a limit, connections still take turns.
    #[must_use]
    pub fn receive_limit(
        mut self,
        messages_per_second: u32,
        bytes_per_second: u32,
        burst: Duration,
        over: OverLimit,
    ) -> Self {
        self.receive_limit = Some(ReceiveLimit { messages_per_second, bytes_per_second, burst, over });
        self
    }
    /// Compresses messages with permessage-deflate (RFC 7692), if the peer can (row Z1 of the
    /// specification). A peer that cannot is served as before.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, options: Deflate) -> Self {
        self.deflate = Some(options);
        self
    }
}
