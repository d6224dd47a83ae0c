//! Compression without a handshake, for the fuzzer.
use super::serve;
use crate::{
    config::{Config, Deflate},
    connection::Connection,
    handshake::deflate as handshake,
    wire::{
        deflate::{Agreed, Deflater, Inflater, Stream},
        header::Opcode,
        role::Role,
        write,
    },
};
use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_EXTENSIONS};
use std::future::Future;
use tokio::io::{AsyncRead, AsyncWrite};

/// One direction: the window, as an exponent, and whether messages continue each other.
pub type Way = (u8, bool);

/// How an end compresses, if it does, and how its peer does.
pub type Ways = (Option<Way>, Way);

fn agreed((own, peer): Ways, level: u8, min_size: usize) -> Agreed {
    let stream = |(window_bits, keeps_context)| Stream { window_bits, keeps_context, level };
    Agreed { own: own.map(stream), peer: stream(peer), min_size }
}

fn ways(agreed: &Agreed) -> Ways {
    let way = |stream: Stream| (stream.window_bits, stream.keeps_context);
    (agreed.own.map(way), way(agreed.peer))
}

/// Inflates the messages of a peer.
#[derive(Debug)]
pub struct Inflating(Inflater);

impl Inflating {
    /// Returns the state before the first message.
    #[must_use]
    pub fn new(way: Way) -> Self {
        Self(Inflater::new(agreed((None, way), 1, 0)))
    }

    /// Returns the message with this payload.
    ///
    /// # Errors
    ///
    /// The code with which the connection is closed.
    pub fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, u16> {
        loop {
            match self.0.inflate(payload, limit) {
                Ok(None) => {}
                Ok(Some(message)) => return Ok(message),
                Err(violation) => return Err(violation.close_code().into()),
            }
        }
    }
}

/// Compresses the messages of one end.
#[derive(Debug)]
pub struct Deflating(Deflater, Role);

impl Deflating {
    /// Returns the state before the first message. `None` if zlib does not have the window.
    #[must_use]
    pub fn new(way: Way, level: u8, min_size: usize, role: Role) -> Option<Self> {
        Some(Self(Deflater::new(agreed((Some(way), way), level, min_size), role)?, role))
    }

    /// Returns the frames of these messages as they are written. Each is text or not, and may be
    /// compressed or not.
    pub fn write(&mut self, messages: &[(bool, bool, &[u8])]) -> Vec<u8> {
        let mut frames = Vec::new();
        for (is_text, may_shrink, payload) in messages {
            let opcode = if *is_text { Opcode::TEXT } else { Opcode::BINARY };
            let mut frame = write::data_frame(opcode, self.1, payload);
            frame.may_shrink = *may_shrink;
            frame.mark();
            frames.extend_from_slice(frame.as_bytes());
        }
        self.0.rewrite(&frames)
    }
}

/// As [`connection`](super::connection), after both ends agreed on compression or not.
pub fn connection<S>(
    stream: S,
    role: Role,
    early: Vec<u8>,
    config: Config,
    ways: Option<Ways>,
) -> (Connection, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    serve(stream, role, early, config, ways.map(|ways| agreed(ways, 6, 0)))
}

/// Returns the offer of a client.
#[must_use]
pub fn offer(options: Deflate) -> Option<String> {
    handshake::offer(&Config::default().deflate(options)).as_ref().map(text)
}

/// Returns the answer of a server to a request with these lines, and what the server does then.
/// A line that no header can have is left out.
#[must_use]
pub fn answer(options: Deflate, lines: &[&[u8]]) -> Option<(String, Ways)> {
    let (agreed, header) = handshake::answer(&Config::default().deflate(options), &headers(lines))?;
    Some((text(&header), ways(&agreed)))
}

/// Returns what a client does after an answer with these lines.
///
/// # Errors
///
/// The text of the error that the program gets.
pub fn accept(options: Deflate, lines: &[&[u8]]) -> Result<Option<Ways>, String> {
    let agreed = handshake::accept(&Config::default().deflate(options), &headers(lines))?;
    Ok(agreed.as_ref().map(ways))
}

fn headers(lines: &[&[u8]]) -> HeaderMap {
    let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (SEC_WEBSOCKET_EXTENSIONS, value)).collect()
}

fn text(header: &HeaderValue) -> String {
    header.to_str().expect("wsx writes ASCII").to_owned()
}
