//! The transport of a `WebSocketStream` that the application made with tokio-tungstenite.
use crate::{
    connection::queue::Queue,
    task::transport::{Transport, lock, poll_read, unacknowledged::Unacknowledged},
    wire::{
        close_code::CloseCode,
        close_frame,
        data_message::{DataMessage, Received},
        header::{Header, Opcode},
        read_buffer::poll_with_buffer,
        violation::{ReadError, Violation},
    },
};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use std::{
    io,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::{CapacityError, ProtocolError},
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// A stream that tokio-tungstenite made. Only the stream knows its role and the bytes that it has
/// read ahead, so it is not taken apart. It has its own limits on messages.
pub(crate) struct TungsteniteTransport<S> {
    /// The stream.
    stream: Mutex<WebSocketStream<S>>,
    /// Whether a message was received since the last `take_received`. The heartbeat needs it.
    received: AtomicBool,
}

impl<S> TungsteniteTransport<S> {
    pub(crate) fn new(stream: WebSocketStream<S>) -> Self {
        Self { stream: Mutex::new(stream), received: AtomicBool::new(false) }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for TungsteniteTransport<S> {
    const ANSWERS_CLOSE: bool = true;

    fn poll_received(&self, _: &Queue, cx: &mut Context<'_>) -> Poll<Result<Received, ReadError>> {
        loop {
            let next = ready!(Pin::new(&mut *lock(&self.stream)).poll_next(cx));
            self.received.store(true, Ordering::Relaxed);
            let message = next.unwrap_or(Err(tungstenite::Error::ConnectionClosed)).map_err(read_error)?;
            if let Some(received) = received(message) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// The stream manages its own buffers.
    fn shrink(&self) {}

    /// Sends the payload of the first frame, because this stream makes its own headers and masks. A
    /// frame is written completely or not at all.
    fn poll_write(&self, frames: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.stream);
        ready!(Pin::new(&mut *stream).poll_ready(cx)).map_err(io_error)?;
        let (message, length) = first_message(frames);
        match Pin::new(&mut *stream).start_send(message) {
            // This stream answers the close frame of the peer by itself, and sends nothing after
            // its answer.
            Ok(()) | Err(tungstenite::Error::Protocol(ProtocolError::SendAfterClosing)) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(lock(&self.stream).get_mut()).poll_shutdown(cx)
    }

    fn take_received(&self) -> bool {
        self.received.swap(false, Ordering::Relaxed)
    }

    /// The stream is the application's, and its socket is not asked.
    fn unacknowledged(&self) -> Option<Unacknowledged> {
        None
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.stream);
        poll_with_buffer(|into| poll_read(stream.get_mut(), into, cx), <[u8]>::len)
    }
}

/// Returns the message in the first frame, and the length of the frame. The frames are complete and
/// not masked.
fn first_message(frames: &[u8]) -> (Message, usize) {
    let header = Header::parse(frames).expect("a frame of the queue has a header");
    let length = usize::try_from(header.payload_length).expect("a frame of the queue fits in memory");
    let (start, end) = (header.size, header.size + length);
    let payload = Bytes::copy_from_slice(&frames[start..end]);
    let message = match header.opcode() {
        Opcode::TEXT => Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), true)),
        Opcode::BINARY => Message::Binary(payload),
        Opcode::CLOSE => Message::Close(payload.split_first_chunk().map(|(code, reason)| CloseFrame {
            code: u16::from_be_bytes(*code).into(),
            reason: String::from_utf8_lossy(reason).as_ref().into(),
        })),
        _ => Message::Ping(payload),
    };
    (message, end)
}

/// Returns `None` for a single frame, which tungstenite does not return from a read.
fn received(message: Message) -> Option<Received> {
    Some(match message {
        Message::Text(text) => Received::Message(DataMessage::Text(text.as_str().to_owned())),
        Message::Binary(bytes) => Received::Message(DataMessage::Binary(bytes.into())),
        Message::Ping(_) => Received::Ping,
        Message::Pong(payload) => Received::Pong(payload),
        Message::Close(close) => Received::Close(match close {
            Some(CloseFrame { code, reason }) => {
                close_frame::CloseFrame { code: u16::from(code).into(), reason: reason.as_str().to_owned() }
            }
            None => close_frame::CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() },
        }),
        Message::Frame(_) => return None,
    })
}

fn read_error(error: tungstenite::Error) -> ReadError {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            // The cast does not cut off anything: a length in memory has at most 64 bits.
            Violation::MessageTooLong { length: size as u64, limit: max_size }.into()
        }
        tungstenite::Error::Utf8(_) => Violation::TextNotUtf8.into(),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ReadError::Ended,
        tungstenite::Error::Protocol(error) => Violation::FoundByStream(error.to_string()).into(),
        error => ReadError::Lost(io_error(error)),
    }
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        connection::queue::{Bound, Budget},
        wire::{role, write},
    };
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    /// Returns the transport of a client, and the raw stream of its peer.
    async fn transport() -> (TungsteniteTransport<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(1000);
        let config = WebSocketConfig::default().max_message_size(Some(10));
        (TungsteniteTransport::new(WebSocketStream::from_raw_socket(near, Role::Client, Some(config)).await), far)
    }

    fn queue() -> Queue {
        Queue::new(Bound { messages: 10, bytes: 1000 }, Budget::default())
    }

    /// Reads one frame of a client. Returns its first byte and its payload.
    async fn frame(far: &mut DuplexStream) -> (u8, Vec<u8>) {
        let mut header = [0; 6];
        far.read_exact(&mut header).await.unwrap();
        let mut payload = vec![0; usize::from(header[1] & 0x7f)];
        far.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(header[2..].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        (header[0], payload)
    }

    #[tokio::test]
    async fn frames_of_each_kind_are_sent_one_after_the_other() {
        let (transport, mut far) = transport().await;
        let close = write::close_frame(role::Role::Server, CloseCode::POLICY_VIOLATION, "no");
        let frames: [(&[u8], u8, &[u8]); 5] = [
            (b"\x81\x04text", 0x81, b"text"),
            (b"\x82\x03\x00\xff\x01", 0x82, b"\x00\xff\x01"),
            (b"\x82\x00", 0x82, b""),
            (b"\x89\x04ping", 0x89, b"ping"),
            (&close, 0x88, b"\x03\xf0no"),
        ];
        let all = frames.map(|(written, ..)| written).concat();
        let mut rest = &all[..];
        for (written, first, payload) in frames {
            let n = poll_fn(|cx| transport.poll_write(rest, cx)).await.unwrap();
            assert_eq!(n, written.len());
            rest = &rest[n..];
            poll_fn(|cx| transport.poll_flush(cx)).await.unwrap();
            assert_eq!(frame(&mut far).await, (first, payload.to_vec()));
        }
        // The stream sends nothing after a close frame, and the frames of the queue are dropped.
        assert_eq!(poll_fn(|cx| transport.poll_write(b"\x81\x01x", cx)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn messages_of_each_kind_are_received() {
        let (transport, mut far) = transport().await;
        let queue = queue();
        assert!(!transport.take_received());
        far.write_all(b"\x81\x04text\x82\x03\x00\xff\x01\x89\x01i\x8a\x01o\x88\x04\x03\xe9ok").await.unwrap();
        let mut received = Vec::new();
        for _ in 0..5 {
            received.push(format!("{:?}", poll_fn(|cx| transport.poll_received(&queue, cx)).await.unwrap()));
        }
        let expected = [
            r#"Message(Text("text"))"#,
            "Message(Binary([0, 255, 1]))",
            "Ping",
            r#"Pong(b"o")"#,
            r#"Close(CloseFrame { code: CloseCode(1001 GOING_AWAY), reason: "ok" })"#,
        ];
        assert_eq!(received, expected);
        assert!(transport.take_received());
        assert!(!transport.take_received());
        assert_eq!(transport.unacknowledged(), None);
        assert!(received_close(b"\x88\x00").await.contains("1005 NO_STATUS"));
    }

    async fn received_close(bytes: &[u8]) -> String {
        let (transport, mut far) = transport().await;
        far.write_all(bytes).await.unwrap();
        format!("{:?}", poll_fn(|cx| transport.poll_received(&queue(), cx)).await.unwrap())
    }

    #[tokio::test]
    async fn errors_of_the_stream_are_those_of_the_reader() {
        for (bytes, expected) in [
            (&b"\x82\x0bmore than 10"[..], Some(Violation::MessageTooLong { length: 11, limit: 10 })),
            (b"\x81\x01\xff", Some(Violation::TextNotUtf8)),
            (b"", None),
        ] {
            let (transport, mut far) = transport().await;
            far.write_all(bytes).await.unwrap();
            drop(far);
            let error = poll_fn(|cx| transport.poll_received(&queue(), cx)).await.unwrap_err();
            match expected {
                Some(expected) => match error {
                    ReadError::Rejected(found) => assert_eq!(found, expected),
                    other => panic!("{other}"),
                },
                None => assert!(matches!(error, ReadError::Ended)),
            }
        }
        let protocol = read_error(ProtocolError::UnmaskedFrameFromClient.into());
        assert!(matches!(protocol, ReadError::Rejected(Violation::FoundByStream(_))));
        let lost = read_error(io::Error::from(io::ErrorKind::ConnectionReset).into());
        assert!(matches!(lost, ReadError::Lost(error) if error.kind() == io::ErrorKind::ConnectionReset));
        assert_eq!(io_error(tungstenite::Error::ConnectionClosed).kind(), io::ErrorKind::Other);
    }

    #[tokio::test]
    async fn input_is_dropped_and_the_stream_is_ended() {
        let (transport, mut far) = transport().await;
        far.write_all(b"dropped").await.unwrap();
        assert_eq!(poll_fn(|cx| transport.poll_discard(cx)).await.unwrap(), 7);
        poll_fn(|cx| transport.poll_shutdown(cx)).await.unwrap();
        assert_eq!(far.read(&mut [0; 9]).await.unwrap(), 0, "the FIN");
        drop(far);
        assert_eq!(poll_fn(|cx| transport.poll_discard(cx)).await.unwrap(), 0);
    }
}
