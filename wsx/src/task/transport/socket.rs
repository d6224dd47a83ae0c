//! The transport of a hub and a client: a stream of bytes, which `wire` turns into frames and back.
use crate::{
    config::Config,
    connection::queue::Queue,
    task::{
        receive_limit::ReceiveLimiter,
        transport::{Transport, lock, poll_read, tcp, unacknowledged::Unacknowledged},
    },
    wire::{
        data_message::Received,
        deflate::{Agreed, Compression},
        read::{Link, Reader},
        read_buffer::poll_with_buffer,
        role::Role,
        violation::ReadError,
    },
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::yield_now,
};

/// After this many reads without a complete message or control frame, the other connections of the
/// thread get a turn.
///
/// 128 KB of tiny fragments take some milliseconds, and a message can have any number of fragments.
const MAX_READS: u32 = 2;

/// A stream of bytes after a finished handshake.
pub(crate) struct SocketTransport<S>(Mutex<Inner<S>>);

struct Inner<S> {
    /// The stream of bytes.
    socket: S,
    /// Turns its bytes into messages, and holds the part of a message that has arrived.
    reader: Reader,
    /// Whether bytes were received since the last `take_received`. The heartbeat and presence need
    /// it.
    received: bool,
    /// Limits how much the peer sends. Boxed, because it is off by default.
    limiter: Option<Box<ReceiveLimiter>>,
    /// Returns the TCP socket below the stream.
    tcp: fn(&S) -> Option<&TcpStream>,
}

impl<S> SocketTransport<S> {
    /// Returns a transport. `early` has the bytes that arrived together with the end of the
    /// handshake.
    pub(crate) fn new(socket: S, role: Role, early: Vec<u8>, config: &Config) -> Self
    where
        S: 'static,
    {
        Self::with_tcp(socket, tcp::of, role, early, config)
    }

    /// As [`new`](Self::new), with a function that returns the TCP socket below the stream.
    pub(crate) fn with_tcp(
        socket: S,
        tcp: fn(&S) -> Option<&TcpStream>,
        role: Role,
        early: Vec<u8>,
        config: &Config,
    ) -> Self {
        let (reader, limiter) = (Reader::new(role, early, config), ReceiveLimiter::new(role, config));
        Self(Mutex::new(Inner { socket, reader, received: false, limiter, tcp }))
    }

    /// Lets the peer compress its messages, if both ends agreed on that.
    pub(crate) fn inflating(self, agreed: Option<Agreed>) -> Self {
        lock(&self.0).reader.inflate(agreed);
        self
    }

    /// Returns the address of the TCP socket's peer, if that is known.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        let Inner { socket, tcp, .. } = &*lock(&self.0);
        tcp(socket)?.peer_addr().ok()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for SocketTransport<S> {
    #[inline]
    fn poll_received(&self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        let Inner { socket, reader, received, limiter, .. } = &mut *lock(&self.0);
        if let Some(limiter) = limiter {
            // Messages may have been read together with others.
            ready!(limiter.poll_message(queue, cx));
        }
        let result = reader.poll(&mut Polled { socket, received, limiter: &mut *limiter, queue, cx, reads: 0 });
        match limiter {
            None => result,
            Some(limiter) => {
                limiter.count_inflated(reader.take_surplus());
                limiter.judge(result)
            }
        }
    }

    fn shrink(&self) {
        lock(&self.0).reader.shrink();
    }

    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut lock(&self.0).socket).poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).socket).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).socket).poll_shutdown(cx)
    }

    fn take_received(&self) -> bool {
        std::mem::take(&mut lock(&self.0).received)
    }

    fn is_held_back(&self) -> bool {
        lock(&self.0).limiter.as_ref().is_some_and(|limiter| limiter.holds_back())
    }

    fn take_held_back(&self) -> bool {
        lock(&self.0).limiter.as_mut().is_some_and(|limiter| limiter.take_report())
    }

    fn take_inflated(&self) -> Option<Compression> {
        lock(&self.0).reader.take_inflated()
    }

    fn unacknowledged(&self) -> Option<Unacknowledged> {
        let Inner { socket, tcp, .. } = &*lock(&self.0);
        tcp(socket).and_then(tcp::unacknowledged)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let socket = &mut lock(&self.0).socket;
        poll_with_buffer(|into| poll_read(socket, into, cx), <[u8]>::len)
    }
}

/// The socket during one poll, with the context of the task.
struct Polled<'p, 'w, S> {
    socket: &'p mut S,
    received: &'p mut bool,
    limiter: &'p mut Option<Box<ReceiveLimiter>>,
    queue: &'p Queue,
    cx: &'p mut Context<'w>,
    reads: u32,
}

impl<S: AsyncRead + Unpin> Link for Polled<'_, '_, S> {
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.reads == MAX_READS {
            ready!(self.poll_yield());
        }
        self.reads += 1;
        if let Some(limiter) = self.limiter {
            ready!(limiter.poll_read(self.queue, self.cx));
        }
        let read = ready!(poll_read(self.socket, into, self.cx));
        *self.received = true;
        if let (Some(limiter), Ok(bytes)) = (&mut *self.limiter, &read) {
            limiter.count_bytes(*bytes);
        }
        Poll::Ready(read)
    }

    fn answer(&mut self, frame: &[u8]) -> bool {
        self.queue.push_control(frame)
    }

    fn poll_yield(&mut self) -> Poll<()> {
        // One poll of `yield_now` schedules this task after the runtime has polled its sockets. A
        // plain wake would schedule it before, and a thread that always has such tasks polls its
        // sockets only every 61 turns.
        let _ = pin!(yield_now()).poll(self.cx);
        Poll::Pending
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        config::OverLimit,
        connection::queue::{Bound, Budget},
        wire::{data_message::DataMessage, header::MAX_HEADER},
    };
    use std::{future::poll_fn, time::Duration};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf, duplex};

    /// The first message `hi` of a server.
    const HI: &[u8] = b"\x81\x02hi";

    fn transport<S: 'static>(socket: S, early: &[u8]) -> SocketTransport<S> {
        SocketTransport::new(socket, Role::Client, early.to_vec(), &Config::default())
    }

    fn queue() -> Queue {
        Queue::new(Bound { messages: 10, bytes: 1000 }, Budget::default())
    }

    fn is_hi(received: &Result<Received, ReadError>) -> bool {
        matches!(received, Ok(Received::Message(DataMessage::Text(text))) if text == "hi")
    }

    #[tokio::test]
    async fn a_stream_is_read_written_flushed_and_ended() {
        let (near, mut far) = duplex(1000);
        let (transport, queue) = (transport(tokio::io::BufWriter::new(near), HI), queue());
        assert!(is_hi(&poll_fn(|cx| transport.poll_received(&queue, cx)).await), "the early bytes");
        assert!(!transport.take_received(), "they were received before");
        assert!(poll_fn(|cx| Poll::Ready(transport.poll_received(&queue, cx))).await.is_pending());
        assert!(!transport.take_received());
        far.write_all(HI).await.unwrap();
        assert!(is_hi(&poll_fn(|cx| transport.poll_received(&queue, cx)).await));
        assert!(transport.take_received());
        assert!(!transport.take_received());
        assert_eq!(transport.unacknowledged(), None, "it is not a TCP socket");

        assert_eq!(poll_fn(|cx| transport.poll_write(b"frame", cx)).await.unwrap(), 5);
        poll_fn(|cx| transport.poll_flush(cx)).await.unwrap();
        let mut written = [0; 5];
        far.read_exact(&mut written).await.unwrap();
        assert_eq!(&written, b"frame");

        far.write_all(b"dropped").await.unwrap();
        assert_eq!(poll_fn(|cx| transport.poll_discard(cx)).await.unwrap(), 7);
        assert!(poll_fn(|cx| Poll::Ready(transport.poll_discard(cx))).await.is_pending());
        poll_fn(|cx| transport.poll_shutdown(cx)).await.unwrap();
        assert_eq!(far.read(&mut written).await.unwrap(), 0, "the FIN");
        drop(far);
        assert_eq!(poll_fn(|cx| transport.poll_discard(cx)).await.unwrap(), 0);
        assert!(matches!(poll_fn(|cx| transport.poll_received(&queue, cx)).await, Err(ReadError::Ended)));
    }

    #[tokio::test]
    async fn the_tcp_socket_below_a_stream_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let transport = transport(near, &[]);
        let bytes = transport.unacknowledged().map(|unacknowledged| unacknowledged.bytes);
        assert_eq!(bytes, if cfg!(target_os = "linux") { Some(0) } else { None });
    }

    /// The bytes of the peer wait in the socket, so its silence says nothing. They were not
    /// received either.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_held_back_is_not_silent() {
        // Twenty bytes at once, which are five messages.
        let config = Config::default().max_message_size(20 - MAX_HEADER);
        for (messages, bytes, passed) in [(3, 1000, 3), (1000, 1, 5)] {
            let config = config.clone().receive_limit(messages, bytes, Duration::from_secs(1), OverLimit::Wait);
            let ((near, mut far), queue) = (duplex(1000), queue());
            let transport = SocketTransport::new(near, Role::Client, Vec::new(), &config);
            far.write_all(&HI.repeat(5)).await.unwrap();
            for _ in 0..passed {
                assert!(is_hi(&poll_fn(|cx| transport.poll_received(&queue, cx)).await));
            }
            far.write_all(HI).await.unwrap();
            assert!(transport.take_received() && !transport.is_held_back());
            assert!(poll_fn(|cx| Poll::Ready(transport.poll_received(&queue, cx))).await.is_pending());
            assert!(!transport.take_received() && transport.is_held_back());
            assert!(is_hi(&poll_fn(|cx| transport.poll_received(&queue, cx)).await), "after a wait");
        }
    }

    /// Row Z5: short messages that were read together count as what they inflate to.
    #[cfg(feature = "deflate")]
    #[tokio::test(start_paused = true)]
    async fn a_compressed_message_counts_as_if_it_was_not_compressed() {
        use crate::wire::{
            deflate::{Deflater, Stream},
            header::{MARK, Opcode},
            write,
        };
        let stream = Stream { window_bits: 9, keeps_context: true, level: 6 };
        let agreed = Agreed { own: Some(stream), peer: stream, min_size: 0 };
        let mut zeros = write::frame(Opcode::BINARY, Role::Server, &[0; 500]).to_vec();
        zeros[0] |= MARK;
        let mut deflater = Deflater::new(agreed, Role::Server).expect("it compresses");
        let frames = deflater.rewrite(&zeros.repeat(3));
        assert!(frames.len() < 60, "{} bytes", frames.len());
        let config = Config::default().max_message_size(500);
        let config = config.receive_limit(1000, 100, Duration::from_secs(1), OverLimit::Wait);
        let ((near, mut far), queue) = (duplex(1000), queue());
        let transport = SocketTransport::new(near, Role::Client, Vec::new(), &config).inflating(Some(agreed));
        far.write_all(&frames).await.unwrap();
        let (start, mut seconds) = (tokio::time::Instant::now(), Vec::new());
        for _ in 0..3 {
            let received = poll_fn(|cx| transport.poll_received(&queue, cx)).await;
            assert!(matches!(received, Ok(Received::Message(DataMessage::Binary(zeros))) if zeros == [0; 500]));
            seconds.push(start.elapsed().as_secs());
        }
        assert_eq!(seconds, [0, 0, 4], "the bucket has room for one message of maximum length");
    }

    /// Row Z5: short messages that cost much do not keep the turn: 8 KiB of codes without content.
    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn compressed_messages_do_not_keep_the_turn() {
        use crate::wire::deflate::Stream;
        let peer = Stream { window_bits: 15, keeps_context: false, level: 6 };
        let agreed = Agreed { own: None, peer, min_size: 0 };
        // Empty stored blocks.
        let mut payload = b"\x00\x00\x00\xff\xff".repeat(1638);
        payload.push(0);
        let mut frame = vec![0x82, 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        let compressed = [&[0xc2], &frame[1..], &payload].concat();
        let plain = [&frame[..], &payload].concat();
        for (frame, turns) in [(compressed, 3..=4), (plain, 1..=1)] {
            let transport = transport(io::Cursor::new(Vec::new()), &frame.repeat(8)).inflating(Some(agreed));
            let (queue, mut messages, mut polls) = (queue(), 0, 1);
            while messages < 8 {
                match poll_fn(|cx| Poll::Ready(transport.poll_received(&queue, cx))).await {
                    Poll::Ready(received) => messages += u32::from(received.is_ok()),
                    Poll::Pending => polls += 1,
                }
            }
            assert!(turns.contains(&polls), "{polls} turns");
        }
    }

    #[tokio::test]
    async fn control_frames_are_answered_through_the_queue() {
        let (near, mut far) = duplex(1000);
        let (transport, queue) = (transport(near, &[]), queue());
        far.write_all(b"\x89\x00").await.unwrap();
        assert!(matches!(poll_fn(|cx| transport.poll_received(&queue, cx)).await, Ok(Received::Ping)));
        assert!(matches!(queue.take(), crate::connection::queue::Taken::One(pong) if pong[0] == 0x8a));
    }

    /// A message that never ends, in fragments of one byte.
    struct Endless {
        begun: bool,
        reads: u32,
    }

    impl AsyncRead for Endless {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            out.put_slice(if self.begun { b"\x00\x01x" } else { b"\x01\x01x" });
            self.begun = true;
            self.reads += 1;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A message that does not end takes two reads of a turn.
    #[tokio::test]
    async fn a_message_without_an_end_does_not_keep_the_turn() {
        let (transport, queue) = (transport(Endless { begun: false, reads: 0 }, &[]), queue());
        for turn in 1..=3 {
            assert!(poll_fn(|cx| Poll::Ready(transport.poll_received(&queue, cx))).await.is_pending());
            assert_eq!(lock(&transport.0).socket.reads, 2 * turn);
        }
    }

    #[tokio::test]
    async fn a_connection_that_waits_gives_its_read_buffer_back() {
        let (near, mut far) = duplex(1000);
        let (transport, queue) = (transport(near, &[]), queue());
        far.write_all(HI).await.unwrap();
        assert!(is_hi(&poll_fn(|cx| transport.poll_received(&queue, cx)).await));
        assert!(lock(&transport.0).reader.has_buffer());
        transport.shrink();
        assert!(!lock(&transport.0).reader.has_buffer());
    }
}
