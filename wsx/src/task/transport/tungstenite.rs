//! The transport of a `WebSocketStream` that the application made with tokio-tungstenite.
use crate::{
    connection::queue::Queue,
    task::transport::{Transport, lock, poll_read},
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

    /// The stream is the application's, and its socket is not known.
    fn unacknowledged(&self) -> Option<u32> {
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
